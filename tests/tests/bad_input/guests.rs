//! Drivers that are none, and drivers that misbehave.

use std::fs;

use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

use crate::{SOON, error_of, hostile, testing};

#[tokio::test(flavor = "multi_thread")]
async fn files_that_are_no_drivers_are_named_in_the_log() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("text.wasm"), "not wasm at all").unwrap();
    fs::write(folder.path().join("module.wasm"), b"\0asm\x01\0\0\0").unwrap();
    let testing = drivers_folder().join("testing");
    fs::copy(testing.join("otherworld.wasm"), folder.path().join("otherworld.wasm")).unwrap();
    fs::copy(testing.join("hostile.wasm"), folder.path().join("good.wasm")).unwrap();
    let options =
        ServerOptions { drivers: Some(folder.path().to_owned()), ..ServerOptions::default() };
    let server = Server::start(options).await.unwrap();
    // The good one beside them is there.
    hostile(&server, "fine", "ok").await;
    let expected = [
        ("text.wasm", "is not a WebAssembly file"),
        ("module.wasm", "is a core WebAssembly module, not a component"),
        ("otherworld.wasm", "is a component of another world"),
    ];
    for (file, text) in expected {
        let says = |log: &str| log.lines().any(|line| line.contains(file) && line.contains(text));
        server.logs(SOON, says).await.unwrap();
        // And so does the API, under the file's name.
        let path = format!("/v1/system/drivers/{file}?detail=true");
        let shown = server.get(&path).await.unwrap().json().unwrap();
        assert_eq!(shown["state"], "failed", "{shown}");
        assert!(shown["error"].as_str().is_some_and(|error| error.contains(text)), "{shown}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_misbehaving_guest_costs_one_datasource_an_error() {
    let server = Server::start(testing().with("plugins", "call_timeout", "1")).await.unwrap();
    hostile(&server, "good", "ok").await;
    for (mode, text) in [
        ("trap", "crashed"),
        ("spin", "did not end within 1 s"),
        ("sleep", "did not end within 1 s"),
        ("memory", "more memory than the limit"),
        ("recurse", "stack"),
        ("bad-rows", "columns"),
        ("malformed-rows", "`refused_batches`"),
        ("flood-log", "`log_lines_per_call`"),
        ("error", "the mode asked for this error"),
    ] {
        let name = mode.replace('-', "_");
        hostile(&server, &name, mode).await;
        let error = error_of(&server, &name).await;
        assert!(error.contains(text) && error.contains("hostile"), "{mode}: {error}");
        assert!(!error.contains('\n'), "one sentence: {error}");
        let rows =
            server.get(&format!("/v1/data-sources/{name}/tables/numbers/rows")).await.unwrap();
        assert_eq!(
            rows.json().unwrap()["results"],
            json!([]),
            "{mode}: nothing half-done is shown"
        );
    }
    // All of them go on failing, and the good one and the API do not care.
    let updates = |body: &Value| {
        body["number_of_updates"].as_str().and_then(|n| n.parse().ok()).unwrap_or(0u64)
    };
    let before = server.get("/v1/data-sources/good/status").await.unwrap().json().unwrap();
    let more = |body: &Value| updates(body) > updates(&before) + 2 && body["last_error"] == "None";
    server.eventually("/v1/data-sources/good/status", SOON, more).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_that_was_refused_shows_in_the_status() {
    let server = Server::start(testing()).await.unwrap();
    // It goes on as if nothing had happened: what was well formed is there.
    hostile(&server, "careless", "ignore-bad-rows").await;
    let error = error_of(&server, "careless").await;
    assert!(error.contains("a batch of rows was refused, and is missing: row"), "{error}");
    let rows = server.get("/v1/data-sources/careless/tables/numbers/rows").await.unwrap();
    assert_eq!(rows.json().unwrap()["results"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_that_cannot_start_leaves_no_datasource() {
    let server = Server::start(testing()).await.unwrap();
    hostile(&server, "good", "ok").await;
    for (mode, text) in [
        ("spin-in-tables", "did not end"),
        ("tables-trap", "crashed"),
        ("nonsense", "unknown mode 'nonsense'"),
    ] {
        let config = json!({ "mode": mode });
        let body = json!({ "name": "bad", "driver": "hostile", "config": config });
        let reply = server.post("/v1/data-sources", &body).await.unwrap();
        let message = reply.json().unwrap()["error"]["message"].to_string();
        assert_eq!(reply.status, 400, "{mode}: {message}");
        assert!(
            message.contains("Datasource service: bad creation fails.") && message.contains(text),
            "{message}"
        );
        assert_eq!(server.get("/v1/data-sources/bad").await.unwrap().status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_not_granted_is_never_reached() {
    // Whoever connects is seen: nobody may.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let port = listener.local_addr().unwrap().port();
    let server = Server::start(testing()).await.unwrap();
    let path = "/v1/system/drivers/hostile?detail=true";
    server.eventually(path, SOON, |body| body["id"] == "hostile").await.unwrap();
    for (name, mode) in [("session", "fetch"), ("wasi", "wasi-fetch")] {
        let target = format!("http://127.0.0.1:{port}/secret");
        let config = json!({ "mode": mode, "target": target, "poll_time": "1" });
        let body = json!({ "name": name, "driver": "hostile", "config": config });
        assert_eq!(server.post("/v1/data-sources", &body).await.unwrap().status, 201);
    }
    let error = error_of(&server, "session").await;
    assert!(error.contains("127.0.0.1") && error.contains("allowed_hosts"), "{error}");
    let wasi = |body: &Value| {
        let polled = body["number_of_updates"].as_str() != Some("0");
        polled.then_some(()).is_some()
    };
    server.eventually("/v1/data-sources/wasi/status", SOON, wasi).await.unwrap();
    let nobody = listener.accept().map(drop).map_err(|error| error.kind());
    assert_eq!(nobody, Err(std::io::ErrorKind::WouldBlock), "a packet left the host");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_is_not_granted_is_not_read() {
    let server = Server::start(testing()).await.unwrap();
    let path = "/v1/system/drivers/hostile?detail=true";
    server.eventually(path, SOON, |body| body["id"] == "hostile").await.unwrap();
    let config = json!({ "mode": "read-file", "target": "/etc/passwd", "poll_time": "1" });
    let body = json!({ "name": "reader", "driver": "hostile", "config": config });
    assert_eq!(server.post("/v1/data-sources", &body).await.unwrap().status, 201);
    let polled = |body: &Value| body["number_of_updates"] != "0";
    let status = server.eventually("/v1/data-sources/reader/status", SOON, polled).await.unwrap();
    let rows = server.get("/v1/data-sources/reader/tables/report/rows").await.unwrap();
    let seen = format!("{status}{}", rows.json().unwrap());
    assert!(seen.contains("allowed_files"), "{seen}");
    assert!(!seen.contains("root:"), "{seen}");
}
