//! How the recorded behaviour writes scenarios and values.

use std::path::Path;

use congress_policy::ast::Constant;
use congress_policy::print::FloatText;
use serde_json::{Value, json};

/// A file of recorded cases.
pub(crate) fn read(file: &Path) -> Value {
    serde_json::from_str(&with_large_integers(&std::fs::read_to_string(file).unwrap())).unwrap()
}

/// The scenarios of a topic.
pub(crate) fn scenarios(topic: &Value) -> &[Value] {
    topic["scenarios"].as_array().unwrap()
}

/// A value as JSON.
pub(crate) fn json(constant: &Constant) -> Value {
    match constant {
        Constant::Int(value) => match i64::try_from(value) {
            Ok(small) => small.into(),
            Err(_) => json!({ "bigint": value.to_string() }),
        },
        Constant::Float(value) if value.is_finite() => (*value).into(),
        Constant::Float(value) => json!({ "float": FloatText(*value).to_string() }),
        Constant::Text(text) => (&**text).into(),
    }
}

/// A value from JSON.
pub(crate) fn constant(json: &Value) -> Constant {
    match json {
        Value::String(text) => Constant::Text(text.as_str().into()),
        Value::Number(number) => match number.as_i64() {
            Some(int) => Constant::Int(int.into()),
            None => Constant::Float(number.as_f64().unwrap()),
        },
        _ if json["bigint"].is_string() => {
            Constant::Int(json["bigint"].as_str().unwrap().parse().unwrap())
        }
        _ => Constant::Float(json["float"].as_str().unwrap().parse().unwrap()),
    }
}

/// Some inputs are integers that JSON may hold and `serde_json` reads as floats. They become what
/// other large integers are: `{"bigint": "…"}`.
fn with_large_integers(text: &str) -> String {
    let mut written = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        written.push_str(&rest[..start]);
        rest = &rest[start..];
        let length = if let Some(string) = rest.strip_prefix('"') {
            let mut is_escaped = false;
            let end = string.find(|c| {
                let ends = c == '"' && !is_escaped;
                is_escaped = c == '\\' && !is_escaped;
                ends
            });
            end.unwrap() + 2
        } else {
            let is_number =
                |c: char| c.is_ascii_digit() || matches!(c, '-' | '+' | '.' | 'e' | 'E');
            rest.find(|c| !is_number(c)).unwrap()
        };
        let (token, after) = rest.split_at(length);
        let is_integer = token.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit());
        if is_integer && token.parse::<i64>().is_err() {
            written.push_str(&json!({ "bigint": token }).to_string());
        } else {
            written.push_str(token);
        }
        rest = after;
    }
    written + rest
}
