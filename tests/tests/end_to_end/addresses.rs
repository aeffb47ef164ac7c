//! Tables from an address: what has not changed is not sent again, and keeps its rows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use congress_test_services::eventually;
use congress_tests::Server;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{SOON, datasource, rows, shipped};

/// A document with its version, and how often it was sent, and was found unchanged.
#[derive(Default)]
struct Document {
    content: Mutex<(String, u32)>,
    sent: AtomicUsize,
    unchanged: AtomicUsize,
}

impl Document {
    fn put(&self, text: &str) {
        let mut content = self.content.lock().unwrap();
        *content = (text.to_owned(), content.1 + 1);
    }
}

async fn people(State(document): State<Arc<Document>>, headers: HeaderMap) -> Response {
    let (text, version) = document.content.lock().unwrap().clone();
    let etag = format!("\"v{version}\"");
    if headers.get("if-none-match").is_some_and(|known| *known == etag) {
        document.unchanged.fetch_add(1, Ordering::Relaxed);
        return StatusCode::NOT_MODIFIED.into_response();
    }
    document.sent.fetch_add(1, Ordering::Relaxed);
    ([("etag", etag)], text).into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_not_changed_is_not_sent_again() {
    let document = Arc::new(Document::default());
    document.put("people:\n  - {name: Ada, age: 36}\n");
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service =
        Router::new().route("/lists/people.yaml", get(people)).with_state(document.clone());
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });

    let options = shipped().with("plugins", "allowed_hosts", "127.0.0.1");
    let server = Server::start(options).await.unwrap();
    let table = json!({
        "format": "yaml", "url": "people.yaml", "rows": "people", "columns": ["name", "age"],
    });
    let config = json!({
        "url": format!("http://{address}/lists"), "poll_time": "1", "tables": {"people": table},
    });
    datasource(&server, "files", "lists", config).await;
    let path = "/v1/data-sources/lists/tables/people";
    rows(&server, path, json!([["Ada", 36]])).await;
    let polled_twice = async || (document.unchanged.load(Ordering::Relaxed) >= 2).then_some(());
    eventually("the document is found unchanged", SOON, polled_twice).await.unwrap();
    assert_eq!(document.sent.load(Ordering::Relaxed), 1);
    rows(&server, path, json!([["Ada", 36]])).await;

    // What cannot be read is asked for again, and the rows stay until it can.
    document.put("people: [");
    let error = |body: &Value| {
        body["last_error"].as_str().is_some_and(|error| error.contains("people.yaml"))
    };
    server.eventually("/v1/data-sources/lists/status", SOON, error).await.unwrap();
    rows(&server, path, json!([["Ada", 36]])).await;
    document.put("people:\n  - {name: Bob, age: 41}\n");
    rows(&server, path, json!([["Bob", 41]])).await;
}
