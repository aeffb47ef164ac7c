//! What goes wrong is said in a datasource's status, and is forgotten when it has gone.

use congress_test_services::{CloudService, OpenStack, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::congress::{Congress, DRIVERS};
use crate::objects::{Neutron, Objects};
use crate::{SOON, USER, say};

/// The user's password is another one for a while.
pub(crate) async fn wrong_password(congress: &Congress, cloud: &OpenStack) {
    set_password(cloud, "another").await;
    for datasource in DRIVERS {
        congress.fails(datasource, &["401", USER.0]).await;
        // What has been read stays, and its age is told. The first poll may have read a part still,
        // with the token from before.
        let waits =
            |status: &Value| status["data_age"] != "None" && status["next_attempt"] != "None";
        let path = format!("/v1/data-sources/{datasource}/status?detail=true");
        congress.server.eventually(&path, SOON, waits).await.unwrap();
    }
    set_password(cloud, USER.1).await;
    for datasource in DRIVERS {
        congress.recovers(datasource).await;
    }
    say("recovered with the right one");
}

/// Tokens that services have accepted are revoked, while the password stays good.
pub(crate) async fn revoked_token(congress: &Congress, cloud: &OpenStack) {
    // A new password revokes all tokens of a user.
    let token = cloud.keystone().token(USER.0, USER.1, Some("admin")).await.unwrap();
    set_password(cloud, "another").await;
    set_password(cloud, USER.1).await;
    let path = "auth/tokens";
    let url = format!("{}/{path}", cloud.keystone().url());
    let answer = reqwest::Client::builder().no_proxy().build().unwrap();
    let request = answer.get(url).header("x-auth-token", &token).header("x-subject-token", &token);
    assert_eq!(request.send().await.unwrap().status(), 401);
    for datasource in DRIVERS {
        polled(congress, datasource, 2).await;
        congress.recovers(datasource).await;
    }
    say("each datasource has logged in anew");
}

/// Tokens that live for seconds; and a datasource that has nothing but such a token.
pub(crate) async fn expired_token(congress: &Congress, cloud: &mut OpenStack) {
    restart_with_expiration(cloud, 10).await;
    let by_token = async |cloud: &OpenStack| {
        let mut config = congress.config.clone();
        let token = cloud.keystone().token(USER.0, USER.1, Some("admin")).await.unwrap();
        config["auth_type"] = "v3token".into();
        config["token"] = token.into();
        config
    };
    let config = by_token(cloud).await;
    congress.create("glancev2", "by_token", &config).await;
    congress.recovers("by_token").await;
    congress.fails("by_token", &["credentials were refused", "token"]).await;
    // Those with a password have outlived several tokens meanwhile.
    for datasource in DRIVERS {
        polled(congress, datasource, 2).await;
        congress.recovers(datasource).await;
    }
    say("datasources with a password go on");
    restart_with_expiration(cloud, 3600).await;
    let change = json!({ "config": by_token(cloud).await });
    let reply = congress.server.patch("/v1/data-sources/by_token", &change).await.unwrap();
    assert_eq!(reply.status, 200, "{:?}", reply.json());
    congress.recovers("by_token").await;
    say("by_token: recovered with a new token");
    assert_eq!(congress.server.delete("/v1/data-sources/by_token").await.unwrap().status, 200);
}

/// Services that nobody answers for.
pub(crate) async fn dead_services(congress: &Congress, cloud: &mut OpenStack) {
    for (service, datasource) in [
        (CloudService::Glance, "glancev2"),
        (CloudService::Neutron, "neutronv2"),
        (CloudService::NovaApi, "nova"),
    ] {
        let address = cloud.url(service);
        let address = address.trim_start_matches("http://").trim_end_matches("/v2.1").to_owned();
        cloud.stop(service).await.unwrap();
        congress.fails(datasource, &[&address, "refused"]).await;
        cloud.run(service).await.unwrap();
        congress.recovers(datasource).await;
        say(format!("{datasource}: recovered"));
    }
    cloud.keystone_mut().stop().await.unwrap();
    let address = format!("127.0.0.1:{}", cloud.keystone().port());
    congress.fails("keystonev3", &[&address, "refused"]).await;
    cloud.keystone_mut().run().await.unwrap();
    for datasource in DRIVERS {
        congress.recovers(datasource).await;
    }
    say("keystonev3: recovered");
}

/// A service answers 500, for one of its collections: a table is missing in its database.
pub(crate) async fn server_errors(congress: &Congress, cloud: &OpenStack, objects: &Objects) {
    let rename = async |from: &str, to: &str| {
        let sql = format!("RENAME TABLE neutron.{from} TO neutron.{to}");
        cloud.database().sql(&sql).await.unwrap();
    };
    let before = congress.rows("neutronv2", "security_groups").await;
    rename("securitygroups", "away").await;
    congress.fails("neutronv2", &["500", "security-groups"]).await;
    assert_eq!(congress.rows("neutronv2", "security_groups").await, before);
    // Other tables are read all the same.
    let path = format!("networks/{}", objects.network);
    let name = json!({"network": {"name": "renamed"}});
    Neutron(cloud).put(&path, name).await;
    let renamed = [("id", json!(objects.network)), ("name", json!("renamed"))];
    congress.row("neutronv2", "networks", &renamed).await;
    say("neutronv2: the other tables are read, security_groups keeps its rows");
    rename("away", "securitygroups").await;
    congress.recovers("neutronv2").await;
    say("neutronv2: recovered");
}

async fn set_password(cloud: &OpenStack, password: &str) {
    let keystone = cloud.keystone();
    let path = format!("users?name={}", USER.0);
    let found: Value = keystone.ask(Method::GET, &path, None).await.unwrap();
    let path = format!("users/{}", found["users"][0]["id"].as_str().unwrap());
    let body = json!({"user": {"password": password}});
    keystone.ask(Method::PATCH, &path, Some(body)).await.unwrap();
}

/// Waits until a datasource has been polled that often from now on.
async fn polled(congress: &Congress, datasource: &str, times: u64) {
    let before = congress.polls(datasource).await;
    eventually(&format!("{datasource} is polled"), SOON, async || {
        (congress.polls(datasource).await >= before + times).then_some(())
    })
    .await
    .unwrap();
}

async fn restart_with_expiration(cloud: &mut OpenStack, seconds: u32) {
    let keystone = cloud.keystone_mut();
    keystone.configure("token", "expiration", &seconds.to_string()).unwrap();
    keystone.stop().await.unwrap();
    keystone.run().await.unwrap();
}
