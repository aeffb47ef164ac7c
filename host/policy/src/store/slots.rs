//! A persistent hash table of numbers: from a hash to the 32-bit ids filed under it.
//!
//! Open addressing over a [`Chunked`] array of [`Slot`]s. Growing rehashes from the slots alone; it
//! is the one operation that touches everything, amortised over the insertions.

use super::chunked::Chunked;
use super::ids::Ids;
use super::slot::{Slot, after, distance, probe};

/// The table.
#[derive(Clone, Debug)]
pub(crate) struct Slots {
    slots: Chunked<Slot>,
    used: usize,
    /// Rather full than grown: for a copy that does not last.
    crowded: bool,
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

    #[inline]
    fn slot(&self, at: usize) -> Slot {
        self.slots.get(at)[0]
    }

    /// The first id filed under the hash that `same` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        self.position(hash, same).map(|at| self.slot(at).id())
    }

    #[inline]
    fn position(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<usize> {
        if self.used == 0 {
            return None;
        }
        probe(self.slots.len(), |at| self.slot(at), Slot::new(hash, 0), same).ok()
    }

    /// Reads the slot where a hash belongs, so that the processor's caches have it when it is looked
    /// for. Of many such reads, one after another, the processor waits for several at once.
    #[inline]
    pub(crate) fn warm(&self, hash: u64) {
        if self.used > 0 {
            std::hint::black_box(self.slot(Slot::new(hash, 0).home(self.slots.len())));
        }
    }

    /// Files an id. The caller knows that it is not there.
    pub(crate) fn insert(&mut self, hash: u64, id: u32) {
        // At most three quarters full, or fifteen sixteenths.
        let room = self.slots.len() * if self.crowded { 15 } else { 12 };
        if (self.used + 1) * 16 > room {
            self.grow();
        }
        let slot = Slot::new(hash, id);
        if let Err(at) = probe(self.slots.len(), |at| self.slot(at), slot, |_| false) {
            self.slots.get_mut(at)[0] = slot;
            self.used += 1;
        }
    }

    fn grow(&mut self) {
        // By a half: the slots of a large table are a good part of what a row takes.
        let len = (self.slots.len() * 3 / 2).max(8).next_multiple_of(8);
        let mut slots = vec![Slot::EMPTY; len];
        for &slot in self.slots.blocks().flatten().filter(|slot| !slot.is_empty()) {
            if let Err(at) = probe(len, |at| slots[at], slot, |_| false) {
                slots[at] = slot;
            }
        }
        self.slots = Chunked::from_vec(1, slots);
    }

    /// Files `new` in the place of `old`.
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        if let Some(at) = self.position(hash, |id| id == old) {
            self.slots.get_mut(at)[0] = Slot::new(hash, new);
        }
    }

    /// Takes an id out, if it is there.
    pub(crate) fn remove(&mut self, hash: u64, id: u32) {
        let Some(mut hole) = self.position(hash, |other| other == id) else {
            return;
        };
        self.used -= 1;
        let len = self.slots.len();
        // Close the gap: move back every entry that probing would no longer reach.
        let mut at = hole;
        loop {
            at = after(at, len);
            let slot = self.slot(at);
            if slot.is_empty() {
                break;
            }
            if distance(slot.home(len), at, len) >= distance(hole, at, len) {
                self.slots.get_mut(hole)[0] = slot;
                hole = at;
            }
        }
        self.slots.get_mut(hole)[0] = Slot::EMPTY;
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
        (0..30).for_each(|id| slots.insert(u64::from(id) << 33, id));
        assert_eq!(slots.slots.len(), 40);
        let mut copy = slots.crowded();
        (30..37).for_each(|id| copy.insert(u64::from(id) << 33, id));
        assert_eq!((copy.slots.len(), slots.len(), copy.len()), (40, 30, 37));
        (37..200).for_each(|id| copy.insert(u64::from(id) << 33, id));
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
