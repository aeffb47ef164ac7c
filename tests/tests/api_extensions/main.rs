//! What the API has beyond the original's: docs/api-extensions.md, as clients see it.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod blocked;
mod changes;
mod description;
mod events;
mod explanations;
mod library;
mod pages;
mod simulations;
mod warnings;

pub(crate) use congress_tests::SOON;
use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

/// A server without drivers.
pub(crate) async fn server() -> Server {
    Server::start(ServerOptions::default()).await.expect("a server")
}

/// A server with a datasource `inv` of the driver that the API's scenarios use.
pub(crate) async fn server_with_inventory() -> Server {
    let drivers = Some(drivers_folder().join("testing"));
    let server = Server::start(ServerOptions { drivers, ..ServerOptions::default() }).await;
    let server = server.expect("a server");
    let ready = |body: &Value| body["state"] == "ready";
    server
        .eventually("/v1/system/drivers/corpus?detail=true", SOON, ready)
        .await
        .expect("the driver");
    let config = json!({ "endpoint": "http://example", "password": "secret", "poll_time": 0 });
    let body = json!({ "name": "inv", "driver": "corpus", "config": config });
    let reply = server.post("/v1/data-sources", &body).await.expect("an answer");
    assert_eq!(reply.status, 201, "{:?}", reply.json());
    server
}

/// Creates a policy with rules.
pub(crate) async fn policy(server: &Server, name: &str, rules: &[&str]) {
    let rules: Vec<Value> = rules.iter().map(|rule| json!({ "rule": rule })).collect();
    let body = json!({ "name": name, "rules": rules });
    let reply = server.post("/v1/policies", &body).await.expect("an answer");
    assert_eq!(reply.status, 201, "{:?}", reply.json());
}

/// The JSON of an answer that must have this status.
pub(crate) fn json_of(reply: anyhow::Result<congress_tests::Reply>, status: u16) -> Value {
    let reply = reply.expect("an answer");
    let body = reply.json().unwrap_or_default();
    assert_eq!(reply.status, status, "{body}");
    body
}

/// The rows of a table, each as JSON, in the order given.
pub(crate) async fn rows(server: &Server, path: &str) -> Vec<String> {
    let body = json_of(server.get(path).await, 200);
    let rows = body["results"].as_array().expect("results");
    rows.iter().map(|row| row["data"].to_string()).collect()
}

/// A text as it stands in a query.
pub(crate) fn encoded(text: &str) -> String {
    text.bytes().map(|byte| format!("%{byte:02X}")).collect()
}
