//! A set of stored rows of one width.
//!
//! Rows lie flat in chunks; a row keeps its number until it goes. Two rows are one if their values
//! are, numbers compared by value: the first spelling stays.

use std::sync::{Arc, PoisonError, RwLock};

use super::chunked::Chunked;
use super::dictionary::Dictionary;
use super::index::{Index, NONE};
use super::indexes::{Base, Wanted};
use super::slots::Slots;
use super::word::{Kind, Word};

/// The set.
#[derive(Debug)]
pub(crate) struct Relation {
    width: usize,
    /// Rows are told apart by type and value, not by value.
    exact: bool,
    pub(super) rows: Chunked<Word>,
    unique: Slots,
    /// The first empty row slot; each names the next.
    vacant: u32,
    pub(super) indexes: RwLock<Vec<Arc<Index>>>,
    pub(super) wanted: Arc<Wanted>,
    pub(super) base: Option<Base>,
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

    /// The hash by which a row is found; its words may be canonical already.
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

    /// Up to `count` rows from all over the relation.
    pub(crate) fn sample(&self, count: usize) -> impl Iterator<Item = &[Word]> {
        let step = (self.end() as usize / count).max(1);
        (0..self.end()).step_by(step).filter_map(|id| self.row(id)).take(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn w(i: i64) -> Word {
        Word::int(i).unwrap()
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
