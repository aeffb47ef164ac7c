//! A JSON API that nobody wrote a driver for, by configuration alone.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use congress_tests::Server;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::{SOON, datasource, policy, rows, shipped};

const TOKEN: &str = "t0k3n-f0r-th3-s3rv1c3";

/// Machines, two a page, for whoever has the token.
async fn machines(State(down): State<Arc<AtomicBool>>, headers: HeaderMap, uri: Uri) -> Response {
    if headers.get("authorization").is_none_or(|value| *value != format!("Bearer {TOKEN}")) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    if down.load(Ordering::Relaxed) {
        return StatusCode::SERVICE_UNAVAILABLE.into_response();
    }
    let after = uri.query().and_then(|query| query.strip_prefix("after="));
    let after = after.and_then(|number| number.parse().ok()).unwrap_or(0usize);
    let machine = |n: usize| {
        let labels = json!({ "rack": format!("r{n}"), "Ä": "ü" });
        json!({ "name": format!("m{n}"), "spec": { "cpus": n, "load": n as f64 }, "labels": labels })
    };
    let items: Vec<Value> = (after..5).take(2).map(machine).collect();
    let next = after + items.len();
    let next = if next < 5 { json!(next.to_string()) } else { Value::Null };
    json!({ "data": { "items": items }, "next": next }).to_string().into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn any_json_api_by_configuration() {
    let down = Arc::new(AtomicBool::new(false));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = Router::new().route("/api/machines", get(machines)).with_state(down.clone());
    // Ends with the test's runtime.
    tokio::spawn(async move { axum::serve(listener, service).await.unwrap() });

    let server =
        Server::start(shipped().with("plugins", "allowed_hosts", "127.0.0.1")).await.unwrap();
    let config = |token: &str| {
        json!({
            "url": format!("http://{address}/api"), "auth": "bearer", "token": token, "poll_time": "1",
            "tables": {"machines": {
                "path": "machines",
                "rows": "$.data.items[*]",
                "columns": [
                    "name", {"name": "cpus", "path": "spec.cpus", "type": "integer"},
                    {"name": "load", "path": "spec.load"}, {"name": "owner", "path": "spec.owner"},
                ],
                "children": {"machines.labels": {
                    "rows": "labels", "parent": "name", "as": "machine", "key": "label", "value": "text",
                }},
                "paging": {"style": "cursor", "field": "next", "parameter": "after"},
            }},
        })
    };
    datasource(&server, "http_json", "dc", config(TOKEN)).await;
    policy(&server, "p", &["large(n) :- dc:machines(name=n, cpus=c), builtin:gt(c, 2)"]).await;
    rows(&server, "/v1/policies/p/tables/large", json!([["m3"], ["m4"]])).await;
    let all = json!([
        ["m0", 0, 0.0, "None"],
        ["m1", 1, 1.0, "None"],
        ["m2", 2, 2.0, "None"],
        ["m3", 3, 3.0, "None"],
        ["m4", 4, 4.0, "None"],
    ]);
    rows(&server, "/v1/data-sources/dc/tables/machines", all.clone()).await;
    let labels = server.get("/v1/data-sources/dc/tables/machines.labels/rows").await.unwrap();
    let labels = labels.json().unwrap()["results"].clone();
    assert_eq!(labels.as_array().map(Vec::len), Some(10), "all pages: {labels}");
    assert!(labels.as_array().unwrap().contains(&json!({"data": ["m4", "Ä", "ü"]})));

    // The service breaks down and comes back by itself; the rows stay meanwhile.
    let error = |text: &'static str| {
        move |body: &Value| body["last_error"].as_str().is_some_and(|error| error.contains(text))
    };
    let status = "/v1/data-sources/dc/status";
    down.store(true, Ordering::Relaxed);
    server.eventually(status, SOON, error("503")).await.unwrap();
    rows(&server, "/v1/data-sources/dc/tables/machines", all).await;
    down.store(false, Ordering::Relaxed);
    server.eventually(status, SOON, |body| body["last_error"] == "None").await.unwrap();

    // A wrong token is the configuration's fault, and is not quoted.
    datasource(&server, "http_json", "wrong", config("wr0ng-t0k3n")).await;
    let status = "/v1/data-sources/wrong/status";
    let refused = server.eventually(status, SOON, error("401")).await.unwrap();
    assert!(refused["last_error"].as_str().unwrap().contains("credentials"), "{refused}");
    assert!(!refused.to_string().contains("wr0ng") && !server.log().contains(TOKEN));

    // A mapping that makes no sense is refused at once, with its place.
    let mut bad = config(TOKEN);
    bad["tables"]["machines"]["columns"][1]["type"] = "number".into();
    let body = json!({ "name": "bad", "driver": "http_json", "config": bad });
    let reply = server.post("/v1/data-sources", &body).await.unwrap();
    let message = reply.json().unwrap()["error"]["message"].to_string();
    assert!(reply.status == 400 && message.contains("machines.columns[1].type"), "{message}");
}
