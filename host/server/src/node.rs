//! A node: which roles run, in which order they start and stop.

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use congress_bus::{Bus, InProcessBus};
use congress_plugins::{Host, HostConfig};
use congress_store::{KeyRing, Location, Store};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api::{self, ApiOptions, App, Phase, Readiness};
use crate::datasources::{Client, DriverFolders, Manager, ManagerOptions};
use crate::engine::{EngineHandle, EngineOptions};

/// How long the node waits for datasources before it calls itself ready without them.
const SETTLE: Duration = Duration::from_secs(2);

/// How long the roles may take to stop.
const STOP: Duration = Duration::from_secs(10);

/// Everything that a node needs to know.
pub struct NodeOptions {
    /// Its name on the bus.
    pub node_id: String,
    /// Where the API listens.
    pub listen: SocketAddr,
    /// The database.
    pub database: Location,
    /// How to use it.
    pub store: congress_store::Options,
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
    /// False: actions are logged, never executed.
    pub execute_actions: bool,
    /// How long a datasource that fails again and again waits at most between two attempts.
    pub longest_pause: Duration,
    /// How long an ordinary call over the bus may take.
    pub timeout: Duration,
    /// How long a call that waits for a driver may take.
    pub long_timeout: Duration,
}

/// Runs a node with all three roles until `stop`. Fails if it cannot start.
pub async fn run(options: NodeOptions, stop: CancellationToken) -> anyhow::Result<()> {
    // First what can be refused at once: nothing has been touched then.
    let listener = bind(options.listen).await?;
    let readiness = Readiness::default();
    let store = Store::open(&options.database, &options.store).await?;
    let keys = open_keys(&options, &store).await?;
    // All that the API gets of them.
    let sealer = keys.sealer().clone();
    let bus: Arc<dyn Bus> =
        Arc::new(InProcessBus::new(&options.node_id, uuid::Uuid::new_v4().to_string()));

    let component_bytes = options.plugins.limits.component_bytes;
    let sync_period = options.engine.sync_period;
    let disabled = options.drivers.disabled.clone();
    let host = Host::new(options.plugins).context("cannot start the host of drivers")?;
    let manager = Manager::new(
        host,
        store.clone(),
        keys,
        bus.clone(),
        ManagerOptions {
            folders: options.drivers,
            component_bytes,
            sync_period,
            execute_actions: options.execute_actions,
            longest_pause: options.longest_pause,
        },
        stop.clone(),
    )?;
    let mut promised = manager.drivers_promised();
    let engine = EngineHandle::start(store.clone(), bus.clone(), options.engine, stop.clone())
        .await
        .context("cannot load policies from the database")?;
    let manager = tokio::spawn(manager.run());
    let datasources = Client::new(
        store.clone(),
        sealer,
        bus,
        engine.clone(),
        options.timeout,
        options.long_timeout,
        disabled,
    );
    let app = App {
        engine: engine.clone(),
        datasources,
        options: options.api,
        readiness: readiness.clone(),
    };
    tracing::info!(address = %listener.local_addr()?, node = %options.node_id, "listening");
    tokio::spawn(async move {
        // Whoever sends requests here, or hands datasources over to this node, relies on what the
        // catalogue promises: what is missing here has been fetched and compiled.
        if promised.wait_for(|promised| *promised).await.is_err() {
            return;
        }
        // Rules that name columns wait for the schemas of their datasources.
        if tokio::time::timeout(SETTLE, engine.has_schemas()).await.is_err() {
            tracing::warn!("some datasources do not answer yet; rules that read them wait");
        }
        readiness.enter(Phase::Ready);
        tracing::info!("ready");
    });

    api::serve(listener, app, stop.clone()).await;
    stop.cancel();
    if tokio::time::timeout(STOP, manager).await.is_err() {
        tracing::warn!("datasources did not stop within {} s; leaving them", STOP.as_secs());
    }
    store.close().await;
    tracing::info!("stopped");
    Ok(())
}

/// Binds the API's address. A port in use is an error, never shared.
async fn bind(address: SocketAddr) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => anyhow!(
            "cannot listen on {address}: another process uses that port; stop it, or set \
             [DEFAULT] bind_port to a free one"
        ),
        io::ErrorKind::PermissionDenied => {
            anyhow!("cannot listen on {address}: not permitted; ports below 1024 need a privilege")
        }
        io::ErrorKind::AddrNotAvailable => anyhow!(
            "cannot listen on {address}: this machine has no such address; set [DEFAULT] \
             bind_host to one that it has"
        ),
        _ => anyhow!("cannot listen on {address}: {error}"),
    })
}

/// Opens the keys. A new key is made only where nothing is sealed with another one.
async fn open_keys(options: &NodeOptions, store: &Store) -> anyhow::Result<KeyRing> {
    let sealed = store.has_sealed_secrets().await?;
    KeyRing::open(&options.keys, !sealed).map_err(|error| {
        if sealed {
            anyhow!(
                "{error}. The database holds secrets that are sealed with the key of another \
                 host: copy its key folder here, or set [DEFAULT] encryption_key_path"
            )
        } else {
            error.into()
        }
    })
}
