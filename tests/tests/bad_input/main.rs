//! Bad input: each gets a message that names cause and place, everything else goes on, and nothing
//! stored is lost.
#![expect(
    clippy::expect_used,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod bodies;
mod fuzz;
mod guests;
mod requests;
mod secrets;
mod start;

pub(crate) use congress_tests::SOON;
use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

/// Options of a server with the drivers that only tests load.
pub(crate) fn testing() -> ServerOptions {
    ServerOptions { drivers: Some(drivers_folder().join("testing")), ..ServerOptions::default() }
}

/// Creates a datasource of the guest that misbehaves.
pub(crate) async fn hostile(server: &Server, name: &str, mode: &str) {
    let path = "/v1/system/drivers/hostile?detail=true";
    server.eventually(path, SOON, |body| body["id"] == "hostile").await.expect("the driver");
    let config = json!({ "mode": mode, "poll_time": "1" });
    let body = json!({ "name": name, "driver": "hostile", "config": config });
    let reply = server.post("/v1/data-sources", &body).await.expect("an answer");
    assert_eq!(reply.status, 201, "{:?}", reply.json());
}

/// Waits for an error in a datasource's status.
pub(crate) async fn error_of(server: &Server, name: &str) -> String {
    let failed = |body: &Value| body["last_error"].as_str().is_some_and(|error| error != "None");
    let path = format!("/v1/data-sources/{name}/status");
    let status = server.eventually(&path, SOON, failed).await.expect("an error");
    status["last_error"].as_str().unwrap_or_default().to_owned()
}
