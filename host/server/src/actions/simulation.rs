//! Many nodes and engines in one thread, with a clock, a ledger and a world of their own, all
//! drawn from a seed: jobs fail before and after they have had their effect, nodes die or sleep at
//! any step, engines lag, restart and are exchanged, rows and rules come and go.
//!
//! At the end of each run, when all is quiet again: no action was run more often than its row
//! appeared; what is there is in the ledger, ended; what is done was run; and what did not run, or
//! perhaps did, is listed as such.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Epoch, Position, Snapshot, Update};
use congress_store::{ActionKey, ActionRecord, ActionState, Begin, Outcome};
use congress_table::{Change, Row, Table, Value};

use super::agenda::{Agenda, Found, Job, Options, Readiness};
use super::mirror::Id;
use super::stream::{ActionTable, POSITIONS, REVISION, TABLES};

/// How many seeds are run. A failing one prints itself.
const SEEDS: u64 = 3_000;

/// How many steps have faults in them.
const STEPS: usize = 400;

struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n as u64) as usize
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }
}

fn table(action: &str) -> ActionTable {
    ActionTable { policy: "p".into(), service: "s".into(), action: action.into() }
}

fn key(action: &str, row: i64) -> ActionKey {
    let text = |text: &str| text.to_owned();
    ActionKey {
        policy: text("p"),
        service: text("s"),
        action: text(action),
        args: format!("[{row}]"),
    }
}

/// The ledger as `congress_store` keeps it, and the lease.
#[derive(Default)]
struct Ledger {
    term: u64,
    entries: BTreeMap<String, ActionRecord>,
}

impl Ledger {
    fn begin(&mut self, key: &ActionKey, term: u64, again: Option<&[ActionState]>) -> Begin {
        let id = key.id();
        let new = ActionRecord {
            id: id.clone(),
            key: key.clone(),
            present: true,
            state: ActionState::Running,
            attempts: 1,
            term,
            instance: "i".to_owned(),
            requested_at: time::OffsetDateTime::UNIX_EPOCH,
            finished_at: None,
            error: None,
        };
        match self.entries.get(&id) {
            Some(known) => {
                let begins = match again {
                    Some(states) => states.contains(&known.state),
                    None => !known.present && known.state != ActionState::Running,
                };
                if !begins {
                    return Begin::Known(known.clone());
                }
            }
            None => assert!(again.is_none(), "only what is known is begun again"),
        }
        self.entries.insert(id.clone(), new);
        Begin::Begun { id }
    }

    fn finish(&mut self, id: &str, outcome: &Outcome, term: u64) {
        let Some(entry) = self.entries.get_mut(id) else { return };
        if entry.state == ActionState::Running && entry.term == term {
            entry.state = match outcome {
                Outcome::Done => ActionState::Done,
                Outcome::Failed(_) => ActionState::Failed,
                Outcome::Unknown(_) => ActionState::Unknown,
            };
        }
    }

    fn gone(&mut self, id: &str) {
        if let Some(entry) = self.entries.get_mut(id) {
            entry.present = false;
        }
    }

    fn abandon(&mut self) {
        let term = self.term;
        for entry in self.entries.values_mut() {
            if entry.state == ActionState::Running && entry.term != term {
                entry.state = ActionState::Unknown;
            }
        }
    }

    /// None if the lease has gone to another.
    fn perform(&mut self, job: &Job, term: u64) -> Option<Found> {
        if term != self.term {
            return None;
        }
        Some(match job {
            Job::Finish(outcomes) => {
                outcomes.iter().for_each(|(id, outcome)| self.finish(id, outcome, term));
                Found::Nothing
            }
            Job::Gone(ids) => {
                ids.iter().for_each(|id| self.gone(id));
                Found::Nothing
            }
            Job::Lapse(lapses) => {
                for lapse in lapses {
                    self.begin(&lapse.key, term, None);
                    self.finish(&lapse.id, &Outcome::Failed(lapse.reason.clone()), term);
                    if lapse.gone {
                        self.gone(&lapse.id);
                    }
                }
                Found::Nothing
            }
            Job::Tables => {
                let present = self.entries.values().filter(|entry| entry.present);
                let tables: BTreeSet<_> = present.map(|entry| table(&entry.key.action)).collect();
                Found::Tables(tables.into_iter().collect())
            }
            Job::Load(of) => {
                let entries = self.entries.values();
                let present = entries.filter(|e| e.present && *e.key.action == *of.action);
                Found::Present(present.map(|entry| Id::from(&*entry.id)).collect())
            }
            Job::Failed => {
                let failed = |e: &&ActionRecord| e.present && e.state == ActionState::Failed;
                Found::Records(self.entries.values().filter(failed).cloned().collect())
            }
            Job::Begin(batch) => {
                Found::Begun(batch.iter().map(|(_, key)| self.begin(key, term, None)).collect())
            }
            Job::Retry(_, key) => {
                Found::Begun(vec![self.begin(key, term, Some(&[ActionState::Failed]))])
            }
            Job::Repeat(..) => unreachable!("no operator is about"),
        })
    }
}

/// What an engine publishes.
#[derive(Clone, Default, PartialEq)]
struct View {
    tables: BTreeMap<String, Table>,
}

impl View {
    fn snapshot(&self, sequence: u64) -> Update {
        let rows = |table: &Table| table.rows().cloned().collect::<Vec<Row>>();
        let tables = self.tables.iter().map(|(name, table)| (name.as_str().into(), rows(table)));
        Update::Snapshot(Snapshot {
            position: Position { epoch: Epoch(1), sequence },
            schema: Default::default(),
            tables: tables.collect(),
        })
    }

    /// None if another snapshot must tell it, for there are other tables.
    fn change_to(&self, new: &View, sequence: u64) -> Option<Update> {
        if !self.tables.keys().eq(new.tables.keys()) {
            return None;
        }
        let tables = self.tables.iter().zip(new.tables.values());
        let deltas =
            tables.map(|((name, old), new)| (name.as_str().into(), old.difference_to(new)));
        let change = Change { tables: deltas.collect() };
        Some(Update::Change(Position { epoch: Epoch(1), sequence }, Arc::new(change)))
    }
}

/// The one datasource's publications, in order; the stream of each epoch goes on from the last.
type Published = Vec<(Position, BTreeSet<i64>)>;

struct Engine {
    /// How much of the publications it has read; none since it started.
    read: Option<usize>,
    revision: i64,
    /// What it publishes, and what a follower has not had yet.
    view: View,
    sequence: u64,
    queue: Vec<Update>,
}

impl Engine {
    fn publish(&mut self, published: &Published) {
        let mut view = View::default();
        let bool_row = |action: &str, complete: bool, sources: &str| -> Row {
            let text = |text: &str| Value::text(text);
            [text("p"), text("s"), text(action), Value::Bool(complete), text(sources)].into()
        };
        let mut listed = Table::new();
        listed.insert(bool_row("rows", self.read.is_some(), "[\"s\"]"));
        let mut actions = |action: &str, rows: &BTreeSet<i64>| {
            let rows = rows.iter().map(|row| [Value::text(format!("[{row}]"))].into()).collect();
            view.tables.insert(table(action).name().to_string(), rows);
        };
        if let Some((_, rows)) = self.read.and_then(|read| published.get(read)) {
            actions("rows", rows);
        }
        // The second table has rows of its own, and a rule at every other revision.
        if self.revision % 2 == 1 {
            listed.insert(bool_row("rule", true, "[]"));
            actions("rule", &BTreeSet::from([1, 2, 3]));
        }
        view.tables.insert(TABLES.to_owned(), listed);
        let mut positions = Table::new();
        if let Some((at, _)) = self.read.and_then(|read| published.get(read)) {
            let number = |number: u64| Value::Int(number as i64);
            let row = [Value::text("s"), number(at.epoch.0), number(at.sequence)];
            positions.insert(row.into());
        }
        view.tables.insert(POSITIONS.to_owned(), positions);
        let revision = [[Value::Int(self.revision)].into()];
        view.tables.insert(REVISION.to_owned(), revision.into_iter().collect());
        if view == self.view {
            return;
        }
        self.sequence += 1;
        let change = self.view.change_to(&view, self.sequence);
        self.queue.push(change.unwrap_or_else(|| view.snapshot(self.sequence)));
        self.view = view;
    }
}

/// How far an action has come that a node runs.
#[derive(Clone, Copy, PartialEq)]
enum Run {
    Begun,
    /// The lease was looked at.
    Sent,
    /// The service has done it.
    Happened,
}

struct Node {
    term: u64,
    agenda: Agenda,
    following: Option<usize>,
    job: Option<Job>,
    runs: Vec<(Id, Arc<ActionKey>, Run)>,
}

struct World {
    random: Random,
    rows: BTreeSet<i64>,
    database: i64,
    published: Published,
    /// How often each row appeared in what was published, or by its rule.
    appeared: HashMap<String, usize>,
    ran: HashMap<String, usize>,
    ledger: Ledger,
    engines: Vec<Engine>,
    node: Option<Node>,
    /// A node that sleeps, believing what it believed.
    sleeping: Option<Node>,
    now: Duration,
    retry: bool,
    faults: bool,
}

impl World {
    fn new(seed: u64) -> Self {
        let mut random = Random(seed);
        let engine = |_| Engine {
            read: None,
            revision: 0,
            view: View::default(),
            sequence: 0,
            queue: Vec::new(),
        };
        let engines = (0..1 + random.below(3)).map(engine).collect();
        let retry = random.one_in(2);
        Self {
            random,
            rows: BTreeSet::new(),
            database: 0,
            published: Vec::new(),
            appeared: HashMap::new(),
            ran: HashMap::new(),
            ledger: Ledger::default(),
            engines,
            node: None,
            sleeping: None,
            now: Duration::ZERO,
            retry,
            faults: true,
        }
    }

    /// The active node publishes what it has polled.
    fn poll(&mut self) {
        let Some(node) = &self.node else { return };
        let epoch = Epoch::in_term(node.term, 1);
        let last = self.published.last();
        let before = last.map(|(_, rows)| rows.clone()).unwrap_or_default();
        if before == self.rows && last.is_some_and(|(at, _)| at.epoch == epoch) {
            return;
        }
        for row in self.rows.difference(&before) {
            *self.appeared.entry(key("rows", *row).id()).or_default() += 1;
        }
        let sequence = last.map_or(0, |(at, _)| at.sequence) + 1;
        self.published.push((Position { epoch, sequence }, self.rows.clone()));
    }

    fn take_over(&mut self) {
        self.ledger.term += 1;
        let term = self.ledger.term;
        self.ledger.abandon();
        let retry = self.retry.then_some(Some(Duration::from_secs(20)));
        let start_wait = Duration::from_secs(3);
        let options = Options { retry, of_one: 2, start_wait, ..Options::default() };
        let agenda = Agenda::new(options, term, "i", self.database);
        self.node = Some(Node { term, agenda, following: None, job: None, runs: Vec::new() });
    }

    fn step(&mut self) {
        self.now += Duration::from_millis(100);
        if self.faults {
            match self.random.below(12) {
                0..=2 => {
                    let row = self.random.below(6) as i64;
                    if !self.rows.remove(&row) {
                        self.rows.insert(row);
                    }
                }
                3 => {
                    self.database += 1;
                    if self.database % 2 == 1 {
                        for row in 1..=3 {
                            *self.appeared.entry(key("rule", row).id()).or_default() += 1;
                        }
                    }
                }
                4 if self.random.one_in(3) => self.node = None,
                5 if self.random.one_in(3) && self.sleeping.is_none() => {
                    self.sleeping = self.node.take();
                }
                6 if self.random.one_in(3) => {
                    let at = self.random.below(self.engines.len());
                    let revision = self.engines[at].revision;
                    self.engines[at].read = None;
                    self.engines[at].revision = revision.max(self.database - 1);
                    if let Some(node) = &mut self.node
                        && node.following == Some(at)
                    {
                        node.following = None;
                        node.agenda.switch();
                    }
                }
                _ => {}
            }
        }
        if self.node.is_none() && (!self.faults || self.random.one_in(4)) {
            self.take_over();
        }
        if !self.faults || self.random.one_in(2) {
            self.poll();
        }
        for at in 0..self.engines.len() {
            self.engine_reads(at);
        }
        if let Some(node) = self.node.take() {
            self.node = self.node_steps(node, true);
        }
        if (!self.faults || self.random.one_in(6))
            && let Some(node) = self.sleeping.take()
        {
            // It wakes, does what it was about to do, and sees that it is no longer the one.
            let lost = node.term != self.ledger.term;
            let node = self.node_steps(node, false);
            self.sleeping = node.filter(|node| !lost || !node.runs.is_empty());
        }
    }

    fn engine_reads(&mut self, at: usize) {
        let engine = &mut self.engines[at];
        if (!self.faults || self.random.one_in(3)) && !self.published.is_empty() {
            let last = self.published.len() - 1;
            engine.read = Some(match engine.read {
                // A snapshot skips what was in between.
                None => last,
                Some(_) if self.random.one_in(4) => last,
                Some(read) => (read + 1).min(last),
            });
        }
        if !self.faults || self.random.one_in(3) {
            engine.revision = (engine.revision + 1).min(self.database);
        }
        engine.publish(&self.published);
    }

    /// None if the node has ended.
    fn node_steps(&mut self, mut node: Node, awake: bool) -> Option<Node> {
        let (now, term) = (self.now, node.term);
        let floors = |_: &str| Some(Epoch::in_term(term, 1));
        if awake {
            // Which engine is followed changes for no reason at all.
            let change = node.following.is_none() || self.faults && self.random.one_in(15);
            if change {
                let engine = self.random.below(self.engines.len());
                node.following = Some(engine);
                node.agenda.switch();
                let engine = &mut self.engines[engine];
                engine.queue = vec![engine.view.snapshot(engine.sequence)];
            }
            if let Some(at) = node.following {
                let engine = &mut self.engines[at];
                if self.faults && self.random.one_in(10) {
                    engine.queue = vec![engine.view.snapshot(engine.sequence)];
                }
                let count = engine.queue.len();
                let count = if self.faults { self.random.below(count + 1) } else { count };
                for update in engine.queue.drain(..count) {
                    node.agenda.hear(&update, &floors, now);
                }
            }
            node.agenda.look(&floors, now);
        }
        // The ledger.
        let down = self.faults && self.random.one_in(8);
        let ready = |_: &str| match down {
            true => Readiness::Stopped("down".to_owned()),
            false => Readiness::Runs,
        };
        if node.job.is_none() {
            node.job = node.agenda.job(&ready, now);
        } else if let Some(job) = node.job.take() {
            let fault = if self.faults { self.random.below(8) } else { 7 };
            if fault == 0 {
                node.agenda.failed(job, now);
            } else {
                let found = self.ledger.perform(&job, term)?;
                match fault {
                    // The answer is lost, and perhaps the node.
                    1 => node.agenda.failed(job, now),
                    2 if self.random.one_in(4) => return None,
                    _ => node.agenda.done(job, found, now),
                }
            }
        }
        // The actions.
        let begun = node.agenda.to_run().into_iter();
        node.runs.extend(begun.map(|(id, key)| (id, key, Run::Begun)));
        let mut runs = std::mem::take(&mut node.runs);
        for at in (0..runs.len()).rev() {
            if self.faults && self.random.one_in(3) {
                continue;
            }
            let chance = if self.faults { self.random.below(6) } else { 5 };
            let (id, run) = (runs[at].0.clone(), runs[at].2);
            match run {
                // The lease is provably held as long as nobody else can have it.
                Run::Begun if term != self.ledger.term => drop(runs.swap_remove(at)),
                Run::Begun => runs[at].2 = Run::Sent,
                Run::Sent => match chance {
                    0 => {
                        node.agenda.ran(id, Outcome::Failed("refused".to_owned()));
                        runs.swap_remove(at);
                    }
                    1 => {
                        node.agenda.ran(id, Outcome::Unknown("too slow".to_owned()));
                        runs.swap_remove(at);
                    }
                    _ => {
                        *self.ran.entry(id.to_string()).or_default() += 1;
                        runs[at].2 = Run::Happened;
                    }
                },
                Run::Happened => {
                    node.agenda.ran(id, Outcome::Done);
                    runs.swap_remove(at);
                }
            }
        }
        node.runs = runs;
        Some(node)
    }

    fn settle(&mut self) {
        self.faults = false;
        let mut calm = 0;
        for _ in 0..2_000 {
            self.step();
            let idle = |node: &Node| {
                node.job.is_none() && node.agenda.busy() == 0 && node.agenda.waiting() == 0
            };
            let read = self.published.len().checked_sub(1);
            let current = |e: &Engine| e.read == read && e.revision == self.database;
            // A retry may be to come: it is not waited for.
            if self.engines.iter().all(current)
                && self.node.as_ref().is_some_and(|n| idle(n) && n.agenda.due().is_none())
                && self.sleeping.is_none()
            {
                calm += 1;
            } else {
                calm = 0;
            }
            // Whatever waits in the agenda would have been begun.
            if calm > 50 {
                return;
            }
        }
        panic!("it does not come to rest");
    }

    fn check(&self) {
        for (id, ran) in &self.ran {
            let appeared = self.appeared.get(id).copied().unwrap_or_default();
            let entry = &self.ledger.entries[id];
            assert!(*ran <= appeared, "ran {ran} times, appeared {appeared} times: {entry:?}");
        }
        let mut there: BTreeSet<String> =
            self.rows.iter().map(|row| key("rows", *row).id()).collect();
        if self.database % 2 == 1 {
            there.extend((1..=3).map(|row| key("rule", row).id()));
        }
        for id in &there {
            let entry = self.ledger.entries.get(id);
            assert!(entry.is_some_and(|entry| entry.present), "not listed: {id} {entry:?}");
        }
        for (id, entry) in &self.ledger.entries {
            assert_eq!(entry.present, there.contains(id), "{entry:?}");
            assert_ne!(entry.state, ActionState::Running, "{entry:?}");
            let ran = self.ran.get(id).copied().unwrap_or_default();
            assert!(entry.state != ActionState::Done || ran > 0, "said to be done: {entry:?}");
        }
    }
}

thread_local! {
    static SEED: RefCell<u64> = const { RefCell::new(0) };
}

/// Says the seed if the test fails.
struct Say;

impl Drop for Say {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("seed {}", SEED.with_borrow(|seed| *seed));
        }
    }
}

/// Runs every n-th seed; gives how many actions ran, and how many the ledgers list in each state.
fn run_seeds(first: u64, step: usize) -> (usize, BTreeMap<&'static str, usize>) {
    let _say = Say;
    let (mut ran, mut listed) = (0, BTreeMap::new());
    for seed in (first..SEEDS).step_by(step) {
        SEED.set(seed);
        let mut world = World::new(seed);
        (0..STEPS).for_each(|_| world.step());
        world.settle();
        world.check();
        ran += world.ran.values().sum::<usize>();
        for entry in world.ledger.entries.values() {
            *listed.entry(entry.state.name()).or_insert(0) += 1;
        }
    }
    (ran, listed)
}

#[test]
fn whatever_fails_each_action_runs_once_at_most_and_is_listed() {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let parts: Vec<_> = std::thread::scope(|scope| {
        let run = |first| scope.spawn(move || run_seeds(first, threads));
        let running: Vec<_> = (0..threads as u64).map(run).collect();
        running.into_iter().map(|part| part.join().unwrap()).collect()
    });
    let ran: usize = parts.iter().map(|(ran, _)| ran).sum();
    let mut listed = BTreeMap::new();
    for (state, count) in parts.iter().flat_map(|(_, listed)| listed) {
        *listed.entry(state).or_insert(0) += count;
    }
    println!("{SEEDS} seeds: {ran} actions ran; the ledgers list {listed:?}");
    assert!(ran > SEEDS as usize && listed.len() == 3, "nothing much has happened");
}
