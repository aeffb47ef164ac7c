//! Roles and policy files.

use std::fs;
use std::path::Path;

use congress_test_services::Keystone;
use congress_tests::{Reply, Server, ServerOptions};
use serde_json::json;

use crate::{SOON, keystone, options, send, status, until};

/// Each with a body that is good for it, as far as there is one.
const ROUTES: &[(&str, &str)] = &[
    ("GET", "/v1/policies"),
    ("POST", "/v1/policies"),
    ("GET", "/v1/policies/action"),
    ("HEAD", "/v1/policies/action"),
    ("DELETE", "/v1/policies/action"),
    ("PUT", "/v1/policies/action"),
    ("PATCH", "/v1/policies/action"),
    ("POST", "/v1/policies/action?action=simulate"),
    ("POST", "/v1/policies/action?action=execute"),
    ("POST", "/v1/policies/action?action=other"),
    ("POST", "/v1/policies/action"),
    ("GET", "/v1/policies/action/status"),
    ("GET", "/v1/policies/action/rules"),
    ("POST", "/v1/policies/action/rules"),
    ("GET", "/v1/policies/action/rules/x"),
    ("DELETE", "/v1/policies/action/rules/x"),
    ("PATCH", "/v1/policies/action/rules/x"),
    ("GET", "/v1/policies/action/rules/x/status"),
    ("GET", "/v1/policies/action/tables"),
    ("GET", "/v1/policies/action/tables/t"),
    ("GET", "/v1/policies/action/tables/t/rows"),
    ("PUT", "/v1/policies/action/tables/t/rows"),
    ("POST", "/v1/policies/action/tables/t/rows/1?action=x"),
    ("GET", "/v1/policies/nowhere/tables/t/explain?row=[1]"),
    ("GET", "/v1/policies/nowhere/tables/t/events"),
    ("GET", "/v1/librarypolicies"),
    ("POST", "/v1/librarypolicies"),
    ("GET", "/v1/librarypolicies/x"),
    ("PUT", "/v1/librarypolicies/x"),
    ("DELETE", "/v1/librarypolicies/x"),
    ("POST", "/v1/librarypolicies/x?action=other"),
    ("GET", "/v1/data-sources"),
    ("POST", "/v1/data-sources"),
    ("GET", "/v1/data-sources/x"),
    ("PATCH", "/v1/data-sources/x"),
    ("DELETE", "/v1/data-sources/x"),
    ("POST", "/v1/data-sources/x?action=request-refresh"),
    ("POST", "/v1/data-sources/x?action=execute"),
    ("GET", "/v1/data-sources/x/schema"),
    ("GET", "/v1/data-sources/x/status"),
    ("GET", "/v1/data-sources/x/actions"),
    ("POST", "/v1/data-sources/x/webhook"),
    ("GET", "/v1/data-sources/x/tables"),
    ("GET", "/v1/data-sources/x/tables/t"),
    ("GET", "/v1/data-sources/x/tables/t/spec"),
    ("GET", "/v1/data-sources/x/tables/t/rows"),
    ("PUT", "/v1/data-sources/x/tables/t/rows"),
    ("GET", "/v1/data-sources/x/tables/t/events"),
    ("GET", "/v1/actions"),
    ("GET", "/v1/actions/x"),
    ("POST", "/v1/actions/x?action=repeat"),
    ("POST", "/v1/actions/x?action=settle"),
    ("GET", "/v1/system/drivers"),
    ("GET", "/v1/system/drivers/x"),
];

/// A token of a new user with a role.
async fn user(keystone: &Keystone, name: &str, role: &str) -> String {
    let project = format!("{name}-project");
    keystone.add_user(name, "pw", &project, role).await.unwrap();
    keystone.token(name, "pw", Some(&project)).await.unwrap()
}

/// Options of a server with this policy file.
fn with_file(keystone: &Keystone, path: &Path, text: &str) -> ServerOptions {
    fs::write(path, text).unwrap();
    options(keystone).with("oslo_policy", "policy_file", path.display())
}

fn refused(reply: &Reply, name: &str) {
    assert_eq!(reply.status, 403);
    assert_eq!(
        reply.json().unwrap(),
        json!({"error": {
            "message": format!("Policy doesn't allow {name} to be performed."),
            "error_code": 403,
            "error_data": null,
        }})
    );
    assert_eq!(reply.headers["content-type"], "application/json");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_file_everything_is_for_administrators() {
    let keystone = keystone().await;
    let server = Server::start(options(keystone)).await.unwrap();
    let admin = keystone.admin_token().await.unwrap();
    let member = user(keystone, "meg", "member").await;

    assert_eq!(status(&server, &member, "/v1").await, 200);
    for (method, path) in ROUTES {
        let body = (*method == "POST" || *method == "PUT").then(|| json!({}));
        let reply = send(&server, &member, method, path, body.clone()).await;
        assert_eq!(reply.status, 403, "{method} {path}");
        let general = match *method {
            "GET" => Some("get_v1"),
            "POST" => Some("create_v1"),
            "DELETE" => Some("delete_v1"),
            "PUT" | "PATCH" => Some("update_v1"),
            _ => None,
        };
        if let Some(general) = general {
            refused(&reply, general);
        }
        let reply = send(&server, &admin, method, path, body).await;
        assert!(reply.status != 403 && reply.status != 401, "{method} {path}: {}", reply.status);
    }
    // What nobody has stays as it is.
    assert_eq!(status(&server, &member, "/v1/nowhere").await, 404);

    // The administrator's life.
    let body = json!({"name": "p", "rules": [{"rule": "q(1)"}]});
    assert_eq!(send(&server, &admin, "POST", "/v1/policies", Some(body)).await.status, 201);
    assert_eq!(status(&server, &admin, "/v1/policies/p/tables/q/rows").await, 200);
    assert_eq!(send(&server, &admin, "DELETE", "/v1/policies/p", None).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_lets_readers_read_and_is_read_again() {
    let keystone = keystone().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    let text = "# readers\n\
                reader: role:reader or rule:admin_only\n\
                get_v1: rule:reader\n\
                simulate_policy: rule:reader\n\
                get_data_sources: (role:observer and project_id:%(project_id)s)\n";
    let server = Server::start(with_file(keystone, &path, text)).await.unwrap();
    let reader = user(keystone, "rita", "reader").await;
    let observer = user(keystone, "oskar", "observer").await;

    assert_eq!(status(&server, &reader, "/v1/policies").await, 200);
    assert_eq!(status(&server, &reader, "/v1/policies/action").await, 200);
    assert_eq!(status(&server, &reader, "/v1/system/drivers").await, 200);
    let post = async |token: &str, path: &str| {
        send(&server, token, "POST", path, Some(json!({"name": "mine"}))).await
    };
    refused(&post(&reader, "/v1/policies").await, "create_v1");
    let simulated = post(&reader, "/v1/policies/action?action=simulate").await;
    assert_ne!(simulated.status, 403);
    refused(&send(&server, &reader, "DELETE", "/v1/policies/action", None).await, "delete_v1");
    refused(&send(&server, &reader, "GET", "/v1/data-sources", None).await, "get_data_sources");
    assert_eq!(status(&server, &observer, "/v1/data-sources").await, 200);
    refused(&send(&server, &observer, "GET", "/v1/policies", None).await, "get_v1");

    // A mistake changes nothing, and is told.
    fs::write(&path, "get_v1: role:observer or\ncreate_policies: '@'\n").unwrap();
    let told = |log: &str| log.contains("rule get_v1 ends where a check must stand");
    server.logs(SOON, told).await.unwrap();
    assert_eq!(status(&server, &reader, "/v1/policies").await, 200);
    assert_eq!(post(&reader, "/v1/policies").await.status, 403);

    // JSON, in the old form.
    fs::write(&path, r#"{"get_v1": [["role:observer"], ["rule:admin_only"]]}"#).unwrap();
    until(&server, &observer, "/v1/policies", 200).await;
    refused(&send(&server, &reader, "GET", "/v1/policies", None).await, "get_v1");
    fs::remove_file(&path).unwrap();
    until(&server, &observer, "/v1/policies", 403).await;
    let admin = keystone.admin_token().await.unwrap();
    assert_eq!(status(&server, &admin, "/v1/policies").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn writes_of_one_project() {
    let keystone = keystone().await;
    let folder = tempfile::tempdir().unwrap();
    let token = user(keystone, "paula", "member").await;
    let other = user(keystone, "olga", "member").await;
    let projects =
        keystone.ask(reqwest::Method::GET, "projects?name=paula-project", None).await.unwrap();
    let project = projects["projects"][0]["id"].as_str().unwrap();
    let text =
        format!("get_v1: ''\ncreate_policies: \"'{project}':%(project_id)s and role:member\"\n");
    let server = Server::start(with_file(keystone, &folder.path().join("p.yaml"), &text));
    let server = server.await.unwrap();
    let body = || Some(json!({"name": "p"}));
    let reply = send(&server, &other, "POST", "/v1/policies", body()).await;
    refused(&reply, "create_policies");
    assert_eq!(send(&server, &token, "POST", "/v1/policies", body()).await.status, 201);
    assert_eq!(status(&server, &other, "/v1/policies/p").await, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_file_keeps_the_server_from_starting() {
    let keystone = keystone().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    for (text, part) in [
        ("{\"get_v1\": \"role:a\",", "it is not JSON"),
        ("get_v1: http://server/%(user_id)s\n", "not supported"),
        ("get_v1: rule:b\nb: rule:get_v1\n", "in a circle"),
    ] {
        let options = with_file(keystone, &path, text);
        let log = Server::refused(options.clone()).await.unwrap();
        assert!(log.contains("policy.json") && log.contains(part), "{log}");
        let log = Server::refused(options.arg("--check-config")).await.unwrap();
        assert!(log.contains(part), "{log}");
    }
}
