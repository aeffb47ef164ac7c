//! What a rule says that its author perhaps did not mean, told beside the answer to whoever sent it.
//!
//! The bodies of answers are the original's, so warnings are headers, one each:
//! `Warning: 299 congress "text"`. The text is a JSON string, in ASCII.

use axum::response::Response;
use http::{HeaderName, HeaderValue};

use super::json_text::{self, Layout};

const WARNING: HeaderName = HeaderName::from_static("warning");

/// The most warnings of one answer; what clients take of headers is bounded.
const MOST: usize = 10;

/// The longest text of one, in characters.
const LENGTH: usize = 300;

/// The answer with warnings.
pub(super) fn beside(mut response: Response, warnings: &[String]) -> Response {
    let more = warnings.len().saturating_sub(MOST);
    let rest = (more > 0).then(|| format!("there are {more} more warnings"));
    for text in warnings.iter().take(MOST).chain(&rest) {
        if let Some(value) = header(text) {
            response.headers_mut().append(WARNING, value);
        }
    }
    response
}

fn header(text: &str) -> Option<HeaderValue> {
    let mut value = b"299 congress ".to_vec();
    let text: String = match text.char_indices().nth(LENGTH) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    };
    json_text::write(&mut value, &text, Layout::OneLine).ok()?;
    HeaderValue::from_bytes(&value).ok()
}

#[cfg(test)]
mod tests {
    use axum::response::IntoResponse as _;

    use super::*;

    fn texts(warnings: &[String]) -> Vec<String> {
        let response = beside("body".into_response(), warnings);
        let values = response.headers().get_all(WARNING).iter();
        values.map(|value| value.to_str().unwrap().to_owned()).collect()
    }

    #[test]
    fn any_text_becomes_a_header() {
        let texts = texts(&["say \"é\"\nand \\".to_owned(), "x".repeat(1000)]);
        assert_eq!(texts[0], r#"299 congress "say \"\u00e9\"\nand \\""#);
        assert!(texts[1].len() < LENGTH + 40 && texts[1].ends_with("\\u2026\""));
    }

    #[test]
    fn there_are_not_too_many() {
        assert_eq!(texts(&[]), Vec::<String>::new());
        let texts = texts(&vec!["w".to_owned(); 15]);
        assert_eq!(
            (texts.len(), texts[10].as_str()),
            (11, r#"299 congress "there are 5 more warnings""#)
        );
    }
}
