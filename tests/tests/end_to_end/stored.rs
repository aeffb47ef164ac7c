//! What is stored, what survives, and what is never shown.

use std::fs;
use std::path::Path;

use congress_tests::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::{csv, datasource, policy, rows, shipped, testing};

#[tokio::test(flavor = "multi_thread")]
async fn everything_survives_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    fs::write(&file, "name,age\nAda,36\n").unwrap();
    let options = || shipped().with("plugins", "allowed_files", folder.path().display());
    let server = Server::start(options()).await.unwrap();
    datasource(&server, "files", "hr", csv(&file)).await;
    // Named columns need the datasource's schema, also when they are loaded at the next start.
    policy(&server, "p", &["somebody(x) :- hr:people(name=x)", "fact(1, 2.0, \"three\")"]).await;
    rows(&server, "/v1/policies/p/tables/somebody", json!([["Ada"]])).await;
    let lists = ["/v1/policies", "/v1/policies/p/rules", "/v1/data-sources"];
    let mut before = Vec::new();
    for list in lists {
        before.push(server.get(list).await.unwrap().json().unwrap());
    }
    let state = server.state();
    let status = server.stop().await.unwrap();
    assert!(status.success(), "SIGTERM stops it gracefully: {status}");

    let again = Server::start(ServerOptions { state: Some(state), ..options() }).await.unwrap();
    for (list, before) in lists.iter().zip(before) {
        assert_eq!(again.get(list).await.unwrap().json().unwrap(), before, "{list}");
    }
    rows(&again, "/v1/policies/p/tables/somebody", json!([["Ada"]])).await;
    rows(&again, "/v1/policies/p/tables/fact", json!([[1, 2.0, "three"]])).await;

    // Also without warning.
    let state = again.state();
    again.kill().await.unwrap();
    let third = Server::start(ServerOptions { state: Some(state), ..options() }).await.unwrap();
    rows(&third, "/v1/policies/p/tables/somebody", json!([["Ada"]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_never_shown_and_never_stored_in_clear() {
    const CANARY: &str = "c4n4ry-s3cr3t";
    let server = Server::start(testing().with("DEFAULT", "debug", "true")).await.unwrap();
    let config = json!({
        "mode": "config", "auth": "basic", "username": "u", "password": CANARY, "poll_time": "1",
    });
    let created = datasource(&server, "hostile", "h", config).await;
    assert_eq!(created["config"]["password"], "<hidden>");
    assert_eq!(created["config"]["username"], "u");
    let seen = server.eventually("/v1/data-sources/h/tables/report/rows", crate::SOON, |body| {
        body["results"].as_array().is_some_and(|rows| !rows.is_empty())
    });
    let seen = seen.await.unwrap().to_string();
    assert!(seen.contains("username") && !seen.contains(CANARY), "the driver sees {seen}");
    for path in ["/v1/data-sources", "/v1/data-sources/h", "/v1/data-sources/h/status"] {
        let reply = server.get(path).await.unwrap();
        assert!(!String::from_utf8_lossy(&reply.body).contains(CANARY), "{path}");
    }
    // A refused configuration must not quote it either.
    let refused = json!({"name": "x", "driver": "nosuch", "config": {"password": CANARY}});
    let reply = server.post("/v1/data-sources", &refused).await.unwrap();
    assert_eq!(reply.status, 400);
    assert!(!String::from_utf8_lossy(&reply.body).contains(CANARY));
    let state = server.state();
    server.stop().await.unwrap();
    search(state.path(), CANARY);
}

/// Looks through all files of a folder.
fn search(folder: &Path, canary: &str) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            search(&path, canary);
            continue;
        }
        let content = fs::read(&path).unwrap();
        let found = content.windows(canary.len()).any(|bytes| bytes == canary.as_bytes());
        assert!(!found, "{} holds the secret", path.display());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn names_are_unique_across_policies_and_datasources() {
    let server = Server::start(testing()).await.unwrap();
    datasource(&server, "hostile", "shared", json!({})).await;
    let reply = server.post("/v1/policies", &json!({"name": "shared"})).await.unwrap();
    assert_eq!(reply.status, 409, "{:?}", reply.json());
    let body = json!({"name": "classification", "driver": "hostile", "config": {}});
    let reply = server.post("/v1/data-sources", &body).await.unwrap();
    assert_eq!(reply.status, 409, "{:?}", reply.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_datasource_is_stored_and_does_not_run() {
    let server = Server::start(testing()).await.unwrap();
    let path = "/v1/system/drivers/hostile?detail=true";
    server.eventually(path, crate::SOON, |body| body["id"] == "hostile").await.unwrap();
    let body = json!({"name": "off", "driver": "hostile", "enabled": false, "config": {}});
    let reply = server.post("/v1/data-sources", &body).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
    let stored = server.get("/v1/data-sources/off").await.unwrap().json().unwrap();
    assert_eq!(stored["enabled"], Value::Bool(false));
    assert_eq!(server.get("/v1/data-sources/off/status").await.unwrap().status, 404);
    assert_eq!(server.delete("/v1/data-sources/off").await.unwrap().status, 200);
    assert_eq!(server.get("/v1/data-sources/off").await.unwrap().status, 404);
}
