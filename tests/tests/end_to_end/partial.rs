//! Polls of which one table fails: the others are published, unless all or nothing is asked for.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use congress_tests::{Server, ServerOptions};
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{SOON, datasource, rows, shipped};

/// A service with a list that can be read, which is sent once to whoever remembers its version, and
/// one that cannot be read until it is mended.
async fn service(mended: Arc<AtomicBool>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let good = async |headers: HeaderMap| -> Response {
        match headers.get("if-none-match") {
            Some(known) if known == "\"1\"" => StatusCode::NOT_MODIFIED.into_response(),
            _ => ([("etag", "\"1\"")], r#"[{"n": 1}]"#).into_response(),
        }
    };
    let bad = async move || match mended.load(Ordering::Relaxed) {
        true => "[]".into_response(),
        false => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let service = Router::new().route("/good", get(good)).route("/bad", get(bad));
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });
    url
}

/// A server with a datasource of both lists, once that has been polled.
async fn polled(options: ServerOptions, mended: Arc<AtomicBool>) -> Server {
    let server = Server::start(options.with("plugins", "allowed_hosts", "127.0.0.1")).await;
    let server = server.unwrap();
    let table = |path: &str| json!({"path": path, "rows": "$", "columns": ["n"]});
    let tables = json!({"good": table("good"), "bad": table("bad")});
    let config = json!({"url": service(mended).await, "poll_time": "1", "tables": tables});
    datasource(&server, "http_json", "s", config).await;
    let failed = |body: &Value| {
        body["last_error"].as_str().is_some_and(|error| error.contains("table 'bad'"))
    };
    let status =
        server.eventually("/v1/data-sources/s/status?detail=true", SOON, failed).await.unwrap();
    assert_eq!(status["data_age"], "None", "never was all of it read: {status}");
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn one_failing_table_does_not_hide_others() {
    let server = polled(shipped(), Arc::default()).await;
    rows(&server, "/v1/data-sources/s/tables/good", json!([[1]])).await;
    rows(&server, "/v1/data-sources/s/tables/bad", json!([])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn all_or_nothing_as_the_original() {
    let options = shipped().with("DEFAULT", "datasource_all_or_nothing", "true");
    let mended = Arc::<AtomicBool>::default();
    let server = polled(options, mended.clone()).await;
    rows(&server, "/v1/data-sources/s/tables/good", json!([])).await;
    let status = server.get("/v1/data-sources/s/status?detail=true").await.unwrap().json().unwrap();
    let error = status["last_error"].as_str().unwrap();
    assert!(error.ends_with("nothing of this poll is published"), "{error}");
    // The version of rows that were not published is not remembered: they are sent again.
    mended.store(true, Ordering::Relaxed);
    rows(&server, "/v1/data-sources/s/tables/good", json!([[1]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_status_tells_how_old_rows_are() {
    let server =
        Server::start(shipped().with("plugins", "allowed_hosts", "127.0.0.1")).await.unwrap();
    let tables = json!({"good": {"path": "good", "rows": "$", "columns": ["n"]}});
    let config = json!({"url": service(Arc::default()).await, "poll_time": "0", "tables": tables});
    datasource(&server, "http_json", "s", config).await;
    let aged = |body: &Value| {
        let age = body["data_age"].as_str().and_then(|age| age.parse::<u64>().ok());
        age.is_some_and(|age| age >= 1)
    };
    server.eventually("/v1/data-sources/s/status?detail=true", SOON, aged).await.unwrap();
}
