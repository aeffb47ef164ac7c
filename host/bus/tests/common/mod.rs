//! What tests of buses share.
#![allow(dead_code, unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use congress_bus::{
    Bus, InProcessBus, Link, Publisher, RabbitBus, RabbitHost, RabbitOptions, Subscription,
    TableName, Update,
};
use congress_table::{Change, Row, Table, TableDelta, Value};
use congress_test_services::{RabbitMq, eventually};

/// Long enough for anything on a busy machine.
pub const SOON: Duration = Duration::from_secs(20);

pub fn row(i: i64) -> Row {
    [Value::Int(i), Value::text(format!("name of {i}"))].into()
}

pub fn delta(
    added: impl IntoIterator<Item = i64>,
    removed: impl IntoIterator<Item = i64>,
) -> TableDelta {
    TableDelta {
        added: added.into_iter().map(row).collect(),
        removed: removed.into_iter().map(row).collect(),
    }
}

pub fn change(table: &str, added: &[i64], removed: &[i64]) -> Change {
    Change { tables: vec![(table.into(), delta(added.iter().copied(), removed.iter().copied()))] }
}

pub fn tables(names: &[&str]) -> BTreeSet<TableName> {
    names.iter().map(|name| TableName::from(*name)).collect()
}

/// Where nodes meet.
#[derive(Clone)]
pub enum World {
    /// All are one.
    InProcess(InProcessBus),
    /// Each has connections of its own.
    Rabbit { port: u16, bus_id: String },
}

static NEXT: AtomicU32 = AtomicU32::new(0);

/// A name that no other test of this run has.
pub fn unique(what: &str) -> String {
    format!("{what}-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed))
}

pub fn options(port: u16, bus_id: &str, node_id: &str) -> RabbitOptions {
    let guest = || "guest".to_owned();
    let host = RabbitHost { host: "127.0.0.1".to_owned(), port, user: guest(), password: guest() };
    let bus_id = bus_id.to_owned();
    RabbitOptions { bus_id, ..RabbitOptions::new(node_id, unique(node_id), vec![host]) }
}

impl World {
    pub fn in_process() -> Self {
        Self::InProcess(InProcessBus::new("n1", "i1"))
    }

    pub async fn rabbit() -> Self {
        let broker = RabbitMq::shared().await.unwrap();
        Self::Rabbit { port: broker.port(), bus_id: unique("bus") }
    }

    /// Nodes that know each other.
    pub async fn nodes(&self, names: &[&str]) -> Vec<Arc<dyn Bus>> {
        let Self::Rabbit { port, bus_id } = self else {
            let Self::InProcess(bus) = self else { unreachable!() };
            return names.iter().map(|_| Arc::new(bus.clone()) as Arc<dyn Bus>).collect();
        };
        let nodes: Vec<Arc<dyn Bus>> = names
            .iter()
            .map(|name| Arc::new(RabbitBus::connect(options(*port, bus_id, name))) as Arc<dyn Bus>)
            .collect();
        acquainted(&nodes).await;
        nodes
    }
}

/// Waits until all know all.
pub async fn acquainted(nodes: &[Arc<dyn Bus>]) {
    for node in nodes {
        let mut seen = node.nodes();
        let all = seen.wait_for(|seen| seen.len() == nodes.len());
        tokio::time::timeout(SOON, all).await.expect("nodes see each other").unwrap();
        assert_eq!(*node.link().borrow(), Link::Up);
    }
}

pub async fn next(subscription: &mut Subscription) -> Update {
    tokio::time::timeout(SOON, subscription.next()).await.expect("an update").expect("a bus")
}

/// A subscriber's copy of the tables.
#[derive(Default)]
pub struct Mirror {
    pub tables: BTreeMap<TableName, Table>,
    pub snapshots: usize,
    pub changes: usize,
    pub gone: bool,
}

impl Mirror {
    pub fn apply(&mut self, update: Update) {
        match update {
            Update::Snapshot(snapshot) => {
                self.gone = false;
                self.snapshots += 1;
                let table =
                    |(name, rows): (TableName, Vec<Row>)| (name, rows.into_iter().collect());
                self.tables = snapshot.tables.into_iter().map(table).collect();
            }
            Update::Change(_, change) => {
                self.changes += 1;
                for (name, delta) in &change.tables {
                    let table = self.tables.entry(name.clone()).or_default();
                    for row in &delta.removed {
                        assert!(table.remove(row), "a row goes that was there");
                    }
                    for row in &delta.added {
                        assert!(table.insert(row.clone()), "a row comes that was not there");
                    }
                }
            }
            Update::Gone => self.gone = true,
        }
    }

    /// Applies updates until the copy of a table equals the publisher's.
    pub async fn follow(
        &mut self,
        subscription: &mut Subscription,
        publisher: &Publisher,
        table: &str,
    ) {
        while publisher.read(|p| p.table(table).map(|t| &**t) != self.tables.get(table)) {
            self.apply(next(subscription).await);
        }
    }
}

/// Waits until `look` is true.
pub async fn until(what: &str, mut look: impl FnMut() -> bool) {
    eventually(what, SOON, async || look().then_some(())).await.unwrap();
}
