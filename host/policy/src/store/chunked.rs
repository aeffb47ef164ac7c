//! A growable array whose clones share chunks.
//!
//! Elements are slices of a fixed length, the stride, so that one structure holds rows as well as
//! single numbers. Two levels below the root: a clone copies one pointer for 16,384 elements, and
//! the first write to a chunk after a clone copies that chunk (64 elements) and its parent (256
//! pointers). That bounds what a change costs while readers hold older versions.

use std::sync::Arc;

const LEAF: usize = 16;
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

    /// `len` default elements. The chunks are one and the same until they are written.
    pub(crate) fn with_len(stride: usize, len: usize) -> Self {
        let mut array = Self::new(stride);
        if len < LEAF {
            for _ in 0..len {
                array.push(&vec![T::default(); array.stride]);
            }
            return array;
        }
        let leaf: Arc<[T]> = vec![T::default(); LEAF * array.stride].into();
        let mut leaves = len.div_ceil(LEAF);
        while leaves > 0 {
            let here = leaves.min(FAN);
            array.root.push(Arc::new(Inner { leaves: vec![leaf.clone(); here] }));
            leaves -= here;
        }
        array.len = len;
        array
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
            inner.leaves.push(vec![T::default(); room * stride].into());
        } else if inner.leaves[leaf].len() == at * stride {
            let mut bigger = inner.leaves[leaf].to_vec();
            bigger.resize((at * 4).min(LEAF) * stride, T::default());
            inner.leaves[leaf] = bigger.into();
        }
        let leaf = Arc::make_mut(&mut inner.leaves[leaf]);
        leaf[at * stride..(at + 1) * stride].clone_from_slice(element);
        self.len += 1;
        i
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
        }
    }

    #[test]
    fn a_clone_does_not_see_later_writes() {
        let mut array = Chunked::<u64>::with_len(1, 1000);
        array.get_mut(7)[0] = 1;
        let old = array.clone();
        array.get_mut(7)[0] = 2;
        array.get_mut(999)[0] = 3;
        array.push(&[4]);
        assert_eq!((old.get(7)[0], old.get(999)[0], old.len()), (1, 0, 1000));
        assert_eq!((array.get(7)[0], array.get(999)[0], array.get(1000)[0]), (2, 3, 4));
    }
}
