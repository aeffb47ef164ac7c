//! The rows that a derived table has given so far, for one pattern of bound columns.

use std::sync::Arc;

use hashbrown::HashTable;

use super::plan::Plan;
use crate::state::Table;
use crate::store::dictionary::Dictionary;
use crate::store::index::NONE;
use crate::store::word::Word;

/// A set of rows, looked up by some of their columns.
#[derive(Default)]
pub(crate) struct RowSet {
    width: usize,
    /// The columns by which rows are looked up; ascending.
    key: Box<[u32]>,
    rows: Vec<Word>,
    len: u32,
    unique: HashTable<u32>,
    /// The first row of each key, and for each row the next one.
    heads: HashTable<u32>,
    next: Vec<u32>,
}

impl RowSet {
    /// An empty set of rows of `width` cells, to be looked up by the columns `key`.
    pub(crate) fn new(width: usize, key: Box<[u32]>) -> Self {
        Self { width, key, ..Self::default() }
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// A row.
    #[inline]
    pub(crate) fn row(&self, id: u32) -> &[Word] {
        let start = id as usize * self.width;
        &self.rows[start..start + self.width]
    }

    fn hash(dictionary: &Dictionary, words: impl Iterator<Item = Word>) -> u64 {
        let mut mixer = dictionary.mixer();
        words.for_each(|word| mixer.add(word));
        mixer.finish()
    }

    /// Adds a row unless it is there.
    pub(crate) fn insert(&mut self, dictionary: &Dictionary, row: &[Word]) -> bool {
        let (width, rows, len) = (self.width, &self.rows, self.len);
        let at = |id: u32| &rows[id as usize * width..(id as usize + 1) * width];
        let hash_row = |row: &[Word]| Self::hash(dictionary, row.iter().copied());
        let hash = hash_row(row);
        if self.unique.find(hash, |&id| at(id) == row).is_some() {
            return false;
        }
        self.unique.insert_unique(hash, len, |&id| hash_row(at(id)));
        if !self.key.is_empty() {
            let key = &self.key;
            let of = |row: &[Word]| {
                Self::hash(dictionary, key.iter().map(|&column| row[column as usize]))
            };
            let same = |id: u32| key.iter().all(|&c| at(id)[c as usize] == row[c as usize]);
            let hash = of(row);
            match self.heads.find_mut(hash, |&id| same(id)) {
                Some(head) => {
                    self.next.push(*head);
                    *head = len;
                }
                None => {
                    self.next.push(NONE);
                    // The new row is not in `rows` yet: growing may ask for its hash.
                    self.heads.insert_unique(
                        hash,
                        len,
                        |&id| if id == len { hash } else { of(at(id)) },
                    );
                }
            }
        }
        self.rows.extend_from_slice(row);
        self.len += 1;
        true
    }

    /// Whether a row is there; one with NaN never is.
    pub(crate) fn has(&self, dictionary: &Dictionary, row: &[Word]) -> bool {
        let hash = Self::hash(dictionary, row.iter().copied());
        !row.contains(&Word::NAN) && self.unique.find(hash, |&id| self.row(id) == row).is_some()
    }

    /// The first row with a key, or [`NONE`]; then follow [`RowSet::next`].
    pub(crate) fn first(&self, dictionary: &Dictionary, key: &[Word]) -> u32 {
        if key.is_empty() {
            return if self.len == 0 { NONE } else { 0 };
        }
        if key.contains(&Word::NAN) {
            return NONE;
        }
        let hash = Self::hash(dictionary, key.iter().copied());
        let same = |&id: &u32| {
            let row = self.row(id);
            self.key.iter().zip(key).all(|(&column, &word)| row[column as usize] == word)
        };
        self.heads.find(hash, same).copied().unwrap_or(NONE)
    }

    /// The row after one with the same key, or [`NONE`].
    #[inline]
    pub(crate) fn next(&self, id: u32) -> u32 {
        if !self.key.is_empty() {
            return self.next[id as usize];
        }
        if id + 1 < self.len { id + 1 } else { NONE }
    }
}

/// A derived table, called with some columns bound.
pub(crate) struct Memo<'s> {
    pub(crate) policy: Arc<str>,
    pub(crate) table: &'s Table,
    pub(crate) width: usize,
    pub(crate) bound: Box<[u32]>,
    /// One plan for each rule of that width; made when first called.
    pub(crate) plans: Option<Arc<[Arc<Plan<'s>>]>>,
    /// The keys that have been asked for.
    pub(crate) asked: RowSet,
    /// What they gave.
    pub(crate) rows: RowSet,
}
