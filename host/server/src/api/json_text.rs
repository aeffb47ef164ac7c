//! JSON as the API writes it: on one line or indented by two blanks, in ASCII.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::ser::{Formatter, Serializer};

/// How a value is laid out.
#[derive(Clone, Copy)]
pub(super) enum Layout {
    /// On one line: elements and errors.
    OneLine,
    /// Indented, beginning at this depth: collections.
    Indented(usize),
}

/// Appends a value to a buffer, without a newline at the end.
pub(super) fn write(
    out: &mut Vec<u8>,
    value: &impl Serialize,
    layout: Layout,
) -> serde_json::Result<()> {
    let writer = Writer { layout, has_value: false };
    value.serialize(&mut Serializer::with_formatter(out, writer))
}

struct Writer {
    layout: Layout,
    /// Whether something was written into the array or object that is about to end.
    has_value: bool,
}

impl Writer {
    fn begin(&mut self) {
        self.has_value = false;
        if let Layout::Indented(depth) = &mut self.layout {
            *depth += 1;
        }
    }

    fn end<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        if let Layout::Indented(depth) = &mut self.layout {
            *depth -= 1;
            if self.has_value {
                return self.new_line(out);
            }
        }
        Ok(())
    }

    fn item<W: Write + ?Sized>(&self, out: &mut W, first: bool) -> io::Result<()> {
        match (self.layout, first) {
            (Layout::OneLine, true) => Ok(()),
            (Layout::OneLine, false) => out.write_all(b", "),
            (Layout::Indented(_), first) => {
                out.write_all(if first { b"" } else { b"," })?;
                self.new_line(out)
            }
        }
    }

    fn new_line<W: Write + ?Sized>(&self, out: &mut W) -> io::Result<()> {
        out.write_all(b"\n")?;
        if let Layout::Indented(depth) = self.layout {
            for _ in 0..depth {
                out.write_all(b"  ")?;
            }
        }
        Ok(())
    }
}

impl Formatter for Writer {
    fn begin_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin();
        out.write_all(b"[")
    }

    fn end_array<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out)?;
        out.write_all(b"]")
    }

    fn begin_array_value<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.item(out, first)
    }

    fn end_array_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn begin_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.begin();
        out.write_all(b"{")
    }

    fn end_object<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        self.end(out)?;
        out.write_all(b"}")
    }

    fn begin_object_key<W: Write + ?Sized>(&mut self, out: &mut W, first: bool) -> io::Result<()> {
        self.item(out, first)
    }

    fn begin_object_value<W: Write + ?Sized>(&mut self, out: &mut W) -> io::Result<()> {
        out.write_all(b": ")
    }

    fn end_object_value<W: Write + ?Sized>(&mut self, _: &mut W) -> io::Result<()> {
        self.has_value = true;
        Ok(())
    }

    fn write_string_fragment<W: Write + ?Sized>(
        &mut self,
        out: &mut W,
        fragment: &str,
    ) -> io::Result<()> {
        if fragment.is_ascii() {
            return out.write_all(fragment.as_bytes());
        }
        let mut units = [0; 2];
        for c in fragment.chars() {
            if c.is_ascii() {
                out.write_all(&[c as u8])?;
            } else {
                for unit in c.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}")?;
                }
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn text(value: &Value, layout: Layout) -> String {
        let mut out = Vec::new();
        write(&mut out, value, layout).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn one_line() {
        let value = json!({"a": [1, 2.5, null], "b": {}, "c": []});
        assert_eq!(text(&value, Layout::OneLine), r#"{"a": [1, 2.5, null], "b": {}, "c": []}"#);
    }

    #[test]
    fn indented_from_any_depth() {
        let value = json!({"a": [1, {}], "b": []});
        assert_eq!(
            text(&value, Layout::Indented(0)),
            "{\n  \"a\": [\n    1,\n    {}\n  ],\n  \"b\": []\n}"
        );
        assert_eq!(text(&json!([1]), Layout::Indented(2)), "[\n      1\n    ]");
    }

    #[test]
    fn everything_beyond_ascii_is_escaped() {
        assert_eq!(
            text(&json!("a\u{e9}\u{1f600}\n\"\u{7f}"), Layout::OneLine),
            "\"a\\u00e9\\ud83d\\ude00\\n\\\"\u{7f}\""
        );
    }
}
