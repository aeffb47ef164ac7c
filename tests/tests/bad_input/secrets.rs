//! A service that repeats what it was sent, a wrong password, a crash: the password shows nowhere.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::path::Path;

use congress_tests::Server;
use serde_json::json;

use crate::{SOON, error_of, testing};

const CANARY: &str = "c4n4ry-w1th \"quotes\" & more";

/// The part of it that no spelling changes.
const PART: &str = "c4n4ry-w1th";

/// A Keystone that refuses everybody and tells them what they sent.
fn indiscreet() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    // Ends with the process of the tests.
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { return };
            let mut request = vec![0; 8192];
            // Head and body come in one piece or two.
            let mut length = stream.read(&mut request).unwrap_or(0);
            if !String::from_utf8_lossy(&request[..length]).contains("c4n4ry") {
                length += stream.read(&mut request[length..]).unwrap_or(0);
            }
            let text = format!("you sent {}", String::from_utf8_lossy(&request[..length]));
            let body = json!({"error": {"message": text}}).to_string();
            let head = format!(
                "HTTP/1.1 401 Unauthorized\r\ncontent-type: application/json\r\n\
                 content-length: {}\r\nconnection: close\r\n\r\n",
                body.len()
            );
            let _ =
                stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    port
}

#[tokio::test(flavor = "multi_thread")]
async fn a_password_shows_in_no_error_log_or_file() {
    let options = testing()
        .with("DEFAULT", "debug", "true")
        .with("plugins", "allowed_hosts", "127.0.0.1")
        .with("plugins", "call_timeout", "2");
    let server = Server::start(options).await.unwrap();
    let path = "/v1/system/drivers/hostile?detail=true";
    server.eventually(path, SOON, |body| body["id"] == "hostile").await.unwrap();
    let keystone = json!({
        "mode": "endpoint", "target": "compute", "auth": "keystone", "username": "u",
        "project_name": "p", "auth_url": format!("http://127.0.0.1:{}/v3", indiscreet()),
    });
    let basic = json!({"mode": "trap", "auth": "basic", "username": "u"});
    let mut errors = Vec::new();
    for (name, mut config) in [("indiscreet", keystone), ("crashing", basic)] {
        config["password"] = CANARY.into();
        config["poll_time"] = "1".into();
        let body = json!({ "name": name, "driver": "hostile", "config": config });
        let reply = server.post("/v1/data-sources", &body).await.unwrap();
        assert_eq!(reply.status, 201);
        let shown = reply.json().unwrap();
        assert_eq!(shown["config"]["password"], "<hidden>");
        errors.push(error_of(&server, name).await);
        for what in ["", "/status", "/schema", "/tables/report/rows"] {
            let reply = server.get(&format!("/v1/data-sources/{name}{what}")).await.unwrap();
            silent(what, &String::from_utf8_lossy(&reply.body));
        }
    }
    assert!(errors[0].contains("Keystone refused user 'u'"), "{errors:?}");
    // What is refused is quoted without its values.
    for refused in [
        json!({"name": "x", "driver": "nosuch", "config": {"password": CANARY}}),
        json!({"name": "x", "driver": "hostile", "config": {"password": CANARY, "nosuch": 1}}),
        json!({"name": "x y", "driver": "hostile", "config": {"password": CANARY}}),
        json!({"name": "x", "driver": "hostile", "config": {"password": [CANARY]}}),
        json!({"name": "x", "driver": "hostile", "config": {"password": CANARY, "count": "?"}}),
    ] {
        let reply = server.post("/v1/data-sources", &refused).await.unwrap();
        assert_eq!(reply.status, 400, "{refused}");
        silent("a refusal", &String::from_utf8_lossy(&reply.body));
    }
    silent("the log", &server.log());
    let state = server.state();
    assert!(fs::read(state.path().join("congress.sqlite")).is_ok(), "there is a database");
    // While it runs, its newest writes are in files of their own; after a crash they stay there.
    files_are_silent(state.path());
    server.kill().await.unwrap();
    files_are_silent(state.path());
}

fn silent(what: &str, text: &str) {
    let found = text.split_once(PART).map(|(before, _)| {
        let last: Vec<char> = before.chars().rev().take(300).collect();
        last.into_iter().rev().collect::<String>()
    });
    assert_eq!(found, None, "{what} holds the password after this");
}

fn files_are_silent(folder: &Path) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_are_silent(&path);
        } else if let Ok(content) = fs::read(&path) {
            silent(&path.display().to_string(), &String::from_utf8_lossy(&content));
        }
    }
}
