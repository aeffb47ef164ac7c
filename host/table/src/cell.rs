//! Cells that borrow their texts.

use crate::Value;

/// One cell of a row that need not exist as a [`Row`](crate::Row) yet: it is looked up first, and
/// made only if nobody has it.
#[derive(Clone, Copy, Debug)]
pub enum Cell<'a> {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// Text, any Unicode.
    Text(&'a str),
}

impl Cell<'_> {
    /// A canonical integer for numbers that are integral and fit, so that equal numbers look
    /// alike whatever their type.
    pub(crate) fn integral(self) -> Option<i64> {
        match self {
            Self::Bool(b) => Some(i64::from(b)),
            Self::Int(i) => Some(i),
            Self::Float(f) => {
                let integer = f as i64;
                // 2⁶³ is not an i64, and looks like one after the conversion.
                (integer as f64 == f && f < 2f64.powi(63)).then_some(integer)
            }
            Self::Null | Self::Text(_) => None,
        }
    }

    /// Equality as [`Value`] has it.
    pub(crate) fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Text(a), Value::Text(b)) => *a == **b,
            (Self::Text(_) | Self::Null, _) | (_, Value::Text(_) | Value::Null) => false,
            (number, value) => match (number.integral(), value.integral()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => match (number, value) {
                    (Self::Float(a), Value::Float(b)) => a == *b || (a.is_nan() && b.is_nan()),
                    _ => false,
                },
                _ => false,
            },
        }
    }
}

impl<'a> From<&'a Value> for Cell<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Null => Self::Null,
            Value::Bool(b) => Self::Bool(*b),
            Value::Int(i) => Self::Int(*i),
            Value::Float(x) => Self::Float(*x),
            Value::Text(text) => Self::Text(text),
        }
    }
}

impl From<Cell<'_>> for Value {
    fn from(cell: Cell<'_>) -> Self {
        match cell {
            Cell::Null => Self::Null,
            Cell::Bool(b) => Self::Bool(b),
            Cell::Int(i) => Self::Int(i),
            Cell::Float(x) => Self::Float(x),
            Cell::Text(text) => Self::text(text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_are_what_values_are() {
        let values = [
            Value::Null,
            Value::Bool(true),
            Value::Int(1),
            Value::Float(1.0),
            Value::Float(1.5),
            Value::Float(f64::NAN),
            Value::Float(-0.0),
            Value::Int(0),
            Value::Int(i64::MAX),
            Value::Float(2f64.powi(63)),
            Value::Float(-(2f64.powi(63))),
            Value::Int(i64::MIN),
            Value::Float(f64::INFINITY),
            Value::text("1"),
            Value::text(""),
        ];
        for a in &values {
            assert_eq!(Cell::from(a).integral(), a.integral(), "{a:?}");
            assert_eq!(Value::from(Cell::from(a)), *a);
            for b in &values {
                assert_eq!(Cell::from(a).is(b), a == b, "{a:?} {b:?}");
            }
        }
    }
}
