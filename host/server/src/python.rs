//! JSON values in the spelling of Python, in which some messages have always quoted requests.
//!
//! Both spellings are cut after [`LIMIT`] bytes: they are for people, and requests may be large.

use std::fmt::Write as _;

use serde_json::{Map, Number, Value};

/// Longer texts end in `...`.
const LIMIT: usize = 16 << 10;

/// A value as `repr` spells it.
pub(crate) fn repr(value: &Value) -> String {
    let mut out = String::new();
    write_repr(&mut out, value, Order::AsGiven);
    cut(out)
}

/// A value as `pprint.pformat` lays it out within `width` columns: what does not fit on a line is
/// broken into its members, which are sorted by key, or into its words.
pub(crate) fn pretty(value: &Value, width: usize) -> String {
    let mut printer = Printer { out: String::new(), width };
    printer.write(value, 0, 0, true);
    cut(printer.out)
}

fn cut(mut text: String) -> String {
    if text.len() > LIMIT {
        text.truncate(text.floor_char_boundary(LIMIT));
        text.push_str("...");
    }
    text
}

#[derive(Clone, Copy)]
enum Order {
    AsGiven,
    Sorted,
}

fn write_repr(out: &mut String, value: &Value, order: Order) {
    match value {
        _ if out.len() > LIMIT => {}
        Value::Null => out.push_str("None"),
        Value::Bool(true) => out.push_str("True"),
        Value::Bool(false) => out.push_str("False"),
        Value::Number(number) => write_number(out, number),
        Value::String(text) => quote(out, text),
        Value::Array(items) => {
            out.push('[');
            for (i, item) in items.iter().enumerate() {
                if out.len() > LIMIT {
                    return;
                }
                out.push_str(if i > 0 { ", " } else { "" });
                write_repr(out, item, order);
            }
            out.push(']');
        }
        Value::Object(members) => {
            out.push('{');
            for (i, (key, item)) in in_order(members, order).into_iter().enumerate() {
                if out.len() > LIMIT {
                    return;
                }
                out.push_str(if i > 0 { ", " } else { "" });
                quote(out, key);
                out.push_str(": ");
                write_repr(out, item, order);
            }
            out.push('}');
        }
    }
}

fn in_order(members: &Map<String, Value>, order: Order) -> Vec<(&String, &Value)> {
    let mut members: Vec<_> = members.iter().collect();
    if let Order::Sorted = order {
        members.sort_by_key(|(key, _)| *key);
    }
    members
}

fn write_number(out: &mut String, number: &Number) {
    let float = match number.as_f64() {
        Some(float) if number.is_f64() => float,
        _ => {
            let _ = write!(out, "{number}");
            return;
        }
    };
    // The shortest digits that give this number again, as in Python; only the layout differs.
    let scientific = format!("{float:e}");
    let exponent = scientific.split_once('e').and_then(|(_, e)| e.parse::<i32>().ok());
    match (scientific.split_once('e'), exponent) {
        (Some((digits, _)), Some(exponent)) if !(-4..16).contains(&exponent) => {
            let sign = if exponent < 0 { '-' } else { '+' };
            let _ = write!(out, "{digits}e{sign}{:02}", exponent.unsigned_abs());
        }
        _ => {
            let _ = write!(out, "{float:?}");
        }
    }
}

fn quote(out: &mut String, text: &str) {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    out.push(quote);
    for c in text.chars() {
        if out.len() > LIMIT {
            return;
        }
        let code = u32::from(c);
        let _ = match c {
            '\n' => out.write_str("\\n"),
            '\r' => out.write_str("\\r"),
            '\t' => out.write_str("\\t"),
            c if c == quote || c == '\\' => write!(out, "\\{c}"),
            c if !c.is_control() && (c == ' ' || !c.is_whitespace()) => out.write_char(c),
            _ if code < 0x100 => write!(out, "\\x{code:02x}"),
            _ => write!(out, "\\u{code:04x}"),
        };
    }
    out.push(quote);
}

struct Printer {
    out: String,
    width: usize,
}

impl Printer {
    /// Writes a value that begins in column `indent` and is followed by `allowance` characters on
    /// its last line.
    fn write(&mut self, value: &Value, indent: usize, allowance: usize, top: bool) {
        if self.out.len() > LIMIT {
            return;
        }
        let mut text = String::new();
        write_repr(&mut text, value, Order::Sorted);
        if text.chars().count() + indent + allowance <= self.width {
            self.out.push_str(&text);
            return;
        }
        match value {
            Value::Object(members) => self.members(members, indent + 1, allowance + 1),
            Value::Array(items) => self.items(items, indent + 1, allowance + 1),
            Value::String(words) => self.words(words, indent, allowance, top),
            _ => self.out.push_str(&text),
        }
    }

    fn members(&mut self, members: &Map<String, Value>, indent: usize, allowance: usize) {
        self.out.push('{');
        let members = in_order(members, Order::Sorted);
        for (i, (key, value)) in members.iter().enumerate() {
            self.separate(i, indent);
            let begin = self.out.len();
            quote(&mut self.out, key);
            self.out.push_str(": ");
            let column = indent + self.out.get(begin..).map_or(0, |key| key.chars().count());
            let allowance = if i + 1 == members.len() { allowance } else { 1 };
            self.write(value, column, allowance, false);
        }
        self.out.push('}');
    }

    fn items(&mut self, items: &[Value], indent: usize, allowance: usize) {
        self.out.push('[');
        for (i, item) in items.iter().enumerate() {
            if self.out.len() > LIMIT {
                return;
            }
            self.separate(i, indent);
            let allowance = if i + 1 == items.len() { allowance } else { 1 };
            self.write(item, indent, allowance, false);
        }
        self.out.push(']');
    }

    /// Breaks a text into literals that stand below each other; in brackets where nothing else
    /// holds them together.
    fn words(&mut self, text: &str, indent: usize, allowance: usize, top: bool) {
        // More than can be shown.
        let text = &text[..text.floor_char_boundary(LIMIT + 1)];
        let (indent, allowance) =
            if top { (indent + 1, allowance + 1) } else { (indent, allowance) };
        let room = self.width.saturating_sub(indent);
        let mut literals = Vec::new();
        let mut lines = text.split_inclusive('\n').peekable();
        while let Some(line) = lines.next() {
            let last_line = lines.peek().is_none();
            let room_at_end = if last_line { room.saturating_sub(allowance) } else { room };
            if repr_len(line) <= room_at_end {
                literals.push(line.to_owned());
                continue;
            }
            let mut literal = String::new();
            let mut words = words_with_blanks(line).peekable();
            while let Some(word) = words.next() {
                let room = if words.peek().is_none() { room_at_end } else { room };
                if !literal.is_empty() && repr_len(&literal) + repr_len(word) - 2 > room {
                    literals.push(std::mem::take(&mut literal));
                }
                literal.push_str(word);
            }
            literals.push(literal);
        }
        let brackets = top && literals.len() > 1;
        self.out.push_str(if brackets { "(" } else { "" });
        for (i, literal) in literals.iter().enumerate() {
            if i > 0 {
                let _ = write!(self.out, "\n{:indent$}", "");
            }
            quote(&mut self.out, literal);
        }
        self.out.push_str(if brackets { ")" } else { "" });
    }

    fn separate(&mut self, i: usize, indent: usize) {
        if i > 0 {
            let _ = write!(self.out, ",\n{:indent$}", "");
        }
    }
}

fn repr_len(text: &str) -> usize {
    let mut out = String::new();
    quote(&mut out, text);
    out.chars().count()
}

/// Words, each with the blanks after it.
fn words_with_blanks(line: &str) -> impl Iterator<Item = &str> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let blanks = rest.find(char::is_whitespace).unwrap_or(rest.len());
        let (word, tail) = rest.split_at(blanks);
        let end = word.len() + tail.find(|c: char| !c.is_whitespace()).unwrap_or(tail.len());
        let (word, tail) = rest.split_at(end);
        rest = tail;
        (!word.is_empty()).then_some(word)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn looks_like_python() {
        let value = json!({"id": null, "b": [true, 1.5, "x'y", "a\"'\n\\"], "c": {}});
        assert_eq!(repr(&value), r#"{'id': None, 'b': [True, 1.5, "x'y", 'a"\'\n\\'], 'c': {}}"#);
        assert_eq!(repr(&json!("\u{1}é\u{85}\u{2028}")), r"'\x01é\x85\u2028'");
    }

    #[test]
    fn numbers() {
        for (number, text) in [
            (json!(5), "5"),
            (json!(1.0), "1.0"),
            (json!(-0.0001), "-0.0001"),
            (json!(0.00001), "1e-05"),
            (json!(1e15), "1000000000000000.0"),
            (json!(1e16), "1e+16"),
            (json!(2.5e-300), "2.5e-300"),
        ] {
            assert_eq!(repr(&number), text);
        }
    }

    #[test]
    fn what_fits_stays_on_its_line() {
        assert_eq!(pretty(&json!({"b": 1, "a": [2]}), 20), "{'a': [2], 'b': 1}");
        assert_eq!(pretty(&json!({"b": 1, "a": [2]}), 17), "{'a': [2],\n 'b': 1}");
        let value = json!({"key": ["one two three", {"z": "four five six seven"}]});
        // As Python 3.11 prints it within 20 columns.
        let expected = [
            "{'key': ['one two '",
            "         'three',",
            "         {'z': 'four '",
            "               'five '",
            "               'six '",
            "               'seven'}]}",
        ];
        assert_eq!(pretty(&value, 20), expected.join("\n"));
        assert_eq!(pretty(&json!("one two three four"), 12), "('one two '\n 'three '\n 'four')");
    }

    #[test]
    fn large_values_are_cut() {
        let wide = Value::from(vec!["word word word"; 100_000]);
        let mut deep = Value::from(vec!["x"; 10_000]);
        for _ in 0..100 {
            deep = json!([deep, "tail"]);
        }
        let long = json!("x".repeat(1 << 20));
        for value in [wide, deep, long] {
            for text in [repr(&value), pretty(&value, 72)] {
                assert!(text.len() < LIMIT + 10 && text.ends_with("..."), "{}", text.len());
            }
        }
    }
}
