//! The mappings that come with the driver `http_json`, against the real services they are for.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod haproxy;
mod pypiserver;
mod rabbitmq;

use std::collections::BTreeMap;

use congress_plugins::{Datasource, Host, HostConfig, State};
use congress_server::fixture::{Tables, compare, tables};
pub(crate) use congress_tests::SOON;
use serde_json::{Map, Value};

/// A datasource with the mapping of that name, and with these fields.
pub(crate) async fn datasource(mapping: &str, fields: &[(&str, &str)]) -> Datasource {
    let mut config: Map<String, Value> =
        fields.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    config.insert("tables".into(), self::mapping(mapping));
    let host = Host::new(HostConfig {
        allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
        ..HostConfig::default()
    });
    let driver = congress_tests::drivers_folder().join("http_json.wasm");
    let driver = host.unwrap().load(&driver).await.unwrap();
    driver.datasource(mapping, &config, State::default()).await.unwrap()
}

fn mapping(name: &str) -> Value {
    let path = congress_tests::root().join(format!("drivers/http_json/mappings/{name}.json"));
    let text = std::fs::read_to_string(&path).expect("the mapping");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Polls all tables; the error says which could not be read.
pub(crate) async fn poll(source: &Datasource) -> Result<Tables, String> {
    let polled = tables::poll(source, &tables::roots(source, &[])).await;
    let polled = polled.map_err(|error| error.to_string())?;
    match polled.failed.first() {
        Some((table, error)) => Err(format!("{table}: {error}")),
        None => Ok(compare::as_published(&polled.tables)),
    }
}

/// A row with the names of its columns.
pub(crate) type Row = BTreeMap<String, Value>;

/// The rows of a table.
pub(crate) fn rows(source: &Datasource, of: &Tables, table: &str) -> Vec<Row> {
    let columns = &source.table(table).expect("a table of the mapping").columns;
    let named = |row: &Vec<Value>| {
        columns.iter().map(|column| column.name.clone()).zip(row.iter().cloned()).collect()
    };
    of[table].iter().map(named).collect()
}
