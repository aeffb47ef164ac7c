//! Says what is wrong with a text that is not JSON, in the words and with the position that
//! clients know: those of the original's parser (Python's). Runs only after `serde_json` has
//! refused the text.

use std::fmt::{self, Display, Formatter};
use std::str::Chars;

/// The deepest nesting that `serde_json` accepts.
const MAX_DEPTH: usize = 127;

/// What is wrong, and where.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Fault {
    what: &'static str,
    /// In characters from the beginning.
    position: usize,
    line: usize,
    column: usize,
}

impl Display for Fault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { what, position, line, column } = self;
        write!(f, "{what}: line {line} column {column} (char {position})")
    }
}

/// Finds the first fault. None if there is none by the rules of the original, which for example
/// took `NaN` for a number.
pub(super) fn find(text: &str) -> Option<Fault> {
    if text.starts_with('\u{feff}') {
        return Some(fault_at(text, "Unexpected UTF-8 BOM (decode using utf-8-sig)", 0));
    }
    let mut scanner = Scanner { rest: text.chars(), position: 0 };
    let result = scanner.document();
    result.err().map(|(what, position)| fault_at(text, what, position))
}

fn fault_at(text: &str, what: &'static str, position: usize) -> Fault {
    let (mut line, mut column) = (1, 1);
    for c in text.chars().take(position) {
        if c == '\n' {
            (line, column) = (line + 1, 1);
        } else {
            column += 1;
        }
    }
    Fault { what, position, line, column }
}

type Scan = Result<(), (&'static str, usize)>;

struct Scanner<'a> {
    rest: Chars<'a>,
    /// In characters.
    position: usize,
}

impl Scanner<'_> {
    fn document(&mut self) -> Scan {
        self.blanks();
        self.value(0)?;
        self.blanks();
        if self.peek().is_some() { self.fail("Extra data") } else { Ok(()) }
    }

    fn value(&mut self, depth: usize) -> Scan {
        match self.peek() {
            Some('"') => self.string(),
            Some('{' | '[') if depth >= MAX_DEPTH => {
                self.fail("Too many levels of arrays and objects")
            }
            Some('{') => self.object(depth),
            Some('[') => self.array(depth),
            _ => {
                for word in ["null", "true", "false", "NaN", "Infinity", "-Infinity"] {
                    if self.skip(word) {
                        return Ok(());
                    }
                }
                self.number()
            }
        }
    }

    fn object(&mut self, depth: usize) -> Scan {
        self.bump();
        self.blanks();
        if self.skip("}") {
            return Ok(());
        }
        loop {
            if self.peek() != Some('"') {
                return self.fail("Expecting property name enclosed in double quotes");
            }
            self.string()?;
            self.blanks();
            if !self.skip(":") {
                return self.fail("Expecting ':' delimiter");
            }
            self.blanks();
            self.value(depth + 1)?;
            self.blanks();
            if self.skip("}") {
                return Ok(());
            }
            if !self.skip(",") {
                return self.fail("Expecting ',' delimiter");
            }
            self.blanks();
        }
    }

    fn array(&mut self, depth: usize) -> Scan {
        self.bump();
        self.blanks();
        if self.skip("]") {
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            self.blanks();
            if self.skip("]") {
                return Ok(());
            }
            if !self.skip(",") {
                return self.fail("Expecting ',' delimiter");
            }
            self.blanks();
        }
    }

    fn string(&mut self) -> Scan {
        let begin = self.position;
        let unterminated = Err(("Unterminated string starting at", begin));
        self.bump();
        loop {
            match self.peek() {
                None => return unterminated,
                Some('"') => {
                    self.bump();
                    return Ok(());
                }
                Some('\\') => {
                    let backslash = self.position;
                    self.bump();
                    match self.peek() {
                        None => return unterminated,
                        Some('"' | '\\' | '/' | 'b' | 'f' | 'n' | 'r' | 't') => self.bump(),
                        Some('u') => {
                            self.bump();
                            for _ in 0..4 {
                                if !self.peek().is_some_and(|c| c.is_ascii_hexdigit()) {
                                    return Err(("Invalid \\uXXXX escape", backslash + 1));
                                }
                                self.bump();
                            }
                            // The original wants a character to follow.
                            if self.peek().is_none() {
                                return Err(("Invalid \\uXXXX escape", backslash + 1));
                            }
                        }
                        Some(_) => return Err(("Invalid \\escape", backslash)),
                    }
                }
                Some('\0'..='\u{1f}') => return self.fail("Invalid control character at"),
                Some(_) => self.bump(),
            }
        }
    }

    fn number(&mut self) -> Scan {
        let begin = self.position;
        self.skip("-");
        if !self.skip("0") && self.digits() == 0 {
            return Err(("Expecting value", begin));
        }
        // A fraction or exponent without digits does not belong to the number.
        let before = (self.rest.clone(), self.position);
        if self.skip(".") && self.digits() == 0 {
            (self.rest, self.position) = before;
            return Ok(());
        }
        let before = (self.rest.clone(), self.position);
        if self.skip("e") || self.skip("E") {
            let _ = self.skip("+") || self.skip("-");
            if self.digits() == 0 {
                (self.rest, self.position) = before;
            }
        }
        Ok(())
    }

    fn digits(&mut self) -> usize {
        let begin = self.position;
        while self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.bump();
        }
        self.position - begin
    }

    fn blanks(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.bump();
        }
    }

    fn peek(&self) -> Option<char> {
        self.rest.clone().next()
    }

    fn bump(&mut self) {
        self.rest.next();
        self.position += 1;
    }

    /// Passes an ASCII text if it comes next.
    fn skip(&mut self, ascii: &str) -> bool {
        match self.rest.as_str().strip_prefix(ascii) {
            Some(rest) => {
                self.rest = rest.chars();
                self.position += ascii.len();
                true
            }
            None => false,
        }
    }

    fn fail(&self, what: &'static str) -> Scan {
        Err((what, self.position))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Texts and what Python 3.11 says of them.
    const SAID: &[(&str, &str)] = &[
        ("", "Expecting value: line 1 column 1 (char 0)"),
        ("{", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("[", "Expecting value: line 1 column 2 (char 1)"),
        ("[1,]", "Expecting value: line 1 column 4 (char 3)"),
        (
            "{\"a\":1,}",
            "Expecting property name enclosed in double quotes: line 1 column 8 (char 7)",
        ),
        ("{\"name\": ", "Expecting value: line 1 column 10 (char 9)"),
        ("{\"a\" 1}", "Expecting ':' delimiter: line 1 column 6 (char 5)"),
        ("{\"a\": 1\n \"b\": 2}", "Expecting ',' delimiter: line 2 column 2 (char 9)"),
        ("[1 2]", "Expecting ',' delimiter: line 1 column 4 (char 3)"),
        ("1 2", "Extra data: line 1 column 3 (char 2)"),
        ("01", "Extra data: line 1 column 2 (char 1)"),
        ("1.", "Extra data: line 1 column 2 (char 1)"),
        ("[1e+]", "Expecting ',' delimiter: line 1 column 3 (char 2)"),
        ("-", "Expecting value: line 1 column 1 (char 0)"),
        ("{'a': 1}", "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)"),
        ("\"abc", "Unterminated string starting at: line 1 column 1 (char 0)"),
        ("[\"\u{e9}\", \"abc\\", "Unterminated string starting at: line 1 column 7 (char 6)"),
        ("[\"a\nb\"]", "Invalid control character at: line 1 column 4 (char 3)"),
        ("[\"a\\x\"]", "Invalid \\escape: line 1 column 4 (char 3)"),
        ("[\"a\\u12g4\"]", "Invalid \\uXXXX escape: line 1 column 5 (char 4)"),
        ("\u{feff}{}", "Unexpected UTF-8 BOM (decode using utf-8-sig): line 1 column 1 (char 0)"),
        ("nul", "Expecting value: line 1 column 1 (char 0)"),
    ];

    #[test]
    fn words_and_positions_are_the_originals() {
        for (text, said) in SAID {
            assert_eq!(find(text).map(|f| f.to_string()).as_deref(), Some(*said), "{text:?}");
        }
    }

    #[test]
    fn every_refusal_of_the_parser_finds_its_fault() {
        let deep = "[".repeat(100_000);
        assert!(serde_json::from_str::<serde_json::Value>(&deep).is_err());
        let fault = find(&deep).unwrap();
        assert_eq!((fault.what, fault.position), ("Too many levels of arrays and objects", 127));
        // Both agree on the last level that is let in.
        for depth in [127, 128] {
            let text = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            let refused = serde_json::from_str::<serde_json::Value>(&text).is_err();
            assert_eq!(refused, find(&text).is_some(), "{depth}");
        }
    }

    #[test]
    fn what_the_original_took_is_no_fault() {
        for text in ["NaN", "[-Infinity]", "\"\\ud800\"", " {\"a\": [1.5e-3, null]} "] {
            assert_eq!(find(text), None, "{text}");
        }
    }
}
