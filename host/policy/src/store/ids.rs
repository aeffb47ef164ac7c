//! A hash table of numbers, for sets that one query makes and drops.
//!
//! Like [`Slots`](super::slots::Slots), a slot holds half of the hash and the id, so growing
//! touches nothing else; but it lies in one piece of memory and cannot be shared.

/// The table.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ids {
    slots: Vec<u64>,
    used: usize,
}

/// The half of a hash that is kept, and by which slots are chosen.
#[inline]
fn tag(hash: u64) -> u64 {
    hash >> 32
}

impl Ids {
    /// The slots, and how many are used: each half of a hash and an id plus one, or 0. Probing is
    /// linear from the half of the hash.
    pub(crate) fn into_parts(self) -> (Vec<u64>, usize) {
        (self.slots, self.used)
    }

    /// The id filed under the hash that `same` accepts.
    #[inline]
    pub(crate) fn find(&self, hash: u64, mut same: impl FnMut(u32) -> bool) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = tag(hash) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            // The id is kept plus one in the low half, so that no slot in use is 0.
            let id = (slot as u32).wrapping_sub(1);
            if slot >> 32 == tag(hash) && same(id) {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }

    /// The id filed under the hash that `same` accepts; else files `id` there.
    #[inline]
    pub(crate) fn find_or_insert(
        &mut self,
        hash: u64,
        id: u32,
        mut same: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        // At most two thirds full.
        if (self.used + 1) * 3 > self.slots.len() * 2 {
            self.grow();
        }
        let mask = self.slots.len() - 1;
        let mut at = tag(hash) as usize & mask;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                self.slots[at] = (tag(hash) << 32) | (u64::from(id) + 1);
                self.used += 1;
                return None;
            }
            let other = (slot as u32).wrapping_sub(1);
            if slot >> 32 == tag(hash) && same(other) {
                return Some(other);
            }
            at = (at + 1) & mask;
        }
    }

    /// Files `new` in the place of `old`, which is there.
    #[inline]
    pub(crate) fn replace(&mut self, hash: u64, old: u32, new: u32) {
        let mask = self.slots.len() - 1;
        let wanted = (tag(hash) << 32) | (u64::from(old) + 1);
        let mut at = tag(hash) as usize & mask;
        while self.slots[at] != wanted {
            if self.slots[at] == 0 {
                return;
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = (tag(hash) << 32) | (u64::from(new) + 1);
    }

    fn grow(&mut self) {
        let bigger = (self.slots.len() * 2).max(16);
        let old = std::mem::replace(&mut self.slots, vec![0; bigger]);
        let mask = bigger - 1;
        for slot in old {
            if slot != 0 {
                let mut at = (slot >> 32) as usize & mask;
                while self.slots[at] != 0 {
                    at = (at + 1) & mask;
                }
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
        let hash = |id: u32| u64::from(id % 97) << 33;
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
