//! What was pushed and acknowledged is there after a take-over.

use congress_tests::Server;
use congress_tests::cluster::create_datasource;
use serde_json::{Value, json};

use crate::{SOON, cluster, is_active, is_standby, testing};

/// The test driver writes down in `report` what is pushed to any of its tables.
const PUSHED: &str = "/v1/data-sources/pushy/tables/numbers/rows";
const REPORT: &str = "/v1/data-sources/pushy/tables/report/rows";

#[tokio::test(flavor = "multi_thread")]
async fn acknowledged_rows_persist() {
    let (cluster, engines) = cluster(&testing(), 2).await;
    let mut active = cluster.active().await.unwrap();
    let config = json!({ "mode": "ok", "poll_time": 0, "persist_data": true });
    create_datasource(&engines[0], "hostile", "pushy", config).await.unwrap();
    let body = json!({ "name": "p" });
    assert_eq!(engines[0].post("/v1/policies", &body).await.unwrap().status, 201);
    let rule = json!({ "rule": "t(x, y) :- pushy:report(x, y)" });
    assert_eq!(engines[0].post("/v1/policies/p/rules", &rule).await.unwrap().status, 201);
    for (round, through) in [0, 1, 0].into_iter().enumerate() {
        let standby = Server::start(cluster.datasources()).await.unwrap();
        is_standby(&standby).await;
        let mark = format!("mark-{round}");
        let pushed = engines[through].put(PUSHED, &json!([[round, mark]])).await.unwrap();
        assert_eq!(pushed.status, 200, "{:?}", pushed.json());
        active.kill().await.unwrap();
        active = standby;
        is_active(&active).await.unwrap();
        let there = |body: &Value| body["results"].to_string().contains(&mark);
        for engine in &engines {
            engine.eventually(REPORT, SOON, there).await.unwrap();
            engine.eventually("/v1/policies/p/tables/t/rows", SOON, there).await.unwrap();
        }
    }
}
