//! With which code a server ends, and the file that tells which process it is.

use std::fs;
use std::sync::Arc;

use congress_tests::{Server, ServerOptions};
use serde_json::json;

use crate::{SOON, testing};

#[tokio::test(flavor = "multi_thread")]
async fn what_an_operator_must_put_right_has_a_code_of_its_own() {
    let wrong = ServerOptions::default().with("DEFAULT", "bind_port", "many");
    let (status, log) = Server::ends(wrong.clone()).await.unwrap();
    assert_eq!(status.code(), Some(78), "{log}");
    let (status, log) = Server::ends(wrong.arg("--check-config")).await.unwrap();
    assert_eq!(status.code(), Some(78), "{log}");
    let (status, log) =
        Server::ends(ServerOptions::default().arg("--no-such-option")).await.unwrap();
    assert_eq!(status.code(), Some(2), "{log}");
    let nowhere = ServerOptions::default().with("DEFAULT", "bind_host", "192.0.2.1");
    let (status, log) = Server::ends(nowhere).await.unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_tells_of_missing_keys_and_refuses_bad_ones() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let options = ServerOptions { state: Some(state.clone()), ..ServerOptions::default() };
    let options = options.arg("--check-config");
    let (status, log) = Server::ends(options.clone()).await.unwrap();
    assert!(status.success(), "{log}");
    assert!(log.contains("keys/aes_key") && log.contains("copy the key folder"), "{log}");
    assert!(!state.path().join("keys").exists(), "a check changes nothing");
    fs::create_dir(state.path().join("keys")).unwrap();
    fs::write(state.path().join("keys/aes_key"), "no key").unwrap();
    let (status, log) = Server::ends(options).await.unwrap();
    assert_eq!(status.code(), Some(78), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_open_nothing_are_refused() {
    let server = Server::start(testing()).await.unwrap();
    let ready = |body: &serde_json::Value| body["id"] == "hostile";
    server.eventually("/v1/system/drivers/hostile?detail=true", SOON, ready).await.unwrap();
    let body = json!({"name": "h", "driver": "hostile", "config": {"password": "p"}});
    let reply = server.post("/v1/data-sources", &body).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
    let state = server.state();
    server.stop().await.unwrap();
    let key = state.path().join("keys/aes_key");
    let other = tempfile::tempdir().unwrap();
    let options = |keys: &std::path::Path| {
        let options = ServerOptions { state: Some(state.clone()), ..testing() };
        options.with("DEFAULT", "encryption_key_path", keys.display())
    };
    let (status, log) = Server::ends(options(&other.path().join("none"))).await.unwrap();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("copy its key folder"), "{log}");
    // Another key: its letters in another order, but for the last, not all of whose bits count.
    let text = fs::read_to_string(&key).unwrap();
    let (letters, last) = text.split_at(42);
    let changed: String = letters.chars().rev().chain(last.chars()).collect();
    fs::write(other.path().join("aes_key"), changed).unwrap();
    let (status, log) = Server::ends(options(other.path())).await.unwrap();
    assert_eq!(status.code(), Some(78), "{log}");
    assert!(log.contains("opens no secret") && log.contains("'h'"), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lock_file_tells_which_process_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("lock");
    let options = ServerOptions::default().arg(format!("--lock-file={}", path.display()));
    let server = Server::start(options.clone()).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("pid={}\n", server.pid())), "{text}");
    assert!(text.contains(&format!("health={}\n", server.url())), "{text}");
    let (status, log) = Server::ends(options.clone()).await.unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains(&format!("process {}", server.pid())), "{log}");
    // The lock ends with the process, however that ends.
    server.kill().await.unwrap();
    let server = Server::start(options).await.unwrap();
    let text = fs::read_to_string(&path).unwrap();
    assert!(text.contains(&format!("pid={}\n", server.pid())), "{text}");
}
