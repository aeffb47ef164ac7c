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

/// The body of an element's action: JSON whatever its type is called.
pub(super) struct ActionBody(Bytes);

impl<S: Send + Sync> FromRequest<S> for Json {
    type Rejection = Failure;

    async fn from_request(request: Request, state: &S) -> Answer<Self> {
        check_type(request.headers())?;
        parse(&bytes(request, state).await?).map(Self)
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

fn check_type(headers: &HeaderMap) -> Answer<()> {
    let Some(value) = headers.get(CONTENT_TYPE) else {
        return Ok(());
    };
    // A value that is no text is no known type either.
    let mut parts = value.to_str().unwrap_or_default().split(';').map(str::trim);
    if !parts.next().is_some_and(|kind| kind.eq_ignore_ascii_case("application/json")) {
        return Err(Failure::verbatim(
            Status::BadRequest,
            "Unsupported Content-Type; must be 'application/json'",
        ));
    }
    let charset = parts.filter_map(|part| part.split_once('=')).find_map(|(name, value)| {
        name.trim().eq_ignore_ascii_case("charset").then(|| value.trim().trim_matches('"'))
    });
    match charset.map(str::to_ascii_lowercase).as_deref() {
        None | Some("utf-8" | "utf8") => Ok(()),
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

    fn type_of(value: &'static str) -> Answer<()> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, http::HeaderValue::from_static(value));
        check_type(&headers)
    }

    #[test]
    fn content_types() {
        assert!(check_type(&HeaderMap::new()).is_ok());
        for good in [
            "application/json",
            "Application/JSON ; charset=utf-8",
            "application/json;charset=\"UTF-8\"",
            "application/json; version=1; charset=utf8",
        ] {
            assert!(type_of(good).is_ok(), "{good}");
        }
        let message = |value| type_of(value).unwrap_err().message;
        for other in ["text/plain", "", "application/jsonp", "application/x-www-form-urlencoded"] {
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
