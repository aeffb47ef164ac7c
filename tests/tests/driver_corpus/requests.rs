//! Requests as they are compared with recorded ones.

use percent_encoding::percent_decode_str;
use serde::Deserialize;
use serde_json::Value;

/// A request: recorded, or received.
#[derive(Clone, Debug, PartialEq, Deserialize)]
pub(crate) struct Asked {
    pub(crate) method: String,
    /// Percent-decoded.
    pub(crate) path: String,
    /// Sorted.
    #[serde(default)]
    query: Vec<(String, String)>,
    /// Null if there is none.
    #[serde(default)]
    body: Value,
}

impl Asked {
    pub(crate) fn new(method: &str, path: &str, query: &str, body: &[u8]) -> Self {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let pair = |pair: &str| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            (decode(&name.replace('+', " ")), decode(&value.replace('+', " ")))
        };
        let query = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
        let text = || Value::from(String::from_utf8_lossy(body).into_owned());
        let body = match body {
            [] => Value::Null,
            body => serde_json::from_slice(body).unwrap_or_else(|_| text()),
        };
        Self { method: method.to_owned(), path: decode(path), query, body }.sorted()
    }

    pub(crate) fn sorted(mut self) -> Self {
        self.query.sort();
        self
    }
}

impl std::fmt::Display for Asked {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} {}", self.method, self.path)?;
        if !self.query.is_empty() {
            write!(f, " {:?}", self.query)?;
        }
        if !self.body.is_null() {
            write!(f, " {}", self.body)?;
        }
        Ok(())
    }
}
