//! What was pushed and acknowledged is there after a take-over.

use congress_tests::Server;
use congress_tests::cluster::{create_datasource, rows};
use serde_json::{Value, json};

use crate::{SOON, cluster, is_active, is_standby, testing};

const ROWS: &str = "/v1/data-sources/pushy/tables/numbers/rows";

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_persist() {
    let (cluster, engines) = cluster(&testing(), 2).await;
    let mut active = cluster.active().await.unwrap();
    let config = json!({ "mode": "state-count", "poll_time": 0, "persist_data": "True" });
    create_datasource(&engines[0], "hostile", "pushy", config).await.unwrap();
    let body = json!({ "name": "p" });
    assert_eq!(engines[0].post("/v1/policies", &body).await.unwrap().status, 201);
    let rule = json!({ "rule": "t(x, y) :- pushy:numbers(x, y)" });
    assert_eq!(engines[0].post("/v1/policies/p/rules", &rule).await.unwrap().status, 201);
    for round in 1..=3_i64 {
        let standby = Server::start(cluster.datasources()).await.unwrap();
        is_standby(&standby).await;
        let through = &engines[usize::try_from(round).unwrap() % 2];
        let pushed = through.put(ROWS, &json!([[round, "a"], [0, "b"]])).await.unwrap();
        assert_eq!(pushed.status, 200, "{:?}", pushed.json());
        active.kill().await.unwrap();
        active = standby;
        is_active(&active).await.unwrap();
        let mut expected = [json!([round, "a"]).to_string(), json!([0, "b"]).to_string()];
        expected.sort();
        let same = |body: &Value| rows(body).is_some_and(|rows| rows == expected);
        for engine in &engines {
            engine.eventually(ROWS, SOON, same).await.unwrap();
            engine.eventually("/v1/policies/p/tables/t/rows", SOON, same).await.unwrap();
        }
    }
}
