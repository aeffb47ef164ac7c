//! The text of structured values, as Python prints them.
//!
//! Policies written for the original system match these texts (`"{'available': True}"`), so they
//! are reproduced to the character.

use std::fmt::Write;

use serde_json::{Number, Value as Json};

use crate::json;

/// Python's `str()` of a value: a text is itself, everything else its [`repr`].
pub fn text(json: &Json) -> String {
    match json {
        Json::String(text) => text.clone(),
        other => repr(other),
    }
}

/// Python's `repr()` of a value.
pub fn repr(json: &Json) -> String {
    let mut out = String::new();
    write_repr(&mut out, json);
    out
}

/// Python's `repr()` of a text.
pub fn repr_str(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    write_str(&mut out, text);
    out
}

/// Python's `repr()` of a float: the shortest digits that read back equal.
pub fn repr_float(float: f64) -> String {
    if float.is_nan() {
        return "nan".into();
    }
    if float.is_infinite() {
        return if float > 0.0 { "inf".into() } else { "-inf".into() };
    }
    // Rust's `{:e}` gives the same shortest digits; only their layout differs.
    let scientific = format!("{float:e}");
    let (digits, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..16).contains(&exponent) {
        let mut out = format!("{float}");
        if !out.contains('.') {
            out.push_str(".0");
        }
        return out;
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

fn write_repr(out: &mut String, json: &Json) {
    match json {
        Json::Null => out.push_str("None"),
        Json::Bool(true) => out.push_str("True"),
        Json::Bool(false) => out.push_str("False"),
        Json::Number(number) => write_number(out, number),
        Json::String(text) => write_str(out, text),
        Json::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_repr(out, item);
            }
            out.push(']');
        }
        Json::Object(members) => {
            out.push('{');
            for (i, (key, value)) in members.iter().enumerate() {
                if i > 0 {
                    out.push_str(", ");
                }
                write_str(out, key);
                out.push_str(": ");
                write_repr(out, value);
            }
            out.push('}');
        }
    }
}

fn write_number(out: &mut String, number: &Number) {
    let digits = number.as_str();
    if !json::is_integer(digits) {
        match digits.parse() {
            Ok(float) => out.push_str(&repr_float(float)),
            Err(_) => out.push_str(digits),
        }
    } else if digits == "-0" {
        out.push('0');
    } else {
        out.push_str(digits);
    }
}

fn write_str(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c if c == quote => {
                out.push('\\');
                out.push(c);
            }
            c if is_printable(c) => out.push(c),
            c => {
                let code = u32::from(c);
                // Writing to a String cannot fail.
                let _ = match code {
                    0..=0xff => write!(out, "\\x{code:02x}"),
                    0x100..=0xffff => write!(out, "\\u{code:04x}"),
                    _ => write!(out, "\\U{code:08x}"),
                };
            }
        }
    }
    out.push(quote);
}

/// Python's notion of printable: not in the classes Cc, Cf, Cs, Co, Cn, Zl, Zp, nor Zs but for the
/// plain space. The standard library's escaping has exactly that table; behind another character
/// it spares combining marks as well. (Its Unicode is newer than that of Python 3.8, which
/// escapes characters assigned since.)
fn is_printable(c: char) -> bool {
    if c.is_ascii() {
        return c == ' ' || c.is_ascii_graphic();
    }
    let mut buffer = [b'a'; 5];
    let length = c.encode_utf8(&mut buffer[1..]).len();
    std::str::from_utf8(&buffer[..=length]).is_ok_and(|text| text.escape_debug().nth(1) == Some(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats() {
        for (float, text) in [
            (1e-5, "1e-05"),
            (1e-4, "0.0001"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e22, "1.5e+22"),
            (-0.0, "-0.0"),
            (2.0, "2.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (5e-324, "5e-324"),
            (f64::NEG_INFINITY, "-inf"),
        ] {
            assert_eq!(repr_float(float), text);
        }
    }

    #[test]
    fn quotes_and_escapes() {
        for (text, repr) in [
            ("it's", r#""it's""#),
            (r#"it's "x""#, r#"'it\'s "x"'"#),
            ("a\\b\n\t\r", r"'a\\b\n\t\r'"),
            ("\u{0}\u{7f}\u{a0}\u{ad}", r"'\x00\x7f\xa0\xad'"),
            ("\u{200b}\u{2028}\u{e000}", r"'\u200b\u2028\ue000'"),
            ("\u{e0001}", r"'\U000e0001'"),
            ("é 世 e\u{301} 😀", "'é 世 e\u{301} 😀'"),
        ] {
            assert_eq!(repr_str(text), repr);
        }
    }

    #[test]
    fn structures_keep_their_order() {
        let json: Json = serde_json::from_str(
            r#"{"z": [1, 1.0, -0, true, null, {}], "a": "x", "n": 123456789012345678901}"#,
        )
        .unwrap();
        assert_eq!(
            repr(&json),
            "{'z': [1, 1.0, 0, True, None, {}], 'a': 'x', 'n': 123456789012345678901}"
        );
        assert_eq!(text(&Json::String("plain".into())), "plain");
    }
}
