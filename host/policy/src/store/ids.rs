//! A hash table of numbers, for sets that one query makes and drops.
//!
//! Like [`Slots`](super::slots::Slots), a slot holds half of the hash and the id, so growing
//! touches nothing else; but it lies in one piece of memory and cannot be shared.

use super::slot::{Slot, probe};

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    slots: Vec<Slot>,
    used: usize,
}

/// So many slots are half a MiB.
const LARGE: usize = 1 << 16;

impl Ids {
    /// The slots, and how many are used.
    pub(crate) fn into_parts(self) -> (Vec<Slot>, usize) {
        (self.slots, self.used)
    }

    /// How many bytes it takes.
    pub(crate) fn bytes(&self) -> usize {
        self.slots.len() * size_of::<Slot>()
    }

    /// Reads the slot where a hash belongs: see [`Slots::warm`](super::slots::Slots::warm).
    #[inline]
    pub(crate) fn warm(&self, hash: u64) {
        if let Some(slot) = self.slots.get(Slot::new(hash, 0).home(self.slots.len())) {
            std::hint::black_box(*slot);
        }
    }

    /// The id filed under the hash that `same` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let like = Slot::new(hash, 0);
        let at = probe(self.slots.len(), |at| self.slots[at], like, same).ok()?;
        Some(self.slots[at].id())
    }

    /// The id filed under the hash that `same` accepts; else files `id` there.
    #[inline]
    pub(crate) fn find_or_insert(
        &mut self,
        hash: u64,
        id: u32,
        same: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        // At most two thirds full.
        if (self.used + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let slot = Slot::new(hash, id);
        match probe(self.slots.len(), |at| self.slots[at], slot, same) {
            Ok(at) => Some(self.slots[at].id()),
            Err(at) => {
                self.slots[at] = slot;
                self.used += 1;
                None
            }
        }
    }

    /// Files `new` in the place of `old`, which is there.
    #[inline]
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        let like = Slot::new(hash, old);
        if let Ok(at) = probe(self.slots.len(), |at| self.slots[at], like, |id| id == old) {
            self.slots[at] = Slot::new(hash, new);
        }
    }

    fn grow(&mut self) {
        // In larger steps while little memory is at stake.
        let factor = if self.slots.len() < LARGE { 4 } else { 2 };
        let len = (self.slots.len() * factor).max(16);
        let old = std::mem::replace(&mut self.slots, vec![Slot::EMPTY; len]);
        for slot in old.into_iter().filter(|slot| !slot.is_empty()) {
            if let Err(at) = probe(len, |at| self.slots[at], slot, |_| false) {
                self.slots[at] = slot;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_and_finds_through_growth() {
        let mut ids = Ids::default();
        let hash = |id: u32| u64::from(id % 97) << 57;
        for id in 0..1000 {
            assert_eq!(ids.find_or_insert(hash(id), id, |other| other == id), None);
        }
        for id in 0..1000 {
            assert_eq!(ids.find_or_insert(hash(id), 5000, |other| other == id), Some(id));
            assert_eq!(ids.find(hash(id), |other| other == id), Some(id));
        }
        ids.replace(hash(5), 5, 7777);
        assert_eq!(ids.find(hash(5), |other| other == 7777), Some(7777));
        assert_eq!(ids.find(hash(5), |other| other == 5), None);
    }
}
