//! The service of a case: a local HTTP server that gives the recorded answers, and 404 to all
//! else.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, Response, StatusCode};
use serde::Deserialize;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// One recorded answer.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Answer {
    method: String,
    /// Percent-decoded.
    path: String,
    #[serde(default)]
    query: Vec<(String, String)>,
    status: u16,
    #[serde(default)]
    response_headers: serde_json::Map<String, Value>,
    response: Value,
}

/// A running service; stopped when dropped.
pub(crate) struct Service {
    base: String,
    content: Arc<Content>,
    task: JoinHandle<()>,
}

struct Content {
    base: String,
    answers: Vec<Answer>,
    unanswered: Mutex<Vec<String>>,
}

impl Service {
    pub(crate) async fn start(answers: Vec<Answer>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let base = format!("http://{}", listener.local_addr().expect("an address"));
        let content =
            Arc::new(Content { base: base.clone(), answers, unanswered: Mutex::default() });
        let app = Router::new().fallback(answer).with_state(content.clone());
        let task = tokio::spawn(async move {
            axum::serve(listener, app).await.expect("a server");
        });
        Self { base, content, task }
    }

    /// Puts this service's address in the place of `{base}`.
    pub(crate) fn fill(&self, value: &Value) -> Value {
        fill(value, &self.base)
    }

    /// Requests for which there was no answer.
    pub(crate) fn unanswered(&self) -> Vec<String> {
        self.content.unanswered.lock().expect("no panic while locked").clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn fill(value: &Value, base: &str) -> Value {
    match value {
        Value::String(text) => text.replace("{base}", base).into(),
        Value::Array(items) => items.iter().map(|item| fill(item, base)).collect(),
        Value::Object(members) => {
            Value::Object(members.iter().map(|(k, v)| (k.clone(), fill(v, base))).collect())
        }
        other => other.clone(),
    }
}

async fn answer(State(content): State<Arc<Content>>, request: Request) -> Response<Body> {
    let uri = reqwest::Url::parse(&format!("http://x{}", request.uri())).expect("a valid URI");
    let decode =
        |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let path = decode(uri.path());
    let mut query: Vec<(String, String)> = uri.query_pairs().into_owned().collect();
    query.sort();
    let found = content.answers.iter().find(|answer| {
        let mut expected = answer.query.clone();
        expected.sort();
        answer.method == request.method().as_str() && answer.path == path && expected == query
    });
    let Some(found) = found else {
        let line = format!("{} {}", request.method(), request.uri());
        content.unanswered.lock().expect("no panic while locked").push(line);
        let mut response = Response::new(Body::from("{}"));
        *response.status_mut() = StatusCode::NOT_FOUND;
        return response;
    };
    let body = match &found.response {
        Value::Null => Body::empty(),
        value => Body::from(fill(value, &content.base).to_string()),
    };
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(found.status).expect("a status");
    response.headers_mut().insert("content-type", HeaderValue::from_static("application/json"));
    for (name, value) in &found.response_headers {
        let value = fill(value, &content.base);
        let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
        response.headers_mut().insert(
            HeaderName::from_bytes(name.as_bytes()).expect("a header's name"),
            HeaderValue::from_str(&text).expect("a header's value"),
        );
    }
    response
}
