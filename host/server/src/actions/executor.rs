//! Carries out what rules ask for, on the active datasource node, for as long as it holds the lease.
//!
//! What is to be done says the [`Agenda`]; here are bus, database and datasources.

use std::collections::BTreeSet;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use congress_bus::{Bus, Epoch, Node, Request, Requests, Subscription, TableName, Update};
use congress_store::{
    ActionFilter, ActionKey, ActionRecord, ActionState, Error, Fence, Outcome, Store,
};
use futures_util::FutureExt as _;
use serde_json::Value as Json;
use tokio::task::JoinSet;
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;

use super::agenda::{Agenda, Found, Job, Now, Options, Readiness};
use super::mirror::Id;
use super::stream::{
    ActionTable, COMPLETE_PREFIX, POSITIONS, REVISION, SOURCE_PREFIX, TABLES, positional,
};
use super::wire::{ActionsCall, SERVICE};
use crate::failure::{Answer, Failure, Status};

/// How often time is looked at.
const TICK: Duration = Duration::from_millis(250);

/// How long an engine whose tables are not all complete is followed while another's are.
const PATIENCE: Duration = Duration::from_secs(5);

/// The first pause after the database has failed; it doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(250);

/// The longest such pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(5);

/// How long actions that run may take to end when the node stops.
pub const LAST_RUNS: Duration = Duration::from_secs(5);

/// How many entries of the ledger are read at a time.
const PAGE: u32 = 10_000;

/// How many calls of operators may wait.
const BACKLOG: usize = 64;

/// For how long entries are kept whose row has gone.
const KEPT: Duration = Duration::from_secs(30 * 24 * 3600);

/// How often older ones are forgotten.
const FORGET_PERIOD: Duration = Duration::from_secs(600);

/// Whether this process may act.
pub trait MayAct: Send + Sync {
    /// Proof that it is the active one, at this moment, by a clock that does not jump. The failure
    /// says why there is none.
    fn fence(&self) -> Result<Fence, Failure>;
}

/// The datasources that run in this process.
#[async_trait]
pub trait Hands: Send + Sync {
    /// How a datasource stands.
    fn readiness(&self, service: &str) -> Readiness;
    /// The epoch of the stream that a datasource publishes here.
    fn epoch(&self, service: &str) -> Option<Epoch>;
    /// Has a datasource do something, and tells how that ended.
    async fn run(&self, service: &str, action: &str, positional: &[Json]) -> Ended;
}

/// How it ended that a datasource was to do something.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It was done.
    Done,
    /// It was not; why.
    Refused(String),
    /// The service was not reached, or did not answer: it may have been done.
    Unanswered(String),
    /// The call was stopped half-way: it may have been done.
    Broken(String),
}

impl Ended {
    /// What the ledger says of it. Whoever wants actions sent again until they are answered
    /// (`execute_action_retry`) takes it that they may be done twice.
    fn outcome(self, retry: bool) -> Outcome {
        match self {
            Self::Done => Outcome::Done,
            Self::Refused(reason) => Outcome::Failed(reason),
            Self::Unanswered(reason) if retry => Outcome::Failed(reason),
            Self::Unanswered(reason) | Self::Broken(reason) => Outcome::Unknown(reason),
        }
    }
}

/// See the module.
pub struct Executor {
    /// The database.
    pub store: Store,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// The lease.
    pub lease: Arc<dyn MayAct>,
    /// The datasources.
    pub hands: Arc<dyn Hands>,
    /// How actions are run.
    pub options: Options,
}

/// An engine that is followed.
struct Followed {
    engine: String,
    stream: Subscription,
    tables: BTreeSet<TableName>,
    /// Since when others have all their tables complete, and this one has not.
    behind: Option<Instant>,
}

type Working = Pin<Box<dyn Future<Output = (Job, Result<Found, Error>)> + Send>>;

impl Executor {
    /// Runs until stopped, or until the lease is lost.
    pub async fn run(self, stop: CancellationToken) {
        let Some((fence, revision)) = self.begin(&stop).await else { return };
        let began = Instant::now();
        let agenda = Agenda::new(self.options.clone(), fence.term, &fence.instance, revision);
        let mut work = Work {
            nodes: self.bus.nodes(),
            with: self,
            fence,
            agenda,
            began,
            followed: None,
            working: None,
            runs: JoinSet::new(),
            pause: FIRST_PAUSE,
            idle_until: None,
            calls: None,
        };
        work.work(stop).await;
    }

    /// Marks what the holder before has left, and gives proof of holding the lease and the revision
    /// of the database.
    async fn begin(&self, stop: &CancellationToken) -> Option<(Fence, i64)> {
        loop {
            let left: Result<_, Error> = async {
                let fence = self
                    .lease
                    .fence()
                    .map_err(|failure| Error::Unavailable { reason: failure.message })?;
                let left = self.store.abandon_running(&fence).await?;
                Ok((fence, left, self.store.revision().await?))
            }
            .await;
            match left {
                Ok((fence, left, revision)) => {
                    left.iter().for_each(abandoned);
                    return Some((fence, revision.0));
                }
                Err(error @ Error::Fenced { .. }) => {
                    tracing::warn!(%error, "no actions are run");
                    return None;
                }
                Err(error) => tracing::error!(%error, "actions wait for the database"),
            }
            tokio::select! {
                () = stop.cancelled() => return None,
                () = tokio::time::sleep(FIRST_PAUSE) => {}
            }
        }
    }
}

struct Work {
    with: Executor,
    fence: Fence,
    agenda: Agenda,
    began: Instant,
    nodes: tokio::sync::watch::Receiver<Arc<[Node]>>,
    followed: Option<Followed>,
    /// The job on the ledger.
    working: Option<Working>,
    runs: JoinSet<(Id, Outcome)>,
    /// After the next failure of the database.
    pause: Duration,
    idle_until: Option<Instant>,
    /// None while one that was replaced still serves in this process.
    calls: Option<Requests>,
}

impl Work {
    async fn work(&mut self, stop: CancellationToken) {
        let mut tick = tokio::time::interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut forgetting = tokio::time::interval(FORGET_PERIOD);
        forgetting.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut last = None;
        self.choose();
        self.serve();
        loop {
            let stopping = last.is_some();
            tokio::select! {
                biased;
                () = stop.cancelled(), if !stopping => last = Some(Instant::now() + LAST_RUNS),
                (job, found) = step(&mut self.working) => {
                    self.working = None;
                    if !self.on_job(job, found) {
                        return;
                    }
                }
                Some(ended) = self.runs.join_next() => match ended {
                    Ok((id, outcome)) => self.agenda.ran(id, outcome),
                    Err(error) => tracing::error!(%error, "an action's task has failed"),
                },
                request = call(&mut self.calls), if !stopping => match request {
                    Some(request) => self.on_call(request).await,
                    None => self.calls = None,
                },
                update = next(&mut self.followed), if !stopping => self.on_update(update),
                Ok(()) = self.nodes.changed(), if !stopping => self.choose(),
                _ = tick.tick() => {
                    self.choose();
                    self.serve();
                    let (hands, now) = (self.with.hands.clone(), self.now());
                    self.agenda.look(&|service| hands.epoch(service), now);
                }
                _ = forgetting.tick(), if self.working.is_none() && !stopping => {
                    let forgotten = self.with.store.forget_absent(KEPT, PAGE, &self.fence).await;
                    if let Err(error) = forgotten {
                        tracing::debug!(%error, "old actions are not forgotten");
                    }
                }
            }
            self.say();
            self.start_runs();
            if let Some(last) = last {
                // What has ended is entered, and nothing else is begun.
                let over = self.runs.is_empty() && self.working.is_none();
                if Instant::now() > last || over && !self.enter_ends() {
                    return;
                }
            } else {
                self.start_job();
            }
        }
    }

    fn serve(&mut self) {
        if self.calls.is_none() {
            self.calls = self.with.bus.serve(SERVICE, BACKLOG).ok();
        }
    }

    fn now(&self) -> Now {
        self.began.elapsed()
    }

    /// Enters what has ended. False if there is nothing.
    fn enter_ends(&mut self) -> bool {
        let job = self.agenda.last_job();
        let any = job.is_some();
        if let Some(job) = job {
            let (store, fence) = (self.with.store.clone(), self.fence.clone());
            self.working = Some(Box::pin(perform(store, fence, job)));
        }
        any
    }

    fn start_job(&mut self) {
        let resting = self.idle_until.is_some_and(|until| Instant::now() < until);
        if self.working.is_some() || resting {
            return;
        }
        let (hands, now) = (self.with.hands.clone(), self.now());
        if let Some(job) = self.agenda.job(&|service| hands.readiness(service), now) {
            let (store, fence) = (self.with.store.clone(), self.fence.clone());
            self.working = Some(Box::pin(perform(store, fence, job)));
        }
    }

    /// False if the lease is lost.
    fn on_job(&mut self, job: Job, found: Result<Found, Error>) -> bool {
        let now = self.now();
        match found {
            Ok(found) => {
                self.pause = FIRST_PAUSE;
                if let Job::Lapse(lapses) = &job {
                    for lapse in lapses {
                        log(&lapse.key, &Outcome::Failed(lapse.reason.clone()));
                    }
                }
                self.agenda.done(job, found, now);
            }
            Err(error @ Error::Fenced { .. }) => {
                tracing::warn!(%error, "the lease is lost; no more actions are run");
                return false;
            }
            Err(error @ Error::NotFound { .. }) => {
                tracing::warn!(%error, "the ledger has no such action");
                self.agenda.void(job);
            }
            Err(error) => {
                tracing::error!(%error, "the ledger of actions cannot be written; trying again");
                self.idle_until = Some(Instant::now() + self.pause);
                self.pause = (self.pause * 2).min(LONGEST_PAUSE);
                self.agenda.failed(job, now);
            }
        }
        true
    }

    /// Follows an engine: the same as long as it is there, unless another knows more.
    fn choose(&mut self) {
        let nodes = self.nodes.borrow_and_update().clone();
        let names = |prefix: &str| -> BTreeSet<String> {
            let services = nodes.iter().flat_map(|node| &node.services);
            services.filter_map(|name| name.strip_prefix(prefix)).map(str::to_owned).collect()
        };
        let (engines, complete) = (names(SOURCE_PREFIX), names(COMPLETE_PREFIX));
        let complete: BTreeSet<&String> = complete.intersection(&engines).collect();
        if let Some(followed) = &mut self.followed
            && engines.contains(&followed.engine)
        {
            if complete.is_empty() || complete.contains(&followed.engine) {
                followed.behind = None;
                return;
            }
            if followed.behind.get_or_insert_with(Instant::now).elapsed() < PATIENCE {
                return;
            }
        }
        let Some(engine) = complete.first().copied().or(engines.first()) else {
            if let Some(followed) = self.followed.take() {
                tracing::warn!(engine = %followed.engine, "the policy engine is gone; there is no other");
                self.agenda.switch();
            }
            return;
        };
        tracing::info!(%engine, "following the actions that this policy engine asks for");
        let tables = system_tables();
        let source = format!("{SOURCE_PREFIX}{engine}");
        let stream = self.with.bus.subscribe(SERVICE, &source, tables.clone());
        self.agenda.switch();
        self.followed = Some(Followed { engine: engine.clone(), stream, tables, behind: None });
    }

    fn on_update(&mut self, update: Option<Update>) {
        let Some(update) = update else {
            self.followed = None;
            self.agenda.switch();
            return;
        };
        let (hands, now) = (self.with.hands.clone(), self.now());
        self.agenda.hear(&update, &|service| hands.epoch(service), now);
        // The stream says which tables there are.
        let mut tables = system_tables();
        tables.extend(self.agenda.published().map(ActionTable::name));
        if let Some(followed) = self.followed.as_mut().filter(|known| known.tables != tables) {
            followed.stream.set_tables(tables.clone());
            followed.tables = tables;
        }
    }

    async fn on_call(&mut self, request: Request) {
        let answer = match serde_json::from_slice(&request.body) {
            Ok(ActionsCall::Repeat { id }) => self.repeat(&id).await,
            Err(error) => Err(Failure::internal(error)),
        };
        request.reply(crate::datasources::reply(&answer));
    }

    /// Has an action run again, whatever became of it.
    async fn repeat(&mut self, id: &str) -> Answer<()> {
        let conflict = |text: String| Failure::verbatim(Status::Conflict, text);
        self.with.lease.fence()?;
        if !self.agenda.enabled() {
            return Err(conflict("enable_execute_action is false: no action is run".to_owned()));
        }
        let record = self.with.store.action(id).await.map_err(crate::datasources::failure)?;
        if !matches!(record.state, ActionState::Failed | ActionState::Unknown) {
            let state = record.state.name();
            return Err(conflict(format!("Action {id} is {state}: it is not to be repeated")));
        }
        let now = self.now();
        match self.agenda.repeat(record.id.as_str().into(), Arc::new(record.key), now) {
            true => Ok(()),
            false => Err(conflict(format!("Action {id} runs, or waits to run, already"))),
        }
    }

    fn say(&mut self) {
        for key in self.agenda.to_say() {
            tracing::info!(
                policy = %key.policy,
                "Executing {}:{}({}) is off: enable_execute_action is false",
                key.service, key.action, within(&key.args)
            );
        }
    }

    fn start_runs(&mut self) {
        for (id, key) in self.agenda.to_run() {
            let (lease, hands) = (self.with.lease.clone(), self.with.hands.clone());
            let (term, retry) = (self.fence.term, self.with.options.retry.is_some());
            self.runs.spawn(async move {
                let running = AssertUnwindSafe(run(lease.as_ref(), hands.as_ref(), term, &key));
                let ended = running.catch_unwind().await.unwrap_or_else(|_| {
                    Ended::Broken("a bug in Congress; please report it".to_owned())
                });
                let outcome = ended.outcome(retry);
                log(&key, &outcome);
                (id, outcome)
            });
        }
    }
}

/// Runs an action that has been begun, if that may be.
async fn run(lease: &dyn MayAct, hands: &dyn Hands, term: u64, key: &ActionKey) -> Ended {
    let arguments = match positional(&key.args) {
        Ok(arguments) => arguments,
        Err(reason) => return Ended::Refused(format!("not run: {reason}")),
    };
    match lease.fence() {
        Ok(fence) if fence.term == term => {}
        Ok(_) => return Ended::Refused("not run: another term has begun".to_owned()),
        Err(failure) => return Ended::Refused(format!("not run: {}", failure.message)),
    }
    tracing::info!(
        policy = %key.policy, "Executing {}:{}({})", key.service, key.action, within(&key.args)
    );
    hands.run(&key.service, &key.action, &arguments).await
}

/// Does a job on the ledger.
async fn perform(store: Store, fence: Fence, job: Job) -> (Job, Result<Found, Error>) {
    let found = attempt(&store, &fence, &job).await;
    (job, found)
}

async fn attempt(store: &Store, fence: &Fence, job: &Job) -> Result<Found, Error> {
    let owned = |ids: &[Id]| -> Vec<String> { ids.iter().map(|id| id.to_string()).collect() };
    Ok(match job {
        Job::Finish(outcomes) => {
            let outcomes: Vec<(String, Outcome)> =
                outcomes.iter().map(|(id, outcome)| (id.to_string(), outcome.clone())).collect();
            store.finish_actions(&outcomes, fence).await?;
            Found::Nothing
        }
        Job::Gone(ids) => {
            store.rows_gone(&owned(ids), fence).await?;
            Found::Nothing
        }
        Job::Lapse(lapses) => {
            let keys: Vec<ActionKey> = lapses.iter().map(|lapse| (*lapse.key).clone()).collect();
            store.begin_actions(&keys, fence).await?;
            let failed = |reason: &String| Outcome::Failed(reason.clone());
            let outcomes: Vec<(String, Outcome)> =
                lapses.iter().map(|l| (l.id.to_string(), failed(&l.reason))).collect();
            store.finish_actions(&outcomes, fence).await?;
            let gone: Vec<Id> = lapses.iter().filter(|l| l.gone).map(|l| l.id.clone()).collect();
            if !gone.is_empty() {
                store.rows_gone(&owned(&gone), fence).await?;
            }
            Found::Nothing
        }
        Job::Tables => {
            let tables = store.tables_with_present_actions().await?.into_iter();
            let table = |(policy, service, action): (String, String, String)| ActionTable {
                policy: policy.into(),
                service: service.into(),
                action: action.into(),
            };
            Found::Tables(tables.map(table).collect())
        }
        Job::Load(table) => {
            let ActionTable { policy, service, action } = table;
            let mut present: BTreeSet<Id> = BTreeSet::new();
            let mut after: Option<String> = None;
            loop {
                let after_id = after.as_deref();
                let page = store.present_actions(policy, service, action, after_id, PAGE).await?;
                after = page.last().cloned();
                let last = page.len() < PAGE as usize;
                present.extend(page.into_iter().map(Id::from));
                if last {
                    break Found::Present(present);
                }
            }
        }
        Job::Failed => {
            let (state, present) = (Some(ActionState::Failed), Some(true));
            let filter = ActionFilter { state, present, ..ActionFilter::default() };
            let mut records: Vec<ActionRecord> = Vec::new();
            loop {
                let marker = records.last().map(|record| record.id.clone());
                let page = store.actions(&filter, PAGE, marker.as_deref()).await?;
                let last = page.len() < PAGE as usize;
                records.extend(page);
                if last {
                    break Found::Records(records);
                }
            }
        }
        Job::Begin(batch) => {
            let keys: Vec<ActionKey> = batch.iter().map(|(_, key)| (**key).clone()).collect();
            Found::Begun(store.begin_actions(&keys, fence).await?)
        }
        Job::Retry(id, _) => Found::Begun(vec![store.retry_action(id, fence).await?]),
        Job::Repeat(id, _) => Found::Begun(vec![store.repeat_action(id, fence).await?]),
    })
}

/// The tables that tell about the others.
fn system_tables() -> BTreeSet<TableName> {
    [TABLES, POSITIONS, REVISION].into_iter().map(TableName::from).collect()
}

/// The next call, if calls are taken.
async fn call(calls: &mut Option<Requests>) -> Option<Request> {
    match calls {
        Some(calls) => calls.next().await,
        None => std::future::pending().await,
    }
}

/// The next update of the followed engine, if there is one.
async fn next(followed: &mut Option<Followed>) -> Option<Update> {
    match followed {
        Some(followed) => followed.stream.next().await,
        None => std::future::pending().await,
    }
}

/// Waits for a job that is under way.
async fn step(working: &mut Option<Working>) -> (Job, Result<Found, Error>) {
    match working {
        Some(working) => working.await,
        None => std::future::pending().await,
    }
}

/// The arguments without the brackets.
fn within(args: &str) -> &str {
    args.strip_prefix('[').and_then(|args| args.strip_suffix(']')).unwrap_or(args)
}

/// One line for each action.
fn log(key: &ActionKey, outcome: &Outcome) {
    let ActionKey { policy, service, action, args } = key;
    match outcome {
        Outcome::Done => {
            tracing::info!(policy, service, action, row = args, outcome = "done", "action");
        }
        Outcome::Failed(reason) => {
            tracing::error!(
                policy,
                service,
                action,
                row = args,
                outcome = "failed",
                "action: {reason}"
            );
        }
        Outcome::Unknown(reason) => {
            tracing::error!(
                policy,
                service,
                action,
                row = args,
                outcome = "unknown",
                "action: {reason}"
            );
        }
    }
}

fn abandoned(record: &ActionRecord) {
    let ActionRecord { id, key, term, instance, .. } = record;
    tracing::error!(
        %id, policy = key.policy, service = key.service, action = key.action, row = key.args,
        outcome = "unknown",
        "action: begun by instance {instance} in term {term}, which ended before it did; whether \
         it was carried out is not known, and it is not repeated: see /v1/actions?state=unknown"
    );
}
