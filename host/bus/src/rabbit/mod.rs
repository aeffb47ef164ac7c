//! The bus over RabbitMQ.

mod link;
mod options;
mod outbox;
mod shared;
mod socket;
mod topology;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use congress_table::Change;
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::task::{JoinError, JoinSet};

pub use options::{RabbitHost, RabbitOptions, RabbitTls};

use self::shared::{Published, Shared};
use crate::call::{CallError, Request, Requests};
use crate::protocol::{CallRoute, FollowerId};
use crate::publication::{Outlet, Publication, Publisher};
use crate::stream::{Epoch, Feed, Subscription, Update};
use crate::{Bus, BusStatus, Link, Node, Register, RegisterError, TableName};

/// How long a goodbye may take.
const GOODBYE: Duration = Duration::from_secs(2);
/// How long to wait before the bus's tasks begin anew after one of them has failed.
const RESTART: Duration = Duration::from_secs(1);

/// Connects nodes through RabbitMQ. Clones are the same bus; the last one that is dropped ends it.
///
/// Everything works in the background: [`RabbitBus::connect`] returns at once, also while there is
/// no broker. Publications are kept and subscriptions wait until there is a link; calls to other
/// nodes fail meanwhile.
#[derive(Clone)]
pub struct RabbitBus {
    inner: Arc<Inner>,
}

struct Inner {
    shared: Arc<Shared>,
    task: tokio::task::AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
        self.shared.close();
    }
}

impl RabbitBus {
    /// Begins to connect. Must be called within a Tokio runtime.
    pub fn connect(options: RabbitOptions) -> Self {
        let runtime = tokio::runtime::Handle::current();
        let (shared, jobs) = Shared::new(shared::core(&options), runtime.clone());
        let jobs = Arc::new(tokio::sync::Mutex::new(jobs));
        let here = shared.clone();
        let begin = move |tasks: &mut JoinSet<()>| {
            tasks.spawn(link::run(here.clone(), options.clone()));
            tasks.spawn(here.clone().take_snapshots(jobs.clone()));
            tasks.spawn(here.clone().tick());
        };
        let task = runtime.spawn(supervise(shared.clone(), begin)).abort_handle();
        Self { inner: Arc::new(Inner { shared, task }) }
    }

    fn shared(&self) -> &Arc<Shared> {
        &self.inner.shared
    }
}

/// Keeps the tasks that `begin` starts going. None is known to panic; but if one does, a node whose
/// bus is dead must not go on as if it were not: all are ended, the link is down, and after a pause
/// they begin anew. Dropping this ends them.
async fn supervise(shared: Arc<Shared>, begin: impl Fn(&mut JoinSet<()>)) {
    loop {
        let mut tasks = JoinSet::new();
        begin(&mut tasks);
        let Some(error) = first_failure(&mut tasks).await else { return };
        tracing::error!(%error, "a task of the message bus failed; it begins anew in {RESTART:?}");
        tasks.shutdown().await;
        shared.link_down("a task of this node's message bus failed");
        tokio::time::sleep(RESTART).await;
    }
}

/// How the first task failed; none once all have ended as they should.
async fn first_failure(tasks: &mut JoinSet<()>) -> Option<JoinError> {
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            return Some(error);
        }
    }
    None
}

#[async_trait]
impl Bus for RabbitBus {
    fn publish(&self, source: &str, epoch: Epoch) -> Result<Publisher, RegisterError> {
        let name: Arc<str> = source.into();
        let publication = Arc::new(Mutex::new(Publication::new(epoch)));
        let wanted = self.shared().with(|state, now| {
            let (sender, wanted) = watch::channel(BTreeSet::new());
            let rows = Arc::downgrade(&publication);
            let published = Published { epoch, rows, wanted: sender };
            let before = state.publications.insert(name.clone(), published);
            if let Err(error) = state.core.publish(now, source, epoch) {
                match before {
                    Some(before) => state.publications.insert(name.clone(), before),
                    None => state.publications.remove(&name),
                };
                return Err(error);
            }
            Ok(wanted)
        })?;
        let outlet = RabbitOutlet { shared: self.shared().clone(), source: name, epoch };
        Ok(Publisher { publication, outlet: Arc::new(outlet), wanted })
    }

    fn subscribe(
        &self,
        subscriber: &str,
        source: &str,
        tables: BTreeSet<TableName>,
    ) -> Subscription {
        let news = Arc::new(Notify::new());
        let id = self.shared().with(|state, now| {
            let id = state.core.subscribe(now, subscriber, source, tables);
            state.readers.insert(id, news.clone());
            id
        });
        Subscription { feed: Box::new(RabbitFeed { shared: self.shared().clone(), id, news }) }
    }

    fn subscribers(&self, source: &str) -> Vec<String> {
        self.shared().with(|state, _| state.core.subscribers(source))
    }

    fn serve(&self, service: &str, backlog: usize) -> Result<Requests, RegisterError> {
        let (sender, queue) = mpsc::channel(backlog.max(1));
        self.shared().with(|state, now| {
            state.core.serve(now, service)?;
            state.services.insert(service.into(), sender);
            Ok(())
        })?;
        let shared = Arc::downgrade(self.shared());
        let name = service.to_owned();
        let withdraw = move || {
            if let Some(shared) = shared.upgrade() {
                shared.with(|state, now| {
                    state.services.remove(&*name);
                    state.core.withdraw(now, &name);
                });
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
        let reply = self.shared().with(|state, now| {
            match state.core.call(now, service, &body, deadline)? {
                CallRoute::Here => {
                    let queue = state.services.get(service);
                    let queue = queue.ok_or_else(|| CallError::NotFound(name()))?;
                    let (request, reply) = Request::new(body.clone());
                    queue.try_send(request).map_err(|error| match error {
                        mpsc::error::TrySendError::Full(_) => CallError::Busy(name()),
                        mpsc::error::TrySendError::Closed(_) => CallError::NotFound(name()),
                    })?;
                    Ok(Waiting::Here(reply))
                }
                CallRoute::Sent(id) => {
                    let (sender, reply) = oneshot::channel();
                    state.calls.insert(id, sender);
                    Ok(Waiting::Sent(Sent { shared: self.shared().clone(), id, reply }))
                }
            }
        })?;
        let result = match reply {
            Waiting::Here(reply) => tokio::time::timeout(deadline, reply)
                .await
                .map(|reply| reply.map_err(|_| CallError::Stopped(name()))),
            Waiting::Sent(mut sent) => tokio::time::timeout(deadline, &mut sent.reply)
                .await
                .map(|reply| reply.unwrap_or_else(|_| Err(CallError::Stopped(name())))),
        };
        result.unwrap_or_else(|_| Err(CallError::Timeout(name())))
    }

    fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.shared().nodes.subscribe()
    }

    fn raise(&self, register: Register, value: u64) {
        self.shared().with(|state, now| state.core.raise(now, register, value));
    }

    fn register(&self, register: Register) -> watch::Receiver<u64> {
        self.shared().register(register).subscribe()
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.shared().link.subscribe()
    }

    async fn leave(&self) {
        self.shared().with(|state, now| state.core.leave(now));
        // What was put in the lane before has been confirmed once this has.
        let shared = self.shared();
        if *shared.link.borrow() != Link::Up {
            return;
        }
        let closed = async {
            shared.control.drained().await;
            let left = shared.left.notified();
            shared.leaving.notify_one();
            left.await;
        };
        if tokio::time::timeout(GOODBYE, closed).await.is_err() {
            tracing::warn!("the message bus did not take a goodbye within {GOODBYE:?}");
        }
    }

    fn status(&self) -> BusStatus {
        self.shared().status()
    }
}

/// A call that waits for its reply.
enum Waiting {
    Here(oneshot::Receiver<Bytes>),
    Sent(Sent),
}

/// One that another node is to answer. Dropping it forgets the call.
struct Sent {
    shared: Arc<Shared>,
    id: u64,
    reply: oneshot::Receiver<Result<Bytes, CallError>>,
}

impl Drop for Sent {
    fn drop(&mut self) {
        self.shared.with(|state, _| {
            state.calls.remove(&self.id);
            state.core.forget_call(self.id);
        });
    }
}

struct RabbitOutlet {
    shared: Arc<Shared>,
    source: Arc<str>,
    epoch: Epoch,
}

impl Outlet for RabbitOutlet {
    fn send(&self, publication: &Publication, change: Arc<Change>) {
        let digests = change
            .tables
            .iter()
            .map(|(name, _)| publication.table(name).map(|t| t.digest()).unwrap_or_default())
            .collect();
        let position = publication.position();
        self.shared.with(|state, now| {
            state.core.committed(now, &self.source, position, change, digests);
        });
    }

    fn advance(&self, publication: &Publication) {
        let digests: BTreeMap<_, _> =
            publication.tables().map(|(name, table)| (name.clone(), table.digest())).collect();
        let position = publication.position();
        self.shared.with(|state, now| state.core.advanced(now, &self.source, position, digests));
    }

    fn close(&self) {
        self.shared.with(|state, now| {
            if state.publications.get(&self.source).is_some_and(|p| p.epoch == self.epoch) {
                state.publications.remove(&self.source);
            }
            state.core.closed(now, &self.source, self.epoch);
        });
    }
}

struct RabbitFeed {
    shared: Arc<Shared>,
    id: FollowerId,
    news: Arc<Notify>,
}

#[async_trait]
impl Feed for RabbitFeed {
    async fn next(&mut self) -> Option<Update> {
        loop {
            let (update, closed) =
                self.shared.with(|state, now| (state.core.next_update(now, self.id), state.closed));
            if update.is_some() || closed {
                return update;
            }
            self.news.notified().await;
        }
    }

    fn set_tables(&mut self, tables: BTreeSet<TableName>) {
        self.shared.with(|state, now| state.core.set_tables(now, self.id, tables));
    }
}

impl Drop for RabbitFeed {
    fn drop(&mut self) {
        self.shared.with(|state, now| {
            state.readers.remove(&self.id);
            state.core.unsubscribe(now, self.id);
        });
    }
}

#[cfg(test)]
mod tests;
