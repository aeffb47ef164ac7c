//! Drivers that come and go while the server runs.

use std::fs;

use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

use crate::{SOON, datasource, policy, rows, shipped};

#[tokio::test(flavor = "multi_thread")]
async fn a_driver_is_dropped_in_taken_away_and_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let options =
        ServerOptions { drivers: Some(folder.path().to_owned()), ..ServerOptions::default() };
    let server = Server::start(options).await.unwrap();
    let list = server.get("/v1/system/drivers").await.unwrap().json().unwrap();
    assert_eq!(list["results"], json!([]));

    let component = folder.path().join("template.wasm");
    let source = drivers_folder().join("testing/template.wasm");
    fs::copy(&source, &component).unwrap();
    let config = json!({ "names": "Ada, Bob", "poll_time": "1" });
    datasource(&server, "template", "hello", config).await;
    let list = server.get("/v1/system/drivers").await.unwrap().json().unwrap();
    assert_eq!(list["results"][0]["hash"].as_str().map(str::len), Some(64), "{list}");
    policy(&server, "p", &["greeted(x) :- hello:greetings(name=x)"]).await;
    rows(&server, "/v1/policies/p/tables/greeted", json!([["Ada"], ["Bob"]])).await;

    // Without its code it stops and says so; its rows stay.
    fs::remove_file(&component).unwrap();
    let error = |text: &'static str| {
        move |body: &Value| body["last_error"].as_str().is_some_and(|e| e.contains(text))
    };
    let status = "/v1/data-sources/hello/status";
    server.eventually(status, SOON, error("driver 'template' is not loaded")).await.unwrap();
    rows(&server, "/v1/policies/p/tables/greeted", json!([["Ada"], ["Bob"]])).await;
    let shown = server.get("/v1/data-sources/hello").await.unwrap().json().unwrap();
    assert_eq!(shown["config"]["names"], "<hidden>", "nobody knows what of it is secret");

    // A broken file in its place is refused, the right one goes on where it was.
    fs::write(&component, "\0asm broken").unwrap();
    fs::write(folder.path().join("half.wasm"), &fs::read(&source).unwrap()[..1000]).unwrap();
    let refused =
        |log: &str| log.contains("half.wasm") && log.contains("template.wasm: is not a valid");
    server.logs(SOON, refused).await.unwrap();
    fs::copy(&source, &component).unwrap();
    server.eventually(status, SOON, |body| body["last_error"] == "None").await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_driver_is_not_there() {
    let server = Server::start(shipped().with("DEFAULT", "disabled_drivers", "nova, http_json"))
        .await
        .unwrap();
    let ids = |body: &Value| -> Vec<String> {
        let drivers = body["results"].as_array().cloned().unwrap_or_default();
        drivers.iter().map(|driver| driver["id"].as_str().unwrap_or_default().to_owned()).collect()
    };
    let both = |body: &Value| {
        ["files", "keystonev3"].iter().all(|id| ids(body).contains(&(*id).to_owned()))
    };
    let list = server.eventually("/v1/system/drivers", SOON, both).await.unwrap();
    assert!(!ids(&list).contains(&"nova".to_owned()), "{list}");
    let reply = server.get("/v1/system/drivers/nova?detail=true").await.unwrap();
    assert_eq!(reply.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn drivers_show_their_options_tables_and_actions() {
    let server = Server::start(shipped()).await.unwrap();
    let show = server
        .eventually("/v1/system/drivers/nova?detail=true", SOON, |body| body["id"] == "nova")
        .await
        .unwrap();
    assert_eq!(show["config"]["auth_url"], "required");
    assert_eq!(show["secret"], json!(["password"]));
    assert!(show["tables"].as_array().unwrap().iter().any(|table| table["table_id"] == "servers"));
    // Nothing listens there: the datasource exists all the same, and says what is wrong.
    let config = json!({
        "auth_url": "http://127.0.0.1:1/v3", "username": "u", "password": "p", "project_name": "p",
        "poll_time": "1",
    });
    datasource(&server, "nova", "cloud", config).await;
    let failed =
        |body: &Value| body["last_error"].as_str().is_some_and(|e| e.contains("127.0.0.1"));
    server.eventually("/v1/data-sources/cloud/status", SOON, failed).await.unwrap();
    let actions = server.get("/v1/data-sources/cloud/actions").await.unwrap().json().unwrap();
    let pause =
        actions["results"].as_array().unwrap().iter().find(|a| a["name"] == "servers.pause");
    assert_eq!(pause.unwrap()["args"][0]["name"], "server");
}
