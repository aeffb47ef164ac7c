//! The writer's view of the dictionary: adds entries, counts their uses, takes them out.
//!
//! How often a value occurs in stored rows and rules is counted by the writer alone ([`Counts`]).
//! At zero the entry goes and its number is used again at once, for snapshots that still know the
//! old meaning carry it with them. So memory follows what is stored, however long rows churn.

use std::sync::Arc;

use num_bigint::BigInt;

use super::dictionary::{Dictionary, Number, integral, without_sign_of_zero};
use super::texts::{self, CLASSES, SharedText};
use super::word::{Kind, Word};
use crate::ast::Constant;

/// How often entries are used, and which numbers are free.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    /// Nothing is counted, so nothing goes: for a version that only its maker sees, and briefly.
    uncounted: bool,
    texts: [Uses; CLASSES],
    numbers: Uses,
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

/// How often the entries of a list are used, and which places are free.
#[derive(Debug, Default)]
struct Uses {
    counts: Vec<u32>,
    free: Vec<u32>,
}

impl Uses {
    /// One more. A count that has reached the top stays there: the entry is then never reclaimed.
    fn retain(&mut self, at: usize) {
        self.counts[at] = self.counts[at].saturating_add(1);
    }

    /// One less. True if it was the last.
    fn release(&mut self, at: usize) -> bool {
        let count = &mut self.counts[at];
        if *count == 0 || *count == u32::MAX {
            return false;
        }
        *count -= 1;
        if *count == 0 {
            self.free.push(at as u32);
        }
        *count == 0
    }

    /// A free place, which is now used once.
    fn reuse(&mut self) -> Option<usize> {
        let at = self.free.pop()? as usize;
        self.counts[at] = 1;
        Some(at)
    }
}

/// The writer's view.
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

    /// The word of a text, counting one use. A new one that is long is kept as the very same
    /// allocation.
    pub(crate) fn text(&mut self, text: &impl SharedText) -> Word {
        self.text_with_hash(text, self.dictionary.text_hash(text.as_ref()))
    }

    /// As [`Interner::text`], of a text with a known hash.
    pub(crate) fn text_with_hash(&mut self, text: &impl SharedText, hash: u64) -> Word {
        let Dictionary { texts, text_slots, .. } = &mut *self.dictionary;
        if let Some(id) = text_slots.find(hash, |id| texts.is(id, text.as_ref())) {
            self.retain(Word::text(id));
            return Word::text(id);
        }
        let class = texts.class(text.as_ref());
        let uses = &mut self.counts.texts[class];
        let at = match uses.reuse() {
            Some(at) => {
                texts.set(class, at, text);
                at
            }
            None => {
                if !self.counts.uncounted {
                    uses.counts.push(1);
                }
                texts.push(class, text)
            }
        };
        let id = texts::number(class, at);
        text_slots.insert(hash, id);
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
        let id = match self.counts.numbers.reuse() {
            Some(at) => {
                self.dictionary.numbers.get_mut(at)[0] = number;
                at as u32
            }
            None => {
                if !self.counts.uncounted {
                    self.counts.numbers.counts.push(1);
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
        match word.kind() {
            Kind::Text(id) => {
                let (class, at) = texts::place(id);
                self.counts.texts[class].retain(at);
            }
            Kind::Number(id) => self.counts.numbers.retain(id as usize),
            _ => {}
        }
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
        match word.kind() {
            Kind::Text(id) => self.release_text(id),
            Kind::Number(id) if self.counts.numbers.release(id as usize) => {
                self.remove_number(word, id);
            }
            _ => {}
        }
    }

    fn release_text(&mut self, id: u32) {
        let (class, at) = texts::place(id);
        let uses = &mut self.counts.texts[class];
        if uses.release(at) {
            let dictionary = &mut *self.dictionary;
            let hash = dictionary.text_hash(dictionary.text(id));
            dictionary.text_slots.remove(hash, id);
            dictionary.texts.clear(class, at, &uses.counts);
        }
    }

    fn remove_number(&mut self, word: Word, id: u32) {
        let dictionary = &mut *self.dictionary;
        match std::mem::take(&mut dictionary.numbers.get_mut(id as usize)[0]) {
            Number::Int(int) => {
                dictionary.number_slots.remove(dictionary.int_hash(&int), id);
            }
            Number::Float(float, canonical) => {
                dictionary.number_slots.remove(dictionary.float_hash(float), id);
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
        // One place for each of two classes of length.
        assert_eq!((dictionary.texts.len(), dictionary.text_slots.len()), (2, 0));
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
