//! Who sees the passwords of datasources.

use std::time::Duration;

use congress_tests::{Server, drivers_folder};
use serde_json::{Value, json};

use crate::{SOON, keystone, options, send};

/// How long it may take to compile all drivers.
const COMPILED: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread")]
async fn secrets_are_for_those_who_may_see_them() {
    let keystone = keystone().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.yaml");
    std::fs::write(&path, "get_v1: ''\n").unwrap();
    let mut options = options(keystone).with("oslo_policy", "policy_file", path.display());
    options.drivers = Some(drivers_folder());
    let options =
        options.with("plugins", "allowed_hosts", format!("127.0.0.1:{}", keystone.port()));
    let server = Server::start(options).await.unwrap();
    let admin = keystone.admin_token().await.unwrap();
    keystone.add_user("sid", "pw", "sid-project", "member").await.unwrap();
    let member = keystone.token("sid", "pw", Some("sid-project")).await.unwrap();

    congress_test_services::eventually("the driver is there", COMPILED, async || {
        let reply = send(&server, &admin, "GET", "/v1/system/drivers/keystonev3", None).await;
        (reply.status == 200).then_some(())
    })
    .await
    .unwrap();
    let config = json!({
        "auth_url": keystone.url(), "username": "congress", "password": "t0p s3cret",
        "project_name": "service",
    });
    let body = json!({"name": "users", "driver": "keystonev3", "config": config});
    let created = send(&server, &admin, "POST", "/v1/data-sources", Some(body)).await;
    assert_eq!(created.status, 201, "{}", String::from_utf8_lossy(&created.body));
    assert_eq!(created.json().unwrap()["config"]["password"], "<hidden>");

    let password = async |token: &str| -> Value {
        let reply = send(&server, token, "GET", "/v1/data-sources/users", None).await;
        reply.json().unwrap()["config"]["password"].clone()
    };
    assert_eq!(password(&admin).await, "t0p s3cret");
    assert_eq!(password(&member).await, "<hidden>");
    let list = send(&server, &admin, "GET", "/v1/data-sources", None).await.json().unwrap();
    assert_eq!(list["results"][0]["config"]["password"], "<hidden>");

    std::fs::write(&path, "get_v1: ''\nget_data_source_secrets: role:member and not role:admin\n")
        .unwrap();
    congress_test_services::eventually("the file is read again", SOON, async || {
        (password(&member).await == "t0p s3cret").then_some(())
    })
    .await
    .unwrap();
    assert_eq!(password(&admin).await, "<hidden>");
}
