//! Quantities, as `500m`, `1.5Gi` and `2e3`: processors, memory, storage.

use serde_json::{Number, Value as Json};

/// A quantity as a float, for processors.
pub(crate) fn cores(json: &Json) -> Json {
    parse(json).and_then(Number::from_f64).map_or_else(|| json.clone(), Json::Number)
}

/// A quantity as a whole number, rounded up, for bytes.
pub(crate) fn bytes(json: &Json) -> Json {
    // From 2^63 on, nothing is a number of bytes.
    parse(json)
        .map(f64::ceil)
        .filter(|bytes| bytes.abs() < 2f64.powi(63))
        .map_or_else(|| json.clone(), |bytes| (bytes as i64).into())
}

/// None for what is no quantity, null included.
fn parse(json: &Json) -> Option<f64> {
    let text = match json {
        Json::String(text) => text.trim(),
        Json::Number(number) => return number.as_f64(),
        _ => return None,
    };
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    // An exponent, as in 2e3, ends with a digit, and 12E is a suffix.
    let factor = match &text[digits.len()..] {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 2f64.powi(10),
        "Mi" => 2f64.powi(20),
        "Gi" => 2f64.powi(30),
        "Ti" => 2f64.powi(40),
        "Pi" => 2f64.powi(50),
        "Ei" => 2f64.powi(60),
        _ => return None,
    };
    let number: f64 = digits.parse().ok()?;
    // Milli by division: 0.1 is nearer to 100/1000 than to 100 × 0.001.
    let value = if factor < 1.0 { number / factor.recip().round() } else { number * factor };
    value.is_finite().then_some(value)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn quantities_become_numbers() {
        for (text, value) in
            [("2", 2.0), ("100m", 0.1), ("1.5", 1.5), ("2e3", 2000.0), ("1k", 1000.0), ("5n", 5e-9)]
        {
            assert_eq!(cores(&json!(text)).as_f64(), Some(value), "{text}");
        }
        for (text, value) in [
            ("128Mi", 134_217_728),
            ("1G", 1_000_000_000),
            ("1.5Gi", 1_610_612_736),
            ("128974848000m", 128_974_848),
            ("0", 0),
        ] {
            assert_eq!(bytes(&json!(text)), json!(value), "{text}");
        }
        assert_eq!(bytes(&json!(4)), json!(4));
    }

    #[test]
    fn what_is_no_quantity_stays() {
        for json in [json!("lots"), json!(""), json!(null), json!("9Ei9"), json!("99Ei"), json!([])]
        {
            assert_eq!(bytes(&json), json);
        }
        assert_eq!(cores(&json!("inf")), json!("inf"));
    }
}
