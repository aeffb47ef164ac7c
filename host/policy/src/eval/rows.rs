//! Sets of rows that one evaluation makes: they only grow, and a row's number tells when it came.

use crate::store::ids::Ids;
use crate::store::index::NONE;
use crate::store::pairs::Pairs;
use crate::store::word::{Mixer, Word};

/// A set of rows, looked up by any of their columns.
pub(crate) struct RowSet {
    width: usize,
    mixer: Mixer,
    rows: Vec<Word>,
    /// The rows with every number in its canonical form, if they are told apart by value; else
    /// empty.
    keys: Vec<Word>,
    by_value: bool,
    len: u32,
    unique: Unique,
    /// At so many rows it is seen to whether they had better be kept as bits, or no longer.
    review: u32,
    indexes: Vec<RowIndex>,
}

/// What tells whether a row is there.
enum Unique {
    /// The numbers of the rows, by their hashes.
    Rows(Ids),
    /// Bits, for many pairs of few values. They don't tell a row's number.
    Bits(Pairs),
}

/// Sets of so many pairs may become bits.
const MANY: u32 = 1 << 16;
/// How many bytes bits may take for each row: no more than numbers do, and twice that once they
/// are there.
const BYTES: usize = 16;

/// The rows by some columns: for each key the row that came last, for each row the one before.
struct RowIndex {
    columns: Box<[u32]>,
    heads: Ids,
    next: Vec<u32>,
}

/// How rows are found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    /// No column is given: all rows.
    All,
    /// All columns are given.
    Unique,
    /// By an index.
    Index(usize),
}

impl RowSet {
    /// An empty set of rows of `width` cells. `by_value`: numbers are told apart by value.
    pub(crate) fn new(width: usize, by_value: bool, mixer: Mixer) -> Self {
        Self {
            width,
            mixer,
            rows: Vec::new(),
            keys: Vec::new(),
            by_value,
            len: 0,
            unique: Unique::Rows(Ids::default()),
            review: NONE,
            indexes: Vec::new(),
        }
    }

    /// How many rows there are.
    #[inline]
    pub(crate) fn len(&self) -> u32 {
        self.len
    }

    /// Whether rows are told apart by value.
    pub(crate) fn is_by_value(&self) -> bool {
        self.by_value
    }

    /// A row.
    #[inline]
    pub(crate) fn row(&self, id: u32) -> &[Word] {
        let start = id as usize * self.width;
        &self.rows[start..start + self.width]
    }

    /// All rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &[Word]> {
        (0..self.len).map(|id| self.row(id))
    }

    /// How many cells a row has.
    pub(crate) fn width(&self) -> usize {
        self.width
    }

    /// All cells, row after row.
    pub(crate) fn into_words(self) -> Vec<Word> {
        self.rows
    }

    fn compared(&self) -> &[Word] {
        if self.by_value { &self.keys } else { &self.rows }
    }

    fn hash(mixer: Mixer, words: impl Iterator<Item = Word>) -> u64 {
        let mut mixer = mixer;
        words.for_each(|word| mixer.add(word));
        mixer.finish()
    }

    /// Adds a row unless it is there. `key` is the row in canonical form if the set is by value,
    /// else the row itself.
    #[inline]
    pub(crate) fn insert(&mut self, row: &[Word], key: &[Word]) -> bool {
        let hash = match self.unique {
            Unique::Bits(_) => 0,
            Unique::Rows(_) => Self::hash(self.mixer, key.iter().copied()),
        };
        self.insert_with_hash(row, key, hash)
    }

    /// The hash matters only if rows have numbers.
    #[inline]
    fn insert_with_hash(&mut self, row: &[Word], key: &[Word], hash: u64) -> bool {
        let (width, len) = (self.width, self.len);
        let new = match &mut self.unique {
            Unique::Bits(pairs) => pairs.insert(key[0], key[1]),
            Unique::Rows(ids) => {
                let compared = if self.by_value { &self.keys } else { &self.rows };
                let same = |id: u32| {
                    let start = id as usize * width;
                    compared[start..start + width] == *key
                };
                ids.find_or_insert(hash, len, same).is_none()
            }
        };
        if new {
            self.append(row, key);
            if self.len >= self.review {
                self.review();
            }
        }
        new
    }

    /// Adds rows that lie one after another, as [`RowSet::insert`] does each of them; a row has at
    /// least one cell. How many were not there.
    pub(crate) fn insert_all(&mut self, rows: &[Word], keys: &[Word]) -> usize {
        let rows = rows.chunks_exact(self.width);
        let keys = keys.chunks_exact(self.width);
        if let Unique::Bits(_) = self.unique {
            return rows.zip(keys).filter(|(row, key)| self.insert(row, key)).count();
        }
        let mixer = self.mixer;
        let hashes: Vec<u64> =
            keys.clone().map(|key| Self::hash(mixer, key.iter().copied())).collect();
        if let Unique::Rows(ids) = &self.unique {
            hashes.iter().for_each(|hash| ids.warm(*hash));
        }
        let hashed = rows.zip(keys).zip(hashes);
        hashed.filter(|((row, key), hash)| self.insert_with_hash(row, key, *hash)).count()
    }

    /// From now on only whether a row is there need be known, not its number, until
    /// [`RowSet::lookup`] asks for it.
    pub(crate) fn without_numbers(mut self) -> Self {
        if self.width == 2 {
            self.review = MANY;
        }
        self
    }

    /// Changes how rows are told apart, if another way takes less memory.
    fn review(&mut self) {
        let rows = self.len as usize;
        match &self.unique {
            Unique::Bits(pairs) if pairs.bytes() > 2 * BYTES * rows => self.number(),
            Unique::Bits(_) => self.review = self.len.saturating_add(self.len / 8),
            Unique::Rows(_) => {
                self.review = self.len.saturating_mul(2);
                let pairs = self.compared().chunks_exact(2);
                if let Some(pairs) = Pairs::of(self.mixer, pairs, BYTES * rows) {
                    self.unique = Unique::Bits(pairs);
                }
            }
        }
    }

    /// Files the rows by number, for good.
    fn number(&mut self) {
        self.review = NONE;
        if let Unique::Bits(_) = self.unique {
            let mut ids = Ids::default();
            for (id, row) in (0..).zip(self.compared().chunks_exact(self.width)) {
                ids.find_or_insert(Self::hash(self.mixer, row.iter().copied()), id, |_| false);
            }
            self.unique = Unique::Rows(ids);
        }
    }

    /// Adds rows that lie one after another, as [`RowSet::append`] does each of them; a row has at
    /// least one cell. How many they are.
    pub(crate) fn append_all(&mut self, rows: &[Word], keys: &[Word]) -> usize {
        let rows = rows.chunks_exact(self.width);
        let count = rows.len();
        rows.zip(keys.chunks_exact(self.width)).for_each(|(row, key)| self.append(row, key));
        count
    }

    /// Adds a row that is known not to be there, and will never be looked up as a whole.
    #[inline]
    fn append(&mut self, row: &[Word], key: &[Word]) {
        self.rows.extend_from_slice(row);
        if self.by_value {
            self.keys.extend_from_slice(key);
        }
        self.len += 1;
        for at in 0..self.indexes.len() {
            self.file(at, self.len - 1);
        }
    }

    /// Files a row in an index.
    fn file(&mut self, at: usize, id: u32) {
        let (width, mixer) = (self.width, self.mixer);
        let compared = if self.by_value { &self.keys } else { &self.rows };
        let row = |id: u32| &compared[id as usize * width..(id as usize + 1) * width];
        let RowIndex { columns, heads, next } = &mut self.indexes[at];
        let own = row(id);
        let hash = Self::hash(mixer, columns.iter().map(|&column| own[column as usize]));
        let same = |other: u32| {
            let other = row(other);
            columns.iter().all(|&column| other[column as usize] == own[column as usize])
        };
        match heads.find_or_insert(hash, id, same) {
            Some(head) => {
                heads.replace(hash, head, id);
                next.push(head);
            }
            None => next.push(NONE),
        }
    }

    /// How to find rows by these columns; makes an index if need be.
    pub(crate) fn lookup(&mut self, columns: &[u32]) -> Lookup {
        if columns.is_empty() {
            return Lookup::All;
        }
        if columns.len() == self.width {
            self.number();
            return Lookup::Unique;
        }
        if let Some(at) = self.indexes.iter().position(|index| *index.columns == *columns) {
            return Lookup::Index(at);
        }
        let at = self.indexes.len();
        let next = Vec::with_capacity(self.len as usize);
        self.indexes.push(RowIndex { columns: columns.into(), heads: Ids::default(), next });
        for id in 0..self.len {
            self.file(at, id);
        }
        Lookup::Index(at)
    }

    /// Whether a row is there; one with NaN never is. `key` as for [`RowSet::insert`].
    pub(crate) fn has(&self, key: &[Word]) -> bool {
        !key.contains(&Word::NAN) && self.contains(key)
    }

    /// Whether this very row is there, one with NaN as well. `key` as for [`RowSet::insert`].
    pub(crate) fn contains(&self, key: &[Word]) -> bool {
        match &self.unique {
            Unique::Rows(_) => self.position(key) != NONE,
            Unique::Bits(pairs) => pairs.contains(key[0], key[1]),
        }
    }

    fn find(&self, key: &[Word]) -> u32 {
        if key.contains(&Word::NAN) { NONE } else { self.position(key) }
    }

    /// The number of this very row, or [`NONE`]. Of a set [without
    /// numbers](RowSet::without_numbers) it takes time.
    pub(crate) fn position(&self, key: &[Word]) -> u32 {
        let compared = self.compared();
        let same = |id: u32| {
            let start = id as usize * self.width;
            compared[start..start + self.width] == *key
        };
        let found = match &self.unique {
            Unique::Rows(ids) => ids.find(Self::hash(self.mixer, key.iter().copied()), same),
            Unique::Bits(_) => (0..self.len).find(|&id| same(id)),
        };
        found.unwrap_or(NONE)
    }

    /// The last of the first `end` rows that has a key, or [`NONE`]; then follow
    /// [`RowSet::next`].
    #[inline]
    pub(crate) fn first(&self, lookup: Lookup, key: &[Word], end: u32) -> u32 {
        let end = end.min(self.len);
        let mut id = match lookup {
            Lookup::All => return end.checked_sub(1).unwrap_or(NONE),
            Lookup::Unique => self.find(key),
            Lookup::Index(at) => {
                if key.contains(&Word::NAN) {
                    return NONE;
                }
                let RowIndex { columns, heads, .. } = &self.indexes[at];
                let compared = self.compared();
                let same = |id: u32| {
                    let row = &compared[id as usize * self.width..];
                    columns.iter().zip(key).all(|(&column, &word)| row[column as usize] == word)
                };
                let hash = Self::hash(self.mixer, key.iter().copied());
                heads.find(hash, same).unwrap_or(NONE)
            }
        };
        while id != NONE && id >= end {
            id = self.next(lookup, id);
        }
        id
    }

    /// The row before one with the same key, or [`NONE`].
    #[inline]
    pub(crate) fn next(&self, lookup: Lookup, id: u32) -> u32 {
        match lookup {
            Lookup::All => id.checked_sub(1).unwrap_or(NONE),
            Lookup::Unique => NONE,
            Lookup::Index(at) => self.indexes[at].next[id as usize],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn w(i: i64) -> Word {
        Word::int(i).unwrap_or(Word::UNBOUND)
    }

    fn set() -> RowSet {
        let mut set = RowSet::new(2, false, Mixer::new(7));
        for i in 0..100 {
            let row = [w(i % 10), w(i / 10)];
            assert!(set.insert(&row, &row));
            assert!(!set.insert(&row, &row));
        }
        set
    }

    #[test]
    fn an_index_made_late_knows_all_rows_and_the_rows_of_an_older_state() {
        let mut set = set();
        let by_first = set.lookup(&[0]);
        let count = |end: u32| {
            let mut id = set.first(by_first, &[w(3)], end);
            let mut count = 0;
            while id != NONE {
                assert_eq!(set.row(id)[0], w(3));
                count += 1;
                id = set.next(by_first, id);
            }
            count
        };
        assert_eq!((count(100), count(13), count(3)), (10, 1, 0));
    }

    #[test]
    fn nan_is_never_found() {
        let mut set = set();
        let row = [Word::NAN, w(1)];
        assert!(set.insert(&row, &row));
        let by_first = set.lookup(&[0]);
        assert!(!set.has(&row));
        assert!(set.contains(&row));
        assert_eq!(set.first(by_first, &[Word::NAN], u32::MAX), NONE);
    }

    #[test]
    fn many_pairs_of_few_values_become_bits_and_numbers_again() {
        let mut set = RowSet::new(2, false, Mixer::new(7)).without_numbers();
        let row = |i: i64| [w(i / 300), w(i % 300)];
        let rows: Vec<Word> = (0..90_000).flat_map(row).collect();
        assert_eq!(set.insert_all(&rows[..40_000], &rows[..40_000]), 20_000);
        assert_eq!(set.insert_all(&rows, &rows), 70_000);
        assert!(matches!(set.unique, Unique::Bits(_)));
        let check = |set: &RowSet| {
            assert_eq!(set.len() as usize, set.iter().count());
            assert!((0..90_000).step_by(7).all(|i| set.has(&row(i))));
            assert!(!set.has(&[w(300), w(0)]) && !set.has(&[w(0), w(300)]));
        };
        check(&set);
        // Pairs of ever new values would take a page each.
        let mut sparse: Vec<Word> = (0..90_000).flat_map(|i| [w(i + 500), w(i * 600)]).collect();
        assert_eq!(set.insert_all(&sparse, &sparse), 90_000);
        assert!(matches!(set.unique, Unique::Rows(_)));
        check(&set);
        sparse.extend([w(-1), w(-1)]);
        assert_eq!(set.insert_all(&sparse, &sparse), 1);
    }

    #[test]
    fn who_asks_for_rows_by_all_columns_gets_numbers() {
        let mut set = RowSet::new(2, false, Mixer::new(7)).without_numbers();
        let rows: Vec<Word> = (0..90_000).flat_map(|i| [w(i / 300), w(i % 300)]).collect();
        set.insert_all(&rows, &rows);
        assert!(matches!(set.unique, Unique::Bits(_)));
        assert_eq!(set.position(&[w(2), w(5)]), 605);
        let whole = set.lookup(&[0, 1]);
        assert!(matches!(set.unique, Unique::Rows(_)));
        assert_eq!(set.first(whole, &[w(299), w(299)], u32::MAX), 89_999);
        assert_eq!(set.first(whole, &[w(299), w(299)], 89_999), NONE);
    }
}
