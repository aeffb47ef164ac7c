//! Requests that make no sense.

use std::process::Stdio;
use std::time::Duration;

use congress_tests::{Server, ServerOptions};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::SOON;

async fn send(server: &Server, path: &str, content_type: &str, body: &[u8]) -> (u16, Value) {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, content_type.parse().unwrap());
    let reply =
        server.request(Method::POST, path, headers, Some(body.to_vec())).await.expect("an answer");
    (reply.status, reply.json().expect("the error object is JSON")["error"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn each_gets_an_error_that_says_why() {
    let options =
        ServerOptions::default().with("oslo_middleware", "max_request_body_size", 200_000);
    let server = Server::start(options).await.unwrap();
    let json_type = "application/json";
    let rules = "/v1/policies/classification/rules";
    for (path, content_type, body, status, code, text) in [
        ("/v1/policies", json_type, "{", 400, 400, "Failed to parse body as application/json"),
        ("/v1/policies", json_type, "", 400, 400, "Failed to parse body as application/json"),
        ("/v1/policies", "text/plain", "{}", 400, 400, "Unsupported Content-Type"),
        ("/v1/policies", json_type, "{}", 400, 1010, "A name must be provided"),
        ("/v1/policies", json_type, r#"{"name": "a b"}"#, 400, 400, "is not a valid tablename"),
        (rules, json_type, r#"{"rule": "p(x) :- "}"#, 400, 1002, "line:1,col:8"),
        (rules, json_type, r#"{"rule": "p(x) :- q(y)"}"#, 400, 1002, "Variable x found in head"),
        (rules, json_type, r#"{"rule": "p(1) q(2)"}"#, 400, 1003, "more than 1 rule"),
        (rules, json_type, r#"{"rule": 7}"#, 400, 1002, ""),
        ("/v1/policies/nowhere/rules", json_type, r#"{"rule": "p(1)"}"#, 404, 1020, ""),
        ("/v1/data-sources", json_type, "[]", 400, 400, ""),
    ] {
        let (actual, error) = send(&server, path, content_type, body.as_bytes()).await;
        assert_eq!(actual, status, "{path} {body}: {error}");
        assert_eq!(error["error_code"], code, "{path} {body}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(text), "{path} {body}: {message}");
        for internal in ["panicked", "src/", "sqlx", "SELECT"] {
            assert!(!message.contains(internal), "{message}");
        }
    }
    let (status, error) = send(&server, "/v1/policies", json_type, b"{\"name\": \"\xff\"}").await;
    assert_eq!(status, 400, "not Unicode: {error}");
    let deep = "[".repeat(100_000);
    let (status, error) = send(&server, "/v1/policies", json_type, deep.as_bytes()).await;
    assert_eq!(status, 400, "nested too deeply: {error}");
    let large = json!({ "name": "x".repeat(1 << 20) }).to_string();
    let (status, error) = send(&server, "/v1/policies", json_type, large.as_bytes()).await;
    assert_eq!(status, 413, "larger than max_request_body_size: {error}");

    // Nothing of it was stored, and the server is well.
    let policies = server.get("/v1/policies").await.unwrap().json().unwrap();
    assert_eq!(policies["results"].as_array().map(Vec::len), Some(2));
    let rules = server.get(rules).await.unwrap().json().unwrap();
    assert_eq!(rules["results"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refused_rule_among_many_refuses_all_of_them() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let rules = json!([{"rule": "p(1)"}, {"rule": "p(x) :- not q(x)"}]);
    let reply = server.post("/v1/policies", &json!({"name": "all", "rules": rules})).await.unwrap();
    assert_eq!(reply.status, 400, "{:?}", reply.json());
    assert_eq!(server.get("/v1/policies/all").await.unwrap().status, 404);
    // The name is free.
    let reply = server.post("/v1/policies", &json!({"name": "all"})).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_query_that_asks_for_too_much_is_stopped() {
    let options = crate::testing().with("DEFAULT", "query_rows_limit", 100_000);
    let server = Server::start(options).await.unwrap();
    let path = "/v1/system/drivers/hostile?detail=true";
    server.eventually(path, crate::SOON, |body| body["id"] == "hostile").await.unwrap();
    let config = json!({ "count": 1_000 });
    let body = json!({ "name": "big", "driver": "hostile", "config": config });
    assert_eq!(server.post("/v1/data-sources", &body).await.unwrap().status, 201);
    let rule = "all(a, b, c) :- big:numbers(a, x), big:numbers(b, y), big:numbers(c, z)";
    let rules = "/v1/policies/classification/rules";
    assert_eq!(server.post(rules, &json!({ "rule": rule })).await.unwrap().status, 201);
    let refused = |body: &Value| {
        body["error"]["message"].as_str().is_some_and(|text| text.contains("more than 100000 rows"))
    };
    let rows = "/v1/policies/classification/tables/all/rows";
    server.eventually(rows, crate::SOON, refused).await.unwrap();
}

/// The bound of a body is the option's, not one of a library's.
#[tokio::test(flavor = "multi_thread")]
async fn long_bodies_are_taken_up_to_the_bound() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    for (megabytes, expected) in [(3, 201), (17, 413)] {
        let description = "x".repeat(megabytes << 20);
        let body = json!({ "name": format!("p{megabytes}"), "description": description });
        let reply = server.post("/v1/policies", &body).await.unwrap();
        assert_eq!(reply.status, expected, "{megabytes} MB: {:?}", reply.json());
    }
}

/// A change whose client leaves is made whole, or not at all.
#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_leaves_nothing_half_done() {
    const LOCK: &str = "import sqlite3, sys; c = sqlite3.connect(sys.argv[1]); \
                        c.execute('BEGIN EXCLUSIVE'); print('locked', flush=True); \
                        sys.stdin.read()";
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let mut lock = tokio::process::Command::new("python3")
        .args(["-c", LOCK])
        .arg(server.state().path().join("congress.sqlite"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .unwrap();
    let mut said = BufReader::new(lock.stdout.take().unwrap()).lines();
    assert_eq!(said.next_line().await.unwrap().as_deref(), Some("locked"));
    let body = json!({ "name": "p", "rules": [{ "rule": "q(1)" }] });
    let asking = server.post("/v1/policies", &body);
    assert!(tokio::time::timeout(Duration::from_secs(1), asking).await.is_err());
    server.logs(SOON, |log| log.contains("the client left")).await.unwrap();
    drop(lock.stdin.take());
    lock.wait().await.unwrap();
    let rows = |body: &Value| body["results"] == json!([{ "data": [1] }]);
    server.eventually("/v1/policies/p/tables/q/rows", SOON, rows).await.unwrap();
    let status = |reply: congress_tests::Reply| reply.status;
    assert_eq!(server.post("/v1/policies", &body).await.map(status).unwrap(), 409);
    assert_eq!(server.delete("/v1/policies/p").await.map(status).unwrap(), 200);
    assert_eq!(server.post("/v1/policies", &body).await.map(status).unwrap(), 201);
}
