//! The dictionary: texts and numbers that do not fit a word, each kept once.
//!
//! A [`Dictionary`] is persistent, so every snapshot has its own version and a reader needs no
//! lock. How often a value occurs in stored rows and rules is counted by the writer alone
//! ([`Counts`]); at zero the entry goes and its number is used again at once, for snapshots that
//! still know the old meaning carry it with them. So memory follows what is stored, however long
//! rows churn.

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use num_bigint::BigInt;
use num_bigint::ToBigInt as _;

use super::chunked::Chunked;
use super::slots::Slots;
use super::word::{Kind, Mixer, Word};
use crate::ast::Constant;

/// A number that does not fit a word.
#[derive(Clone, Debug, Default)]
pub(crate) enum Number {
    /// An unused entry.
    #[default]
    Vacant,
    /// A large whole number.
    Int(Arc<BigInt>),
    /// A double, and the word of the equal whole number if there is one, else its own.
    Float(f64, Word),
}

/// The dictionary.
#[derive(Clone, Debug)]
pub(crate) struct Dictionary {
    texts: Chunked<Option<Arc<str>>>,
    text_slots: Slots,
    numbers: Chunked<Number>,
    number_slots: Slots,
    hasher: DefaultHashBuilder,
    seed: u64,
}

impl Dictionary {
    /// An empty dictionary.
    pub(crate) fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self {
            texts: Chunked::new(1),
            text_slots: Slots::new(),
            numbers: Chunked::new(1),
            number_slots: Slots::new(),
            seed: hasher.hash_one(0x5eed_u64),
            hasher,
        }
    }

    /// A copy for a few new values.
    pub(crate) fn crowded(&self) -> Self {
        Self {
            text_slots: self.text_slots.crowded(),
            number_slots: self.number_slots.crowded(),
            ..self.clone()
        }
    }

    /// Starts a hash of words.
    #[inline]
    pub(crate) fn mixer(&self) -> Mixer {
        Mixer::new(self.seed)
    }

    /// The text of a text word.
    #[inline]
    pub(crate) fn text(&self, id: u32) -> &Arc<str> {
        // A word of this dictionary's version always has its entry.
        static NONE: std::sync::LazyLock<Arc<str>> = std::sync::LazyLock::new(|| Arc::from(""));
        self.texts.get(id as usize)[0].as_ref().unwrap_or(&NONE)
    }

    /// The number of a number word.
    #[inline]
    pub(crate) fn number(&self, id: u32) -> &Number {
        &self.numbers.get(id as usize)[0]
    }

    /// The word by which storage compares: equal for equal numbers, whatever their type.
    #[inline]
    pub(crate) fn canonical(&self, word: Word) -> Word {
        match word.kind() {
            // A word of a later version may be asked about, and is its own.
            Kind::Number(id) if (id as usize) < self.numbers.len() => match self.number(id) {
                Number::Float(_, canonical) => *canonical,
                _ => word,
            },
            _ => word,
        }
    }

    fn text_hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    fn float_hash(&self, float: f64) -> u64 {
        self.hasher.hash_one(float.to_bits())
    }

    fn int_hash(&self, int: &BigInt) -> u64 {
        self.hasher.hash_one(int)
    }

    /// The word of a text that is there.
    pub(crate) fn find_text(&self, text: &str) -> Option<Word> {
        self.text_slots.find(self.text_hash(text), |id| **self.text(id) == *text).map(Word::text)
    }

    /// The word of a double that is there.
    pub(crate) fn find_float(&self, float: f64) -> Option<Word> {
        if float.is_nan() {
            return Some(Word::NAN);
        }
        let float = without_sign_of_zero(float);
        self.number_slots
            .find(self.float_hash(float), |id| {
                matches!(self.number(id), Number::Float(f, _) if f.to_bits() == float.to_bits())
            })
            .map(Word::number)
    }

    /// The word of a whole number that fits a word or is there.
    pub(crate) fn find_int(&self, int: &BigInt) -> Option<Word> {
        if let Some(word) = i64::try_from(int).ok().and_then(Word::int) {
            return Some(word);
        }
        self.number_slots
            .find(
                self.int_hash(int),
                |id| matches!(self.number(id), Number::Int(other) if **other == *int),
            )
            .map(Word::number)
    }

    /// The word of a value that is there.
    pub(crate) fn find(&self, value: &Constant) -> Option<Word> {
        match value {
            Constant::Int(int) => self.find_int(int),
            Constant::Float(float) => self.find_float(*float),
            Constant::Text(text) => self.find_text(text),
        }
    }

    /// The word of a value that is there, or of a number of another type that equals it.
    pub(crate) fn find_by_value(&self, value: &Constant) -> Option<Word> {
        self.find(value).or_else(|| match value {
            Constant::Float(float) => integral(*float).and_then(|int| self.find_int(&int)),
            _ => None,
        })
    }

    /// The value of a word of this dictionary.
    pub(crate) fn value(&self, word: Word) -> Option<Constant> {
        Some(match word.kind() {
            Kind::Int(int) => Constant::Int(int.into()),
            Kind::Text(id) => Constant::Text(self.text(id).clone()),
            Kind::Number(id) => match self.number(id) {
                Number::Int(int) => Constant::Int((**int).clone()),
                Number::Float(float, _) => Constant::Float(*float),
                Number::Vacant => return None,
            },
            Kind::Nan => Constant::Float(f64::NAN),
            Kind::LocalText(_) | Kind::LocalNumber(_) | Kind::Unbound | Kind::Vacant(_) => {
                return None;
            }
        })
    }
}

#[cfg(test)]
impl Dictionary {
    /// Room for texts and for numbers, free entries included.
    pub(crate) fn sizes(&self) -> (usize, usize) {
        (self.texts.len(), self.numbers.len())
    }

    /// Whether no entry is used.
    pub(crate) fn is_empty(&self) -> bool {
        self.text_slots.len() + self.number_slots.len() == 0
    }
}

/// `-0.0` is the same value as `0.0`.
pub(crate) fn without_sign_of_zero(float: f64) -> f64 {
    if float == 0.0 { 0.0 } else { float }
}

/// The whole number that equals a double.
pub(crate) fn integral(float: f64) -> Option<BigInt> {
    (float.fract() == 0.0).then(|| float.to_bigint()).flatten()
}

/// How often entries are used, and which numbers are free.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Nothing is counted, so nothing goes: for a version that only its maker sees, and briefly.
    uncounted: bool,
    texts: Vec<u32>,
    free_texts: Vec<u32>,
    numbers: Vec<u32>,
    free_numbers: Vec<u32>,
    /// Uses that have ended, if they are to be counted out later.
    deferred: Option<Vec<Word>>,
}

impl Counts {
    /// From now on entries stay, and their numbers mean what they mean, until
    /// [`Interner::release_deferred`].
    pub(crate) fn defer(&mut self) {
        self.deferred.get_or_insert_default();
    }

    /// For adding entries to a copy of a dictionary whose counts somebody else keeps. They come
    /// after all others and stay as long as the copy does.
    pub(crate) fn none() -> Self {
        Self { uncounted: true, ..Self::default() }
    }
}

/// The writer's view: adds entries, and counts their uses.
pub(crate) struct Interner<'a> {
    pub(crate) dictionary: &'a mut Dictionary,
    pub(crate) counts: &'a mut Counts,
}

impl Interner<'_> {
    /// The word of a value, counting one use.
    pub(crate) fn intern(&mut self, value: &Constant) -> Word {
        match value {
            Constant::Int(int) => self.int(int),
            Constant::Float(float) => self.float(*float),
            Constant::Text(text) => self.text(text),
        }
    }

    /// The word of a text, counting one use. A new one is kept as the very same allocation.
    pub(crate) fn text(&mut self, text: &Arc<str>) -> Word {
        let dictionary = &mut *self.dictionary;
        let hash = dictionary.text_hash(text);
        if let Some(id) = dictionary.text_slots.find(hash, |id| **dictionary.text(id) == **text) {
            self.retain(Word::text(id));
            return Word::text(id);
        }
        let dictionary = &mut *self.dictionary;
        let entry = Some(text.clone());
        let id = match self.counts.free_texts.pop() {
            Some(id) => {
                dictionary.texts.get_mut(id as usize)[0] = entry;
                self.counts.texts[id as usize] = 1;
                id
            }
            None => {
                if !self.counts.uncounted {
                    self.counts.texts.push(1);
                }
                dictionary.texts.push(&[entry]) as u32
            }
        };
        dictionary.text_slots.insert(hash, id);
        Word::text(id)
    }

    /// The word of a double, counting one use.
    pub(crate) fn float(&mut self, float: f64) -> Word {
        if float.is_nan() {
            return Word::NAN;
        }
        let float = without_sign_of_zero(float);
        if let Some(word) = self.dictionary.find_float(float) {
            self.retain(word);
            return word;
        }
        let hash = self.dictionary.float_hash(float);
        let equal = integral(float).map(|int| self.int(&int));
        let id = self.add_number(Number::Float(float, Word::UNBOUND), hash);
        let canonical = equal.unwrap_or(Word::number(id));
        self.dictionary.numbers.get_mut(id as usize)[0] = Number::Float(float, canonical);
        Word::number(id)
    }

    /// The word of a whole number, counting one use.
    pub(crate) fn int(&mut self, int: &BigInt) -> Word {
        if let Some(word) = self.dictionary.find_int(int) {
            self.retain(word);
            return word;
        }
        let hash = self.dictionary.int_hash(int);
        Word::number(self.add_number(Number::Int(Arc::new(int.clone())), hash))
    }

    fn add_number(&mut self, number: Number, hash: u64) -> u32 {
        let id = match self.counts.free_numbers.pop() {
            Some(id) => {
                self.dictionary.numbers.get_mut(id as usize)[0] = number;
                self.counts.numbers[id as usize] = 1;
                id
            }
            None => {
                if !self.counts.uncounted {
                    self.counts.numbers.push(1);
                }
                self.dictionary.numbers.push(&[number]) as u32
            }
        };
        self.dictionary.number_slots.insert(hash, id);
        id
    }

    /// Counts one more use.
    pub(crate) fn retain(&mut self, word: Word) {
        if self.counts.uncounted {
            return;
        }
        let count = match word.kind() {
            Kind::Text(id) => &mut self.counts.texts[id as usize],
            Kind::Number(id) => &mut self.counts.numbers[id as usize],
            _ => return,
        };
        // A count that has reached the top stays there: the entry is then never reclaimed.
        *count = count.saturating_add(1);
    }

    /// Counts out the uses that have ended since [`Counts::defer`].
    pub(crate) fn release_deferred(&mut self) {
        for word in self.counts.deferred.take().unwrap_or_default() {
            self.release(word);
        }
    }

    /// Counts one use less; the last one takes the entry out.
    pub(crate) fn release(&mut self, word: Word) {
        if self.counts.uncounted {
            return;
        }
        if let Some(deferred) = &mut self.counts.deferred {
            deferred.push(word);
            return;
        }
        let (count, free) = match word.kind() {
            Kind::Text(id) => (&mut self.counts.texts[id as usize], id),
            Kind::Number(id) => (&mut self.counts.numbers[id as usize], id),
            _ => return,
        };
        if *count == u32::MAX {
            return;
        }
        *count = count.saturating_sub(1);
        if *count > 0 {
            return;
        }
        let dictionary = &mut *self.dictionary;
        if let Kind::Text(id) = word.kind() {
            let hash = dictionary.text_hash(dictionary.text(id));
            dictionary.text_slots.remove(hash, id);
            dictionary.texts.get_mut(id as usize)[0] = None;
            self.counts.free_texts.push(free);
            return;
        }
        let number = std::mem::take(&mut dictionary.numbers.get_mut(free as usize)[0]);
        self.counts.free_numbers.push(free);
        match number {
            Number::Int(int) => {
                dictionary.number_slots.remove(dictionary.int_hash(&int), free);
            }
            Number::Float(float, canonical) => {
                dictionary.number_slots.remove(dictionary.float_hash(float), free);
                if canonical != word {
                    self.release(canonical);
                }
            }
            Number::Vacant => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(s: &str) -> Constant {
        Constant::Text(s.into())
    }

    #[test]
    fn entries_go_with_their_last_use_and_numbers_are_used_again() {
        let (mut dictionary, mut counts) = (Dictionary::new(), Counts::default());
        for round in 0..1000 {
            let mut interner = Interner { dictionary: &mut dictionary, counts: &mut counts };
            let a = interner.intern(&text(&format!("text {round}")));
            let b = interner.intern(&Constant::Float(round as f64 + 0.5));
            let c = interner.intern(&Constant::Float(2f64.powi(70) + round as f64 * 1e10));
            interner.release(a);
            interner.release(b);
            interner.release(c);
        }
        assert_eq!((dictionary.texts.len(), dictionary.text_slots.len()), (1, 0));
        assert!(dictionary.numbers.len() <= 3);
        assert_eq!(dictionary.number_slots.len(), 0);
    }

    #[test]
    fn a_snapshot_keeps_the_meaning_of_its_words() {
        let (mut dictionary, mut counts) = (Dictionary::new(), Counts::default());
        let mut interner = Interner { dictionary: &mut dictionary, counts: &mut counts };
        let old = interner.intern(&text("old"));
        let snapshot = interner.dictionary.clone();
        interner.release(old);
        let new = interner.intern(&text("new"));
        assert_eq!(old, new);
        assert_eq!(snapshot.value(old), Some(text("old")));
        assert_eq!(dictionary.value(new), Some(text("new")));
    }

    #[test]
    fn a_copy_without_counts_adds_at_its_end_and_leaves_the_original_alone() {
        let (mut dictionary, mut counts) = (Dictionary::new(), Counts::default());
        let mut interner = Interner { dictionary: &mut dictionary, counts: &mut counts };
        let kept = interner.intern(&text("kept"));
        let gone = interner.intern(&text("gone"));
        let half = interner.intern(&Constant::Float(0.5));
        interner.release(gone);
        let mut copy = interner.dictionary.clone();
        let mut none = Counts::none();
        let mut adding = Interner { dictionary: &mut copy, counts: &mut none };
        assert_eq!(
            (adding.intern(&text("kept")), adding.intern(&Constant::Float(0.5))),
            (kept, half)
        );
        let new = [text("new"), Constant::Float(1.5), Constant::Float(2f64.powi(80))];
        let words: Vec<Word> = new.iter().map(|value| adding.intern(value)).collect();
        adding.release(kept);
        assert_ne!(words[0], gone);
        for (word, value) in words.iter().zip(&new) {
            assert_eq!(copy.value(*word).as_ref(), Some(value));
        }
        assert_eq!(copy.value(kept), Some(text("kept")));
        assert_eq!(dictionary.sizes(), (2, 1));
        assert_eq!(dictionary.find(&text("new")), None);
    }

    #[test]
    fn equal_numbers_share_a_canonical_word() {
        let (mut dictionary, mut counts) = (Dictionary::new(), Counts::default());
        let mut interner = Interner { dictionary: &mut dictionary, counts: &mut counts };
        let big: BigInt = BigInt::from(1) << 70;
        for (int, float) in [(BigInt::from(1), 1.0), (big, 2f64.powi(70)), (0.into(), -0.0)] {
            let a = interner.intern(&Constant::Int(int));
            let b = interner.intern(&Constant::Float(float));
            assert_ne!(a, b);
            assert_eq!(interner.dictionary.canonical(a), interner.dictionary.canonical(b));
        }
        let half = interner.intern(&Constant::Float(0.5));
        assert_eq!(interner.dictionary.canonical(half), half);
    }
}
