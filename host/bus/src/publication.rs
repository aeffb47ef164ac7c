//! The publishing end of a stream.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use congress_table::{Change, Digest, Row, Table, TableDelta};
use tokio::sync::watch;

use crate::stream::{Epoch, Position, Snapshot};
use crate::{Schema, TableName};

/// A source's tables and where its stream stands. The one copy of the rows on the publishing
/// node: the datasource itself compares each poll with it. Whoever shares a table keeps it as it was;
/// the next change then costs a copy of its pointers.
#[derive(Debug)]
pub struct Publication {
    position: Position,
    schema: Schema,
    tables: BTreeMap<TableName, Arc<Table>>,
}

impl Publication {
    pub(crate) fn new(epoch: Epoch) -> Self {
        Self {
            position: Position { epoch, sequence: 0 },
            schema: Schema::default(),
            tables: BTreeMap::new(),
        }
    }

    /// Where the stream stands.
    pub fn position(&self) -> Position {
        self.position
    }

    /// The tables that there can be; empty until declared.
    pub fn schema(&self) -> &Schema {
        &self.schema
    }

    /// A table, once something was published for it.
    pub fn table(&self, name: &str) -> Option<&Arc<Table>> {
        self.tables.get(name)
    }

    /// All tables.
    pub fn tables(&self) -> impl Iterator<Item = (&TableName, &Arc<Table>)> {
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
        Snapshot { position: self.position, schema: self.schema.clone(), tables }
    }

    /// A snapshot with the digest of each of its tables.
    pub(crate) fn snapshot_with_digests(
        &self,
        wanted: &BTreeSet<TableName>,
    ) -> (Snapshot, Vec<Digest>) {
        let snapshot = self.snapshot(wanted);
        let digest = |(name, _): &(TableName, Vec<Row>)| self.table(name).map(|t| t.digest());
        let digests = snapshot.tables.iter().map(|table| digest(table).unwrap_or_default());
        let digests = digests.collect();
        (snapshot, digests)
    }

    /// Applies a change and keeps of it what really changes something. None if nothing does.
    pub(crate) fn commit(&mut self, change: Change) -> Option<(Position, Arc<Change>)> {
        let mut effective = Change::default();
        for (name, delta) in change.tables {
            let known = self.tables.contains_key(&name);
            let table = self.tables.entry(name.clone()).or_default();
            let mut applied = TableDelta::default();
            // Whoever reads the table keeps it as it is: without a change it is not copied.
            if !delta.is_empty() {
                let table = Arc::make_mut(table);
                let TableDelta { added, removed } = delta;
                applied.removed = removed.into_iter().filter(|row| table.remove(row)).collect();
                applied.added = added.into_iter().filter(|row| table.insert(row.clone())).collect();
            }
            let delta = applied;
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

    /// Whether the rows of a table stay when this schema is declared: it has the same columns.
    pub fn keeps(&self, schema: &Schema, table: &str) -> bool {
        let columns = columns_of(schema, table);
        columns.is_some() && columns == columns_of(&self.schema, table)
    }

    /// Takes another schema, and a change that fits it. Rows of tables that have other columns in
    /// it, or are not in it, are dropped first.
    fn declare(&mut self, schema: Schema, change: Change) {
        let gone = self.tables.keys().filter(|name| !self.keeps(&schema, name));
        for name in gone.cloned().collect::<Vec<_>>() {
            self.tables.remove(&name);
        }
        self.schema = schema;
        if self.commit(change).is_none() {
            self.position.sequence += 1;
        }
    }

    /// As a new schema that is like the old one.
    #[cfg(any(test, feature = "simulation"))]
    pub(crate) fn advance(&mut self) {
        self.position.sequence += 1;
    }
}

/// The names of a table's columns.
fn columns_of<'a>(schema: &'a Schema, table: &str) -> Option<Vec<&'a str>> {
    let declared = schema.iter().find(|declared| declared.name == table)?;
    Some(declared.columns.iter().map(|column| column.name.as_str()).collect())
}

/// Where a publisher's changes go.
pub(crate) trait Outlet: Send + Sync {
    /// Sends a change on. Called with the publication locked, so that order is kept; must not block.
    fn send(&self, publication: &Publication, change: Arc<Change>);
    /// Says where the stream stands after something that no change tells: subscribers take a
    /// snapshot. Called likewise.
    fn advance(&self, publication: &Publication);
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
            Some((_, change)) => {
                self.outlet.send(&publication, change);
                true
            }
            None => false,
        }
    }

    /// Declares the tables that there can be, in place of those declared before, and publishes a
    /// change that fits them, as one step. Subscribers get a snapshot, with the schema in it: rows
    /// of one width never meet the schema of another.
    pub fn declare(&self, schema: Schema, change: Change) {
        let mut publication = self.lock();
        publication.declare(schema, change);
        self.outlet.advance(&publication);
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

#[cfg(test)]
mod tests {
    use congress_table::{Column, TableSchema, Value};

    use super::*;

    fn schema(column: &str) -> Schema {
        let column = Column {
            name: column.to_owned(),
            description: None,
            column_type: Default::default(),
            nullable: true,
        };
        [Arc::new(TableSchema { name: "t".to_owned(), columns: vec![column], root: None })].into()
    }

    #[test]
    fn rows_stay_with_their_columns() {
        let row: Row = [Value::Int(1)].into();
        let delta = TableDelta { added: vec![row], removed: Vec::new() };
        let mut publication = Publication::new(Epoch(1));
        publication.declare(schema("a"), Change { tables: vec![("t".into(), delta)] });
        assert!(publication.keeps(&schema("a"), "t") && !publication.keeps(&schema("b"), "t"));
        publication.declare(schema("a"), Change::default());
        let table = publication.table("t").cloned().unwrap();
        assert_eq!(table.len(), 1);
        publication.declare(schema("b"), Change::default());
        assert!(publication.table("t").is_none());
        assert_eq!((table.len(), publication.position().sequence), (1, 3));
    }
}
