//! Sealing the stored secrets of datasources anew.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use congress_store::{At, Driver, Error, KeyRing, Store};

use crate::datasources::Client;

/// How often the database may change in between before this gives up.
const ATTEMPTS: usize = 20;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resealed {
    /// Datasources whose secrets were sealed anew, by name.
    pub changed: Vec<String>,
    /// Datasources whose driver is not in the catalogue: which of their options are secret is not
    /// known, so only those were sealed anew that were sealed before.
    pub unknown: Vec<String>,
}

/// What the catalogue says of the secrets of drivers, by their ids.
pub(super) struct Secrets(BTreeMap<String, serde_json::Result<Vec<String>>>);

impl Secrets {
    pub(super) fn of(drivers: &[Driver]) -> Self {
        let secrets = drivers.iter().map(|driver| (driver.id.clone(), Client::secrets_of(driver)));
        Self(secrets.collect())
    }

    /// Whether the catalogue has this driver.
    pub(super) fn has(&self, driver: &str) -> bool {
        self.0.contains_key(driver)
    }

    /// The secret options of a driver; none if the catalogue has no such driver.
    fn get(&self, driver: &str) -> anyhow::Result<Option<&[String]>> {
        match self.0.get(driver) {
            None => Ok(None),
            Some(Ok(names)) => Ok(Some(names)),
            Some(Err(error)) => bail!("{}", unreadable(driver, error)),
        }
    }

    /// The secret options of a driver, as far as they are known.
    pub(super) fn known(&self, driver: &str) -> impl Iterator<Item = &str> {
        let names = self.0.get(driver).and_then(|names| names.as_ref().ok());
        names.into_iter().flatten().map(String::as_str)
    }

    /// A sentence for each driver whose entry cannot be read.
    pub(super) fn unreadable(&self) -> impl Iterator<Item = String> {
        let error = |(driver, names): (&String, &serde_json::Result<_>)| {
            Some(unreadable(driver, names.as_ref().err()?))
        };
        self.0.iter().filter_map(error)
    }
}

fn unreadable(driver: &str, error: &serde_json::Error) -> String {
    format!(
        "the catalogue's entry of driver '{driver}' cannot be read ({error}): a datasource node \
         that has its file enters it anew"
    )
}

/// Seals all stored secrets with the first key of the ring: those that another key sealed, and
/// those that were stored as clear text. All or none.
pub async fn reseal(store: &Store, keys: &KeyRing) -> anyhow::Result<Resealed> {
    for _ in 0..ATTEMPTS {
        let secrets = Secrets::of(&store.drivers().await?);
        let snapshot = store.snapshot().await?;
        let mut resealed = Resealed::default();
        let mut configs = Vec::new();
        for datasource in &snapshot.datasources {
            let place = || format!("datasource '{}'", datasource.name);
            let known = secrets.get(&datasource.driver).with_context(place)?;
            if known.is_none() {
                resealed.unknown.push(datasource.name.clone());
            }
            let names: Vec<_> = known.into_iter().flatten().map(String::as_str).collect();
            let config = keys.reseal(&datasource.config, &names);
            if let Some(config) = config.with_context(place)? {
                configs.push((datasource.id.clone(), config));
                resealed.changed.push(datasource.name.clone());
            }
        }
        if configs.is_empty() {
            return Ok(resealed);
        }
        match store.replace_datasource_configs(&configs, At::Revision(snapshot.revision)).await {
            Ok(_) => return Ok(resealed),
            Err(Error::Stale { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    bail!("the database changes all the time; try again when it is quieter")
}
