//! Comparison and arithmetic.
//!
//! Whole numbers are exact whatever their size and mix with floats as in Python: comparisons are
//! exact too, arithmetic converts to float and fails where the number does not fit one.

use std::cmp::Ordering;

use num_bigint::{BigInt, Sign, ToBigInt};
use num_traits::ToPrimitive;

use super::text::{self, quoted};
use super::{BuiltinError, MAX_INTEGER_BITS, MAX_TEXT_BYTES, Result};
use crate::ast::Constant;

/// The most characters of a text that is read as a whole number, which takes quadratic time.
const MAX_DIGITS: usize = 20_000;

/// Two numbers by their value, or two texts by their code points. `None` if one is NaN.
///
/// # Errors
///
/// One is a text and the other a number.
pub fn compare(a: &Constant, b: &Constant) -> std::result::Result<Option<Ordering>, BuiltinError> {
    match (a, b) {
        (Constant::Int(a), Constant::Int(b)) => Ok(Some(a.cmp(b))),
        (Constant::Float(a), Constant::Float(b)) => Ok(a.partial_cmp(b)),
        (Constant::Int(a), Constant::Float(b)) => Ok(compare_with_float(a, *b)),
        (Constant::Float(a), Constant::Int(b)) => {
            Ok(compare_with_float(b, *a).map(Ordering::reverse))
        }
        // UTF-8 sorts as its code points do.
        (Constant::Text(a), Constant::Text(b)) => Ok(Some(a.cmp(b))),
        _ => Err("a text cannot be compared with a number".into()),
    }
}

fn compare_with_float(int: &BigInt, float: f64) -> Option<Ordering> {
    // Up to 2^53 every whole number is a float.
    const EXACT: u64 = 1 << 53;
    if let Some(small) = int.to_i64()
        && small.unsigned_abs() <= EXACT
    {
        return (small as f64).partial_cmp(&float);
    }
    if float.is_nan() {
        return None;
    }
    match float.to_bigint() {
        Some(whole) => Some(int.cmp(&whole).then_with(|| {
            // What the conversion cut off.
            0.0_f64.partial_cmp(&float.fract()).unwrap_or(Ordering::Equal)
        })),
        None if float > 0.0 => Some(Ordering::Less),
        None => Some(Ordering::Greater),
    }
}

/// Whether the order of two values is a wanted one; that of NaN never is.
pub(super) fn ordered([a, b]: &[Constant; 2], wanted: fn(Ordering) -> bool) -> Result<bool> {
    Ok(compare(a, b)?.is_some_and(wanted))
}

/// Whether two values are the same; a text and a number never are.
pub(super) fn equal([a, b]: &[Constant; 2]) -> Result<bool> {
    Ok(compare(a, b).is_ok_and(|order| order == Some(Ordering::Equal)))
}

pub(super) fn max([a, b]: &[Constant; 2]) -> Result<Constant> {
    let second = compare(b, a)? == Some(Ordering::Greater);
    Ok(if second { b.clone() } else { a.clone() })
}

pub(super) fn plus([a, b]: &[Constant; 2]) -> Result<Constant> {
    match (a, b) {
        (Constant::Text(a), Constant::Text(b)) => text::concat(a, b),
        (Constant::Int(a), Constant::Int(b)) => bounded(a + b),
        _ => Ok(Constant::Float(number(a)? + number(b)?)),
    }
}

pub(super) fn minus([a, b]: &[Constant; 2]) -> Result<Constant> {
    match (a, b) {
        (Constant::Int(a), Constant::Int(b)) => bounded(a - b),
        _ => Ok(Constant::Float(number(a)? - number(b)?)),
    }
}

pub(super) fn mul([a, b]: &[Constant; 2]) -> Result<Constant> {
    match (a, b) {
        (Constant::Text(text), Constant::Int(count))
        | (Constant::Int(count), Constant::Text(text)) => text::repeat(text, count),
        (Constant::Int(a), Constant::Int(b)) => bounded(a * b),
        _ => Ok(Constant::Float(number(a)? * number(b)?)),
    }
}

/// Between whole numbers it rounds down, also below zero.
pub(super) fn div([a, b]: &[Constant; 2]) -> Result<Constant> {
    if let (Constant::Int(a), Constant::Int(b)) = (a, b) {
        if b.sign() == Sign::NoSign {
            return Err("division by zero".into());
        }
        let (quotient, rest) = (a / b, a % b);
        let rounded_up = rest.sign() != Sign::NoSign && rest.sign() != b.sign();
        return Ok(Constant::Int(if rounded_up { quotient - 1 } else { quotient }));
    }
    let (a, b) = (number(a)?, number(b)?);
    if b == 0.0 { Err("division by zero".into()) } else { Ok(Constant::Float(a / b)) }
}

pub(super) fn float([value]: &[Constant; 1]) -> Result<Constant> {
    match value {
        Constant::Text(text) => parse_float(text).map(Constant::Float),
        number => self::number(number).map(Constant::Float),
    }
}

pub(super) fn int([value]: &[Constant; 1]) -> Result<Constant> {
    match value {
        Constant::Int(_) => Ok(value.clone()),
        Constant::Float(float) => truncate(*float).map(Constant::Int),
        Constant::Text(text) => parse_int(text).map(Constant::Int),
    }
}

pub(super) fn bitwise_and([a, b]: &[Constant; 2]) -> Result<Constant> {
    Ok(Constant::Int(whole(a)? & whole(b)?))
}

pub(super) fn bitwise_or([a, b]: &[Constant; 2]) -> Result<Constant> {
    Ok(Constant::Int(whole(a)? | whole(b)?))
}

/// In two's complement: `-x - 1`.
pub(super) fn bitwise_not([a]: &[Constant; 1]) -> Result<Constant> {
    let a = whole(a)?;
    Ok(Constant::Int(!a))
}

/// The whole number that a text writes in decimal: blanks around it, a sign, and single
/// underscores between digits are allowed.
pub(super) fn parse_int(text: &str) -> Result<BigInt> {
    let invalid = || BuiltinError::from(format!("not a whole number: {}", shown(text)));
    let digits = text.trim();
    let unsigned = digits.strip_prefix(['+', '-']).unwrap_or(digits);
    let unsigned = without_underscores(unsigned).ok_or_else(invalid)?;
    if unsigned.is_empty() || !unsigned.bytes().all(|b| b.is_ascii_digit()) {
        return Err(invalid());
    }
    if unsigned.len() > MAX_DIGITS {
        return Err("the number has too many digits".into());
    }
    let value: BigInt = unsigned.parse().map_err(|_| invalid())?;
    Ok(if digits.starts_with('-') { -value } else { value })
}

/// The float that a text writes: as in the language, with a sign, blanks around it and single
/// underscores between digits, or `inf`, `infinity` or `nan` in any case.
pub(super) fn parse_float(text: &str) -> Result<f64> {
    let trimmed = text.trim();
    let parsed = without_underscores(trimmed).and_then(|digits| digits.parse().ok());
    parsed.ok_or_else(|| format!("not a number: {}", shown(text)).into())
}

/// A float without its fraction.
pub(super) fn truncate(float: f64) -> Result<BigInt> {
    float.to_bigint().ok_or_else(|| "not a finite number".into())
}

/// A number as float.
pub(super) fn number(value: &Constant) -> Result<f64> {
    match value {
        Constant::Float(float) => Ok(*float),
        Constant::Int(int) => match int.to_f64() {
            Some(float) if float.is_finite() => Ok(float),
            _ => Err("the number is too large for a float".into()),
        },
        Constant::Text(text) => Err(format!("not a number: {}", shown(text)).into()),
    }
}

fn whole(value: &Constant) -> Result<&BigInt> {
    match value {
        Constant::Int(int) => Ok(int),
        _ => Err("not a whole number".into()),
    }
}

fn bounded(int: BigInt) -> Result<Constant> {
    if int.bits() > MAX_INTEGER_BITS {
        return Err(format!("the number would have more than {MAX_INTEGER_BITS} bits").into());
    }
    Ok(Constant::Int(int))
}

/// Without its underscores; nothing if one of them is not between two digits.
fn without_underscores(text: &str) -> Option<String> {
    if text.len() > MAX_TEXT_BYTES {
        return None;
    }
    let bytes = text.as_bytes();
    let is_digit = |at: usize| bytes.get(at).is_some_and(u8::is_ascii_digit);
    let misplaced = bytes
        .iter()
        .enumerate()
        .any(|(at, b)| *b == b'_' && !(at > 0 && is_digit(at - 1) && is_digit(at + 1)));
    (!misplaced).then(|| text.replace('_', ""))
}

/// The beginning of a text, quoted.
fn shown(text: &str) -> String {
    quoted(&text.chars().take(40).collect::<String>())
}
