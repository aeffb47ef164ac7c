//! Texts: their length, and values as text.

use num_bigint::BigInt;

use super::{BuiltinError, MAX_TEXT_BYTES, Result};
use crate::ast::Constant;
use crate::print::FloatText;

/// The number of code points of a text.
pub(super) fn len([value]: &[Constant; 1]) -> Result<Constant> {
    match value {
        Constant::Text(text) => Ok(Constant::Int(BigInt::from(text.chars().count()))),
        _ => Err("a number has no length".into()),
    }
}

/// `left`, then `right`.
pub(super) fn concat(left: &str, right: &str) -> Result<Constant> {
    if left.len() + right.len() > MAX_TEXT_BYTES {
        return Err(too_long());
    }
    Ok(Constant::Text([left, right].concat().into()))
}

/// `text`, `count` times; nothing if `count` is negative.
pub(super) fn repeat(text: &str, count: &BigInt) -> Result<Constant> {
    if text.is_empty() || *count <= BigInt::ZERO {
        return Ok(Constant::Text("".into()));
    }
    match usize::try_from(count) {
        Ok(count) if count <= MAX_TEXT_BYTES / text.len() => {
            Ok(Constant::Text(text.repeat(count).into()))
        }
        _ => Err(too_long()),
    }
}

/// A value as it reads inside a text: as in an answer, and without quotes.
pub(super) fn plain(value: &Constant) -> String {
    match value {
        Constant::Int(value) => value.to_string(),
        Constant::Float(value) => FloatText(*value).to_string(),
        Constant::Text(text) => text.to_string(),
    }
}

/// A text as the recorded messages quote one: in single quotes, or in double quotes if it holds
/// single ones only.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push(quote);
    for c in text.chars() {
        match c {
            '\\' => quoted.push_str("\\\\"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            c if c == quote => {
                quoted.push('\\');
                quoted.push(c);
            }
            c => quoted.push(c),
        }
    }
    quoted.push(quote);
    quoted
}

fn too_long() -> BuiltinError {
    format!("the text would be longer than {MAX_TEXT_BYTES} bytes").into()
}
