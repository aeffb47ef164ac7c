//! What rules ask for is done, once: the real server, a driver with an action, and a service that
//! counts.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod fail_over;
mod rules;
mod service;

use std::sync::Arc;

use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};
use tempfile::TempDir;

pub(crate) use congress_tests::SOON;
use service::Service;

/// What is asked for: every job that is not spared.
pub(crate) const RULE: &str = "execute[w:do(x)] :- w:jobs(x), not w:spared(x)";

/// A node with all roles on a state folder that others may share.
pub(crate) fn node(state: &Arc<TempDir>, name: &str) -> ServerOptions {
    let drivers = Some(drivers_folder().join("testing"));
    ServerOptions {
        state: Some(state.clone()),
        name: name.to_owned(),
        drivers,
        ..ServerOptions::default()
    }
    .with("plugins", "allowed_hosts", "127.0.0.1")
    .arg(format!("--node-id={name}"))
}

/// Creates a datasource of a service once its driver is there.
pub(crate) async fn worker(server: &Server, name: &str, service: &Service) {
    let path = "/v1/system/drivers/worker?detail=true";
    server.eventually(path, SOON, |body| body["state"] == "ready").await.unwrap();
    let config = json!({ "url": service.url(), "poll_time": "1" });
    let body = json!({ "name": name, "driver": "worker", "config": config });
    let reply = server.post("/v1/data-sources", &body).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
}

/// Creates a policy with rules, all at once.
pub(crate) async fn policy(server: &Server, name: &str, rules: &[&str]) {
    let rules: Vec<Value> = rules.iter().map(|rule| json!({ "rule": rule })).collect();
    let body = json!({ "name": name, "rules": rules });
    let reply = server.post("/v1/policies", &body).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
}

/// Has a datasource polled now.
pub(crate) async fn refresh(server: &Server, name: &str) {
    let path = format!("/v1/data-sources/{name}?action=request-refresh");
    assert_eq!(server.post(&path, &json!({})).await.unwrap().status, 200);
}

/// The jobs of the actions in a list, sorted.
pub(crate) fn jobs(body: &Value) -> Vec<String> {
    let actions = body["results"].as_array().into_iter().flatten();
    let mut jobs: Vec<String> = actions
        .map(|action| action["arguments"][0].as_str().unwrap_or_default().to_owned())
        .collect();
    jobs.sort();
    jobs
}

/// Waits until the list of actions is of these jobs.
pub(crate) async fn listed(server: &Server, query: &str, expected: &[&str]) {
    let path = format!("/v1/actions{query}");
    server.eventually(&path, SOON, |body| jobs(body) == expected).await.unwrap();
}
