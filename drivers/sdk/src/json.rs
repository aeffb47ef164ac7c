//! From JSON to cells.
//!
//! Numbers keep their kind (`1` is an integer, `1.0` a float) and their digits, which is why the
//! workspace builds `serde_json` with `arbitrary_precision`.

use serde_json::{Number, Value as Json};

use crate::{Value, pytext};

/// The mark that some programs put before UTF-8. It is no part of JSON.
pub const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// Reads JSON text, with or without a byte order mark.
pub fn parse(text: &[u8]) -> serde_json::Result<Json> {
    serde_json::from_slice(text.strip_prefix(BYTE_ORDER_MARK).unwrap_or(text))
}

/// A number as a cell. An integer beyond 64 bits becomes text: a rounded one could equal another.
pub fn number(number: &Number) -> Value {
    let digits = number.as_str();
    if !is_integer(digits) {
        // Only infinity is out of reach of `f64`, and `parse` gives it.
        return digits.parse().map_or_else(|_| Value::Text(digits.into()), Value::Float);
    }
    digits.parse().map_or_else(|_| Value::Text(digits.into()), Value::Integer)
}

/// Whether the JSON spelling of a number is that of an integer.
pub(crate) fn is_integer(digits: &str) -> bool {
    !digits.contains(['.', 'e', 'E'])
}

/// A JSON value as a cell. Lists and objects become text, in the form that policies have always
/// seen (see [`pytext`]).
pub fn cell(json: &Json) -> Value {
    match json {
        Json::Null => Value::Null,
        Json::Bool(b) => Value::Boolean(*b),
        Json::Number(n) => number(n),
        Json::String(text) => Value::Text(text.clone()),
        Json::Array(_) | Json::Object(_) => Value::Text(pytext::text(json)),
    }
}

/// The elements of a list; none of what is no list.
pub fn elements(json: &Json) -> &[Json] {
    json.as_array().map_or(&[], Vec::as_slice)
}

/// An object with one member more, or another one. What is no object counts as an empty one.
pub fn with(object: &Json, member: &str, value: Json) -> Json {
    let mut members = object.as_object().cloned().unwrap_or_default();
    members.insert(member.to_owned(), value);
    Json::Object(members)
}

/// What kind of JSON value it is, for messages.
pub fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "null",
        Json::Bool(_) => "a boolean",
        Json::Number(_) => "a number",
        Json::String(_) => "a text",
        Json::Array(_) => "a list",
        Json::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Value {
        cell(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        assert_eq!(parse(b"\xef\xbb\xbf{\"a\": 1}").unwrap()["a"], 1);
        assert_eq!(parse(b"[2]").unwrap()[0], 2);
        assert!(parse(b"\xef\xbb\xbf").is_err());
    }

    #[test]
    fn numbers_keep_kind_and_digits() {
        assert_eq!(of("1"), Value::Integer(1));
        assert_eq!(of("1.0"), Value::Float(1.0));
        assert_eq!(of("1e2"), Value::Float(100.0));
        assert_eq!(of("-0"), Value::Integer(0));
        assert_eq!(of("9007199254740993"), Value::Integer(9_007_199_254_740_993));
        assert_eq!(of("9223372036854775808"), "9223372036854775808".into());
        assert_eq!(of("1e999"), Value::Float(f64::INFINITY));
    }

    #[test]
    fn objects_and_lists_that_are_none_count_as_empty() {
        let object: Json = serde_json::json!({"a": 1, "b": 2});
        assert_eq!(with(&object, "b", 3.into()), serde_json::json!({"a": 1, "b": 3}));
        assert_eq!(with(&Json::Null, "b", 3.into()), serde_json::json!({"b": 3}));
        assert_eq!(elements(&serde_json::json!([1, 2])).len(), 2);
        assert!(elements(&object).is_empty());
    }

    #[test]
    fn structures_become_text() {
        assert_eq!(of(r#"{"b": [1, null], "a": "x"}"#), "{'b': [1, None], 'a': 'x'}".into());
        assert_eq!(of(r#""text""#), "text".into());
    }
}
