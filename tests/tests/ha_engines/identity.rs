//! Two engines under one id.

use congress_tests::cluster::Cluster;
use congress_tests::{Server, drivers_folder};

#[tokio::test(flavor = "multi_thread")]
async fn the_newer_of_two_engines_with_one_id_ends() {
    let cluster = Cluster::start(&drivers_folder()).await.unwrap();
    let first = Server::start(cluster.engine("pe1")).await.unwrap();
    // The first is no newcomer any more when the second has looked around.
    let second = Server::start(cluster.engine("pe1")).await.unwrap();
    let other = Server::start(cluster.engine("pe2")).await.unwrap();
    let (one, two) = (first.pid(), second.pid());
    let ended = tokio::select! {
        ended = first.ended() => (one, ended),
        ended = second.ended() => (two, ended),
    };
    let (pid, ended) = ended;
    let (status, log) = ended.unwrap();
    assert_eq!(status.code(), Some(1), "{log}");
    assert!(log.contains("has this node's id 'pe1'"), "{pid}: {log}");
    assert_eq!(other.get("/readyz").await.unwrap().status, 200);
}
