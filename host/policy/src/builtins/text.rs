//! Texts: their length, their parts, and values as text.

use num_bigint::BigInt;

use super::pattern::compiled;
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

/// `prefix(text, prefix)`
pub(super) fn prefix([text, prefix]: &[Constant; 2]) -> Result<bool> {
    Ok(str_of(text)?.starts_with(str_of(prefix)?))
}

/// `suffix(text, suffix)`
pub(super) fn suffix([text, suffix]: &[Constant; 2]) -> Result<bool> {
    Ok(str_of(text)?.ends_with(str_of(suffix)?))
}

/// `contains(text, part)`
pub(super) fn contains([text, part]: &[Constant; 2]) -> Result<bool> {
    Ok(str_of(text)?.contains(str_of(part)?))
}

/// `matches(text, regex)`: the regular expression is searched for anywhere.
pub(super) fn matches([text, regex]: &[Constant; 2]) -> Result<bool> {
    let text = str_of(text)?;
    if text.len() > MAX_TEXT_BYTES {
        return Err("the text is too long".into());
    }
    Ok(compiled(str_of(regex)?, false)?.is_match(text))
}

/// `lower(text)`
pub(super) fn lower([text]: &[Constant; 1]) -> Result<Constant> {
    recased(text, str::to_lowercase)
}

/// `upper(text)`
pub(super) fn upper([text]: &[Constant; 1]) -> Result<Constant> {
    recased(text, str::to_uppercase)
}

fn recased(text: &Constant, change: fn(&str) -> String) -> Result<Constant> {
    let text = str_of(text)?;
    if text.len() > MAX_TEXT_BYTES {
        return Err("the text is too long".into());
    }
    // A few letters have a longer counterpart.
    let changed = change(text);
    if changed.len() > MAX_TEXT_BYTES {
        return Err(too_long());
    }
    Ok(Constant::Text(changed.into()))
}

/// `split(text, separator, index)`: the part of that index, from 0, between separators.
pub(super) fn split([text, separator, index]: &[Constant; 3]) -> Result<Constant> {
    let (text, separator) = (str_of(text)?, str_of(separator)?);
    if separator.is_empty() {
        return Err("the separator is empty".into());
    }
    let Constant::Int(index) = index else {
        return Err("an index is a whole number".into());
    };
    let part = usize::try_from(index).ok().and_then(|index| text.split(separator).nth(index));
    part.map(|part| Constant::Text(part.into())).ok_or_else(|| "there is no such part".into())
}

fn str_of(value: &Constant) -> Result<&str> {
    match value {
        Constant::Text(text) => Ok(text),
        _ => Err("a number is not a text".into()),
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
