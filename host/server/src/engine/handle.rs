//! The handle through which everybody reaches the engine, and what is behind it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, TryLockError};
use std::time::Duration;

use congress_bus::{Bus, Link, Register};
use congress_policy::{Engine, Event, Latest, Limits, Snapshot, Told};
use congress_store::Store;
use tokio::sync::{Semaphore, watch};
use tokio_util::sync::CancellationToken;

use super::executes::{Executes, Sources};
use super::follow::{Followers, Subscribed};
use super::loaded::Loaded;
use super::observed::Observers;
use super::published::Published;
use super::sync;
use super::turn::Turns;
use crate::failure::{Answer, Failure, Status};
use crate::health::Pulse;
use crate::lease;

/// Queries that run at a time; more wait. Enough to keep the processors busy, and far from the
/// number of threads that other work needs too.
const QUERIES: usize = 32;

/// How often the database is asked for a revision that somebody waits for.
const REACH_PAUSE: Duration = Duration::from_millis(100);

/// How long a query waits for an engine that has just started.
const LOADED_WAIT: Duration = Duration::from_secs(5);

/// How the role behaves.
#[derive(Clone, Debug)]
pub struct EngineOptions {
    /// Drop characters outside ASCII from rows of datasources, as the original did.
    pub ascii_only_rows: bool,
    /// How often the database is compared with what is loaded, besides at every change made here.
    pub sync_period: Duration,
    /// The most rows that a query may produce, those on the way to its answer included.
    pub query_rows: usize,
    /// How long a query may take.
    pub query_timeout: Duration,
}

/// The policy engine of this node. Cheap to clone.
#[derive(Clone)]
pub struct EngineHandle {
    pub(super) inner: Arc<Inner>,
}

pub(super) struct Inner {
    pub(super) store: Store,
    pub(super) bus: Arc<dyn Bus>,
    engine: Mutex<Engine>,
    /// For readers, who never wait for a change to complete.
    latest: Latest,
    /// Who may change policies and rules, and with them what is loaded.
    pub(super) turns: Turns,
    /// What of the database is loaded; see [`Inner::loaded`] and [`Inner::loading`].
    pub(super) loaded: RwLock<Loaded>,
    /// The revision that is loaded, for those who wait for one.
    pub(super) reached: watch::Sender<u64>,
    pub(super) followers: Followers,
    /// What rules ask datasources to do.
    pub(super) executes: Executes,
    /// Tables of policies that others subscribe to.
    pub(super) published: Published,
    /// Clients that watch tables of policies.
    pub(super) observers: Observers,
    pub(super) stop: CancellationToken,
    query_rows: usize,
    query_timeout: Duration,
    /// Places for queries that run at a time.
    queries: Arc<Semaphore>,
    /// Whether queries are answered; if not they wait.
    answers: watch::Sender<bool>,
}

impl EngineHandle {
    /// Loads what the database holds and keeps up with it until `stop`.
    ///
    /// Fails if the database cannot be read; nothing is running then.
    pub async fn start(
        store: Store,
        bus: Arc<dyn Bus>,
        options: EngineOptions,
        pulse: &Pulse,
        stop: CancellationToken,
    ) -> Result<Self, congress_store::Error> {
        let mut engine = Engine::new(congress_policy::Options {
            ascii_only_rows: options.ascii_only_rows,
            clock: Arc::new(local_time),
        });
        let latest = engine.latest();
        engine.keep_told(true);
        let inner = Inner {
            store,
            bus,
            engine: Mutex::new(engine),
            latest,
            turns: Turns::default(),
            loaded: RwLock::default(),
            reached: watch::Sender::new(0),
            followers: Followers::default(),
            executes: Executes::new(),
            published: Published::default(),
            observers: Observers::default(),
            stop,
            query_rows: options.query_rows,
            query_timeout: options.query_timeout,
            queries: Arc::new(Semaphore::new(QUERIES)),
            answers: watch::Sender::new(true),
        };
        let handle = Self { inner: Arc::new(inner) };
        // A publisher that was replaced before this engine began is refused from the start.
        if let Some(lease) = handle.inner.store.lease(lease::NAME).await? {
            handle.inner.bus.raise(Register::Term, lease.term);
        }
        sync::make_default_policies(&handle.inner.store).await?;
        handle.try_catch_up().await?;
        let turns = pulse.watch("policy-engine");
        tokio::spawn(sync::keep_up(handle.clone(), options.sync_period, turns));
        tokio::spawn(handle.inner.clone().publish_positions(handle.inner.stop.clone()));
        tokio::spawn(handle.inner.clone().publish_policies());
        Ok(handle)
    }

    /// Loads what has changed in the database. If it cannot be read, which is false, what is loaded
    /// stays; the next comparison comes by itself.
    pub async fn catch_up(&self) -> bool {
        match self.try_catch_up().await {
            Ok(()) => true,
            Err(error) => {
                tracing::error!(
                    %error, "cannot read policies from the database; using what is loaded"
                );
                false
            }
        }
    }

    async fn try_catch_up(&self) -> Result<(), congress_store::Error> {
        let mut turn = self.inner.turns.next().await?;
        self.inner.clone().catch_up(&mut turn).await
    }

    /// Lets all nodes, this one too, know that the database has changed.
    pub async fn announce_changes(&self) {
        if let Ok(revision) = self.inner.store.revision().await {
            let number = revision.number();
            self.inner.bus.raise(Register::Revision, number);
        }
    }

    /// The revision of the database that is loaded.
    pub fn revision(&self) -> u64 {
        *self.inner.reached.borrow()
    }

    /// Waits until a revision of the database is loaded, for so long at most. False if it is not
    /// then.
    pub async fn reach(&self, revision: u64, within: Duration) -> bool {
        let reaching = async {
            let mut reached = self.inner.reached.subscribe();
            while *reached.borrow_and_update() < revision {
                // Its announcement may be under way, or lost: the database knows.
                self.catch_up().await;
                if self.revision() < revision {
                    let _ = tokio::time::timeout(REACH_PAUSE, reached.changed()).await;
                }
            }
        };
        tokio::time::timeout(within, reaching).await.is_ok()
    }

    /// Returns once the schema of every enabled datasource is known.
    pub async fn has_schemas(&self) {
        self.inner.followers.have_schemas(None).await;
    }

    /// Returns once this engine has the rows that its rules read, of all datasources that somebody
    /// is known to publish.
    pub async fn has_rows(&self) {
        self.inner.followers.have_rows().await;
    }

    /// Returns once this engine has what it can have: schemas and rows of all datasources whose
    /// publishers are there. Whether somebody publishes a datasource is known after `settle` on a
    /// bus that is reached; without one it is not, and this waits. Rows that are being received
    /// are waited for, but no longer than `load`. What is missing then, in a sentence each.
    pub async fn loaded(&self, settle: Duration, load: Duration) -> Vec<&'static str> {
        let mut missing = Vec::new();
        let mut link = self.inner.bus.link();
        let nobody_else = async {
            // The sender lives as long as the bus.
            let _ = link.wait_for(|link| *link == Link::Up).await;
            tokio::time::sleep(settle).await;
        };
        tokio::select! {
            () = self.has_schemas() => {}
            () = nobody_else => {
                missing.push("some datasources do not answer yet; rules that read them wait");
            }
        }
        if tokio::time::timeout(load, self.has_rows()).await.is_err() {
            missing.push("some datasources' rows are long in coming");
        }
        missing
    }

    /// Lets queries wait until this engine is [loaded](Self::loaded). Otherwise one that has just
    /// started would show tables as empty that are not.
    pub fn answer_once_loaded(&self, settle: Duration, load: Duration) {
        self.inner.answers.send_replace(false);
        let engine = self.clone();
        tokio::spawn(async move {
            engine.loaded(settle, load).await;
            engine.inner.answers.send_replace(true);
        });
    }

    /// How each datasource is followed, for people.
    pub fn subscriptions(&self) -> Vec<Subscribed> {
        self.inner.followers.describe()
    }

    /// Whether the rows of a datasource that this engine has may be old.
    pub fn is_stale(&self, datasource: &str) -> bool {
        self.inner.followers.is_stale(datasource)
    }

    /// A state of the engine to read from.
    pub(super) fn snapshot(&self) -> Snapshot {
        self.inner.latest.snapshot()
    }

    /// Runs a query on the latest state of the engine, see [`EngineHandle::query_at`].
    pub(super) async fn query<T: Send + 'static>(
        &self,
        query: impl FnOnce(&Snapshot, Limits<'_>) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        self.query_at(None, query).await
    }

    /// Runs a query on a state of the engine (by default the latest one once it is its turn), on a
    /// thread where it may take its time. It is stopped when its time is over, and when nobody
    /// waits for it any more.
    pub(super) async fn query_at<T: Send + 'static>(
        &self,
        snapshot: Option<Snapshot>,
        query: impl FnOnce(&Snapshot, Limits<'_>) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let (rows, timeout) = (self.inner.query_rows, self.inner.query_timeout);
        let busy =
            || Failure::plain(Status::Unavailable, "too many queries at once; try again later");
        let waiting = tokio::time::timeout(timeout, self.inner.queries.clone().acquire_owned());
        let mut answers = self.inner.answers.subscribe();
        let loaded = answers.wait_for(|answers| *answers);
        if tokio::time::timeout(LOADED_WAIT.min(timeout), loaded).await.is_err() {
            return Err(Failure::plain(
                Status::Unavailable,
                "this node has just started and does not have the rows of all datasources yet; \
                 try again, or ask another node",
            ));
        }
        let place = waiting.await.map_err(|_| busy())?.map_err(Failure::internal)?;
        let snapshot = snapshot.unwrap_or_else(|| self.snapshot());
        let stop = StopOnDrop::default();
        let flag = stop.0.clone();
        let running = tokio::task::spawn_blocking(move || {
            // Kept until it has really ended.
            let _place = place;
            query(&snapshot, Limits { rows: Some(rows), stop: Some(&flag), ..Limits::default() })
        });
        match tokio::time::timeout(timeout, running).await {
            Ok(ended) => ended.map_err(Failure::internal)?,
            Err(_) => Err(Failure::plain(
                Status::Unavailable,
                format!(
                    "the query did not end within {} s and was stopped; ask for less, or raise \
                     [dse] long_timeout",
                    timeout.as_secs()
                ),
            )),
        }
    }
}

/// Stops a query when dropped: at its end, when its time is over, or when its client is gone.
#[derive(Default)]
struct StopOnDrop(Arc<AtomicBool>);

impl Drop for StopOnDrop {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Inner {
    /// The engine, for a moment. Never hold it across an await. Who has it may take long: others
    /// wait aside, not where requests and leases are served.
    pub(super) fn engine(&self) -> MutexGuard<'_, Engine> {
        // A batch that panics has changed nothing that others rely on: go on serving.
        match self.engine.try_lock() {
            Ok(engine) => engine,
            Err(TryLockError::Poisoned(engine)) => engine.into_inner(),
            Err(TryLockError::WouldBlock) => tokio::task::block_in_place(|| {
                self.engine.lock().unwrap_or_else(PoisonError::into_inner)
            }),
        }
    }

    /// Changes the engine, which may take a while.
    pub(super) fn change<T>(&self, change: impl FnOnce(&mut Engine) -> T) -> T {
        self.change_noting(true, change, |_, _| {})
    }

    /// Changes the engine, `rules` perhaps too, and notes what it has read of datasources for it.
    pub(super) fn change_noting<T>(
        &self,
        rules: bool,
        change: impl FnOnce(&mut Engine) -> T,
        note: impl FnOnce(&T, &mut Sources<'_>),
    ) -> T {
        tokio::task::block_in_place(|| {
            let mut engine = self.engine();
            let known: Vec<(String, String)> =
                engine.overflowed().map(|(p, t)| (p.to_owned(), t.to_owned())).collect();
            let result = change(&mut engine);
            for (policy, table) in engine.overflowed() {
                if !known.iter().any(|(p, t)| p == policy && t == table) {
                    tracing::warn!(
                        policy,
                        table,
                        "the table has too many rows to be kept up to date, or its rules look at \
                         too many; its actions are not requested until its rules change: look for \
                         a recursion without end, or tables that are joined by no column"
                    );
                }
            }
            let Told { fired, executions } = engine.take_told();
            self.observers.note(&fired);
            self.note_published(&engine, fired, rules);
            self.note_executions(&engine, executions, rules, |sources| note(&result, sources));
            result
        })
    }
}

/// The local time, which policies see.
fn local_time() -> time::PrimitiveDateTime {
    let now = jiff::Zoned::now();
    let date = now.date();
    let calendar = u8::try_from(date.month())
        .ok()
        .and_then(|month| time::Month::try_from(month).ok())
        .zip(u8::try_from(date.day()).ok())
        .and_then(|(month, day)| {
            time::Date::from_calendar_date(i32::from(date.year()), month, day).ok()
        });
    let clock = now.time();
    let part = |value: i8| u8::try_from(value).unwrap_or_default();
    let of_day =
        time::Time::from_hms(part(clock.hour()), part(clock.minute()), part(clock.second()));
    time::PrimitiveDateTime::new(
        calendar.unwrap_or(time::Date::MIN),
        of_day.unwrap_or(time::Time::MIDNIGHT),
    )
}

/// The events that insert or delete a stored rule's text.
pub(super) fn events(
    text: &str,
    insert: bool,
    policy: &str,
) -> Result<Vec<Event>, congress_policy::Error> {
    Event::parse(text, insert, Some(policy))
}
