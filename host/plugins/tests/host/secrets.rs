//! A canary for each secret: nothing that leaves the host holds one, and no guest sees one.

use std::io;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::http::{Request, Response};
use bytes::Bytes;
use congress_plugins::{Host, HostConfig, Limits, State, Wire};
use serde_json::{Value as Json, json};

use crate::common::*;

/// In every secret, whole or not.
const CANARY: &str = "c4n4ry";

/// `u:c4n4ry-password`, as basic authentication sends it.
const ENCODED: &str = "dTpjNG40cnktcGFzc3dvcmQ";

/// All log lines of this process, at every level.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The log is the process's, so the test has one of its own.
#[tokio::test]
async fn secrets_show_nowhere() {
    if alone("secrets::secrets_show_nowhere").await {
        sing().await;
    }
}

fn silent(what: &str, text: &str) {
    for canary in [CANARY, ENCODED] {
        if let Some(at) = text.find(canary) {
            let before: String = text[..at].chars().rev().take(300).collect();
            panic!("{what} holds a secret after: {}", before.chars().rev().collect::<String>());
        }
    }
}

/// Keystone, and a service beside it. Those who log in wrongly are told what they sent.
async fn cloud() -> Service {
    Service::start(|seen| match seen.path.as_str() {
        "/v3/auth/tokens" if seen.body.contains("right") => axum::http::Response::builder()
            .status(201)
            .header("x-subject-token", format!("{CANARY}-from-keystone"))
            .body(json!({"token": {"expires_at": "2099-01-01T00:00:00Z"}}).to_string().into())
            .unwrap(),
        "/v3/auth/tokens" => {
            let text = format!("you sent {}", seen.body);
            answer(401, json!({"error": {"message": text}}).to_string())
        }
        _ => answer(200, "an answer"),
    })
    .await
}

fn accounts(cloud: &Service) -> Vec<Json> {
    let keystone = |password: &str| {
        json!({
            "auth": "keystone", "auth_url": cloud.url("/v3"), "username": "u",
            "project_name": "p", "password": format!("{CANARY}-{password}"),
            "token": format!("{CANARY}-unused"),
        })
    };
    vec![
        json!({"auth": "basic", "username": "u", "password": format!("{CANARY}-password")}),
        json!({"auth": "bearer", "token": format!("{CANARY} \"token\" & more")}),
        json!({"auth": "header", "auth_header": "x-key", "token": format!("{CANARY}-key")}),
        keystone("right"),
        keystone("wrong"),
    ]
}

async fn sing() {
    let log = Log::default();
    let writer = log.clone();
    tracing_subscriber::fmt()
        .with_max_level(tracing_subscriber::filter::LevelFilter::TRACE)
        .with_ansi(false)
        .with_writer(move || writer.clone())
        .init();
    let cache = tempfile::tempdir().unwrap();
    let limits = Limits { call_timeout: Duration::from_millis(300), ..short_limits() };
    let config =
        HostConfig { cache_folder: Some(cache.path().join("compiled")), limits, ..local_config() };
    let host = Host::new(config).unwrap();
    let driver = hostile(&host).await;
    let cloud = cloud().await;

    for account in accounts(&cloud) {
        let mut sent = 0;
        for mode in ["spy", "config", "fetch", "wasi-fetch", "trap", "spin", "error", "endpoint"] {
            let mut settings = account.clone();
            settings["mode"] = mode.into();
            settings["target"] = cloud.url("/").into();
            let made = driver.datasource("d", &values(settings.clone()), State::default()).await;
            let source = made.unwrap();
            // The rows are all that a guest can say of what it has seen.
            let outcome = source.poll(&["numbers", "report"]).await;
            silent(mode, &format!("{outcome:?} {source:?} {:?}", source.state()));
            if let Err(error) = &outcome {
                silent(mode, &format!("{error} {error:#?}"));
            }
            sent += usize::from(outcome.is_ok());
            // Refused configurations are quoted without their values.
            settings["count"] = format!("{CANARY} is no number").into();
            let refused = driver.datasource("d", &values(settings), State::default()).await;
            silent("refusal", &format!("{} {0:?}", refused.unwrap_err()));
        }
        assert!(sent > 0, "{account}: no call went well");
    }
    let sent = cloud.seen();
    assert!(
        sent.iter().any(|s| s.headers.values().any(|v| v.to_str().unwrap().contains(CANARY))),
        "the canary never sang: nothing was tested"
    );
    silent("the host", &format!("{host:?} {driver:?} {:?}", driver.metadata()));

    let log = String::from_utf8_lossy(&log.0.lock().unwrap()).into_owned();
    assert!(log.contains("congress_plugins::guest") && log.contains("TRACE"), "the log is empty");
    silent("the log", &log);
    files_are_silent(&cache.path().join("compiled"));
}

/// A bug of ours at the worst moment: credentials are in the request, and it is printed.
#[derive(Debug)]
struct Panicking;

impl Wire for Panicking {
    fn answer(&self, request: &Request<Bytes>) -> Option<Result<Response<Bytes>, String>> {
        panic!("a bug with {} {} {:?}", request.method(), request.uri(), request.headers());
    }

    fn saw(&self, _: &Request<Bytes>, _: &Response<Bytes>) {}
}

#[tokio::test]
async fn secrets_show_in_no_panic() {
    if !alone("secrets::secrets_show_in_no_panic").await {
        return;
    }
    let said = Log::default();
    let hook = said.clone();
    std::panic::set_hook(Box::new(move |panic| {
        let trace = std::backtrace::Backtrace::force_capture();
        let text = format!("{panic}\n{panic:?}\n{trace}\n");
        hook.0.lock().unwrap().extend_from_slice(text.as_bytes());
    }));
    let host = Host::new(HostConfig { wire: Some(Arc::new(Panicking)), ..local_config() }).unwrap();
    let driver = hostile(&host).await;
    let cloud = cloud().await;
    // Keystone's password goes in a body, which nobody prints.
    for account in accounts(&cloud).into_iter().take(3) {
        let mut settings = account;
        settings["mode"] = "fetch".into();
        settings["target"] = cloud.url("/").into();
        let source = driver.datasource("d", &values(settings), State::default()).await.unwrap();
        let error = source.poll(&["numbers", "report"]).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("a bug in the plugin host"), "{text}");
        silent("the error", &format!("{error} {error:#?}"));
    }
    let said = String::from_utf8_lossy(&said.0.lock().unwrap()).into_owned();
    assert!(said.matches("a bug with GET http://127.0.0.1").count() >= 3, "{said}");
    assert!(said.contains("Sensitive"), "no credentials were there to be seen: {said}");
    silent("a panic", &said);
    // The host goes on.
    let fine = driver.datasource("d", &values(json!({"mode": "ok"})), State::default()).await;
    fine.unwrap().poll(&["numbers"]).await.unwrap();
}

fn files_are_silent(folder: &Path) {
    let files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    assert!(files.len() > 1, "nothing is cached");
    for file in files {
        silent(
            &file.display().to_string(),
            &String::from_utf8_lossy(&std::fs::read(&file).unwrap()),
        );
    }
}
