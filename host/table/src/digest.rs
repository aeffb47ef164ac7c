//! Order-independent digests, by which mirrors of a table are compared.

use serde::{Deserialize, Serialize};
use xxhash_rust::xxh3::xxh3_64;

use crate::{Cell, Value};

/// A digest of a set of rows: the sum of the digests of its rows, so that it can be kept up to
/// date row by row and does not depend on order. It finds accidents, not forgeries.
///
/// A row's digest is the XXH3-64 of its cells, one after the other: a byte that tells what the
/// cell is, then its content, numbers in little-endian order.
///
/// | byte | cell | content |
/// |---|---|---|
/// | 0 | null | |
/// | 1 | a number that is integral and fits: booleans too, and floats | `i64` |
/// | 2 | text | its length in bytes as `u64`, then its UTF-8 |
/// | 3 | NaN | |
/// | 4 | any other float | its bits as `u64` |
///
/// That is fixed for ever: digests are compared between nodes of different versions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Digest(u64);

impl Digest {
    /// The digest of one row.
    pub fn of(row: &[Value]) -> Self {
        Self::with(row, &mut Vec::new())
    }

    /// [`Digest::of`] with a buffer to reuse.
    pub fn with(row: &[Value], buffer: &mut Vec<u8>) -> Self {
        buffer.clear();
        encode(row.iter().map(Cell::from), buffer);
        Self::of_encoded(buffer)
    }

    /// The digest of a row that was [`encode`]d.
    pub(crate) fn of_encoded(row: &[u8]) -> Self {
        Self(xxh3_64(row))
    }

    /// The digest as a number, for messages.
    pub fn to_bits(self) -> u64 {
        self.0
    }

    /// What [`Digest::to_bits`] gave.
    pub fn from_bits(bits: u64) -> Self {
        Self(bits)
    }

    /// Counts a row in.
    pub fn add(&mut self, row: Self) {
        self.0 = self.0.wrapping_add(row.0);
    }

    /// Counts a row out.
    pub fn remove(&mut self, row: Self) {
        self.0 = self.0.wrapping_sub(row.0);
    }
}

/// Puts a row's cells behind one another, as the table above says. Rows are equal if and only if
/// their encodings are.
pub(crate) fn encode<'a>(row: impl Iterator<Item = Cell<'a>>, to: &mut Vec<u8>) {
    for cell in row {
        let (tag, content) = match (cell.integral(), cell) {
            (Some(integral), _) => (1, integral.to_le_bytes()),
            (None, Cell::Text(text)) => (2, (text.len() as u64).to_le_bytes()),
            (None, Cell::Float(float)) if !float.is_nan() => (4, float.to_bits().to_le_bytes()),
            (None, Cell::Null) => {
                to.push(0);
                continue;
            }
            (None, _) => {
                to.push(3);
                continue;
            }
        };
        let mut head = [tag; 9];
        head[1..].copy_from_slice(&content);
        to.extend_from_slice(&head);
        if let Cell::Text(text) = cell {
            to.extend_from_slice(text.as_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_fixed_for_ever() {
        let row = [
            Value::Null,
            Value::Bool(true),
            Value::Int(-2),
            Value::Float(3.5),
            Value::Float(f64::NAN),
            Value::text("ü"),
        ];
        let mut bytes = vec![0];
        bytes.extend([1, 1, 0, 0, 0, 0, 0, 0, 0]);
        bytes.extend([1, 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff]);
        bytes.extend([4, 0, 0, 0, 0, 0, 0, 0x0c, 0x40]);
        bytes.push(3);
        bytes.extend([2, 2, 0, 0, 0, 0, 0, 0, 0, 0xc3, 0xbc]);
        let mut encoded = Vec::new();
        encode(row.iter().map(Cell::from), &mut encoded);
        assert_eq!(encoded, bytes);
        // The reference implementation's value for no input.
        assert_eq!(Digest::of(&[]), Digest(0x2d06_8005_38d3_94c2));
    }

    #[test]
    fn equal_rows_have_equal_digests() {
        let of = |value: Value| Digest::of(&[value]);
        assert_eq!(of(Value::Int(1)), of(Value::Float(1.0)));
        assert_eq!(of(Value::Int(1)), of(Value::Bool(true)));
        assert_eq!(of(Value::Float(f64::NAN)), of(Value::Float(-f64::NAN)));
        assert_ne!(of(Value::Int(1)), of(Value::text("1")));
        assert_ne!(
            Digest::of(&[Value::text("ab"), Value::text("")]),
            Digest::of(&[Value::text("a"), Value::text("b")])
        );
    }
}
