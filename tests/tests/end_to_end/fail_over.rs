//! Drivers that outlive the host on which their files are: from the catalogue in the database.

use std::fs;
use std::io::Write as _;

use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{SOON, datasource, rows};

const GREETINGS: &str = "/v1/data-sources/hello/tables/greetings";

/// A server with the template's file in a folder of its own, and a datasource of it.
async fn greeter() -> (Server, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let source = drivers_folder().join("testing/template.wasm");
    fs::copy(source, folder.path().join("template.wasm")).unwrap();
    let server = Server::start(options(&folder)).await.unwrap();
    datasource(&server, "template", "hello", json!({ "names": "Ada", "poll_time": "1" })).await;
    rows(&server, GREETINGS, json!([["Ada", "Hello, Ada!"]])).await;
    (server, folder)
}

fn options(folder: &TempDir) -> ServerOptions {
    ServerOptions { drivers: Some(folder.path().to_owned()), ..ServerOptions::default() }
}

/// Goes on with a server's database.
fn after(server: &Server, options: ServerOptions) -> ServerOptions {
    ServerOptions { state: Some(server.state()), ..options }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_runs_on_a_host_that_never_had_its_file() {
    let (server, _folder) = greeter().await;
    let driver =
        server.get("/v1/system/drivers/template?detail=true").await.unwrap().json().unwrap();
    let empty = tempfile::tempdir().unwrap();
    let cache = tempfile::tempdir().unwrap();
    let next = after(&server, options(&empty));
    server.kill().await.unwrap();

    // Nothing is left of it on this host, not even in the cache: it is compiled before the server
    // calls itself ready.
    let next = next.with("plugins", "cache_path", cache.path().display());
    let server = Server::start(next).await.unwrap();
    let again =
        server.get("/v1/system/drivers/template?detail=true").await.unwrap().json().unwrap();
    assert_eq!(again["state"], "ready", "{again}");
    assert_eq!((&again["hash"], &again["tables"]), (&driver["hash"], &driver["tables"]));
    assert_eq!(again["file"], Value::Null);
    rows(&server, GREETINGS, json!([["Ada", "Hello, Ada!"]])).await;

    // A file here is preferred; once it was, taking it away is meant.
    let component = empty.path().join("mine.wasm");
    fs::copy(drivers_folder().join("testing/template-next.wasm"), &component).unwrap();
    rows(&server, GREETINGS, json!([["Ada", "Hello again, Ada!", 3]])).await;
    fs::remove_file(&component).unwrap();
    let stopped = |body: &Value| {
        body["last_error"].as_str().is_some_and(|e| e.contains("'template' is not loaded"))
    };
    server.eventually("/v1/data-sources/hello/status?detail=true", SOON, stopped).await.unwrap();
    let gone = |body: &Value| body["error"]["error_code"] == 404;
    server.eventually("/v1/system/drivers/template?detail=true", SOON, gone).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_build_in_the_database_runs_until_the_file_is_whole_again() {
    let (server, folder) = greeter().await;
    let next = after(&server, options(&folder));
    server.stop().await.unwrap();
    let path = folder.path().join("template.wasm");
    let next_build = fs::read(drivers_folder().join("testing/template-next.wasm")).unwrap();
    let (first, second) = next_build.split_at(next_build.len() / 2);
    fs::write(&path, first).unwrap();
    let server = Server::start(next).await.unwrap();
    rows(&server, GREETINGS, json!([["Ada", "Hello, Ada!"]])).await;
    let told = |body: &Value| {
        let error = body["driver_error"].as_str().unwrap_or_default();
        error.contains("template.wasm cannot be used, the build in the database runs")
    };
    server.eventually("/v1/data-sources/hello/status?detail=true", SOON, told).await.unwrap();

    // The rest comes, slowly: the datasource never stops.
    let mut file = fs::File::options().append(true).open(&path).unwrap();
    for piece in second.chunks(second.len() / 20 + 1) {
        file.write_all(piece).unwrap();
        let reply = server.get(&format!("{GREETINGS}/rows")).await.unwrap();
        assert_eq!(reply.status, 200, "{}", String::from_utf8_lossy(&reply.body));
    }
    drop(file);
    let moved = |body: &Value| {
        assert_ne!(body["error"]["error_code"], 503, "{body}");
        body["results"][0]["data"][1] == "Hello again, Ada!"
    };
    server.eventually(&format!("{GREETINGS}/rows"), SOON, moved).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_removed_while_nobody_watched_is_gone() {
    let (server, folder) = greeter().await;
    let next = after(&server, options(&folder));
    server.stop().await.unwrap();
    fs::remove_file(folder.path().join("template.wasm")).unwrap();
    let server = Server::start(next).await.unwrap();
    let gone = |body: &Value| body["error"]["error_code"] == 404;
    server.eventually("/v1/system/drivers/template?detail=true", SOON, gone).await.unwrap();
    // Its datasource stays, stopped, and comes back when the file does.
    let stopped = |body: &Value| {
        body["last_error"].as_str().is_some_and(|e| e.contains("'template' is not loaded"))
    };
    server.eventually("/v1/data-sources/hello/status?detail=true", SOON, stopped).await.unwrap();
    let source = drivers_folder().join("testing/template.wasm");
    fs::copy(source, folder.path().join("template.wasm")).unwrap();
    rows(&server, GREETINGS, json!([["Ada", "Hello, Ada!"]])).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_driver_stays_in_the_catalogue_unseen() {
    let (server, folder) = greeter().await;
    let next = after(&server, options(&folder)).with("DEFAULT", "disabled_drivers", "template");
    let empty = tempfile::tempdir().unwrap();
    let back = after(&server, options(&empty));
    server.stop().await.unwrap();
    let server = Server::start(next).await.unwrap();
    let disabled = |body: &Value| {
        body["last_error"].as_str().is_some_and(|e| e.contains("disabled by disabled_drivers"))
    };
    server.eventually("/v1/data-sources/hello/status?detail=true", SOON, disabled).await.unwrap();
    assert_eq!(server.get("/v1/system/drivers/template?detail=true").await.unwrap().status, 404);
    let body = json!({ "name": "more", "driver": "template", "config": { "names": "Bob" } });
    assert_eq!(server.post("/v1/data-sources", &body).await.unwrap().status, 400);
    // What of its configuration is secret is still known.
    let shown = server.get("/v1/data-sources/hello").await.unwrap().json().unwrap();
    assert_eq!(shown["config"]["names"], "Ada");
    server.stop().await.unwrap();

    let server = Server::start(back).await.unwrap();
    rows(&server, GREETINGS, json!([["Ada", "Hello, Ada!"]])).await;
}
