//! The indexes of a relation: which there are, and which one serves.
//!
//! An index is built when a plan first asks for it, by whoever asks, and kept up to date by the
//! writer from then on.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use super::dictionary::Dictionary;
use super::index::{Index, IndexKey};
use super::relation::Relation;
use super::word::Word;

/// The most indexes of one relation: each costs memory, and time with every change. A plan that
/// wants one more scans.
const MAX_INDEXES: usize = 32;

/// So many times a relation is looked through for the same columns before they get an index: a
/// pass costs a fraction of what making one does.
const PASSES: u32 = 1;

/// An index on some of the wanted columns does if it leaves about so many rows to look at.
const FEW: usize = 16;

/// What a copy was made from that only its maker sees: its indexes come from there.
#[derive(Clone, Debug)]
pub(super) struct Base {
    pub(super) relation: Arc<Relation>,
    /// The rows that have changed since, by number.
    pub(super) touched: Vec<u32>,
}

/// The indexes that readers of any version have asked for. Without it, a reader of an old version
/// would build an index that no later version has, again and again.
#[derive(Debug, Default)]
pub(super) struct Wanted {
    count: AtomicUsize,
    keys: Mutex<Vec<IndexKey>>,
    /// How often the rows have been looked through for want of an index.
    passes: Mutex<Vec<(IndexKey, u32)>>,
}

impl Relation {
    /// Builds what readers of other versions have asked for.
    pub(super) fn build_wanted(&mut self, dictionary: &Dictionary) {
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

    /// The first row of an index of this relation with a key, or [`NONE`].
    pub(crate) fn first(&self, dictionary: &Dictionary, index: &Index, key: &[Word]) -> u32 {
        index.first(dictionary, &self.rows, key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::index::NONE;

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
}
