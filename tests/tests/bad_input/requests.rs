//! Requests that make no sense.

use congress_tests::{Server, ServerOptions};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

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
