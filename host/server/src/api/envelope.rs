//! What holds for every request: its id, its revision and its line in the log, a bound on how many
//! are worked on, and an answer even if the code behind panics.

use std::any::Any;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Instant;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use futures_util::FutureExt;
use http::uri::PathAndQuery;
use http::{HeaderName, HeaderValue, Method, Uri};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinError;
use tracing::Instrument;
use tracing::field::Empty;
use uuid::Uuid;

use super::ApiOptions;
use super::front::Slot;
use super::intake::Intake;
use super::path::is_of_the_api;
use super::revision;
use crate::failure::{Answer, Failure, Status};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-openstack-request-id");

/// What lets requests in.
pub(super) struct Gate {
    options: ApiOptions,
    slots: Arc<Semaphore>,
    intake: Intake,
    /// What is behind, if that is the API.
    api: Option<Slot>,
}

impl Gate {
    pub(super) fn new(options: ApiOptions, api: Option<Slot>) -> Arc<Self> {
        let slots = options.max_simultaneous_requests.clamp(1, Semaphore::MAX_PERMITS);
        let (slots, intake) = (Arc::new(Semaphore::new(slots)), Intake::new(&options));
        Arc::new(Self { options, slots, intake, api })
    }

    /// Waits for a slot. A request holds one while it is worked on, but not while its body comes
    /// in: slow clients block nobody.
    async fn slot(&self) -> Answer<OwnedSemaphorePermit> {
        let wait = self.options.client_timeout;
        let slot = tokio::time::timeout(wait, self.slots.clone().acquire_owned()).await;
        slot.ok().and_then(Result::ok).ok_or_else(|| {
            Failure::plain(Status::Unavailable, "too many requests at once; try again later")
        })
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
    let watch = span.clone();
    let mut watch =
        Unanswered { method: &method, path: &path, begin, span: watch, answered: false };
    let mut response = answer(&gate, request, next, &path).instrument(span.clone()).await;
    watch.answered = true;

    let (status, ms) = (response.status().as_u16(), begin.elapsed().as_millis());
    let _entered = span.enter();
    if is_health(&path) {
        tracing::debug!(%method, path, status, ms, "answered");
    } else {
        tracing::info!(%method, path, status, ms, "answered");
    }
    if is_of_the_api(&path) {
        if let Ok(id) = HeaderValue::try_from(id) {
            response.headers_mut().insert(REQUEST_ID, id);
        }
        // Until it is loaded there is none.
        if let Some(revision) = gate.api.as_ref().and_then(Slot::revision) {
            revision::tell(&mut response, revision);
        }
    }
    response
}

async fn answer(gate: &Gate, request: Request, next: Next, path: &str) -> Response {
    if request.method() == Method::OPTIONS {
        return Response::default();
    }
    let received = async {
        let (request, room) = gate.intake.receive(request).await?;
        // Supervisors must not take a busy node for a dead one.
        let slot = if is_health(path) { None } else { Some(gate.slot().await?) };
        Answer::Ok((request, (slot, room)))
    };
    let (request, held) = match received.await {
        Ok(received) => received,
        Err(failure) => return failure.into_response(),
    };
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let work = async move {
        let _held = held;
        next.run(request).await
    };
    let ended = if is_read {
        AssertUnwindSafe(work).catch_unwind().await
    } else {
        // A client that leaves does not stop a change half-way.
        let work = tokio::spawn(work.in_current_span()).await;
        match work.map_err(JoinError::try_into_panic) {
            Ok(response) => Ok(response),
            Err(Ok(panic)) => Err(panic),
            Err(Err(error)) => return Failure::internal(error).into_response(),
        }
    };
    ended.unwrap_or_else(|panic| Failure::internal(panic_text(panic.as_ref())).into_response())
}

/// Tells of a request whose client left before it was answered.
struct Unanswered<'r> {
    method: &'r Method,
    path: &'r str,
    begin: Instant,
    span: tracing::Span,
    answered: bool,
}

impl Drop for Unanswered<'_> {
    fn drop(&mut self) {
        if self.answered {
            return;
        }
        let ms = self.begin.elapsed().as_millis();
        let _entered = self.span.enter();
        tracing::info!(method = %self.method, path = self.path, ms, "the client left");
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

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("panic")
}

#[cfg(test)]
mod tests {
    use axum::body::Body;

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
