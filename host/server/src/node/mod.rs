//! A node: which roles run, in which order they start and stop.
//!
//! Supervisors are answered from the first moment to the last, whatever else is away; roles come
//! as what they need does. A node that stops says so first: balancers see that it is not ready,
//! and only then its connections close and its roles end.

mod begin;
mod bus;
mod exit;
mod identity;
mod key_file;
mod lock;
mod notify;
mod watch;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use congress_bus::Bus;
use congress_plugins::{Host, HostConfig};
use congress_store::{KeyRing, Location, Store};
use serde_json::json;
use tokio::sync::watch::Receiver;
use tokio::task::{JoinError, JoinHandle};
use tokio_util::sync::CancellationToken;

pub use self::begin::check_keys;
pub use self::exit::{Ended, Exit};

use self::key_file::KeyFile;
use self::lock::LockFile;
use self::notify::ServiceManager;
use crate::api::{self, ApiOptions, App, Cors, KeptAnswers, Slot, Streams};
use crate::auth::{AuthOptions, Guard};
use crate::config::{BusConfig, Roles};
use crate::datasources::{
    Client, ClientOptions, DriverFolders, Ending, Manager, ManagerOptions, Surroundings,
};
use crate::engine::{EngineHandle, EngineOptions};
use crate::health::{Health, Phase};
use crate::keys::Keys;
use crate::lease::machine::Times;
use crate::lease::{self, Lease};
use crate::library::Library;

/// How long the node waits for datasources before it calls itself ready without them.
const SETTLE: Duration = Duration::from_secs(2);

/// How long the node waits for rows of datasources that do answer.
const LOAD: Duration = Duration::from_secs(30);

/// How long a node without others waits for its own lease of before a crash.
const LAPSE: Duration = Duration::from_millis(3500);

/// How long the roles may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// Everything that a node needs to know.
pub struct NodeOptions {
    /// Its name on the bus.
    pub node_id: String,
    /// What it does.
    pub roles: Roles,
    /// Where it listens: for the API, or only for supervisors if it has none.
    pub listen: Listen,
    /// Held locked while the process lives, with its id and address in it.
    pub lock_file: Option<PathBuf>,
    /// How long a node with the API says that it is about to stop before it does.
    pub drain_delay: Duration,
    /// How nodes reach each other.
    pub bus: BusConfig,
    /// The database.
    pub database: Location,
    /// How to use it.
    pub store: congress_store::Options,
    /// How long to wait for it at start.
    pub patience: Patience,
    /// The folder with the keys of stored secrets.
    pub keys: PathBuf,
    /// Where drivers come from.
    pub drivers: DriverFolders,
    /// What drivers may do.
    pub plugins: HostConfig,
    /// The engine's role.
    pub engine: EngineOptions,
    /// The API's bounds.
    pub api: ApiOptions,
    /// Pages of other origins that may use it.
    pub cors: Option<Cors>,
    /// Who may use it; none: whoever can reach it.
    pub auth: Option<AuthOptions>,
    /// How actions are run.
    pub actions: crate::actions::Options,
    /// How long a datasource that fails again and again waits at most between two attempts.
    pub longest_pause: Duration,
    /// Whether nothing of a poll is published if a table could not be read.
    pub all_or_nothing: bool,
    /// How long a request waits for the revision that it asks for.
    pub revision_timeout: Duration,
    /// Folders with policies for a library that is empty.
    pub library: Vec<PathBuf>,
    /// How the API reaches datasources.
    pub client: ClientOptions,
}

/// Where a node listens.
#[derive(Clone, Copy, Debug)]
pub struct Listen {
    /// The address; port 0 for any.
    pub address: SocketAddr,
    /// After how long a silence clients are asked whether they are still there, if ever.
    pub keepalive: Option<Duration>,
    /// The options that choose it, for people.
    pub options: [&'static str; 2],
}

/// How often a database that does not answer at start is tried again, and after which pause.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// None: for ever.
    pub retries: Option<u32>,
    /// The pause.
    pub interval: Duration,
}

/// Runs a node until `stop`. Whenever `reread` changes, the key file is read again.
pub async fn run(
    options: NodeOptions,
    stop: CancellationToken,
    reread: Receiver<()>,
) -> Result<(), Ended> {
    let manager = ServiceManager::of_process();
    let instance = uuid::Uuid::new_v4().to_string();
    // First what can be refused at once: nothing has been touched then.
    let mut lock = options.lock_file.as_deref().map(LockFile::take).transpose()?;
    let listener = begin::bind(options.listen).await?;
    let address = listener.local_addr().context("cannot tell where it listens")?;
    if let Some(lock) = &mut lock {
        lock.write(&[
            ("pid", &std::process::id().to_string()),
            ("instance", &instance),
            ("node_id", &options.node_id),
            ("health", &format!("http://{address}")),
        ])?;
    }
    let health = Health::default();
    let guard = options.auth.clone().filter(|_| options.roles.api);
    let guard = guard
        .map(|auth| Guard::start(auth, &health.readiness, stop.clone()))
        .transpose()
        .map_err(Ended::configuration)?;
    begin::describe(&health, &options, &instance);
    let slot = options.roles.api.then(Slot::default);
    let front = api::front(health.clone(), options.api, options.cors.clone(), slot.clone());
    let closing = CancellationToken::new();
    let turns = health.pulse.watch("listener");
    let serving = api::serve(listener, front, options.api, turns, closing.clone());
    let serving = Serving { task: tokio::spawn(serving), closing: closing.clone() };
    let beating = tokio::spawn(begin::beat(health.clone(), manager.clone()));
    tracing::info!(
        %address, node = %options.node_id, %instance, roles = %options.roles, "listening"
    );

    let node =
        Node { health, instance, slot, guard, closing, stop, reread, manager: manager.clone() };
    let outcome = node.run(options, serving).await;
    manager.tell("STOPPING=1");
    beating.abort();
    drop(lock);
    outcome
}

/// What a node has from its first moment on.
struct Node {
    health: Health,
    instance: String,
    /// Where the API comes, if this node has one.
    slot: Option<Slot>,
    /// Whom it lets in.
    guard: Option<Arc<Guard>>,
    /// Cancelled when requests under way are to end.
    closing: CancellationToken,
    stop: CancellationToken,
    /// Changes when files are to be read again.
    reread: Receiver<()>,
    manager: ServiceManager,
}

/// The task that answers requests.
struct Serving {
    task: JoinHandle<()>,
    closing: CancellationToken,
}

impl Serving {
    /// Takes no more connections, and finishes the requests under way.
    async fn end(self) {
        self.closing.cancel();
        if let Err(error) = self.task.await {
            tracing::error!(%error, "the listener has failed");
        }
    }
}

impl Node {
    async fn run(self, options: NodeOptions, serving: Serving) -> Result<(), Ended> {
        let store = tokio::select! {
            store = begin::open_store(&options, &self.health.readiness) => store?,
            () = self.stop.cancelled() => {
                self.health.readiness.enter(Phase::Draining);
                serving.end().await;
                return Ok(());
            }
        };
        let ending = CancellationToken::new();
        let bus =
            bus::open(&options.bus, &options.plugins.limits, &options.node_id, &self.instance);
        let roles = self.start_roles(&options, &store, bus.clone(), &ending).await;
        let outcome = match roles {
            Ok(mut running) => {
                let early = tokio::select! {
                    () = self.stop.cancelled() => None,
                    ended = running.early() => Some(ended),
                };
                self.drain(&options).await;
                serving.end().await;
                ending.cancel();
                let ended = running.ended().await;
                early.unwrap_or(ended)
            }
            Err(reason) => {
                ending.cancel();
                Err(reason)
            }
        };
        bus.leave().await;
        store.close().await;
        tracing::info!("stopped");
        outcome
    }

    /// Says that the node is about to stop, for as long as balancers need to notice.
    async fn drain(&self, options: &NodeOptions) {
        tracing::info!("stopping");
        self.health.readiness.enter(Phase::Draining);
        self.manager.tell("STOPPING=1");
        if options.roles.api {
            tokio::time::sleep(options.drain_delay).await;
        }
    }

    /// Starts the roles of this node. On failure some may run, until `ending`.
    async fn start_roles(
        &self,
        options: &NodeOptions,
        store: &Store,
        bus: Arc<dyn Bus>,
        ending: &CancellationToken,
    ) -> Result<Running, Ended> {
        let Health { pulse, readiness, .. } = &self.health;
        let keys = match options.roles.datasources {
            true => Some(begin::open_keys(&options.keys, store).await?),
            false => None,
        };
        let sealing = keys.as_ref().map_or_else(|| Keys::in_folder(&options.keys), Keys::from);
        let key_file = KeyFile {
            folder: options.keys.clone(),
            store: store.clone(),
            opening: keys.clone(),
            sealing: sealing.clone(),
        };
        tokio::spawn(key_file.follow(self.reread.clone(), ending.clone()));
        let seen = bus.clone();
        self.health.detail.add("peers", move || begin::peers(seen.as_ref()));
        tokio::spawn(watch::database(store.clone(), readiness.clone(), ending.clone()));
        tokio::spawn(watch::link(bus.clone(), readiness.clone(), ending.clone()));

        let mut manager = None;
        let mut lease = None;
        if let Some(keys) = keys {
            let kept = self.lease(options, store, &bus);
            let role = self.manager_role(options, store, keys, bus.clone(), &kept, ending)?;
            (manager, lease) = (Some(role), Some(kept));
        }
        let promised = manager.as_ref().map(Manager::drivers_promised);
        let mut engine = None;
        // The API answers from an engine of its own, whoever else has one (docs/adr/0013).
        if options.roles.policy_engine || options.roles.api {
            readiness.missing("policies", "being loaded from the database");
            let started = EngineHandle::start(
                store.clone(),
                bus.clone(),
                options.engine.clone(),
                pulse,
                ending.clone(),
            );
            let started = started.await.context("cannot load policies from the database")?;
            started.answer_once_loaded(SETTLE, LOAD);
            let described = started.clone();
            self.health.detail.add("subscriptions", move || json!(described.subscriptions()));
            let described = started.clone();
            self.health.detail.add("revision", move || json!(described.revision()));
            engine = Some(started);
            readiness.present("policies");
            let role = if options.roles.policy_engine { "policy_engine" } else { "replica" };
            readiness.role(role, "running");
        }
        let running = Running {
            task: manager.map(|manager| tokio::spawn(manager.run())),
            taken: self.be_known(options, &bus)?,
        };
        if let (Some(slot), Some(engine)) = (&self.slot, &engine) {
            let datasources =
                Client::new(store.clone(), sealing, bus, engine.clone(), options.client.clone());
            let revision_timeout = options.revision_timeout;
            let library = Library::new(store.clone());
            library.fill(options.library.clone()).await;
            let app = App {
                engine: engine.clone(),
                datasources,
                library,
                streams: Streams::new(self.closing.clone()),
                kept: KeptAnswers::default(),
                revision_timeout,
            };
            slot.fill(app, self.guard.clone());
            readiness.role("api", "serving");
        }
        let alone = options.bus.url.is_in_process();
        let (readiness, manager) = (readiness.clone(), self.manager.clone());
        tokio::spawn(async move {
            // Whoever sends requests here, or hands datasources over to this node, relies on what
            // the catalogue promises: what is missing here has been fetched and compiled.
            if let Some(mut promised) = promised {
                readiness.missing("drivers", "being loaded");
                if promised.wait_for(|promised| *promised).await.is_err() {
                    return;
                }
                readiness.present("drivers");
            }
            // On a bus of its own, nobody else runs datasources for this node: after a crash its
            // own lease must lapse first.
            if let Some(lease) = lease.filter(|_| alone) {
                let active =
                    |status: &lease::Status| matches!(status, lease::Status::Active { .. });
                let mut status = lease.status();
                let _ = tokio::time::timeout(LAPSE, status.wait_for(active)).await;
            }
            // Rules that name columns wait for the schemas of their datasources.
            if let Some(engine) = engine {
                // Who is sent here before would find tables empty that are not.
                readiness.missing("rows", "being received from the datasource node");
                for missing in engine.loaded(SETTLE, LOAD).await {
                    tracing::warn!("{missing}");
                }
                readiness.present("rows");
            }
            readiness.enter(Phase::Ready);
            manager.tell("READY=1");
            tracing::info!("ready");
        });
        Ok(running)
    }

    /// Lets other nodes see which roles run here, and watches for one that has the same id.
    fn be_known(
        &self,
        options: &NodeOptions,
        bus: &Arc<dyn Bus>,
    ) -> Result<Option<JoinHandle<String>>, Ended> {
        if options.roles.policy_engine {
            identity::be_there(bus, identity::ENGINE)?;
        }
        if options.roles.api {
            identity::be_there(bus, identity::API)?;
        }
        let has_engine = options.roles.policy_engine || options.roles.api;
        let (node_id, instance) = (options.node_id.clone(), self.instance.clone());
        let watching = identity::taken(bus.clone(), node_id, instance, identity::ALIVE);
        Ok(has_engine.then(|| tokio::spawn(watching)))
    }

    /// Begins to reach for the lease of the datasource node.
    fn lease(&self, options: &NodeOptions, store: &Store, bus: &Arc<dyn Bus>) -> Lease {
        let times = Times::default();
        let lease = Lease::new(store.clone(), bus.clone(), &options.node_id, &self.instance, times);
        // It is kept until the role has ended, which gives it back.
        tokio::spawn(lease.clone().keep(CancellationToken::new()));
        let described = lease.clone();
        self.health.detail.add("lease", move || described.describe());
        lease
    }

    fn manager_role(
        &self,
        options: &NodeOptions,
        store: &Store,
        keys: KeyRing,
        bus: Arc<dyn Bus>,
        lease: &Lease,
        ending: &CancellationToken,
    ) -> Result<Manager, Ended> {
        let component_bytes = options.plugins.limits.component_bytes;
        let host =
            Host::new(options.plugins.clone()).context("cannot start the host of drivers")?;
        let Health { pulse, readiness, .. } = &self.health;
        let with = Surroundings {
            store: store.clone(),
            keys,
            bus,
            lease: lease.clone(),
            readiness: readiness.clone(),
            stop: ending.clone(),
        };
        let options = ManagerOptions {
            folders: options.drivers.clone(),
            component_bytes,
            sync_period: options.engine.sync_period,
            actions: options.actions.clone(),
            longest_pause: options.longest_pause,
            all_or_nothing: options.all_or_nothing,
        };
        Ok(Manager::new(host, with, options, pulse.watch("datasources")))
    }
}

/// What may end a node before it is told to.
struct Running {
    /// The datasources, until they have ended.
    task: Option<JoinHandle<Ending>>,
    /// Ends if another engine has this node's id.
    taken: Option<JoinHandle<String>>,
}

impl Running {
    /// Waits until something ends the node; for ever if nothing does.
    async fn early(&mut self) -> Result<(), Ended> {
        tokio::select! {
            ended = wait_for(&mut self.task) => {
                self.task = None;
                outcome_of(ended)
            }
            taken = wait_for(&mut self.taken) => match taken {
                Ok(reason) => {
                    tracing::error!("{reason}");
                    Err(anyhow!("{reason}").into())
                }
                Err(error) => Err(anyhow!("the watch for this node's id has failed: {error}").into()),
            },
        }
    }

    /// Waits for the roles to end that have been told to.
    async fn ended(self) -> Result<(), Ended> {
        if let Some(taken) = self.taken {
            taken.abort();
        }
        let Some(task) = self.task else { return Ok(()) };
        match tokio::time::timeout(STOP, task).await {
            Ok(ended) => outcome_of(ended),
            Err(_) => {
                let seconds = STOP.as_secs();
                tracing::warn!("datasources did not stop within {seconds} s; leaving them");
                Ok(())
            }
        }
    }
}

/// Waits for a task; for ever if there is none.
async fn wait_for<T>(task: &mut Option<JoinHandle<T>>) -> Result<T, JoinError> {
    match task {
        Some(task) => task.await,
        None => std::future::pending().await,
    }
}

/// How the process ends after its datasources have.
fn outcome_of(ended: Result<Ending, JoinError>) -> Result<(), Ended> {
    match ended {
        Ok(Ending::Stopped) => Ok(()),
        Ok(Ending::Replaced { term, by }) => Err(Ended {
            exit: Exit::LeaseLost,
            reason: anyhow!(
                "this was the active datasource node in term {term} of the lease, and another \
                 one is in term {by}; started again it waits as a standby"
            ),
        }),
        Ok(Ending::WrongKey(reason)) => Err(Ended::configuration(anyhow!("{reason}"))),
        Err(error) => Err(anyhow!("the datasources have failed: {error}").into()),
    }
}
