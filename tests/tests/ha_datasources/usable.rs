//! A new datasource is usable in rules on every node, soon.

use std::time::{Duration, Instant};

use congress_tests::Server;
use congress_tests::cluster::{create_datasource, get_at, revision, rows};
use serde_json::{Value, json};

use crate::{SOON, cluster, testing};

/// How many datasources are made.
const ROUNDS: usize = 20;

async fn refers(server: &Server, policy: &str, rule: &str) -> Duration {
    let begin = Instant::now();
    loop {
        let path = format!("/v1/policies/{policy}/rules");
        let reply = server.post(&path, &json!({ "rule": rule })).await.unwrap();
        if reply.status == 201 {
            return begin.elapsed();
        }
        assert!(begin.elapsed() < SOON, "{rule}: {:?}", reply.json());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_may_name_its_columns_on_every_node_at_once() {
    let (cluster, engines) = cluster(&testing(), 3).await;
    let _active = cluster.active().await.unwrap();
    let body = json!({ "name": "p" });
    assert_eq!(engines[0].post("/v1/policies", &body).await.unwrap().status, 201);
    let mut times = Vec::new();
    for round in 0..ROUNDS {
        let name = format!("d{round}");
        let config = json!({ "mode": "ok", "poll_time": "1" });
        let created =
            create_datasource(&engines[round % 3], "hostile", &name, config).await.unwrap();
        let at = revision(&created).unwrap();
        for (number, engine) in engines.iter().enumerate() {
            let rule = format!("t{round}_{number}(x) :- {name}:numbers(n=x)");
            times.push(refers(engine, "p", &rule).await);
        }
        // Its tables are listed at the revision that the creation told.
        let path = format!("/v1/policies/{name}/tables");
        for engine in &engines {
            let listed = get_at(engine, &path, at).await.unwrap();
            assert_eq!(listed.status, 200, "{:?}", listed.json());
        }
    }
    times.sort_unstable();
    println!(
        "a new datasource is used in a rule on each of 3 nodes: p50 {:?}, most {:?}",
        times[times.len() / 2],
        times[times.len() - 1]
    );
    let there = |body: &Value| rows(body).is_some_and(|rows| rows.len() == 3);
    for engine in &engines {
        engine.eventually("/v1/policies/p/tables/t0_0/rows", SOON, there).await.unwrap();
    }
}
