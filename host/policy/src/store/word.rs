//! One machine word for each value.
//!
//! Whole numbers of up to 61 bits are the word itself; other values are numbers of entries in the
//! dictionary, or in the scratch space of one query for values that only that query has made.
//! Equality of words is the language's unification: type and value. NaN is one word, and whoever
//! compares for a join asks [`Word::joins`], for it equals nothing.

/// A value.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Word(u64);

/// What a word says by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A whole number.
    Int(i64),
    /// A text of the dictionary.
    Text(u32),
    /// A double, or a whole number too large for the word, of the dictionary.
    Number(u32),
    /// A text of a query's scratch space.
    LocalText(u32),
    /// A number of a query's scratch space.
    LocalNumber(u32),
    /// Not a number.
    Nan,
    /// No value: a variable that nothing has bound.
    Unbound,
    /// Not a value: the first word of an empty row slot, and the next such slot.
    Vacant(u32),
}

const INT: u64 = 0;
const TEXT: u64 = 1;
const NUMBER: u64 = 2;
const LOCAL_TEXT: u64 = 3;
const LOCAL_NUMBER: u64 = 4;
const NAN: u64 = 5;
const UNBOUND: u64 = 6;
const VACANT: u64 = 7;

impl Word {
    /// Not a number.
    pub(crate) const NAN: Self = Self(NAN);
    /// No value.
    pub(crate) const UNBOUND: Self = Self(UNBOUND);

    /// A whole number, if it fits.
    pub(crate) fn int(i: i64) -> Option<Self> {
        let shifted = i << 3;
        (shifted >> 3 == i).then_some(Self(shifted as u64 | INT))
    }

    fn tagged(id: u32, tag: u64) -> Self {
        Self((u64::from(id) << 3) | tag)
    }

    /// The text `id` of the dictionary.
    pub(crate) fn text(id: u32) -> Self {
        Self::tagged(id, TEXT)
    }

    /// The number `id` of the dictionary.
    pub(crate) fn number(id: u32) -> Self {
        Self::tagged(id, NUMBER)
    }

    /// The text `id` of the scratch space.
    pub(crate) fn local_text(id: u32) -> Self {
        Self::tagged(id, LOCAL_TEXT)
    }

    /// The number `id` of the scratch space.
    pub(crate) fn local_number(id: u32) -> Self {
        Self::tagged(id, LOCAL_NUMBER)
    }

    /// The mark of an empty row slot.
    pub(crate) fn vacant(next: u32) -> Self {
        Self::tagged(next, VACANT)
    }

    /// Whether it marks an empty row slot.
    #[inline]
    pub(crate) fn is_vacant(self) -> bool {
        self.0 & 7 == VACANT
    }

    /// Whether it means something in one query alone.
    #[inline]
    pub(crate) fn is_local(self) -> bool {
        matches!(self.0 & 7, LOCAL_TEXT | LOCAL_NUMBER)
    }

    /// What it is.
    #[inline]
    pub(crate) fn kind(self) -> Kind {
        let id = (self.0 >> 3) as u32;
        match self.0 & 7 {
            INT => Kind::Int((self.0 as i64) >> 3),
            TEXT => Kind::Text(id),
            NUMBER => Kind::Number(id),
            LOCAL_TEXT => Kind::LocalText(id),
            LOCAL_NUMBER => Kind::LocalNumber(id),
            NAN => Kind::Nan,
            UNBOUND => Kind::Unbound,
            _ => Kind::Vacant(id),
        }
    }

    /// Whether the two are equal for a join.
    #[inline]
    pub(crate) fn joins(self, other: Self) -> bool {
        self == other && self.0 != NAN
    }
}

/// Mixes words into a hash. Not cryptographic; the seed differs from process to process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Mixer(u64);

impl Mixer {
    /// Starts from a seed.
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// Takes in one word.
    #[inline]
    pub(crate) fn add(&mut self, word: Word) {
        self.0 = fold(self.0 ^ word.0, 0x9e37_79b9_7f4a_7c15);
    }

    /// The hash.
    #[inline]
    pub(crate) fn finish(self) -> u64 {
        fold(self.0 ^ 0x2545_f491_4f6c_dd1d, 0xd6e8_feb8_6659_fd93)
    }
}

/// Both halves of a 128-bit product, folded.
#[inline]
fn fold(a: u64, b: u64) -> u64 {
    let product = u128::from(a) * u128::from(b);
    (product as u64) ^ ((product >> 64) as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_round_trip_within_61_bits() {
        for i in [0, 1, -1, 42, -(1 << 60), (1 << 60) - 1] {
            assert_eq!(Word::int(i).map(Word::kind), Some(Kind::Int(i)));
        }
        assert_eq!(Word::int(1 << 60), None);
        assert_eq!(Word::int(i64::MIN), None);
    }

    #[test]
    fn nan_joins_nothing() {
        assert!(!Word::NAN.joins(Word::NAN));
        assert!(Word::text(3).joins(Word::text(3)));
        assert!(!Word::text(3).joins(Word::number(3)));
    }
}
