//! Logging in where the configuration names version 2.0 of Keystone's API.

use congress_table::Value;
use serde_json::{Value as Json, json};

use crate::common::*;

/// A Keystone that has only version 2.0 of the API, and a compute service.
async fn old_cloud() -> Service {
    Service::start(|seen| {
        let url = |path: &str| format!("http://{}{path}", seen.header("host").unwrap());
        match (seen.method.as_str(), seen.path.as_str()) {
            ("GET", "/identity") => answer(300, json!({"versions": [{"id": "v2.0"}]}).to_string()),
            ("POST", "/identity/v2.0/tokens") if seen.body.contains("canary-password") => {
                let endpoint = json!({
                    "region": "RegionOne", "publicURL": url("/public"),
                    "internalURL": url("/internal"), "adminURL": url("/admin"),
                });
                let access = json!({
                    "token": {"id": "canary-token", "expires": "2099-01-01T00:00:00Z"},
                    "serviceCatalog": [{"type": "compute", "endpoints": [endpoint]}],
                });
                answer(200, json!({"access": access}).to_string())
            }
            ("POST", "/identity/v2.0/tokens") => {
                answer(401, json!({"error": {"message": "Who are you?"}}).to_string())
            }
            ("GET", "/admin/users") => answer(200, seen.header("x-auth-token").unwrap().to_owned()),
            _ => answer(404, ""),
        }
    })
    .await
}

fn account(service: &Service, mode: &str, target: &str) -> Json {
    json!({
        "mode": mode, "target": target, "auth": "keystone",
        "auth_url": service.url("/identity/v2.0/"), "username": "admin",
        "password": "canary-password", "project_name": "admin",
    })
}

#[tokio::test]
async fn an_old_keystone_logs_in() {
    let cloud = old_cloud().await;
    let outcome =
        poll(local_config(), account(&cloud, "fetch", &cloud.url("/admin/users"))).await.unwrap();
    assert_eq!(reported(&outcome, "text"), Value::text("canary-token"));
    let login: Json = serde_json::from_str(&cloud.seen()[1].body).unwrap();
    assert_eq!(
        login["auth"],
        json!({
            "tenantName": "admin",
            "passwordCredentials": {"username": "admin", "password": "canary-password"},
        })
    );
    let outcome = poll(local_config(), account(&cloud, "endpoint", "compute")).await.unwrap();
    assert_eq!(reported(&outcome, "endpoint"), Value::text(cloud.url("/public")));

    let mut settings = account(&cloud, "endpoint", "compute");
    settings["password"] = "wrong".into();
    let error = poll(local_config(), settings).await.unwrap_err().to_string();
    assert!(error.contains("Keystone refused user 'admin'"), "{error}");
}

#[tokio::test]
async fn a_keystone_that_has_version_3_is_asked_for_it() {
    let cloud = Service::start(|seen| match (seen.method.as_str(), seen.path.as_str()) {
        ("GET", "/identity") => {
            answer(300, json!({"versions": {"values": [{"id": "v3.14"}]}}).to_string())
        }
        _ => answer(401, ""),
    })
    .await;
    assert!(poll(local_config(), account(&cloud, "endpoint", "compute")).await.is_err());
    assert_eq!(cloud.seen()[1].path, "/identity/v3/auth/tokens");
}
