//! The engine, its threads, and loading.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};

use bytes::Bytes;
use tokio::runtime::Handle;
use tokio::sync::Semaphore;
use wasmtime::Engine;
use wasmtime::component::{Component, Linker};

use crate::allowance::Allowance;
use crate::bindings::DatasourcePre;
use crate::cache::{Cache, hex_sha256};
use crate::call::{Context, Guest, Job, Reply, run};
use crate::component::{WANTED, check_bytes, check_type};
use crate::driver::Loaded;
use crate::error::first_line;
use crate::files::Files;
use crate::lanes::Lanes;
use crate::logging::GuestLog;
use crate::net::Network;
use crate::secret::Scrubber;
use crate::session::Session;
use crate::sink::Tables;
use crate::text::clean;
use crate::threads::Threads;
use crate::ticker::Ticker;
use crate::{
    CallError, CallErrorKind, Driver, HostConfig, HostError, LoadError, LoadErrorKind, State,
    describe, imports, precompiled,
};

/// What the host's own functions may take of a guest's stack, beyond the guest's share.
const HOST_STACK: usize = 1 << 20;

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
    cache: Option<Cache>,
    /// Compiling takes all processors it can get, so it goes one by one.
    compiling: Semaphore,
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
            Some(folder) => Some(Cache::open(folder, &engine)?),
            None => None,
        };
        let io = Threads::start("plugins-io", 1).map_err(HostError::Threads)?;
        Ok(Self(Arc::new(Inner {
            ticker: Ticker::start(engine.clone()).map_err(HostError::Threads)?,
            network: Arc::new(Network::new(&config, io.handle().clone())),
            linker,
            cache,
            compiling: Semaphore::new(1),
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
        let compiled = self.compile(bytes).await.map_err(fail)?;
        let metadata = self.describe(&compiled.pre, name).await.map_err(fail)?;
        let load_time = start.elapsed();
        tracing::debug!(
            driver = metadata.id,
            version = metadata.version,
            world = compiled.world_version,
            hash = compiled.hash,
            file = name,
            from_cache = compiled.from_cache,
            milliseconds = load_time.as_millis(),
            "driver loaded"
        );
        Ok(Driver::new(Loaded {
            host: self.0.clone(),
            pre: compiled.pre,
            metadata,
            hash: compiled.hash,
            world_version: compiled.world_version,
            path,
            loaded_at: SystemTime::now(),
            load_time,
            from_cache: compiled.from_cache,
        }))
    }

    async fn compile(&self, bytes: Bytes) -> Result<Compiled, LoadErrorKind> {
        let (host, copy) = (self.0.clone(), bytes.clone());
        let task = self.0.io().spawn_blocking(move || cached(&host, &copy));
        let hash = match task.await.map_err(stopped)?? {
            Cached::Here(compiled) => return Ok(compiled),
            Cached::Missing { hash } => hash,
        };
        self.blocking_compile(move |host| compile(host, &bytes, hash)).await
    }

    /// Runs work that compiles, when its turn comes.
    pub(crate) async fn blocking_compile<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Inner) -> Result<T, LoadErrorKind> + Send + 'static,
    ) -> Result<T, LoadErrorKind> {
        let _turn = self.0.compiling.acquire().await.map_err(|_| shutting_down())?;
        let host = self.0.clone();
        self.0.io().spawn_blocking(move || work(&host)).await.map_err(stopped)?
    }

    async fn describe(
        &self,
        pre: &DatasourcePre<Guest>,
        name: &str,
    ) -> Result<crate::Metadata, LoadErrorKind> {
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
        let described = run(&self.0, pre, &context, Arc::default(), state, Job::Describe).await;
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

struct Compiled {
    pre: DatasourcePre<Guest>,
    hash: String,
    world_version: String,
    from_cache: bool,
}

/// What the cache has of a component.
enum Cached {
    /// Its compiled code.
    Here(Compiled),
    /// Nothing usable: it must be compiled.
    Missing {
        /// The component's hash.
        hash: String,
    },
}

/// Looks into the cache, which needs no turn: nobody waits behind another's compiling.
fn cached(host: &Inner, bytes: &[u8]) -> Result<Cached, LoadErrorKind> {
    let hash = hex_sha256(bytes);
    match from_cache(host, &hash) {
        Some(component) => link(host, hash, &component, true).map(Cached::Here),
        None => Ok(Cached::Missing { hash }),
    }
}

fn from_cache(host: &Inner, hash: &str) -> Option<Component> {
    let code = host.cache.as_ref()?.get(hash)?;
    precompiled::load(&host.engine, &code)
        .inspect_err(|error| tracing::warn!(hash, %error, "compiled code is unusable"))
        .ok()
}

fn compile(host: &Inner, bytes: &[u8], hash: String) -> Result<Compiled, LoadErrorKind> {
    let (component, from_cache) = component_of(host, &hash, bytes)?;
    link(host, hash, &component, from_cache)
}

fn link(
    host: &Inner,
    hash: String,
    component: &Component,
    from_cache: bool,
) -> Result<Compiled, LoadErrorKind> {
    let world_version = check_type(&host.engine, component)?;
    let pre = host
        .linker
        .instantiate_pre(component)
        .map_err(|e| LoadErrorKind::Imports(first_line(&e)))?;
    let pre = DatasourcePre::new(pre).map_err(|e| LoadErrorKind::OtherVersion {
        found: format!("another form of {WANTED} ({})", first_line(&e)),
        wanted: WANTED,
    })?;
    Ok(Compiled { pre, hash, world_version, from_cache })
}

/// The component of some bytes, whose hash is given, and whether it came from the cache.
pub(crate) fn component_of(
    host: &Inner,
    hash: &str,
    bytes: &[u8],
) -> Result<(Component, bool), LoadErrorKind> {
    if let Some(component) = from_cache(host, hash) {
        return Ok((component, true));
    }
    let component = Component::from_binary(&host.engine, bytes)
        .map_err(|e| LoadErrorKind::Invalid(first_line(&e)))?;
    keep(host, hash, &component);
    Ok((component, false))
}

/// Keeps compiled code for the next start. Without it everything works, only later.
fn keep(host: &Inner, hash: &str, component: &Component) {
    let Some(cache) = &host.cache else { return };
    let kept = component
        .serialize()
        .map_err(|e| e.to_string())
        .and_then(|code| cache.put(hash, &code).map_err(|e| e.to_string()));
    if let Err(error) = kept {
        tracing::warn!(hash, error, "compiled code could not be kept; the next start is slower");
    }
}

fn engine(config: &HostConfig) -> wasmtime::Result<Engine> {
    let mut engine = wasmtime::Config::new();
    engine
        .wasm_component_model(true)
        .epoch_interruption(true)
        .max_wasm_stack(config.limits.stack_bytes)
        .async_stack_size(config.limits.stack_bytes + HOST_STACK)
        // The contract has no asynchronous functions; without them calls are cheaper.
        .concurrency_support(false);
    Engine::new(&engine)
}

fn stopped(error: tokio::task::JoinError) -> LoadErrorKind {
    match error.is_panic() {
        true => LoadErrorKind::Internal("a bug in the plugin host; please report it".to_owned()),
        false => shutting_down(),
    }
}

fn shutting_down() -> LoadErrorKind {
    LoadErrorKind::Internal("it is shutting down".to_owned())
}
