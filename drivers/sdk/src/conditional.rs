//! Conditional requests: a service that knows what it sent before answers 304, and the tables made
//! of it keep their rows.

use serde_json::{Value as Json, json};

use crate::session::{Request, Response, send};
use crate::{Result, logging, state};

/// What names the version of an answer. Kept once its rows have been sent, so that an answer that
/// could not be used is asked for again.
#[must_use = "the next request is unconditional unless this is kept"]
#[derive(Clone, Debug, PartialEq)]
pub struct Version {
    key: String,
    url: String,
    etag: Option<String>,
    modified: Option<String>,
}

/// Sends a GET, with the version that was kept under that key. None: nothing has changed since.
pub fn get(request: &Request, key: &str) -> Result<Option<(Response, Version)>> {
    ask(request, key, |version| version)
}

/// The same, by `ETag` alone: a time of change has whole seconds, and what changes twice within one
/// looks the same by it.
pub fn by_etag(request: &Request, key: &str) -> Result<Option<(Response, Version)>> {
    ask(request, key, Version::without_time)
}

fn ask(
    request: &Request,
    key: &str,
    usable: impl Fn(Version) -> Version,
) -> Result<Option<(Response, Version)>> {
    let kept = state::get(&stored(key)).and_then(|text| Version::parse(key, &text));
    // An earlier build may have kept a time alone.
    let kept = kept.map(&usable).filter(|kept| kept.url == request.url && kept.is_any());
    let mut conditional = request.clone();
    if let Some(kept) = &kept {
        conditional.headers.extend(kept.headers());
    }
    let response = send(&conditional)?;
    if response.status == 304 && kept.is_some() {
        return Ok(None);
    }
    let response = response.success(request)?;
    let version = usable(Version::of(key, &request.url, &response));
    Ok(Some((response, version)))
}

impl Version {
    /// Keeps it for the next request, in place of what was kept before. One that names no version
    /// is not kept, nor is one that there is no room for: the next request is unconditional then.
    pub fn keep(self) -> Result<()> {
        let key = stored(&self.key);
        if self.is_any() {
            match state::set(&key, json!([self.url, self.etag, self.modified])) {
                Ok(()) => return Ok(()),
                Err(error) => logging::debug(&format!("the version of {}: {error}", self.url)),
            }
        }
        match state::get(&key) {
            Some(_) => state::remove(&key),
            None => Ok(()),
        }
    }

    /// Whether it tells one answer from another.
    fn is_any(&self) -> bool {
        self.etag.is_some() || self.modified.is_some()
    }

    /// The same without the time of the last change.
    fn without_time(self) -> Self {
        Self { modified: None, ..self }
    }

    fn of(key: &str, url: &str, response: &Response) -> Self {
        let header = |name| response.header(name).map(str::to_owned);
        let (etag, modified) = (header("etag"), header("last-modified"));
        Self { key: key.into(), url: url.into(), etag, modified }
    }

    fn parse(key: &str, text: &str) -> Option<Self> {
        let kept: Json = serde_json::from_str(text).ok()?;
        let part = |place: usize| kept[place].as_str().map(str::to_owned);
        Some(Self { key: key.into(), url: part(0)?, etag: part(1), modified: part(2) })
    }

    fn headers(&self) -> impl Iterator<Item = (String, String)> {
        let header = |name: &str, value: &Option<String>| Some((name.into(), value.clone()?));
        let etag = header("if-none-match", &self.etag);
        // Servers ignore it beside the other; some know only this one.
        etag.into_iter().chain(header("if-modified-since", &self.modified))
    }
}

/// The key of the state.
fn stored(key: &str) -> String {
    format!("version {key}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_kept_whole() {
        let response = Response {
            status: 200,
            headers: vec![("etag".into(), "W/\"7\"".into())],
            body: Vec::new(),
        };
        let version = Version::of("t", "http://h/x", &response);
        let kept = json!([version.url, version.etag, version.modified]).to_string();
        assert_eq!(Version::parse("t", &kept).as_ref(), Some(&version));
        let headers: Vec<_> = version.headers().collect();
        assert_eq!(headers, [("if-none-match".to_owned(), "W/\"7\"".to_owned())]);
        assert_eq!(Version::parse("t", "odd"), None);
        assert_eq!(Version::parse("t", "[1]"), None);
    }

    #[test]
    fn a_time_alone_is_no_version_where_etags_count() {
        let version = |headers: &[(&str, &str)]| {
            let headers = headers.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
            Version::of("t", "http://h", &Response { status: 200, headers, body: Vec::new() })
        };
        let time = ("last-modified", "Sat, 28 Nov 2026 07:00:00 GMT");
        assert!(version(&[time]).is_any() && !version(&[time]).without_time().is_any());
        let both = version(&[time, ("etag", "\"7\"")]);
        assert_eq!(both.headers().count(), 2);
        let names: Vec<_> = both.without_time().headers().map(|(name, _)| name).collect();
        assert_eq!(names, ["if-none-match"]);
    }
}
