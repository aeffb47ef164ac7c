//! Texts that a guest or a service made, on their way to people.

/// Makes one line of at most `limit` bytes: terminal escape sequences, control characters and
/// those that reorder text go, white space becomes a blank, and the rest is cut with an ellipsis.
pub(crate) fn clean(text: &str, limit: usize) -> String {
    let mut line = String::with_capacity(text.len().min(limit));
    let mut chars = text.trim().chars().peekable();
    while let Some(c) = chars.next() {
        let c = match c {
            '\u{1b}' => {
                skip_escape_sequence(&mut chars);
                continue;
            }
            c if c.is_whitespace() => ' ',
            c if c.is_control() || reorders(c) => continue,
            c => c,
        };
        if line.len() + c.len_utf8() + '…'.len_utf8() > limit {
            line.push('…');
            break;
        }
        line.push(c);
    }
    line
}

/// Skips what follows an escape character: `[…` up to its final byte, or `]…` up to its end.
fn skip_escape_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            for c in chars.by_ref() {
                if ('\u{40}'..='\u{7e}').contains(&c) {
                    return;
                }
            }
        }
        Some(']') => {
            for c in chars.by_ref() {
                if c == '\u{7}' || c == '\\' {
                    return;
                }
            }
        }
        _ => {}
    }
}

/// Marks that turn the direction of text, or do not show.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn one_plain_line() {
        assert_eq!(clean(" a\nb\tc ", 99), "a b c");
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m \u{1b}]0;title\u{7}x\u{0}\u{9b}y", 99), "red xy");
        assert_eq!(clean("a\u{202e}b", 99), "ab");
    }

    #[test]
    fn cut_at_a_character() {
        assert_eq!(clean("äöü", 99), "äöü");
        let cut = clean("ääääää", 9);
        assert_eq!(cut, "äää…");
        assert!(cut.len() <= 9);
    }
}
