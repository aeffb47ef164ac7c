//! Identifiers of nested objects: the same content gives the same id, in any driver, for ever.
//!
//! An id is the MD5 of a canonical JSON text. MD5 is an identifier here, not security; policies
//! and stored rows of the original system contain such ids.

use md5::{Digest, Md5};

use crate::Value;
use crate::pytext::{repr_float, repr_str};

/// The id of a row or of a list of values; their order does not matter.
pub fn of_values<'a>(values: impl IntoIterator<Item = &'a Value>) -> String {
    let mut entries: Vec<(String, String)> =
        values.into_iter().map(|value| (sort_key(value), json(value))).collect();
    digest(&mut entries)
}

/// The id of a mapping; the order of its pairs does not matter.
pub fn of_pairs<'a>(pairs: impl IntoIterator<Item = (&'a Value, &'a Value)>) -> String {
    let mut entries: Vec<(String, String)> = pairs
        .into_iter()
        .map(|(key, value)| {
            let sort = format!("<class 'tuple'>({}, {})", repr(key), repr(value));
            (sort, format!("[{}, {}]", json(key), json(value)))
        })
        .collect();
    digest(&mut entries)
}

/// A name-based UUID (version 3, RFC 9562): the same name in the same namespace is the same UUID.
pub fn uuid3(namespace: [u8; 16], name: &str) -> [u8; 16] {
    let mut uuid: [u8; 16] =
        Md5::new().chain_update(namespace).chain_update(name).finalize().into();
    uuid[6] = (uuid[6] & 0x0f) | 0x30;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    uuid
}

/// A UUID's text.
pub fn uuid_text(uuid: [u8; 16]) -> String {
    let hex: String = uuid.iter().map(|byte| format!("{byte:02x}")).collect();
    let part = |range: std::ops::Range<usize>| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// The namespace of names that are URLs.
pub const NAMESPACE_URL: [u8; 16] = [
    0x6b, 0xa7, 0xb8, 0x11, 0x9d, 0xad, 0x11, 0xd1, 0x80, 0xb4, 0x00, 0xc0, 0x4f, 0xd4, 0x30, 0xc8,
];

fn digest(entries: &mut [(String, String)]) -> String {
    entries.sort();
    let texts: Vec<&str> = entries.iter().map(|(_, json)| json.as_str()).collect();
    let digest = Md5::digest(format!("[{}]", texts.join(", ")));
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The type's name and the value's text, so that values of several types have an order.
fn sort_key(value: &Value) -> String {
    let class = match value {
        Value::Null => "NoneType",
        Value::Boolean(_) => "bool",
        Value::Integer(_) => "int",
        Value::Float(_) => "float",
        Value::Text(_) => "str",
    };
    format!("<class '{class}'>{}", repr(value))
}

fn repr(value: &Value) -> String {
    match value {
        Value::Null => "None".into(),
        Value::Boolean(true) => "True".into(),
        Value::Boolean(false) => "False".into(),
        Value::Integer(i) => i.to_string(),
        Value::Float(f) => repr_float(*f),
        Value::Text(text) => repr_str(text),
    }
}

fn json(value: &Value) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Boolean(b) => b.to_string(),
        Value::Integer(i) => i.to_string(),
        Value::Float(f) if f.is_nan() => "NaN".into(),
        Value::Float(f) if f.is_infinite() => {
            if *f > 0.0 {
                "Infinity".into()
            } else {
                "-Infinity".into()
            }
        }
        Value::Float(f) => repr_float(*f),
        Value::Text(text) => json_text(text),
    }
}

/// A JSON string of ASCII characters only.
fn json_text(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            ' '..='~' => out.push(c),
            c => {
                let mut units = [0; 2];
                for unit in c.encode_utf16(&mut units) {
                    out.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_uuids() {
        let uuid = uuid3(NAMESPACE_URL, "http://www.example.com/");
        assert_eq!(uuid_text(uuid), "556cf76b-3b36-3ae6-85f9-50424b369b50");
    }

    #[test]
    fn values_in_any_order_have_one_id() {
        let id = "affeb73edec8e2a3406f123a84799382";
        let mut values: Vec<Value> =
            vec![true.into(), 1.into(), 1.0.into(), Value::Null, "x".into()];
        assert_eq!(of_values(&values), id);
        values.reverse();
        assert_eq!(of_values(&values), id);
        assert_eq!(of_values(&[]), "d751713988987e9331980363e24189ce");
    }

    #[test]
    fn texts_are_escaped_to_ascii() {
        let values: Vec<Value> = vec!["é".into(), "\"".into(), "\n".into()];
        assert_eq!(of_values(&values), "a24c7f93152561903e76d1f80ffb0fec");
        assert_eq!(json_text("\u{7f}😀\u{c}"), "\"\\u007f\\ud83d\\ude00\\f\"");
    }

    #[test]
    fn pairs_are_lists_of_two() {
        let (k, v, a): (Value, Value, Value) = ("k".into(), "v".into(), "a".into());
        let id = of_pairs([(&k, &v), (&a, &Value::Integer(1))]);
        assert_eq!(id, "8de9c1b5839aa6c80143fd722a61dd5b");
    }
}
