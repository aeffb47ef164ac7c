//! The engine, its threads, and loading.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tokio::runtime::Handle;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::allowance::Allowance;
use crate::bindings::DatasourcePre;
use crate::cache::Cache;
use crate::call::{Code, Context, Guest, Job, Reply, run};
use crate::component::{WANTED, check_bytes, check_type};
use crate::driver::Loaded;
use crate::engine::engine;
use crate::error::first_line;
use crate::files::Files;
use crate::lanes::Lanes;
use crate::logging::GuestLog;
use crate::machine::{CompileQueues, Machine};
use crate::net::Network;
use crate::secret::Scrubber;
use crate::session::Session;
use crate::sink::Tables;
use crate::text::clean;
use crate::threads::Threads;
use crate::ticker::Ticker;
use crate::{
    CallError, CallErrorKind, Driver, HostConfig, HostError, LoadError, LoadErrorKind, State,
    describe, imports,
};

/// The plugin host: one per process. Cheap to clone. Dropping the last handle (drivers and
/// datasources hold one too) stops its threads.
#[derive(Clone)]
pub struct Host(Arc<Inner>);

pub(crate) struct Inner {
    pub(crate) engine: Engine,
    pub(crate) ticker: Ticker,
    pub(crate) network: Arc<Network>,
    pub(crate) config: HostConfig,
    linker: Linker<Guest>,
    pub(crate) cache: Option<Cache>,
    pub(crate) compiling: CompileQueues,
    pub(crate) lanes: Lanes,
    io: Threads,
}

impl Inner {
    pub(crate) fn io(&self) -> &Handle {
        self.io.handle()
    }
}

impl Host {
    /// Makes a host: an engine, a ticker thread, guest threads, and the folder for compiled code.
    /// Needs no runtime around it.
    pub fn new(config: HostConfig) -> Result<Self, HostError> {
        let engine = engine(&config).map_err(|e| HostError::Engine(format!("{e:#}")))?;
        let mut linker = Linker::new(&engine);
        imports::add_to(&mut linker).map_err(|e| HostError::Engine(format!("{e:#}")))?;
        let cache = match &config.cache_folder {
            Some(folder) => Some(Cache::open(folder, config.cache_bytes, &engine)?),
            None => None,
        };
        let io = Threads::start("plugins-io", 1).map_err(HostError::Threads)?;
        Ok(Self(Arc::new(Inner {
            ticker: Ticker::start(engine.clone()).map_err(HostError::Threads)?,
            network: Arc::new(Network::new(&config, io.handle().clone())),
            linker,
            cache,
            compiling: CompileQueues::default(),
            lanes: Lanes::start(config.guest_threads, config.simultaneous_calls)
                .map_err(HostError::Threads)?,
            io,
            engine,
            config,
        })))
    }

    /// Loads a component from a file: reads it, compiles it (or takes it from the cache), checks
    /// that it is a driver, and asks it to describe itself. Compiling happens on a thread of its
    /// own and may take many seconds for Python or JavaScript.
    pub async fn load(&self, path: impl Into<PathBuf>) -> Result<Driver, LoadError> {
        let path = path.into();
        let file = path.display().to_string();
        let fail = |kind| LoadError { file: file.clone(), kind };
        let bytes = self.read(path.clone()).await.map_err(fail)?;
        self.load_named(&file, bytes, Some(path)).await
    }

    /// Loads a component from memory; `name` stands for the file's name in errors.
    pub async fn load_bytes(&self, name: &str, bytes: Bytes) -> Result<Driver, LoadError> {
        self.load_named(name, bytes, None).await
    }

    pub(crate) async fn read(&self, path: PathBuf) -> Result<Bytes, LoadErrorKind> {
        let limit = self.0.config.limits.component_bytes;
        let task = self.0.io().spawn_blocking(move || {
            let size = std::fs::metadata(&path)?.len();
            if size > limit { Ok(Err(size)) } else { std::fs::read(&path).map(Ok) }
        });
        match task.await.map_err(stopped)?.map_err(LoadErrorKind::Read)? {
            Ok(bytes) => Ok(bytes.into()),
            Err(size) => Err(LoadErrorKind::TooLarge { size, limit }),
        }
    }

    async fn load_named(
        &self,
        name: &str,
        bytes: Bytes,
        path: Option<PathBuf>,
    ) -> Result<Driver, LoadError> {
        let fail = |kind| LoadError { file: clean(name, 1000), kind };
        let start = Instant::now();
        check_bytes(&bytes).map_err(fail)?;
        let machine = self.machine(bytes).await.map_err(fail)?;
        let linked = self.blocking(move |host| link(host, machine)).await.map_err(fail)?;
        let metadata = self.describe(&linked.code, name).await.map_err(fail)?;
        let load_time = start.elapsed();
        tracing::debug!(
            driver = metadata.id,
            version = metadata.version,
            world = linked.world_version,
            hash = linked.machine.hash,
            file = name,
            from_cache = linked.machine.from_cache,
            milliseconds = load_time.as_millis(),
            "driver loaded"
        );
        Ok(Driver::new(Loaded {
            host: self.0.clone(),
            code: linked.code,
            metadata,
            machine: linked.machine,
            world_version: linked.world_version,
            path,
            loaded_at: SystemTime::now(),
            load_time,
        }))
    }

    pub(crate) fn inner(&self) -> &Inner {
        &self.0
    }

    async fn describe(&self, code: &Code, name: &str) -> Result<crate::Metadata, LoadErrorKind> {
        let limits = &self.0.config.limits;
        let context = Arc::new(Context {
            log: GuestLog::new(name, "", Scrubber::default(), limits),
            scrubber: Scrubber::default(),
            session: Arc::new(Session::closed(self.0.network.clone())),
            files: Arc::new(Files::none()),
            tables: Arc::new(Tables::new(Vec::new())),
            allowance: Arc::new(Allowance::full()),
            limits: limits.clone(),
            io: self.0.io().clone(),
        });
        let state = Arc::new(State::default());
        let described = run(&self.0, code, &context, Arc::default(), state, Job::Describe).await;
        let error =
            |kind| LoadErrorKind::Describe(Box::new(CallError { driver: clean(name, 1000), kind }));
        match described.map_err(error)?.reply {
            Reply::Described(raw) => {
                describe::metadata(*raw, limits).map_err(LoadErrorKind::Metadata)
            }
            _ => Err(error(CallErrorKind::Internal("an answer to another question".to_owned()))),
        }
    }
}

impl fmt::Debug for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Host").field("config", &self.0.config).finish_non_exhaustive()
    }
}

/// Code that can be called.
struct Linked {
    code: Code,
    machine: Machine,
    world_version: String,
}

fn link(host: &Inner, machine: Machine) -> Result<Linked, LoadErrorKind> {
    let component = &machine.component;
    let world_version = check_type(&host.engine, component)?;
    let pre = host
        .linker
        .instantiate_pre(component)
        .map_err(|e| LoadErrorKind::Imports(first_line(&e)))?;
    let pre = DatasourcePre::new(pre).map_err(|e| LoadErrorKind::OtherVersion {
        found: format!("another form of {WANTED} ({})", first_line(&e)),
        wanted: WANTED,
    })?;
    let code = Code { pre, places: places(host, component)? };
    Ok(Linked { code, machine, world_version })
}

/// The places in the pool that an instance takes.
fn places(host: &Inner, component: &Component) -> Result<u32, LoadErrorKind> {
    let memories = component.resources_required().map_or(1, |needs| needs.num_memories.max(1));
    if memories as usize > host.config.simultaneous_calls {
        return Err(LoadErrorKind::Invalid(format!(
            "it needs {memories} memories; at most `simultaneous_calls`, {}, are there",
            host.config.simultaneous_calls
        )));
    }
    Ok(memories)
}

pub(crate) fn stopped(error: tokio::task::JoinError) -> LoadErrorKind {
    match error.is_panic() {
        true => LoadErrorKind::Internal("a bug in the plugin host; please report it".to_owned()),
        false => shutting_down(),
    }
}

pub(crate) fn shutting_down() -> LoadErrorKind {
    LoadErrorKind::Internal("it is shutting down".to_owned())
}
