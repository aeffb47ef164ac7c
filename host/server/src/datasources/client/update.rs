//! Changes of datasources that exist.

use congress_plugins::ConfigValues;
use congress_store::{At, Datasource};
use serde_json::Value;

use super::super::drivers::CatalogueEntry;
use super::super::wire::ManagerCall;
use super::super::{check, views};
use super::{ATTEMPTS, Client, changed_by_others, failure, no_datasource, no_driver};
use crate::failure::{Answer, Failure, Status};

/// What stands for a secret that is to stay as it is.
const HIDDEN: &str = "<hidden>";

/// What is to change of a datasource; what is not given stays.
#[derive(Clone, Debug, Default)]
pub struct DatasourcePatch {
    /// A description, or none any more.
    pub description: Option<Option<String>>,
    /// Whether it is to run.
    pub enabled: Option<bool>,
    /// Its configuration. A secret that is `<hidden>` stays as it is.
    pub config: Option<ConfigChange>,
}

/// How a configuration changes.
#[derive(Clone, Debug)]
pub enum ConfigChange {
    /// This is all of it.
    Replace(ConfigValues),
    /// These fields change, and those that are null are taken away; the others stay.
    Merge(ConfigValues),
}

impl ConfigChange {
    /// The whole new configuration, in which secrets that stay are hidden as in `shown`, the old one.
    fn onto(&self, shown: &Value) -> ConfigValues {
        let changes = match self {
            Self::Replace(all) => return all.clone(),
            Self::Merge(changes) => changes,
        };
        let mut config = shown.as_object().cloned().unwrap_or_default();
        for (name, value) in changes {
            match value {
                Value::Null => drop(config.remove(name)),
                value => drop(config.insert(name.clone(), value.clone())),
            }
        }
        config
    }
}

impl Client {
    /// Changes a datasource, which then runs as it is configured now. If its driver refuses that,
    /// all is as it was.
    pub async fn update(&self, id_or_name: &str, patch: DatasourcePatch) -> Answer<Value> {
        let inner = &self.inner;
        let (old, new) = self.commit_update(id_or_name, &patch).await?;
        inner.engine.announce_changes().await;
        if old.enabled == new.enabled && old.config == new.config {
            return self.shown(&new).await;
        }
        let call = match new.enabled {
            true => ManagerCall::Update { id: new.id.clone() },
            false => ManagerCall::Stop { id: new.id.clone() },
        };
        match self.manager(&call).await {
            Ok(()) => {}
            Err(reason) if reason.status == Status::BadRequest => {
                self.restore(old, &new).await;
                let reason = reason.message.trim_start_matches("Bad Request::").to_owned();
                let text = format!("Datasource {} stays as it was: {reason}", new.name);
                return Err(Failure::plain(Status::BadRequest, text));
            }
            // It is in the database: whoever runs datasources compares with that.
            Err(reason) => tracing::warn!(
                datasource = %new.name, reason = %reason.message,
                "the datasource is changed; it runs so when there is a datasource node"
            ),
        }
        self.shown(&new).await
    }

    async fn shown(&self, row: &Datasource) -> Answer<Value> {
        self.inner.engine.catch_up().await;
        let entry = self.catalogue(&row.driver).await?;
        Ok(views::datasource(row, entry.as_ref().map(|(_, entry)| &entry.metadata)))
    }

    /// Enters the change into the database. What was there, and what is.
    async fn commit_update(
        &self,
        id_or_name: &str,
        patch: &DatasourcePatch,
    ) -> Answer<(Datasource, Datasource)> {
        let store = &self.inner.store;
        for _ in 0..ATTEMPTS {
            let revision = store.revision().await.map_err(failure)?;
            let old = self.row(id_or_name).await?.ok_or_else(|| no_datasource(id_or_name))?;
            let new = self.changed(&old, patch).await?;
            match store.update_datasource(new, At::Revision(revision)).await {
                Ok(committed) => return Ok((old, committed.value)),
                Err(congress_store::Error::Stale { .. }) => {}
                Err(congress_store::Error::NotFound { .. }) => {
                    return Err(no_datasource(id_or_name));
                }
                Err(error) => return Err(failure(error)),
            }
        }
        Err(changed_by_others())
    }

    /// A datasource with its changes, checked.
    async fn changed(&self, old: &Datasource, patch: &DatasourcePatch) -> Answer<Datasource> {
        let mut new = old.clone();
        if let Some(description) = &patch.description {
            new.description = description.clone();
        }
        new.enabled = patch.enabled.unwrap_or(old.enabled);
        let Some(change) = &patch.config else {
            return Ok(new);
        };
        let driver = self.stored_driver(&old.driver).await?;
        let (_, CatalogueEntry { metadata, .. }) = driver.ok_or_else(|| no_driver(&old.driver))?;
        let secrets: Vec<&str> = views::secrets(&metadata).collect();
        let shown = old.config.hiding(secrets.iter().copied());
        let config = change.onto(&shown);
        check::config(&metadata, &config)?;
        // What was sealed is shown hidden, also if the driver calls it a secret no more.
        let is_secret = |name: &str| {
            secrets.contains(&name) || old.config.sealed().iter().any(|sealed| sealed == name)
        };
        let kept = |name: &&str| given_is_hidden(&config, name) && is_secret(name);
        let kept: Vec<&str> = config.keys().map(String::as_str).filter(kept).collect();
        if !kept.is_empty() {
            if let Some(field) = other_address(&config, &shown) {
                let text = format!(
                    "'{field}' says where secrets are sent; with another one give {} anew instead \
                     of {HIDDEN}",
                    kept.join(", ")
                );
                return Err(Failure::plain(Status::BadRequest, text));
            }
            if let Some(field) = kept.iter().find(|name| shown.get(**name).is_none()) {
                let text = format!("{field} has no value that could stay; give one");
                return Err(Failure::plain(Status::BadRequest, text));
            }
        }
        let mut given = config.clone();
        given.retain(|name, _| !kept.contains(&name.as_str()));
        new.config = self.seal(Some(given), &secrets)?;
        new.config.keep(&old.config, kept);
        Ok(new)
    }

    /// Puts back what was there before a change that a driver refused, unless somebody else has
    /// changed it since.
    async fn restore(&self, old: Datasource, refused: &Datasource) {
        let (id, name, enabled) = (old.id.clone(), old.name.clone(), old.enabled);
        if let Err(reason) = self.put_back(old, refused).await {
            tracing::error!(
                datasource = %name, reason = %reason.message,
                "cannot put back the configuration of before"
            );
        }
        self.inner.engine.announce_changes().await;
        if enabled {
            // What it says of it was so before, too.
            let _ = self.manager(&ManagerCall::Update { id }).await;
        }
        self.inner.engine.catch_up().await;
    }

    async fn put_back(&self, old: Datasource, refused: &Datasource) -> Answer<()> {
        let store = &self.inner.store;
        for _ in 0..ATTEMPTS {
            let revision = store.revision().await.map_err(failure)?;
            if self.row(&old.id).await?.as_ref() != Some(refused) {
                return Ok(());
            }
            match store.update_datasource(old.clone(), At::Revision(revision)).await {
                Err(congress_store::Error::Stale { .. }) => {}
                outcome => return outcome.map(drop).map_err(failure),
            }
        }
        Err(changed_by_others())
    }
}

fn given_is_hidden(config: &ConfigValues, name: &str) -> bool {
    config.get(name).and_then(Value::as_str) == Some(HIDDEN)
}

/// A field that may say where secrets are sent, and says something else than before: whoever may
/// change a datasource need not be one who may see its secrets.
fn other_address<'a>(config: &'a ConfigValues, shown: &Value) -> Option<&'a str> {
    const NAMES: [&str; 5] = ["url", "endpoint", "host", "server", "address"];
    let is_address = |name: &str, value: &Value| {
        let name = name.to_ascii_lowercase();
        NAMES.iter().any(|part| name.contains(part))
            || value.as_str().is_some_and(|text| text.contains("://"))
    };
    config
        .iter()
        .filter(|(name, value)| is_address(name, value))
        .find(|(name, value)| shown.get(name.as_str()) != Some(value))
        .map(|(name, _)| name.as_str())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_configuration_is_replaced_or_changed_in_part() {
        let fields = |config: Value| config.as_object().unwrap().clone();
        let shown = json!({"url": "http://a", "password": "<hidden>", "region": "r"});
        let change = fields(json!({"region": null, "poll_time": 5, "gone": null}));
        let merged = ConfigChange::Merge(change.clone()).onto(&shown);
        let expected = json!({"url": "http://a", "password": "<hidden>", "poll_time": 5});
        assert_eq!(Value::Object(merged), expected);
        assert_eq!(ConfigChange::Replace(change.clone()).onto(&shown), change);
        assert!(ConfigChange::Merge(fields(json!({"a": null}))).onto(&Value::Null).is_empty());
    }

    #[test]
    fn another_address_is_seen() {
        let shown = json!({"auth_url": "http://a", "poll_time": 10, "via": "x"});
        let other =
            |config: Value| other_address(config.as_object().unwrap(), &shown).map(str::to_owned);
        assert_eq!(other(json!({"auth_url": "http://a", "poll_time": 5, "via": "y"})), None);
        assert_eq!(other(json!({"auth_url": "http://b"})).as_deref(), Some("auth_url"));
        assert_eq!(other(json!({"via": "http://b"})).as_deref(), Some("via"));
        assert_eq!(other(json!({"Host": "b"})).as_deref(), Some("Host"));
    }
}
