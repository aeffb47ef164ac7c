//! The datasources' role: keeps a task for every enabled datasource in the database, as long as it
//! holds the lease.
//!
//! Without the lease it is a hot standby: its drivers are loaded, it runs, publishes and answers
//! nothing. When it gets the lease it starts all datasources at once; when it learns that somebody
//! else has it, it ends.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Bus, Epoch, Register, Request, Requests};
use congress_plugins::Host;
use congress_store::{Datasource, DatasourceConfig, KeyRing, Store};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::drivers::{DriverEvent, DriverFolders, Drivers};
use super::errands::Errands;
use super::local::Local;
use super::shared::Shared;
use super::task::{Code, Step, Task, step};
use super::wire::{MANAGER, ManagerCall, reply};
use crate::actions::{self, Executor};
use crate::failure::{Answer, Failure, Status};
use crate::health::{Readiness, Turns};
use crate::lease::{self, Lease};

/// How many calls to the manager, or to one datasource, may wait.
const BACKLOG: usize = 256;

/// The pause after the first failure to read the database; it doubles.
const RETRY: Duration = Duration::from_millis(250);

/// The longest such pause.
const LONGEST_RETRY: Duration = Duration::from_secs(5);

/// The role's name in `/readyz`.
const ROLE: &str = "datasources";

/// How the role behaves.
pub struct ManagerOptions {
    /// Where drivers come from.
    pub folders: DriverFolders,
    /// The largest component that is loaded, in bytes.
    pub component_bytes: u64,
    /// How often the database is compared with what runs, besides at every change of it.
    pub sync_period: Duration,
    /// How actions are run.
    pub actions: actions::Options,
    /// How long a datasource that fails again and again waits at most between two attempts.
    pub longest_pause: Duration,
    /// Whether nothing of a poll is published if a table could not be read.
    pub all_or_nothing: bool,
}

/// What the role shares with the rest of its node.
pub struct Surroundings {
    /// The database.
    pub store: Store,
    /// The keys of its secrets.
    pub keys: KeyRing,
    /// The bus.
    pub bus: Arc<dyn Bus>,
    /// Whether this process is the active one.
    pub lease: Lease,
    /// Where the role says what it does.
    pub readiness: Readiness,
    /// Ends the role.
    pub stop: CancellationToken,
}

/// Why the role has ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ending {
    /// It was told to.
    Stopped,
    /// Another process is the active one.
    Replaced {
        /// The term that this one had.
        term: u64,
        /// The higher one.
        by: u64,
    },
    /// Its key opens no secret of the database: secrets have come since it started, which other
    /// hosts can open. Why, for people.
    WrongKey(String),
}

/// The role.
pub struct Manager {
    host: Host,
    with: Surroundings,
    options: ManagerOptions,
    turns: Turns,
    /// The code of every driver that there is.
    code: HashMap<String, Code>,
    /// The drivers that were there at start have been looked at.
    settled: bool,
    /// See [`Manager::drivers_promised`].
    promised: watch::Sender<bool>,
    /// While this process is the active one.
    active: Option<Active>,
}

/// What only the active one has.
struct Active {
    term: u64,
    /// How many publishers it has had in this term.
    publishers: u32,
    requests: Requests,
    tasks: HashMap<String, Handle>,
    /// The same, for who has them act.
    local: Local,
    /// Carries out what rules ask for.
    executor: (CancellationToken, JoinHandle<()>),
    /// What the API asked for.
    errands: Errands,
    /// The database is being read.
    reading: Option<Step<congress_store::Result<Vec<Datasource>>>>,
    /// It has changed since.
    again: bool,
    /// How often in a row that has failed.
    failures: u32,
    /// Calls that this answers, with the id of the datasource that is to start.
    waiting: Vec<(String, Request)>,
    /// Those that came since it began: it may have passed what they are about.
    arrived: Vec<(String, Request)>,
}

/// A sentence if there are secrets and these keys open none of them.
pub(crate) fn wrong_key(keys: &KeyRing, rows: &[Datasource]) -> Option<String> {
    let mut sealed = rows.iter().filter(|row| !row.config.sealed().is_empty()).peekable();
    let first = sealed.peek()?.name.clone();
    sealed.all(|row| keys.reveal(&row.config).is_err()).then(|| {
        format!(
            "its key opens no secret of the database, for instance not that of datasource \
             '{first}': it is not the key of the other hosts. Copy their key folder here, or set \
             [DEFAULT] encryption_key_path"
        )
    })
}

/// Whether a datasource runs, or why the last attempt to start it failed; none before there was one.
pub(super) type Started = Option<Result<(), String>>;

/// A running task.
struct Handle {
    name: String,
    driver: String,
    config: DatasourceConfig,
    code: watch::Sender<Code>,
    started: watch::Receiver<Started>,
    stop: CancellationToken,
    join: JoinHandle<()>,
}

impl Handle {
    async fn stop(self) {
        self.stop.cancel();
        if let Err(error) = self.join.await {
            tracing::error!(datasource = %self.name, %error, "a datasource's task has failed");
        }
    }
}

impl Manager {
    /// The role, before it begins: see [`Manager::run`].
    pub fn new(host: Host, with: Surroundings, options: ManagerOptions, turns: Turns) -> Self {
        Self {
            host,
            with,
            options,
            turns,
            code: HashMap::new(),
            settled: false,
            promised: watch::Sender::new(false),
            active: None,
        }
    }

    /// Becomes true once all drivers that the catalogue in the database has at start, which others
    /// rely on, can be used here or have failed.
    pub fn drivers_promised(&self) -> watch::Receiver<bool> {
        self.promised.subscribe()
    }

    /// Runs until stopped or replaced.
    pub async fn run(mut self) -> Ending {
        let mut drivers = Drivers::watch(
            self.host.clone(),
            self.with.store.clone(),
            self.options.folders.clone(),
            self.options.component_bytes,
            self.promised.clone(),
            self.with.lease.clone(),
            &self.with.stop,
        );
        let mut status = self.with.lease.status();
        status.mark_changed();
        let mut revisions = self.with.bus.register(Register::Revision);
        let mut period = tokio::time::interval(self.options.sync_period);
        period.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let ending = loop {
            self.turns.turned();
            let (reading, requests) = match &mut self.active {
                Some(active) => (&mut active.reading, Some(&mut active.requests)),
                None => (&mut None, None),
            };
            tokio::select! {
                biased;
                () = self.with.stop.cancelled() => break Ending::Stopped,
                changed = status.changed() => {
                    if changed.is_err() {
                        break Ending::Stopped;
                    }
                    let status = status.borrow_and_update().clone();
                    if let Some(ending) = self.on_status(status) {
                        break ending;
                    }
                }
                Some(event) = drivers.events.recv() => self.on_driver(event),
                rows = step(reading) => {
                    if let Some(reason) = self.opens_none(&rows) {
                        break Ending::WrongKey(reason);
                    }
                    self.on_rows(rows).await;
                }
                request = next(requests) => match request {
                    Some(request) => self.on_request(request, &drivers).await,
                    None => break Ending::Stopped,
                },
                Ok(()) = revisions.changed() => self.sync(),
                _ = period.tick() => self.sync(),
                () = self.turns.idle() => {}
            }
        };
        if let Some(active) = self.active.take() {
            let Active { tasks, requests, executor: (stop, executor), errands, .. } = active;
            drop(requests);
            stop.cancel();
            match &ending {
                // Actions that run may come to their end, and that is entered.
                Ending::Stopped => drop(tokio::join!(executor, errands.end(actions::LAST_RUNS))),
                Ending::Replaced { .. } | Ending::WrongKey(_) => {
                    executor.abort();
                    errands.end(Duration::ZERO).await;
                }
            }
            for (_, task) in tasks {
                task.stop().await;
            }
            self.with.lease.release().await;
        }
        self.with.stop.cancel();
        drivers.ended().await;
        ending
    }

    fn on_status(&mut self, status: lease::Status) -> Option<Ending> {
        match status {
            lease::Status::Standby { holder: None } => {
                self.with.readiness.role(ROLE, "standby: it tries to take the lease");
            }
            lease::Status::Standby { holder: Some(holder) } => {
                let text = format!(
                    "standby: node '{}' (instance {}) holds the lease in term {}",
                    holder.node_id, holder.instance, holder.term
                );
                tracing::info!("{text}");
                self.with.readiness.role(ROLE, text);
            }
            lease::Status::Active { term } => {
                tracing::info!(term, "this is the active datasource node");
                self.with.readiness.role(ROLE, format!("active in term {term}"));
                if let Err(error) = self.begin(term) {
                    tracing::error!(%error, "the datasources cannot be reached");
                }
            }
            lease::Status::Replaced { term, by } => {
                tracing::error!(
                    term,
                    by,
                    "another datasource node is the active one; this one stops its datasources"
                );
                self.with.readiness.role(ROLE, format!("replaced in term {by}"));
                return Some(Ending::Replaced { term, by });
            }
        }
        None
    }

    /// Becomes the active one.
    fn begin(&mut self, term: u64) -> Result<(), congress_bus::RegisterError> {
        let requests = self.with.bus.serve(MANAGER, BACKLOG)?;
        let local = Local::default();
        let executor = self.execute_actions(&local);
        self.active = Some(Active {
            term,
            publishers: 0,
            requests,
            tasks: HashMap::new(),
            local,
            executor,
            errands: Errands::default(),
            reading: None,
            again: false,
            failures: 0,
            waiting: Vec::new(),
            arrived: Vec::new(),
        });
        self.sync();
        Ok(())
    }

    /// Begins to carry out what rules ask for.
    fn execute_actions(&self, local: &Local) -> (CancellationToken, JoinHandle<()>) {
        // Not a child of the node's: datasources run until actions have come to their end.
        let stop = CancellationToken::new();
        let executor = Executor {
            store: self.with.store.clone(),
            bus: self.with.bus.clone(),
            lease: Arc::new(self.with.lease.clone()),
            hands: Arc::new(local.clone()),
            options: self.options.actions.clone(),
        };
        (stop.clone(), tokio::spawn(executor.run(stop)))
    }

    /// Has the database read, and what runs compared with it.
    fn sync(&mut self) {
        let Some(active) = &mut self.active else { return };
        if active.reading.is_some() {
            active.again = true;
            return;
        }
        active.waiting.append(&mut active.arrived);
        let pause = pause_after(active.failures);
        let (store, bus) = (self.with.store.clone(), self.with.bus.clone());
        active.reading = Some(Box::pin(async move {
            tokio::time::sleep(pause).await;
            // Whoever was active before may have died between a write and its announcement.
            if let Ok(revision) = store.revision().await {
                bus.raise(Register::Revision, revision.number());
            }
            store.datasources().await
        }));
    }

    /// Why this node must not be the active one, as far as its keys tell: they open no secret at all.
    /// One that opens only some has lost a key of before; the others can run.
    fn opens_none(&self, rows: &congress_store::Result<Vec<Datasource>>) -> Option<String> {
        let is_new = self.active.as_ref().is_some_and(|active| active.tasks.is_empty());
        let rows = rows.as_ref().ok().filter(|_| is_new)?;
        wrong_key(&self.with.keys, rows)
    }

    /// Starts what is in the database and does not run, stops what runs and is not. What goes
    /// wrong with one datasource does not concern the others.
    async fn on_rows(&mut self, rows: congress_store::Result<Vec<Datasource>>) {
        let Some(active) = &mut self.active else { return };
        active.reading = None;
        active.failures = if rows.is_ok() { 0 } else { active.failures.saturating_add(1) };
        let waiting = std::mem::take(&mut active.waiting);
        let again = std::mem::take(&mut active.again);
        let rows = match rows {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "cannot read the datasources; what runs goes on");
                for (_, request) in waiting {
                    let text = "the database is not available; try again later";
                    let failure = Failure::plain(Status::Unavailable, text);
                    request.reply(reply(&Answer::<()>::Err(failure)));
                }
                // A database that fails over is back long before the next comparison.
                self.sync();
                return;
            }
        };
        // One whose configuration is another now ends, and begins anew below.
        let goes_on = |id: &str, task: &Handle| {
            rows.iter().any(|row| row.enabled && row.id == id && row.config == task.config)
        };
        let gone = active.tasks.iter().filter(|(id, task)| !goes_on(id, task));
        let gone: Vec<_> = gone.map(|(id, _)| id.clone()).collect();
        for id in gone {
            if let Some(task) = active.tasks.remove(&id) {
                tracing::info!(
                    datasource = %task.name, "datasource is gone, disabled or changed; stopping it"
                );
                task.stop().await;
            }
        }
        let mut refused = HashMap::new();
        for row in rows.into_iter().filter(|row| row.enabled) {
            let is_new = self.active.as_ref().is_some_and(|a| !a.tasks.contains_key(&row.id));
            if is_new {
                // What the driver says of it is in the log and in the status.
                let (id, name) = (row.id.clone(), row.name.clone());
                if let Err(reason) = self.start(row) {
                    tracing::error!(datasource = %name, "cannot start it: {reason}");
                    refused.insert(id, reason);
                }
            }
        }
        for (id, request) in waiting {
            match refused.remove(&id) {
                Some(reason) => {
                    let failure = Failure::plain(Status::BadRequest, reason);
                    request.reply(reply(&Answer::<()>::Err(failure)));
                }
                None => self.answer_start(&id, request),
            }
        }
        if again {
            self.sync();
        }
    }

    async fn on_request(&mut self, request: Request, drivers: &Drivers) {
        // One that stood still may have been replaced meanwhile.
        if self.with.lease.fresh().await.is_none() {
            return;
        }
        let Some(active) = &mut self.active else { return };
        match serde_json::from_slice(&request.body) {
            Ok(ManagerCall::Drivers) => {
                request.reply(reply(&Answer::Ok(drivers.shown.borrow().to_vec())));
            }
            // Asked before a datasource is created or deleted.
            Ok(ManagerCall::Ping) => request.reply(reply(&self.with.lease.fence().map(drop))),
            Ok(ManagerCall::Start { id }) => {
                if let Err(failure) = self.with.lease.fence() {
                    request.reply(reply(&Answer::<()>::Err(failure)));
                } else if active.tasks.contains_key(&id) {
                    self.answer_start(&id, request);
                } else {
                    active.arrived.push((id, request));
                    self.sync();
                }
            }
            Ok(ManagerCall::Update { id }) => {
                if let Err(failure) = self.with.lease.fence() {
                    request.reply(reply(&Answer::<()>::Err(failure)));
                } else {
                    active.arrived.push((id, request));
                    self.sync();
                }
            }
            Ok(ManagerCall::Stop { id }) => {
                if let Some(task) = active.tasks.remove(&id) {
                    task.stop().await;
                }
                request.reply(reply(&Answer::Ok(())));
            }
            Err(error) => {
                request.reply(reply(&Answer::<()>::Err(Failure::internal(error))));
            }
        }
    }

    /// Answers how the start of a datasource went, once that is known; at once while its driver may
    /// still be being loaded. If it is refused the task waits for a better one.
    fn answer_start(&self, id: &str, request: Request) {
        let task = self.active.as_ref().and_then(|active| active.tasks.get(id));
        let Some(task) = task else {
            let failure = Failure::plain(Status::NotFound, format!("Datasource not found {id}"));
            request.reply(reply(&Answer::<()>::Err(failure)));
            return;
        };
        if task.code.borrow().is_awaited() {
            request.reply(reply(&Answer::Ok(())));
            return;
        }
        let mut started = task.started.clone();
        // A driver may take its time to refuse: nobody else waits for it.
        tokio::spawn(async move {
            let outcome = match started.wait_for(Option::is_some).await {
                Ok(outcome) => outcome.clone().unwrap_or(Ok(())),
                Err(_) => Err("the datasource's task has ended".to_owned()),
            };
            let bad = |reason| Failure::plain(Status::BadRequest, reason);
            request.reply(reply(&outcome.map_err(bad)));
        });
    }

    /// Starts a task.
    fn start(&mut self, row: Datasource) -> Result<(), String> {
        let code = self.code_of(&row.driver);
        let Some(active) = &mut self.active else { return Ok(()) };
        let requests =
            self.with.bus.serve(&row.name, BACKLOG).map_err(|error| error.to_string())?;
        active.publishers += 1;
        let epoch = Epoch::in_term(active.term, active.publishers);
        let publisher =
            self.with.bus.publish(&row.name, epoch).map_err(|error| error.to_string())?;
        let stop = self.with.stop.child_token();
        let (id, name, driver) = (row.id.clone(), row.name.clone(), row.driver.clone());
        let config = row.config.clone();
        let shared = Shared::new(row, &self.with, publisher, &self.options, active.errands.clone());
        let (code, receiver) = watch::channel(code);
        let (outcome, started) = watch::channel(None);
        let task = Task {
            shared: Arc::new(shared),
            local: active.local.clone(),
            requests,
            code: receiver,
            outcome,
            longest_pause: self.options.longest_pause,
            stop: stop.clone(),
        };
        let join = tokio::spawn(task.run());
        tracing::info!(datasource = %name, %driver, "datasource started");
        active.tasks.insert(id, Handle { name, driver, config, code, started, stop, join });
        Ok(())
    }

    /// What the datasources of a driver are to run.
    fn code_of(&self, driver: &str) -> Code {
        if let Some(code) = self.code.get(driver) {
            return code.clone();
        }
        if self.options.folders.disabled.contains(driver) {
            return Code::Missing(format!(
                "driver '{driver}' is disabled by disabled_drivers in congress.conf"
            ));
        }
        if !self.settled {
            return Code::Awaited;
        }
        Code::Missing(format!(
            "driver '{driver}' is not loaded: there is no component of that id in the drivers \
             folders; the datasource starts when there is"
        ))
    }

    fn on_driver(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Use { driver, problem } => {
                let id = driver.metadata().id.clone();
                self.code.insert(id.clone(), Code::Run { driver, problem });
                self.hand_over(&id);
            }
            DriverEvent::Removed(id) => {
                self.code.remove(&id);
                self.hand_over(&id);
            }
            DriverEvent::Settled => {
                self.settled = true;
                let tasks = self.active.iter().flat_map(|active| active.tasks.values());
                let missing: BTreeSet<_> = tasks
                    .filter(|task| !self.code.contains_key(&task.driver))
                    .map(|task| task.driver.clone())
                    .collect();
                for driver in missing {
                    self.hand_over(&driver);
                }
            }
        }
    }

    /// Gives the datasources of a driver its code, or takes it away. They see to it themselves.
    fn hand_over(&self, driver: &str) {
        let code = self.code_of(driver);
        let tasks = self.active.iter().flat_map(|active| active.tasks.values());
        for task in tasks.filter(|task| task.driver == driver) {
            task.code.send_replace(code.clone());
        }
    }
}

/// How long to wait before the database is read, after so many failures in a row.
fn pause_after(failures: u32) -> Duration {
    match failures.checked_sub(1) {
        None => Duration::ZERO,
        Some(doublings) => RETRY.saturating_mul(1 << doublings.min(10)).min(LONGEST_RETRY),
    }
}

/// The next call, if calls are taken.
async fn next(requests: Option<&mut Requests>) -> Option<Request> {
    match requests {
        Some(requests) => requests.next().await,
        None => std::future::pending().await,
    }
}
