//! One slot of a hash table of numbers, and how slots are probed.
//!
//! A slot holds half of a hash, the tag, and a 32-bit id; what the id stands for is the caller's,
//! who compares. Probing is linear. It begins at a place that grows with the tag, so that a larger
//! table has its ids in almost the same order: growing reads and writes memory from front to back.
//! Tables may have any size.

/// A slot.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Slot(u64);

impl Slot {
    /// Without an id.
    pub(super) const EMPTY: Self = Self(0);

    /// With an id, filed under a hash.
    #[inline]
    pub(super) fn new(hash: u64, id: u32) -> Self {
        // The id is kept plus one, so that no slot in use is 0.
        Self((hash >> 32 << 32) | (u64::from(id) + 1))
    }

    #[inline]
    pub(super) fn is_empty(self) -> bool {
        self == Self::EMPTY
    }

    #[inline]
    pub(super) fn id(self) -> u32 {
        (self.0 as u32).wrapping_sub(1)
    }

    /// Where probing for it begins in a table of `len` slots.
    #[inline]
    pub(super) fn home(self, len: usize) -> usize {
        (((self.0 >> 32) * len as u64) >> 32) as usize
    }

    #[inline]
    fn has_tag_of(self, other: Self) -> bool {
        (self.0 ^ other.0) >> 32 == 0
    }
}

/// The place after `at` in a table of `len` slots.
#[inline]
pub(super) fn after(at: usize, len: usize) -> usize {
    if at + 1 == len { 0 } else { at + 1 }
}

/// How far it is from one place to another.
#[inline]
pub(super) fn distance(from: usize, to: usize, len: usize) -> usize {
    if to >= from { to - from } else { to + len - from }
}

/// Looks for an id under the hash of `like`: where it is, or else the empty place where it belongs.
/// Some slot is empty.
#[inline]
pub(super) fn probe(
    len: usize,
    read: impl Fn(usize) -> Slot,
    like: Slot,
    mut same: impl FnMut(u32) -> bool,
) -> Result<usize, usize> {
    let mut at = like.home(len);
    loop {
        let slot = read(at);
        if slot.is_empty() {
            return Err(at);
        }
        if slot.has_tag_of(like) && same(slot.id()) {
            return Ok(at);
        }
        at = after(at, len);
    }
}
