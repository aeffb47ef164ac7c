//! The protocol's state machine of this process, and what its outputs become.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Instant;

use bytes::Bytes;
use congress_table::Digest;
use tokio::runtime::Handle;
use tokio::sync::{Mutex as AsyncMutex, Notify, mpsc, oneshot, watch};

use super::outbox::Outbox;
use crate::call::{CallError, Request};
use crate::protocol::{
    self, ChangeToSend, Core, FollowerId, Identity, Lane, Output, ReplyStatus, Size, SnapshotJob,
    Target, Ticket, Time,
};
use crate::publication::Publication;
use crate::stream::Epoch;
use crate::{BusStatus, Link, Node, Register, TableName};

/// How much waits for a connection, by lane: messages, bytes.
const CONTROL: (usize, usize) = (10_000, 16 << 20);
const DATA: (usize, usize) = (10_000, 64 << 20);
const CALLS: (usize, usize) = (10_000, 128 << 20);
/// How many snapshots wait to be taken.
const JOBS: usize = 1024;
/// What a row is taken to need until it is encoded.
const ROW_BYTES: usize = 64;

/// A message that waits to be sent.
#[derive(Debug)]
pub(super) struct Parcel {
    pub(super) to: Target,
    pub(super) bytes: Bytes,
    pub(super) call: Option<u64>,
}

/// What waits in the lane of data.
#[derive(Debug)]
pub(super) enum Data {
    Parcel(Parcel),
    Change(ChangeToSend),
}

/// A snapshot that is to be taken.
pub(super) enum Job {
    Remote(SnapshotJob),
    Local { follower: FollowerId, source: Arc<str>, epoch: Epoch, tables: BTreeSet<TableName> },
}

/// A publication of this process.
pub(super) struct Published {
    pub(super) epoch: Epoch,
    pub(super) rows: Weak<Mutex<Publication>>,
    pub(super) wanted: watch::Sender<BTreeSet<TableName>>,
}

pub(super) struct State {
    pub(super) core: Core,
    pub(super) publications: HashMap<Arc<str>, Published>,
    pub(super) services: HashMap<Arc<str>, mpsc::Sender<Request>>,
    pub(super) calls: HashMap<u64, oneshot::Sender<Result<Bytes, CallError>>>,
    pub(super) readers: HashMap<FollowerId, Arc<Notify>>,
    pub(super) closed: bool,
}

pub(super) struct Shared {
    origin: Instant,
    state: Mutex<State>,
    runtime: Handle,
    pub(super) control: Outbox<Parcel>,
    pub(super) data: Outbox<Data>,
    pub(super) calls: Outbox<Parcel>,
    jobs: mpsc::Sender<Job>,
    /// What is to be routed here has changed.
    pub(super) routes: Notify,
    /// The connections are to be closed for good; and that they are.
    pub(super) leaving: Notify,
    pub(super) left: Notify,
    /// Counts the attempts to connect.
    pub(super) attempts: AtomicU64,
    unsent: AtomicU64,
    pub(super) malformed: AtomicU64,
    pub(super) nodes: watch::Sender<Arc<[Node]>>,
    pub(super) revision: watch::Sender<u64>,
    pub(super) term: watch::Sender<u64>,
    pub(super) link: watch::Sender<Link>,
}

impl Shared {
    pub(super) fn new(core: Core, runtime: Handle) -> (Arc<Self>, mpsc::Receiver<Job>) {
        let (jobs, queue) = mpsc::channel(JOBS);
        let (nodes, link) = (core.nodes().into(), core.link().clone());
        let state = State {
            core,
            publications: HashMap::new(),
            services: HashMap::new(),
            calls: HashMap::new(),
            readers: HashMap::new(),
            closed: false,
        };
        let shared = Self {
            origin: Instant::now(),
            state: Mutex::new(state),
            runtime,
            control: Outbox::new(CONTROL.0, CONTROL.1),
            data: Outbox::new(DATA.0, DATA.1),
            calls: Outbox::new(CALLS.0, CALLS.1),
            jobs,
            routes: Notify::new(),
            leaving: Notify::new(),
            left: Notify::new(),
            attempts: AtomicU64::new(0),
            unsent: AtomicU64::new(0),
            malformed: AtomicU64::new(0),
            nodes: watch::Sender::new(nodes),
            revision: watch::Sender::new(0),
            term: watch::Sender::new(0),
            link: watch::Sender::new(link),
        };
        (Arc::new(shared), queue)
    }

    pub(super) fn now(&self) -> Time {
        self.origin.elapsed()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Nothing in this crate panics while it holds the lock half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells the state machine something, and carries out what it wants done. Never blocks for
    /// long: outputs are only put where others take them.
    pub(super) fn with<R>(self: &Arc<Self>, f: impl FnOnce(&mut State, Time) -> R) -> R {
        let mut state = self.lock();
        let result = f(&mut state, self.now());
        while let Some(output) = state.core.next_output() {
            self.carry_out(&mut state, output);
        }
        result
    }

    fn carry_out(self: &Arc<Self>, state: &mut State, output: Output) {
        match output {
            Output::Send { lane, to, bytes, call } => {
                let size = bytes.len();
                let parcel = Parcel { to, bytes, call };
                let fits = match lane {
                    Lane::Control => self.control.push(parcel, size),
                    Lane::Data => self.data.push(Data::Parcel(parcel), size),
                    Lane::Calls => self.calls.push(parcel, size),
                };
                if !fits {
                    self.unsent.fetch_add(1, Ordering::Relaxed);
                    if let Some(id) = call {
                        let now = self.now();
                        state.core.call_failed(now, id, true);
                    }
                }
            }
            Output::SendChange(change) => {
                let wanted = change.change.tables.iter().filter(|(n, _)| change.wanted.contains(n));
                let rows: usize = wanted.map(|(_, d)| d.added.len() + d.removed.len()).sum();
                if !self.data.push(Data::Change(change), rows * ROW_BYTES) {
                    self.unsent.fetch_add(1, Ordering::Relaxed);
                }
            }
            Output::Snapshot(job) => {
                let session = job.session;
                if self.jobs.try_send(Job::Remote(job)).is_err() {
                    let now = self.now();
                    state.core.snapshot_ready(now, session, None);
                }
            }
            Output::LocalSnapshot { follower, source, epoch, tables } => {
                // If there is no room it is asked for again.
                let _ = self.jobs.try_send(Job::Local { follower, source, epoch, tables });
            }
            Output::Bind(_) | Output::Unbind(_) => self.routes.notify_one(),
            Output::Update(follower) => {
                if let Some(reader) = state.readers.get(&follower) {
                    reader.notify_one();
                }
            }
            Output::Nodes => {
                let nodes = state.core.nodes();
                self.nodes.send_if_modified(|shown| {
                    let changed = **shown != *nodes;
                    if changed {
                        *shown = nodes.into();
                    }
                    changed
                });
            }
            Output::Register(register, value) => {
                self.register(register).send_replace(value);
            }
            Output::Wanted(source, tables) => {
                if let Some(published) = state.publications.get(&source) {
                    published.wanted.send_replace(tables);
                }
            }
            Output::Request { ticket, service, body } => {
                self.take_request(state, ticket, &service, body);
            }
            Output::CallDone { id, result } => {
                if let Some(caller) = state.calls.remove(&id) {
                    // A caller that has given up needs no answer.
                    let _ = caller.send(result);
                }
            }
        }
    }

    pub(super) fn status(self: &Arc<Self>) -> BusStatus {
        BusStatus {
            unsent: self.unsent.load(Ordering::Relaxed),
            malformed: self.malformed.load(Ordering::Relaxed),
            ..self.with(|state, now| state.core.status(now))
        }
    }

    pub(super) fn register(&self, register: Register) -> &watch::Sender<u64> {
        match register {
            Register::Revision => &self.revision,
            Register::Term => &self.term,
        }
    }

    fn take_request(
        self: &Arc<Self>,
        state: &mut State,
        ticket: Ticket,
        service: &Arc<str>,
        body: Bytes,
    ) {
        let (request, reply) = Request::new(body);
        let refused = match state.services.get(service).map(|queue| queue.try_send(request)) {
            Some(Ok(())) => None,
            Some(Err(mpsc::error::TrySendError::Full(_))) => Some(ReplyStatus::Busy),
            Some(Err(mpsc::error::TrySendError::Closed(_))) | None => Some(ReplyStatus::NotFound),
        };
        if let Some(status) = refused {
            let now = self.now();
            state.core.reply(now, &ticket, status, &Bytes::new());
            return;
        }
        // As many of these as requests wait in queues that are bounded, or are worked on.
        let shared = self.clone();
        self.runtime.spawn(async move {
            let (status, body) = match reply.await {
                Ok(body) => (ReplyStatus::Done, body),
                Err(_) => (ReplyStatus::Stopped, Bytes::new()),
            };
            shared.with(|state, now| state.core.reply(now, &ticket, status, &body));
        });
    }

    pub(super) fn link_down(self: &Arc<Self>, reason: &str) {
        self.with(|state, now| state.core.link_down(now, reason));
        self.control.clear();
        self.data.clear();
        self.calls.clear();
        self.link.send_if_modified(|link| {
            let changed = matches!(link, Link::Up) || *link != Link::Down(reason.to_owned());
            *link = Link::Down(reason.to_owned());
            changed
        });
    }

    pub(super) fn link_up(self: &Arc<Self>, bound: &BTreeSet<Arc<str>>) {
        self.control.clear();
        self.data.clear();
        self.calls.clear();
        self.with(|state, now| state.core.link_up(now, bound));
        self.link.send_replace(Link::Up);
    }

    /// The rows of a publication, and their digests.
    fn take(
        &self,
        source: &str,
        epoch: Epoch,
        tables: &BTreeSet<TableName>,
    ) -> Option<(crate::Snapshot, Vec<Digest>)> {
        let rows = {
            let state = self.lock();
            let published = state.publications.get(source).filter(|p| p.epoch == epoch)?;
            published.rows.upgrade()?
        };
        let publication = rows.lock().unwrap_or_else(PoisonError::into_inner);
        Some(publication.snapshot_with_digests(tables))
    }

    /// Takes snapshots, one after the other.
    pub(super) async fn take_snapshots(
        self: Arc<Self>,
        jobs: Arc<AsyncMutex<mpsc::Receiver<Job>>>,
    ) {
        let mut jobs = jobs.lock().await;
        while let Some(job) = jobs.recv().await {
            let shared = self.clone();
            // Copying and encoding takes long for large tables.
            let done = self.runtime.spawn_blocking(move || shared.take_snapshot(job)).await;
            if let Err(error) = done {
                tracing::error!(%error, "a snapshot could not be taken");
            }
        }
    }

    fn take_snapshot(self: &Arc<Self>, job: Job) {
        match job {
            Job::Local { follower, source, epoch, tables } => {
                if let Some((snapshot, _)) = self.take(&source, epoch, &tables) {
                    self.with(|state, now| state.core.local_snapshot(now, follower, snapshot));
                }
            }
            Job::Remote(job) => {
                let encoded = self.take(&job.source, job.epoch, &job.tables).map(|taken| {
                    let (snapshot, digests) = taken;
                    let position = snapshot.position;
                    let me = self.with(|state, _| {
                        state.core.snapshot_taken(&job, position);
                        state.core.identity().instance.clone()
                    });
                    (position, protocol::encode_snapshot(&me, &job, &snapshot, &digests))
                });
                let session = job.session;
                self.with(|state, now| state.core.snapshot_ready(now, session, encoded));
            }
        }
    }

    /// Lets time pass for the state machine.
    pub(super) async fn tick(self: Arc<Self>) {
        let mut interval = tokio::time::interval(protocol::TICK);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            interval.tick().await;
            self.with(|state, now| state.core.tick(now));
        }
    }

    pub(super) fn close(&self) {
        let mut state = self.lock();
        state.closed = true;
        state.calls.clear();
        state.readers.values().for_each(|reader| reader.notify_one());
    }
}

/// The state machine of a process.
pub(super) fn core(options: &super::RabbitOptions) -> Core {
    let identity = Identity {
        node_id: options.node_id.clone(),
        instance: options.instance.as_str().into(),
        program: options.program.clone(),
    };
    // Jitter must differ between processes, and nothing more.
    let seed = xxhash_rust::xxh3::xxh3_64(options.instance.as_bytes());
    let mut core = Core::new(identity, options.peer_timeout, seed);
    core.take_at_most(Size { rows: options.snapshot_rows, bytes: options.snapshot_bytes });
    core
}
