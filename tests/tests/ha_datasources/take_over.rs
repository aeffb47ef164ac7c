//! A hot standby takes over, and its rows are what the sources have.

use std::time::{Duration, Instant};

use congress_tests::Server;

use crate::{People, cluster, has_version, is_active, is_standby, shipped};

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_node_is_replaced_by_its_standby() {
    let people = People::new();
    let (cluster, engines) = cluster(&shipped(), 2).await;
    let node = || people.readable(cluster.datasources());
    let mut active = Server::start(node()).await.unwrap();
    is_active(&active).await.unwrap();
    people.follow(&engines[0]).await;
    for engine in &engines {
        has_version(engine, 0).await;
    }
    for round in 1..=3 {
        let standby = Server::start(node()).await.unwrap();
        is_standby(&standby).await;
        assert_eq!(standby.get("/healthcheck").await.unwrap().status, 200);
        let begin = Instant::now();
        active.kill().await.unwrap();
        people.write(round);
        for engine in &engines {
            has_version(engine, round).await;
        }
        let taken = begin.elapsed();
        println!("killed: its successor's rows are on all engines after {taken:?}");
        assert!(taken < Duration::from_secs(10), "{taken:?}");
        active = standby;
    }

    let standby = Server::start(node()).await.unwrap();
    is_standby(&standby).await;
    let begin = Instant::now();
    let stopped = active.stop().await.unwrap();
    assert!(stopped.success(), "{stopped}");
    people.write(9);
    has_version(&engines[1], 9).await;
    println!("stopped: its successor's rows are on an engine after {:?}", begin.elapsed());
}
