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

/// So many times a relation is looked through for the same columns before they get an index: a
/// pass costs a fraction of what making one does.
const PASSES: u32 = 1;

/// An index on some of the wanted columns does if it leaves about so many rows to look at.
const FEW: usize = 16;

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
    base: Option<Base>,
}

/// What a copy was made from that only its maker sees: its indexes come from there.
#[derive(Clone, Debug)]
struct Base {
    relation: Arc<Relation>,
    /// The rows that have changed since, by number.
    touched: Vec<u32>,
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
            base: self.base.clone(),
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
            base: None,
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

    /// A copy for changes that only few see, and briefly. It has no indexes to keep up; one that
    /// is asked for is made from that of the original, which is built there if need be.
    pub(crate) fn overlaid(original: Arc<Self>) -> Self {
        Self {
            width: original.width,
            exact: original.exact,
            rows: original.rows.clone(),
            unique: original.unique.crowded(),
            vacant: original.vacant,
            indexes: RwLock::default(),
            wanted: original.wanted.clone(),
            base: Some(Base { relation: original, touched: Vec::new() }),
        }
    }

    /// Whether it is such a copy.
    pub(crate) fn is_overlaid(&self) -> bool {
        self.base.is_some()
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

    /// The rows from one on, as many as lie together with it; empty slots among them.
    #[inline]
    pub(crate) fn block(&self, id: u32) -> impl Iterator<Item = Option<&[Word]>> {
        let stride = self.width.max(1);
        self.rows
            .block(id as usize)
            .chunks_exact(stride)
            .map(|row| (!row[0].is_vacant()).then_some(&row[..self.width]))
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Word]> {
        (0..self.end()).filter_map(|id| self.row(id))
    }

    /// The hash by which a row is found, of words by value or canonical already.
    pub(crate) fn hash(&self, dictionary: &Dictionary, row: &[Word]) -> u64 {
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

    /// Fetches what looking for a row with a hash will read: see [`Slots::warm`].
    #[inline]
    pub(crate) fn warm(&self, hash: u64) {
        self.unique.warm(hash);
    }

    /// Puts a row in. False if it was there.
    pub(crate) fn insert(&mut self, dictionary: &Dictionary, row: &[Word]) -> bool {
        let hash = self.hash(dictionary, row);
        self.insert_with_hash(dictionary, row, hash)
    }

    /// As [`Relation::insert`], of a row with a known hash.
    pub(crate) fn insert_with_hash(
        &mut self,
        dictionary: &Dictionary,
        row: &[Word],
        hash: u64,
    ) -> bool {
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
        self.touch(id);
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
        self.touch(id);
        Some(stored)
    }

    fn touch(&mut self, id: u32) {
        if let Some(base) = &mut self.base {
            base.touched.push(id);
        }
    }

    /// Builds what readers of other versions have asked for.
    fn build_wanted(&mut self, dictionary: &Dictionary) {
        let built = self.indexes.get_mut().unwrap_or_else(PoisonError::into_inner);
        if self.base.is_some() || built.len() >= self.wanted.count.load(Ordering::Acquire) {
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
    fn own_index(&self, key: &IndexKey) -> Option<Arc<Index>> {
        let built = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
        built.iter().find(|index| index.key() == key).cloned()
    }

    /// An index of the original, with what has changed since. Costs the changes.
    fn adapted(&self, dictionary: &Dictionary, base: &Base, index: &Index) -> Index {
        let mut touched = base.touched.clone();
        touched.sort_unstable();
        touched.dedup();
        let mut index = index.crowded();
        let original = &*base.relation;
        for &id in touched.iter().filter(|&&id| id < original.end()) {
            if original.row(id).is_some() {
                index.remove(dictionary, &original.rows, id);
            }
        }
        for id in touched {
            if self.row(id).is_some() {
                index.insert(dictionary, &self.rows, id);
            }
        }
        index
    }

    fn keep(&self, index: Index) -> Arc<Index> {
        let index = Arc::new(index);
        let mut built = self.indexes.write().unwrap_or_else(PoisonError::into_inner);
        if !built.iter().any(|other| other.key() == index.key()) {
            built.push(index.clone());
        }
        index
    }

    /// An index by which rows with given values in these columns are found quickly: on all of them,
    /// or on some if that leaves few rows to look at. Built now if need be, and if `build`.
    pub(crate) fn quick_index(
        &self,
        dictionary: &Dictionary,
        key: &IndexKey,
        build: bool,
    ) -> Option<Arc<Index>> {
        {
            let built = self.indexes.read().unwrap_or_else(PoisonError::into_inner);
            let exact = built.iter().find(|index| index.key() == key);
            if let Some(index) = exact.or_else(|| self.selective(&built, key)) {
                return Some(index.clone());
            }
        }
        if let Some(base) = &self.base {
            let index = base.relation.quick_index(dictionary, key, build)?;
            return Some(match self.own_index(index.key()) {
                Some(own) => own,
                None => self.keep(self.adapted(dictionary, base, &index)),
            });
        }
        if !build {
            return None;
        }
        if key.columns.len() > 1
            && let Some(column) = self.varied_column(&key.columns)
        {
            let part = IndexKey { columns: [column].into(), by_value: key.by_value };
            let index = self.index(dictionary, &part)?;
            if self.is_selective(&index) {
                return Some(index);
            }
        }
        self.index(dictionary, key)
    }

    /// The index on some of the columns that leaves the fewest rows to look at.
    fn selective<'i>(&self, built: &'i [Arc<Index>], key: &IndexKey) -> Option<&'i Arc<Index>> {
        let part = |index: &&Arc<Index>| {
            let own = index.key();
            own.by_value == key.by_value
                && own.columns.iter().all(|column| key.columns.contains(column))
                && self.is_selective(index)
        };
        built.iter().filter(part).max_by_key(|index| index.distinct())
    }

    fn is_selective(&self, index: &Index) -> bool {
        self.len() <= index.distinct() * FEW
    }

    /// The column whose values differ most, if they differ much.
    fn varied_column(&self, columns: &[u32]) -> Option<u32> {
        let varied = |column: u32| {
            let mut values: Vec<Word> = self.sample(64).map(|row| row[column as usize]).collect();
            let seen = values.len();
            values.sort_unstable();
            values.dedup();
            (values.len() * 8 >= seen * 7).then_some((values.len(), column))
        };
        columns.iter().filter_map(|&column| varied(column)).max().map(|(_, column)| column)
    }

    /// An index, built now if need be. `None` if there are [`MAX_INDEXES`] others.
    pub(crate) fn index(&self, dictionary: &Dictionary, key: &IndexKey) -> Option<Arc<Index>> {
        if let Some(index) = self.own_index(key) {
            return Some(index);
        }
        if let Some(base) = &self.base {
            let index = base.relation.index(dictionary, key)?;
            return Some(self.keep(self.adapted(dictionary, base, &index)));
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
        Some(self.keep(self.build(dictionary, key.clone())))
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
        assert!(relation.own_index(&key(&[0])).is_none());
        relation.insert(&d, &[w(3)]);
        assert!(relation.own_index(&key(&[0])).is_some());
    }

    #[test]
    fn an_overlaid_copy_takes_its_indexes_from_the_original() {
        let d = Dictionary::new();
        let mut original = Relation::new(2);
        for i in 0..300 {
            original.insert(&d, &[w(i), w(i % 3)]);
        }
        original.index(&d, &key(&[1]));
        let original = Arc::new(original);
        let mut copy = Relation::overlaid(original.clone());
        for i in 0..100 {
            assert!(copy.remove(&d, &[w(i), w(i % 3)]).is_some());
        }
        // Some of the slots are used again, some are new.
        for i in 0..150 {
            assert!(copy.insert(&d, &[w(1000 + i), w(i % 5)]));
        }
        let expect = |copy: &Relation| {
            for (columns, column) in [(&[1][..], 1), (&[0][..], 0)] {
                let index = copy.index(&d, &key(columns)).unwrap();
                for value in [0, 1, 2, 4, 50, 250, 1001, 1149, 2000] {
                    let mut wanted: Vec<Vec<Word>> = copy.iter().map(<[Word]>::to_vec).collect();
                    wanted.retain(|row| row[column] == w(value));
                    wanted.sort();
                    assert_eq!(matches(copy, &d, &index, &[w(value)]), wanted);
                }
            }
        };
        expect(&copy);
        copy.remove(&d, &[w(1001), w(1)]);
        copy.insert(&d, &[w(50), w(2)]);
        expect(&copy);
        // What the copy wanted was built in the original, where the next copy finds it.
        let index = original.own_index(&key(&[0])).unwrap();
        assert_eq!(matches(&original, &d, &index, &[w(50)]).len(), 1);
        assert_eq!(original.len(), 300);
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
