//! Logging in: `OS_*` variables and `clouds.yaml`, with a real Keystone.

use std::fs;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use congress_test_services::Keystone;
use congress_tests::{Server, ServerOptions};
use serde_json::json;

use crate::{Ran, own};

/// Runs the client, told by its environment alone.
fn ran(variables: &[(&str, &str)], arguments: &[&str]) -> Ran {
    let mut command: Command = own();
    command.envs(variables.iter().copied()).args(arguments);
    command.output().unwrap().into()
}

#[tokio::test(flavor = "multi_thread")]
async fn keystone_says_where_the_server_is() {
    let keystone = Keystone::start().await.unwrap();
    let server = Server::start(ServerOptions::default()).await.unwrap();
    keystone.add_endpoint("policy", "congress", server.url()).await.unwrap();
    let url = keystone.url();
    let list = ["policy", "list", "-f", "value", "-c", "name"];
    let names =
        |ran: &Ran| assert!(ran.code == Some(0) && ran.out.contains("classification"), "{ran:?}");

    let password = [
        ("OS_AUTH_URL", url.as_str()),
        ("OS_USERNAME", "admin"),
        ("OS_PASSWORD", Keystone::ADMIN_PASSWORD),
        ("OS_PROJECT_NAME", "admin"),
        ("OS_USER_DOMAIN_NAME", "Default"),
        ("OS_PROJECT_DOMAIN_ID", "default"),
        ("OS_REGION_NAME", "RegionOne"),
        ("OS_INTERFACE", "internal"),
    ];
    names(&ran(&password, &list));
    let region = ran(&[&password[..], &[("OS_REGION_NAME", "Elsewhere")]].concat(), &list);
    assert!(region.err.contains("no internal endpoint"), "{region:?}");
    let wrong = ran(&[&password[..], &[("OS_PASSWORD", "guess")]].concat(), &list);
    assert_eq!(wrong.code, Some(1), "{wrong:?}");
    assert!(wrong.err.contains("refuses the login") && !wrong.err.contains("guess"), "{wrong:?}");

    // A token as it is, or for a project of its own.
    let token = keystone.admin_token().await.unwrap();
    let as_it_is =
        [("OS_AUTH_TYPE", "token"), ("OS_TOKEN", token.as_str()), ("OS_ENDPOINT", server.url())];
    names(&ran(&as_it_is, &list));
    let rescoped = [
        ("OS_AUTH_TYPE", "token"),
        ("OS_TOKEN", token.as_str()),
        ("OS_AUTH_URL", url.as_str()),
        ("OS_PROJECT_NAME", "admin"),
    ];
    names(&ran(&rescoped, &list));

    // An application credential, by a cloud of clouds.yaml with its secret elsewhere.
    let user = keystone.ask("GET".parse().unwrap(), "users?name=admin", None).await.unwrap();
    let user = user["users"][0]["id"].as_str().unwrap().to_owned();
    let body = json!({"application_credential": {"name": "c", "secret": "hush of the credential"}});
    let path = format!("users/{user}/application_credentials");
    let made = keystone.ask("POST".parse().unwrap(), &path, Some(body)).await.unwrap();
    let id = made["application_credential"]["id"].as_str().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let clouds = format!(
        "clouds:\n  here:\n    auth_type: v3applicationcredential\n    region_name: RegionOne\n    \
         auth:\n      auth_url: {url}\n      application_credential_id: {id}\n"
    );
    let openstack = folder.path().join("openstack");
    fs::create_dir(&openstack).unwrap();
    fs::write(openstack.join("clouds.yaml"), clouds).unwrap();
    let secure =
        "clouds: {here: {auth: {application_credential_secret: hush of the credential}}}\n";
    fs::write(openstack.join("secure.yaml"), secure).unwrap();
    let home = folder.path().display().to_string();
    let cloud = [("XDG_CONFIG_HOME", home.as_str()), ("OS_CLOUD", "here")];
    names(&ran(&cloud, &list));
    names(&ran(&cloud[..1], &[&["--os-cloud", "here"][..], &list].concat()));
    let none = ran(&cloud[..1], &[&["--os-cloud", "there"][..], &list].concat());
    assert!(none.err.contains("no cloud 'there'; it has: here"), "{none:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_keystone_the_server_is_named() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let list = ["policy", "list"];
    let none = [("OS_AUTH_TYPE", "none"), ("OS_ENDPOINT", server.url())];
    assert_eq!(ran(&none, &list).code, Some(0));
    assert_eq!(ran(&[("CONGRESS_URL", server.url())], &list).code, Some(0));
    let kind = ran(&[("OS_AUTH_TYPE", "v3oidcpassword")], &list);
    assert!(kind.err.contains("there are none, password, token and"), "{kind:?}");
    let missing = ran(&[("OS_AUTH_URL", "http://127.0.0.1:9/v3")], &list);
    assert!(missing.err.contains("set OS_USERNAME"), "{missing:?}");
}

/// What stands between two real answers, and no real Keystone does on demand: a token that ends between
/// two requests.
#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_refused_is_replaced_once() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (logins, refused) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicUsize::new(1)));
    let catalogue = json!({"token": {"catalog": [{"type": "policy", "endpoints": [
        {"interface": "public", "region": "r", "region_id": "r", "url": url},
    ]}]}})
    .to_string();
    let counted = logins.clone();
    let log_in = move || async move {
        let token = (counted.fetch_add(1, Ordering::SeqCst) + 1).to_string();
        (StatusCode::CREATED, [("X-Subject-Token", token)], catalogue)
    };
    let last = refused.clone();
    let list = move |headers: HeaderMap| async move {
        let token: usize = headers["X-Auth-Token"].to_str().unwrap().parse().unwrap();
        match token <= last.load(Ordering::SeqCst) {
            true => (StatusCode::UNAUTHORIZED, "{}"),
            false => (StatusCode::OK, "{\"results\": []}"),
        }
    };
    let app = Router::new().route("/v3/auth/tokens", post(log_in)).route("/v1/policies", get(list));
    let service = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let variables = [("OS_AUTH_URL", url.as_str()), ("OS_USERNAME", "u"), ("OS_PASSWORD", "p")];
    let list = tokio::task::block_in_place(|| ran(&variables, &["policy", "list"]));
    assert_eq!((list.code, logins.load(Ordering::SeqCst)), (Some(0), 2), "{list:?}");
    // One login more, and no endless ones.
    refused.store(usize::MAX, Ordering::SeqCst);
    let list = tokio::task::block_in_place(|| ran(&variables, &["policy", "list"]));
    assert_eq!((list.code, logins.load(Ordering::SeqCst)), (Some(1), 4), "{list:?}");
    service.abort();
}
