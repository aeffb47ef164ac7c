//! Who may do what, with a real Keystone.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod client;
mod headers;
mod outage;
mod rules;
mod secrets;
mod tokens;

use std::time::{Duration, Instant};

use congress_test_services::Keystone;
use congress_tests::{Reply, SOON, Server, ServerOptions};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::Value;

/// The user that servers log in as.
const SERVICE: (&str, &str) = ("congress", "s3rvice%$");

/// The Keystone of all tests that do not stop it, with the servers' user.
async fn keystone() -> &'static Keystone {
    static MADE: tokio::sync::OnceCell<()> = tokio::sync::OnceCell::const_new();
    let keystone = Keystone::shared().await.unwrap();
    MADE.get_or_init(async || add_service(keystone).await).await;
    keystone
}

async fn add_service(keystone: &Keystone) {
    let (name, password) = SERVICE;
    keystone.add_user(name, password, "service", "service").await.unwrap();
}

/// Options of a server that asks a Keystone.
fn options(keystone: &Keystone) -> ServerOptions {
    let section = "keystone_authtoken";
    ServerOptions::default()
        .with("DEFAULT", "auth_strategy", "keystone")
        .with(section, "auth_url", keystone.url())
        .with(section, "www_authenticate_uri", "http://keystone.example:5000/v3")
        .with(section, "username", SERVICE.0)
        .with(section, "password", SERVICE.1.replace('$', "$$"))
        .with(section, "project_name", "service")
        .with(section, "user_domain_name", "Default")
        .with(section, "project_domain_id", "default")
}

/// Asks, and again for as long as Keystone is too slow: other tests may have the machine.
async fn patient(ask: impl AsyncFn() -> Reply) -> Reply {
    let end = Instant::now() + SOON;
    loop {
        let reply = ask().await;
        if reply.status != 503 || Instant::now() > end {
            return reply;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Sends a request with a token.
async fn send(
    server: &Server,
    token: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Reply {
    patient(async || send_once(server, token, method, path, body.clone()).await).await
}

/// The same, whether Keystone answers or not.
async fn send_once(
    server: &Server,
    token: &str,
    method: &str,
    path: &str,
    body: Option<Value>,
) -> Reply {
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", token.parse().unwrap());
    headers.insert(CONTENT_TYPE, "application/json".parse().unwrap());
    let method: Method = method.parse().unwrap();
    let body = body.map(|body| body.to_string().into_bytes());
    server.request(method, path, headers, body).await.unwrap()
}

/// The status of a `GET` with a token.
async fn status(server: &Server, token: &str, path: &str) -> u16 {
    send(server, token, "GET", path, None).await.status
}

/// Waits until a `GET` with a token has a status.
async fn until(server: &Server, token: &str, path: &str, wanted: u16) {
    congress_test_services::eventually(&format!("{path} is answered {wanted}"), SOON, async || {
        (status(server, token, path).await == wanted).then_some(())
    })
    .await
    .unwrap();
}
