//! The bus within one process.
//!
//! It follows the same rules as one over a network: each subscriber has a bounded queue, a full
//! queue loses changes, the subscriber notices by the numbers and takes a snapshot. So a subscriber
//! that sleeps costs a bounded amount of memory and nobody else's time.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use congress_table::Change;
use tokio::sync::{mpsc, watch};

use crate::call::{CallError, Request, Requests};
use crate::publication::{Outlet, Publication, Publisher};
use crate::stream::{Cursor, Epoch, Feed, Position, Step, Subscription, Update};
use crate::{Bus, Link, Node, Register, RegisterError, TableName};

/// How many changes wait for a slow subscriber before it is told to take a snapshot instead.
const QUEUE: usize = 64;

/// Connects the roles of one process. Clones are the same bus.
#[derive(Clone)]
pub struct InProcessBus {
    hub: Arc<Hub>,
}

struct Hub {
    node_id: String,
    instance: String,
    state: Mutex<State>,
    nodes: watch::Sender<Arc<[Node]>>,
    revision: watch::Sender<u64>,
    term: watch::Sender<u64>,
    link: watch::Sender<Link>,
}

#[derive(Default)]
struct State {
    sources: HashMap<Arc<str>, Source>,
    services: HashMap<String, mpsc::Sender<Request>>,
    next_id: u64,
}

/// One source, published or only subscribed to.
struct Source {
    publication: Option<Arc<Mutex<Publication>>>,
    highest: Option<Epoch>,
    /// The publisher's position; none while there is no publisher. Subscribers wait on it.
    head: watch::Sender<Option<Position>>,
    wanted: watch::Sender<BTreeSet<TableName>>,
    subscribers: HashMap<u64, Subscriber>,
}

struct Subscriber {
    name: String,
    tables: BTreeSet<TableName>,
    queue: mpsc::Sender<(Position, Arc<Change>)>,
}

impl Source {
    fn new() -> Self {
        Self {
            publication: None,
            highest: None,
            head: watch::Sender::new(None),
            wanted: watch::Sender::new(BTreeSet::new()),
            subscribers: HashMap::new(),
        }
    }

    fn update_wanted(&self) {
        let union: BTreeSet<_> =
            self.subscribers.values().flat_map(|s| s.tables.iter().cloned()).collect();
        self.wanted.send_if_modified(|wanted| {
            let changed = *wanted != union;
            *wanted = union;
            changed
        });
    }
}

impl InProcessBus {
    /// A bus for the node of that name. `instance` tells this process from others of its name.
    pub fn new(node_id: impl Into<String>, instance: impl Into<String>) -> Self {
        let hub = Hub {
            node_id: node_id.into(),
            instance: instance.into(),
            state: Mutex::default(),
            nodes: watch::Sender::new(Arc::default()),
            revision: watch::Sender::new(0),
            term: watch::Sender::new(0),
            link: watch::Sender::new(Link::Up),
        };
        hub.show_services(&hub.lock());
        Self { hub: Arc::new(hub) }
    }
}

impl Hub {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic elsewhere must not take the bus down: the state is consistent between statements.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows others what is served here.
    fn show_services(&self, state: &State) {
        let node = Node {
            node_id: self.node_id.clone(),
            instance: self.instance.clone(),
            services: state.services.keys().cloned().collect(),
        };
        self.nodes.send_replace([node].into());
    }

    fn register(&self, register: Register) -> &watch::Sender<u64> {
        match register {
            Register::Revision => &self.revision,
            Register::Term => &self.term,
        }
    }

    /// Ends a subscription. The source's entry stays: it remembers the highest epoch.
    fn unsubscribe(&self, source: &str, id: u64) {
        if let Some(entry) = self.lock().sources.get_mut(source) {
            entry.subscribers.remove(&id);
            entry.update_wanted();
        }
    }
}

#[async_trait]
impl Bus for InProcessBus {
    fn publish(&self, source: &str, epoch: Epoch) -> Result<Publisher, RegisterError> {
        let mut state = self.hub.lock();
        let name: Arc<str> = source.into();
        let entry = state.sources.entry(name.clone()).or_insert_with(Source::new);
        let term = *self.hub.term.borrow();
        let floor = epoch.has_lost(term).then(|| Epoch::in_term(term, 0));
        if let Some(current) = entry.highest.filter(|highest| epoch <= *highest).or(floor) {
            let source_name = source.to_owned();
            return Err(RegisterError::Fenced { source_name, current, offered: epoch });
        }
        let publication = Publication::new(epoch);
        entry.highest = Some(epoch);
        entry.head.send_replace(Some(publication.position()));
        let publication = Arc::new(Mutex::new(publication));
        entry.publication = Some(publication.clone());
        let outlet = HubOutlet { hub: Arc::downgrade(&self.hub), source: name, epoch };
        Ok(Publisher { publication, outlet: Arc::new(outlet), wanted: entry.wanted.subscribe() })
    }

    fn subscribe(
        &self,
        subscriber: &str,
        source: &str,
        tables: BTreeSet<TableName>,
    ) -> Subscription {
        let (queue, changes) = mpsc::channel(QUEUE);
        let mut state = self.hub.lock();
        state.next_id += 1;
        let id = state.next_id;
        let name: Arc<str> = source.into();
        let entry = state.sources.entry(name.clone()).or_insert_with(Source::new);
        let record = Subscriber { name: subscriber.to_owned(), tables: tables.clone(), queue };
        entry.subscribers.insert(id, record);
        entry.update_wanted();
        let head = entry.head.subscribe();
        let feed = HubFeed {
            hub: self.hub.clone(),
            source: name,
            id,
            tables,
            changes,
            head,
            cursor: Cursor::default(),
            resync: true,
            present: false,
        };
        Subscription { feed: Box::new(feed) }
    }

    fn subscribers(&self, source: &str) -> Vec<String> {
        let state = self.hub.lock();
        let names: BTreeSet<_> = state
            .sources
            .get(source)
            .into_iter()
            .flat_map(|source| source.subscribers.values())
            .filter(|subscriber| !subscriber.tables.is_empty())
            .map(|subscriber| subscriber.name.clone())
            .collect();
        names.into_iter().collect()
    }

    fn serve(&self, service: &str, backlog: usize) -> Result<Requests, RegisterError> {
        let (sender, queue) = mpsc::channel(backlog.max(1));
        let mut state = self.hub.lock();
        if state.services.contains_key(service) {
            return Err(RegisterError::Duplicate(service.to_owned()));
        }
        state.services.insert(service.to_owned(), sender);
        self.hub.show_services(&state);
        let hub = Arc::downgrade(&self.hub);
        let name = service.to_owned();
        let withdraw = move || {
            if let Some(hub) = hub.upgrade() {
                let mut state = hub.lock();
                state.services.remove(&name);
                hub.show_services(&state);
            }
        };
        Ok(Requests { queue, withdraw: Some(Box::new(withdraw)) })
    }

    async fn call(
        &self,
        service: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        let name = || service.to_owned();
        let sender = self
            .hub
            .lock()
            .services
            .get(service)
            .cloned()
            .ok_or_else(|| CallError::NotFound(name()))?;
        let (request, reply) = Request::new(body);
        sender.try_send(request).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => CallError::Busy(name()),
            mpsc::error::TrySendError::Closed(_) => CallError::NotFound(name()),
        })?;
        match tokio::time::timeout(deadline, reply).await {
            Ok(Ok(body)) => Ok(body),
            Ok(Err(_)) => Err(CallError::Stopped(name())),
            Err(_) => Err(CallError::Timeout(name())),
        }
    }

    fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.hub.nodes.subscribe()
    }

    fn raise(&self, register: Register, value: u64) {
        self.hub.register(register).send_if_modified(|present| {
            let raised = value > *present;
            *present = value.max(*present);
            raised
        });
    }

    fn register(&self, register: Register) -> watch::Receiver<u64> {
        self.hub.register(register).subscribe()
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.hub.link.subscribe()
    }
}

struct HubOutlet {
    hub: Weak<Hub>,
    source: Arc<str>,
    epoch: Epoch,
}

impl HubOutlet {
    /// Runs `f` on the source, unless another publisher has taken it over.
    fn with_source(&self, f: impl FnOnce(&mut Source)) {
        let Some(hub) = self.hub.upgrade() else { return };
        let mut state = hub.lock();
        if let Some(source) = state.sources.get_mut(&self.source)
            && source.highest == Some(self.epoch)
        {
            f(source);
        }
    }
}

impl Outlet for HubOutlet {
    fn send(&self, publication: &Publication, change: Arc<Change>) {
        let position = publication.position();
        self.with_source(|source| {
            for subscriber in source.subscribers.values() {
                // A full queue loses the change: the subscriber sees by the head that it is behind.
                let _ = subscriber.queue.try_send((position, change.clone()));
            }
            source.head.send_replace(Some(position));
        });
    }

    fn advance(&self, publication: &Publication) {
        let position = publication.position();
        self.with_source(|source| {
            source.head.send_replace(Some(position));
        });
    }

    fn close(&self) {
        self.with_source(|source| {
            source.publication = None;
            source.head.send_replace(None);
        });
    }
}

struct HubFeed {
    hub: Arc<Hub>,
    source: Arc<str>,
    id: u64,
    tables: BTreeSet<TableName>,
    changes: mpsc::Receiver<(Position, Arc<Change>)>,
    head: watch::Receiver<Option<Position>>,
    cursor: Cursor,
    /// The next update must be a snapshot.
    resync: bool,
    /// A publisher was there when last looked.
    present: bool,
}

impl HubFeed {
    /// An update, if there is one without waiting.
    fn poll(&mut self) -> Option<Update> {
        let head = *self.head.borrow_and_update();
        let Some(head) = head else {
            return std::mem::take(&mut self.present).then(|| {
                self.resync = true;
                Update::Gone
            });
        };
        self.present = true;
        if !self.resync {
            while let Ok((position, change)) = self.changes.try_recv() {
                match self.cursor.on_change(position) {
                    Step::Ignore => {}
                    Step::Resync => {
                        self.resync = true;
                        break;
                    }
                    Step::Apply => {
                        if let Some(change) = self.narrow(&change) {
                            return Some(Update::Change(position, change));
                        }
                    }
                }
            }
        }
        if self.resync || self.cursor.is_behind(head) { self.snapshot() } else { None }
    }

    /// The change without tables that this subscriber has not asked for; shared if nothing is cut.
    fn narrow(&self, change: &Arc<Change>) -> Option<Arc<Change>> {
        let wanted = |name: &TableName| self.tables.contains(name);
        if change.tables.iter().all(|(name, _)| wanted(name)) {
            return Some(change.clone());
        }
        let tables: Vec<_> =
            change.tables.iter().filter(|(name, _)| wanted(name)).cloned().collect();
        (!tables.is_empty()).then(|| Arc::new(Change { tables }))
    }

    fn snapshot(&mut self) -> Option<Update> {
        let publication = self.hub.lock().sources.get(&self.source)?.publication.clone()?;
        let snapshot =
            publication.lock().unwrap_or_else(PoisonError::into_inner).snapshot(&self.tables);
        self.resync = false;
        self.cursor.on_snapshot(snapshot.position).then_some(Update::Snapshot(snapshot))
    }
}

#[async_trait]
impl Feed for HubFeed {
    async fn next(&mut self) -> Option<Update> {
        loop {
            if let Some(update) = self.poll() {
                return Some(update);
            }
            self.head.changed().await.ok()?;
        }
    }

    fn set_tables(&mut self, tables: BTreeSet<TableName>) {
        if self.tables == tables {
            return;
        }
        self.tables.clone_from(&tables);
        self.resync = true;
        let mut state = self.hub.lock();
        if let Some(source) = state.sources.get_mut(&self.source) {
            if let Some(subscriber) = source.subscribers.get_mut(&self.id) {
                subscriber.tables = tables;
            }
            source.update_wanted();
        }
    }
}

impl Drop for HubFeed {
    fn drop(&mut self) {
        self.hub.unsubscribe(&self.source, self.id);
    }
}

#[cfg(test)]
mod tests;
