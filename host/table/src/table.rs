//! The rows of one table, as the datasource node holds them.

use std::cell::RefCell;
use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, LazyLock};

use hashbrown::{DefaultHashBuilder, HashTable};

use crate::digest::encode;
use crate::{Cell, Digest, TableDelta, Value};

/// One row. Shared, for the same row is held by the datasource, in messages and by mirrors.
pub type Row = Arc<[Value]>;

/// The most bytes of text that a row may have: one row is the least that a message can carry.
pub const MAX_ROW_BYTES: usize = 8 << 20;

/// A set of rows with the digest of its content.
///
/// Rows compare as [`Value`]s do; of two equal rows the first one stays.
#[derive(Clone, Default)]
pub struct Table {
    rows: HashTable<Entry>,
    digest: Digest,
}

/// A row with its hash: a table grows, and is compared with another, without hashing rows again.
#[derive(Clone)]
struct Entry {
    hash: u64,
    row: Row,
}

/// Hashes have a seed of this process, since rows come from guests and services that may want them
/// to collide; one for all tables, so that hashes can be handed from table to table.
static HASHER: LazyLock<DefaultHashBuilder> = LazyLock::new(DefaultHashBuilder::default);

thread_local! {
    static ENCODED: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// The longest encoding whose memory is kept for the next row.
const KEPT: usize = 64 << 10;

/// Works with a row's encoding: what it is found by, and what it adds to the digest, come of that
/// one, for hashing cell by cell costs several times as much.
fn encoded<'a, R>(row: impl Iterator<Item = Cell<'a>>, work: impl FnOnce(&[u8]) -> R) -> R {
    ENCODED.with_borrow_mut(|encoded| {
        encoded.clear();
        encode(row, encoded);
        let result = work(encoded);
        encoded.shrink_to(KEPT);
        result
    })
}

fn hash_of(encoded: &[u8]) -> u64 {
    HASHER.hash_one(encoded)
}

fn of_row(row: &[Value]) -> (u64, Digest) {
    encoded(row.iter().map(Cell::from), |bytes| (hash_of(bytes), Digest::of_encoded(bytes)))
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
        self.rows.iter().map(|entry| &entry.row)
    }

    /// Whether a row is there.
    pub fn contains(&self, row: &[Value]) -> bool {
        self.has(of_row(row).0, row)
    }

    fn has(&self, hash: u64, row: &[Value]) -> bool {
        self.rows.find(hash, |entry| entry.hash == hash && *entry.row == *row).is_some()
    }

    /// The digest of the content: equal tables have equal digests, whatever their history.
    pub fn digest(&self) -> Digest {
        self.digest
    }

    /// Puts a row in. False if it was there.
    pub fn insert(&mut self, row: Row) -> bool {
        let (hash, digest) = of_row(&row);
        let same = |entry: &Entry| entry.hash == hash && entry.row == row;
        match self.rows.entry(hash, same, |entry| entry.hash) {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(place) => {
                self.digest.add(digest);
                place.insert(Entry { hash, row });
                true
            }
        }
    }

    /// Puts a row in that is made only if it must be. False if it was there.
    pub fn insert_cells(&mut self, cells: &[Cell<'_>]) -> bool {
        encoded(cells.iter().copied(), |bytes| self.insert_encoded(cells, bytes, hash_of(bytes)))
    }

    /// The same, unless another table has the row: then its place there.
    pub(crate) fn insert_beside(&mut self, cells: &[Cell<'_>], other: &Self) -> Option<usize> {
        encoded(cells.iter().copied(), |bytes| {
            let hash = hash_of(bytes);
            let same = |entry: &Entry| entry.hash == hash && are(cells, &entry.row);
            let place = other.rows.find_bucket_index(hash, same);
            if place.is_none() {
                self.insert_encoded(cells, bytes, hash);
            }
            place
        })
    }

    fn insert_encoded(&mut self, cells: &[Cell<'_>], bytes: &[u8], hash: u64) -> bool {
        let same = |entry: &Entry| entry.hash == hash && are(cells, &entry.row);
        match self.rows.entry(hash, same, |entry| entry.hash) {
            hashbrown::hash_table::Entry::Occupied(_) => false,
            hashbrown::hash_table::Entry::Vacant(place) => {
                self.digest.add(Digest::of_encoded(bytes));
                let row = cells.iter().map(|cell| Value::from(*cell)).collect();
                place.insert(Entry { hash, row });
                true
            }
        }
    }

    /// The place of a row.
    pub(crate) fn place_of(&self, row: &[Value]) -> Option<usize> {
        let (hash, _) = of_row(row);
        self.rows.find_bucket_index(hash, |entry| entry.hash == hash && *entry.row == *row)
    }

    /// The rows alone.
    pub(crate) fn into_rows(self) -> Vec<Row> {
        self.rows.into_iter().map(|entry| entry.row).collect()
    }

    /// How many places there are, with a row or without; they stay as they are while the table
    /// does.
    pub(crate) fn places(&self) -> usize {
        self.rows.num_buckets()
    }

    /// The row in a place.
    pub(crate) fn at(&self, place: usize) -> Option<&Row> {
        self.rows.get_bucket(place).map(|entry| &entry.row)
    }

    /// Makes room for so many rows more.
    pub fn reserve(&mut self, rows: usize) {
        self.rows.reserve(rows, |entry| entry.hash);
    }

    /// Takes a row out. False if it was not there.
    pub fn remove(&mut self, row: &[Value]) -> bool {
        let (hash, digest) = of_row(row);
        let same = |entry: &Entry| entry.hash == hash && *entry.row == *row;
        match self.rows.find_entry(hash, same) {
            Err(_) => false,
            Ok(entry) => {
                entry.remove();
                self.digest.remove(digest);
                true
            }
        }
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
        TableDelta { added: rows.without(self), removed: self.without(rows) }
    }

    fn without(&self, other: &Table) -> Vec<Row> {
        let missing = |entry: &&Entry| !other.has(entry.hash, &entry.row);
        self.rows.iter().filter(missing).map(|entry| entry.row.clone()).collect()
    }
}

/// Whether the cells are those of a row.
fn are(cells: &[Cell<'_>], row: &[Value]) -> bool {
    cells.len() == row.len() && cells.iter().zip(row).all(|(cell, value)| cell.is(value))
}

impl fmt::Debug for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.rows()).finish()
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
        self.digest == other.digest
            && self.len() == other.len()
            && self.rows.iter().all(|entry| other.has(entry.hash, &entry.row))
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
    fn rows_of_cells_are_those_of_values() {
        let mut table = Table::new();
        table.reserve(10);
        let cells = |a, b| [Cell::Int(a), Cell::Float(b)];
        assert!(table.insert_cells(&cells(1, 2.0)));
        assert!(table.insert_cells(&cells(5, 0.5)));
        assert!(!table.insert_cells(&cells(5, 0.5)));
        let made: Row = [Value::Int(5), Value::Float(0.5)].into();
        let same: Table = [row(&[1, 2]), made.clone()].into_iter().collect();
        assert_eq!(table, same);
        assert_eq!(table.digest(), same.digest());
        assert!(table.contains(&made));
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
