//! What stands at a location: a file in pieces, or the body of an answer.

use std::io::{self, BufReader, Cursor, Read};

use congress_driver::conditional::{self, Version};
use congress_driver::files::File;
use congress_driver::json::BYTE_ORDER_MARK;
use congress_driver::session::Request;
use congress_driver::{Error, Result};
use serde_json::Value as Json;

use crate::mapping::Location;

/// The bytes at a location.
pub(crate) enum Content<'a> {
    File(File<'a>),
    Body(Cursor<Vec<u8>>),
}

/// What is at a location, and the version to keep once its rows are sent; none if it is what it
/// was when the table was read last.
pub(crate) fn changed<'a>(
    location: &'a Location,
    table: &str,
) -> Result<Option<(Content<'a>, Option<Version>)>> {
    match location {
        Location::File(path) => Ok(Some((Content::File(File::at(path)), None))),
        Location::Url(url) => {
            let answer = conditional::get(&request(url), table)?;
            Ok(answer.map(|(response, version)| {
                (Content::Body(Cursor::new(response.body)), Some(version))
            }))
        }
    }
}

/// What is at a location, changed or not.
pub(crate) fn whole(location: &Location) -> Result<Content<'_>> {
    match location {
        Location::File(path) => Ok(Content::File(File::at(path))),
        Location::Url(url) => Ok(Content::Body(Cursor::new(request(url).send()?.body))),
    }
}

fn request(url: &str) -> Request {
    Request::new("GET", url).header("accept", "*/*")
}

impl Content<'_> {
    /// Reads it as JSON. Errors name the place.
    pub(crate) fn json(self, place: &str) -> Result<Json> {
        from_reader(self).map_err(|error| match error.io_error_kind() {
            Some(_) => io::Error::from(error).into(),
            None => Error::Protocol(format!("{place}: {error}")),
        })
    }

    /// Reads it as YAML, one document. Aliases are bounded by the library.
    pub(crate) fn yaml(mut self, place: &str) -> Result<Json> {
        let mut bytes = Vec::new();
        self.read_to_end(&mut bytes)?;
        let text = String::from_utf8(bytes)
            .map_err(|error| Error::Protocol(format!("{place} is not UTF-8: {error}")))?;
        parse(&text).map_err(|error| Error::Protocol(format!("{place}: {error}")))
    }
}

impl Read for Content<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::File(file) => file.read(buffer),
            Self::Body(body) => body.read(buffer),
        }
    }
}

/// Reads JSON without the byte order mark that may stand before it.
fn from_reader(mut content: impl Read) -> serde_json::Result<Json> {
    let mut start = Vec::new();
    let mark = BYTE_ORDER_MARK.len();
    content.by_ref().take(mark as u64).read_to_end(&mut start).map_err(serde_json::Error::io)?;
    let start = start.strip_prefix(BYTE_ORDER_MARK).unwrap_or(&start);
    serde_json::from_reader(start.chain(BufReader::new(content)))
}

fn parse(yaml: &str) -> std::result::Result<Json, String> {
    // As version 1.2 has it: a country `no` is no boolean.
    let options = serde_saphyr::options! { strict_booleans: true };
    serde_saphyr::from_str_with_options(yaml, options).map_err(|error| {
        // The message shows the lines around the mistake; the first says what it is.
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        first.strip_prefix("error: ").unwrap_or(first).to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_has_the_types_of_json() {
        let yaml = "defaults: &d {owner: ops, since: 2026-01-02}\nhosts:\n  - name: a\n    cpus: 4\n    \
                    load: 1.0\n    up: true\n    note: ~\n    <<: *d\n  - name: \"007\"\n    up: no\n";
        let json = parse(yaml).unwrap();
        assert_eq!(json["hosts"][0]["cpus"], 4);
        assert_eq!(json["hosts"][0]["load"].to_string(), "1.0");
        assert_eq!(json["hosts"][0]["up"], true);
        assert_eq!(json["hosts"][0]["note"], Json::Null);
        assert_eq!(json["hosts"][0]["owner"], "ops");
        assert_eq!(json["hosts"][0]["since"], "2026-01-02");
        assert_eq!(json["hosts"][1], json!({"name": "007", "up": "no"}));
    }

    #[test]
    fn a_byte_order_mark_is_skipped() {
        for text in ["\u{feff}[1, 2]", "[1, 2]"] {
            assert_eq!(from_reader(text.as_bytes()).unwrap(), json!([1, 2]));
        }
        assert_eq!(from_reader(&b"1"[..]).unwrap(), json!(1));
        assert!(from_reader("\u{feff}".as_bytes()).is_err());
        assert_eq!(parse("\u{feff}a: 1").unwrap(), json!({"a": 1}));
    }

    #[test]
    fn mistakes_and_bombs_are_errors() {
        assert!(parse("a: [1, 2").is_err());
        assert!(parse("a: 1\na: 2").is_err());
        let mut bomb = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n".to_owned();
        for n in 1..9 {
            let last = format!("*a{}, ", n - 1).repeat(10);
            bomb.push_str(&format!("a{n}: &a{n} [{}]\n", last.trim_end_matches(", ")));
        }
        assert!(parse(&bomb).is_err());
    }
}
