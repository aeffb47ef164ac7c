//! What is to be done about actions, step by step, apart from any input and output: no clock, no
//! database, no bus. Whoever drives it hands it what the followed engine publishes and how jobs
//! ended, and does what it says.
//!
//! There is one job on the ledger at a time. An action is begun in the ledger before it is run, a
//! row's going is entered before its return is begun, and an outcome before anything else. So a
//! process that dies at any step leaves behind what its successor needs to know.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use congress_bus::Update;
use congress_store::{ActionKey, ActionRecord, ActionState, Begin, Outcome};

use super::lapses::{Lapse, Lapses};
use super::mirror::{Event, Floors, Id, Mirror};
use super::stream::ActionTable;

/// How actions are run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// False: what would be done is said, and nothing is begun.
    pub enabled: bool,
    /// Whether actions that failed are run again, and for how long: none is for ever.
    pub retry: Option<Option<Duration>>,
    /// The most actions of one datasource that run at a time.
    pub of_one: usize,
    /// The most that run at a time.
    pub at_once: usize,
    /// How long an action waits for its datasource to run before it is taken to have failed.
    pub start_wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            enabled: true,
            retry: None,
            of_one: 4,
            at_once: 32,
            start_wait: Duration::from_secs(120),
        }
    }
}

/// How long an action waits for a datasource that nobody knows before it is taken to have failed.
const ABSENT_WAIT: Duration = Duration::from_secs(5);

/// The most actions that one job concerns.
const BATCH: usize = 64;

/// The most actions of a datasource that are looked at, at a time, for one that may be begun.
const LOOKED_AT: usize = 1_000;

/// The first pause before an action that failed is run again; it doubles.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// How a datasource stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Readiness {
    /// It runs here.
    Runs,
    /// It does not, and why.
    Stopped(String),
    /// There is none.
    Absent,
}

/// A time, since whatever the driver counts from. Monotonic.
pub type Now = Duration;

/// Something to be done with the ledger. [`Agenda::done`] or [`Agenda::failed`] must follow.
#[derive(Clone, Debug, PartialEq)]
pub enum Job {
    /// Enter how actions ended.
    Finish(Vec<(Id, Outcome)>),
    /// Enter that rows have gone.
    Gone(Vec<Id>),
    /// Enter actions that have not been run, and will not be, as failed.
    Lapse(Vec<Lapse>),
    /// Read the tables that have entries whose row is there.
    Tables,
    /// Read the ids of a table's entries whose row is there.
    Load(ActionTable),
    /// Read the entries that have failed and whose row is there.
    Failed,
    /// Begin actions.
    Begin(Vec<(Id, Arc<ActionKey>)>),
    /// Begin an action again that has failed.
    Retry(Id, Arc<ActionKey>),
    /// Begin an action again, whatever became of it, because an operator wants it.
    Repeat(Id, Arc<ActionKey>),
}

/// What a job found.
#[derive(Clone, Debug)]
pub enum Found {
    /// Nothing to tell.
    Nothing,
    /// For [`Job::Tables`].
    Tables(Vec<ActionTable>),
    /// For [`Job::Load`].
    Present(BTreeSet<Id>),
    /// For [`Job::Failed`].
    Records(Vec<ActionRecord>),
    /// For those that begin, in order.
    Begun(Vec<Begin>),
}

/// Why an action waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Why {
    Row,
    Retry,
    Operator,
}

struct Pending {
    key: Arc<ActionKey>,
    since: Now,
    why: Why,
    /// Its place in its queue; older places are void.
    place: u64,
}

/// An action that failed and is to be run again.
struct Again {
    key: Arc<ActionKey>,
    first: Now,
    pause: Duration,
    due: Now,
    /// It is on its way.
    queued: bool,
}

/// See the module.
pub struct Agenda {
    options: Options,
    /// Who begins: term and instance.
    owner: (u64, String),
    mirror: Mirror,
    pending: HashMap<Id, Pending>,
    /// By datasource, oldest first.
    queues: BTreeMap<Arc<str>, VecDeque<(u64, Id)>>,
    places: u64,
    /// The datasource to look at first next time.
    turn: usize,
    /// From begin to the entry of the outcome, and of which datasource.
    busy: HashMap<Id, (Arc<ActionKey>, Arc<str>)>,
    busy_of: HashMap<Arc<str>, usize>,
    /// Begun, to be run.
    to_run: Vec<(Id, Arc<ActionKey>)>,
    ended: Vec<(Id, Outcome)>,
    gone: BTreeSet<Id>,
    lapses: Lapses,
    tables: bool,
    loads: BTreeSet<ActionTable>,
    failed: bool,
    again: HashMap<Id, Again>,
    /// What was said, where nothing is done.
    said: HashSet<Id>,
    to_say: Vec<Arc<ActionKey>>,
}

impl Agenda {
    /// Of the process that holds the lease in a term. Nothing is acted upon that is older than this
    /// revision of the database.
    pub fn new(options: Options, term: u64, instance: &str, revision: i64) -> Self {
        let failed = options.enabled && options.retry.is_some();
        Self {
            options,
            owner: (term, instance.to_owned()),
            mirror: Mirror::new(revision),
            pending: HashMap::new(),
            queues: BTreeMap::new(),
            places: 0,
            turn: 0,
            busy: HashMap::new(),
            busy_of: HashMap::new(),
            to_run: Vec::new(),
            ended: Vec::new(),
            gone: BTreeSet::new(),
            lapses: Lapses::default(),
            tables: false,
            loads: BTreeSet::new(),
            failed,
            again: HashMap::new(),
            said: HashSet::new(),
            to_say: Vec::new(),
        }
    }

    /// Another engine is followed from now on, or none.
    pub fn switch(&mut self) {
        self.mirror.switch();
    }

    /// The followed engine publishes something.
    pub fn hear(&mut self, update: &Update, floors: Floors<'_>, now: Now) {
        let events = self.mirror.apply(update, floors);
        self.take(events, now);
    }

    /// To be called now and then, and when the datasources that run here have changed.
    pub fn look(&mut self, floors: Floors<'_>, now: Now) {
        let events = self.mirror.review(floors);
        self.take(events, now);
    }

    /// An operator wants an action run (again). False if it runs or waits already.
    pub fn repeat(&mut self, id: Id, key: Arc<ActionKey>, now: Now) -> bool {
        let free = !self.busy.contains_key(&id) && !self.pending.contains_key(&id);
        if free {
            self.again.remove(&id);
            self.enqueue(id, key, Why::Operator, now);
        }
        free
    }

    /// What would be done, if it were, since the last time.
    pub fn to_say(&mut self) -> Vec<Arc<ActionKey>> {
        std::mem::take(&mut self.to_say)
    }

    /// Actions that have been begun and are to be run now. [`Agenda::ran`] must follow for each.
    pub fn to_run(&mut self) -> Vec<(Id, Arc<ActionKey>)> {
        std::mem::take(&mut self.to_run)
    }

    /// How an action ended.
    pub fn ran(&mut self, id: Id, outcome: Outcome) {
        self.ended.push((id, outcome));
    }

    /// How many actions run, or have not been entered as ended.
    pub fn busy(&self) -> usize {
        self.busy.len()
    }

    /// How many wait.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// When something becomes due by time alone, if anything does.
    pub fn due(&self) -> Option<Now> {
        self.again.values().filter(|again| !again.queued).map(|again| again.due).min()
    }

    /// Whether actions are run at all.
    pub fn enabled(&self) -> bool {
        self.options.enabled
    }

    /// The tables that the followed engine publishes.
    pub fn published(&self) -> impl Iterator<Item = &ActionTable> {
        self.mirror.published()
    }

    /// What is left to enter before the end.
    pub fn last_job(&mut self) -> Option<Job> {
        let ended = std::mem::take(&mut self.ended);
        (!ended.is_empty()).then_some(Job::Finish(ended))
    }

    /// The next job, if there is one.
    pub fn job(&mut self, ready: &dyn Fn(&str) -> Readiness, now: Now) -> Option<Job> {
        if !self.ended.is_empty() {
            let count = self.ended.len().min(BATCH);
            return Some(Job::Finish(self.ended.drain(..count).collect()));
        }
        if !self.gone.is_empty() {
            let count = self.gone.len().min(BATCH);
            let batch = std::iter::from_fn(|| self.gone.pop_first()).take(count).collect();
            return Some(Job::Gone(batch));
        }
        if !self.lapses.is_empty() {
            return Some(Job::Lapse(self.lapses.take(BATCH)));
        }
        if std::mem::take(&mut self.tables) {
            return Some(Job::Tables);
        }
        if let Some(table) = self.loads.pop_first() {
            return Some(Job::Load(table));
        }
        if std::mem::take(&mut self.failed) {
            return Some(Job::Failed);
        }
        self.begin(ready, now)
    }

    /// A job was done.
    pub fn done(&mut self, job: Job, found: Found, now: Now) {
        match (job, found) {
            (Job::Finish(outcomes), _) => {
                outcomes.into_iter().for_each(|(id, outcome)| self.finished(id, outcome, now));
            }
            (Job::Tables, Found::Tables(tables)) => {
                let old = tables.into_iter();
                self.loads.extend(old.filter(|table| self.mirror.has_rules(table) == Some(false)));
            }
            (Job::Load(table), Found::Present(ledger)) => {
                if let Some(events) = self.mirror.compare(&table, &ledger) {
                    self.lapse_strangers(&table);
                    self.take(events, now);
                }
            }
            (Job::Failed, Found::Records(records)) => {
                for record in records {
                    let id: Id = record.id.as_str().into();
                    self.schedule(id, Arc::new(record.key), now, now);
                }
            }
            (Job::Begin(batch), Found::Begun(begun)) => {
                for ((id, key), begin) in batch.into_iter().zip(begun) {
                    self.begun(id, key, begin);
                }
            }
            (Job::Retry(id, key) | Job::Repeat(id, key), Found::Begun(begun)) => {
                begun.into_iter().take(1).for_each(|begin| {
                    self.begun(id.clone(), key.clone(), begin);
                });
            }
            _ => {}
        }
    }

    /// A job was not done, or nobody knows whether it was: it is tried again.
    pub fn failed(&mut self, job: Job, now: Now) {
        match job {
            Job::Finish(mut outcomes) => {
                outcomes.append(&mut self.ended);
                self.ended = outcomes;
            }
            Job::Gone(ids) => self.gone.extend(ids),
            Job::Lapse(lapses) => self.lapses.put_back(lapses, &mut self.gone),
            Job::Tables => self.tables = true,
            Job::Load(table) => drop(self.loads.insert(table)),
            Job::Failed => self.failed = true,
            Job::Begin(batch) => {
                for (id, key) in batch.into_iter().rev() {
                    self.unknown_begin(id, key, Why::Row, now);
                }
            }
            Job::Retry(id, key) => self.unknown_begin(id, key, Why::Retry, now),
            Job::Repeat(id, key) => self.unknown_begin(id, key, Why::Operator, now),
        }
    }

    /// An action may have been begun or not, and has not been run.
    fn unknown_begin(&mut self, id: Id, key: Arc<ActionKey>, why: Why, now: Now) {
        self.release(&id);
        let went = self.gone.remove(&id);
        let waits = self.pending.contains_key(&id);
        let there = why != Why::Row || self.mirror.has(&key, &id);
        if went || !there && !waits {
            // Entered as not run first: if its row has come back, that is begun as another.
            let reason = "not run: its row went before it could be".to_owned();
            let (id, key) = (id.clone(), key.clone());
            self.lapses.push(Lapse { id, key, reason, gone: true });
        }
        let again = match why {
            Why::Row => !went && there,
            Why::Retry => !went,
            Why::Operator => true,
        };
        if again && !waits {
            self.enqueue_first(id, key, why, now);
        }
    }

    /// A job cannot be done, and is not tried again: the ledger does not have what it is about.
    pub fn void(&mut self, job: Job) {
        if let Job::Retry(id, _) | Job::Repeat(id, _) = job {
            self.release(&id);
            self.again.remove(&id);
        }
    }

    fn take(&mut self, events: Vec<Event>, now: Now) {
        for event in events {
            match event {
                Event::Came(id, key) => self.came(id, key, now),
                Event::Went(id) => self.went(id),
                Event::Compare(table) => drop(self.loads.insert(table)),
                Event::CompareTables => self.tables = true,
            }
        }
    }

    fn came(&mut self, id: Id, key: Arc<ActionKey>, now: Now) {
        if let Err(reason) = key.check() {
            // The ledger would refuse it for ever, and with it all others.
            if self.said.insert(id) {
                tracing::error!(policy = %key.policy, %reason, "an action is never run");
            }
            return;
        }
        if !self.options.enabled {
            if self.said.insert(id) {
                self.to_say.push(key);
            }
            return;
        }
        match self.pending.get_mut(&id) {
            // Its going is entered, so that beginning it begins it again: once is enough.
            Some(pending) => pending.why = Why::Row,
            None => self.enqueue(id, key, Why::Row, now),
        }
    }

    fn went(&mut self, id: Id) {
        self.said.remove(&id);
        self.again.remove(&id);
        match self.pending.get(&id).map(|pending| pending.why) {
            // What an operator wants does not depend on the row.
            Some(Why::Operator) | None => {
                if !self.lapses.went(&id) {
                    self.gone.insert(id);
                }
            }
            Some(Why::Retry) => {
                self.pending.remove(&id);
                self.gone.insert(id);
            }
            Some(Why::Row) => {
                let Some(Pending { key, .. }) = self.pending.remove(&id) else { return };
                if self.busy.contains_key(&id) {
                    // It came back and went again while it ran; the ledger has one entry for both.
                    tracing::warn!(
                        policy = %key.policy, service = %key.service, action = %key.action,
                        row = %key.args, "the row came back and went again while its action ran; \
                        the action was run once"
                    );
                    self.gone.insert(id);
                } else {
                    let reason = "not run: its row went before it could be".to_owned();
                    self.lapses.push(Lapse { id, key, reason, gone: true });
                }
            }
        }
    }

    /// What waits for rows of a table that are not there, from the time of another engine.
    fn lapse_strangers(&mut self, table: &ActionTable) {
        let strangers: Vec<Id> = self
            .pending
            .iter()
            .filter(|(id, pending)| {
                pending.why != Why::Operator
                    && super::mirror::table_of(&pending.key) == *table
                    && !self.mirror.has(&pending.key, id)
            })
            .map(|(id, _)| id.clone())
            .collect();
        strangers.into_iter().for_each(|id| self.went(id));
    }

    fn enqueue(&mut self, id: Id, key: Arc<ActionKey>, why: Why, now: Now) {
        self.places += 1;
        let queue = self.queues.entry((&*key.service).into()).or_default();
        queue.push_back((self.places, id.clone()));
        self.pending.insert(id, Pending { key, since: now, why, place: self.places });
    }

    fn enqueue_first(&mut self, id: Id, key: Arc<ActionKey>, why: Why, now: Now) {
        self.places += 1;
        let queue = self.queues.entry((&*key.service).into()).or_default();
        queue.push_front((self.places, id.clone()));
        self.pending.insert(id, Pending { key, since: now, why, place: self.places });
    }

    /// Chooses what to begin: of each datasource as much as may run, datasources by turns.
    fn begin(&mut self, ready: &dyn Fn(&str) -> Readiness, now: Now) -> Option<Job> {
        let due: Vec<Id> = self
            .again
            .iter()
            .filter(|(_, again)| !again.queued && again.due <= now)
            .map(|(id, _)| id.clone())
            .collect();
        for id in due {
            let Some(again) = self.again.get_mut(&id) else { continue };
            again.queued = true;
            let key = again.key.clone();
            if !self.pending.contains_key(&id) && !self.busy.contains_key(&id) {
                self.enqueue(id, key, Why::Retry, now);
            }
        }
        let mut batch = Vec::new();
        let services: Vec<Arc<str>> = self.queues.keys().cloned().collect();
        self.turn = self.turn.wrapping_add(1);
        let count = services.len();
        for service in services.iter().cycle().skip(self.turn % count.max(1)).take(count) {
            let readiness = ready(service);
            let running = self.busy_of.get(service).copied().unwrap_or_default();
            let mut free = self.options.of_one.saturating_sub(running);
            let mut kept = Vec::new();
            let mut rotate = false;
            while let Some((place, id)) = self.queues.get_mut(service).and_then(VecDeque::pop_front)
            {
                let Some(pending) = self.pending.get(&id).filter(|p| p.place == place) else {
                    continue;
                };
                if pending.why != Why::Operator {
                    match self.mirror.asks(&pending.key, &id) {
                        Some(true) => {}
                        // It was asked for by an engine that is followed no longer.
                        Some(false) => {
                            self.went(id);
                            continue;
                        }
                        None => {
                            kept.push((place, id));
                            rotate = kept.len() >= LOOKED_AT;
                            if rotate {
                                break;
                            }
                            continue;
                        }
                    }
                }
                let (patience, reason) = match &readiness {
                    Readiness::Runs => (None, String::new()),
                    Readiness::Stopped(why) => (
                        Some(self.options.start_wait),
                        format!("not run: datasource '{service}' is not running: {why}"),
                    ),
                    Readiness::Absent => {
                        (Some(ABSENT_WAIT), format!("not run: Service {service} not found"))
                    }
                };
                if let Some(patience) = patience {
                    if now.saturating_sub(pending.since) < patience {
                        // Those behind it came later.
                        kept.push((place, id));
                        break;
                    }
                    let Some(Pending { key, why, .. }) = self.pending.remove(&id) else { continue };
                    match why {
                        Why::Row => {
                            self.schedule(id.clone(), key.clone(), now, now);
                            self.lapses.push(Lapse { id, key, reason, gone: false });
                        }
                        // The ledger has it as failed or unknown, and so it stays.
                        Why::Retry => self.reschedule(&id, now),
                        Why::Operator => tracing::warn!(action = %id, "{reason}"),
                    }
                    continue;
                }
                if free == 0 || self.busy.len() >= self.options.at_once || batch.len() >= BATCH {
                    kept.push((place, id));
                    break;
                }
                if self.busy.contains_key(&id) {
                    // It came back while it runs: its return is begun when that has ended.
                    kept.push((place, id));
                    continue;
                }
                let Some(Pending { key, why, .. }) = self.pending.remove(&id) else { continue };
                let job = match why {
                    Why::Row => None,
                    Why::Retry => Some(Job::Retry(id.clone(), key.clone())),
                    Why::Operator => Some(Job::Repeat(id.clone(), key.clone())),
                };
                match job {
                    // One at a time, after what has been chosen.
                    Some(job) if batch.is_empty() => {
                        self.occupy(id, key);
                        self.put_back(service, kept);
                        return Some(job);
                    }
                    Some(_) => {
                        self.pending.insert(id.clone(), Pending { key, since: now, why, place });
                        kept.push((place, id));
                        break;
                    }
                    None => {
                        self.occupy(id.clone(), key.clone());
                        free -= 1;
                        batch.push((id, key));
                    }
                }
            }
            match self.queues.get_mut(service).filter(|_| rotate) {
                // Those behind them may be of tables that are known: they have their turn next.
                Some(queue) => queue.extend(kept),
                None => self.put_back(service, kept),
            }
        }
        self.queues.retain(|_, queue| !queue.is_empty());
        if batch.is_empty() && !self.lapses.is_empty() {
            return Some(Job::Lapse(self.lapses.take(BATCH)));
        }
        (!batch.is_empty()).then_some(Job::Begin(batch))
    }

    fn put_back(&mut self, service: &Arc<str>, kept: Vec<(u64, Id)>) {
        if let Some(queue) = self.queues.get_mut(service) {
            kept.into_iter().rev().for_each(|entry| queue.push_front(entry));
        }
    }

    fn occupy(&mut self, id: Id, key: Arc<ActionKey>) {
        let service: Arc<str> = (&*key.service).into();
        *self.busy_of.entry(service.clone()).or_default() += 1;
        self.busy.insert(id, (key, service));
    }

    fn release(&mut self, id: &str) -> Option<Arc<ActionKey>> {
        let (key, service) = self.busy.remove(id)?;
        if let Some(count) = self.busy_of.get_mut(&service) {
            *count -= 1;
            if *count == 0 {
                self.busy_of.remove(&service);
            }
        }
        Some(key)
    }

    fn begun(&mut self, id: Id, key: Arc<ActionKey>, begin: Begin) {
        let own = |record: &ActionRecord| {
            record.state == ActionState::Running
                && (record.term, &record.instance) == (self.owner.0, &self.owner.1)
        };
        match begin {
            Begin::Begun { .. } => self.to_run.push((id, key)),
            // An earlier attempt to begin it had worked, though its answer was lost.
            Begin::Known(record) if own(&record) => self.to_run.push((id, key)),
            Begin::Known(record) => {
                self.release(&id);
                self.again.remove(&id);
                tracing::debug!(action = %id, state = record.state.name(), "it is in the ledger");
            }
        }
    }

    /// An outcome has been entered.
    fn finished(&mut self, id: Id, outcome: Outcome, now: Now) {
        let Some(key) = self.release(&id) else { return };
        match outcome {
            Outcome::Failed(_) if self.again.contains_key(&id) => self.reschedule(&id, now),
            Outcome::Failed(_) if self.mirror.has(&key, &id) => self.schedule(id, key, now, now),
            _ => drop(self.again.remove(&id)),
        }
    }

    /// Has an action that failed run again, if that is wanted.
    fn schedule(&mut self, id: Id, key: Arc<ActionKey>, first: Now, now: Now) {
        if self.options.retry.is_some() {
            let due = now + FIRST_PAUSE;
            let again = Again { key, first, pause: FIRST_PAUSE, due, queued: false };
            self.again.entry(id).or_insert(again);
        }
    }

    fn reschedule(&mut self, id: &Id, now: Now) {
        let Some(again) = self.again.get_mut(id) else { return };
        let limit = self.options.retry.flatten();
        if limit.is_some_and(|limit| now.saturating_sub(again.first) >= limit) {
            tracing::error!(
                policy = %again.key.policy, service = %again.key.service,
                action = %again.key.action, row = %again.key.args,
                "the action has failed for as long as execute_action_retry_timeout; it is not \
                 tried again"
            );
            self.again.remove(id);
            return;
        }
        again.pause = (again.pause * 2).min(LONGEST_PAUSE);
        again.due = now + again.pause;
        again.queued = false;
    }
}
