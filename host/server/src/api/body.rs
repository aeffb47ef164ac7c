//! Bodies of requests.

use axum::extract::{FromRequest, Request};
use bytes::Bytes;
use http::HeaderMap;
use http::header::CONTENT_TYPE;
use serde_json::Value;

use super::json_fault;
use crate::failure::{Answer, Failure, Status};

/// A body that must be JSON and, where a type is given, be called so.
///
/// A request that names no type is taken to be JSON.
pub(super) struct Json(pub(super) Value);

/// What is to change of something.
pub(super) struct Patch {
    pub(super) body: Value,
    /// Whether it is a merge patch (RFC 7396): objects in it change their members too, and null
    /// takes one away.
    pub(super) merges: bool,
}

/// The body of an element's action: JSON whatever its type is called.
pub(super) struct ActionBody(Bytes);

const JSON: &str = "application/json";
/// The type of a merge patch.
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        kind(request.headers(), &[JSON])?;
        parse(&bytes(request, state).await?).map(Self)
    }
}

impl<S: Send + Sync> FromRequest<S> for Patch {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        let merges = kind(request.headers(), &[JSON, MERGE_PATCH])? == MERGE_PATCH;
        Ok(Self { body: parse(&bytes(request, state).await?)?, merges })
    }
}

impl<S: Send + Sync> FromRequest<S> for ActionBody {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        bytes(request, state).await.map(Self)
    }
}

impl ActionBody {
    /// For actions that cannot do without.
    pub(super) fn required(&self) -> Answer<Value> {
        parse(&self.0)
    }

    /// For actions that have no arguments: nothing is fine too.
    pub(super) fn ignored(&self) -> Answer<()> {
        if self.0.is_empty() { Ok(()) } else { parse(&self.0).map(|_| ()) }
    }
}

/// The whole body, which the envelope has read and bounded already.
async fn bytes<S: Send + Sync>(request: Request, state: &S) -> Answer<Bytes> {
    Bytes::from_request(request, state).await.map_err(Failure::internal)
}

/// Which of these types the body is called; the first if it is called nothing.
fn kind(headers: &HeaderMap, kinds: &[&'static str]) -> Answer<&'static str> {
    let first = kinds.first().copied().unwrap_or(JSON);
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(first);
    };
    // A value that is no text is no known type either.
    let mut parts = value.to_str().unwrap_or_default().split(';').map(str::trim);
    let called = parts.next().unwrap_or_default();
    let Some(found) = kinds.iter().find(|kind| called.eq_ignore_ascii_case(kind)) else {
        return Err(Failure::verbatim(
            Status::BadRequest,
            format!("Unsupported Content-Type; must be '{first}'"),
        ));
    };
    let charset = parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset.map(str::to_ascii_lowercase).as_deref() {
        None | Some("utf-8" | "utf8") => Ok(found),
        Some(_) => {
            Err(Failure::verbatim(Status::BadRequest, "Unsupported charset: must be 'UTF-8'"))
        }
    }
}

fn parse(body: &[u8]) -> Answer<Value> {
    let refused = |reason: &dyn std::fmt::Display| {
        Failure::verbatim(
            Status::BadRequest,
            format!("Failed to parse body as application/json: {reason}"),
        )
    };
    let text = std::str::from_utf8(body).map_err(|error| {
        refused(&format_args!("the text is not UTF-8 (byte {})", error.valid_up_to()))
    })?;
    serde_json::from_str(text).map_err(|error| match json_fault::find(text) {
        Some(fault) => refused(&fault),
        // What the original accepted and we do not: NaN, numbers out of range, half of a
        // surrogate pair.
        None => refused(&error),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(value: &'static str, kinds: &[&'static str]) -> Answer<&'static str> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(value));
        kind(&headers, kinds)
    }

    fn type_of(value: &'static str) -> Answer<&'static str> {
        of(value, &[JSON])
    }

    #[test]
    fn content_types() {
        assert_eq!(kind(&HeaderMap::new(), &[JSON, MERGE_PATCH]), Ok(JSON));
        assert_eq!(of("application/Merge-Patch+json", &[JSON, MERGE_PATCH]), Ok(MERGE_PATCH));
        assert_eq!(of("application/json", &[JSON, MERGE_PATCH]), Ok(JSON));
        for good in [
            "application/json",
            "Application/JSON ; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; version=1; charset=utf8",
        ] {
            assert!(type_of(good).is_ok(), "{good}");
        }
        let message = |value| type_of(value).unwrap_err().message;
        for other in [
            "text/plain",
            "",
            "application/jsonp",
            "application/x-www-form-urlencoded",
            MERGE_PATCH,
        ] {
            assert_eq!(message(other), "Unsupported Content-Type; must be 'application/json'");
        }
        assert_eq!(
            message("application/json; charset=latin-1"),
            "Unsupported charset: must be 'UTF-8'"
        );
    }

    #[test]
    fn ill_formed_bodies() {
        let message = |body: &[u8]| parse(body).unwrap_err().message;
        let lead = "Failed to parse body as application/json: ";
        assert_eq!(message(b""), format!("{lead}Expecting value: line 1 column 1 (char 0)"));
        assert_eq!(message(b"[\"a\xff\"]"), format!("{lead}the text is not UTF-8 (byte 3)"));
        assert!(message(b"NaN").starts_with(lead));
        assert!(message("[".repeat(1 << 20).as_bytes()).contains("Too many levels"));
        assert_eq!(parse(b" null "), Ok(Value::Null));
    }
}
