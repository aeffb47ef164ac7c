//! A node with the API and no engine of its own, for others, at least.

use congress_tests::cluster::Cluster;
use congress_tests::{Server, drivers_folder};

use crate::{after, create_policy, expect, insert, rows};

#[tokio::test(flavor = "multi_thread")]
async fn an_api_node_reads_and_writes_as_every_other() {
    let cluster = Cluster::start(&drivers_folder()).await.unwrap();
    let api = Server::start(cluster.node("api1", &["api"])).await.unwrap();
    let engine = Server::start(cluster.engine("pe1")).await.unwrap();
    let lone = Server::start(cluster.node("pe2", &["policy-engine"])).await.unwrap();
    let said = api.get("/readyz").await.unwrap().json().unwrap();
    assert_eq!(said["roles"]["replica"], "running", "{said}");
    expect(&create_policy(&api, "shared").await, 201);
    expect(&insert(&engine, "shared", "q(1)").await, 201);
    let last = insert(&api, "shared", "p(x) :- q(x)").await;
    expect(&last, 201);
    for node in [&api, &engine] {
        let body = expect(&after(&last, node, "/v1/policies/shared/tables/p/rows").await, 200);
        assert_eq!(rows(&body), ["[1]"]);
    }
    // It has no API, but is asked how it is.
    assert_eq!(lone.get("/healthcheck").await.unwrap().status, 200);
    assert_eq!(lone.get("/v1/policies").await.unwrap().status, 404);
    // Nodes hear of each other by heartbeats.
    let knows_all = |said: &serde_json::Value| {
        let peers = said["peers"].as_array();
        let is_there = |id: &str| peers.is_some_and(|p| p.iter().any(|peer| peer["node_id"] == id));
        is_there("pe1") && is_there("api1")
    };
    let soon = std::time::Duration::from_secs(30);
    lone.eventually("/readyz?detail", soon, knows_all).await.unwrap();
}
