//! The rows of one table, as the datasource node holds them.

use std::collections::HashSet;
use std::sync::Arc;

use crate::{Digest, TableDelta, Value};

/// One row. Shared, for the same row is held by the datasource, in messages and by mirrors.
pub type Row = Arc<[Value]>;

/// A set of rows with the digest of its content.
///
/// Rows compare as [`Value`]s do; of two equal rows the first one stays.
#[derive(Clone, Debug, Default)]
pub struct Table {
    rows: HashSet<Row>,
    digest: Digest,
}

impl Table {
    /// An empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.rows.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.rows.is_empty()
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl ExactSizeIterator<Item = &Row> {
        self.rows.iter()
    }

    /// Whether a row is there.
    pub fn contains(&self, row: &[Value]) -> bool {
        self.rows.contains(row)
    }

    /// The digest of the content: equal tables have equal digests, whatever their history.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Puts a row in. False if it was there.
    pub fn insert(&mut self, row: Row) -> bool {
        let digest = Digest::of(&row);
        let new = self.rows.insert(row);
        if new {
            self.digest.add(digest);
        }
        new
    }

    /// Takes a row out. False if it was not there.
    pub fn remove(&mut self, row: &[Value]) -> bool {
        let gone = self.rows.remove(row);
        if gone {
            self.digest.remove(Digest::of(row));
        }
        gone
    }

    /// Applies a change; rows already there, or not there, are ignored.
    pub fn apply(&mut self, delta: &TableDelta) {
        for row in &delta.removed {
            self.remove(row);
        }
        for row in &delta.added {
            self.insert(row.clone());
        }
    }

    /// What turns this table into one that holds just `rows`.
    ///
    /// Costs the size of both; for a source that knows its changes, build the [`TableDelta`]
    /// directly.
    pub fn difference_to(&self, rows: &Table) -> TableDelta {
        if self.digest == rows.digest && self.len() == rows.len() {
            return TableDelta::default();
        }
        TableDelta {
            added: rows.rows.iter().filter(|r| !self.rows.contains(*r)).cloned().collect(),
            removed: self.rows.iter().filter(|r| !rows.rows.contains(*r)).cloned().collect(),
        }
    }
}

impl FromIterator<Row> for Table {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        let mut table = Self::new();
        for row in rows {
            table.insert(row);
        }
        table
    }
}

impl PartialEq for Table {
    fn eq(&self, other: &Self) -> bool {
        self.digest == other.digest && self.rows == other.rows
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(cells: &[i64]) -> Row {
        cells.iter().map(|i| Value::Int(*i)).collect()
    }

    #[test]
    fn difference_applied_gives_the_other_table() {
        let old: Table = [row(&[1, 2]), row(&[3, 4])].into_iter().collect();
        let new: Table = [row(&[3, 4]), row(&[5, 6])].into_iter().collect();
        let delta = old.difference_to(&new);
        assert_eq!(delta.added, vec![row(&[5, 6])]);
        assert_eq!(delta.removed, vec![row(&[1, 2])]);
        let mut moved = old.clone();
        moved.apply(&delta);
        assert_eq!(moved, new);
        assert_eq!(moved.digest(), new.digest());
        assert!(new.difference_to(&moved).is_empty());
    }

    #[test]
    fn digest_forgets_history() {
        let mut table: Table = [row(&[1]), row(&[2])].into_iter().collect();
        table.insert(row(&[9]));
        table.insert(row(&[9]));
        table.remove(&row(&[9]));
        table.remove(&row(&[9]));
        let same: Table = [row(&[2]), row(&[1])].into_iter().collect();
        assert_eq!(table.digest(), same.digest());
        assert_eq!(Table::new().digest(), Digest::default());
    }
}
