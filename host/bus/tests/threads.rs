//! What connections leave behind: nothing. On its own, for it counts the threads of the process.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::time::Duration;

use common::{SOON, options, unique, until};
use congress_bus::{Bus, Link, RabbitBus};
use congress_test_services::{Proxy, RabbitMq};

/// The threads of the client library.
fn threads() -> usize {
    let is_ours = |entry: std::io::Result<std::fs::DirEntry>| {
        let name = std::fs::read_to_string(entry.ok()?.path().join("comm")).ok()?;
        name.starts_with("lapin").then_some(())
    };
    std::fs::read_dir("/proc/self/task").unwrap().filter_map(is_ours).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn lost_and_hanging_connections_leave_no_threads() {
    let broker = RabbitMq::shared().await.unwrap();
    let proxy = Proxy::to_port(broker.port()).await.unwrap();
    let bus = RabbitBus::connect(options(proxy.port(), &unique("bus"), "n"));
    let mut link = bus.link();
    let mut wait = async |up: bool| {
        let reached = link.wait_for(|link| (*link == Link::Up) == up);
        drop(tokio::time::timeout(SOON, reached).await.expect("in time").unwrap());
    };
    wait(true).await;
    let usual = threads();
    assert!(usual >= 3, "three connections have threads: {usual}");
    for _ in 0..10 {
        proxy.cut();
        wait(false).await;
        wait(true).await;
    }
    // It connects to something that takes connections and never answers.
    proxy.freeze();
    wait(false).await;
    // Some attempts, of three seconds each, hang and are given up.
    tokio::time::sleep(Duration::from_secs(8)).await;
    proxy.restore();
    until("the link is up", || *bus.link().borrow() == Link::Up).await;
    until("no thread is left over", || threads() <= usual).await;
    bus.leave().await;
    until("all threads have ended", || threads() == 0).await;
}
