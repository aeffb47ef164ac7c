//! How the API reaches drivers and datasources, wherever they run.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use congress_bus::Bus;
use congress_plugins::ConfigValues;
use congress_store::{At, DatasourceConfig, KeyError, NewDatasource, Store};
use serde_json::{Value, json};

mod calls;
mod drivers;
mod reach;
mod update;

pub use self::update::{ConfigChange, DatasourcePatch};

use self::drivers::{entry, no_driver};
use self::reach::{Call, Reach};
use super::check;
use super::drivers::CatalogueEntry;
use super::views;
use super::wire::{MANAGER, ManagerCall};
use crate::engine::EngineHandle;
use crate::failure::{Answer, Failure, Status};
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
