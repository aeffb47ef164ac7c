//! RabbitMQ's management API.

use congress_test_services::{RabbitMq, eventually};
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::{SOON, datasource, poll, rows};

/// Asks the API for something, until it does it: it begins to answer after the broker does.
async fn change(client: &Client, base: &str, method: Method, path: &str, body: Value) {
    let ask = async || {
        let request = client.request(method.clone(), format!("{base}/{path}"));
        let answer = request.basic_auth("guest", Some("guest")).body(body.to_string()).send().await;
        answer.ok().filter(|answer| answer.status().is_success()).map(drop)
    };
    eventually(&format!("{method} {path}"), SOON, ask).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn rabbitmq() {
    let broker = RabbitMq::start_with_management().await.unwrap();
    let base = format!("http://127.0.0.1:{}/api", broker.management_port().unwrap());
    // Fails if another test of this process has done it.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = Client::new();
    let queue = json!({ "durable": true, "auto_delete": false, "arguments": {} });
    change(&client, &base, Method::PUT, "vhosts/shop", json!({})).await;
    let all = json!({ "configure": ".*", "write": ".*", "read": ".*" });
    change(&client, &base, Method::PUT, "permissions/shop/guest", all).await;
    change(&client, &base, Method::PUT, "queues/shop/orders%20%C3%BC", queue).await;
    let user = json!({ "password": "x", "tags": "monitoring,management" });
    change(&client, &base, Method::PUT, "users/watcher", user).await;

    let config = [("url", base.as_str()), ("auth", "basic"), ("username", "guest")];
    let config: Vec<_> = config.into_iter().chain([("password", "guest")]).collect();
    let source = datasource("rabbitmq", &config).await;
    // Messages are counted, and nodes looked at, every few seconds only.
    let counted = async || {
        let tables = poll(&source).await.unwrap();
        let queue = rows(&source, &tables, "queues").into_iter().next()?;
        let node = rows(&source, &tables, "nodes").into_iter().next()?;
        let is_known = queue["messages"] == 0 && node["memory_alarm"].is_boolean();
        is_known.then_some((tables, queue))
    };
    let (tables, queue) =
        eventually("the queue's messages are counted", SOON, counted).await.unwrap();
    assert_eq!(queue["name"], "orders ü");
    assert_eq!((&queue["vhost"], &queue["durable"]), (&json!("shop"), &json!(true)));
    assert_eq!(queue["consumers"], 0);

    let node = &rows(&source, &tables, "nodes")[0];
    assert_eq!((&node["running"], &node["memory_alarm"]), (&json!(true), &json!(false)));
    assert!(node["memory_used"].as_i64().is_some_and(|bytes| bytes > 0), "{node:?}");
    assert!(tables["users.tags"].contains(&vec!["watcher".into(), "monitoring".into()]));
    assert!(tables["overview"][0][1].is_string(), "{:?}", tables["overview"]);
    assert!(!tables["exchanges"].is_empty() && !tables["bindings"].is_empty());
    assert_eq!(tables["vhosts"].len(), 2);

    let refused = datasource("rabbitmq", &[&config[..3], &[("password", "wrong")]].concat()).await;
    let error = poll(&refused).await.unwrap_err();
    assert!(error.contains("401"), "{error}");
}
