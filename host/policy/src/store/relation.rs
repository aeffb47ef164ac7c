//! A set of stored rows of one width.
//!
//! Rows lie flat in chunks; a row keeps its number until it goes. Two rows are one if their values
//! are, numbers compared by value: the first spelling stays. Indexes are built when a plan first
//! asks for one, by whoever asks, and are kept up to date by the writer from then on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use super::chunked::Chunked;
use super::dictionary::Dictionary;
use super::index::{Index, IndexKey, NONE};
use super::slots::Slots;
use super::word::{Kind, Word};

/// The most indexes of one relation: each costs memory, and time with every change. A plan that
/// wants one more scans.
const MAX_INDEXES: usize = 32;

/// So many times a relation is looked through for the same columns before they get an index.
const PASSES: u32 = 3;

/// The set.
#[derive(Debug)]
pub(crate) struct Relation {
    width: usize,
    /// Rows are told apart by type and value, not by value.
    exact: bool,
    rows: Chunked<Word>,
    unique: Slots,
    /// The first empty row slot; each names the next.
    vacant: u32,
    indexes: RwLock<Vec<Arc<Index>>>,
    wanted: Arc<Wanted>,
}

/// The indexes that readers of any version have asked for. Without it, a reader of an old version
/// would build an index that no later version has, again and again.
#[derive(Debug, Default)]
struct Wanted {
    count: AtomicUsize,
    keys: Mutex<Vec<IndexKey>>,
    /// How often the rows have been looked through for want of an index.
    passes: Mutex<Vec<(IndexKey, u32)>>,
}

impl Clone for Relation {
    fn clone(&self) -> Self {
        Self {
            width: self.width,
            exact: self.exact,
            rows: self.rows.clone(),
            unique: self.unique.clone(),
            vacant: self.vacant,
            indexes: RwLock::new(
                self.indexes.read().unwrap_or_else(PoisonError::into_inner).clone(),
            ),
            wanted: self.wanted.clone(),
        }
    }
}

impl Relation {
    /// An empty set of rows of a width.
    pub(crate) fn new(width: usize) -> Self {
        Self {
            width,
            exact: false,
            rows: Chunked::new(width),
            unique: Slots::new(),
            vacant: NONE,
            indexes: RwLock::default(),
            wanted: Arc::default(),
        }
    }

    /// An empty set whose rows are told apart by type and value, as unification does.
    pub(crate) fn exact(width: usize) -> Self {
        Self { exact: true, ..Self::new(width) }
    }

    /// Whether rows are told apart by type and value.
    pub(crate) fn is_exact(&self) -> bool {
        self.exact
    }

    /// An empty set in its place, which will have the same indexes.
    pub(crate) fn emptied(&self) -> Self {
        Self { wanted: self.wanted.clone(), exact: self.exact, ..Self::new(self.width) }
    }

    /// How many cells a row has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.unique.len()
    }

    /// One more than the largest row number.
    pub(crate) fn end(&self) -> u32 {
        self.rows.len() as u32
    }

    /// A row by its number, if that is in use.
    #[inline]
    pub(crate) fn row(&self, id: u32) -> Option<&[Word]> {
        let row = self.rows.get(id as usize);
        (!row[0].is_vacant()).then_some(&row[..self.width])
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Word]> {
        (0..self.end()).filter_map(|id| self.row(id))
    }

    fn hash(&self, dictionary: &Dictionary, row: &[Word]) -> u64 {
        let mut mixer = dictionary.mixer();
        for &word in row {
            mixer.add(if self.exact { word } else { dictionary.canonical(word) });
        }
        mixer.finish()
    }

    fn find(&self, dictionary: &Dictionary, row: &[Word], hash: u64) -> Option<u32> {
        self.unique.find(hash, |id| {
            self.rows.get(id as usize).iter().zip(row).all(|(&a, &b)| {
                a == b || (!self.exact && dictionary.canonical(a) == dictionary.canonical(b))
            })
        })
    }

    /// The stored row that equals `row` by value.
    pub(crate) fn get(&self, dictionary: &Dictionary, row: &[Word]) -> Option<&[Word]> {
        self.row(self.find_row(dictionary, row)?)
    }

    /// The number of the stored row that equals `row` by value; `row` may be canonical already.
    pub(crate) fn find_row(&self, dictionary: &Dictionary, row: &[Word]) -> Option<u32> {
        self.find(dictionary, row, self.hash(dictionary, row))
    }

    /// Puts a row in. False if it was there.
    pub(crate) fn insert(&mut self, dictionary: &Dictionary, row: &[Word]) -> bool {
        let hash = self.hash(dictionary, row);
        if self.find(dictionary, row, hash).is_some() {
            return false;
        }
        self.build_wanted(dictionary);
        // A row without cells still takes one word.
        let padding = [Word::UNBOUND];
        let content = if self.width == 0 { &padding[..] } else { row };
        let id = if self.vacant == NONE {
            self.rows.push(content) as u32
        } else {
            let id = self.vacant;
            let slot = self.rows.get_mut(id as usize);
            if let Kind::Vacant(next) = slot[0].kind() {
                self.vacant = next;
            }
            slot.copy_from_slice(content);
            id
        };
        self.unique.insert(hash, id);
        for index in self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Arc::make_mut(index).insert(dictionary, &self.rows, id);
        }
        true
    }

    /// Takes out the row that equals `row` by value, and returns it as it was stored.
    pub(crate) fn remove(&mut self, dictionary: &Dictionary, row: &[Word]) -> Option<Box<[Word]>> {
        let hash = self.hash(dictionary, row);
        let id = self.find(dictionary, row, hash)?;
        self.build_wanted(dictionary);
        for index in self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner) {
            Arc::make_mut(index).remove(dictionary, &self.rows, id);
        }
        self.unique.remove(hash, id);
        let slot = self.rows.get_mut(id as usize);
        let stored = slot[..self.width].into();
        slot[0] = Word::vacant(self.vacant);
        self.vacant = id;
        Some(stored)
    }

    /// Builds what readers of other versions have asked for.
    fn build_wanted(&mut self, dictionary: &Dictionary) {
        let built = self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner);
        if built.len() >= self.wanted.count.load(Ordering::Acquire) {
            return;
        }
        let keys = self.wanted.keys.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for key in keys {
            let built = self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner);
            if !built.iter().any(|index| *index.key() == key) {
                let index = Arc::new(self.build(dictionary, key));
                self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner).push(index);
            }
        }
    }

    fn build(&self, dictionary: &Dictionary, key: IndexKey) -> Index {
        Index::of(key, dictionary, &self.rows)
    }

    /// An index that exists already.
    pub(crate) fn existing_index(&self, key: &IndexKey) -> Option<Arc<Index>> {
        let built = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        built.iter().find(|index| index.key() == key).cloned()
    }

    /// An index, built now if need be. `None` if there are [`MAX_INDEXES`] others.
    pub(crate) fn index(&self, dictionary: &Dictionary, key: &IndexKey) -> Option<Arc<Index>> {
        if let Some(index) = self.existing_index(key) {
            return Some(index);
        }
        {
            let mut keys = self.wanted.keys.lock().unwrap_or_else(PoisonError::into_inner);
            if !keys.contains(key) {
                if keys.len() >= MAX_INDEXES {
                    return None;
                }
                keys.push(key.clone());
                self.wanted.count.store(keys.len(), Ordering::Release);
            }
        }
        // Outside the lock, so that nobody waits for it. Two readers may build the same.
        let index = Arc::new(self.build(dictionary, key.clone()));
        let mut built = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        if !built.iter().any(|other| other.key() == key) {
            built.push(index.clone());
        }
        Some(index)
    }

    /// Whether the rows may be looked through once more before these columns get an index.
    pub(crate) fn may_pass(&self, key: &IndexKey) -> bool {
        let mut passes = self.wanted.passes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((_, count)) = passes.iter_mut().find(|(other, _)| other == key) {
            *count = (*count + 1).min(PASSES);
            return *count < PASSES;
        }
        let room = passes.len() < 2 * MAX_INDEXES;
        if room {
            passes.push((key.clone(), 0));
        }
        room
    }

    /// Up to `count` rows from all over the relation.
    pub(crate) fn sample(&self, count: usize) -> impl Iterator<Item = &[Word]> {
        let step = (self.end() as usize / count).max(1);
        (0..self.end()).step_by(step).filter_map(|id| self.row(id)).take(count)
    }

    /// The first row of an index of this relation with a key, or [`NONE`].
    pub(crate) fn first(&self, dictionary: &Dictionary, index: &Index, key: &[Word]) -> u32 {
        index.first(dictionary, &self.rows, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn w(i: i64) -> Word {
        Word::int(i).unwrap()
    }

    fn key(columns: &[u32]) -> IndexKey {
        IndexKey { columns: columns.into(), by_value: false }
    }

    fn matches(relation: &Relation, d: &Dictionary, index: &Index, k: &[Word]) -> Vec<Vec<Word>> {
        let mut found = Vec::new();
        let mut id = relation.first(d, index, k);
        while id != NONE {
            found.push(relation.row(id).unwrap().to_vec());
            id = index.next(id);
        }
        found.sort();
        found
    }

    #[test]
    fn rows_come_and_go_and_slots_are_used_again() {
        let d = Dictionary::new();
        let mut relation = Relation::new(2);
        for round in 0..10 {
            for i in 0..500 {
                assert!(relation.insert(&d, &[w(i), w(round)]));
                assert!(!relation.insert(&d, &[w(i), w(round)]));
            }
            for i in 0..500 {
                assert!(relation.remove(&d, &[w(i), w(round)]).is_some());
            }
            assert!(relation.remove(&d, &[w(0), w(round)]).is_none());
        }
        assert_eq!((relation.len(), relation.end()), (0, 500));
    }

    #[test]
    fn an_index_follows_the_writer_and_snapshots_keep_theirs() {
        let d = Dictionary::new();
        let mut relation = Relation::new(2);
        for i in 0..300 {
            relation.insert(&d, &[w(i), w(i % 3)]);
        }
        let old = relation.clone();
        let before = relation.index(&d, &key(&[1])).unwrap();
        assert_eq!(matches(&relation, &d, &before, &[w(1)]).len(), 100);
        for i in 0..150 {
            relation.remove(&d, &[w(i), w(i % 3)]);
        }
        relation.insert(&d, &[w(1000), w(1)]);
        let after = relation.index(&d, &key(&[1])).unwrap();
        assert_eq!(matches(&relation, &d, &after, &[w(1)]).len(), 51);
        assert_eq!(matches(&old, &d, &before, &[w(1)]).len(), 100);
        assert_eq!(matches(&relation, &d, &after, &[w(7)]).len(), 0);
    }

    #[test]
    fn the_writer_builds_what_a_reader_of_an_old_version_asked_for() {
        let d = Dictionary::new();
        let mut relation = Relation::new(1);
        relation.insert(&d, &[w(1)]);
        let old = relation.clone();
        relation.insert(&d, &[w(2)]);
        old.index(&d, &key(&[0]));
        assert!(relation.existing_index(&key(&[0])).is_none());
        relation.insert(&d, &[w(3)]);
        assert!(relation.existing_index(&key(&[0])).is_some());
    }

    #[test]
    fn a_table_without_columns_has_one_row_or_none() {
        let d = Dictionary::new();
        let mut relation = Relation::new(0);
        assert!(relation.insert(&d, &[]));
        assert!(!relation.insert(&d, &[]));
        assert_eq!(relation.iter().count(), 1);
        assert!(relation.remove(&d, &[]).is_some());
        assert_eq!(relation.iter().count(), 0);
    }
}
