//! Recorded pushes: through the driver alone, for what it publishes, and through a server's API,
//! for what clients see.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use congress_plugins::{CallOutcome, Datasource, Push, TableOperation};
use congress_server::fixture::{Fixture, Tables, compare};
use congress_table::Table;
use regex::Regex;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use serde::Deserialize;
use serde_json::{Value, json};

use super::api::Api;
use super::host;
use super::service::Service;

/// The time of the recordings' clock; ours goes on.
const PINNED: &str = "2026-01-02T03:04:05Z";

/// What a recording of pushes has beyond other ones.
#[derive(Debug, Deserialize)]
pub(crate) struct Steps {
    pub(crate) steps: Vec<Step>,
}

/// One push, and what there is after it.
#[derive(Debug, Deserialize)]
pub(crate) struct Step {
    pub(crate) request: Request,
    /// Tables in the order of their publication.
    pub(crate) published: Vec<String>,
    pub(crate) tables: Tables,
    pub(crate) api_rows: Tables,
    /// None where polls count, too.
    pub(crate) number_of_updates: Option<String>,
}

#[derive(Debug, Deserialize)]
pub(crate) struct Request {
    method: String,
    path: String,
    body: Value,
}

impl Request {
    fn push(&self) -> Push {
        match self.path.split_once("/tables/").and_then(|(_, rest)| rest.strip_suffix("/rows")) {
            Some(table) => Push::Rows { table: table.to_owned(), body: self.body.clone() },
            None => Push::Webhook(self.body.clone()),
        }
    }
}

/// A datasource of its own, and the rows that its pushes have made so far.
pub(crate) struct Pushed {
    source: Datasource,
    tables: Arc<Held>,
}

/// Tables, as the driver can look rows up in them.
#[derive(Debug, Default)]
struct Held(std::sync::Mutex<BTreeMap<String, Arc<Table>>>);

impl Held {
    fn with<T>(&self, with: impl FnOnce(&mut BTreeMap<String, Arc<Table>>) -> T) -> T {
        with(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl congress_plugins::HeldRows for Held {
    fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.with(|tables| tables.get(name).cloned())
    }
}

impl Pushed {
    pub(crate) async fn new(component: &Path, case: &Fixture) -> Result<Self, String> {
        let service = Service::start(case.http.clone(), None).await;
        let source = host::source(component, &service, case.config.clone()).await?;
        let tables = source.tables().iter().map(|t| (t.name.clone(), Arc::default())).collect();
        Ok(Self { source, tables: Arc::new(Held(std::sync::Mutex::new(tables))) })
    }

    /// Hands over a push; the names of the tables that it changed, in order.
    pub(crate) async fn push(&self, push: Push) -> Result<Vec<String>, String> {
        let outcome = self.source.receive_beside(push, Some(self.tables.clone())).await;
        let CallOutcome { tables: operations, .. } = outcome.map_err(|error| error.to_string())?;
        let names = operations.iter().map(|(name, _)| name.to_string()).collect();
        self.tables.with(|tables| {
            for (name, operation) in operations {
                match operation {
                    TableOperation::Replace(rows) => {
                        tables.insert(name.to_string(), Arc::new(rows.into()));
                    }
                    TableOperation::Patch(delta) => {
                        Arc::make_mut(tables.entry(name.to_string()).or_default()).apply(&delta);
                    }
                }
            }
        });
        Ok(names)
    }

    /// How the tables differ from recorded ones.
    pub(crate) fn differences(&self, case: &Fixture) -> Vec<String> {
        let recorded = Fixture { tables: unpinned(&case.tables), ..case.clone() };
        let recorded = Fixture { api_rows: unpinned(&case.api_rows), ..recorded };
        let tables = self.tables.with(|tables| unpinned_cells(tables, &case.tables));
        compare::differences(&tables, &recorded)
    }
}

/// All steps through the driver.
pub(crate) async fn replay(component: &Path, case: &Fixture, steps: &Steps) -> Result<(), String> {
    let pushed = Pushed::new(component, case).await?;
    for (number, step) in steps.steps.iter().enumerate() {
        let failed = |text: String| format!("step {}: {text}", number + 1);
        let published = pushed.push(step.request.push()).await.map_err(failed)?;
        if published != step.published {
            let text = format!("published {published:?}, recorded were {:?}", step.published);
            return Err(failed(text));
        }
        let recorded = Fixture {
            tables: step.tables.clone(),
            api_rows: step.api_rows.clone(),
            ..case.clone()
        };
        match pushed.differences(&recorded) {
            lines if lines.is_empty() => {}
            lines => return Err(failed(lines.join("\n"))),
        }
    }
    Ok(())
}

/// All steps through the API, to a datasource whose rows are stored, if its driver can and the case
/// says nothing else; its id if they are.
pub(crate) async fn through_api(
    api: &Api,
    name: &str,
    case: &Fixture,
    steps: &Steps,
) -> Result<Option<String>, String> {
    let mut config = Value::Object(case.config.clone());
    let stores = config.get("persist_data").is_none() && api.stores(&case.driver).await;
    if stores {
        config["persist_data"] = json!("True");
    }
    let id = api.datasource(&case.driver, name, &config).await?;
    for (number, step) in steps.steps.iter().enumerate() {
        let failed = |text: String| format!("step {}: {text}", number + 1);
        let Request { method, path, body } = &step.request;
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let reply = api
            .server
            .request(method, &path.replace("<ds>", &id), headers, Some(body.to_string().into()))
            .await
            .map_err(|error| failed(error.to_string()))?;
        if reply.status != 200 {
            let body = String::from_utf8_lossy(&reply.body);
            return Err(failed(format!("the push was answered {}: {body}", reply.status)));
        }
        if let Some(recorded) = &step.number_of_updates {
            let status = get(api, &format!("/v1/data-sources/{id}/status")).await?;
            if status["number_of_updates"] != **recorded {
                return Err(failed(format!("{recorded} updates were recorded: {status}")));
            }
        }
        rows(api, &id, &step.api_rows).await.map_err(failed)?;
    }
    Ok(stores.then_some(id))
}

/// Compares the rows that the API shows with recorded ones.
pub(crate) async fn rows(api: &Api, id: &str, recorded: &Tables) -> Result<(), String> {
    for (table, wanted) in recorded {
        let body = get(api, &format!("/v1/data-sources/{id}/tables/{table}/rows")).await?;
        let pinned = pinned_columns(wanted);
        let given = body["results"].as_array().into_iter().flatten().map(|row| {
            let cells = row["data"].as_array().cloned().unwrap_or_default();
            sorted_text(cells.iter().enumerate().map(|(i, cell)| match cell.as_str() {
                Some(text) if pinned.contains(&i) => unpinned_text(text),
                Some(text) => text.chars().filter(char::is_ascii).collect::<String>().into(),
                None => cell.clone(),
            }))
        });
        let wanted = wanted.iter().map(|row| {
            sorted_text(row.iter().enumerate().map(|(i, cell)| match cell.as_str() {
                Some(text) if pinned.contains(&i) => unpinned_text(text),
                _ => cell.clone(),
            }))
        });
        let (mut given, mut wanted): (Vec<_>, Vec<_>) = (given.collect(), wanted.collect());
        given.sort();
        given.dedup();
        wanted.sort();
        if given != wanted {
            return Err(format!("rows of {table}: {given:?}\n  were recorded as {wanted:?}"));
        }
    }
    Ok(())
}

fn sorted_text(cells: impl Iterator<Item = Value>) -> String {
    Value::Array(cells.collect()).to_string()
}

async fn get(api: &Api, path: &str) -> Result<Value, String> {
    let reply = api.server.get(path).await.map_err(|error| error.to_string())?;
    let body = reply.json().map_err(|error| error.to_string())?;
    match reply.status {
        200 => Ok(body),
        status => Err(format!("{path} answered {status}: {body}")),
    }
}

/// The columns that hold the time of the recording's clock.
fn pinned_columns(rows: &[Vec<Value>]) -> Vec<usize> {
    let Some(first) = rows.first() else { return Vec::new() };
    (0..first.len()).filter(|&i| rows.iter().all(|row| row[i] == PINNED)).collect()
}

/// Only the shape of such a time counts.
fn unpinned_text(text: &str) -> Value {
    let shape = Regex::new(r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$").expect("a pattern");
    if shape.is_match(text) { json!("<time>") } else { json!(text) }
}

fn unpinned(tables: &Tables) -> Tables {
    let row = |pinned: &[usize], row: &Vec<Value>| {
        let cells = row.iter().enumerate();
        cells
            .map(|(i, cell)| match cell.as_str() {
                Some(text) if pinned.contains(&i) => unpinned_text(text),
                _ => cell.clone(),
            })
            .collect()
    };
    let rows = |rows: &Vec<Vec<Value>>| {
        let pinned = pinned_columns(rows);
        rows.iter().map(|r| row(&pinned, r)).collect()
    };
    tables.iter().map(|(name, r)| (name.clone(), rows(r))).collect()
}

fn unpinned_cells(
    tables: &BTreeMap<String, Arc<Table>>,
    recorded: &Tables,
) -> BTreeMap<String, Table> {
    let none = Vec::new();
    tables
        .iter()
        .map(|(name, table)| {
            let pinned = pinned_columns(recorded.get(name).unwrap_or(&none));
            let rows = table.rows().map(|row| {
                let cells = row.iter().enumerate().map(|(i, cell)| match cell {
                    congress_table::Value::Text(text) if pinned.contains(&i) => {
                        let text = unpinned_text(text);
                        congress_table::Value::from(text.as_str().unwrap_or_default())
                    }
                    other => other.clone(),
                });
                cells.collect::<congress_table::Row>()
            });
            (name.clone(), rows.collect())
        })
        .collect()
}
