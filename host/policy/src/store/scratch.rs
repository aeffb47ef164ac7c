//! Values that one query makes: constants of its text, results of builtins.
//!
//! A value that the snapshot's dictionary has is that word, so that it joins with stored rows; any
//! other gets a word of its own that means something in this query alone. Nothing is shared, so a
//! query never waits and leaves nothing behind.

use std::sync::Arc;

use hashbrown::HashMap;
use num_bigint::BigInt;

use super::dictionary::{Dictionary, Number, integral, without_sign_of_zero};
use super::word::{Kind, Word};
use crate::ast::Constant;
use crate::snapshot::ValueRef;

/// The values of one query over one dictionary.
pub(crate) struct Scratch<'s> {
    dictionary: &'s Dictionary,
    local: LocalValues,
    text_words: HashMap<Arc<str>, Word>,
    float_words: HashMap<u64, Word>,
    int_words: HashMap<Arc<BigInt>, Word>,
}

/// Values that the dictionary has not, by their words.
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalValues {
    texts: Vec<Arc<str>>,
    numbers: Vec<Number>,
    /// What they take, roughly.
    bytes: usize,
}

impl LocalValues {
    /// The value of a word, of these or of the dictionary; none for an unbound one.
    pub(crate) fn value(&self, dictionary: &Dictionary, word: Word) -> Option<Constant> {
        match word.kind() {
            Kind::LocalText(id) => self.texts.get(id as usize).cloned().map(Constant::Text),
            Kind::LocalNumber(id) => match self.numbers.get(id as usize)? {
                Number::Int(int) => Some(Constant::Int((**int).clone())),
                Number::Float(float, _) => Some(Constant::Float(*float)),
                Number::Vacant => None,
            },
            _ => dictionary.value(word),
        }
    }
}

impl LocalValues {
    /// The value of a word where it is stored; none for an unbound one.
    pub(crate) fn value_ref<'a>(
        &'a self,
        dictionary: &'a Dictionary,
        word: Word,
    ) -> Option<ValueRef<'a>> {
        let number = |number: &'a Number| match number {
            Number::Int(int) => Some(ValueRef::BigInt(int)),
            Number::Float(float, _) => Some(ValueRef::Float(*float)),
            Number::Vacant => None,
        };
        match word.kind() {
            Kind::Int(int) => Some(ValueRef::Int(int)),
            Kind::Text(id) => Some(ValueRef::Text(dictionary.text(id))),
            Kind::Number(id) => number(dictionary.number(id)),
            Kind::LocalText(id) => self.texts.get(id as usize).map(|text| ValueRef::Text(text)),
            Kind::LocalNumber(id) => self.numbers.get(id as usize).and_then(number),
            Kind::Nan => Some(ValueRef::Float(f64::NAN)),
            Kind::Unbound | Kind::Vacant(_) => None,
        }
    }
}

impl<'s> Scratch<'s> {
    /// No values yet.
    pub(crate) fn new(dictionary: &'s Dictionary) -> Self {
        Self {
            dictionary,
            local: LocalValues::default(),
            text_words: HashMap::new(),
            float_words: HashMap::new(),
            int_words: HashMap::new(),
        }
    }

    /// The word of a value.
    pub(crate) fn word(&mut self, value: &Constant) -> Word {
        if let Some(word) = self.dictionary.find(value) {
            return word;
        }
        match value {
            Constant::Text(text) => {
                if let Some(word) = self.text_words.get(text) {
                    return *word;
                }
                let word = Word::local_text(self.local.texts.len() as u32);
                self.local.bytes += text.len() + 64;
                self.local.texts.push(text.clone());
                self.text_words.insert(text.clone(), word);
                word
            }
            Constant::Int(int) => self.int(int),
            Constant::Float(float) => {
                let float = without_sign_of_zero(*float);
                if let Some(word) = self.float_words.get(&float.to_bits()) {
                    return *word;
                }
                let equal = integral(float).map(|int| match self.dictionary.find_int(&int) {
                    Some(word) => word,
                    None => self.int(&int),
                });
                let word = Word::local_number(self.local.numbers.len() as u32);
                self.local.numbers.push(Number::Float(float, equal.unwrap_or(word)));
                self.float_words.insert(float.to_bits(), word);
                word
            }
        }
    }

    fn int(&mut self, int: &BigInt) -> Word {
        if let Some(word) = self.int_words.get(int) {
            return *word;
        }
        let word = Word::local_number(self.local.numbers.len() as u32);
        self.local.bytes += int.bits() as usize / 8 + 64;
        let int = Arc::new(int.clone());
        self.local.numbers.push(Number::Int(int.clone()));
        self.int_words.insert(int, word);
        word
    }

    /// The word by which numbers compare by value.
    #[inline]
    pub(crate) fn canonical(&self, word: Word) -> Word {
        match word.kind() {
            Kind::LocalNumber(id) => match self.local.numbers.get(id as usize) {
                Some(Number::Float(_, canonical)) => *canonical,
                _ => word,
            },
            _ => self.dictionary.canonical(word),
        }
    }

    /// The value of a word; none for an unbound one.
    pub(crate) fn value(&self, word: Word) -> Option<Constant> {
        self.local.value(self.dictionary, word)
    }

    /// How many bytes the values take that are not in the dictionary, roughly.
    pub(crate) fn bytes(&self) -> usize {
        self.local.bytes
    }

    /// Whether any value is not in the dictionary.
    pub(crate) fn has_local(&self) -> bool {
        !self.local.texts.is_empty() || !self.local.numbers.is_empty()
    }

    /// The values that are not in the dictionary, to outlive the query.
    pub(crate) fn into_local(self) -> LocalValues {
        self.local
    }
}
