//! Calls while nobody is active: they wait for a bounded time, and never say that what exists does
//! not.

use std::time::{Duration, Instant};

use congress_tests::{Reply, Server};
use serde_json::json;

use crate::{People, cluster, has_version, is_active, is_standby, shipped};

const PATH: &str = "/v1/data-sources/hr";

/// 200, or 503 with a time to try again.
fn is_decent(what: &str, reply: &Reply) {
    let body = String::from_utf8_lossy(&reply.body);
    let again = reply.headers.contains_key("retry-after");
    assert!(reply.status == 200 || reply.status == 503 && again, "{what}: {} {body}", reply.status);
}

async fn each_call(server: &Server) -> Vec<(&'static str, Reply, Duration)> {
    let timed = async |what, reply: anyhow::Result<Reply>, begin: Instant| {
        (what, reply.unwrap(), begin.elapsed())
    };
    let get = async |what, path: &str| {
        let begin = Instant::now();
        timed(what, server.get(&format!("{PATH}{path}")).await, begin).await
    };
    let post = async |what, path: &str, body| {
        let begin = Instant::now();
        timed(what, server.post(&format!("{PATH}{path}"), &body).await, begin).await
    };
    let (status, rows, tables, schema, refresh) = tokio::join!(
        get("status", "/status"),
        get("rows", "/tables/people/rows"),
        get("tables", "/tables"),
        get("schema", "/schema"),
        post("refresh", "?action=request-refresh", json!({})),
    );
    vec![status, rows, tables, schema, refresh]
}

#[tokio::test(flavor = "multi_thread")]
async fn without_any_node_calls_end_in_time() {
    let people = People::new();
    let (cluster, engines) = cluster(&shipped(), 1).await;
    let active = Server::start(people.readable(cluster.datasources())).await.unwrap();
    is_active(&active).await.unwrap();
    people.follow(&engines[0]).await;
    has_version(&engines[0], 0).await;
    active.kill().await.unwrap();
    for (what, reply, took) in each_call(&engines[0]).await {
        assert_eq!(reply.status, 503, "{what}");
        is_decent(what, &reply);
        assert!(took < Duration::from_millis(5700), "{what}: {took:?}");
    }
    // What an engine has it serves, and says that it may be old.
    has_version(&engines[0], 0).await;
    let stale = |body: &serde_json::Value| body["subscriptions"][0]["state"] == "stale";
    engines[0].eventually("/readyz?detail", crate::SOON, stale).await.unwrap();
    let body =
        json!({ "name": "more", "driver": "files", "config": { "folder": "/tmp", "tables": {} } });
    let created = engines[0].post("/v1/data-sources", &body).await.unwrap();
    assert_eq!(created.status, 503, "{:?}", created.json());
    assert!(created.headers.contains_key("retry-after"));
    let unknown = engines[0].get("/v1/data-sources/nosuch/status").await.unwrap();
    assert_eq!(unknown.status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn during_a_take_over_calls_wait_for_the_successor() {
    let people = People::new();
    let (cluster, engines) = cluster(&shipped(), 2).await;
    let node = || people.readable(cluster.datasources());
    let active = Server::start(node()).await.unwrap();
    is_active(&active).await.unwrap();
    people.follow(&engines[0]).await;
    has_version(&engines[1], 0).await;
    let standby = Server::start(node()).await.unwrap();
    is_standby(&standby).await;
    active.kill().await.unwrap();
    let (one, two) = tokio::join!(each_call(&engines[0]), each_call(&engines[1]));
    for (what, reply, took) in one.into_iter().chain(two) {
        println!("during a take-over: {what} is answered {} after {took:?}", reply.status);
        is_decent(what, &reply);
    }
    is_active(&standby).await.unwrap();
    for (what, reply, _) in each_call(&engines[0]).await {
        assert_eq!(reply.status, 200, "{what}: {:?}", reply.json());
    }
}
