//! What holds for every request: its id and its line in the log, bounds on its body and on how
//! many are worked on, and an answer even if the code behind panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::header::CONTENT_LENGTH;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};
use http_body_util::BodyExt as _;
use tokio::sync::{Semaphore, SemaphorePermit};
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use super::ApiOptions;
use crate::failure::{Answer, Failure, Status};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// How much of a body that is too large is taken in before it is refused.
const DRAIN_BYTES: usize = 256 << 20;

/// How long that may take.
const DRAIN_TIME: Duration = Duration::from_secs(10);

/// What lets requests in.
pub(super) struct Gate {
    options: ApiOptions,
    slots: Semaphore,
}

impl Gate {
    pub(super) fn new(options: ApiOptions) -> Arc<Self> {
        let slots = options.max_simultaneous_requests.clamp(1, Semaphore::MAX_PERMITS);
        Arc::new(Self { options, slots: Semaphore::new(slots) })
    }

    /// Waits for a slot. A request holds one while it is worked on, but not while its body comes
    /// in: slow clients block nobody.
    async fn slot(&self) -> Answer<SemaphorePermit<'_>> {
        let waiting = tokio::time::timeout(self.options.client_timeout, self.slots.acquire());
        waiting.await.ok().and_then(Result::ok).ok_or_else(|| {
            Failure::plain(Status::Unavailable, "too many requests at once; try again later")
        })
    }

    /// Reads the whole body.
    async fn receive(&self, request: Request) -> Answer<Request> {
        let limit = self.options.max_body_bytes;
        let too_large = || {
            let text = format!("The body of a request may have {limit} bytes at most.");
            Failure::plain(Status::TooLarge, text)
        };
        let (parts, body) = request.into_parts();
        let announced = parts.headers.get(CONTENT_LENGTH).and_then(|v| v.to_str().ok());
        if announced.and_then(|v| v.parse::<u64>().ok()).is_some_and(|n| n > limit as u64) {
            drain(body).await;
            return Err(too_large());
        }
        let reading = tokio::time::timeout(self.options.client_timeout, to_bytes(body, limit));
        match reading.await {
            Ok(Ok(bytes)) => Ok(Request::from_parts(parts, Body::from(bytes))),
            Ok(Err(error)) if is_limit(&error) => Err(too_large()),
            Ok(Err(_)) => Err(Failure::plain(Status::BadRequest, "the body broke off")),
            Err(_) => {
                let seconds = self.options.client_timeout.as_secs();
                let text = format!("the body did not arrive within {seconds} s");
                Err(Failure::plain(Status::Timeout, text))
            }
        }
    }
}

/// The outermost layer.
pub(super) async fn wrap(
    State(gate): State<Arc<Gate>>,
    mut request: Request,
    next: Next,
) -> Response {
    let begin = Instant::now();
    normalise(&mut request);
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let id = format!("req-{}", Uuid::new_v4());
    let span = tracing::info_span!("request", %id, user = Empty, project = Empty);
    let mut response = answer(&gate, request, next, &path).instrument(span.clone()).await;

    let (status, ms) = (response.status().as_u16(), begin.elapsed().as_millis());
    let _entered = span.enter();
    if is_health(&path) {
        tracing::debug!(%method, path, status, ms, "answered");
    } else {
        tracing::info!(%method, path, status, ms, "answered");
    }
    let of_the_api = path == "/v1" || path.starts_with("/v1/");
    if of_the_api && let Ok(id) = HeaderValue::try_from(id) {
        response.headers_mut().insert(REQUEST_ID, id);
    }
    response
}

async fn answer(gate: &Gate, request: Request, next: Next, path: &str) -> Response {
    if request.method() == Method::OPTIONS {
        return Response::default();
    }
    let work = async {
        let request = gate.receive(request).await?;
        // Supervisors must not take a busy node for a dead one.
        let _slot = if is_health(path) { None } else { Some(gate.slot().await?) };
        Answer::Ok(next.run(request).await)
    };
    match AssertUnwindSafe(work).catch_unwind().await {
        Ok(Ok(response)) => response,
        Ok(Err(failure)) => failure.into_response(),
        Err(panic) => Failure::internal(panic_text(panic.as_ref())).into_response(),
    }
}

fn is_health(path: &str) -> bool {
    matches!(path, "/healthcheck" | "/readyz")
}

/// Several slashes before or after the version are as good as one; clients that join addresses
/// carelessly have always got away with it.
fn normalise(request: &mut Request) {
    let path = request.uri().path();
    let versioned = path.trim_start_matches('/');
    let normal = match versioned.strip_prefix("v1/") {
        Some(rest) => format!("/v1/{}", rest.trim_start_matches('/')),
        None => format!("/{versioned}"),
    };
    if normal == path {
        return;
    }
    let target = match request.uri().query() {
        Some(query) => format!("{normal}?{query}"),
        None => normal,
    };
    let mut parts = request.uri().clone().into_parts();
    parts.path_and_query = PathAndQuery::try_from(target).ok();
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// Takes in and drops what a client is still sending: one that is cut off while it sends never
/// sees the answer. Within bounds, for it may never end.
async fn drain(mut body: Body) {
    let mut left = DRAIN_BYTES;
    let taking = async {
        while let Some(Ok(frame)) = body.frame().await {
            let length = frame.data_ref().map_or(0, |data| data.len());
            match left.checked_sub(length) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whether it came to its end does not matter: the answer is the same.
    let _ = tokio::time::timeout(DRAIN_TIME, taking).await;
}

fn is_limit(error: &axum::Error) -> bool {
    std::error::Error::source(error)
        .is_some_and(|source| source.is::<http_body_util::LengthLimitError>())
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_around_the_version() {
        for (given, normal) in [
            ("/v1/policies", "/v1/policies"),
            ("/v1//policies?a=//b", "/v1/policies?a=//b"),
            ("//v1///policies//x", "/v1/policies//x"),
            ("/v1/", "/v1/"),
            ("//", "/"),
            ("/v1/policies/", "/v1/policies/"),
            ("/v1x//y", "/v1x//y"),
        ] {
            let mut request = Request::new(Body::empty());
            *request.uri_mut() = given.parse().unwrap();
            normalise(&mut request);
            assert_eq!(request.uri(), normal);
        }
    }
}
