//! Texts that come from anywhere, made fit for a terminal.
//!
//! A cell may hold what moves a cursor, retitles a window or, with a change of direction, shows
//! one name for another. Such characters are shown, not sent.

/// Whether a terminal does something else with a character than show it.
fn acts(c: char) -> bool {
    c.is_control()
        || matches!(c,
            // Directions
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
            // Ends of lines and paragraphs
            | '\u{2028}' | '\u{2029}'
            // What cannot be seen, and so makes different names look alike. Joiners (200c, 200d)
            // are a part of how some languages are written.
            | '\u{ad}' | '\u{200b}' | '\u{2060}'..='\u{2064}' | '\u{206a}'..='\u{206f}' | '\u{feff}'
            | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// A text for one line.
pub(crate) fn clean(text: &str) -> String {
    escaped(text, |c| acts(c).then(|| shown(c)))
}

/// A text of several lines.
pub(crate) fn clean_lines(text: &str) -> String {
    escaped(text, |c| (c != '\n' && acts(c)).then(|| shown(c)))
}

/// A JSON text with everything of the kind as JSON escapes it; it stays the same value. Between
/// its tokens JSON has line breaks only; within texts they are escaped already.
pub(super) fn in_json(text: &str) -> String {
    escaped(text, |c| {
        (c != '\n' && acts(c)).then(|| {
            let mut units = [0; 2];
            c.encode_utf16(&mut units).iter().map(|unit| format!("\\u{unit:04x}")).collect()
        })
    })
}

fn escaped(text: &str, escape: impl Fn(char) -> Option<String>) -> String {
    let mut clean = String::with_capacity(text.len());
    for c in text.chars() {
        match escape(c) {
            Some(escape) => clean.push_str(&escape),
            None => clean.push(c),
        }
    }
    clean
}

/// A character as Rust writes it.
fn shown(c: char) -> String {
    match c {
        '\t' | '\r' | '\n' => c.escape_default().collect(),
        other => other.escape_unicode().collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_acts_is_shown() {
        assert_eq!(clean("a\u{1b}[31m\tb\n"), "a\\u{1b}[31m\\tb\\n");
        assert_eq!(clean("user\u{202e}nimda"), "user\\u{202e}nimda");
        assert_eq!(clean("\u{9b}\u{7f}"), "\\u{9b}\\u{7f}");
        assert_eq!(clean("日本 é 🏳️‍🌈"), "日本 é 🏳️‍🌈");
        assert_eq!(clean_lines("a\r\nb"), "a\\r\nb");
    }

    #[test]
    fn json_stays_the_same_value() {
        let value = serde_json::json!({"a": "x\u{202e}\u{e0041}\u{9b}\ny"});
        let text = in_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(text.chars().all(|c| c == '\n' || !acts(c)), "{text}");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&text).unwrap(), value);
    }
}
