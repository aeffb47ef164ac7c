//! Two processes that run datasources on one database: one is active, the other waits.

use std::sync::Arc;
use std::time::{Duration, Instant};

use congress_tests::{Server, ServerOptions};
use rustix::process::Signal;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{SOON, shipped};

/// All roles, on a database that others use too. Each has a bus of its own: they meet in the
/// database alone.
fn node(state: &Arc<TempDir>, name: &str) -> ServerOptions {
    ServerOptions { state: Some(state.clone()), name: name.to_owned(), ..shipped() }
        .with("plugins", "allowed_files", state.path().display())
        .arg(format!("--node-id={name}"))
}

async fn is_active(server: &Server, term: u64) {
    let role = format!("active in term {term}");
    let active = |body: &Value| body["roles"]["datasources"] == role.as_str();
    server.eventually("/readyz", SOON, active).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_standby_waits_and_takes_over() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let first = Server::start(node(&state, "a")).await.unwrap();
    is_active(&first, 1).await;
    let second = Server::start(node(&state, "b")).await.unwrap();
    let waits = |body: &Value| {
        let role = body["roles"]["datasources"].as_str().unwrap_or_default();
        role.starts_with("standby: node 'a' (instance ") && role.ends_with("in term 1")
    };
    let said = second.eventually("/readyz", SOON, waits).await.unwrap();
    assert_eq!(said["status"], "ready", "{said}");
    assert_eq!(second.get("/healthcheck").await.unwrap().status, 200);
    second.logs(SOON, |log| log.contains("standby: node 'a'")).await.unwrap();

    // One that crashes: its lease must lapse.
    let begin = Instant::now();
    first.kill().await.unwrap();
    is_active(&second, 2).await;
    let taken = begin.elapsed();
    println!("the standby is active {taken:?} after a crash");
    assert!(taken < Duration::from_secs(8), "{taken:?}");

    // One that stops gives its lease back.
    let third = Server::start(node(&state, "c")).await.unwrap();
    let begin = Instant::now();
    second.stop().await.unwrap();
    is_active(&third, 3).await;
    let taken = begin.elapsed();
    println!("the standby is active {taken:?} after a stop");
    assert!(taken < Duration::from_secs(5), "{taken:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stood_still_ends_when_it_wakes() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let first = Server::start(node(&state, "a")).await.unwrap();
    is_active(&first, 1).await;
    let second = Server::start(node(&state, "b")).await.unwrap();
    first.signal(Signal::STOP).unwrap();
    is_active(&second, 2).await;
    first.signal(Signal::CONT).unwrap();
    let (status, log) = first.ended().await.unwrap();
    assert_eq!(status.code(), Some(75), "{log}");
    assert!(log.contains("term 1") && log.contains("term 2"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_created_while_nobody_was_active_starts() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let path = state.path().join("people.csv");
    std::fs::write(&path, "name\nAda\n").unwrap();
    let first = Server::start(node(&state, "a")).await.unwrap();
    is_active(&first, 1).await;
    let known = |body: &Value| body["id"] == "files";
    first.eventually("/v1/system/drivers/files?detail=true", SOON, known).await.unwrap();
    let second = Server::start(node(&state, "b")).await.unwrap();
    first.kill().await.unwrap();
    // At once: within the time in which the lease of the first is still good.
    let tables = json!({ "people": { "format": "csv", "path": path } });
    let config = json!({ "poll_time": "1", "folder": state.path(), "tables": tables });
    let body = json!({ "name": "d", "driver": "files", "config": config });
    let reply = second.post("/v1/data-sources", &body).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
    let path = "/v1/data-sources/d/tables/people/rows";
    let rows = |body: &Value| body["results"][0]["data"] == json!(["Ada"]);
    second.eventually(path, SOON, rows).await.unwrap();
}
