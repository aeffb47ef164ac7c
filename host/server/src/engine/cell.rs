//! Values of policies as JSON.

use congress_policy::ast::Constant;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// One cell of a row. Serialises as a JSON number or string; whole numbers keep all their digits.
#[derive(Clone, Debug, PartialEq)]
pub struct Cell(pub Constant);

impl Serialize for Cell {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match &self.0 {
            Constant::Text(text) => serializer.serialize_str(text),
            // JSON has no words for these: the names that Python gives them, as texts.
            Constant::Float(x) if x.is_nan() => serializer.serialize_str("nan"),
            Constant::Float(x) if x.is_infinite() => {
                serializer.serialize_str(if *x > 0.0 { "inf" } else { "-inf" })
            }
            Constant::Float(x) => serializer.serialize_f64(*x),
            Constant::Int(i) => match i64::try_from(i) {
                Ok(small) => serializer.serialize_i64(small),
                Err(_) => RawValue::from_string(i.to_string())
                    .map_err(serde::ser::Error::custom)?
                    .serialize(serializer),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_kind_and_digits() {
        let cells = ["1", "12345678901234567890123"]
            .map(|digits| Cell(Constant::Int(digits.parse().unwrap())));
        assert_eq!(serde_json::to_string(&cells).unwrap(), "[1,12345678901234567890123]");
        assert_eq!(serde_json::to_string(&Cell(Constant::Float(1.0))).unwrap(), "1.0");
        assert_eq!(serde_json::to_string(&Cell(Constant::Float(f64::NAN))).unwrap(), r#""nan""#);
    }
}
