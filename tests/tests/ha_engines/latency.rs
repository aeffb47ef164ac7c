//! How soon a write on one node is seen on the others.

use std::time::{Duration, Instant};

use congress_tests::cluster::Cluster;
use congress_tests::{Server, drivers_folder};

use crate::{SOON, create_policy, expect, insert, rows};

/// How many writes are measured.
const WRITES: usize = 150;

/// How many rules there are before.
const RULES: usize = 1000;

async fn seen(server: &Server, count: usize) -> Instant {
    let begin = Instant::now();
    loop {
        let reply = server.get("/v1/policies/busy/tables/p/rows").await.unwrap();
        if reply.status == 200 && rows(&reply.json().unwrap()).len() >= count {
            return Instant::now();
        }
        assert!(begin.elapsed() < SOON, "not seen");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

fn percentile(times: &mut [Duration], percent: usize) -> Duration {
    times.sort_unstable();
    times[(times.len() - 1) * percent / 100]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_write_is_seen_soon_everywhere() {
    let cluster = Cluster::start(&drivers_folder()).await.unwrap();
    let nodes = cluster.engines(3).await.unwrap();
    let many: Vec<_> =
        (0..RULES).map(|n| serde_json::json!({ "rule": format!("many{n}(x) :- q(x)") })).collect();
    let body = serde_json::json!({ "name": "ballast", "rules": many });
    expect(&nodes[0].post("/v1/policies", &body).await.unwrap(), 201);
    expect(&create_policy(&nodes[0], "busy").await, 201);
    let mut times = Vec::new();
    for write in 0..WRITES {
        let writer = &nodes[write % nodes.len()];
        expect(&insert(writer, "busy", &format!("p({write})")).await, 201);
        let begin = Instant::now();
        for node in &nodes {
            times.push(seen(node, write + 1).await.saturating_duration_since(begin));
        }
    }
    let (half, most) = (percentile(&mut times, 50), percentile(&mut times, 99));
    println!(
        "a rule inserted on one of 3 nodes with {RULES} rules is seen on all after its answer: \
         p50 {half:?}, p99 {most:?}"
    );
    assert!(most < Duration::from_secs(5), "{most:?}: announcements do not arrive");
}
