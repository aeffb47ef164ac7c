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

/// A row that a client names: a JSON array with a number or text for each column, or null where it
/// does not say. Whole numbers keep all their digits; booleans are the texts that policies see.
pub fn row_of(text: &str) -> Result<Vec<Option<Constant>>, String> {
    let cells: Vec<&RawValue> = serde_json::from_str(text)
        .map_err(|error| format!("a row is a JSON array, such as [\"a\", 1]: {error}"))?;
    let cell = |cell: &RawValue| {
        let text = cell.get();
        match text.as_bytes().first() {
            Some(b'n') => Ok(None),
            Some(b't') => Ok(Some(Constant::Text("True".into()))),
            Some(b'f') => Ok(Some(Constant::Text("False".into()))),
            Some(b'"') => serde_json::from_str::<String>(text)
                .map(|text| Some(Constant::Text(text.into())))
                .map_err(|error| error.to_string()),
            Some(b'-' | b'0'..=b'9') if text.len() > MAX_DIGITS => {
                Err(format!("a number may have {MAX_DIGITS} digits at most"))
            }
            Some(b'-' | b'0'..=b'9') => match text.parse() {
                Ok(int) => Ok(Some(Constant::Int(int))),
                Err(_) => text
                    .parse()
                    .map(|float| Some(Constant::Float(float)))
                    .map_err(|_| format!("{text} is no number")),
            },
            _ => Err("a cell of a row is a number or a text".to_owned()),
        }
    };
    cells.into_iter().map(cell).collect()
}

/// Long numbers are expensive to read.
const MAX_DIGITS: usize = 1000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_that_clients_name() {
        let row = row_of(r#"["a\n", 12345678901234567890123, 1.0, null, true, -3]"#).unwrap();
        let texts: Vec<_> = row
            .iter()
            .map(|cell| {
                cell.as_ref().map(|cell| serde_json::to_string(&Cell(cell.clone())).unwrap())
            })
            .collect();
        let texts: Vec<_> = texts.iter().map(Option::as_deref).collect();
        assert_eq!(
            texts,
            [
                Some("\"a\\n\""),
                Some("12345678901234567890123"),
                Some("1.0"),
                None,
                Some("\"True\""),
                Some("-3")
            ]
        );
        assert!(row_of("[]").unwrap().is_empty());
        let long = format!("[{}]", "1".repeat(MAX_DIGITS + 1));
        for bad in ["", "7", "{}", "[1", "[[1]]", "[{}]", "[1e]", &long] {
            assert!(row_of(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_keep_their_kind_and_digits() {
        let cells = ["1", "12345678901234567890123"]
            .map(|digits| Cell(Constant::Int(digits.parse().unwrap())));
        assert_eq!(serde_json::to_string(&cells).unwrap(), "[1,12345678901234567890123]");
        assert_eq!(serde_json::to_string(&Cell(Constant::Float(1.0))).unwrap(), "1.0");
        assert_eq!(serde_json::to_string(&Cell(Constant::Float(f64::NAN))).unwrap(), r#""nan""#);
    }
}
