//! One call into a guest: a fresh instance, its limits, and what came of it.

use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Store;
use wasmtime::component::ResourceTable;
use wasmtime_wasi::{I32Exit, WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

use crate::allowance::Allowance;
use crate::bindings::logging::Level;
use crate::bindings::{Datasource, DatasourcePre, driver as wit, types};
use crate::files::{Files, Opened};
use crate::host::Inner;
use crate::limits::Limiter;
use crate::logging::GuestLog;
use crate::secret::Scrubber;
use crate::session::{Budget, Session};
use crate::sink::{Sink, Tables};
use crate::state::StagedState;
use crate::stderr::{Stderr, last_words};
use crate::text::clean;
use crate::{CallErrorKind, Figures, HeldRows, Limits, State, Trap, wasi};

/// Handles that a guest may hold at a time: requests, bodies, streams, timers.
const HANDLES: usize = 10_000;

/// What all calls of one datasource share.
pub(crate) struct Context {
    pub(crate) log: GuestLog,
    pub(crate) scrubber: Scrubber,
    pub(crate) session: Arc<Session>,
    pub(crate) files: Arc<Files>,
    pub(crate) tables: Arc<Tables>,
    pub(crate) limits: Limits,
    pub(crate) allowance: Arc<Allowance>,
    pub(crate) io: tokio::runtime::Handle,
}

/// The data of a store: all that one instance can touch.
pub(crate) struct Guest {
    pub(crate) context: Arc<Context>,
    pub(crate) sink: Sink,
    pub(crate) state: StagedState,
    pub(crate) budget: Arc<Budget>,
    pub(crate) log_lines: usize,
    pub(crate) opened: Opened,
    /// When the driver wants upkeep.
    pub(crate) upkeep_after: Option<Duration>,
    /// The limit that ended the call, if one did outside the sink.
    pub(crate) exceeded: Option<String>,
    limiter: Limiter,
    wasi: WasiCtx,
    stderr: Stderr,
    http: WasiHttpCtx,
    outgoing: wasi::Outgoing,
    resources: ResourceTable,
}

impl WasiView for Guest {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.resources }
    }
}

impl WasiHttpView for Guest {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView {
            hooks: &mut self.outgoing,
            table: &mut self.resources,
            ctx: &mut self.http,
        }
    }
}

impl Guest {
    fn new(context: Arc<Context>, state: Arc<State>, job: &Job) -> Self {
        let limits = &context.limits;
        let budget = Arc::new(Budget::new(job.requests(limits)));
        let stderr = Stderr::default();
        let mut resources = ResourceTable::new();
        resources.set_max_capacity(HANDLES);
        Self {
            sink: Sink::new(context.tables.clone(), limits, job.held()),
            state: StagedState::new(state, limits.state_bytes),
            limiter: Limiter::new(limits),
            wasi: wasi::empty(stderr.clone()),
            stderr,
            http: WasiHttpCtx::new(),
            outgoing: wasi::Outgoing { session: context.session.clone(), budget: budget.clone() },
            log_lines: 0,
            opened: Opened::default(),
            upkeep_after: None,
            exceeded: None,
            resources,
            budget,
            context,
        }
    }

    /// Ends the call for a limit that it has reached: the guest gets no say in that.
    pub(crate) fn exceed(&mut self, limit: String) -> wasmtime::Error {
        self.exceeded = Some(limit);
        wasmtime::Error::msg("a limit is reached")
    }
}

/// A driver's code, ready to be instantiated.
#[derive(Clone)]
pub(crate) struct Code {
    pub(crate) pre: DatasourcePre<Guest>,
    /// The places in the pool that an instance takes: one for each of its memories.
    pub(crate) places: u32,
}

/// A configuration as a guest takes it.
pub(crate) type GuestConfig = Arc<Vec<(String, String)>>;

/// What a guest is asked.
pub(crate) enum Job {
    Describe,
    Tables,
    Poll {
        wanted: Vec<String>,
        held: Option<Arc<dyn HeldRows>>,
    },
    Receive {
        push: wit::Push,
        held: Option<Arc<dyn HeldRows>>,
    },
    Upkeep {
        held: Option<Arc<dyn HeldRows>>,
    },
    Execute {
        action: String,
        positional: Vec<String>,
        named: Vec<(String, String)>,
        held: Option<Arc<dyn HeldRows>>,
    },
}

/// What it answers.
pub(crate) enum Reply {
    Described(Box<wit::Metadata>),
    Tables(Vec<types::Table>),
    Done,
}

impl Job {
    fn timeout(&self, limits: &Limits) -> Duration {
        match self {
            Self::Describe | Self::Tables => limits.describe_timeout,
            _ => limits.call_timeout,
        }
    }

    fn held(&self) -> Option<Arc<dyn HeldRows>> {
        match self {
            Self::Poll { held, .. }
            | Self::Receive { held, .. }
            | Self::Upkeep { held }
            | Self::Execute { held, .. } => held.clone(),
            Self::Describe | Self::Tables => None,
        }
    }

    fn requests(&self, limits: &Limits) -> usize {
        match self {
            Self::Describe | Self::Tables => 0,
            _ => limits.requests_per_call,
        }
    }
}

/// A call that succeeded.
pub(crate) struct Success {
    pub(crate) reply: Reply,
    pub(crate) sink: Sink,
    pub(crate) state: StagedState,
    pub(crate) upkeep_after: Option<Duration>,
    pub(crate) figures: Figures,
}

/// Runs a job in a fresh instance on a guest thread. Dropping the future stops the guest at its
/// next tick.
pub(crate) async fn run(
    host: &Arc<Inner>,
    code: &Code,
    context: &Arc<Context>,
    config: GuestConfig,
    state: Arc<State>,
    job: Job,
) -> Result<Success, CallErrorKind> {
    let limit = job.timeout(&context.limits);
    let guest = Guest::new(context.clone(), state, &job);
    let budget = guest.budget.clone();
    let Some(place) = host.lanes.enter(code.places, limit).await else {
        return Err(CallErrorKind::NotStarted(format!(
            "{} calls of drivers were under way for {} s, the limit `simultaneous_calls`",
            host.config.simultaneous_calls,
            limit.as_secs_f64()
        )));
    };
    let (host_in_task, pre) = (host.clone(), code.pre.clone());
    let work = async move {
        let _until_the_end = (place, host_in_task.ticker.run());
        budget.begins(limit);
        let mut call = pin!(in_instance(&host_in_task, &pre, guest, config, job));
        // Whom it waits for is known only until it is dropped.
        tokio::time::timeout(limit, &mut call).await.map_err(|_| budget.waits_for())
    };
    match host.lanes.run(&context.allowance, work).await {
        Ok(Ok(result)) => result,
        Ok(Err(None)) => Err(CallErrorKind::Timeout(limit)),
        Ok(Err(Some(service))) => Err(CallErrorKind::Unanswered { limit, service }),
        // A panic of ours, or the runtime is going down.
        Err(error) => Err(CallErrorKind::Internal(match error.is_panic() {
            true => "a bug in the plugin host; please report it".to_owned(),
            false => "it is shutting down".to_owned(),
        })),
    }
}

async fn in_instance(
    host: &Inner,
    pre: &DatasourcePre<Guest>,
    guest: Guest,
    config: GuestConfig,
    job: Job,
) -> Result<Success, CallErrorKind> {
    let start = Instant::now();
    let mut store = Store::new(&host.engine, guest);
    store.limiter(|guest| &mut guest.limiter);
    store.set_epoch_deadline(1);
    store.epoch_deadline_async_yield_and_update(1);
    store.set_hostcall_fuel(store.data().context.limits.hostcall_bytes);

    let instance = pre.instantiate_async(&mut store).await;
    let made = start.elapsed();
    let answer = match instance {
        Ok(instance) => ask(&instance, &mut store, config, job).await,
        Err(error) => Err(error),
    };
    let guest = store.data();
    // A limit explains whatever came after it.
    if let Some(limit) = guest.sink.spoilt().or(guest.exceeded.as_deref()) {
        return Err(CallErrorKind::Limit(limit.to_owned()));
    }
    let reply = answer.map_err(|error| classify(&error, guest))?;
    let reply = reply.map_err(|error| CallErrorKind::Driver(guest.lift_error(error)))?;

    let answered = start.elapsed();
    let guest = store.into_data();
    let duration = start.elapsed();
    let figures = Figures {
        rows: guest.sink.rows(),
        row_bytes: guest.sink.bytes(),
        requests: guest.budget.sent(),
        duration,
        instance: made + (duration - answered),
    };
    let Guest { sink, state, upkeep_after, .. } = guest;
    Ok(Success { reply, sink, state, upkeep_after, figures })
}

async fn ask(
    instance: &Datasource,
    store: &mut Store<Guest>,
    config: GuestConfig,
    job: Job,
) -> wasmtime::Result<Result<Reply, types::DriverError>> {
    let driver = instance.congress_datasource_driver();
    let done = |result: Result<(), types::DriverError>| result.map(|()| Reply::Done);
    Ok(match job {
        Job::Describe => Ok(Reply::Described(Box::new(driver.call_describe(store).await?))),
        Job::Tables => driver.call_tables(store, &config).await?.map(Reply::Tables),
        Job::Poll { wanted, .. } => done(driver.call_poll(store, &config, &wanted).await?),
        Job::Receive { push, .. } => done(driver.call_receive(store, &config, &push).await?),
        Job::Upkeep { .. } => done(driver.call_upkeep(store, &config).await?),
        Job::Execute { action, positional, named, .. } => {
            done(driver.call_execute(store, &config, &action, &positional, &named).await?)
        }
    })
}

/// Turns an engine's error into a sentence for people.
fn classify(error: &wasmtime::Error, guest: &Guest) -> CallErrorKind {
    use wasmtime::Trap as T;
    if guest.limiter.refused {
        return CallErrorKind::Trap(Trap::Memory);
    }
    if error.downcast_ref::<I32Exit>().is_some() {
        return gave_up(guest);
    }
    // The engine has no type for this one.
    if error.root_cause().to_string().starts_with("too much data is being copied") {
        return CallErrorKind::Limit(format!(
            "the driver handed over more than {} bytes at once, the limit `hostcall_bytes`; it \
             should send its rows in smaller batches",
            guest.context.limits.hostcall_bytes
        ));
    }
    let trap = match error.downcast_ref::<T>() {
        Some(T::UnreachableCodeReached) => return gave_up(guest),
        Some(T::StackOverflow) => Trap::StackOverflow,
        Some(T::MemoryOutOfBounds | T::TableOutOfBounds | T::HeapMisaligned) => Trap::OutOfBounds,
        Some(
            T::StringOutOfBounds
            | T::ListOutOfBounds
            | T::InvalidDiscriminant
            | T::InvalidChar
            | T::UnalignedPointer,
        )
        | None => Trap::Abi,
        Some(_) => Trap::Other,
    };
    tracing::debug!(error = %format_args!("{error:#}"), "a driver's call failed");
    CallErrorKind::Trap(trap)
}

/// A guest that ended itself has often said why. All it said goes to the log.
fn gave_up(guest: &Guest) -> CallErrorKind {
    let Context { log, scrubber, limits, .. } = &*guest.context;
    let said = guest.stderr.text();
    for line in said.lines().filter(|line| !line.trim().is_empty()) {
        log.log(Level::Warn, line);
    }
    match last_words(&said) {
        Some(words) => CallErrorKind::GaveUp(clean(&scrubber.scrub(words), limits.error_bytes)),
        None => CallErrorKind::Trap(Trap::Unreachable),
    }
}
