//! A set of pairs of words as bits: for relations like a transitive closure, where few values meet
//! in very many combinations.
//!
//! The values on either side are numbered as they come. Each value on the left has a list of pages,
//! each page the bits of 512 values on the right: a line of the processor's cache. A page with four
//! pairs takes no more than a hash table would; [`Pairs::bytes`] tells whether they are so full.

use super::ids::Ids;
use super::word::{Mixer, Word};

/// Pairs of a page: 2 to the power of it.
const PAGE: u32 = 9;

#[derive(Clone, Copy, Debug, Default)]
#[repr(align(64))]
struct Page([u64; 1 << (PAGE - 6)]);

/// The set.
#[derive(Debug)]
pub(crate) struct Pairs {
    lefts: Numbers,
    rights: Numbers,
    /// For each value on the left its pages: their places plus one, or 0.
    directory: Vec<Vec<u32>>,
    directory_len: usize,
    pages: Vec<Page>,
    /// The value on the left that came last, and its number: rows come in runs.
    last: (Word, u32),
}

/// Words, numbered.
#[derive(Debug)]
struct Numbers {
    mixer: Mixer,
    ids: Ids,
    words: Vec<Word>,
}

impl Numbers {
    fn hash(mut mixer: Mixer, word: Word) -> u64 {
        mixer.add(word);
        mixer.finish()
    }

    #[inline]
    fn find(&self, word: Word) -> Option<u32> {
        let words = &self.words;
        self.ids.find(Self::hash(self.mixer, word), |id| words[id as usize] == word)
    }

    #[inline]
    fn find_or_add(&mut self, word: Word) -> u32 {
        let (words, next) = (&self.words, self.words.len() as u32);
        let hash = Self::hash(self.mixer, word);
        let found = self.ids.find_or_insert(hash, next, |id| words[id as usize] == word);
        found.unwrap_or_else(|| {
            self.words.push(word);
            next
        })
    }

    fn bytes(&self) -> usize {
        self.ids.bytes() + self.words.len() * size_of::<Word>()
    }
}

/// The page of a number on the right, and the place and bit in the page.
#[inline]
fn place(right: u32) -> (usize, usize, u64) {
    let inside = right & ((1 << PAGE) - 1);
    ((right >> PAGE) as usize, (inside >> 6) as usize, 1 << (inside & 63))
}

impl Pairs {
    /// The set of these pairs, unless it takes more bytes than given.
    pub(crate) fn of<'w>(
        mixer: Mixer,
        pairs: impl Iterator<Item = &'w [Word]>,
        max_bytes: usize,
    ) -> Option<Self> {
        let numbers = || Numbers { mixer, ids: Ids::default(), words: Vec::new() };
        let mut set = Self {
            lefts: numbers(),
            rights: numbers(),
            directory: Vec::new(),
            directory_len: 0,
            pages: Vec::new(),
            last: (Word::UNBOUND, 0),
        };
        for pair in pairs {
            set.insert(pair[0], pair[1]);
            if set.bytes() > max_bytes {
                return None;
            }
        }
        Some(set)
    }

    /// Adds a pair. False if it was there.
    #[inline]
    pub(crate) fn insert(&mut self, left: Word, right: Word) -> bool {
        if left != self.last.0 || self.directory.is_empty() {
            self.last = (left, self.lefts.find_or_add(left));
            self.directory.resize_with(self.lefts.words.len(), Vec::new);
        }
        let (page, at, bit) = place(self.rights.find_or_add(right));
        let pages = &mut self.directory[self.last.1 as usize];
        if page >= pages.len() {
            self.directory_len += page + 1 - pages.len();
            pages.resize(page + 1, 0);
        }
        if pages[page] == 0 {
            self.pages.push(Page::default());
            pages[page] = self.pages.len() as u32;
        }
        let word = &mut self.pages[pages[page] as usize - 1].0[at];
        let new = *word & bit == 0;
        *word |= bit;
        new
    }

    /// Whether a pair is there.
    pub(crate) fn contains(&self, left: Word, right: Word) -> bool {
        let (Some(left), Some(right)) = (self.lefts.find(left), self.rights.find(right)) else {
            return false;
        };
        let (page, at, bit) = place(right);
        match self.directory[left as usize].get(page) {
            None | Some(0) => false,
            Some(&page) => self.pages[page as usize - 1].0[at] & bit != 0,
        }
    }

    /// How many bytes it takes, roughly.
    #[inline]
    pub(crate) fn bytes(&self) -> usize {
        self.pages.len() * size_of::<Page>()
            + self.directory.len() * size_of::<Vec<u32>>()
            + self.directory_len * size_of::<u32>()
            + self.lefts.bytes()
            + self.rights.bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn holds_what_a_set_holds() {
        let word = |i: u32| Word::int(i64::from(i)).unwrap_or(Word::UNBOUND);
        let mut pairs = Pairs::of(Mixer::new(3), std::iter::empty(), 0).unwrap();
        let mut model = HashSet::new();
        let mut x = 1u32;
        for _ in 0..50_000 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let (left, right) = ((x >> 8) % 40, (x >> 16) % 2000);
            assert_eq!(pairs.insert(word(left), word(right)), model.insert((left, right)));
        }
        for left in 0..41 {
            for right in 0..2001 {
                let there = model.contains(&(left, right));
                assert_eq!(pairs.contains(word(left), word(right)), there);
            }
        }
        assert!(pairs.bytes() < 8 * model.len());
    }

    #[test]
    fn is_not_made_where_it_would_be_large() {
        let rows: Vec<[Word; 2]> = (0..1000).map(|i| [Word::text(i), Word::text(i * 7)]).collect();
        let made = |bytes| Pairs::of(Mixer::new(3), rows.iter().map(|row| &row[..]), bytes);
        assert!(made(16_000).is_none());
        assert!(made(1_000_000).is_some());
    }
}
