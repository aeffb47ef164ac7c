//! The datasources' role: keeps a task for every enabled datasource in the database.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Bus, Epoch, RegisterError, Request, Requests};
use congress_plugins::{Driver, Host};
use congress_store::{KeyRing, Store};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::drivers::{DriverEvent, DriverFolders, Watcher};
use super::shared::Shared;
use super::task::{Task, UseDriver};
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
}

/// The role. It ends when its token is cancelled.
pub struct Manager {
    host: Host,
    store: Store,
    keys: KeyRing,
    bus: Arc<dyn Bus>,
    options: ManagerOptions,
    requests: Requests,
    drivers: HashMap<String, Driver>,
    /// The drivers that were there at start have been loaded.
    settled: bool,
    tasks: HashMap<String, Handle>,
    epoch: u64,
    stop: CancellationToken,
}

/// How a driver takes a datasource's configuration.
type Outcome = oneshot::Receiver<Result<(), String>>;

/// A running task.
struct Handle {
    name: String,
    driver: String,
    commands: mpsc::Sender<UseDriver>,
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
            drivers: HashMap::new(),
            settled: false,
            tasks: HashMap::new(),
            epoch: 0,
            stop,
        })
    }

    /// Runs until stopped.
    pub async fn run(mut self) {
        let (sender, mut events) = mpsc::channel(16);
        let watcher = Watcher::new(
            self.host.clone(),
            self.store.clone(),
            std::mem::take(&mut self.options.folders),
            self.options.component_bytes,
            sender,
        );
        let watching = tokio::spawn(watcher.run(self.stop.clone()));
        let mut sync = tokio::time::interval(self.options.sync_period);
        sync.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => break,
                Some(event) = events.recv() => self.on_driver(event).await,
                _ = sync.tick() => self.sync().await,
                request = self.requests.next() => {
                    let Some(request) = request else { break };
                    match serde_json::from_slice(&request.body) {
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
        let _ = watching.await;
    }

    async fn on_call(&mut self, call: ManagerCall, request: Request) {
        let answer = match call {
            ManagerCall::Ping => Ok(()),
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
        let (commands, drivers) = mpsc::channel(4);
        let stop = self.stop.child_token();
        let handle = (row.id.clone(), row.name.clone(), row.driver.clone());
        let shared = Shared::new(
            row,
            self.bus.clone(),
            self.store.clone(),
            self.keys.clone(),
            publisher,
            self.options.execute_actions,
        );
        let task = Task { shared: Arc::new(shared), requests, drivers, stop: stop.clone() };
        let join = tokio::spawn(task.run());
        let (id, name, driver) = handle;
        let code = self.drivers.get(&driver).cloned();
        let outcome = if code.is_none() && !self.settled {
            None
        } else {
            let (done, outcome) = oneshot::channel();
            // A task that has ended drops the sender, which its receiver notices.
            let _ = commands.send(UseDriver { driver: code, done }).await;
            Some(outcome)
        };
        tracing::info!(datasource = %name, %driver, "datasource started");
        self.tasks.insert(id, Handle { name, driver, commands, stop, join });
        Ok(outcome)
    }

    async fn on_driver(&mut self, event: DriverEvent) {
        match event {
            DriverEvent::Loaded(driver) => {
                let id = driver.metadata().id.clone();
                self.drivers.insert(id.clone(), driver);
                self.hand_over(&id).await;
            }
            DriverEvent::Removed(id) => {
                self.drivers.remove(&id);
                self.hand_over(&id).await;
            }
            DriverEvent::Settled => {
                self.settled = true;
                let missing: Vec<_> = self
                    .tasks
                    .values()
                    .map(|task| task.driver.clone())
                    .filter(|driver| !self.drivers.contains_key(driver))
                    .collect();
                for driver in missing {
                    self.hand_over(&driver).await;
                }
            }
        }
    }

    /// Gives the datasources of a driver its code, or takes it away, without waiting for them.
    async fn hand_over(&self, driver: &str) {
        for task in self.tasks.values().filter(|task| task.driver == driver) {
            let (done, _) = oneshot::channel();
            let code = self.drivers.get(driver).cloned();
            let _ = task.commands.send(UseDriver { driver: code, done }).await;
        }
    }
}
