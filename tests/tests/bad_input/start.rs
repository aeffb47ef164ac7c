//! Servers that must not start.

use std::fs;
use std::net::TcpListener;
use std::sync::Arc;

use congress_tests::{Server, ServerOptions};
use serde_json::json;

#[tokio::test(flavor = "multi_thread")]
async fn a_port_in_use() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let options = ServerOptions::default().with("DEFAULT", "bind_port", port);
    let log = Server::refused(options).await.unwrap();
    assert!(log.contains(&format!("127.0.0.1:{port}")) && log.contains("another process"), "{log}");
    assert!(log.contains("bind_port"), "what to do: {log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_file_that_is_none() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let file = state.path().join("congress.sqlite");
    fs::write(&file, "precious text, not a database").unwrap();
    let options = ServerOptions { state: Some(state.clone()), ..ServerOptions::default() };
    let log = Server::refused(options).await.unwrap();
    assert!(log.contains("congress.sqlite") && log.contains("not a database"), "{log}");
    assert_eq!(fs::read_to_string(&file).unwrap(), "precious text, not a database");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_in_a_folder_that_is_not_there() {
    let options = ServerOptions::default().with(
        "database",
        "connection",
        "sqlite:////nonexistent/congress.sqlite",
    );
    let log = Server::refused(options).await.unwrap();
    assert!(log.contains("/nonexistent") && log.contains("does not exist"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn options_that_make_no_sense_are_all_named() {
    let options = ServerOptions::default().with("DEFAULT", "bind_port", "many").with(
        "plugins",
        "call_timeout",
        "soon",
    );
    let log = Server::refused(options).await.unwrap();
    for part in ["congress.conf", "bind_port", "many", "call_timeout", "soon"] {
        assert!(log.contains(part), "{part}: {log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_built_is_refused_by_name() {
    for (section, name, value, text) in [
        ("DEFAULT", "auth_strategy", "keystone", "keystone"),
        ("DEFAULT", "transport_url", "zmq://u:s3cr3t@localhost/", "'zmq'"),
        ("database", "connection", "oracle://u:s3cr3t@localhost/congress", "'oracle'"),
        ("DEFAULT", "api", "true", "not all roles"),
    ] {
        let log =
            Server::refused(ServerOptions::default().with(section, name, value)).await.unwrap();
        assert!(log.contains(text), "{name}: {log}");
        assert!(!log.contains("s3cr3t"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_missing_key_is_not_replaced_by_a_new_one() {
    let server = Server::start(crate::testing()).await.unwrap();
    let path = "/v1/system/drivers/hostile?detail=true";
    server.eventually(path, crate::SOON, |body| body["id"] == "hostile").await.unwrap();
    let body = json!({"name": "h", "driver": "hostile", "config": {"password": "p"}});
    assert_eq!(server.post("/v1/data-sources", &body).await.unwrap().status, 201);
    let state = server.state();
    server.stop().await.unwrap();
    fs::remove_dir_all(state.path().join("keys")).unwrap();
    let options = ServerOptions { state: Some(state.clone()), ..crate::testing() };
    let log = Server::refused(options).await.unwrap();
    assert!(log.contains("copy its key folder"), "{log}");
    assert!(!state.path().join("keys/aes_key").exists());
}
