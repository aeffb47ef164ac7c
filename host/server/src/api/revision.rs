//! Reading one's own writes, on whichever node.
//!
//! Every answer says which revision of the database its node had loaded (`X-Congress-Revision`); a
//! write is part of it. A client that sends it with a later request is answered by no state before:
//! a node that is behind catches up first, within a bound.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::{HeaderName, HeaderValue};

use super::path::is_of_the_api;
use crate::engine::EngineHandle;
use crate::failure::{Failure, Status};

const REVISION: HeaderName = HeaderName::from_static("x-congress-revision");

/// What the layer needs, which has requests wait for the revision that they ask for.
#[derive(Clone)]
pub(super) struct Revisions {
    pub(super) engine: EngineHandle,
    /// How long a request waits for its revision.
    pub(super) within: Duration,
}

pub(super) async fn wrap(
    State(Revisions { engine, within }): State<Revisions>,
    request: Request,
    next: Next,
) -> Response {
    // What anybody may ask must not wait.
    let wanted = request.headers().get(REVISION);
    if let Some(wanted) = wanted.filter(|_| is_of_the_api(request.uri().path())) {
        let number = wanted.to_str().ok().and_then(|text| text.trim().parse::<u64>().ok());
        let Some(number) = number else {
            let text = "X-Congress-Revision must be a whole number, as an answer gave it";
            return Failure::plain(Status::BadRequest, text).into_response();
        };
        if !engine.reach(number, within).await {
            let text = format!(
                "this node has revision {} of the database, and {number} is asked for; try again \
                 later",
                engine.revision()
            );
            return Failure::plain(Status::Unavailable, text).into_response();
        }
    }
    next.run(request).await
}

/// Says in an answer which revision its node has.
pub(super) fn tell(response: &mut Response, revision: u64) {
    if let Ok(value) = HeaderValue::try_from(revision.to_string()) {
        response.headers_mut().insert(REVISION, value);
    }
}
