//! One recorded case: reading it, and replaying it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use congress_plugins::{ConfigValues, Host, HostConfig, State, TableOperation};
use congress_table::{Table, Value as Cell};
use serde::Deserialize;
use serde_json::Value;

use super::compare;
use super::service::{Answer, Service};

/// How the driver gets its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Mode {
    /// It polls.
    Poll,
    /// It is pushed to.
    Push,
    /// From something other than HTTP.
    Objects,
}

/// A case.
#[derive(Debug, Deserialize)]
pub(crate) struct Case {
    pub(crate) mode: Mode,
    #[serde(default)]
    config: ConfigValues,
    #[serde(default)]
    http: Vec<Answer>,
    #[serde(default)]
    tables: BTreeMap<String, Vec<Vec<Value>>>,
    #[serde(default)]
    api_rows: BTreeMap<String, Vec<Vec<Value>>>,
}

/// All cases below a folder: driver and file.
pub(crate) fn files(folder: &Path) -> Vec<(String, PathBuf)> {
    let entries = |folder: &Path| -> Vec<PathBuf> {
        let mut paths: Vec<_> = std::fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
            .map(|entry| entry.expect("a folder entry").path())
            .collect();
        paths.sort();
        paths
    };
    let name = |path: &Path| path.file_name().map(|n| n.to_string_lossy().into_owned());
    entries(folder)
        .into_iter()
        .filter(|path| path.is_dir())
        .flat_map(|driver| {
            let id = name(&driver).unwrap_or_default();
            entries(&driver).into_iter().map(move |file| (id.clone(), file))
        })
        .filter(|(_, file)| name(file).is_some_and(|n| n.starts_with(|c: char| c.is_ascii_digit())))
        .collect()
}

impl Case {
    pub(crate) fn read(path: &Path) -> Self {
        let text = std::fs::read_to_string(path).expect("a readable case");
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    }
}

/// Polls once and compares; the error describes the first differences.
pub(crate) async fn replay(component: &Path, case: &Case) -> Result<(), String> {
    let service = Service::start(case.http.clone()).await;
    let config = service.fill(&Value::Object(case.config.clone()));
    let Value::Object(config) = config else { unreachable!("an object stays one") };
    let host = Host::new(HostConfig {
        allowed_hosts: vec!["127.0.0.1".parse().expect("an address")],
        ..HostConfig::default()
    })
    .map_err(|error| error.to_string())?;
    let driver = host.load(component).await.map_err(|error| error.to_string())?;
    let source = driver
        .datasource("replay", &config, State::default())
        .await
        .map_err(|error| error.to_string())?;

    let lazy = congress_server::datasources::lazy_tables(&config);
    let wanted: Vec<_> = source
        .tables()
        .iter()
        .filter(|table| table.root.is_none() && !lazy.contains(&table.name))
        .map(|table| table.name.clone())
        .collect();
    let outcome = source.poll(&wanted).await.map_err(|error| {
        format!("{error}\nrequests without an answer: {:?}", service.unanswered())
    })?;
    if let Some((table, error)) = outcome.failed.first() {
        return Err(format!("table {table}: {error}\nunanswered: {:?}", service.unanswered()));
    }

    let mut tables: BTreeMap<String, Table> = source
        .tables()
        .iter()
        .filter(|table| wanted.iter().any(|root| root == table.root_name()))
        .map(|table| (table.name.clone(), Table::new()))
        .collect();
    for (name, operation) in outcome.tables {
        let TableOperation::Replace(rows) = operation else {
            return Err(format!("table {name} is patched, not replaced"));
        };
        tables.insert(name.to_string(), rows);
    }
    compare::names(&tables.keys().cloned().collect(), &case.tables.keys().cloned().collect())?;
    let rows = |cell: fn(&Cell) -> Value| -> BTreeMap<String, BTreeSet<String>> {
        tables
            .iter()
            .map(|(name, table)| {
                let rows = table.rows().map(|row| row.iter().map(cell).collect::<Value>());
                (name.clone(), rows.map(|row| row.to_string()).collect())
            })
            .collect()
    };
    compare::rows("tables", &rows(as_published), &case.tables)?;
    compare::rows("api_rows", &rows(as_policies_see), &case.api_rows)
}

fn as_published(cell: &Cell) -> Value {
    serde_json::to_value(cell).expect("a cell is a JSON scalar")
}

/// The recordings were made with non-ASCII characters dropped (`ascii_only_rows`).
fn as_policies_see(cell: &Cell) -> Value {
    match cell.for_policy() {
        Cell::Text(text) => text.chars().filter(char::is_ascii).collect::<String>().into(),
        other => as_published(&other),
    }
}
