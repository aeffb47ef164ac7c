//! The datasource node on a real Pacemaker cluster of two nodes, set up by the commands of
//! `docs/ha-deployment.md` from the Debian package, and broken in every way that is asked about.
//!
//! Both nodes, database and broker are namespaces of this machine; nothing of it is touched. One
//! cluster serves all: it takes half a minute to come up.
#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod guide;
#[path = "../package/build.rs"]
mod package;
mod scenarios;
mod world;

use congress_test_services::{Isolation, isolated};

#[test]
fn a_cluster_of_two_nodes() {
    match isolated("a_cluster_of_two_nodes").unwrap() {
        Isolation::Inside => {}
        Isolation::Done => return,
        Isolation::Impossible(reason) => {
            println!("skipped: a cluster of two nodes: {reason}");
            return;
        }
    }
    tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .unwrap()
        .block_on(scenarios::all());
}
