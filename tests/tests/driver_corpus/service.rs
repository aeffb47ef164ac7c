//! The service of a case: a local HTTP server that gives the recorded answers, and 404 to all
//! else.

use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::Response;
use congress_server::fixture::{Answers, Exchange, fill};
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A running service; stopped when dropped.
pub(crate) struct Service {
    answers: Arc<Answers>,
    task: JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start(exchanges: Vec<Exchange>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let answers = Arc::new(Answers::new(base, exchanges));
        let app = Router::new().fallback(answer).with_state(answers.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("a server");
        });
        Self { answers, task }
    }

    /// Puts this service's address in the place of `{base}`.
    pub(crate) fn fill(&self, value: &Value) -> Value {
        fill(value, self.answers.base())
    }

    /// Requests for which there was no answer.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.answers.unanswered()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn answer(State(answers): State<Arc<Answers>>, request: Request) -> Response<Body> {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default();
    answers.answer(request.method().as_str(), uri.path(), query).map(Body::from)
}
