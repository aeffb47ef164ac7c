//! The whole system on PostgreSQL: nodes, one broker, one database, and what survives.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use congress_tests::cluster::{Cluster, create_datasource, get_at, is_active, revision, rows};
use congress_tests::{SOON, Server, drivers_folder};
use serde_json::{Value, json};

async fn post(server: &Server, path: &str, body: Value) -> u64 {
    let reply = server.post(path, &body).await.unwrap();
    assert_eq!(reply.status, 201, "{path}: {}", String::from_utf8_lossy(&reply.body));
    revision(&reply).unwrap_or_default()
}

/// Waits until both engines have just this row.
async fn have(nodes: &[Server], name: &str) {
    let found = |body: &Value| rows(body).is_some_and(|rows| rows == [json!([name]).to_string()]);
    for node in nodes {
        node.eventually("/v1/policies/p/tables/found/rows", SOON, found).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn engines_and_datasource_nodes_share_it() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    std::fs::write(&file, "name\nalice\n").unwrap();
    let cluster = Cluster::start_on_postgresql(&drivers_folder()).await.unwrap();
    let datasources =
        || cluster.datasources().with("plugins", "allowed_files", folder.path().display());
    let active = Server::start(datasources()).await.unwrap();
    let term = is_active(&active).await.unwrap();
    let nodes = cluster.engines(2).await.unwrap();

    // What one accepts the other has, and of what conflicts one is accepted.
    post(&nodes[0], "/v1/policies", json!({ "name": "p" })).await;
    let tables = json!({ "people": { "format": "csv", "path": file } });
    let config = json!({ "poll_time": "1", "folder": folder.path(), "tables": tables });
    create_datasource(&nodes[0], "files", "hr", config).await.unwrap();
    let rule = json!({ "rule": "found(x) :- hr:people(name=x)" });
    let at = post(&nodes[1], "/v1/policies/p/rules", rule.clone()).await;
    let listed = get_at(&nodes[0], "/v1/policies/p/rules", at).await.unwrap();
    assert_eq!(listed.json().unwrap()["results"].as_array().unwrap().len(), 1);
    assert_eq!(nodes[0].post("/v1/policies/p/rules", &rule).await.unwrap().status, 409);
    have(&nodes, "alice").await;

    // The lease changes hands, and the catalogue of drivers and the rows with it.
    let standby = Server::begin(datasources()).await.unwrap();
    active.kill().await.unwrap();
    assert!(is_active(&standby).await.unwrap() > term);
    std::fs::write(&file, "name\nbob\n").unwrap();
    have(&nodes, "bob").await;
}
