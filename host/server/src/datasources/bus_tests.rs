//! What goes over the bus when a datasource with a password is made, asked and deleted: all of it
//! is recorded, and none of it holds the password.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use congress_bus::{
    Bus, CallError, Epoch, InProcessBus, Link, Node, Publisher, Register, RegisterError, Requests,
    Subscription, TableName,
};
use congress_plugins::{Host, HostConfig};
use congress_store::{KeyRing, Location, Store};
use serde_json::json;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use super::{
    Client, ClientOptions, DatasourceRequest, DriverFolders, Manager, ManagerOptions, Surroundings,
};
use crate::engine::{EngineHandle, EngineOptions};
use crate::health::{Pulse, Readiness};
use crate::lease::Lease;
use crate::lease::machine::Times;

const CANARY: &str = "c4n4ry-password";

/// The bus itself, and a record of every call and reply.
struct Recording {
    bus: InProcessBus,
    said: Mutex<Vec<(String, Bytes)>>,
}

impl Recording {
    fn note(&self, what: &str, bytes: &Bytes) {
        self.said.lock().unwrap().push((what.to_owned(), bytes.clone()));
    }
}

#[async_trait]
impl Bus for Recording {
    fn publish(&self, source: &str, epoch: Epoch) -> Result<Publisher, RegisterError> {
        self.bus.publish(source, epoch)
    }

    fn subscribe(
        &self,
        subscriber: &str,
        source: &str,
        tables: BTreeSet<TableName>,
    ) -> Subscription {
        self.bus.subscribe(subscriber, source, tables)
    }

    fn subscribers(&self, source: &str) -> Vec<String> {
        self.bus.subscribers(source)
    }

    fn serve(&self, service: &str, backlog: usize) -> Result<Requests, RegisterError> {
        self.bus.serve(service, backlog)
    }

    async fn call(
        &self,
        service: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError> {
        self.note(service, &body);
        let reply = self.bus.call(service, body, deadline).await;
        if let Ok(reply) = &reply {
            self.note(service, reply);
        }
        reply
    }

    fn nodes(&self) -> watch::Receiver<Arc<[Node]>> {
        self.bus.nodes()
    }

    fn raise(&self, register: Register, value: u64) {
        self.bus.raise(register, value);
    }

    fn register(&self, register: Register) -> watch::Receiver<u64> {
        self.bus.register(register)
    }

    fn link(&self) -> watch::Receiver<Link> {
        self.bus.link()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_message_holds_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let drivers = concat!(env!("CARGO_MANIFEST_DIR"), "/../../drivers/out/testing").into();
    let store = Store::open(&Location::SqliteMemory, &Default::default()).await.unwrap();
    let keys = KeyRing::open(&folder.path().join("keys"), true).unwrap();
    let recording =
        Arc::new(Recording { bus: InProcessBus::new("n", "i"), said: Mutex::default() });
    let (bus, stop): (Arc<dyn Bus>, _) = (recording.clone(), CancellationToken::new());
    let host = Host::new(HostConfig::default()).unwrap();
    let options = ManagerOptions {
        folders: DriverFolders { folders: vec![drivers], ..DriverFolders::default() },
        component_bytes: 1 << 30,
        sync_period: Duration::from_secs(60),
        actions: Default::default(),
        longest_pause: Duration::from_secs(60),
        all_or_nothing: false,
    };
    let pulse = Pulse::default();
    let lease = Lease::new(store.clone(), bus.clone(), "n", "i", Times::default());
    tokio::spawn(lease.clone().keep(stop.clone()));
    let with = Surroundings {
        store: store.clone(),
        keys: keys.clone(),
        bus: bus.clone(),
        lease,
        readiness: Readiness::default(),
        stop: stop.clone(),
    };
    let manager = Manager::new(host, with, options, pulse.watch("datasources"));
    let manager = tokio::spawn(manager.run());
    let engine = EngineOptions {
        ascii_only_rows: false,
        sync_period: Duration::from_secs(60),
        query_rows: 1000,
        query_timeout: Duration::from_secs(10),
    };
    let engine =
        EngineHandle::start(store.clone(), bus.clone(), engine, &pulse, stop.clone()).await;
    let long = Duration::from_secs(60);
    let options = ClientOptions {
        timeout: long,
        long_timeout: long,
        takeover: long,
        disabled: Default::default(),
    };
    let client = Client::new(store.clone(), &keys, bus, engine.unwrap(), options);

    let deadline = Instant::now() + long;
    while client.driver("hostile").await.is_err() {
        assert!(Instant::now() < deadline, "the driver does not come: run scripts/build-drivers");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let config = json!({
        "mode": "config", "auth": "basic", "username": "somebody", "password": CANARY,
    });
    let request = DatasourceRequest {
        id: None,
        name: Some("d".to_owned()),
        driver: Some("hostile".to_owned()),
        description: None,
        enabled: true,
        config: config.as_object().cloned(),
    };
    let created = client.create(request).await.unwrap();
    assert!(!created.to_string().contains(CANARY), "{created}");
    let deadline = Instant::now() + long;
    while client.rows("d", "report").await.map_or(true, |rows| rows.is_empty()) {
        assert!(Instant::now() < deadline, "{:?}", client.status("d").await);
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    client.schema("d").await.unwrap();
    client.status("d").await.unwrap();
    client.request_refresh("d").await.unwrap();
    let stored = format!("{:?}", store.datasources().await.unwrap());
    assert!(stored.contains("sealed: [\"password\"]") && !stored.contains(CANARY), "{stored}");
    client.delete("d").await.unwrap();
    stop.cancel();
    manager.await.unwrap();

    let said = std::mem::take(&mut *recording.said.lock().unwrap());
    assert!(said.len() > 8, "{said:?}");
    let rows = said.iter().any(|(_, bytes)| String::from_utf8_lossy(bytes).contains("somebody"));
    assert!(rows, "the driver's rows went by: {said:?}");
    for (service, bytes) in said {
        let text = String::from_utf8_lossy(&bytes).into_owned();
        assert!(!text.contains(CANARY), "{service}: {text}");
    }
}
