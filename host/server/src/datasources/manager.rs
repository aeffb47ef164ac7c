//! The datasources' role: keeps a task for every enabled datasource in the database.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Bus, Epoch, RegisterError, Request, Requests};
use congress_plugins::Host;
use congress_store::{KeyRing, Store};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::drivers::{DriverEvent, DriverFolders, Drivers};
use super::shared::Shared;
use super::task::{Code, Task};
use super::wire::{MANAGER, ManagerCall, reply};
use crate::failure::{Answer, Failure, Status};

/// How many calls to the manager, or to one datasource, may wait.
const BACKLOG: usize = 256;

/// How the role behaves.
pub struct ManagerOptions {
    /// Where drivers come from.
    pub folders: DriverFolders,
    /// The largest component that is loaded, in bytes.
    pub component_bytes: u64,
    /// How often the database is compared with what runs, besides at every change made here.
    pub sync_period: Duration,
    /// False: actions are logged, never executed.
    pub execute_actions: bool,
    /// How long a datasource that fails again and again waits at most between two attempts.
    pub longest_pause: Duration,
}

/// The role. It ends when its token is cancelled.
pub struct Manager {
    host: Host,
    store: Store,
    keys: KeyRing,
    bus: Arc<dyn Bus>,
    options: ManagerOptions,
    requests: Requests,
    /// The code of every driver that there is.
    code: HashMap<String, Code>,
    /// The drivers that were there at start have been looked at.
    settled: bool,
    /// See [`Manager::drivers_promised`].
    promised: watch::Sender<bool>,
    tasks: HashMap<String, Handle>,
    epoch: u64,
    stop: CancellationToken,
}

/// How a driver takes a datasource's configuration, the first time.
type Outcome = oneshot::Receiver<Result<(), String>>;

/// A running task.
struct Handle {
    name: String,
    driver: String,
    code: watch::Sender<Code>,
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
    /// Registers the role on the bus. [`Manager::run`] does the rest.
    pub fn new(
        host: Host,
        store: Store,
        keys: KeyRing,
        bus: Arc<dyn Bus>,
        options: ManagerOptions,
        stop: CancellationToken,
    ) -> Result<Self, RegisterError> {
        let requests = bus.serve(MANAGER, BACKLOG)?;
        Ok(Self {
            host,
            store,
            keys,
            bus,
            options,
            requests,
            code: HashMap::new(),
            settled: false,
            promised: watch::Sender::new(false),
            tasks: HashMap::new(),
            epoch: 0,
            stop,
        })
    }

    /// Becomes true once all drivers that the catalogue in the database has at start, which others
    /// rely on, can be used here or have failed.
    pub fn drivers_promised(&self) -> watch::Receiver<bool> {
        self.promised.subscribe()
    }

    /// Runs until stopped.
    pub async fn run(mut self) {
        let mut drivers = Drivers::watch(
            self.host.clone(),
            self.store.clone(),
            self.options.folders.clone(),
            self.options.component_bytes,
            self.promised.clone(),
            &self.stop,
        );
        let mut sync = tokio::time::interval(self.options.sync_period);
        sync.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(event) = drivers.events.recv() => self.on_driver(event),
                _ = sync.tick() => self.sync().await,
                request = self.requests.next() => {
                    let Some(request) = request else { break };
                    match serde_json::from_slice(&request.body) {
                        Ok(ManagerCall::Drivers) => {
                            request.reply(reply(&Answer::Ok(drivers.shown.borrow().to_vec())));
                        }
                        Ok(call) => self.on_call(call, request).await,
                        Err(error) => request.reply(reply(&Answer::<()>::Err(
                            Failure::internal(error),
                        ))),
                    }
                }
            }
        }
        for (_, task) in self.tasks.drain() {
            task.stop().await;
        }
        drivers.ended().await;
    }

    async fn on_call(&mut self, call: ManagerCall, request: Request) {
        let answer = match call {
            ManagerCall::Ping | ManagerCall::Drivers => Ok(()),
            ManagerCall::Start { id } => match self.start_by_id(&id).await {
                Ok(Some(outcome)) => {
                    // A driver may take its time to refuse: nobody else waits for it.
                    tokio::spawn(async move {
                        let ended = Err("the datasource's task has ended".to_owned());
                        let answer = outcome.await.unwrap_or(ended);
                        let bad = |reason| Failure::plain(Status::BadRequest, reason);
                        request.reply(reply(&answer.map_err(bad)));
                    });
                    return;
                }
                Ok(None) => Ok(()),
                Err(failure) => Err(failure),
            },
            ManagerCall::Stop { id } => {
                if let Some(task) = self.tasks.remove(&id) {
                    task.stop().await;
                }
                Ok(())
            }
        };
        request.reply(reply(&answer));
    }

    async fn start_by_id(&mut self, id: &str) -> Answer<Option<Outcome>> {
        let row = self.store.datasource(id).await.map_err(|error| match error {
            congress_store::Error::NotFound { .. } => {
                Failure::plain(Status::NotFound, format!("Datasource not found {id}"))
            }
            other => Failure::internal(other),
        })?;
        if self.tasks.contains_key(&row.id) {
            return Ok(None);
        }
        self.start(row).await.map_err(|reason| Failure::plain(Status::BadRequest, reason))
    }

    /// Starts what is in the database and does not run, stops what runs and is not. What goes
    /// wrong with one datasource does not concern the others.
    async fn sync(&mut self) {
        let rows = match self.store.datasources().await {
            Ok(rows) => rows,
            Err(error) => {
                tracing::error!(%error, "cannot read the datasources; what runs goes on");
                return;
            }
        };
        let gone: Vec<_> = self
            .tasks
            .keys()
            .filter(|id| !rows.iter().any(|row| row.enabled && row.id == **id))
            .cloned()
            .collect();
        for id in gone {
            if let Some(task) = self.tasks.remove(&id) {
                tracing::info!(datasource = %task.name, "datasource is gone or disabled; stopping it");
                task.stop().await;
            }
        }
        for row in rows.into_iter().filter(|row| row.enabled) {
            if !self.tasks.contains_key(&row.id) {
                // What the driver says of it is in the log and in the status.
                let name = row.name.clone();
                if let Err(reason) = self.start(row).await {
                    tracing::error!(datasource = %name, "cannot start it: {reason}");
                }
            }
        }
    }

    /// Starts a task, and gives what tells how its driver takes the configuration: none while
    /// that driver may still be being loaded. If it is refused the task waits for a better one.
    async fn start(&mut self, row: congress_store::Datasource) -> Result<Option<Outcome>, String> {
        let requests = self.bus.serve(&row.name, BACKLOG).map_err(|error| error.to_string())?;
        self.epoch += 1;
        let publisher =
            self.bus.publish(&row.name, Epoch(self.epoch)).map_err(|error| error.to_string())?;
        let stop = self.stop.child_token();
        let (id, name, driver) = (row.id.clone(), row.name.clone(), row.driver.clone());
        let shared = Shared::new(
            row,
            self.bus.clone(),
            self.store.clone(),
            self.keys.clone(),
            publisher,
            self.options.execute_actions,
        );
        let (code, receiver) = watch::channel(self.code_of(&driver));
        let (outcome, started) = oneshot::channel();
        let is_known = !code.borrow().is_awaited();
        let task = Task {
            shared: Arc::new(shared),
            requests,
            code: receiver,
            outcome: Some(outcome),
            longest_pause: self.options.longest_pause,
            stop: stop.clone(),
        };
        let join = tokio::spawn(task.run());
        tracing::info!(datasource = %name, %driver, "datasource started");
        self.tasks.insert(id, Handle { name, driver, code, stop, join });
        Ok(is_known.then_some(started))
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
                let missing: BTreeSet<_> = self
                    .tasks
                    .values()
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
        for task in self.tasks.values().filter(|task| task.driver == driver) {
            task.code.send_replace(code.clone());
        }
    }
}
