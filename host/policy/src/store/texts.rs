//! Texts by number, those of about one length together.
//!
//! A short text lies in a chunk with others of its class, after a byte that tells its length: it
//! needs no allocation, no pointer and no counter of its own, and copying its chunk copies bytes.
//! It is checked to be UTF-8 whenever it is read, which costs less than following a pointer would.
//! A long text is an allocation shared with whoever brought it.

use std::sync::Arc;

use super::chunked::Chunked;

/// Classes of short texts: every 8 bytes up to 64, every 16 up to 128.
const SHORT: usize = 12;
/// The class of long texts.
const LONG: usize = SHORT;
/// How many classes there are.
pub(super) const CLASSES: usize = SHORT + 1;
/// The low bits of a text's number are its class.
const CLASS_BITS: u32 = 4;
/// How many texts a class can number.
const MOST: usize = 1 << (u32::BITS - CLASS_BITS);

/// Whatever a text comes in; what is long is kept as the allocation that it has.
pub(crate) trait SharedText: AsRef<str> + Clone + Into<Arc<str>> {}

impl<T: AsRef<str> + Clone + Into<Arc<str>>> SharedText for T {}

/// The texts.
#[derive(Clone, Debug)]
pub(super) struct Texts {
    short: [Chunked<u8>; SHORT],
    long: Chunked<Option<Arc<str>>>,
}

/// Where a text is: its class, and its place there.
#[inline]
pub(super) fn place(id: u32) -> (usize, usize) {
    ((id & ((1 << CLASS_BITS) - 1)) as usize, (id >> CLASS_BITS) as usize)
}

/// The number of the text at a place.
#[inline]
pub(super) fn number(class: usize, at: usize) -> u32 {
    (at << CLASS_BITS | class) as u32
}

/// The class of texts of so many bytes.
#[inline]
fn class_of(len: usize) -> usize {
    match len {
        0..64 => len / 8,
        64..128 => 8 + (len - 64) / 16,
        _ => LONG,
    }
}

/// How many bytes a class has for a text and its length.
fn stride(class: usize) -> usize {
    if class < 8 { 8 * (class + 1) } else { 80 + 16 * (class - 8) }
}

impl Texts {
    pub(super) fn new() -> Self {
        Self {
            short: std::array::from_fn(|class| Chunked::new(stride(class))),
            long: Chunked::new(1),
        }
    }

    #[inline]
    fn bytes(&self, id: u32) -> &[u8] {
        let (class, at) = place(id);
        let found = match self.short.get(class) {
            Some(texts) => match texts.find(at) {
                Some([len, bytes @ ..]) => bytes.get(..usize::from(*len)),
                _ => None,
            },
            None => {
                self.long.find(at).and_then(|text| text[0].as_ref()).map(|text| text.as_bytes())
            }
        };
        // A word of a dictionary's version always has its text.
        found.unwrap_or_default()
    }

    /// A text.
    #[inline]
    pub(super) fn get(&self, id: u32) -> &str {
        std::str::from_utf8(self.bytes(id)).unwrap_or_default()
    }

    /// A text, to be kept.
    pub(super) fn shared(&self, id: u32) -> Arc<str> {
        let (class, at) = place(id);
        let long = if class == LONG { self.long.find(at).and_then(|t| t[0].clone()) } else { None };
        long.unwrap_or_else(|| self.get(id).into())
    }

    /// Whether a text is this one.
    #[inline]
    pub(super) fn is(&self, id: u32, text: &str) -> bool {
        self.bytes(id) == text.as_bytes()
    }

    /// The class that a new text belongs to.
    #[inline]
    pub(super) fn class(&self, text: &str) -> usize {
        let class = class_of(text.len());
        let has_room = |class: &usize| self.short[*class].len() < MOST;
        (class..LONG).find(has_room).unwrap_or(LONG)
    }

    /// Adds a text to its class; its place.
    pub(super) fn push(&mut self, class: usize, text: &impl SharedText) -> usize {
        match self.short.get_mut(class) {
            Some(texts) => texts.push_with(|place| write(place, text.as_ref())),
            None => self.long.push(&[Some(text.clone().into())]),
        }
    }

    /// Puts a text in a place of its class that is free.
    pub(super) fn set(&mut self, class: usize, at: usize, text: &impl SharedText) {
        match self.short.get_mut(class) {
            Some(texts) => {
                texts.restore_block(at);
                write(texts.get_mut(at), text.as_ref());
            }
            None => self.long.get_mut(at)[0] = Some(text.clone().into()),
        }
    }

    /// Frees a place. `used` tells how often each place of the class is used.
    pub(super) fn clear(&mut self, class: usize, at: usize, used: &[u32]) {
        match self.short.get_mut(class) {
            Some(texts) => {
                let block = texts.block_of(at);
                let end = block.end.min(used.len());
                if used[block.start..end].iter().all(|uses| *uses == 0) {
                    texts.drop_block(at);
                }
            }
            None => self.long.get_mut(at)[0] = None,
        }
    }

    /// How many places there are, free ones included.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.short.iter().map(Chunked::len).sum::<usize>() + self.long.len()
    }
}

/// Writes a text of a class into its place.
fn write(place: &mut [u8], text: &str) {
    // Short texts have less than 128 bytes.
    place[0] = text.len() as u8;
    place[1..=text.len()].copy_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_of_every_length_are_kept() {
        let mut texts = Texts::new();
        let text = |len: usize| -> Arc<str> { "é".repeat(len / 2).into() };
        let add = |len: usize, texts: &mut Texts| {
            let class = texts.class(&text(len));
            number(class, texts.push(class, &text(len)))
        };
        let ids: Vec<u32> = (0..300).map(|len| add(len, &mut texts)).collect();
        for (len, &id) in ids.iter().enumerate() {
            assert_eq!(texts.get(id), &*text(len));
            assert!(texts.is(id, &text(len)) && !texts.is(id, "x"));
            assert_eq!(texts.shared(id), text(len));
        }
    }

    #[test]
    fn a_block_without_texts_takes_no_memory_and_comes_back() {
        let mut texts = Texts::new();
        let text: Arc<str> = "some text of one length".into();
        let class = texts.class(&text);
        (0..100).for_each(|_| {
            texts.push(class, &text);
        });
        let before = texts.clone();
        let mut used = [1; 100];
        for at in 32..64 {
            used[at] = 0;
            texts.clear(class, at, &used);
        }
        assert_eq!(texts.get(number(class, 40)), "");
        assert_eq!(texts.get(number(class, 31)), &*text);
        assert_eq!(before.get(number(class, 40)), &*text);
        texts.set(class, 40, &text);
        assert_eq!(texts.get(number(class, 40)), &*text);
    }
}
