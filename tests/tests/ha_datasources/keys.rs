//! A host without the others' key does not take over.

use congress_tests::Server;
use congress_tests::cluster::create_datasource;
use serde_json::json;

use crate::{SOON, cluster, is_standby, testing};

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

/// While there was no secret, nothing told that its key is another one.
#[tokio::test(flavor = "multi_thread")]
async fn a_standby_with_a_key_of_its_own_gives_the_lease_up() {
    let (cluster, engines) = cluster(&testing(), 1).await;
    let active = cluster.active().await.unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let keys = elsewhere.path().join("keys");
    let options = cluster.datasources().with("DEFAULT", "encryption_key_path", keys.display());
    let stranger = Server::start(options).await.unwrap();
    is_standby(&stranger).await;
    stranger.logs(SOON, |log| log.contains("made a new key")).await.unwrap();
    let config = json!({ "mode": "ok", "password": "secret" });
    create_datasource(&engines[0], "hostile", "h", config).await.unwrap();
    active.kill().await.unwrap();
    let (status, log) = stranger.ended().await.unwrap();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("opens no secret") && log.contains("'h'"), "{log}");
    // The lease is free again at once.
    cluster.active().await.unwrap();
}
