//! How the API reaches drivers and datasources, wherever they run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use congress_bus::{Bus, CallError, Subscription};
use congress_plugins::ConfigValues;
use congress_store::{At, DatasourceConfig, KeyError, NewDatasource, Store};
use congress_table::TableSchema;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

mod reach;
mod update;

pub use self::update::DatasourcePatch;

use self::reach::{Call, Reach};
use super::check;
use super::drivers::{CatalogueEntry, DriverState, LoadState};
use super::views::{self, BuildSummary, DriverSummary};
use super::wire::{DatasourceCall, Execution, MANAGER, ManagerCall, ask};
use crate::actions::wire::ActionsCall;
use crate::actions::{self, Desk};
use crate::engine::EngineHandle;
use crate::failure::{Answer, Failure, Named, Status};
use crate::keys::Keys;
use crate::python;

/// How often a creation is tried again when others write at the same time.
const ATTEMPTS: usize = 10;

/// A datasource to be created, as posted.
#[derive(Clone, Debug)]
pub struct DatasourceRequest {
    /// An id chosen by the client.
    pub id: Option<String>,
    /// Its name; empty if none was given.
    pub name: Option<String>,
    /// Its driver's id.
    pub driver: Option<String>,
    /// For people.
    pub description: Option<String>,
    /// Whether it is to run.
    pub enabled: bool,
    /// Its configuration.
    pub config: Option<ConfigValues>,
}

/// The way to drivers and datasources. Cheap to clone.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    store: Store,
    keys: Keys,
    reach: Reach,
    engine: EngineHandle,
    options: ClientOptions,
}

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// How long an ordinary call may take.
    pub timeout: Duration,
    /// How long a call may take that waits for a driver.
    pub long_timeout: Duration,
    /// How long a call waits for a datasource node to take over when there is none, and how long a
    /// question for the status of a datasource may take at all.
    pub takeover: Duration,
    /// Drivers that are not to be used, by id.
    pub disabled: BTreeSet<String>,
}

/// The name under which streams to clients subscribe.
const STREAM: &str = "__stream";

/// How long the node that runs drivers may take to tell how their loading stands. Lists do without.
const DRIVER_STATES: Duration = Duration::from_secs(2);

impl Client {
    /// A client.
    pub fn new(
        store: Store,
        keys: impl Into<Keys>,
        bus: Arc<dyn Bus>,
        engine: EngineHandle,
        options: ClientOptions,
    ) -> Self {
        let reach = Reach { bus, patience: options.takeover };
        let inner = Inner { store, keys: keys.into(), reach, engine, options };
        Self { inner: Arc::new(inner) }
    }

    /// All drivers, and files that are to become drivers, by id.
    pub async fn drivers(&self) -> Answer<Vec<DriverSummary>> {
        let (stored, states) = self.stored_and_states().await?;
        let mut summaries = Vec::new();
        for driver in &stored {
            let state = states.iter().find(|state| state.id == driver.id);
            match entry(driver) {
                Ok(entry) => summaries.push(DriverSummary {
                    id: driver.id.clone(),
                    build: BuildSummary::new(Some((driver, &entry)), state),
                    description: entry.metadata.description,
                }),
                // One that another version wrote must not hide all others.
                Err(error) => tracing::error!(
                    driver = %driver.id, error = %error.message,
                    "the catalogue's entry of a driver cannot be read"
                ),
            }
        }
        for state in states {
            if !stored.iter().any(|driver| driver.id == state.id) {
                summaries.push(DriverSummary {
                    build: BuildSummary::new(None, Some(&state)),
                    description: views::NO_DESCRIPTION.to_owned(),
                    id: state.id,
                });
            }
        }
        summaries.sort_by(|a, b| a.id.cmp(&b.id));
        Ok(summaries)
    }

    /// A driver with its options and tables.
    pub async fn driver(&self, id: &str) -> Answer<Value> {
        let (stored, states) = self.stored_and_states().await?;
        let state = states.iter().find(|state| state.id == id);
        match (stored.iter().find(|driver| driver.id == id), state) {
            (Some(driver), state) => {
                let entry = entry(driver)?;
                let build = BuildSummary::new(Some((driver, &entry)), state);
                Ok(views::driver(&entry.metadata, &build))
            }
            (None, Some(state)) => Ok(views::file(state)),
            (None, None) => Err(no_driver(id)),
        }
    }

    /// The catalogue without disabled drivers, and how their loading stands, as far as somebody
    /// answers who runs drivers.
    async fn stored_and_states(&self) -> Answer<(Vec<congress_store::Driver>, Vec<DriverState>)> {
        let inner = &self.inner;
        let nobody = |error: &CallError| Failure::plain(Status::Unavailable, error);
        let call = ManagerCall::Drivers;
        let states = ask(inner.reach.bus.as_ref(), MANAGER, &call, DRIVER_STATES, nobody);
        // The states first: what they know as loaded is in the catalogue, or will be.
        let states: Answer<Vec<DriverState>> = states.await;
        let mut stored = inner.store.drivers().await.map_err(failure)?;
        stored.retain(|driver| !inner.options.disabled.contains(&driver.id));
        let states = states.unwrap_or_default().into_iter().map(|state| {
            let driver = stored.iter().find(|driver| driver.id == state.id);
            state.in_catalogue(driver.map(|driver| driver.hash.as_str()))
        });
        let states = states.collect();
        Ok((stored, states))
    }

    /// Says that a driver of this id is not there yet, if there is a file for one that is still
    /// being looked at: the client is to try again. A driver's file is taken for one by its name.
    async fn is_coming(&self, id: &str) -> Option<Failure> {
        let (_, states) = self.stored_and_states().await.ok()?;
        let is_its_file = |file: &str| {
            let stem = file.strip_suffix(".wasm").unwrap_or(file);
            stem == id || stem.replace('-', "_") == id
        };
        let state = states.into_iter().find(|state| {
            matches!(state.state, LoadState::Copying | LoadState::Compiling)
                && (state.id == id || state.file.as_deref().is_some_and(is_its_file))
        })?;
        let file = state
            .file
            .map_or_else(|| "its component".to_owned(), |file| format!("its file {file}"));
        let doing = match state.state {
            LoadState::Copying => "is still being written",
            _ => "is being compiled, which takes up to half a minute",
        };
        Some(Failure::plain(
            Status::Unavailable,
            format!("driver '{id}' cannot be used yet: {file} {doing}; try again in a moment"),
        ))
    }

    /// All datasources, secrets hidden.
    pub async fn list(&self) -> Answer<Vec<Value>> {
        let entries = self.inner.store.drivers().await.map_err(failure)?;
        let entries: std::collections::HashMap<_, _> = entries
            .iter()
            .filter_map(|driver| Some((driver.id.as_str(), entry(driver).ok()?.metadata)))
            .collect();
        let rows = self.inner.store.datasources().await.map_err(failure)?;
        Ok(rows
            .iter()
            .map(|row| views::datasource(row, entries.get(row.driver.as_str())))
            .collect())
    }

    /// A datasource, secrets hidden.
    pub async fn get(&self, id_or_name: &str) -> Answer<Value> {
        let row = self.row(id_or_name).await?.ok_or_else(|| no_datasource(id_or_name))?;
        let entry = self.catalogue(&row.driver).await?;
        Ok(views::datasource(&row, entry.as_ref().map(|(_, entry)| &entry.metadata)))
    }

    /// A datasource, secrets shown, for a caller who may see them; hidden if this node has not the
    /// key that opens them.
    pub async fn get_with_secrets(&self, id_or_name: &str) -> Answer<Value> {
        let row = self.row(id_or_name).await?.ok_or_else(|| no_datasource(id_or_name))?;
        let mut shown = self.get(&row.id).await?;
        if shown["config"].is_object() {
            match self.inner.keys.reveal(&row.config) {
                Ok(config) => shown["config"] = config.into(),
                Err(error) => {
                    tracing::warn!(datasource = %row.name, %error, "its secrets are not shown");
                }
            }
        }
        Ok(shown)
    }

    /// Creates a datasource and starts it. If it cannot start it is not kept.
    pub async fn create(&self, request: DatasourceRequest) -> Answer<Value> {
        let inner = &self.inner;
        let id = request.id.unwrap_or_else(|| uuid::Uuid::new_v4().to_string());
        let entry = match &request.driver {
            Some(driver) => self.stored_driver(driver).await?,
            None => None,
        };
        let Some((_, CatalogueEntry { metadata, .. })) = entry else {
            let posted = json!({
                "id": id, "name": request.name, "driver": request.driver,
                "description": request.description, "type": null, "enabled": request.enabled,
                // What is secret in it is not known without the driver.
                "config": request.config.as_ref().map(|config| {
                    config.keys().map(|key| (key.clone(), "<hidden>".into())).collect::<ConfigValues>()
                }),
            });
            if let Some(driver) = &request.driver
                && let Some(failure) = self.is_coming(driver).await
            {
                return Err(failure);
            }
            let text = format!("Invalid driver: {}", python::repr(&posted));
            return Err(Failure::verbatim(Status::BadRequest, text));
        };
        check::config(&metadata, request.config.as_ref().unwrap_or(&ConfigValues::new()))?;
        let name = request.name.unwrap_or_default();
        check::name(&name)?;
        // Both are looked up alike: an id may be neither empty nor somebody's name, nor a name
        // somebody's id.
        if id.is_empty() {
            return Err(Failure::verbatim(Status::BadRequest, "The id of a datasource is empty"));
        }
        self.is_free(&id, &name).await?;
        if request.enabled {
            self.manager(&ManagerCall::Ping).await?;
        }
        let secrets: Vec<_> = views::secrets(&metadata).collect();
        let new = NewDatasource {
            id: Some(id),
            name: name.clone(),
            driver: metadata.id.clone(),
            description: request.description,
            enabled: request.enabled,
            config: self.seal(request.config, &secrets)?,
        };
        let row = self.commit(new).await?;
        // Nodes begin at once, while the driver looks at the configuration.
        inner.engine.announce_changes().await;
        if row.enabled {
            let call = ManagerCall::Start { id: row.id.clone() };
            match self.manager(&call).await {
                Ok(()) => {}
                // It is in the database: whoever is the active datasource node next starts it.
                Err(reason) if reason.status == Status::Unavailable => tracing::warn!(
                    datasource = %name, reason = %reason.message,
                    "the datasource is created; it starts when there is a datasource node"
                ),
                Err(reason) => {
                    self.withdraw(&row.id).await;
                    let reason = reason.message.trim_start_matches("Bad Request::").to_owned();
                    return Err(Failure::verbatim(
                        Status::BadRequest,
                        format!("Datasource service: {name} creation fails. {reason}"),
                    ));
                }
            }
        }
        inner.engine.catch_up().await;
        Ok(views::datasource(&row, Some(&metadata)))
    }

    /// Enters a datasource into the database, on the condition that nobody takes its name
    /// meanwhile, be it for a policy.
    async fn commit(&self, new: NewDatasource) -> Answer<congress_store::Datasource> {
        let store = &self.inner.store;
        for _ in 0..ATTEMPTS {
            let revision = store.revision().await.map_err(failure)?;
            self.is_free(new.id.as_deref().unwrap_or_default(), &new.name).await?;
            match store.create_datasource(new.clone(), At::Revision(revision)).await {
                Ok(committed) => return Ok(committed.value),
                Err(congress_store::Error::Stale { .. }) => {}
                Err(congress_store::Error::Conflict { .. }) => return Err(name_in_use(&new.name)),
                Err(error) => return Err(failure(error)),
            }
        }
        Err(changed_by_others())
    }

    /// Whether neither a policy nor another datasource has this name, or this id.
    async fn is_free(&self, id: &str, name: &str) -> Answer<()> {
        if self.inner.engine.is_policy(name).await? {
            return Err(name_in_use(name));
        }
        for taken in [id, name] {
            if self.row(taken).await?.is_some() {
                return Err(name_in_use(taken));
            }
        }
        Ok(())
    }

    /// A configuration fit to be stored.
    fn seal(&self, config: Option<ConfigValues>, secrets: &[&str]) -> Answer<DatasourceConfig> {
        let sealer = self.inner.keys.sealer().map_err(|error| {
            tracing::error!(%error, "a datasource cannot be created: its secrets cannot be sealed");
            let text = "this node has no key to seal secrets with; ask its operator to copy the key \
                        folder of the datasource node";
            Failure::plain(Status::Unavailable, text)
        })?;
        let bad = |error: KeyError| Failure::verbatim(Status::BadRequest, error.to_string());
        sealer.seal(config, secrets).map_err(bad)
    }

    /// Takes back a datasource that could not start.
    async fn withdraw(&self, id: &str) {
        if let Err(error) = self.inner.store.delete_datasource(id, At::Any).await {
            tracing::error!(datasource = %id, %error, "cannot remove a datasource that did not start");
        }
        // Its task, if there is one, ends now or at the manager's next comparison.
        let _ = self.manager(&ManagerCall::Stop { id: id.to_owned() }).await;
    }

    /// Deletes a datasource with its rows.
    pub async fn delete(&self, id_or_name: &str) -> Answer<()> {
        let row = self.row(id_or_name).await?.ok_or_else(|| no_datasource(id_or_name))?;
        self.manager(&ManagerCall::Ping).await?;
        match self.inner.store.delete_datasource(&row.id, At::Any).await {
            Ok(_) => {}
            Err(congress_store::Error::NotFound { .. }) => return Err(no_datasource(id_or_name)),
            Err(error) => return Err(failure(error)),
        }
        // It is deleted: should the manager have gone away meanwhile, it finds out by itself.
        let _ = self.manager(&ManagerCall::Stop { id: row.id }).await;
        self.inner.engine.catch_up().await;
        Ok(())
    }

    /// A datasource's tables with their columns.
    pub async fn schema(&self, d: &str) -> Answer<Value> {
        let tables = self.tables_of(d, bare_absence).await?;
        Ok(json!({ "tables": tables.iter().map(views::table).collect::<Vec<_>>() }))
    }

    /// One table with its columns.
    pub async fn table_spec(&self, d: &str, table: &str) -> Answer<Value> {
        let tables = self.tables_of(d, bare_absence).await?;
        tables.iter().find(|t| t.name == table).map(views::table).ok_or_else(|| {
            let text = format!("Table '{table}' for datasource '{d}' has no schema ");
            Failure::verbatim(Status::NotFound, text)
        })
    }

    /// The names of a datasource's tables.
    pub async fn tables(&self, d: &str) -> Answer<Vec<String>> {
        Ok(self.tables_of(d, absence).await?.into_iter().map(|table| table.name).collect())
    }

    /// Follows the rows of a table.
    pub async fn subscribe(&self, d: &str, table: &str) -> Answer<Subscription> {
        let row = self.row(d).await?.ok_or_else(|| absence(d))?;
        if !self.tables(d).await?.iter().any(|name| name == table) {
            let text = format!("tablename '{table}' does not exist'");
            return Err(Failure::plain(Status::NotFound, text));
        }
        Ok(self.inner.reach.bus.subscribe(STREAM, &row.name, [table.into()].into()))
    }

    /// The names of a table's columns; none if there is no such table.
    pub async fn columns(&self, d: &str, table: &str) -> Answer<Vec<String>> {
        let tables = self.tables_of(d, absence).await?;
        let columns = tables.into_iter().find(|t| t.name == table).map(|table| table.columns);
        Ok(columns.into_iter().flatten().map(|column| column.name).collect())
    }

    /// How a datasource fares.
    pub async fn status(&self, d: &str) -> Answer<Value> {
        let row = self.row(d).await?.ok_or_else(|| bare_absence(d))?;
        let deadline = self.inner.options.takeover.min(self.inner.options.timeout);
        let call = DatasourceCall::Status;
        let mut status: Value = self.ask_row(&row, d, &call, deadline, bare_absence).await?;
        if let Value::Object(status) = &mut status {
            let stale = if self.inner.engine.is_stale(&row.name) { "True" } else { "False" };
            status.insert("stale".to_owned(), stale.into());
        }
        Ok(status)
    }

    /// What a datasource can be told to do.
    pub async fn actions(&self, d: &str) -> Answer<Value> {
        let row = self.row(d).await?.ok_or_else(|| bare_absence(d))?;
        let stored = self.stored_driver(&row.driver).await?;
        let (_, entry) = stored.ok_or_else(|| no_driver(&row.driver))?;
        Ok(views::actions(&entry.metadata))
    }

    /// The rows of a table.
    pub async fn rows(&self, d: &str, table: &str) -> Answer<Vec<Vec<Value>>> {
        let call = DatasourceCall::Rows { table: table.to_owned() };
        self.ask(d, &call, self.inner.options.timeout, absence).await
    }

    /// Replaces the rows of a table by what was pushed.
    pub async fn replace_rows(&self, d: &str, table: &str, body: Value) -> Answer<()> {
        let call = DatasourceCall::ReplaceRows { table: table.to_owned(), body };
        self.ask(d, &call, self.inner.options.long_timeout, absence).await
    }

    /// Hands a webhook's payload to the datasource.
    pub async fn webhook(&self, d: &str, payload: Value) -> Answer<()> {
        self.ask(d, &DatasourceCall::Webhook { payload }, self.inner.options.long_timeout, absence)
            .await
    }

    /// Asks for a poll, without waiting for it.
    pub async fn request_refresh(&self, d: &str) -> Answer<()> {
        self.ask(d, &DatasourceCall::Refresh, self.inner.options.timeout, absence).await
    }

    /// Runs an action in the background. `args` is an object with `positional` and `named`.
    pub async fn execute(&self, d: &str, name: String, args: Value) -> Answer<()> {
        let malformed = || Failure::title(Named::ExecuteActionArgsSyntax);
        let mut args = match args {
            Value::Null => ConfigValues::new(),
            Value::Object(args) => args,
            _ => return Err(malformed()),
        };
        let positional = match args.remove("positional") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(malformed()),
        };
        let named = match args.remove("named") {
            None | Some(Value::Null) => ConfigValues::new(),
            Some(Value::Object(values)) => values,
            Some(_) => return Err(malformed()),
        };
        if name.is_empty() {
            return Err(Failure::named(Named::ExecuteError, "Action not found"));
        }
        let call = DatasourceCall::Execute(Execution { action: name, positional, named });
        self.ask(d, &call, self.inner.options.timeout, |d| {
            Failure::named(Named::ExecuteError, format!("Service {d} not found"))
        })
        .await
    }

    /// The actions that rules asked for.
    pub fn ledger(&self) -> Desk {
        Desk::new(self.inner.store.clone())
    }

    /// Has an action that failed, or whose outcome is not known, run again.
    pub async fn repeat_action(&self, id: &str) -> Answer<()> {
        let call = &ActionsCall::Repeat { id: id.to_owned() };
        let (service, deadline) = (actions::wire::SERVICE, self.inner.options.timeout);
        self.inner.reach.ask(Call { service, call, deadline, repeatable: false }).await
    }

    async fn tables_of(&self, d: &str, absent: fn(&str) -> Failure) -> Answer<Vec<TableSchema>> {
        self.ask(d, &DatasourceCall::Schema, self.inner.options.timeout, absent).await
    }

    /// Calls a datasource, found by id or name.
    async fn ask<T: DeserializeOwned>(
        &self,
        d: &str,
        call: &DatasourceCall,
        deadline: Duration,
        absent: impl Fn(&str) -> Failure,
    ) -> Answer<T> {
        let row = self.row(d).await?.ok_or_else(|| absent(d))?;
        self.ask_row(&row, d, call, deadline, absent).await
    }

    async fn ask_row<T: DeserializeOwned>(
        &self,
        row: &congress_store::Datasource,
        d: &str,
        call: &DatasourceCall,
        deadline: Duration,
        absent: impl Fn(&str) -> Failure,
    ) -> Answer<T> {
        // Nobody runs it, and nobody is to.
        if !row.enabled {
            return Err(absent(d));
        }
        let repeatable = call.is_repeatable();
        self.inner.reach.ask(Call { service: &row.name, call, deadline, repeatable }).await
    }

    async fn manager(&self, call: &ManagerCall) -> Answer<()> {
        let deadline = self.inner.options.long_timeout;
        // Whoever is asked again to start or stop what runs or does not has done so.
        self.inner.reach.ask(Call { service: MANAGER, call, deadline, repeatable: true }).await
    }

    async fn row(&self, id_or_name: &str) -> Answer<Option<congress_store::Datasource>> {
        match self.inner.store.datasource(id_or_name).await {
            Ok(row) => Ok(Some(row)),
            Err(congress_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }

    /// A driver of the catalogue, unless it is disabled.
    async fn stored_driver(
        &self,
        id: &str,
    ) -> Answer<Option<(congress_store::Driver, CatalogueEntry)>> {
        if self.inner.options.disabled.contains(id) {
            return Ok(None);
        }
        self.catalogue(id).await
    }

    /// A driver of the catalogue.
    async fn catalogue(
        &self,
        id: &str,
    ) -> Answer<Option<(congress_store::Driver, CatalogueEntry)>> {
        match self.inner.store.driver(id).await {
            Ok(driver) => entry(&driver).map(|entry| Some((driver, entry))),
            Err(congress_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(failure(error)),
        }
    }
}

fn entry(driver: &congress_store::Driver) -> Answer<CatalogueEntry> {
    serde_json::from_value(driver.metadata.clone()).map_err(Failure::internal)
}

fn no_driver(id: &str) -> Failure {
    Failure::verbatim(
        Status::NotFound,
        format!(
            "Driver not found {id}. Either not supported or disabled by deployer in Congress config"
        ),
    )
}

fn no_datasource(id_or_name: &str) -> Failure {
    Failure::verbatim(Status::NotFound, format!("Datasource not found {id_or_name}"))
}

/// Others were always faster.
fn changed_by_others() -> Failure {
    let text = "datasources and policies are being changed by others; try again";
    Failure::plain(Status::Unavailable, text)
}

fn name_in_use(name: &str) -> Failure {
    Failure::verbatim(Status::Conflict, format!("Datasource already in use with name {name}"))
}

/// The answer of routes about tables for a datasource that is not there.
fn absence(d: &str) -> Failure {
    Failure::plain(Status::NotFound, format!("service '{d}' could not be found"))
}

/// The answer of the others, which has no lead.
fn bare_absence(d: &str) -> Failure {
    Failure::verbatim(Status::NotFound, format!("service '{d}' could not be found"))
}

/// A failure of the database, in words that are fit for a client.
pub(crate) fn failure(error: congress_store::Error) -> Failure {
    use congress_store::Error;
    match error {
        Error::TooLong { .. } | Error::Unfit { .. } => Failure::plain(Status::BadRequest, error),
        Error::Unavailable { .. } => {
            tracing::error!(%error, "the database is not available");
            Failure::plain(Status::Unavailable, "the database is not available; try again later")
        }
        other => Failure::internal(other),
    }
}

#[cfg(test)]
mod tests;
