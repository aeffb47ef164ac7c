//! What the API can do from the catalogue alone, while nobody runs datasources.

use congress_bus::InProcessBus;
use congress_plugins::{ConfigField, Feed, FieldType, Metadata, SessionKind};
use congress_store::{KeyRing, Location, Options};
use congress_table::{Column, ColumnType, TableSchema};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::*;
use crate::engine::EngineOptions;
use crate::health::Pulse;

fn metadata() -> Metadata {
    let field = |name: &str, required, secret| ConfigField {
        name: name.to_owned(),
        description: String::new(),
        field_type: FieldType::Text,
        required,
        secret,
        default: None,
    };
    let column = Column {
        name: "id".to_owned(),
        description: None,
        column_type: ColumnType::default(),
        nullable: false,
    };
    Metadata {
        id: "nova".to_owned(),
        version: "1.2.3".to_owned(),
        description: "Servers.".to_owned(),
        config: vec![
            field("auth_url", true, false),
            field("password", true, true),
            ConfigField { field_type: FieldType::Integer, ..field("depth", false, false) },
        ],
        tables: vec![TableSchema { name: "servers".to_owned(), columns: vec![column], root: None }],
        actions: Vec::new(),
        feed: Feed::Poll,
        session: SessionKind::None,
        hosts: Vec::new(),
        files: Vec::new(),
    }
}

/// A client on a database whose catalogue has one driver, and no role that runs datasources.
async fn client() -> (Client, Store, TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&Location::SqliteMemory, &Options::default()).await.unwrap();
    let entry = CatalogueEntry { metadata: metadata(), world: "1.0.0".to_owned(), origin: None };
    let entry = serde_json::to_value(entry).unwrap();
    store.put_driver("nova", &entry, b"component").await.unwrap();
    let keys = KeyRing::open(folder.path(), true).unwrap();
    let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new("n", "i"));
    let second = Duration::from_secs(1);
    let options = EngineOptions {
        ascii_only_rows: false,
        sync_period: Duration::from_secs(60),
        query_rows: 1000,
        query_timeout: second,
    };
    let stop = CancellationToken::new();
    let pulse = Pulse::default();
    let engine = EngineHandle::start(store.clone(), bus.clone(), options, &pulse, stop).await;
    let engine = engine.unwrap();
    (Client::new(store.clone(), &keys, bus, engine, options_within(second)), store, folder)
}

fn options_within(second: Duration) -> ClientOptions {
    ClientOptions {
        timeout: second,
        long_timeout: second,
        takeover: second,
        disabled: BTreeSet::new(),
    }
}

fn request(enabled: bool, config: Value) -> DatasourceRequest {
    DatasourceRequest {
        id: None,
        name: Some("cloud".to_owned()),
        driver: Some("nova".to_owned()),
        description: None,
        enabled,
        config: config.as_object().cloned(),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_alone_lists_checks_and_hides() {
    let (client, store, _folder) = client().await;
    let listed = serde_json::to_value(client.drivers().await.unwrap()).unwrap();
    assert_eq!(listed[0]["id"], "nova");
    assert_eq!((&listed[0]["state"], &listed[0]["version"]), (&json!("stored"), &json!("1.2.3")));
    assert_eq!(listed[0]["hash"].as_str().map(str::len), Some(64));
    assert_eq!(listed[0]["loaded_at"], Value::Null);
    let shown = client.driver("nova").await.unwrap();
    assert_eq!(shown["config"]["auth_url"], "required");
    assert_eq!(shown["secret"], json!(["password"]));
    assert_eq!(shown["tables"][0]["table_id"], "servers");

    for (config, text) in [
        (json!({ "auth_url": "u", "password": "p", "zz": 1 }), "Invalid driver options: {'zz'}"),
        (json!({ "auth_url": "u" }), "Missing required config options: password"),
        (json!({ "auth_url": "u", "password": "p", "depth": "x" }), "'depth'"),
    ] {
        let refused = client.create(request(false, config)).await.unwrap_err();
        assert_eq!(refused.status, Status::BadRequest);
        assert!(refused.message.contains(text), "{}", refused.message);
    }
    let config = json!({ "auth_url": "u", "password": "c4n4ry" });
    let refused = client.create(request(true, config.clone())).await.unwrap_err();
    assert_eq!(refused.status, Status::Unavailable, "nobody could start it");
    let created = client.create(request(false, config)).await.unwrap();
    assert_eq!(created["config"], json!({ "auth_url": "u", "password": "<hidden>" }));
    assert_eq!(client.list().await.unwrap()[0]["config"]["password"], "<hidden>");
    let stored = &store.datasources().await.unwrap()[0];
    assert!(!format!("{stored:?}").contains("c4n4ry"));
    assert_eq!(client.actions("cloud").await.unwrap(), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_driver_is_unknown_and_its_secrets_are_not() {
    let (enabled, store, _folder) = client().await;
    let config = json!({ "auth_url": "u", "password": "c4n4ry" });
    enabled.create(request(false, config.clone())).await.unwrap();
    let inner = &enabled.inner;
    let options = ClientOptions { disabled: ["nova".to_owned()].into(), ..inner.options.clone() };
    let (keys, bus) = (inner.keys.clone(), inner.reach.bus.clone());
    let client = Client::new(store, keys, bus, inner.engine.clone(), options);
    assert!(client.drivers().await.unwrap().is_empty());
    assert_eq!(client.driver("nova").await.unwrap_err().status, Status::NotFound);
    let refused = client.create(request(false, config)).await.unwrap_err();
    assert!(refused.message.starts_with("Invalid driver: "), "{}", refused.message);
    let shown = client.get("cloud").await.unwrap();
    assert_eq!(shown["config"], json!({ "auth_url": "u", "password": "<hidden>" }));
}
