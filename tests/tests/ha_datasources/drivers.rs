//! A driver that was dropped on one host runs on another.

use std::fs;

use congress_tests::cluster::{create_datasource, rows};
use congress_tests::{Server, drivers_folder};
use serde_json::{Value, json};

use crate::{SOON, cluster, is_active, is_standby};

#[tokio::test(flavor = "multi_thread")]
async fn it_runs_on_a_host_that_never_had_its_file() {
    let (here, there) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (cluster, engines) = cluster(here.path(), 1).await;
    let active = cluster.active().await.unwrap();
    let mut options = cluster.datasources();
    options.drivers = Some(there.path().to_owned());
    let standby = Server::start(options).await.unwrap();
    is_standby(&standby).await;
    let component = drivers_folder().join("testing/template.wasm");
    fs::copy(component, here.path().join("template.wasm")).unwrap();
    let config = json!({ "names": "Ada", "poll_time": "1" });
    create_datasource(&engines[0], "template", "hello", config).await.unwrap();
    active.kill().await.unwrap();
    is_active(&standby).await.unwrap();
    let path = "/v1/data-sources/hello/tables/greetings/rows";
    let greeted = json!(["Ada", "Hello, Ada!"]).to_string();
    let there = |body: &Value| rows(body).is_some_and(|rows| rows == [greeted.as_str()]);
    engines[0].eventually(path, SOON, there).await.unwrap();
}
