//! Sealing the stored secrets of datasources anew.

use std::collections::BTreeMap;

use anyhow::{Context as _, bail};
use congress_plugins::Metadata;
use congress_store::{At, Driver, Error, KeyRing, Store};

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

/// Which options of each driver in the catalogue are secret, by the driver's id.
pub fn secrets_of(drivers: &[Driver]) -> BTreeMap<String, Vec<String>> {
    let secrets = |driver: &Driver| {
        let metadata: Metadata = serde_json::from_value(driver.metadata.clone()).ok()?;
        let secret = metadata.config.into_iter().filter(|field| field.secret);
        Some((driver.id.clone(), secret.map(|field| field.name).collect()))
    };
    drivers.iter().filter_map(secrets).collect()
}

/// Seals all stored secrets with the first key of the ring: those that another key sealed, and
/// those that were stored as clear text. All or none.
pub async fn reseal(store: &Store, keys: &KeyRing) -> anyhow::Result<Resealed> {
    for _ in 0..ATTEMPTS {
        let secrets = secrets_of(&store.drivers().await?);
        let snapshot = store.snapshot().await?;
        let mut resealed = Resealed::default();
        let mut configs = Vec::new();
        for datasource in &snapshot.datasources {
            let known = secrets.get(&datasource.driver);
            if known.is_none() {
                resealed.unknown.push(datasource.name.clone());
            }
            let names: Vec<_> = known.into_iter().flatten().map(String::as_str).collect();
            let config = keys.reseal(&datasource.config, &names);
            let config = config.with_context(|| format!("datasource '{}'", datasource.name))?;
            if let Some(config) = config {
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
