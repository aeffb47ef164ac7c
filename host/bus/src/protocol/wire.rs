//! Bytes, written and read with every length checked.

use std::sync::Arc;

/// A message that breaks the format. It is dropped; what it was to tell is repaired as if it had
/// been lost.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("malformed message: {0}")]
pub struct Malformed(pub &'static str);

/// Appends to a buffer.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    pub(crate) bytes: Vec<u8>,
}

impl Writer {
    pub(crate) fn u8(&mut self, value: u8) {
        self.bytes.push(value);
    }

    /// 7 bits a byte, low ones first, the high bit set while more follow.
    pub(crate) fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.bytes.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.bytes.push(value as u8);
    }

    pub(crate) fn u64(&mut self, value: u64) {
        self.bytes.extend_from_slice(&value.to_le_bytes());
    }

    pub(crate) fn slice(&mut self, value: &[u8]) {
        self.varint(value.len() as u64);
        self.bytes.extend_from_slice(value);
    }

    pub(crate) fn str(&mut self, value: &str) {
        self.slice(value.as_bytes());
    }

    /// A field: its number, its length, its content. Readers skip numbers they do not know.
    pub(crate) fn field(&mut self, number: u64, content: impl FnOnce(&mut Writer)) {
        let mut inner = Writer::default();
        content(&mut inner);
        self.varint(number);
        self.slice(&inner.bytes);
    }

    pub(crate) fn str_field(&mut self, number: u64, value: &str) {
        self.varint(number);
        self.str(value);
    }

    /// A number; zero, the default, is left out.
    pub(crate) fn number_field(&mut self, number: u64, value: u64) {
        if value != 0 {
            self.field(number, |w| w.varint(value));
        }
    }
}

/// Takes from a buffer.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reader<'a> {
    pub(crate) rest: &'a [u8],
}

impl<'a> Reader<'a> {
    pub(crate) fn new(rest: &'a [u8]) -> Self {
        Self { rest }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    pub(crate) fn u8(&mut self) -> Result<u8, Malformed> {
        let (first, rest) = self.rest.split_first().ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(*first)
    }

    pub(crate) fn take(&mut self, length: usize) -> Result<&'a [u8], Malformed> {
        let (taken, rest) =
            self.rest.split_at_checked(length).ok_or(Malformed("it ends too early"))?;
        self.rest = rest;
        Ok(taken)
    }

    pub(crate) fn varint(&mut self) -> Result<u64, Malformed> {
        let mut value = 0u64;
        for shift in (0..64).step_by(7) {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                break;
            }
            value |= bits << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Malformed("a number is too long"))
    }

    pub(crate) fn u64(&mut self) -> Result<u64, Malformed> {
        let bytes = self.take(8)?;
        bytes.try_into().map(u64::from_le_bytes).map_err(|_| Malformed("it ends too early"))
    }

    pub(crate) fn slice(&mut self) -> Result<&'a [u8], Malformed> {
        let length = usize::try_from(self.varint()?).map_err(|_| Malformed("a length"))?;
        self.take(length)
    }

    pub(crate) fn str(&mut self) -> Result<&'a str, Malformed> {
        std::str::from_utf8(self.slice()?).map_err(|_| Malformed("a text is not UTF-8"))
    }

    pub(crate) fn name(&mut self) -> Result<Arc<str>, Malformed> {
        self.str().map(Arc::from)
    }

    /// The next field, with its content to be read; none at the end.
    pub(crate) fn field(&mut self) -> Result<Option<(u64, Reader<'a>)>, Malformed> {
        if self.is_empty() {
            return Ok(None);
        }
        let number = self.varint()?;
        if number == 0 {
            return Ok(None);
        }
        Ok(Some((number, Reader::new(self.slice()?))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        for value in [0, 1, 127, 128, 300, u64::from(u32::MAX), u64::MAX - 1, u64::MAX] {
            let mut writer = Writer::default();
            writer.varint(value);
            assert_eq!(Reader::new(&writer.bytes).varint(), Ok(value));
        }
        assert!(Reader::new(&[0xff; 11]).varint().is_err());
        assert!(Reader::new(&[0x80]).varint().is_err());
    }

    #[test]
    fn unknown_fields_are_skipped_and_lengths_are_checked() {
        let mut writer = Writer::default();
        writer.str_field(9, "news");
        writer.number_field(1, 7);
        let mut reader = Reader::new(&writer.bytes);
        assert_eq!(reader.field().unwrap().unwrap().0, 9);
        let (number, mut content) = reader.field().unwrap().unwrap();
        assert_eq!((number, content.varint()), (1, Ok(7)));
        assert!(reader.field().unwrap().is_none());
        // A length far beyond the end allocates nothing.
        assert!(Reader::new(&[1, 0xff, 0xff, 0xff, 0xff, 0x0f]).field().is_err());
    }
}
