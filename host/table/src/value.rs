//! One cell.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use smol_str::SmolStr;

use crate::Cell;

/// One cell of a datasource's row.
///
/// Equality is that of the tables datasources have always published (Python's): the integer 1,
/// the float 1.0 and `true` are one and the same element of a set, and the spelling that came
/// first stays. NaN equals NaN here, so that a set cannot fill with it.
///
/// Policies see values through [`Value::for_policy`]: they know no booleans and no null.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Value {
    /// No value.
    Null,
    /// True or false.
    Bool(bool),
    /// A 64-bit integer.
    Int(i64),
    /// A double.
    Float(f64),
    /// Text, any Unicode. Up to 23 bytes stand in the cell itself; what is longer is shared by
    /// the cell's clones.
    Text(SmolStr),
}

impl Value {
    /// A text value.
    pub fn text(text: impl Into<SmolStr>) -> Self {
        Self::Text(text.into())
    }

    /// The value as policies and the rows API see it: null and booleans are the texts `None`,
    /// `True` and `False`, everything else is unchanged.
    pub fn for_policy(&self) -> Self {
        match self {
            Self::Null => Self::text("None"),
            Self::Bool(true) => Self::text("True"),
            Self::Bool(false) => Self::text("False"),
            other => other.clone(),
        }
    }

    /// A canonical integer for numbers that are integral and fit, so that equal numbers hash
    /// alike whatever their type.
    pub(crate) fn integral(&self) -> Option<i64> {
        Cell::from(self).integral()
    }
}

impl PartialEq for Value {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Null, Self::Null) => true,
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Text(_) | Self::Null, _) | (_, Self::Text(_) | Self::Null) => false,
            _ => match (self.integral(), other.integral()) {
                (Some(a), Some(b)) => a == b,
                (None, None) => match (self, other) {
                    (Self::Float(a), Self::Float(b)) => a == b || (a.is_nan() && b.is_nan()),
                    _ => false,
                },
                _ => false,
            },
        }
    }
}

impl Eq for Value {}

impl Hash for Value {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Null => 0u8.hash(state),
            Self::Text(text) => {
                2u8.hash(state);
                text.hash(state);
            }
            number => match (number.integral(), number) {
                (Some(i), _) => {
                    1u8.hash(state);
                    i.hash(state);
                }
                (None, Self::Float(f)) if f.is_nan() => 3u8.hash(state),
                (None, Self::Float(f)) => {
                    4u8.hash(state);
                    f.to_bits().hash(state);
                }
                (None, _) => {}
            },
        }
    }
}

impl Ord for Value {
    /// Null, then numbers by size, then text by code point. Consistent with equality.
    fn cmp(&self, other: &Self) -> Ordering {
        fn rank(value: &Value) -> u8 {
            match value {
                Value::Null => 0,
                Value::Bool(_) | Value::Int(_) | Value::Float(_) => 1,
                Value::Text(_) => 2,
            }
        }
        if self == other {
            return Ordering::Equal;
        }
        match (self, other) {
            (Self::Text(a), Self::Text(b)) => a.cmp(b),
            _ => rank(self).cmp(&rank(other)).then_with(|| {
                match (self.integral(), other.integral()) {
                    (Some(a), Some(b)) => a.cmp(&b),
                    (a, b) => float_of(self, a).total_cmp(&float_of(other, b)),
                }
            }),
        }
    }
}

fn float_of(value: &Value, integral: Option<i64>) -> f64 {
    match (value, integral) {
        (Value::Float(f), _) => *f,
        (_, Some(i)) => i as f64,
        _ => 0.0,
    }
}

impl PartialOrd for Value {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl fmt::Display for Value {
    /// For tables on a terminal: text as it is, null as `None`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => f.write_str("None"),
            Self::Bool(true) => f.write_str("True"),
            Self::Bool(false) => f.write_str("False"),
            Self::Int(i) => write!(f, "{i}"),
            Self::Float(x) => write!(f, "{x:?}"),
            Self::Text(text) => f.write_str(text),
        }
    }
}

impl From<i64> for Value {
    fn from(i: i64) -> Self {
        Self::Int(i)
    }
}

impl From<f64> for Value {
    fn from(x: f64) -> Self {
        Self::Float(x)
    }
}

impl From<bool> for Value {
    fn from(b: bool) -> Self {
        Self::Bool(b)
    }
}

impl From<&str> for Value {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn one_and_one_point_zero_and_true_are_one_element() {
        let mut set = HashSet::new();
        assert!(set.insert(Value::Int(1)));
        assert!(!set.insert(Value::Float(1.0)));
        assert!(!set.insert(Value::Bool(true)));
        assert!(set.insert(Value::text("1")));
        assert!(set.insert(Value::Float(1.5)));
        assert!(set.insert(Value::Float(f64::NAN)));
        assert!(!set.insert(Value::Float(f64::NAN)));
        assert!(matches!(set.get(&Value::Float(1.0)), Some(Value::Int(1))));
    }

    #[test]
    fn large_numbers_keep_apart() {
        assert_ne!(Value::Int(i64::MAX), Value::Float(2f64.powi(63)));
        assert_eq!(Value::Int(i64::MIN), Value::Float(-(2f64.powi(63))));
        assert_eq!(Value::Float(0.0), Value::Float(-0.0));
    }

    #[test]
    fn order_agrees_with_equality() {
        let values = [
            Value::Null,
            Value::Float(f64::NEG_INFINITY),
            Value::Int(-1),
            Value::Bool(false),
            Value::Float(0.5),
            Value::Int(1),
            Value::Float(2f64.powi(70)),
            Value::text("a"),
            Value::text("b"),
        ];
        for (i, a) in values.iter().enumerate() {
            for (j, b) in values.iter().enumerate() {
                assert_eq!(a.cmp(b), i.cmp(&j), "{a:?} {b:?}");
            }
        }
    }

    #[test]
    fn policies_see_text_for_null_and_booleans() {
        assert_eq!(Value::Null.for_policy(), Value::text("None"));
        assert_eq!(Value::Bool(true).for_policy(), Value::text("True"));
        assert_eq!(Value::Int(3).for_policy(), Value::Int(3));
    }

    #[test]
    fn short_texts_need_no_more_room_than_numbers() {
        assert_eq!(size_of::<Value>(), 24);
        let short = Value::text("a name of 23 characters");
        assert!(
            matches!(&short, Value::Text(text) if text.len() == 23 && !text.is_heap_allocated())
        );
    }
}
