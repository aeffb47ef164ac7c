//! Checks of configuration values. What they give is empty if the value is fine, else a sentence
//! that says what is wrong with it; some of the sentences are those of Python.

use std::cmp::Ordering;

use num_bigint::BigInt;

use super::numbers::{compare, number, parse_float, parse_int, truncate};
use super::pattern::compiled;
use super::text::{plain, quoted};
use super::{MAX_TEXT_BYTES, Result};
use crate::ast::Constant;

/// `validate_int(min, max, value)`
pub(super) fn int([min, max, value]: &[Constant; 3]) -> Result<Constant> {
    Ok(verdict(check_int(min, max, value)))
}

/// `validate_float(min, max, value)`
pub(super) fn float([min, max, value]: &[Constant; 3]) -> Result<Constant> {
    Ok(verdict(check_float(min, max, value)))
}

/// `validate_string(regex, max_length, quotes, ignore_case, value)`
pub(super) fn string(inputs: &[Constant; 5]) -> Result<Constant> {
    let [pattern, max_length, quotes, ignore_case, value] = inputs;
    let regex = match pattern {
        Constant::Text(pattern) if pattern.is_empty() => None,
        Constant::Text(pattern) => Some((pattern, compiled(pattern, is_true(ignore_case))?)),
        _ => return Err("a regular expression is a text".into()),
    };
    let max_length = match max_length {
        Constant::Text(text) if text.is_empty() => BigInt::ZERO,
        Constant::Text(_) => return Err("a maximum length is a number".into()),
        Constant::Float(float) => truncate(*float)?,
        Constant::Int(int) => int.clone(),
    };
    let text = plain(value);
    if text.len() > MAX_TEXT_BYTES {
        return Err("the text is too long".into());
    }
    let mut checked = text.as_str();
    if is_true(quotes)
        && let Some(quote) = checked.chars().next().filter(|c| matches!(c, '"' | '\''))
    {
        if !checked.ends_with(quote) {
            return Ok(verdict(Err(format!("Non-closed quote: {checked}"))));
        }
        checked = checked.get(1..checked.len() - 1).unwrap_or_default();
    }
    if max_length > BigInt::ZERO && BigInt::from(checked.chars().count()) > max_length {
        let problem = format!("Value '{checked}' exceeds maximum length {max_length}");
        return Ok(verdict(Err(problem)));
    }
    Ok(verdict(match regex {
        Some((pattern, regex)) if !regex.is_match(checked) => {
            Err(format!("Value {} doesn't match regex {}", quoted(checked), quoted(pattern)))
        }
        _ => Ok(()),
    }))
}

/// What is wrong with a value.
type Checked = std::result::Result<(), String>;

fn verdict(checked: Checked) -> Constant {
    Constant::Text(checked.err().unwrap_or_default().into())
}

fn check_int(min: &Constant, max: &Constant, value: &Constant) -> Checked {
    check_bounds(min, max)?;
    let value = match value {
        Constant::Int(value) => value.clone(),
        Constant::Float(value) if value.is_nan() => {
            return Err("cannot convert float NaN to integer".to_owned());
        }
        Constant::Float(value) => {
            truncate(*value).map_err(|_| "cannot convert float infinity to integer".to_owned())?
        }
        Constant::Text(text) if text.trim().is_empty() => return Ok(()),
        Constant::Text(text) => parse_int(text).map_err(|_| {
            format!("invalid literal for int() with base 10: {}", quoted(text.trim()))
        })?,
    };
    check_range(min, max, &Constant::Int(value))
}

fn check_float(min: &Constant, max: &Constant, value: &Constant) -> Checked {
    check_bounds(min, max)?;
    let value = match value {
        Constant::Text(text) if text.trim().is_empty() => return Ok(()),
        Constant::Text(text) => parse_float(text)
            .map_err(|_| format!("could not convert string to float: {}", quoted(text.trim())))?,
        value => number(value).map_err(|_| "int too large to convert to float".to_owned())?,
    };
    check_range(min, max, &Constant::Float(value))
}

fn check_bounds(min: &Constant, max: &Constant) -> Checked {
    if !is_open(min) && !is_open(max) && holds(max, '<', min)? {
        return Err("Max value is less than min value".to_owned());
    }
    Ok(())
}

fn check_range(min: &Constant, max: &Constant, value: &Constant) -> Checked {
    if !is_open(min) && holds(value, '<', min)? {
        return Err(format!("Should be greater than or equal to {}", plain(min)));
    }
    if !is_open(max) && holds(value, '>', max)? {
        return Err(format!("Should be less than or equal to {}", plain(max)));
    }
    Ok(())
}

/// Whether a bound is none.
fn is_open(bound: &Constant) -> bool {
    matches!(bound, Constant::Text(text) if text.is_empty())
}

fn holds(left: &Constant, operator: char, right: &Constant) -> std::result::Result<bool, String> {
    let wanted = if operator == '<' { Ordering::Less } else { Ordering::Greater };
    compare(left, right).map(|order| order == Some(wanted)).map_err(|_| {
        let (left, right) = (type_name(left), type_name(right));
        format!("'{operator}' not supported between instances of '{left}' and '{right}'")
    })
}

fn type_name(value: &Constant) -> &'static str {
    match value {
        Constant::Int(_) => "int",
        Constant::Float(_) => "float",
        Constant::Text(_) => "str",
    }
}

fn is_true(value: &Constant) -> bool {
    match value {
        Constant::Int(value) => *value != BigInt::ZERO,
        Constant::Float(value) => *value != 0.0,
        Constant::Text(text) => !text.is_empty(),
    }
}
