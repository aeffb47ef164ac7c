//! Following the rows of a policy's table: for clients that watch it.
//!
//! Each watches for itself, in this node's engine. Changes wait for it in a bounded queue; one that
//! falls behind begins anew with all rows, so that a slow client costs a bounded amount of memory
//! and nobody else's time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use congress_policy::ast::Constant;
use congress_policy::{Fired, Snapshot};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::cell::Cell;
use super::handle::{EngineHandle, Inner};
use crate::failure::{Answer, Failure, Status};

/// How many changes wait for one who watches.
const QUEUE: usize = 64;

/// What the names of these watches begin with.
const WATCH_PREFIX: &str = "observed ";

/// What happens to the rows of a table.
#[derive(Clone, Debug, PartialEq)]
pub enum RowsUpdate {
    /// All rows; they replace what was known.
    Snapshot(Vec<Vec<Cell>>),
    /// Rows that came and went.
    Change {
        /// Rows that are there now.
        added: Vec<Vec<Cell>>,
        /// Rows that are there no longer.
        removed: Vec<Vec<Cell>>,
    },
}

type Delta = Arc<(Vec<Vec<Constant>>, Vec<Vec<Constant>>)>;

/// Those who watch. Locked after the engine, never before.
#[derive(Default)]
pub(super) struct Observers(Mutex<State>);

#[derive(Default)]
struct State {
    next: u64,
    queues: HashMap<Arc<str>, mpsc::Sender<Delta>>,
}

impl Observers {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands on what a change did. Who has no room for it is let go, and sees that.
    pub(super) fn note(&self, fired: &[Fired]) {
        let mut state = self.lock();
        if state.queues.is_empty() {
            return;
        }
        for fired in fired {
            let Some(queue) = state.queues.get(&*fired.watch) else { continue };
            let delta = Arc::new((fired.added.clone(), fired.removed.clone()));
            if queue.try_send(delta).is_err() {
                state.queues.remove(&*fired.watch);
            }
        }
    }
}

/// The rows of a table as they change. Dropping it ends the watch.
pub struct Observation {
    engine: EngineHandle,
    policy: String,
    table: String,
    watch: Option<Watch>,
    /// The rows at which the watch began are being read.
    reading: Option<Reading>,
}

/// Reads rows, unless it is dropped before.
struct Reading(JoinHandle<Answer<Vec<Vec<Cell>>>>);

impl Drop for Reading {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// A watch in the engine.
struct Watch {
    inner: Arc<Inner>,
    name: Arc<str>,
    queue: mpsc::Receiver<Delta>,
    /// The state at which it began, until its rows are being read.
    begin: Option<Snapshot>,
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.inner.observers.lock().queues.remove(&self.name);
        let (inner, name) = (self.inner.clone(), self.name.clone());
        // The engine may be at work: whoever lets go of this must not wait for it.
        if let Ok(runtime) = tokio::runtime::Handle::try_current() {
            runtime.spawn_blocking(move || inner.engine().unwatch(&name));
        }
    }
}

impl EngineHandle {
    /// Watches a policy's table. Its first update is a snapshot.
    pub async fn observe(&self, policy: &str, table: &str) -> Answer<Observation> {
        let missing =
            || Failure::plain(Status::NotFound, format_args!("table '{table}' doesn't exist"));
        let policy = self.policy_name(policy).ok_or_else(missing)?;
        if !self.has_table(&policy, table).await? {
            return Err(missing());
        }
        let (engine, table) = (self.clone(), table.to_owned());
        let mut observation = Observation { engine, policy, table, watch: None, reading: None };
        observation.watch = Some(observation.begin().await?);
        Ok(observation)
    }
}

impl Observation {
    /// The next update. Safe to cancel: nothing is lost.
    pub async fn next(&mut self) -> Answer<RowsUpdate> {
        loop {
            if self.watch.is_none() {
                self.watch = Some(self.begin().await?);
            }
            let Some(watch) = &mut self.watch else { continue };
            if let Some(snapshot) = watch.begin.take() {
                let (engine, policy) = (self.engine.clone(), self.policy.clone());
                let table = self.table.clone();
                let rows = async move { engine.rows_at(snapshot, &policy, &table).await };
                self.reading = Some(Reading(tokio::spawn(rows)));
            }
            if let Some(reading) = &mut self.reading {
                let rows = (&mut reading.0).await.map_err(Failure::internal)?;
                self.reading = None;
                return rows.map(RowsUpdate::Snapshot);
            }
            match watch.queue.recv().await {
                Some(delta) => {
                    let (added, removed) = &*delta;
                    return Ok(RowsUpdate::Change { added: cells(added), removed: cells(removed) });
                }
                // Too slow.
                None => self.watch = None,
            }
        }
    }

    /// Begins to watch.
    async fn begin(&self) -> Answer<Watch> {
        let inner = self.engine.inner.clone();
        // The table's own policy, if it names one.
        let table = match self.table.contains(':') {
            true => self.table.clone(),
            false => format!("{}:{}", self.policy, self.table),
        };
        let watching = tokio::task::spawn_blocking(move || {
            let mut engine = inner.engine();
            let (sender, queue) = mpsc::channel(QUEUE);
            let name: Arc<str> = {
                let mut state = inner.observers.lock();
                state.next += 1;
                let name: Arc<str> = format!("{WATCH_PREFIX}{}", state.next).into();
                state.queues.insert(name.clone(), sender);
                name
            };
            let mut watch = Watch { inner: inner.clone(), name, queue, begin: None };
            // What is dropped on an error unwatches later.
            engine
                .watch(&watch.name, None, &table, None)
                .map_err(|error| Failure::plain(Status::BadRequest, error))?;
            let split = table.split_once(':');
            if engine.overflowed().any(|overflowed| Some(overflowed) == split) {
                return Err(Failure::plain(
                    Status::BadRequest,
                    format_args!(
                        "table '{table}' cannot be followed: it has too many rows, or its rules \
                         look at too many"
                    ),
                ));
            }
            watch.begin = Some(engine.snapshot());
            Ok(watch)
        });
        watching.await.map_err(Failure::internal)?
    }
}

fn cells(rows: &[Vec<Constant>]) -> Vec<Vec<Cell>> {
    rows.iter().map(|row| row.iter().cloned().map(Cell).collect()).collect()
}
