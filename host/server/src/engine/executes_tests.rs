//! What an engine publishes of its rules' actions: only what it knows.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Bus, Epoch, InProcessBus, Publisher, Subscription, TableName, Update};
use congress_store::{At, DatasourceConfig, Location, NewDatasource, NewRule, Store};
use congress_table::{Change, Column, Row, TableDelta, TableSchema, Value};
use tokio_util::sync::CancellationToken;

use super::{EngineHandle, EngineOptions, POLICIES_PREFIX, PolicyRequest, RulePatch};
use crate::actions::stream::{
    ActionTable, COMPLETE_PREFIX, POSITIONS, REVISION, SOURCE_PREFIX, TABLES,
};
use crate::health::Pulse;

/// How long anything may take that usually takes milliseconds.
const SOON: Duration = Duration::from_secs(30);

struct Setting {
    store: Store,
    bus: Arc<dyn Bus>,
    engine: EngineHandle,
    stop: CancellationToken,
}

impl Drop for Setting {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

async fn setting() -> Setting {
    let store = Store::open(&Location::SqliteMemory, &Default::default()).await.unwrap();
    let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new("n", "i"));
    let stop = CancellationToken::new();
    let options = EngineOptions {
        ascii_only_rows: false,
        sync_period: Duration::from_secs(60),
        query_rows: 1000,
        query_timeout: SOON,
    };
    let pulse = Pulse::default();
    let engine = EngineHandle::start(store.clone(), bus.clone(), options, &pulse, stop.clone());
    let engine = engine.await.unwrap();
    Setting { store, bus, engine, stop }
}

impl Setting {
    /// A datasource in the database, and its publisher.
    async fn datasource(&self, name: &str, epoch: u64) -> Publisher {
        let new = NewDatasource {
            id: None,
            name: name.to_owned(),
            driver: "d".to_owned(),
            description: None,
            enabled: true,
            config: DatasourceConfig::absent(),
        };
        self.store.create_datasource(new, At::Any).await.unwrap();
        let publisher = self.bus.publish(name, Epoch(epoch)).unwrap();
        publisher.declare(schema(&["vm", "spared"]), Change::default());
        self.engine.catch_up().await;
        publisher
    }

    async fn policy(&self, name: &str, rules: &[&str]) {
        let rule =
            |rule: &&str| NewRule { rule: (*rule).to_owned(), name: None, comment: String::new() };
        let request = PolicyRequest {
            name: name.to_owned(),
            rules: Some(rules.iter().map(rule).collect()),
            ..PolicyRequest::default()
        };
        self.engine.create_policy(request).await.unwrap();
    }

    /// The name of the one stream of actions that there is.
    fn instance(&self, prefix: &str) -> Option<String> {
        let nodes = self.bus.nodes().borrow().clone();
        let services: Vec<_> = nodes.iter().flat_map(|node| node.services.clone()).collect();
        services.iter().find_map(|name| name.strip_prefix(prefix)).map(str::to_owned)
    }
}

fn schema(tables: &[&str]) -> congress_bus::Schema {
    let column = Column {
        name: "id".to_owned(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    let table = |name: &&str| {
        Arc::new(TableSchema {
            name: (*name).to_owned(),
            columns: vec![column.clone()],
            root: None,
        })
    };
    tables.iter().map(table).collect()
}

fn rows(numbers: &[i64]) -> Vec<Row> {
    numbers.iter().map(|n| [Value::Int(*n)].into()).collect()
}

fn change(table: &str, added: &[i64], removed: &[i64]) -> Change {
    let delta = TableDelta { added: rows(added), removed: rows(removed) };
    Change { tables: vec![(table.into(), delta)] }
}

/// A follower of the stream, and all states that it has seen.
struct Seen {
    stream: Subscription,
    tables: BTreeSet<TableName>,
    now: BTreeMap<TableName, BTreeSet<String>>,
    /// Every state of the first table of actions; none where it was not published.
    history: Vec<Option<BTreeSet<String>>>,
    of: TableName,
}

impl Seen {
    fn follow(setting: &Setting, of: &ActionTable) -> Self {
        let source = format!("{SOURCE_PREFIX}{}", setting.instance(SOURCE_PREFIX).unwrap());
        let of = of.name();
        let tables: BTreeSet<TableName> =
            [TABLES.into(), POSITIONS.into(), REVISION.into(), of.clone()].into();
        let stream = setting.bus.subscribe("test", &source, tables.clone());
        Self { stream, tables, now: BTreeMap::new(), history: Vec::new(), of }
    }

    async fn until(&mut self, what: &str, condition: impl Fn(&Self) -> bool) {
        while !condition(self) {
            let update = tokio::time::timeout(SOON, self.stream.next()).await;
            let Ok(Some(update)) = update else { panic!("{what}: {:?}", self.now) };
            let texts = |rows: &[Row]| -> BTreeSet<String> {
                rows.iter().map(|row| format!("{row:?}")).collect()
            };
            match update {
                Update::Snapshot(snapshot) => {
                    let tables = snapshot.tables.iter();
                    self.now = tables.map(|(name, rows)| (name.clone(), texts(rows))).collect();
                }
                Update::Change(_, change) => {
                    for (name, delta) in &change.tables {
                        let known = self.now.entry(name.clone()).or_default();
                        let gone = texts(&delta.removed);
                        known.retain(|row| !gone.contains(row));
                        known.extend(texts(&delta.added));
                    }
                }
                Update::Gone => {}
            }
            assert!(self.now.keys().all(|name| self.tables.contains(name)));
            self.history.push(self.now.get(&self.of).cloned());
        }
    }

    fn actions(&self) -> Option<Vec<String>> {
        let rows = self.now.get(&self.of)?;
        Some(rows.iter().map(|row| row.replace("[Text(\"[", "").replace("]\")]", "")).collect())
    }
}

fn pause() -> ActionTable {
    ActionTable { policy: "p".into(), service: "nova".into(), action: "pause".into() }
}

const PAUSE: &str = "execute[nova:pause(x)] :- nova:vm(x), not other:spared(x)";

#[tokio::test(flavor = "multi_thread")]
async fn a_table_that_was_not_read_is_not_taken_for_an_empty_one() {
    let setting = setting().await;
    let nova = setting.datasource("nova", 1).await;
    nova.commit(change("vm", &[1, 2], &[]));
    setting.policy("p", &[PAUSE]).await;
    let mut seen = Seen::follow(&setting, &pause());
    seen.until("listed", |seen| seen.now.get(TABLES).is_some_and(|rows| rows.len() == 1)).await;
    assert_eq!(seen.actions(), None);

    // It is there, and its tables are known; that it has no rows is not.
    let other = setting.datasource("other", 2).await;
    other.commit(change("vm", &[7], &[]));
    nova.commit(change("vm", &[3], &[]));
    tokio::time::timeout(SOON, setting.engine.has_schemas()).await.unwrap();
    assert_eq!(setting.instance(COMPLETE_PREFIX), None);
    other.commit(change("spared", &[2], &[]));
    seen.until("complete", |seen| seen.actions().is_some()).await;
    seen.until("all read", |seen| seen.actions().is_some_and(|rows| rows == ["1", "3"])).await;
    nova.commit(change("vm", &[4], &[1]));
    seen.until("followed", |seen| seen.actions().is_some_and(|rows| rows == ["3", "4"])).await;
    let positions = |seen: &Seen| seen.now.get(POSITIONS).map_or(0, BTreeSet::len);
    seen.until("positions", |seen| positions(seen) == 2).await;

    // A publisher that is gone is no empty table.
    drop(nova);
    drop(other);
    // A datasource that is deleted is none either: neither do its rows go, nor do those come that
    // it had held back.
    setting.store.delete_datasource("other", At::Any).await.unwrap();
    setting.engine.catch_up().await;
    seen.until("incomplete", |seen| seen.actions().is_none()).await;
    let other = setting.datasource("other", 3).await;
    other.commit(change("spared", &[2, 4], &[]));
    seen.until("complete again", |seen| seen.actions().is_some()).await;
    assert_eq!(seen.actions().unwrap(), ["3"]);
    let wrong = |rows: &BTreeSet<String>| rows.iter().any(|row| row.contains("[2]"));
    assert!(!seen.history.iter().flatten().any(wrong), "{:?}", seen.history);
    let empty = |rows: &BTreeSet<String>| rows.is_empty();
    assert!(!seen.history.iter().flatten().any(empty), "{:?}", seen.history);
}

/// A successor publishes its tables' names before it has read them: rows stay until it has, and go
/// then.
#[tokio::test(flavor = "multi_thread")]
async fn rows_of_an_earlier_publisher_are_replaced_by_those_of_the_next() {
    let setting = setting().await;
    let epoch = |setting: &Setting| {
        let subscriptions = serde_json::to_value(setting.engine.subscriptions()).unwrap();
        subscriptions[0]["epoch"].as_u64()
    };
    let has_rows = async |expected: &[&str]| {
        let look = async {
            loop {
                let rows = setting.engine.rows("p", "seen").await.unwrap();
                let mut rows: Vec<_> =
                    rows.iter().map(|row| serde_json::to_string(row).unwrap()).collect();
                rows.sort();
                if rows == expected {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(SOON, look).await.unwrap();
    };
    let first = setting.datasource("nova", 1).await;
    setting.policy("p", &["seen(x) :- nova:vm(x)"]).await;
    first.commit(change("vm", &[1, 2], &[]));
    has_rows(&["[1]", "[2]"]).await;
    drop(first);
    let second = setting.bus.publish("nova", Epoch(2)).unwrap();
    second.declare(schema(&["vm", "spared"]), Change::default());
    let declared = async {
        while epoch(&setting) != Some(2) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, declared).await.unwrap();
    tokio::time::timeout(SOON, setting.engine.has_rows()).await.unwrap();
    has_rows(&["[1]", "[2]"]).await;
    second.commit(change("vm", &[2, 3], &[]));
    has_rows(&["[2]", "[3]"]).await;
    second.commit(change("vm", &[4], &[2]));
    has_rows(&["[3]", "[4]"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_and_its_rules_come_as_one() {
    let setting = setting().await;
    let nova = setting.datasource("nova", 1).await;
    nova.commit(change("vm", &[1, 2, 3], &[]));
    let rule = "execute[nova:pause(x)] :- nova:vm(x), not exempt:spared(x)";
    setting.policy("p", &[rule]).await;
    let mut seen = Seen::follow(&setting, &pause());
    seen.until("listed", |seen| seen.now.contains_key(TABLES)).await;
    // The policy that spares some is not there yet: nobody knows whom it spares.
    assert_eq!(seen.actions(), None);
    setting.policy("exempt", &["spared(1)", "spared(x) :- nova:vm(x), builtin:gt(x, 2)"]).await;
    seen.until("complete", |seen| seen.actions().is_some()).await;
    assert_eq!(seen.actions().unwrap(), ["2"]);
    let all = |rows: &BTreeSet<String>| rows.len() > 1;
    assert!(!seen.history.iter().flatten().any(all), "{:?}", seen.history);

    // A rule that waits for a schema makes what it might derive unknown.
    setting.engine.delete_policy("p").await.unwrap();
    seen.until("no rules", |seen| seen.now.get(TABLES).is_some_and(BTreeSet::is_empty)).await;
    assert_eq!(seen.actions(), None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_that_is_not_in_force_makes_its_table_incomplete() {
    let setting = setting().await;
    let nova = setting.datasource("nova", 1).await;
    nova.commit(change("vm", &[1, 2], &[]));
    let rules = ["execute[nova:pause(x)] :- nova:vm(x), not ok(x)", "ok(x) :- nova:spared(id=x)"];
    setting.policy("p", &rules).await;
    let mut seen = Seen::follow(&setting, &pause());
    nova.commit(change("spared", &[1], &[]));
    seen.until("complete", |seen| seen.actions().is_some_and(|rows| rows == ["2"])).await;
    // Another build of the driver has other columns: the rule does not fit any more.
    let mut column = schema(&["vm", "spared"]).to_vec();
    Arc::make_mut(&mut column[1]).columns[0].name = "uuid".to_owned();
    let mut both = change("vm", &[1, 2], &[]);
    both.tables.extend(change("spared", &[1], &[]).tables);
    nova.declare(column.into(), both);
    seen.until("incomplete", |seen| seen.actions().is_none()).await;
    let wrong = |rows: &BTreeSet<String>| rows.len() > 1;
    assert!(!seen.history.iter().flatten().any(wrong), "{:?}", seen.history);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_rule_stays_refused_whatever_is_said_of_it() {
    let setting = setting().await;
    let nova = setting.datasource("nova", 1).await;
    nova.commit(change("vm", &[1, 2], &[]));
    setting.policy("p", &["execute[nova:pause(x)] :- nova:vm(x), not ok(x)"]).await;
    let mut seen = Seen::follow(&setting, &pause());
    seen.until("complete", |seen| seen.actions().is_some_and(|rows| rows.len() == 2)).await;
    // Nobody's API takes such a rule; whoever wrote it to the database did.
    let text = "ok(x) :- ok(x)".to_owned();
    let bad = NewRule { rule: text.clone(), name: None, comment: String::new() };
    let bad = setting.store.insert_rules("p", vec![bad], At::Any).await.unwrap().value.remove(0);
    setting.engine.catch_up().await;
    seen.until("incomplete", |seen| seen.actions().is_none()).await;
    let told = seen.history.len();
    let patch = |patch: RulePatch| setting.engine.update_rule("p", &bad.id, patch);
    let comment = RulePatch { comment: Some("mine".to_owned()), ..RulePatch::default() };
    assert_eq!(patch(comment).await.unwrap().rule, text);
    let same = RulePatch { rule: Some(text), ..RulePatch::default() };
    assert_eq!(patch(same).await.unwrap().comment, "mine");
    // What comes after these was told after these.
    let right = RulePatch { rule: Some("ok(1)".to_owned()), ..RulePatch::default() };
    patch(right).await.unwrap();
    seen.until("complete", |seen| seen.actions().is_some_and(|rows| rows == ["2"])).await;
    let early = |rows: &Option<BTreeSet<String>>| rows.as_ref().is_some_and(|rows| rows.len() > 1);
    assert!(!seen.history[told..].iter().any(early), "{:?}", seen.history);
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_of_policies_are_published_while_somebody_subscribes() {
    let setting = setting().await;
    let nova = setting.datasource("nova", 1).await;
    nova.commit(change("vm", &[1, 2], &[]));
    let wait = async {
        while setting.instance(POLICIES_PREFIX).is_none() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, wait).await.unwrap();
    let source = format!("{POLICIES_PREFIX}{}", setting.instance(POLICIES_PREFIX).unwrap());
    let tables: BTreeSet<TableName> = ["p:big".into(), "p:nothing".into()].into();
    let mut stream = setting.bus.subscribe("test", &source, tables);
    // The policy comes later than its subscriber.
    setting.policy("p", &["big(x) :- nova:vm(x), builtin:gt(x, 1)"]).await;
    let mut known: Option<BTreeSet<String>> = None;
    let mut read = async |expected: &[&str]| {
        let expected: BTreeSet<String> = expected.iter().map(|row| (*row).to_owned()).collect();
        while known.as_ref() != Some(&expected) {
            let text = |row: &Row| format!("{row:?}");
            match tokio::time::timeout(SOON, stream.next()).await.unwrap().unwrap() {
                Update::Snapshot(snapshot) => {
                    let table = snapshot.tables.iter().find(|(name, _)| **name == *"p:big");
                    known = table.map(|(_, rows)| rows.iter().map(text).collect());
                }
                Update::Change(_, change) => {
                    let known = known.as_mut().unwrap();
                    for (_, delta) in &change.tables {
                        let gone: Vec<String> = delta.removed.iter().map(text).collect();
                        known.retain(|row| !gone.contains(row));
                        known.extend(delta.added.iter().map(text));
                    }
                }
                Update::Gone => {}
            }
        }
    };
    read(&["[Int(2)]"]).await;
    nova.commit(change("vm", &[5], &[2]));
    read(&["[Int(5)]"]).await;
    drop(stream);
    let unwatched = async {
        while setting.engine.inner.published.watches() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(SOON, unwatched).await.unwrap();
}

/// Whoever carries out actions begins with the state of the database: an engine must not seem to be
/// behind its own writes.
#[tokio::test(flavor = "multi_thread")]
async fn the_revision_of_an_own_write_is_published() {
    let setting = setting().await;
    setting.datasource("nova", 1).await.commit(change("vm", &[1], &[]));
    setting.policy("p", &["execute[nova:pause(x)] :- nova:vm(x)"]).await;
    let mut seen = Seen::follow(&setting, &pause());
    for number in 1..4 {
        let text = format!("execute[nova:pause({number})] :- nova:vm({number})");
        let rule = NewRule { rule: text, name: None, comment: String::new() };
        setting.engine.insert_rule("p", rule).await.unwrap();
        let revision = setting.store.revision().await.unwrap().0.to_string();
        let is_that = |row: &String| row.contains(&revision);
        let published =
            |seen: &Seen| seen.now.get(REVISION).is_some_and(|rows| rows.iter().any(is_that));
        seen.until("the revision", published).await;
    }
}
