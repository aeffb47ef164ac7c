//! The dictionary: texts and numbers that do not fit a word, each kept once.
//!
//! A [`Dictionary`] is persistent, so every snapshot has its own version and a reader needs no
//! lock. The writer adds and takes out entries ([`Interner`](super::interner::Interner)).

use std::hash::BuildHasher;
use std::sync::Arc;

use hashbrown::DefaultHashBuilder;
use num_bigint::BigInt;
use num_bigint::ToBigInt as _;

use super::chunked::Chunked;
use super::slots::Slots;
use super::texts::Texts;
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
    pub(super) texts: Texts,
    pub(super) text_slots: Slots,
    pub(super) numbers: Chunked<Number>,
    pub(super) number_slots: Slots,
    hasher: DefaultHashBuilder,
    seed: u64,
}

impl Dictionary {
    /// An empty dictionary.
    pub(crate) fn new() -> Self {
        let hasher = DefaultHashBuilder::default();
        Self {
            texts: Texts::new(),
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
    pub(crate) fn text(&self, id: u32) -> &str {
        self.texts.get(id)
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

    /// The hash of a text.
    #[inline]
    pub(crate) fn text_hash(&self, text: &str) -> u64 {
        self.hasher.hash_one(text)
    }

    pub(super) fn float_hash(&self, float: f64) -> u64 {
        self.hasher.hash_one(float.to_bits())
    }

    pub(super) fn int_hash(&self, int: &BigInt) -> u64 {
        self.hasher.hash_one(int)
    }

    /// Fetches what looking for a text with a hash will read: see [`Slots::warm`].
    #[inline]
    pub(crate) fn warm_text(&self, hash: u64) {
        self.text_slots.warm(hash);
    }

    /// The word of a text that is there.
    pub(crate) fn find_text(&self, text: &str) -> Option<Word> {
        self.text_slots.find(self.text_hash(text), |id| self.texts.is(id, text)).map(Word::text)
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
            Kind::Text(id) => Constant::Text(self.texts.shared(id)),
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
