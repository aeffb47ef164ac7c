//! Two datasource nodes that both believe to be the active one: engines believe the later one.

use std::time::{Duration, Instant};

use congress_tests::Server;
use rustix::process::Signal;
use serde_json::Value;

use crate::{People, cluster, has_version, is_active, is_standby, shipped};

/// The version of the people that an engine has; none while there is more or less than one.
fn version(body: &Value) -> Option<usize> {
    let mut versions = body["results"]
        .as_array()?
        .iter()
        .filter_map(|row| row["data"][0].as_str()?.strip_prefix("version")?.parse().ok());
    let version = versions.next()?;
    assert_eq!(versions.next(), None, "two versions at once: {body}");
    Some(version)
}

#[tokio::test(flavor = "multi_thread")]
async fn one_that_stood_still_ends_and_nothing_of_it_is_believed() {
    let people = People::new();
    let (cluster, engines) = cluster(&shipped(), 2).await;
    let node = || people.readable(cluster.datasources());
    let first = Server::start(node()).await.unwrap();
    let term = is_active(&first).await.unwrap();
    people.follow(&engines[0]).await;
    has_version(&engines[1], 0).await;
    let second = Server::start(node()).await.unwrap();
    is_standby(&second).await;

    first.signal(Signal::STOP).unwrap();
    people.write(1);
    let begin = Instant::now();
    for engine in &engines {
        has_version(engine, 1).await;
    }
    println!("standing still: its successor's rows are on all engines after {:?}", begin.elapsed());
    assert_eq!(is_active(&second).await.unwrap(), term + 1);

    // It wakes with rows of before in its hands.
    first.signal(Signal::CONT).unwrap();
    let mut newest = 1;
    let begin = Instant::now();
    let ending = tokio::spawn(first.ended());
    for write in 2.. {
        people.write(write);
        let next = Instant::now() + Duration::from_millis(300);
        while Instant::now() < next {
            for engine in &engines {
                let reply = engine.get("/v1/policies/p/tables/version/rows").await.unwrap();
                if let Some(version) = version(&reply.json().unwrap()) {
                    assert!(version + 1 >= newest, "{version} after {newest}");
                    newest = newest.max(version);
                }
            }
        }
        if ending.is_finished() && begin.elapsed() > Duration::from_secs(3) {
            break;
        }
        assert!(begin.elapsed() < Duration::from_secs(20), "it does not end");
    }
    let (status, log) = ending.await.unwrap().unwrap();
    assert_eq!(status.code(), Some(75), "{log}");
    assert!(newest > 1, "the successor's rows go on");
}
