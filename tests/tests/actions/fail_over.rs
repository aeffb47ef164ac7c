//! Two nodes on one database: whichever is active dies at any step.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use congress_tests::Server;
use serde_json::{Value, json};

use crate::service::Service;
use crate::{RULE, SOON, jobs, listed, node, policy, worker};

async fn is_active(server: &Server, term: usize) {
    let role = format!("active in term {term}");
    let active = |body: &Value| body["roles"]["datasources"] == role.as_str();
    server.eventually("/readyz", SOON, active).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_dead_node_was_doing_is_reported_and_not_repeated() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&["a", "b"]).await;
    let first = Server::start(node(&state, "a")).await.unwrap();
    is_active(&first, 1).await;
    worker(&first, "w", &service).await;
    let second = Server::start(node(&state, "b")).await.unwrap();
    service.open(false);
    policy(&first, "p", &[RULE]).await;
    service.was_asked(&[("a", 1), ("b", 1)]).await;
    first.kill().await.unwrap();
    service.open(true);
    is_active(&second, 2).await;
    listed(&second, "?state=unknown", &["a", "b"]).await;
    service.jobs(&["a", "b", "c"]);
    service.was_asked(&[("a", 1), ("b", 1), ("c", 1)]).await;
    let lost = |log: &str| log.matches("whether it was carried out is not known").count() == 2;
    second.logs(SOON, lost).await.unwrap();

    let unknown = second.get("/v1/actions?state=unknown").await.unwrap().json().unwrap();
    let a = unknown["results"].as_array().unwrap().iter();
    let a = a.clone().find(|action| action["arguments"] == json!(["a"])).unwrap();
    let repeat = format!("/v1/actions/{}?action=repeat", a["id"].as_str().unwrap());
    assert_eq!(second.post(&repeat, &json!({})).await.unwrap().status, 200);
    service.was_asked(&[("a", 2), ("b", 1), ("c", 1)]).await;
    listed(&second, "?state=unknown", &["b"]).await;
    listed(&second, "?state=done", &["a", "c"]).await;
    // It goes and comes back: that is another appearance.
    service.jobs(&["a", "c"]);
    listed(&second, "?present=true", &["a", "c"]).await;
    service.jobs(&["a", "b", "c"]);
    service.was_asked(&[("a", 2), ("b", 2), ("c", 1)]).await;
}

/// Kills the active node again and again, each time a little later, while jobs come.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_dies_at_any_moment_loses_and_repeats_nothing() {
    const ROUNDS: usize = 6;
    const JOBS: usize = 40;
    let state = Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&[]).await;
    let mut active = Server::start(node(&state, "n0")).await.unwrap();
    is_active(&active, 1).await;
    worker(&active, "w", &service).await;
    policy(&active, "p", &[RULE]).await;
    let mut all: Vec<String> = Vec::new();
    for round in 1..=ROUNDS {
        let standby = Server::start(node(&state, &format!("n{round}"))).await.unwrap();
        all.extend((0..JOBS).map(|job| format!("job {round}.{job}")));
        let names: Vec<&str> = all.iter().map(String::as_str).collect();
        service.jobs(&names);
        // In the middle of them.
        let some = (round - 1) * JOBS + 1 + 5 * round;
        service.until(|asked| asked.len() >= some).await;
        active.kill().await.unwrap();
        active = standby;
        is_active(&active, round + 1).await;
        service.until(|asked| asked.len() >= some).await;
    }
    // Each is in the ledger, ended.
    let count = all.len();
    let ended = |body: &Value| {
        let actions = body["results"].as_array().cloned().unwrap_or_default();
        actions.len() == count && actions.iter().all(|action| action["state"] != "running")
    };
    let ledger = active.eventually("/v1/actions", SOON, ended).await.unwrap();
    let asked = service.asked();
    let twice: BTreeMap<_, _> = asked.iter().filter(|(_, count)| **count > 1).collect();
    assert!(twice.is_empty(), "{twice:?}");
    let mut unknown = 0;
    for action in ledger["results"].as_array().unwrap() {
        let job = action["arguments"][0].as_str().unwrap();
        match action["state"].as_str().unwrap() {
            "done" => assert_eq!(asked.get(job), Some(&1), "{action}"),
            "unknown" => unknown += 1,
            other => panic!("{other}: {action}"),
        }
    }
    assert_eq!(jobs(&ledger).len(), count);
    let silent = count - asked.len();
    println!(
        "{ROUNDS} nodes killed, {count} jobs: {} done once, {unknown} unknown and listed, of which \
         {silent} were not done",
        count - unknown
    );
    assert!(silent <= unknown);
    tokio::time::timeout(Duration::from_secs(60), active.stop()).await.unwrap().unwrap();
}
