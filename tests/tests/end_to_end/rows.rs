//! Rows: from files and pushes to policies.

use std::fs;

use congress_tests::Server;
use serde_json::{Value, json};

use crate::{SOON, csv, datasource, policy, rows, shipped, testing};

#[tokio::test(flavor = "multi_thread")]
async fn a_changed_file_changes_what_a_policy_finds() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    fs::write(&file, "name,age\nAda,36\nZoë,17\nBob,\n").unwrap();
    let server = Server::start(shipped().with("plugins", "allowed_files", folder.path().display()))
        .await
        .unwrap();
    datasource(&server, "files", "hr", csv(&file)).await;
    policy(
        &server,
        "adults",
        &[
            "minor(name) :- hr:people(name=name, age=age), builtin:lt(age, 18)",
            "adult(name) :- hr:people(name=name), not minor(name)",
        ],
    )
    .await;
    rows(&server, "/v1/policies/adults/tables/adult", json!([["Ada"], ["Bob"], ["Zoë"]])).await;

    // Columns without a declared type are text, so nobody is a minor yet: declare it.
    let typed = json!({
        "poll_time": "1",
        "folder": folder.path(),
        "tables": {"people": {
            "format": "csv", "path": file, "header": true,
            "columns": ["name", {"name": "age", "type": "integer"}],
        }},
    });
    let reply = server.delete("/v1/data-sources/hr").await.unwrap();
    assert_eq!((reply.status, reply.json().unwrap()), (200, Value::Null));
    rows(&server, "/v1/policies/adults/tables/adult", json!([])).await;
    datasource(&server, "files", "hr", typed).await;
    rows(&server, "/v1/policies/adults/tables/minor", json!([["Zoë"]])).await;
    rows(&server, "/v1/policies/adults/tables/adult", json!([["Ada"], ["Bob"]])).await;

    fs::write(&file, "name,age\nAda,36\nZoë,18\n").unwrap();
    rows(&server, "/v1/policies/adults/tables/adult", json!([["Ada"], ["Zoë"]])).await;
    rows(&server, "/v1/data-sources/hr/tables/people", json!([["Ada", 36], ["Zoë", 18]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn only_tables_that_rules_read_are_subscribed() {
    let server = Server::start(testing()).await.unwrap();
    datasource(&server, "hostile", "h", json!({ "poll_time": "1" })).await;
    let status = "/v1/data-sources/h/status";
    let subscribers = |names: Value| move |body: &Value| body["subscribers"] == names;
    server.eventually(status, crate::SOON, subscribers(json!([]))).await.unwrap();
    policy(&server, "p", &["big(n) :- h:numbers(n, t), builtin:gt(n, 1)"]).await;
    server.eventually(status, crate::SOON, subscribers(json!(["__engine"]))).await.unwrap();
    rows(&server, "/v1/policies/p/tables/big", json!([[2]])).await;
    // The engine's copy of a table that a rule reads is a table of the rule's policy too.
    rows(
        &server,
        "/v1/policies/p/tables/h:numbers",
        json!([[0, "number 0"], [1, "number 1"], [2, "number 2"]]),
    )
    .await;
    let rules = server.get("/v1/policies/p/rules").await.unwrap().json().unwrap();
    let id = rules["results"][0]["id"].as_str().unwrap();
    server.delete(&format!("/v1/policies/p/rules/{id}")).await.unwrap();
    server.eventually(status, crate::SOON, subscribers(json!([]))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_can_be_pushed_and_a_refresh_asked_for() {
    let server = Server::start(testing()).await.unwrap();
    let created =
        datasource(&server, "hostile", "h", json!({ "poll_time": 0, "mode": "state-count" })).await;
    let by_id = format!("/v1/data-sources/{}", created["id"].as_str().unwrap());
    // A table that was never read is empty, not missing.
    rows(&server, &format!("{by_id}/tables/numbers"), json!([])).await;

    let polls = |n: &'static str| {
        move |body: &Value| body["number_of_updates"] == n && body["last_error"] == "None"
    };
    server.eventually("/v1/data-sources/h/status", crate::SOON, polls("1")).await.unwrap();
    let refresh = format!("{by_id}?action=request-refresh");
    let reply = server.post(&refresh, &json!({})).await.unwrap();
    assert_eq!((reply.status, reply.json().unwrap()), (200, Value::Null));
    server.eventually("/v1/data-sources/h/status", crate::SOON, polls("2")).await.unwrap();

    let pushed =
        server.put(&format!("{by_id}/tables/numbers/rows"), &json!([[1, "x"]])).await.unwrap();
    assert_eq!((pushed.status, pushed.body.len()), (200, 0), "{:?}", pushed.json());
    server.eventually("/v1/data-sources/h/status", crate::SOON, polls("3")).await.unwrap();
    let webhook = server.post(&format!("{by_id}/webhook"), &json!({"alarm": 1})).await.unwrap();
    assert_eq!((webhook.status, webhook.body.len()), (200, 0));
    let unknown = server.put(&format!("{by_id}/tables/nowhere/rows"), &json!([])).await.unwrap();
    assert_eq!(unknown.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_may_have_more_rows_than_a_message_can_carry() {
    let server = Server::start(testing()).await.unwrap();
    datasource(&server, "gen", "gen", json!({"poll_time": "0"})).await;
    // 40 MB of JSON.
    let arguments = json!({"positional": [10_000, "g1", "x".repeat(4_000)]});
    let action = json!({"name": "set", "args": arguments});
    let reply = server.post("/v1/data-sources/gen?action=execute", &action).await.unwrap();
    assert_eq!(reply.status, 200, "{:?}", reply.json());
    let path = "/v1/data-sources/gen/tables/bench/rows";
    let all = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 10_001);
    let body = server.eventually(path, SOON, all).await.unwrap();
    let marker = |row: &Value| row["data"] == json!(["marker", "g1"]);
    assert!(body["results"].as_array().unwrap().iter().any(marker));
    let page = server.get(&format!("{path}?limit=2")).await.unwrap().json().unwrap();
    assert_eq!(page["results"].as_array().map(Vec::len), Some(2), "{page}");
}
