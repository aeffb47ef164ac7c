//! A persistent hash table of numbers: from a hash to the 32-bit ids filed under it.
//!
//! Open addressing with linear probing over a [`Chunked`] array. A slot holds half of the hash and
//! the id; what the id stands for is the caller's, who compares. Growing rehashes from the slots
//! alone; it is the one operation that touches everything, amortised over the insertions.

use super::chunked::Chunked;
use super::ids::Ids;

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    slots: Chunked<u64>,
    used: usize,
    /// Rather full than grown: for a copy that does not last.
    crowded: bool,
}

/// The half of a hash that is kept, and by which slots are chosen.
fn tag(hash: u64) -> u64 {
    hash >> 32
}

/// A slot's content: never 0, which means empty.
fn entry(tag: u64, id: u32) -> u64 {
    (tag << 32) | (u64::from(id) + 1)
}

fn id_of(entry: u64) -> u32 {
    // The id is kept plus one in the low half.
    (entry as u32).wrapping_sub(1)
}

impl Slots {
    /// An empty table.
    pub(crate) fn new() -> Self {
        Self { slots: Chunked::new(1), used: 0, crowded: false }
    }

    /// The same ids, to be shared from now on.
    pub(crate) fn from_ids(ids: Ids) -> Self {
        let (slots, used) = ids.into_parts();
        Self { slots: Chunked::from_vec(1, slots), used, crowded: false }
    }

    /// A copy for a few insertions. Whatever its size, the first ones cost no growing.
    pub(crate) fn crowded(&self) -> Self {
        Self { crowded: true, ..self.clone() }
    }

    /// How many ids are filed.
    pub(crate) fn len(&self) -> usize {
        self.used
    }

    fn mask(&self) -> usize {
        self.slots.len().wrapping_sub(1)
    }

    /// The first id filed under the hash that `same` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.position(hash, &mut same).map(|at| id_of(self.slots.get(at)[0]))
    }

    #[inline]
    fn position(&self, hash: u64, same: &mut impl FnMut(u32) -> bool) -> Option<usize> {
        if self.used == 0 {
            return None;
        }
        let (tag, mask) = (tag(hash), self.mask());
        let mut at = tag as usize & mask;
        loop {
            let slot = self.slots.get(at)[0];
            if slot == 0 {
                return None;
            }
            if slot >> 32 == tag && same(id_of(slot)) {
                return Some(at);
            }
            at = (at + 1) & mask;
        }
    }

    /// Files an id. The caller knows that it is not there.
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        // At most three quarters full, or fifteen sixteenths.
        let room = self.slots.len() * if self.crowded { 15 } else { 12 };
        if (self.used + 1) * 16 > room {
            self.grow();
        }
        self.place(entry(tag(hash), id));
        self.used += 1;
    }

    fn place(&mut self, entry: u64) {
        let mask = self.mask();
        let mut at = (entry >> 32) as usize & mask;
        while self.slots.get(at)[0] != 0 {
            at = (at + 1) & mask;
        }
        self.slots.get_mut(at)[0] = entry;
    }

    fn grow(&mut self) {
        let bigger = (self.slots.len() * 2).max(8);
        let old = std::mem::replace(&mut self.slots, Chunked::with_len(1, bigger));
        for at in 0..old.len() {
            let slot = old.get(at)[0];
            if slot != 0 {
                self.place(slot);
            }
        }
    }

    /// Files `new` in the place of `old`.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        if let Some(at) = self.position(hash, &mut |id| id == old) {
            self.slots.get_mut(at)[0] = entry(tag(hash), new);
        }
    }

    /// Takes an id out, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, id: u32) {
        let Some(mut hole) = self.position(hash, &mut |other| other == id) else {
            return;
        };
        self.used -= 1;
        let mask = self.mask();
        // Close the gap: move back every entry that probing would no longer reach.
        let mut at = hole;
        loop {
            at = (at + 1) & mask;
            let slot = self.slots.get(at)[0];
            if slot == 0 {
                break;
            }
            let home = (slot >> 32) as usize & mask;
            if (at.wrapping_sub(home) & mask) >= (at.wrapping_sub(hole) & mask) {
                self.slots.get_mut(hole)[0] = slot;
                hole = at;
            }
        }
        self.slots.get_mut(hole)[0] = 0;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    /// Few distinct tags, so that probing sequences overlap.
    fn hash(id: u32) -> u64 {
        u64::from(id % 7) << 33
    }

    #[test]
    fn holds_what_a_set_holds_through_insertions_and_removals() {
        let mut slots = Slots::new();
        let mut model = HashSet::new();
        let mut x = 1u32;
        for _ in 0..5000 {
            x = x.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let id = (x >> 16) % 60;
            if model.remove(&id) {
                slots.remove(hash(id), id);
            } else {
                model.insert(id);
                slots.insert(hash(id), id);
            }
            assert_eq!(slots.len(), model.len());
            for id in 0..60 {
                assert_eq!(slots.find(hash(id), |i| i == id).is_some(), model.contains(&id));
            }
        }
    }

    #[test]
    fn a_crowded_copy_does_not_grow_at_once() {
        let mut slots = Slots::new();
        (0..48).for_each(|id| slots.insert(u64::from(id) << 33, id));
        assert_eq!(slots.slots.len(), 64);
        let mut copy = slots.crowded();
        (48..60).for_each(|id| copy.insert(u64::from(id) << 33, id));
        assert_eq!((copy.slots.len(), slots.len(), copy.len()), (64, 48, 60));
        (60..200).for_each(|id| copy.insert(u64::from(id) << 33, id));
        for id in 0..200 {
            assert_eq!(copy.find(u64::from(id) << 33, |i| i == id), Some(id));
        }
    }

    #[test]
    fn replaces_in_place() {
        let mut slots = Slots::new();
        slots.insert(5 << 32, 1);
        slots.replace(5 << 32, 1, 2);
        assert_eq!(slots.find(5 << 32, |_| true), Some(2));
    }
}
