//! The executor with a real database and a real bus, engines and datasources made up.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use congress_bus::{Bus, Epoch, InProcessBus, Publisher, Requests, TableName};
use congress_store::{Acquired, ActionKey, ActionRecord, ActionState, Fence, Location, Store};
use congress_table::{Change, Row, Table, Value};
use serde_json::Value as Json;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::agenda::Readiness;
use super::stream::{ActionTable, COMPLETE_PREFIX, POSITIONS, REVISION, SOURCE_PREFIX, TABLES};
use super::wire::{ActionsCall, SERVICE};
use super::{Ended, Executor, Hands, MayAct, Options};
use crate::datasources::ask;
use crate::failure::{Answer, Failure, Status};

/// How long anything may take that usually takes milliseconds.
const SOON: Duration = Duration::from_secs(30);

/// The datasource `s` as a test sets it.
struct Service {
    ran: Mutex<Vec<String>>,
    ready: Mutex<Readiness>,
    epoch: Mutex<u64>,
    /// How the next runs end; done if there is nothing.
    ends: Mutex<Vec<Ended>>,
    /// How many may run.
    gate: Semaphore,
}

#[async_trait]
impl Hands for Service {
    fn readiness(&self, service: &str) -> Readiness {
        match service {
            "s" => self.ready.lock().unwrap().clone(),
            _ => Readiness::Absent,
        }
    }

    fn epoch(&self, _: &str) -> Option<Epoch> {
        Some(Epoch(*self.epoch.lock().unwrap()))
    }

    async fn run(&self, service: &str, action: &str, positional: &[Json]) -> Ended {
        self.gate.acquire().await.unwrap().forget();
        let text = format!("{service}:{action}{}", Json::from(positional));
        self.ran.lock().unwrap().push(text);
        self.ends.lock().unwrap().pop().unwrap_or(Ended::Done)
    }
}

/// The lease of a process, until it is taken away.
struct Held(Mutex<Option<Fence>>);

impl MayAct for Held {
    fn fence(&self) -> Result<Fence, Failure> {
        let held = self.0.lock().unwrap().clone();
        held.ok_or_else(|| Failure::plain(Status::Unavailable, "not the active one"))
    }
}

struct Engine {
    publisher: Publisher,
    _presence: Requests,
    _complete: Option<Requests>,
    state: BTreeMap<TableName, Table>,
}

fn table(action: &str) -> ActionTable {
    ActionTable { policy: "p".into(), service: "s".into(), action: action.into() }
}

impl Engine {
    fn new(bus: &dyn Bus, name: &str, complete: bool) -> Self {
        let source = format!("{SOURCE_PREFIX}{name}");
        let publisher = bus.publish(&source, Epoch(1)).unwrap();
        let _presence = bus.serve(&source, 1).unwrap();
        let _complete =
            complete.then(|| bus.serve(&format!("{COMPLETE_PREFIX}{name}"), 1).unwrap());
        Self { publisher, _presence, _complete, state: BTreeMap::new() }
    }

    /// Publishes these rows, as an engine that has read so much.
    fn says(&mut self, rows: &[i64], sequence: i64, revision: i64) {
        self.says_of("do", rows, sequence, revision);
    }

    fn says_of(&mut self, action: &str, rows: &[i64], sequence: i64, revision: i64) {
        self.says_all(&[(action, rows, true)], sequence, revision);
    }

    /// The same of all tables that there are, and whether all is known that is below each.
    fn says_all(&mut self, tables: &[(&str, &[i64], bool)], sequence: i64, revision: i64) {
        let text = |text: &str| Value::text(text);
        let listed = |action: &str, known: bool| -> Row {
            [text("p"), text("s"), text(action), Value::Bool(known), text("[\"s\"]")].into()
        };
        let at: Row = [text("s"), Value::Int(7), Value::Int(sequence)].into();
        let mut new = BTreeMap::from([
            (
                TABLES.into(),
                tables.iter().map(|(action, _, known)| listed(action, *known)).collect(),
            ),
            (POSITIONS.into(), [at].into_iter().collect()),
            (REVISION.into(), [[Value::Int(revision)].into()].into_iter().collect::<Table>()),
        ]);
        for (action, rows, _) in tables {
            let rows = rows.iter().map(|row| [text(&format!("[{row},\"x\"]"))].into()).collect();
            new.insert(table(action).name(), rows);
        }
        let names: BTreeSet<_> = self.state.keys().chain(new.keys()).cloned().collect();
        let of = |tables: &BTreeMap<TableName, Table>, name: &TableName| {
            tables.get(name).cloned().unwrap_or_default()
        };
        let delta = |name: TableName| {
            let delta = of(&self.state, &name).difference_to(&of(&new, &name));
            (name, delta)
        };
        let change = Change { tables: names.into_iter().map(delta).collect() };
        if self.state.is_empty() {
            self.publisher.declare([].into(), Change::default());
        }
        self.publisher.commit(change);
        self.state = new;
    }
}

struct Setting {
    store: Store,
    bus: Arc<dyn Bus>,
    service: Arc<Service>,
    revision: i64,
}

struct Process {
    lease: Arc<Held>,
    fence: Fence,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Setting {
    async fn new() -> Self {
        let store = Store::open(&Location::SqliteMemory, &Default::default()).await.unwrap();
        let revision = store.revision().await.unwrap().0;
        let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new("n", "i"));
        let service = Arc::new(Service {
            ran: Mutex::default(),
            ready: Mutex::new(Readiness::Runs),
            epoch: Mutex::new(7),
            ends: Mutex::default(),
            gate: Semaphore::new(1000),
        });
        Self { store, bus, service, revision }
    }

    /// A process that takes the lease from whoever has it.
    async fn process(&self, instance: &str, options: Options) -> Process {
        let brief = Duration::from_millis(1);
        let taking = async {
            loop {
                match self.store.acquire_lease("l", "n", instance, brief).await.unwrap() {
                    Acquired::Taken { term } => return term,
                    Acquired::Held(_) => tokio::time::sleep(brief).await,
                }
            }
        };
        let term = tokio::time::timeout(SOON, taking).await.unwrap();
        let fence = Fence { lease: "l".into(), instance: instance.into(), term };
        let lease = Arc::new(Held(Mutex::new(Some(fence.clone()))));
        let executor = Executor {
            store: self.store.clone(),
            bus: self.bus.clone(),
            lease: lease.clone(),
            hands: self.service.clone(),
            options,
        };
        let stop = CancellationToken::new();
        let task = tokio::spawn(executor.run(stop.clone()));
        Process { lease, fence, stop, task }
    }

    fn ran(&self) -> Vec<String> {
        let mut ran = self.service.ran.lock().unwrap().clone();
        ran.sort();
        ran
    }

    async fn until(&self, what: &str, condition: impl AsyncFn() -> bool) {
        let waiting = async {
            while !condition().await {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        if tokio::time::timeout(SOON, waiting).await.is_err() {
            let all = self.store.actions(&Default::default(), 100, None).await;
            panic!("{what}: {:?} {all:#?}", self.ran());
        }
    }

    async fn ran_just(&self, rows: &[i64]) {
        let expected: Vec<String> = rows.iter().map(|row| format!("s:do[{row},\"x\"]")).collect();
        self.until(&format!("{rows:?} to be run"), async || self.ran() == expected).await;
    }

    async fn record(&self, row: i64) -> Option<ActionRecord> {
        let key = ActionKey {
            policy: "p".into(),
            service: "s".into(),
            action: "do".into(),
            args: format!("[{row},\"x\"]"),
        };
        self.store.action(&key.id()).await.ok()
    }

    async fn is(&self, row: i64, state: ActionState, present: bool) {
        let is = async || {
            let record = self.record(row).await;
            record.is_some_and(|record| (record.state, record.present) == (state, present))
        };
        self.until(&format!("{row} to be {state:?}, there: {present}"), is).await;
    }

    async fn repeat(&self, row: i64) -> Answer<()> {
        let id = self.record(row).await.unwrap().id;
        let nobody = |error: &congress_bus::CallError| Failure::internal(error);
        ask(self.bus.as_ref(), SERVICE, &ActionsCall::Repeat { id }, SOON, nobody).await
    }
}

impl Process {
    async fn stop(self) {
        self.stop.cancel();
        tokio::time::timeout(SOON, self.task).await.unwrap().unwrap();
    }

    /// Ends without warning.
    async fn kill(self) {
        self.task.abort();
        let _ = self.task.await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_is_acted_upon_once_whoever_follows_whom() {
    let setting = Setting::new().await;
    let r = setting.revision;
    let mut one = Engine::new(setting.bus.as_ref(), "1", true);
    let mut two = Engine::new(setting.bus.as_ref(), "2", true);
    one.says(&[1, 2], 5, r);
    // It lags behind.
    two.says(&[1], 4, r);
    let first = setting.process("a", Options::default()).await;
    setting.ran_just(&[1, 2]).await;
    one.says(&[2, 3], 6, r);
    setting.ran_just(&[1, 2, 3]).await;
    setting.is(1, ActionState::Done, false).await;

    // The other one still has the row that has gone: that is no return. Nor is it believed that
    // the others have gone.
    drop(one);
    two.says(&[1, 9], 5, r);
    two.says(&[3, 4], 6, r);
    setting.ran_just(&[1, 2, 3, 4]).await;
    setting.is(2, ActionState::Done, false).await;
    setting.is(3, ActionState::Done, true).await;
    first.stop().await;

    // Another process acts upon nothing that was read before its own publisher began.
    *setting.service.epoch.lock().unwrap() = 8;
    let second = setting.process("b", Options::default()).await;
    two.says(&[2, 3, 4], 7, r);
    *setting.service.epoch.lock().unwrap() = 7;
    setting.is(2, ActionState::Done, true).await;
    assert_eq!(setting.ran().iter().filter(|text| text.contains("[2,")).count(), 2);
    // Its rules are gone, and so are its rows.
    two.says_of("other", &[], 8, r + 1);
    setting.is(3, ActionState::Done, false).await;
    second.stop().await;
}

/// The ledger has no room for such a name.
#[tokio::test(flavor = "multi_thread")]
async fn actions_that_cannot_be_begun_hold_up_no_others() {
    let setting = Setting::new().await;
    let r = setting.revision;
    let mut engine = Engine::new(setting.bus.as_ref(), "1", true);
    let long = "a".repeat(300);
    let both = |rows: &'static [i64]| [(long.as_str(), &[1, 2][..], true), ("do", rows, true)];
    engine.says_all(&both(&[1]), 5, r);
    let process = setting.process("a", Options::default()).await;
    setting.ran_just(&[1]).await;
    engine.says_all(&both(&[1, 2]), 6, r);
    setting.ran_just(&[1, 2]).await;
    let all = setting.store.actions(&Default::default(), 100, None).await.unwrap();
    assert_eq!(all.len(), 2);
    engine.says_all(&[("do", &[2], true)], 7, r);
    setting.is(1, ActionState::Done, false).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_of_a_table_of_which_little_is_known_hold_up_no_others() {
    let setting = Setting::new().await;
    let r = setting.revision;
    let mut engine = Engine::new(setting.bus.as_ref(), "1", true);
    *setting.service.ready.lock().unwrap() = Readiness::Stopped("not yet".into());
    let many: Vec<i64> = (0..2_500).collect();
    engine.says_all(&[("other", &many, true)], 5, r);
    let process = setting.process("a", Options::default()).await;
    engine.says_all(&[("other", &many, true), ("do", &[1], true)], 6, r);
    engine.says_all(&[("other", &many, false), ("do", &[1, 2], true)], 7, r);
    *setting.service.ready.lock().unwrap() = Readiness::Runs;
    setting.ran_just(&[1, 2]).await;
    process.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_leaves_unended_is_unknown_and_waits_for_an_operator() {
    let setting = Setting::new().await;
    let r = setting.revision;
    let mut engine = Engine::new(setting.bus.as_ref(), "1", true);
    setting.service.gate.forget_permits(1000);
    engine.says(&[1, 2], 5, r);
    let first = setting.process("a", Options::default()).await;
    setting.is(1, ActionState::Running, true).await;
    setting.is(2, ActionState::Running, true).await;
    first.kill().await;
    setting.service.gate.add_permits(1000);
    let second = setting.process("b", Options::default()).await;
    setting.is(1, ActionState::Unknown, true).await;
    engine.says(&[1, 2, 3], 6, r);
    setting.ran_just(&[3]).await;
    let record = setting.record(2).await.unwrap();
    assert_eq!(record.state, ActionState::Unknown);

    setting.repeat(1).await.unwrap();
    setting.ran_just(&[1, 3]).await;
    setting.is(1, ActionState::Done, true).await;
    assert_eq!(setting.repeat(1).await.unwrap_err().code, 409);
    assert!(setting.store.settle_action(&record.id).await.unwrap());
    setting.is(2, ActionState::Done, true).await;

    // Without the lease nothing is run; what was begun is not said to have been done.
    let taken = second.lease.0.lock().unwrap().take();
    assert_eq!(taken.as_ref(), Some(&second.fence));
    assert_eq!(setting.repeat(3).await.unwrap_err().status, Status::Unavailable);
    engine.says(&[1, 2, 3, 4], 7, r);
    setting.is(4, ActionState::Failed, true).await;
    // And when another has it, nothing is written either.
    let third = setting.process("c", Options::default()).await;
    engine.says(&[5], 8, r);
    tokio::time::timeout(SOON, second.task).await.unwrap().unwrap();
    setting.ran_just(&[1, 3, 5]).await;
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_listed_and_repeated_if_that_is_wanted() {
    let setting = Setting::new().await;
    let r = setting.revision;
    let mut engine = Engine::new(setting.bus.as_ref(), "1", true);
    let refused = || Ended::Refused("no such server".into());
    let unanswered = || Ended::Unanswered("no answer".into());
    *setting.service.ends.lock().unwrap() = vec![unanswered(), refused()];
    engine.says(&[1], 5, r);
    let first = setting.process("a", Options::default()).await;
    setting.is(1, ActionState::Failed, true).await;
    assert_eq!(setting.record(1).await.unwrap().error.unwrap(), "no such server");
    engine.says(&[1, 2], 6, r);
    setting.is(2, ActionState::Unknown, true).await;
    // Nobody runs the datasource.
    *setting.service.ready.lock().unwrap() = Readiness::Stopped("no driver".into());
    first.stop().await;
    let brief = Options { start_wait: Duration::from_millis(100), ..Options::default() };
    let second = setting.process("b", brief).await;
    engine.says(&[1, 2, 3], 7, r);
    setting.is(3, ActionState::Failed, true).await;
    let error = setting.record(3).await.unwrap().error.unwrap();
    assert!(error.contains("not running: no driver"), "{error}");
    second.stop().await;
    setting.ran_just(&[1, 2]).await;

    // Failed ones are run again where that is configured, also those from before; of the unknown
    // one nobody knows.
    *setting.service.ready.lock().unwrap() = Readiness::Runs;
    *setting.service.ends.lock().unwrap() = vec![unanswered()];
    let retry = Options { retry: Some(None), ..Options::default() };
    let third = setting.process("c", retry).await;
    setting.is(1, ActionState::Done, true).await;
    setting.is(3, ActionState::Done, true).await;
    assert_eq!(setting.ran().len(), 5);
    assert_eq!(setting.record(2).await.unwrap().state, ActionState::Unknown);
    third.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_enters_nothing() {
    let setting = Setting::new().await;
    let r = setting.revision;
    let mut engine = Engine::new(setting.bus.as_ref(), "1", true);
    engine.says(&[1], 5, r);
    let before = setting.process("a", Options::default()).await;
    setting.is(1, ActionState::Done, true).await;
    before.stop().await;
    let off = Options { enabled: false, ..Options::default() };
    let dry = setting.process("b", off).await;
    // That a row has gone is true all the same, and tells that it has looked.
    engine.says(&[2, 3], 6, r);
    setting.is(1, ActionState::Done, false).await;
    assert_eq!(setting.repeat(1).await.unwrap_err().code, 409);
    dry.stop().await;
    assert!(setting.ran().len() == 1 && setting.record(2).await.is_none());
    let after = setting.process("c", Options::default()).await;
    setting.ran_just(&[1, 2, 3]).await;
    after.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_rows_run_within_bounds() {
    let setting = Setting::new().await;
    let r = setting.revision;
    let mut engine = Engine::new(setting.bus.as_ref(), "1", false);
    setting.service.gate.forget_permits(1000);
    let rows: Vec<i64> = (0..500).collect();
    engine.says(&rows, 5, r);
    let options = Options { of_one: 3, ..Options::default() };
    let process = setting.process("a", options).await;
    let running = async || {
        let filter = congress_store::ActionFilter::default();
        setting.store.actions(&filter, 1000, None).await.unwrap().len()
    };
    setting.until("some to run", async || running().await > 0).await;
    assert!(running().await <= 3);
    setting.service.gate.add_permits(500);
    setting.until("all to be run", async || setting.ran().len() == 500).await;
    let distinct: BTreeSet<String> = setting.ran().into_iter().collect();
    assert_eq!(distinct.len(), 500);
    engine.says(&[], 6, r);
    let left = async || {
        let tables = setting.store.tables_with_present_actions().await.unwrap();
        tables.is_empty()
    };
    setting.until("all to be gone", left).await;
    process.stop().await;
}
