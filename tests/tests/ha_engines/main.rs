//! Several policy engines on one database and one broker: what one accepts all have, and of what
//! conflicts one accepts one.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod conflicts;
mod identity;
mod latency;
mod original;
mod replica;

pub(crate) use congress_tests::SOON;
use congress_tests::cluster::{get_at, revision};
use congress_tests::{Reply, Server};
use serde_json::{Value, json};

/// Creates a policy.
pub(crate) async fn create_policy(server: &Server, name: &str) -> Reply {
    server.post("/v1/policies", &json!({ "name": name })).await.expect("an answer")
}

/// Inserts a rule.
pub(crate) async fn insert(server: &Server, policy: &str, rule: &str) -> Reply {
    let path = format!("/v1/policies/{policy}/rules");
    server.post(&path, &json!({ "rule": rule })).await.expect("an answer")
}

/// Deletes a rule by its text.
pub(crate) async fn delete_rule(server: &Server, policy: &str, rule: &str) -> Reply {
    let path = format!("/v1/policies/{policy}/rules");
    let listed = server.get(&path).await.expect("an answer").json().expect("JSON");
    let rules = listed["results"].as_array().expect("rules").clone();
    let id = rules.iter().find(|listed| same(listed["rule"].as_str().unwrap_or(""), rule));
    let id = id.expect("the rule is listed")["id"].clone();
    server.delete(&format!("{path}/{}", id.as_str().expect("an id"))).await.expect("an answer")
}

fn same(a: &str, b: &str) -> bool {
    let squeeze = |text: &str| text.split_whitespace().collect::<String>();
    squeeze(a) == squeeze(b)
}

/// The answer's body, if it has the status expected.
pub(crate) fn expect(reply: &Reply, status: u16) -> Value {
    let body = String::from_utf8_lossy(&reply.body).into_owned();
    assert_eq!(reply.status, status, "{body}");
    serde_json::from_str(&body).unwrap_or(Value::Null)
}

/// What another node answers at the revision of a write.
pub(crate) async fn after(write: &Reply, server: &Server, path: &str) -> Reply {
    let revision = revision(write).expect("a write tells its revision");
    get_at(server, path, revision).await.expect("an answer")
}

/// The rows of a table, sorted.
pub(crate) fn rows(body: &Value) -> Vec<String> {
    let rows = body["results"].as_array().expect("rows");
    let mut rows: Vec<_> = rows.iter().map(|row| row["data"].to_string()).collect();
    rows.sort();
    rows
}
