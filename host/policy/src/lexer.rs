//! From characters to tokens.
//!
//! The whole text is cut up before any of it is parsed, because an error here is reported before
//! an error of the parser, wherever the two stand. Tokens are spans into the text: a few bytes
//! each, and nothing is copied.

use crate::ast::{Modal, Span};
use crate::syntax_error::{Problem, Stage, SyntaxError};

/// The longest text that is read, in bytes.
pub const MAX_TEXT_BYTES: usize = 16 * 1024 * 1024;
/// The most tokens that a text may have; with the limit above it bounds the memory of parsing.
pub const MAX_TOKENS: usize = 2_000_000;
/// How many problems are listed; after so many a text is taken to be something else entirely.
const MAX_PROBLEMS: usize = 10;

/// What a token is. Its text is that of its span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum TokenKind {
    Identifier,
    Not,
    Modal(Modal),
    Integer,
    Float,
    /// With its quotes and, if there is one, its prefix.
    Text,
    LeftParen,
    RightParen,
    LeftBracket,
    RightBracket,
    Comma,
    Colon,
    /// `:-`
    Define,
    Semicolon,
    Period,
    Equal,
    Plus,
    Minus,
    End,
}

/// A token.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Token {
    pub(crate) kind: TokenKind,
    pub(crate) span: Span,
}

/// The tokens of a text, the last of which is [`TokenKind::End`].
pub(crate) fn tokenize(source: &str) -> Result<Vec<Token>, SyntaxError> {
    if source.len() > MAX_TEXT_BYTES {
        let message =
            format!("the text has {} bytes; at most {MAX_TEXT_BYTES} are read", source.len());
        return Err(SyntaxError::new(Stage::Lex, source, Span::default(), message));
    }
    let mut lexer = Lexer { source, at: 0, problems: Vec::new() };
    let mut tokens = Vec::new();
    loop {
        let token = lexer.next_token();
        if let Some(token) = token {
            tokens.push(token);
        }
        if tokens.len() > MAX_TOKENS && lexer.problems.is_empty() {
            let message = format!("the text has more than {MAX_TOKENS} words and signs");
            lexer.problem(lexer.at, lexer.at, message);
        }
        let ended = token.is_some_and(|token| token.kind == TokenKind::End);
        if ended || tokens.len() > MAX_TOKENS || lexer.problems.len() >= MAX_PROBLEMS {
            break;
        }
    }
    if lexer.problems.is_empty() {
        Ok(tokens)
    } else {
        Err(SyntaxError { stage: Stage::Lex, problems: lexer.problems })
    }
}

/// The value of a string token: what stands between its first and its last quote. No escape is
/// decoded, and a prefix (`r`, `u`, `b`, …) says nothing.
pub(crate) fn text_value(token: &str) -> &str {
    let quoted = token.trim_start_matches(|c: char| c.is_ascii_alphabetic());
    let mut value = quoted.chars();
    value.next();
    value.next_back();
    value.as_str()
}

/// `source`, without its comments and line breaks: a gap between tokens that holds any becomes one
/// blank. Where `source` has no tokens it stays as it is.
pub(crate) fn on_one_line(source: &str) -> String {
    let tokens = tokenize(source).unwrap_or_default();
    if tokens.is_empty() {
        return source.to_owned();
    }
    let slice = |start: usize, end: usize| source.get(start..end).unwrap_or_default();
    let mut text = String::with_capacity(source.len());
    let mut end = 0;
    for token in &tokens {
        let (start, next_end) = (token.span.start as usize, token.span.end as usize);
        let gap = slice(end, start);
        let is_plain = gap.chars().all(|c| matches!(c, ' ' | '\t'));
        text.push_str(if is_plain { gap } else { " " });
        text.push_str(slice(start, next_end));
        end = next_end;
    }
    text
}

/// Whether `c` may begin an identifier.
fn begins_identifier(c: char) -> bool {
    c.is_ascii_alphabetic() || c == '_' || c == '.'
}

/// Whether `c` may stand in an identifier.
fn continues_identifier(c: char) -> bool {
    begins_identifier(c) || c.is_ascii_digit()
}

struct Lexer<'a> {
    source: &'a str,
    /// The byte that comes next.
    at: usize,
    problems: Vec<Problem>,
}

impl<'a> Lexer<'a> {
    /// The token that comes next, or nothing where there is none: white space has been skipped or
    /// a problem noted.
    fn next_token(&mut self) -> Option<Token> {
        let start = self.at;
        let Some(first) = self.peek() else {
            return Some(self.token(TokenKind::End, start));
        };
        let kind = match first {
            ' ' | '\t' | '\r' | '\n' => {
                self.skip_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
                return None;
            }
            '#' | '/' => {
                self.comment(first);
                return None;
            }
            '"' | '\'' => self.text()?,
            '0'..='9' => self.number()?,
            c if begins_identifier(c) => self.word()?,
            _ => {
                self.at += first.len_utf8();
                match first {
                    '(' => TokenKind::LeftParen,
                    ')' => TokenKind::RightParen,
                    '[' => TokenKind::LeftBracket,
                    ']' => TokenKind::RightBracket,
                    ',' => TokenKind::Comma,
                    ';' => TokenKind::Semicolon,
                    '=' => TokenKind::Equal,
                    '+' => TokenKind::Plus,
                    '-' => TokenKind::Minus,
                    '!' => TokenKind::Not,
                    ':' if self.peek() == Some('-') => {
                        self.at += 1;
                        TokenKind::Define
                    }
                    ':' => TokenKind::Colon,
                    _ => {
                        self.unexpected(first, start);
                        return None;
                    }
                }
            }
        };
        Some(self.token(kind, start))
    }

    fn unexpected(&mut self, c: char, start: usize) {
        let advice = match c {
            '<' | '>' => "; comparisons are written builtin:lt(x, y), lteq, gt, gteq or equal",
            '{' | '}' => "; arguments stand in ( ), actions in [ ]",
            c if !c.is_ascii() => "; outside of strings only ASCII is allowed",
            _ => "",
        };
        self.problem(start, self.at, format!("unexpected character {c:?}{advice}"));
    }

    /// A comment and, of a line comment, the line's end, which it needs.
    fn comment(&mut self, first: char) {
        let start = self.at;
        let rest = self.rest();
        if let Some(inside) = rest.strip_prefix("/*") {
            match inside.find("*/") {
                Some(length) => self.at += 2 + length + 2,
                None => self.unclosed("this comment has no closing '*/'", start),
            }
        } else if first == '#' || rest.starts_with("//") {
            match rest.find('\n') {
                Some(length) => self.at += length + 1,
                None => self.unclosed("this comment needs a line break at its end", start),
            }
        } else {
            self.at += 1;
            self.problem(start, self.at, "unexpected character '/'; comments begin with //");
        }
    }

    /// Something that the end of the text cuts off. The problem is where something is missing.
    fn unclosed(&mut self, what: &str, start: usize) {
        self.at = self.source.len();
        let begun = Problem::new(self.source, self.span(start, start), "").position;
        self.problem(self.at, self.at, format!("{what}; it begins at {begun}"));
    }

    /// A string: one or more quoted pieces without a space between them.
    fn text(&mut self) -> Option<TokenKind> {
        while let Some(quote) = self.peek().filter(|c| matches!(c, '"' | '\'')) {
            let start = self.at;
            if self.rest().chars().take(3).filter(|c| *c == quote).count() == 3 {
                self.unclosed("strings in triple quotes are not supported", start);
                return None;
            }
            self.at += 1;
            loop {
                let Some(c) = self.peek() else {
                    self.unclosed(&format!("this string has no closing {quote}"), start);
                    return None;
                };
                if matches!(c, '\n' | '\r') {
                    self.problem(
                        self.at,
                        self.at + 1,
                        format!("this string has no closing {quote} on its line"),
                    );
                    return None;
                }
                self.at += c.len_utf8();
                if c == quote {
                    break;
                }
                if c == '\\' {
                    self.at += self.peek().map_or(0, char::len_utf8);
                }
            }
        }
        Some(TokenKind::Text)
    }

    /// A number that begins with a digit.
    fn number(&mut self) -> Option<TokenKind> {
        let start = self.at;
        let mut letters = self.rest().chars();
        if let (Some('0'), Some(base @ ('x' | 'X' | 'o' | 'O' | 'b' | 'B'))) =
            (letters.next(), letters.next())
        {
            self.at += 2;
            let radix = match base.to_ascii_lowercase() {
                'x' => 16,
                'o' => 8,
                _ => 2,
            };
            if self.peek().is_some_and(|c| c.is_digit(radix)) {
                self.skip_while(|c| c.is_digit(radix));
                self.problem(start, self.at, "numbers are written in decimal only");
            } else {
                let next = self.at + self.peek().map_or(0, char::len_utf8);
                self.problem(self.at, next, format!("digits are missing after 0{base}"));
            }
            return None;
        }
        self.digits();
        let integer = self.since(start);
        let leading_zero = integer.starts_with('0') && !integer.trim_start_matches('0').is_empty();
        match self.peek() {
            Some('.') => {
                self.at += 1;
                self.digits();
                self.exponent()?;
                Some(TokenKind::Float)
            }
            Some('e' | 'E') => {
                self.exponent()?;
                Some(TokenKind::Float)
            }
            _ if leading_zero => {
                self.problem(self.at, self.at, "a number does not begin with 0");
                None
            }
            _ => Some(TokenKind::Integer),
        }
    }

    /// The exponent, if there is one.
    fn exponent(&mut self) -> Option<()> {
        if !matches!(self.peek(), Some('e' | 'E')) {
            return Some(());
        }
        self.at += 1;
        if matches!(self.peek(), Some('+' | '-')) {
            self.at += 1;
        }
        if self.peek().is_some_and(|c| c.is_ascii_digit()) {
            self.digits();
            Some(())
        } else {
            let next = self.at + self.peek().map_or(0, char::len_utf8);
            self.problem(self.at, next, "the exponent of this number has no digits");
            None
        }
    }

    fn digits(&mut self) {
        self.skip_while(|c| c.is_ascii_digit());
    }

    /// An identifier, a keyword, or one of what else begins like an identifier: a prefixed string,
    /// a number that begins with a dot, the dot that ends a statement.
    fn word(&mut self) -> Option<TokenKind> {
        let start = self.at;
        self.skip_while(continues_identifier);
        let word = self.since(start);
        match word {
            "." => return Some(TokenKind::Period),
            "not" | "NOT" => return Some(TokenKind::Not),
            "execute" => return Some(TokenKind::Modal(Modal::Execute)),
            "insert" => return Some(TokenKind::Modal(Modal::Insert)),
            "delete" => return Some(TokenKind::Modal(Modal::Delete)),
            _ => {}
        }
        let is_prefix = matches!(
            word.as_bytes(),
            [b'r' | b'R' | b'u' | b'U' | b'b' | b'B'] | [b'b' | b'B', b'r' | b'R']
        );
        if is_prefix && matches!(self.peek(), Some('"' | '\'')) {
            return self.text();
        }
        // `.5` and `.5e3` are numbers, `.5a` is a name.
        if let Some(digits) = word.strip_prefix('.') {
            let rest = digits.trim_start_matches(|c: char| c.is_ascii_digit());
            let has_digits = rest.len() < digits.len();
            let exponent = rest.strip_prefix(['e', 'E']);
            let signed = || {
                let mut next = self.rest().chars();
                matches!(next.next(), Some('+' | '-'))
                    && next.next().is_some_and(|c| c.is_ascii_digit())
            };
            match exponent {
                _ if !has_digits => {}
                None if rest.is_empty() => return Some(TokenKind::Float),
                Some("") if signed() => {
                    self.at += 1;
                    self.digits();
                    return Some(TokenKind::Float);
                }
                Some(power) if !power.is_empty() && power.chars().all(|c| c.is_ascii_digit()) => {
                    return Some(TokenKind::Float);
                }
                _ => {}
            }
        }
        Some(TokenKind::Identifier)
    }

    /// What has not been read.
    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    /// What has been read from `start` on.
    fn since(&self, start: usize) -> &'a str {
        self.source.get(start..self.at).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = self.rest();
        self.at += rest.find(|c| !wanted(c)).unwrap_or(rest.len());
    }

    fn problem(&mut self, start: usize, end: usize, message: impl Into<String>) {
        let span = self.span(start, end);
        self.problems.push(Problem::new(self.source, span, message));
    }

    fn token(&self, kind: TokenKind, start: usize) -> Token {
        Token { kind, span: self.span(start, self.at) }
    }

    /// No text longer than [`MAX_TEXT_BYTES`] gets here, so both fit.
    fn span(&self, start: usize, end: usize) -> Span {
        let fit = |byte: usize| u32::try_from(byte.min(self.source.len())).unwrap_or(u32::MAX);
        Span { start: fit(start), end: fit(end) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kinds(source: &str) -> Vec<TokenKind> {
        let tokens = tokenize(source).unwrap();
        tokens.iter().map(|token| token.kind).filter(|kind| *kind != TokenKind::End).collect()
    }

    fn first_problem(source: &str) -> String {
        let problem = &tokenize(source).unwrap_err().problems[0];
        format!("{}  {}", problem.position, problem.message)
    }

    #[test]
    fn words_that_begin_with_a_dot() {
        use TokenKind::{Float, Identifier, Minus, Period, Plus};
        assert_eq!(kinds("."), [Period]);
        assert_eq!(kinds(".p"), [Identifier]);
        assert_eq!(kinds(".."), [Identifier]);
        assert_eq!(kinds(".5"), [Float]);
        assert_eq!(kinds(".5e3"), [Float]);
        assert_eq!(kinds(".5E-3"), [Float]);
        assert_eq!(kinds(".5a"), [Identifier]);
        assert_eq!(kinds(".5.5"), [Identifier]);
        assert_eq!(kinds(".5e"), [Identifier]);
        assert_eq!(kinds(".5e+"), [Identifier, Plus]);
        assert_eq!(kinds(".e-3"), [Identifier, Minus, TokenKind::Integer]);
    }

    #[test]
    fn numbers() {
        use TokenKind::{Float, Identifier, Integer};
        for float in ["1.5", "1.", "1e3", "1.5E-3", "00.5", "0e0", "01e1", "1.e5"] {
            assert_eq!(kinds(float), [Float], "{float}");
        }
        assert_eq!(kinds("0 000 10"), [Integer; 3]);
        assert_eq!(kinds("1_0"), [Integer, Identifier]);
        assert!(first_problem("p(007)").starts_with("line:1,col:5  "));
        assert!(first_problem("1e+)").starts_with("line:1,col:3  "));
        assert!(first_problem("0x)").starts_with("line:1,col:2  "));
        assert_eq!(first_problem("p(0x1F)"), "line:1,col:2  numbers are written in decimal only");
    }

    #[test]
    fn strings_keep_what_is_between_the_outer_quotes() {
        for (source, value) in [
            ("''", ""),
            (r#""a\nb""#, r"a\nb"),
            (r"'a\'b'", r"a\'b"),
            ("'a''b'", "a''b"),
            ("'a'\"b\"", "a'\"b"),
            ("u'é'", "é"),
            ("Br\"x\"", "x"),
        ] {
            assert_eq!(kinds(source), [TokenKind::Text], "{source}");
            assert_eq!(text_value(source), value, "{source}");
        }
        assert_eq!(kinds("'a' 'b'"), [TokenKind::Text; 2]);
        assert_eq!(kinds("ur'b'"), [TokenKind::Identifier, TokenKind::Text]);
    }

    #[test]
    fn strings_that_do_not_end() {
        assert_eq!(
            first_problem("p(\"abc"),
            "line:1,col:6  this string has no closing \"; it begins at line:1,col:2"
        );
        assert!(first_problem("p('a\nb')").starts_with("line:1,col:4  "));
        assert!(first_problem("'''a\nb''' ").starts_with("line:2,col:5  "));
        assert!(first_problem("'\\").starts_with("line:1,col:2  "));
    }

    #[test]
    fn comments_stand_where_spaces_may() {
        assert_eq!(kinds("p // x\n/* y \n * / */ q # z\n"), [TokenKind::Identifier; 2]);
        assert!(first_problem("p // c").starts_with("line:1,col:6  "));
        assert!(first_problem("/* c").starts_with("line:1,col:4  "));
        assert!(first_problem("p / q").starts_with("line:1,col:2  "));
    }

    #[test]
    fn keywords_are_whole_words_in_their_spelling() {
        use TokenKind::{Identifier, Not};
        assert_eq!(kinds("not NOT ! Not notp"), [Not, Not, Not, Identifier, Identifier]);
        assert_eq!(kinds("execute executed"), [TokenKind::Modal(Modal::Execute), Identifier]);
    }

    #[test]
    fn the_number_of_problems_is_bounded() {
        let error = tokenize(&"$".repeat(1000)).unwrap_err();
        assert_eq!(error.problems.len(), MAX_PROBLEMS);
    }

    #[test]
    fn texts_that_are_too_long_are_refused() {
        let long = " ".repeat(MAX_TEXT_BYTES + 1);
        assert!(tokenize(&long).unwrap_err().to_string().starts_with("Lex failure.\n"));
        let many = "(".repeat(MAX_TOKENS + 1);
        assert!(tokenize(&many).unwrap_err().to_string().contains("words and signs"));
    }
}
