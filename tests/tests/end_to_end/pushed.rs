//! Pushed rows: those that a push replaces, those that become old, and those that are stored.

use std::time::Duration;

use congress_tests::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::{datasource, policy, rows, shipped};

const HOOK: &str = "/v1/data-sources/hook";
const ALARMS: &str = "/v1/data-sources/hook/tables/alarm_notification";

fn alarm(id: &str, state: &str, timestamp: i64) -> Value {
    json!({
        "alarm_id": id, "alarm_definition_id": "d", "alarm_name": "load", "alarm_description": "",
        "alarm_timestamp": timestamp, "state": state, "old_state": "OK", "message": "",
        "tenant_id": "t", "metrics": [{"id": null, "name": "cpu", "dimensions": {"host": id}}],
    })
}

fn row(id: &str, state: &str, timestamp: i64) -> Value {
    json!([id, "d", "load", "", timestamp, state, "OK", "", "t"])
}

async fn send(server: &Server, alarm: &Value) {
    let reply = server.post(&format!("{HOOK}/webhook"), alarm).await.unwrap();
    assert_eq!(reply.status, 200, "{:?}", reply.json());
}

/// Far ahead: never old.
const NEW: i64 = 4_000_000_000;

#[tokio::test(flavor = "multi_thread")]
async fn an_alarm_replaces_its_row_and_is_stored() {
    let server = Server::start(shipped()).await.unwrap();
    datasource(&server, "monasca_webhook", "hook", json!({"persist_data": "True"})).await;
    policy(&server, "p", &["firing(x) :- hook:alarm_notification(alarm_id=x, state=\"ALARM\")"])
        .await;
    send(&server, &alarm("a", "ALARM", NEW)).await;
    send(&server, &alarm("b", "ALARM", NEW)).await;
    send(&server, &alarm("a", "OK", NEW)).await;
    let expected = json!([row("a", "OK", NEW), row("b", "ALARM", NEW)]);
    rows(&server, ALARMS, expected.clone()).await;
    rows(&server, "/v1/policies/p/tables/firing", json!([["b"]])).await;

    let refused = server.post(&format!("{HOOK}/webhook"), &json!({"metrics": []})).await.unwrap();
    assert_eq!(refused.status, 400);
    rows(&server, ALARMS, expected.clone()).await;

    let state = server.state();
    server.stop().await.unwrap();
    let options = ServerOptions { state: Some(state), ..shipped() };
    let server = Server::start(options).await.unwrap();
    rows(&server, ALARMS, expected).await;
    rows(&server, "/v1/policies/p/tables/firing", json!([["b"]])).await;
    // The rows that came back are those that the next push replaces.
    send(&server, &alarm("b", "OK", NEW)).await;
    rows(&server, ALARMS, json!([row("a", "OK", NEW), row("b", "OK", NEW)])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn old_alarms_go_by_themselves() {
    let server = Server::start(shipped()).await.unwrap();
    // They are looked for every second then.
    let config = json!({"hours_to_keep_alarm": 0, "persist_data": "True"});
    datasource(&server, "monasca_webhook", "hook", config).await;
    policy(&server, "p", &["known(x) :- hook:alarm_notification(alarm_id=x)"]).await;
    send(&server, &alarm("old", "ALARM", 1_000_000_000)).await;
    send(&server, &alarm("new", "ALARM", NEW)).await;
    rows(&server, ALARMS, json!([row("new", "ALARM", NEW)])).await;
    let metrics = format!("{HOOK}/tables/alarms.metrics/rows");
    let one = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 1);
    server.eventually(&metrics, crate::SOON, one).await.unwrap();
    rows(&server, "/v1/policies/p/tables/known", json!([["new"]])).await;
    // Two pushes are two updates, whatever was put in order meanwhile.
    let twice = |body: &Value| body["number_of_updates"] == "2" && body["last_error"] == "None";
    server.eventually(&format!("{HOOK}/status"), Duration::from_secs(5), twice).await.unwrap();
}
