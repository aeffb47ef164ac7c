//! The publishing end of a stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use congress_table::{Change, Row, Table, TableDelta};
use tokio::sync::watch;

use crate::TableName;
use crate::stream::{Epoch, Position, Snapshot};

/// A source's tables and where its stream stands. The one copy of the rows on the publishing
/// node: the datasource itself compares each poll with it.
#[derive(Debug)]
pub struct Publication {
    position: Position,
    tables: BTreeMap<TableName, Table>,
}

impl Publication {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self { position: Position { epoch, sequence: 0 }, tables: BTreeMap::new() }
    }

    /// Where the stream stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// A table, once something was published for it.
    pub fn table(&self, name: &str) -> Option<&Table> {
        self.tables.get(name)
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = (&TableName, &Table)> {
        self.tables.iter()
    }

    /// Copies some tables (pointers to their rows, not the rows).
    pub fn snapshot(&self, wanted: &BTreeSet<TableName>) -> Snapshot {
        let tables = wanted
            .iter()
            .filter_map(|name| {
                let table = self.tables.get(name)?;
                Some((name.clone(), table.rows().cloned().collect::<Vec<Row>>()))
            })
            .collect();
        Snapshot { position: self.position, tables }
    }

    /// Applies a change and keeps of it what really changes something. None if nothing does.
    pub(crate) fn commit(&mut self, change: Change) -> Option<(Position, Arc<Change>)> {
        let mut effective = Change::default();
        for (name, delta) in change.tables {
            let known = self.tables.contains_key(&name);
            let table = self.tables.entry(name.clone()).or_default();
            let removed = delta.removed.into_iter().filter(|row| table.remove(row)).collect();
            let added = delta.added.into_iter().filter(|row| table.insert(row.clone())).collect();
            let delta = TableDelta { added, removed };
            if !known || !delta.is_empty() {
                effective.tables.push((name, delta));
            }
        }
        if effective.is_empty() {
            return None;
        }
        self.position.sequence += 1;
        Some((self.position, Arc::new(effective)))
    }
}

/// Where a publisher's changes go.
pub(crate) trait Outlet: Send + Sync {
    /// Sends a change on. Called with the publication locked, so that order is kept; must not block.
    fn send(&self, position: Position, change: Arc<Change>);
    /// The publisher ends.
    fn close(&self);
}

/// Publishes one source. Dropping it ends the publication; subscribers keep the last rows.
pub struct Publisher {
    pub(crate) publication: Arc<Mutex<Publication>>,
    pub(crate) outlet: Arc<dyn Outlet>,
    pub(crate) wanted: watch::Receiver<BTreeSet<TableName>>,
}

impl Publisher {
    /// Publishes a change: applied to the publication and sent to the subscribers as a whole.
    /// Rows that were there already, or were not, are dropped from it; a change that comes to
    /// nothing is not sent. True if something was sent.
    pub fn commit(&self, change: Change) -> bool {
        let mut publication = self.lock();
        match publication.commit(change) {
            Some((position, change)) => {
                self.outlet.send(position, change);
                true
            }
            None => false,
        }
    }

    /// Reads the published tables. The lock is held while `read` runs: keep it short.
    pub fn read<R>(&self, read: impl FnOnce(&Publication) -> R) -> R {
        read(&self.lock())
    }

    /// The tables that somebody, anywhere, subscribes to; changes are signalled.
    pub fn wanted(&self) -> watch::Receiver<BTreeSet<TableName>> {
        self.wanted.clone()
    }

    fn lock(&self) -> MutexGuard<'_, Publication> {
        // Nothing in this crate panics while it holds the lock half-way through a change.
        self.publication.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Publisher {
    fn drop(&mut self) {
        self.outlet.close();
    }
}
