//! A hash index over some columns of a relation.
//!
//! Rows with one key form a doubly linked list through their row numbers, so that adding and
//! taking out a row is O(1) however many rows share its key. The index holds no values: it
//! compares through the relation's rows.

use super::chunked::Chunked;
use super::dictionary::Dictionary;
use super::ids::Ids;
use super::slots::Slots;
use super::word::Word;

/// Which columns an index covers, and by which equality.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct IndexKey {
    /// The columns, ascending; at least one.
    pub(crate) columns: Box<[u32]>,
    /// Whether numbers compare by value, as in database policies, instead of by word.
    pub(crate) by_value: bool,
}

/// The end of a list.
pub(crate) const NONE: u32 = u32::MAX;

/// The index.
#[derive(Clone, Debug)]
pub(crate) struct Index {
    key: IndexKey,
    heads: Slots,
    /// For each row number its next and previous row of the same key.
    links: Chunked<(u32, u32)>,
}

impl Index {
    /// An empty index.
    pub(crate) fn new(key: IndexKey) -> Self {
        Self { key, heads: Slots::new(), links: Chunked::new(1) }
    }

    /// An index of the rows that are there.
    pub(crate) fn of(key: IndexKey, dictionary: &Dictionary, rows: &Chunked<Word>) -> Self {
        let mut index = Self::new(key);
        let mut heads = Ids::default();
        let mut links = vec![(NONE, NONE); rows.len()];
        for id in 0..rows.len() as u32 {
            let row = rows.get(id as usize);
            if row[0].is_vacant() {
                continue;
            }
            let hash = index.hash_row(dictionary, row);
            let same = |other: u32| index.same(dictionary, rows.get(other as usize), row);
            if let Some(head) = heads.find_or_insert(hash, id, same) {
                heads.replace(hash, head, id);
                links[head as usize].1 = id;
                links[id as usize].0 = head;
            }
        }
        index.heads = Slots::from_ids(heads);
        index.links = Chunked::from_vec(1, links);
        index
    }

    /// A copy for a few changes.
    pub(crate) fn crowded(&self) -> Self {
        Self { key: self.key.clone(), heads: self.heads.crowded(), links: self.links.clone() }
    }

    /// What it covers.
    pub(crate) fn key(&self) -> &IndexKey {
        &self.key
    }

    /// How many different keys there are.
    pub(crate) fn distinct(&self) -> usize {
        self.heads.len()
    }

    #[inline]
    fn normal(&self, dictionary: &Dictionary, word: Word) -> Word {
        if self.key.by_value { dictionary.canonical(word) } else { word }
    }

    fn hash_row(&self, dictionary: &Dictionary, row: &[Word]) -> u64 {
        let mut mixer = dictionary.mixer();
        for &column in &self.key.columns {
            mixer.add(self.normal(dictionary, row[column as usize]));
        }
        mixer.finish()
    }

    fn same(&self, dictionary: &Dictionary, a: &[Word], b: &[Word]) -> bool {
        self.key.columns.iter().all(|&column| {
            self.normal(dictionary, a[column as usize])
                == self.normal(dictionary, b[column as usize])
        })
    }

    /// Adds row `id` of `rows`.
    pub(crate) fn insert(&mut self, dictionary: &Dictionary, rows: &Chunked<Word>, id: u32) {
        let row = rows.get(id as usize);
        let hash = self.hash_row(dictionary, row);
        while self.links.len() <= id as usize {
            self.links.push(&[(NONE, NONE)]);
        }
        let head =
            self.heads.find(hash, |head| self.same(dictionary, rows.get(head as usize), row));
        match head {
            Some(head) => {
                self.links.get_mut(head as usize)[0].1 = id;
                self.links.get_mut(id as usize)[0] = (head, NONE);
                self.heads.replace(hash, head, id);
            }
            None => {
                self.links.get_mut(id as usize)[0] = (NONE, NONE);
                self.heads.insert(hash, id);
            }
        }
    }

    /// Takes out row `id` of `rows`, which is still there.
    pub(crate) fn remove(&mut self, dictionary: &Dictionary, rows: &Chunked<Word>, id: u32) {
        let hash = self.hash_row(dictionary, rows.get(id as usize));
        let (next, previous) = self.links.get(id as usize)[0];
        if next != NONE {
            self.links.get_mut(next as usize)[0].1 = previous;
        }
        if previous != NONE {
            self.links.get_mut(previous as usize)[0].0 = next;
        } else if next != NONE {
            self.heads.replace(hash, id, next);
        } else {
            self.heads.remove(hash, id);
        }
    }

    /// The first row with the key, or [`NONE`]. `key` has one word for each column of the index,
    /// by value already if the index is.
    pub(crate) fn first(&self, dictionary: &Dictionary, rows: &Chunked<Word>, key: &[Word]) -> u32 {
        let mut mixer = dictionary.mixer();
        for &word in key {
            if word == Word::NAN {
                return NONE;
            }
            mixer.add(word);
        }
        self.heads
            .find(mixer.finish(), |head| {
                let row = rows.get(head as usize);
                self.key
                    .columns
                    .iter()
                    .zip(key)
                    .all(|(&column, &word)| self.normal(dictionary, row[column as usize]) == word)
            })
            .unwrap_or(NONE)
    }

    /// The row after `id` with the same key, or [`NONE`].
    #[inline]
    pub(crate) fn next(&self, id: u32) -> u32 {
        self.links.get(id as usize)[0].0
    }
}
