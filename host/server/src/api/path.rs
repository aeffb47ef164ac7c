//! What a request's address says: the names in its path, and how to build links from it.

use std::convert::Infallible;

use axum::extract::FromRequestParts;
use http::request::Parts;
use http::uri::Authority;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::DeserializeOwned;

use super::forwarded::Base;
use crate::failure::{Answer, Failure, Status};

/// Everything but RFC 3986's unreserved characters.
const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The variable segments of a path, decoded.
pub(super) struct Path<T>(pub(super) T);

/// Where the client believes to have sent its request.
pub(super) struct Address {
    /// Scheme and host without a slash at the end. Empty if the client named no host, which makes
    /// links relative.
    pub(super) base: String,
    path: String,
}

impl<T: DeserializeOwned + Send, S: Send + Sync> FromRequestParts<S> for Path<T> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Answer<Self> {
        match axum::extract::Path::from_request_parts(parts, state).await {
            Ok(axum::extract::Path(names)) => Ok(Self(names)),
            Err(_) => Err(Failure::plain(Status::BadRequest, "the path is not UTF-8 text")),
        }
    }
}

impl<S: Send + Sync> FromRequestParts<S> for Address {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Infallible> {
        if let Some(Base(base)) = parts.extensions.get() {
            return Ok(Self { base: base.clone(), path: parts.uri.path().to_owned() });
        }
        let named = parts.headers.get(http::header::HOST).and_then(|host| host.to_str().ok());
        let authority = match parts.uri.authority() {
            Some(authority) => Some(authority.clone()),
            None => named.and_then(|host| host.parse::<Authority>().ok()),
        };
        let base = authority.map(|host| format!("http://{host}")).unwrap_or_default();
        Ok(Self { base, path: parts.uri.path().to_owned() })
    }
}

impl Address {
    /// The address that the request was sent to.
    pub(super) fn itself(&self) -> String {
        format!("{}{}", self.base, self.path)
    }

    /// The address of a member of the collection that the request was sent to.
    pub(super) fn member(&self, id: &str) -> String {
        format!("{}{}/{}", self.base, self.path, utf8_percent_encode(id, SEGMENT))
    }
}

/// Whether a path is one of the versioned API, which needs a token and tells its revision.
pub(crate) fn is_of_the_api(path: &str) -> bool {
    path == "/v1" || path.starts_with("/v1/")
}
