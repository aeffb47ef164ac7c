//! Finding recorded cases, and replaying those that are polled.

use std::path::{Path, PathBuf};

use congress_server::datasources::lazy_tables;
use congress_server::fixture::{Fixture, compare, tables};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::host;
use super::service::Service;

/// The folders below a folder, by name: one for each driver.
pub(crate) fn drivers(folder: &Path) -> Vec<(String, PathBuf)> {
    entries(folder)
        .into_iter()
        .filter(|path| path.is_dir())
        .map(|path| (name(&path), path))
        .filter(|(name, _)| !name.starts_with('_'))
        .collect()
}

/// The cases in a driver's folder: all but what is recorded of the driver itself.
pub(crate) fn cases(folder: &Path) -> Vec<PathBuf> {
    const OTHERS: [&str; 3] = ["actions.json", "execute.json", "schema.json"];
    let is_case = |path: &PathBuf| {
        let name = name(path);
        name.ends_with(".json") && !OTHERS.contains(&name.as_str())
    };
    entries(folder).into_iter().filter(is_case).collect()
}

/// Reads a case.
pub(crate) fn read(path: &Path) -> Fixture {
    let mut case: Fixture = typed(path);
    for row in case.tables.values_mut().flatten() {
        for cell in row {
            if let Some(text) = cell.as_str().and_then(misread) {
                *cell = text.into();
            }
        }
    }
    case
}

/// What a text was that has been taken for Latin-1 though it was UTF-8: a library of the reference
/// guessed so where an answer had a single letter beyond ASCII.
fn misread(text: &str) -> Option<String> {
    let bytes: Option<Vec<u8>> = text.chars().map(|c| u8::try_from(u32::from(c)).ok()).collect();
    String::from_utf8(bytes?).ok().filter(|read| read != text)
}

/// Reads a file.
pub(crate) fn json(path: &Path) -> Value {
    typed(path)
}

/// Reads a file of a known form.
pub(crate) fn typed<T: DeserializeOwned>(path: &Path) -> T {
    let text = std::fs::read_to_string(path).expect("a readable file");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn entries(folder: &Path) -> Vec<PathBuf> {
    let mut paths: Vec<_> = std::fs::read_dir(folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.expect("a folder entry").path())
        .collect();
    paths.sort();
    paths
}

fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Polls once and compares; the error describes the first differences.
pub(crate) async fn poll(component: &Path, case: &Fixture) -> Result<(), String> {
    let service = Service::start(case.http.clone(), None).await;
    let source = host::source(component, &service, case.config.clone()).await?;
    let roots = tables::roots(&source, &lazy_tables(&case.config));
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
