//! The running system, from a source of rows to an answer over the REST API.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod addresses;
mod drivers;
mod fail_over;
mod http_json;
mod languages;
mod life_cycle;
mod partial;
mod pushed;
mod rows;
mod stored;

use std::path::Path;

pub(crate) use congress_tests::SOON;
use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

/// Options of a server with the drivers that are shipped.
pub(crate) fn shipped() -> ServerOptions {
    ServerOptions { drivers: Some(drivers_folder()), ..ServerOptions::default() }
}

/// Options of a server with the drivers that only tests load.
pub(crate) fn testing() -> ServerOptions {
    ServerOptions { drivers: Some(drivers_folder().join("testing")), ..ServerOptions::default() }
}

/// Creates a datasource once its driver is there.
pub(crate) async fn datasource(server: &Server, driver: &str, name: &str, config: Value) -> Value {
    let path = format!("/v1/system/drivers/{driver}?detail=true");
    server.eventually(&path, SOON, |body| body["id"] == driver).await.expect("the driver");
    let body = json!({ "name": name, "driver": driver, "config": config });
    let reply = server.post("/v1/data-sources", &body).await.expect("an answer");
    let created = reply.json().expect("JSON");
    assert_eq!(reply.status, 201, "{created}");
    created
}

/// Creates a policy with rules.
pub(crate) async fn policy(server: &Server, name: &str, rules: &[&str]) {
    let reply = server.post("/v1/policies", &json!({ "name": name })).await.expect("an answer");
    assert_eq!(reply.status, 201, "{:?}", reply.json());
    for rule in rules {
        let path = format!("/v1/policies/{name}/rules");
        let reply = server.post(&path, &json!({ "rule": rule })).await.expect("an answer");
        assert_eq!(reply.status, 201, "{rule}: {:?}", reply.json());
    }
}

/// Waits until a table has just these rows, in whatever order.
pub(crate) async fn rows(server: &Server, path: &str, expected: Value) {
    let sorted = |rows: Vec<String>| {
        let mut rows = rows;
        rows.sort();
        rows
    };
    let expected: Vec<String> =
        expected.as_array().expect("an array").iter().map(Value::to_string).collect();
    let expected = sorted(expected);
    let same = |body: &Value| {
        body["results"].as_array().is_some_and(|rows| {
            sorted(rows.iter().map(|row| row["data"].to_string()).collect()) == expected
        })
    };
    server.eventually(&format!("{path}/rows"), SOON, same).await.expect("the rows");
}

/// A configuration of the driver `files` for one CSV file.
pub(crate) fn csv(path: &Path) -> Value {
    let tables = json!({ "people": { "format": "csv", "path": path } });
    json!({ "poll_time": "1", "folder": path.parent(), "tables": tables })
}
