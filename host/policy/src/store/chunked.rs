//! A growable array whose clones share chunks.
//!
//! Elements are slices of a fixed length, the stride, so that one structure holds rows as well as
//! single numbers. Two levels below the root: a clone copies one pointer for 8,192 elements, and
//! the first write to a chunk after a clone copies that chunk (32 elements) and its parent (256
//! pointers). That bounds what a change costs while readers hold older versions.

use std::ops::Range;
use std::sync::Arc;

const LEAF: usize = 32;
const FAN: usize = 256;

/// The array.
#[derive(Clone, Debug)]
pub(crate) struct Chunked<T> {
    stride: usize,
    len: usize,
    root: Vec<Arc<Inner<T>>>,
}

#[derive(Clone, Debug)]
struct Inner<T> {
    leaves: Vec<Arc<[T]>>,
}

impl<T: Clone + Default> Chunked<T> {
    /// Empty; elements will be slices of `stride` values, at least one.
    pub(crate) fn new(stride: usize) -> Self {
        Self { stride: stride.max(1), len: 0, root: Vec::new() }
    }

    /// The elements of a vector, one after another.
    pub(crate) fn from_vec(stride: usize, elements: Vec<T>) -> Self {
        let mut array = Self::new(stride);
        array.len = elements.len() / array.stride;
        let leaves: Vec<Arc<[T]>> =
            elements.chunks(LEAF * array.stride).map(|leaf| leaf.into()).collect();
        let pages = leaves.chunks(FAN).map(|page| Arc::new(Inner { leaves: page.to_vec() }));
        array.root = pages.collect();
        array
    }

    /// How many elements there are.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// An element. `i` is below the length.
    #[inline]
    pub(crate) fn get(&self, i: usize) -> &[T] {
        let leaf = &self.root[i / (LEAF * FAN)].leaves[(i / LEAF) % FAN];
        let start = (i % LEAF) * self.stride;
        &leaf[start..start + self.stride]
    }

    /// An element, if it is there.
    #[inline]
    pub(super) fn find(&self, i: usize) -> Option<&[T]> {
        let leaf = self.root.get(i / (LEAF * FAN))?.leaves.get((i / LEAF) % FAN)?;
        let start = (i % LEAF) * self.stride;
        leaf.get(start..start + self.stride)
    }

    /// The numbers of the elements that are in one chunk with another.
    pub(super) fn block_of(&self, i: usize) -> Range<usize> {
        let start = i - i % LEAF;
        start..start + LEAF
    }

    /// Gives up the chunk of an element. None of it is read or written any more, until
    /// [`Chunked::restore_block`].
    pub(super) fn drop_block(&mut self, i: usize) {
        // The last one will get further elements.
        if self.block_of(i).end <= self.len {
            let inner = Arc::make_mut(&mut self.root[i / (LEAF * FAN)]);
            inner.leaves[(i / LEAF) % FAN] = [].into();
        }
    }

    /// Makes sure that the chunk of an element is there.
    pub(super) fn restore_block(&mut self, i: usize) {
        let room = LEAF * self.stride;
        let inner = Arc::make_mut(&mut self.root[i / (LEAF * FAN)]);
        let leaf = &mut inner.leaves[(i / LEAF) % FAN];
        if leaf.is_empty() {
            *leaf = vec![T::default(); room].into();
        }
    }

    /// The elements, in blocks that lie together. Only the last may be shorter than the others.
    pub(crate) fn blocks(&self) -> impl Iterator<Item = &[T]> {
        let leaves = self.root.iter().flat_map(|page| &page.leaves);
        let mut left = self.len * self.stride;
        leaves.map(move |leaf| {
            let here = left.min(leaf.len());
            left -= here;
            &leaf[..here]
        })
    }

    /// The elements from one on, as many as lie together with it.
    #[inline]
    pub(crate) fn block(&self, i: usize) -> &[T] {
        let leaf = &self.root[i / (LEAF * FAN)].leaves[(i / LEAF) % FAN];
        let end = leaf.len().min((self.len - i + i % LEAF) * self.stride);
        &leaf[(i % LEAF) * self.stride..end]
    }

    /// An element, to be written.
    #[inline]
    pub(crate) fn get_mut(&mut self, i: usize) -> &mut [T] {
        let inner = Arc::make_mut(&mut self.root[i / (LEAF * FAN)]);
        let leaf = Arc::make_mut(&mut inner.leaves[(i / LEAF) % FAN]);
        let start = (i % LEAF) * self.stride;
        &mut leaf[start..start + self.stride]
    }

    /// Appends an element and returns its number.
    pub(crate) fn push(&mut self, element: &[T]) -> usize {
        self.room().clone_from_slice(element);
        self.len += 1;
        self.len - 1
    }

    /// Appends an element, written over default values, and returns its number.
    pub(super) fn push_with(&mut self, write: impl FnOnce(&mut [T])) -> usize {
        write(self.room());
        self.len += 1;
        self.len - 1
    }

    /// The place after the last element.
    fn room(&mut self) -> &mut [T] {
        let i = self.len;
        let (page, leaf, at) = (i / (LEAF * FAN), (i / LEAF) % FAN, i % LEAF);
        if page == self.root.len() {
            self.root.push(Arc::new(Inner { leaves: Vec::new() }));
        }
        let stride = self.stride;
        let inner = Arc::make_mut(&mut self.root[page]);
        if leaf == inner.leaves.len() {
            // The very first chunk starts small: most tables are.
            let room = if i == 0 { 4 } else { LEAF };
            inner.leaves.push(std::iter::repeat_n(T::default(), room * stride).collect());
        } else if inner.leaves[leaf].len() == at * stride {
            let mut bigger = inner.leaves[leaf].to_vec();
            bigger.resize((at * 4).min(LEAF) * stride, T::default());
            inner.leaves[leaf] = bigger.into();
        }
        &mut Arc::make_mut(&mut inner.leaves[leaf])[at * stride..(at + 1) * stride]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grows_from_nothing_over_all_levels() {
        let mut array = Chunked::<u64>::new(2);
        for i in 0..40_000u64 {
            assert_eq!(array.push(&[i, i * 2]) as u64, i);
        }
        assert_eq!(array.len(), 40_000);
        for i in 0..40_000usize {
            assert_eq!(array.get(i), [i as u64, i as u64 * 2]);
            assert_eq!(array.block(i)[..2], [i as u64, i as u64 * 2]);
        }
        assert_eq!(array.block(39_999).len(), 2);
        let all: Vec<u64> = array.blocks().flatten().copied().collect();
        assert_eq!((all.len(), all[79_999]), (80_000, 79_998));
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut array = Chunked::<u64>::from_vec(1, vec![0; 1000]);
        array.get_mut(7)[0] = 1;
        let old = array.clone();
        array.get_mut(7)[0] = 2;
        array.get_mut(999)[0] = 3;
        array.push(&[4]);
        assert_eq!((old.get(7)[0], old.get(999)[0], old.len()), (1, 0, 1000));
        assert_eq!((array.get(7)[0], array.get(999)[0], array.get(1000)[0]), (2, 3, 4));
    }
}
