//! Writes that exclude each other, on several nodes at once: exactly one is accepted.

use std::future::Future;

use congress_tests::cluster::Cluster;
use congress_tests::{Reply, Server, drivers_folder};
use futures_util::future::join_all;
use serde_json::json;

use crate::{SOON, create_policy, expect, insert};

/// How often each conflict is brought about.
const ROUNDS: usize = 12;

/// The statuses of requests that are sent at once, sorted.
async fn at_once(requests: Vec<impl Future<Output = Reply>>) -> Vec<u16> {
    let mut statuses: Vec<_> = join_all(requests).await.iter().map(|reply| reply.status).collect();
    statuses.sort_unstable();
    statuses
}

#[tokio::test(flavor = "multi_thread")]
async fn one_of_each_wins() {
    let cluster = Cluster::start(&drivers_folder()).await.unwrap();
    let (nodes, active) = tokio::try_join!(cluster.engines(3), cluster.active()).unwrap();
    let known = |body: &serde_json::Value| body["id"] == "files";
    nodes[0].eventually("/v1/system/drivers/files?detail=true", SOON, known).await.unwrap();
    for round in 0..ROUNDS {
        same_policy(&nodes, &format!("same{round}")).await;
        same_rule(&nodes, &format!("rule{round}")).await;
        mutual_recursion(&nodes, &format!("recursion{round}")).await;
        arities(&nodes, &format!("arity{round}")).await;
        policy_or_datasource(&nodes, &format!("name{round}")).await;
    }
    drop(active);
}

async fn same_policy(nodes: &[Server], name: &str) {
    let requests = nodes.iter().map(|node| create_policy(node, name)).collect();
    assert_eq!(at_once(requests).await, [201, 409, 409], "{name}");
}

async fn same_rule(nodes: &[Server], name: &str) {
    expect(&create_policy(&nodes[0], name).await, 201);
    let requests = nodes.iter().map(|node| insert(node, name, "p(x) :- q(x)")).collect();
    assert_eq!(at_once(requests).await, [201, 409, 409], "{name}");
}

async fn mutual_recursion(nodes: &[Server], name: &str) {
    expect(&create_policy(&nodes[0], name).await, 201);
    let rules = ["p(x) :- q(x)", "q(x) :- p(x)"];
    let requests = rules.iter().zip(nodes).map(|(rule, node)| insert(node, name, rule)).collect();
    assert_eq!(at_once(requests).await, [201, 400], "{name}");
}

async fn arities(nodes: &[Server], name: &str) {
    expect(&create_policy(&nodes[0], name).await, 201);
    let rules = ["p(x) :- q(x)", "p(x, y) :- r(x, y)", "p(x, y, z) :- s(x, y, z)"];
    let requests = rules.iter().zip(nodes).map(|(rule, node)| insert(node, name, rule)).collect();
    assert_eq!(at_once(requests).await, [201, 400, 400], "{name}");
}

async fn policy_or_datasource(nodes: &[Server], name: &str) {
    let datasource = json!({
        "name": name, "driver": "files", "enabled": false, "config": { "folder": "/tmp", "tables": {} },
    });
    let (policy, datasource) = tokio::join!(
        create_policy(&nodes[0], name),
        nodes[1].post("/v1/data-sources", &datasource)
    );
    let mut statuses = [policy.status, datasource.unwrap().status];
    statuses.sort_unstable();
    assert_eq!(statuses, [201, 409], "{name}");
}
