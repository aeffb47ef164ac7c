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

/// A hash table of numbers for rows that come in runs with the same first cell.
///
/// Each first cell has a window of its own in the table, as wide as a cache, and a row is filed
/// there. A run then stays where the processor's caches are, which for a table of millions of rows
/// is most of the cost. Windows grow when one is crowded, up to the whole table.
#[derive(Clone, Debug)]
pub(crate) struct Windows {
    slots: Vec<u64>,
    used: usize,
    /// Slots of a window: a power of two.
    window: usize,
}

/// The window that a table starts with, in slots: half a MiB.
const WINDOW: usize = 65_536;
/// So far from its place an id may lie before windows grow.
const CROWDED: usize = 96;

impl Default for Windows {
    fn default() -> Self {
        Self { slots: Vec::new(), used: 0, window: WINDOW }
    }
}

impl Windows {
    /// Where a row belongs, by the hash of its first cell and of all of it.
    #[inline]
    fn home(&self, first: u64, hash: u64) -> usize {
        let mask = self.slots.len() - 1;
        let inside = (self.window - 1) & mask;
        ((first >> 32) as usize & mask & !inside) | (tag(hash) as usize & inside)
    }

    /// The id filed under the hashes that `same` accepts.
    #[inline]
    pub(crate) fn find(
        &self,
        first: u64,
        hash: u64,
        mut same: impl FnMut(u32) -> bool,
    ) -> Option<u32> {
        if self.used == 0 {
            return None;
        }
        let mask = self.slots.len() - 1;
        let mut at = self.home(first, hash);
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                return None;
            }
            let id = (slot as u32).wrapping_sub(1);
            if slot >> 32 == tag(hash) && same(id) {
                return Some(id);
            }
            at = (at + 1) & mask;
        }
    }

    /// The id filed under the hashes that `same` accepts; else files `id` there. `hashes` gives
    /// those of any id: of the first cell, and of the row.
    #[inline]
    pub(crate) fn find_or_insert(
        &mut self,
        (first, hash): (u64, u64),
        id: u32,
        mut same: impl FnMut(u32) -> bool,
        hashes: impl Fn(u32) -> (u64, u64),
    ) -> Option<u32> {
        // At most two thirds full.
        if (self.used + 1) * 3 > self.slots.len() * 2 {
            self.rehash((self.slots.len() * 2).max(16), id, &hashes);
        }
        let mask = self.slots.len() - 1;
        let home = self.home(first, hash);
        let mut at = home;
        loop {
            let slot = self.slots[at];
            if slot == 0 {
                break;
            }
            let other = (slot as u32).wrapping_sub(1);
            if slot >> 32 == tag(hash) && same(other) {
                return Some(other);
            }
            at = (at + 1) & mask;
        }
        self.slots[at] = (tag(hash) << 32) | (u64::from(id) + 1);
        self.used += 1;
        if at.wrapping_sub(home) & mask > CROWDED && self.window < self.slots.len() {
            self.window *= 4;
            let hashes = |other| if other == id { (first, hash) } else { hashes(other) };
            self.rehash(self.slots.len(), id + 1, &hashes);
        }
        None
    }

    /// Files the ids below `end` anew.
    fn rehash(&mut self, slots: usize, end: u32, hashes: &impl Fn(u32) -> (u64, u64)) {
        self.slots = vec![0; slots];
        let mask = slots - 1;
        for id in 0..end {
            let (first, hash) = hashes(id);
            let mut at = self.home(first, hash);
            while self.slots[at] != 0 {
                at = (at + 1) & mask;
            }
            self.slots[at] = (tag(hash) << 32) | (u64::from(id) + 1);
        }
    }
}

/// The half of a hash that is kept, and by which slots are chosen.
#[inline]
fn tag(hash: u64) -> u64 {
    hash >> 32
}

impl Ids {
    /// Without ids, in so many slots: a power of two.
    pub(crate) fn with_slots(slots: usize) -> Self {
        Self { slots: vec![0; slots], used: 0 }
    }

    /// Puts in a slot of another table, for which there is room.
    #[inline]
    pub(crate) fn place(&mut self, slot: u64) {
        if slot == 0 {
            return;
        }
        let mask = self.slots.len() - 1;
        let mut at = (slot >> 32) as usize & mask;
        while self.slots[at] != 0 {
            at = (at + 1) & mask;
        }
        self.slots[at] = slot;
        self.used += 1;
    }

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
        let bigger = Self::with_slots((self.slots.len() * 2).max(16));
        let old = std::mem::replace(self, bigger);
        old.slots.into_iter().for_each(|slot| self.place(slot));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_grow_when_first_cells_are_few() {
        for firsts in [1, 3, 1000] {
            let spread = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let hashes =
                |id: u32| (spread(u64::from(id % firsts)), spread(u64::from(id) + 7) ^ 0x5555);
            let mut windows = Windows::default();
            for id in 0..200_000 {
                let found = windows.find_or_insert(hashes(id), id, |other| other == id, hashes);
                assert_eq!(found, None);
            }
            for id in 0..200_000 {
                let (first, hash) = hashes(id);
                assert_eq!(windows.find(first, hash, |other| other == id), Some(id));
            }
            assert!(windows.used == 200_000 && windows.slots.len() <= 524_288);
        }
    }

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
