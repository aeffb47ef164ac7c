//! The service of a case: a local HTTP server that gives the recorded answers, and 404 to all
//! else. It remembers what it was asked.

use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::http::Response;
use congress_server::fixture::{Answers, Exchange, fill};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::requests::Asked;

/// No request of a driver is longer.
const BODY_BYTES: usize = 1 << 20;

/// A running service; stopped when dropped.
pub(crate) struct Service {
    inner: Arc<Inner>,
    task: JoinHandle<()>,
}

struct Inner {
    answers: Answers,
    /// The answer where none is recorded; none: 404.
    otherwise: Option<Value>,
    asked: Mutex<Vec<Asked>>,
}

impl Service {
    /// Serves recorded answers. With `otherwise` there is an answer to all else, too.
    pub(crate) async fn start(exchanges: Vec<Exchange>, otherwise: Option<Value>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = Answers::new(base, exchanges);
        let inner = Arc::new(Inner { answers, otherwise, asked: Mutex::default() });
        let app = Router::new().fallback(answer).with_state(inner.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("a server");
        });
        Self { inner, task }
    }

    /// Puts this service's address in the place of `{base}`.
    pub(crate) fn fill(&self, value: &Value) -> Value {
        fill(value, self.inner.answers.base())
    }

    /// Requests for which there was no answer.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.inner.answers.unanswered()
    }

    /// What it was asked since the last call of this function.
    pub(crate) fn take_asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.inner.asked.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(inner): State<Arc<Inner>>, request: Request) -> Response<Body> {
    let (head, body) = request.into_parts();
    let body = to_bytes(body, BODY_BYTES).await.unwrap_or_default();
    let (method, path) = (head.method.as_str(), head.uri.path());
    let query = head.uri.query().unwrap_or_default();
    let asked = Asked::new(method, path, query, &body);
    inner.asked.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
    let found = inner.answers.answer(method, path, query);
    match &inner.otherwise {
        Some(otherwise) if found.status() == 404 => {
            Response::new(Body::from(otherwise.to_string()))
        }
        _ => found.map(Body::from),
    }
}
