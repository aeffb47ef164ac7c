//! Bodies that are written as text: JSON, or else YAML, with the plain scalars of YAML 1.1 (`yes`,
//! `off`), which is what policies for the original are written in.

use congress_driver::pytext;
use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value as Json};

/// How deep lists and mappings may be nested.
const MAX_DEPTH: usize = 64;

/// Reads one document. The error says what is wrong, in words. Aliases are refused: a short text
/// could unfold to any size.
pub(crate) fn parse(text: &str) -> Result<Json, String> {
    if let Ok(json) = serde_json::from_str(text) {
        return Ok(json);
    }
    let mut open: Vec<Open> = Vec::new();
    let mut document = None;
    for event in Parser::new_from_str(text) {
        let (event, _) = event.map_err(|error| error.to_string())?;
        let value = match event {
            Event::Scalar(text, ScalarStyle::Plain, _, None) => plain_scalar(&text),
            Event::Scalar(text, ..) => Json::String(text.into_owned()),
            Event::SequenceStart(..) | Event::MappingStart(..) if open.len() == MAX_DEPTH => {
                return Err(format!("it is nested deeper than {MAX_DEPTH}"));
            }
            Event::SequenceStart(..) => {
                open.push(Open::List(Vec::new()));
                continue;
            }
            Event::MappingStart(..) => {
                open.push(Open::Mapping(Map::new(), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some(Open::List(items)) => Json::Array(items),
                Some(Open::Mapping(members, _)) => Json::Object(members),
                None => continue, // the parser pairs them
            },
            Event::Alias(_) => return Err("aliases are not taken".into()),
            _ => continue,
        };
        match open.last_mut() {
            Some(Open::List(items)) => items.push(value),
            Some(Open::Mapping(members, key)) => match key.take() {
                Some(key) => drop(members.insert(key, value)),
                None => *key = Some(pytext::text(&value)),
            },
            None if document.is_some() => return Err("it holds more than one document".into()),
            None => document = Some(value),
        }
    }
    document.ok_or_else(|| "it is empty".into())
}

/// A list or mapping whose end has not come; a mapping perhaps with a key that waits for its value.
enum Open {
    List(Vec<Json>),
    Mapping(Map<String, Json>, Option<String>),
}

/// Text without quotes: null, a boolean, a number, or just text.
fn plain_scalar(text: &str) -> Json {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Json::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => {
            return true.into();
        }
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => {
            return false.into();
        }
        _ => {}
    }
    // What JSON takes for a number is one; it keeps its digits.
    match text.strip_prefix('+').unwrap_or(text).parse::<Number>() {
        Ok(number) => Json::Number(number),
        Err(_) => Json::String(text.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn texts_become_json() {
        for (text, expected) in [
            (r#"{"a": [1, 1.0]}"#, json!({"a": [1, 1.0]})),
            ("network: {name: n1, mtu: 1450}", json!({"network": {"name": "n1", "mtu": 1450}})),
            ("a:\n  - yes\n  - 'yes'\n  - ~\n  - +1.5\n", json!({"a": [true, "yes", null, 1.5]})),
            (
                "router:\n  external_gateway_info:\n",
                json!({"router": {"external_gateway_info": null}}),
            ),
            ("text: |\n  x\n  y\n", json!({"text": "x\ny\n"})),
            ("4: fa:16:3e:00:00:01", json!({"4": "fa:16:3e:00:00:01"})),
            ("just text", json!("just text")),
        ] {
            assert_eq!(parse(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn what_is_neither_is_refused() {
        for text in ["{unclosed", "a: &x 1\nb: *x", "--- 1\n--- 2", "", &"[".repeat(100_000)] {
            assert!(parse(text).is_err(), "{}", &text[..text.len().min(20)]);
        }
    }
}
