//! Showing an error where it is: the source line, and carets under the place.
//!
//! Positions are those of the policy language: lines count from 1, columns from 0, in characters.

use std::fmt::{self, Write as _};

use unicode_width::UnicodeWidthChar;

use crate::ast::Span;

/// How much of a source line [`render`] shows at most, in cells of a terminal.
const MAX_SHOWN: usize = 100;
/// How much of that stands before the place.
const MAX_BEFORE: usize = 60;

/// A place in a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Position {
    /// From 1.
    pub line: usize,
    /// From 0, in characters.
    pub column: usize,
}

impl Position {
    /// The position of a byte of `source`; past its end, the end.
    pub fn of(source: &str, byte: u32) -> Self {
        let before = &source[..floor_boundary(source, byte)];
        let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
        Self {
            line: before.matches('\n').count() + 1,
            column: before[line_start..].chars().count(),
        }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line:{},col:{}", self.line, self.column)
    }
}

/// `message`, followed by the source line it is about, with carets under `span`:
///
/// ```text
/// no table 'serves' in policy 'nova'
///  --> line 1, column 9
///   |
/// 1 | p(x) :- nova:serves(x)
///   |         ^^^^^^^^^^^^^^
/// ```
///
/// Of a span over several lines only the part on the first is marked. A span that does not lie
/// within `source` is marked as near to its end as can be, so that a caller that pairs an error
/// with the wrong text gets an odd picture and no panic. Columns count from 0 here too.
pub fn render(source: &str, span: Span, message: &str) -> String {
    format!("{message}\n{}", picture(source, span, ""))
}

/// The source line with carets under `span`, and a note behind them: [`render`], without its
/// message.
pub(crate) fn picture(source: &str, span: Span, note: &str) -> String {
    let position = Position::of(source, span.start);
    let start = floor_boundary(source, span.start);
    let end = floor_boundary(source, span.end).max(start);
    let line_start = source[..start].rfind('\n').map_or(0, |newline| newline + 1);
    let line_end = source[start..].find('\n').map_or(source.len(), |newline| start + newline);

    let (before, from_start) = (&source[line_start..start], &source[start..line_end]);
    let from_start = from_start.trim_end_matches('\r');
    // A window of a long line, so that one huge statement does not flood the message.
    let is_long = beginning(&source[line_start..line_end], MAX_SHOWN).1;
    let (before, cut_before) = ending(before, if is_long { MAX_BEFORE } else { MAX_SHOWN });
    let (shown, cut_after) = beginning(from_start, MAX_SHOWN - width(before));
    let marked = width(&shown[..shown.len().min(end - start)]).max(1);

    let number = position.line.to_string();
    let gutter = " ".repeat(number.len());
    let (left, right) = (if cut_before { "…" } else { "" }, if cut_after { "…" } else { "" });
    let mut text = String::new();
    let _ = writeln!(text, "{gutter}--> line {}, column {}", position.line, position.column);
    let _ = writeln!(text, "{gutter} |");
    let _ = write!(text, "{number} | {left}");
    text.extend(before.chars().chain(shown.chars()).map(printable));
    let _ = writeln!(text, "{right}");
    let indent = " ".repeat(left.chars().count() + width(before));
    let _ = write!(text, "{gutter} | {indent}{}", "^".repeat(marked));
    if !note.is_empty() {
        let _ = write!(text, " {note}");
    }
    text
}

/// A character as it is shown. Tabs and other controls would shift the carets, and those that turn
/// the direction of writing would make the line read as another one.
fn printable(c: char) -> char {
    match c {
        '\u{202A}'..='\u{202E}' | '\u{2066}'..='\u{2069}' => '\u{FFFD}',
        c if c.is_control() => ' ',
        c => c,
    }
}

/// The cells that a text takes on a terminal, its characters shown as [`printable`].
fn width(text: &str) -> usize {
    text.chars().map(char_width).sum()
}

fn char_width(c: char) -> usize {
    printable(c).width().unwrap_or(1)
}

/// As much of the end of a text as is not wider than `limit`, and whether something is cut.
fn ending(text: &str, limit: usize) -> (&str, bool) {
    let cut = beyond(text.char_indices().rev(), limit);
    cut.map_or((text, false), |(at, c)| (&text[at + c.len_utf8()..], true))
}

/// As much of the beginning of a text as is not wider than `limit`, and whether something is cut.
fn beginning(text: &str, limit: usize) -> (&str, bool) {
    let cut = beyond(text.char_indices(), limit);
    cut.map_or((text, false), |(at, _)| (&text[..at], true))
}

/// The first character for which a width has no room.
fn beyond(chars: impl Iterator<Item = (usize, char)>, limit: usize) -> Option<(usize, char)> {
    // Some characters have no width: without a limit of their own any number of them would fit.
    const CHARS_PER_CELL: usize = 4;
    let mut room = limit;
    chars.enumerate().find_map(|(count, (at, c))| {
        let left = room.checked_sub(char_width(c)).filter(|_| count < limit * CHARS_PER_CELL);
        match left {
            Some(left) => {
                room = left;
                None
            }
            None => Some((at, c)),
        }
    })
}

/// The candidate that is so close to `name` that it is probably what was meant, if there is one.
///
/// Close is: at most a third of the letters differ (inserted, left out, replaced or swapped), or
/// only their case does.
pub fn did_you_mean<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    // Longer names are no typing errors worth quadratic work.
    const LONGEST: usize = 64;
    let wanted: Vec<char> = name.chars().take(LONGEST + 1).collect();
    if wanted.len() > LONGEST {
        return None;
    }
    let allowed = (wanted.len() / 3).max(1);
    candidates
        .into_iter()
        .filter(|candidate| *candidate != name && candidate.len() <= LONGEST * 4)
        .filter_map(|candidate| {
            let distance = if candidate.eq_ignore_ascii_case(name) {
                0
            } else {
                let other: Vec<char> = candidate.chars().collect();
                edit_distance(&wanted, &other)
            };
            // A name of one letter is one edit away from every other one.
            let close = distance <= allowed && distance < wanted.len().max(1);
            close.then_some((distance, candidate))
        })
        .min()
        .map(|(_, candidate)| candidate)
}

/// What was perhaps meant by `name`: the candidate that is close, in the words of `near`, or else
/// all that there are, behind the words `all`. Nothing if there are none.
pub(crate) fn suggest<'a>(
    name: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    near: impl Fn(&str) -> String,
    all: &str,
) -> Option<String> {
    let candidates: Vec<&str> = candidates.into_iter().collect();
    if let Some(candidate) = did_you_mean(name, candidates.iter().copied()) {
        return Some(near(candidate));
    }
    (!candidates.is_empty()).then(|| format!("{all} {}", listed(&candidates)))
}

/// Names with commas between them, the first ones if there are many.
pub(crate) fn listed<T: fmt::Display>(names: &[T]) -> String {
    const MOST: usize = 12;
    let shown: Vec<String> = names.iter().take(MOST).map(ToString::to_string).collect();
    let more = names.len().saturating_sub(MOST);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join(", "))
}

/// Edits between two words, a swap of neighbours counting as one.
fn edit_distance(a: &[char], b: &[char]) -> usize {
    let mut older = vec![0; b.len() + 1];
    let mut old: Vec<usize> = (0..=b.len()).collect();
    for (i, &x) in a.iter().enumerate() {
        let mut new = vec![i + 1; b.len() + 1];
        for (j, &y) in b.iter().enumerate() {
            let replaced = old[j] + usize::from(x != y);
            new[j + 1] = replaced.min(old[j + 1] + 1).min(new[j] + 1);
            if i > 0 && j > 0 && x == b[j - 1] && a[i - 1] == y {
                new[j + 1] = new[j + 1].min(older[j - 1] + 1);
            }
        }
        older = std::mem::replace(&mut old, new);
    }
    old[b.len()]
}

/// The last character boundary of `text` that is not after `byte`.
fn floor_boundary(text: &str, byte: u32) -> usize {
    text.floor_char_boundary(usize::try_from(byte).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32, end: u32) -> Span {
        Span { start, end }
    }

    #[test]
    fn positions_count_characters_and_lines() {
        let text = "p(\"é\")\nq(x)";
        assert_eq!(Position::of(text, 0), Position { line: 1, column: 0 });
        assert_eq!(Position::of(text, 5), Position { line: 1, column: 4 });
        assert_eq!(Position::of(text, 8), Position { line: 2, column: 0 });
        assert_eq!(Position::of(text, 999), Position { line: 2, column: 4 });
    }

    #[test]
    fn carets_stand_under_the_span() {
        assert_eq!(
            render("p(x) :-\n  nova:serves(x)", span(10, 24), "no such table"),
            "no such table\n --> line 2, column 2\n  |\n2 |   nova:serves(x)\n  |   ^^^^^^^^^^^^^^"
        );
    }

    #[test]
    fn an_empty_span_and_one_outside_get_one_caret_at_the_end() {
        let wanted = "m\n --> line 1, column 4\n  |\n1 | p(x)\n  |     ^";
        assert_eq!(render("p(x)", span(4, 4), "m"), wanted);
        assert_eq!(render("p(x)", span(70, 90), "m"), wanted);
    }

    #[test]
    fn of_a_long_line_a_window_is_shown() {
        let text = format!("{}Y{}", "a".repeat(500), "b".repeat(500));
        let shown = render(&text, span(500, 501), "m");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[3].chars().count(), 4 + MAX_SHOWN + 2);
        assert!(lines[3].starts_with("1 | …a") && lines[3].ends_with("b…"));
        let caret = lines[4].chars().position(|c| c == '^');
        assert_eq!(caret, lines[3].chars().position(|c| c == 'Y'));
    }

    #[test]
    fn carets_count_cells_and_not_characters() {
        let text = "p(\"日本\",\te\u{301}, y)";
        let shown = render(text, span(text.len() as u32 - 2, text.len() as u32 - 1), "m");
        let lines: Vec<&str> = shown.lines().collect();
        assert_eq!(lines[3], "1 | p(\"日本\", e\u{301}, y)");
        assert_eq!(lines[4], "  |              ^");
        // A direction that is turned within a line could make it read as another one.
        assert!(render("p(\"\u{202E}\", y)", span(0, 1), "m").contains("p(\"\u{FFFD}\", y)"));
    }

    #[test]
    fn a_span_over_lines_is_marked_on_the_first() {
        assert!(render("p(x\n)", span(0, 5), "m").ends_with("| ^^^"));
    }

    #[test]
    fn near_names_are_suggested() {
        let tables = ["servers", "flavors", "hosts"];
        assert_eq!(did_you_mean("serves", tables), Some("servers"));
        assert_eq!(did_you_mean("SERVERS", tables), Some("servers"));
        assert_eq!(did_you_mean("falvors", tables), Some("flavors"));
        assert_eq!(did_you_mean("networks", tables), None);
        assert_eq!(did_you_mean("servers", tables), None);
        assert_eq!(did_you_mean("p", ["q"]), None);
        assert_eq!(did_you_mean("", ["q"]), None);
    }
}
