//! Tokens that are good, and others.

use std::time::Duration;

use congress_tests::Server;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::{keystone, options, patient, send, status, until};

#[tokio::test(flavor = "multi_thread")]
async fn only_good_tokens_get_in() {
    let keystone = keystone().await;
    let server = Server::start(options(keystone)).await.unwrap();

    // Versions and health need none.
    for path in ["/", "/healthcheck", "/readyz", "/readyz?detail"] {
        assert_eq!(server.get(path).await.unwrap().status, 200, "{path}");
    }
    assert_eq!(server.get("/elsewhere").await.unwrap().status, 300);
    // Everything else does, whether it is there or not.
    for path in ["/v1", "/v1/", "/v1/policies", "/v1/policies/action/rules", "/v1/nowhere"] {
        let reply = server.get(path).await.unwrap();
        assert_eq!(reply.status, 401, "{path}");
        assert_eq!(
            reply.headers["www-authenticate"],
            "Keystone uri=\"http://keystone.example:5000/v3\""
        );
        assert!(reply.headers["content-type"].to_str().unwrap().starts_with("text/html"));
        assert!(reply.headers.contains_key("x-openstack-request-id"));
    }
    for method in ["POST", "PUT", "DELETE", "PATCH", "HEAD", "PURGE"] {
        let method = method.parse().unwrap();
        let reply = server.request(method, "/v1/policies", HeaderMap::new(), None).await.unwrap();
        assert_eq!(reply.status, 401);
    }
    for token in ["nonsense", "", "gAAAAABrCciiEXN1onkiQ8q0xK9JBX9olDs4AA", &"x".repeat(20_000)] {
        assert_eq!(status(&server, token, "/v1/policies").await, 401, "{token}");
    }

    let admin = keystone.admin_token().await.unwrap();
    assert_eq!(status(&server, &admin, "/v1").await, 200);
    assert_eq!(status(&server, &admin, "/v1/policies").await, 200);
    assert_eq!(status(&server, &admin, "/v1/nowhere").await, 404);
    // A token without a project brings no role.
    keystone.add_user("homeless", "pw", "homeless-project", "admin").await.unwrap();
    let user = json!({
        "name": "homeless", "domain": {"id": "default"}, "password": "pw",
    });
    let auth = json!({
        "identity": {"methods": ["password"], "password": {"user": user}}, "scope": "unscoped",
    });
    let unscoped = keystone.log_in(auth).await.unwrap();
    assert_eq!(status(&server, &unscoped, "/v1").await, 200);
    assert_eq!(status(&server, &unscoped, "/v1/policies").await, 403);
    // The log knows people, not tokens.
    let log = server.log();
    assert!(!log.contains(&admin) && !log.contains(crate::SERVICE.1), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_cannot_say_who_it_is() {
    let keystone = keystone().await;
    let server = Server::start(options(keystone)).await.unwrap();
    keystone.add_user("mallory", "pw", "mallory-project", "member").await.unwrap();
    let token = keystone.token("mallory", "pw", Some("mallory-project")).await.unwrap();
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("x-roles", "admin"),
        ("x-user-id", "admin"),
        ("x-identity-status", "Confirmed"),
        ("x-is-admin-project", "True"),
    ] {
        headers.insert(name, value.parse().unwrap());
    }
    let ask = async |headers: &HeaderMap| {
        let once = async || {
            server.request(Method::GET, "/v1/policies", headers.clone(), None).await.unwrap()
        };
        patient(once).await.status
    };
    assert_eq!(ask(&headers).await, 401);
    headers.insert("x-auth-token", token.parse().unwrap());
    assert_eq!(ask(&headers).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_token_is_good_as_long_as_it_is_remembered() {
    let keystone = keystone().await;
    let remembers = options(keystone);
    let asks = remembers.clone().with("keystone_authtoken", "token_cache_time", 1);
    let (remembers, asks) =
        tokio::try_join!(Server::start(remembers), Server::start(asks)).unwrap();
    let token = keystone.admin_token().await.unwrap();
    for server in [&remembers, &asks] {
        assert_eq!(status(server, &token, "/v1/policies").await, 200);
    }
    keystone.revoke(&token).await.unwrap();
    until(&asks, &token, "/v1/policies", 401).await;
    assert_eq!(status(&remembers, &token, "/v1/policies").await, 200);
    let fresh = Server::start(options(keystone)).await.unwrap();
    assert_eq!(status(&fresh, &token, "/v1/policies").await, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_credential_and_the_catalogue() {
    let keystone = keystone().await;
    let id = keystone.add_user("robot", "pw", "robots", "service").await.unwrap();
    // Only users themselves may make one.
    let own = keystone.token("robot", "pw", Some("robots")).await.unwrap();
    let request = reqwest::Client::new()
        .post(format!("{}/users/{id}/application_credentials", keystone.url()))
        .header("x-auth-token", own)
        .json(&json!({"application_credential": {"name": "congress", "secret": "app s3cret"}}));
    // Its SQLite is locked now and then while other tests write, too, or does not show a role that
    // was just given.
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    let made: serde_json::Value = loop {
        let answer = request.try_clone().unwrap().send().await.unwrap();
        match answer.status().as_u16() {
            201 => break answer.json().await.unwrap(),
            400 | 500 if std::time::Instant::now() < deadline => {
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            other => panic!("{other}: {}", answer.text().await.unwrap()),
        }
    };
    let credential = made["application_credential"]["id"].as_str().unwrap();
    let section = "keystone_authtoken";
    let options = options(keystone)
        .with(section, "auth_type", "v3applicationcredential")
        .with(section, "application_credential_id", credential)
        .with(section, "application_credential_secret", "app s3cret")
        .with(section, "interface", "internal")
        .with(section, "region_name", "RegionOne");
    let server = Server::start(options).await.unwrap();
    let admin = keystone.admin_token().await.unwrap();
    let reply = send(&server, &admin, "GET", "/v1/policies", None).await;
    assert_eq!(reply.status, 200, "{}", server.log());
}
