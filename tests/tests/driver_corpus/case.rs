//! Finding recorded cases, and replaying them.

use std::path::{Path, PathBuf};

use congress_plugins::{Host, HostConfig, State};
use congress_server::datasources::lazy_tables;
use congress_server::fixture::{Fixture, compare, tables};
use serde_json::Value;

use super::service::Service;

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

/// Reads a case.
pub(crate) fn read(path: &Path) -> Fixture {
    let text = std::fs::read_to_string(path).expect("a readable case");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Polls once and compares; the error describes the first differences.
pub(crate) async fn replay(component: &Path, case: &Fixture) -> Result<(), String> {
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
    let roots = tables::roots(&source, &lazy_tables(&config));
    let polled = tables::poll(&source, &roots).await.map_err(|error| {
        format!("{error}\nrequests without an answer: {:?}", service.unanswered())
    })?;
    if let Some((table, error)) = polled.failed.first() {
        return Err(format!("table {table}: {error}\nunanswered: {:?}", service.unanswered()));
    }
    match compare::differences(&polled.tables, case) {
        lines if lines.is_empty() => Ok(()),
        lines => Err(lines.join("\n")),
    }
}
