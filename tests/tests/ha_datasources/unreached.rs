//! A node that has not heard of the datasources yet.

use congress_test_services::{Proxy, RabbitMq};
use congress_tests::Server;
use serde_json::Value;

use crate::{People, SOON, cluster, has_version, shipped};

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_without_its_broker_is_not_ready_and_shows_nothing_as_empty() {
    let people = People::new();
    let (cluster, engines) = cluster(&shipped(), 1).await;
    let _active = Server::start(people.readable(cluster.datasources())).await.unwrap();
    people.follow(&engines[0]).await;
    has_version(&engines[0], 0).await;

    let broker = RabbitMq::shared().await.unwrap();
    let proxy = Proxy::to_port(broker.port()).await.unwrap();
    proxy.refuse();
    let url = format!("rabbit://guest:guest@127.0.0.1:{}/", proxy.port());
    let options = cluster.engine("pe2").with("DEFAULT", "transport_url", url);
    let node = Server::begin(options).await.unwrap();
    let policies = |body: &Value| body["results"].is_array();
    node.eventually("/v1/policies", SOON, policies).await.unwrap();
    // Answered when it has waited for the rows for a while.
    let rows = node.get("/v1/policies/p/tables/version/rows").await.unwrap();
    assert_eq!(rows.status, 503, "{:?}", rows.json());
    let said = node.get("/readyz").await.unwrap();
    assert_eq!(said.status, 503, "{:?}", said.json());
    proxy.restore();
    has_version(&node, 0).await;
    let ready = |body: &Value| body["status"] == "ready";
    node.eventually("/readyz", SOON, ready).await.unwrap();
}
