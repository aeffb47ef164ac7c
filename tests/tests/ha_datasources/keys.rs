//! A host without the others' key does not take over.

use congress_tests::Server;
use congress_tests::cluster::create_datasource;
use serde_json::json;

use crate::{cluster, testing};

#[tokio::test(flavor = "multi_thread")]
async fn a_node_without_the_key_refuses_to_start_and_the_other_goes_on() {
    let (cluster, engines) = cluster(&testing(), 1).await;
    let active = cluster.active().await.unwrap();
    let config = json!({ "mode": "ok", "password": "secret" });
    create_datasource(&engines[0], "hostile", "h", config).await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let options = cluster.datasources().with(
        "DEFAULT",
        "encryption_key_path",
        elsewhere.path().join("keys").display(),
    );
    let (status, log) = Server::ends(options).await.unwrap();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("copy its key folder"), "{log}");
    assert!(!elsewhere.path().join("keys").exists());
    assert_eq!(active.get("/readyz").await.unwrap().status, 200);
}
