//! Whether a deployment can be upgraded to this version as it is.

use std::path::Path;

use congress_store::{
    Datasource, KeyRing, Location, OpenError, SCHEMA_HISTORY, Store, current_schema,
};

use super::secrets::Secrets;
use crate::config::{Config, ConfigError, Loaded};
use crate::datasources::wrong_key;

/// What is secret whether the catalogue knows the driver or not.
const PASSWORD: &str = "password";

/// How a check ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum CheckResult {
    /// All is well.
    Success,
    /// Something should be looked at.
    Warning,
    /// The upgraded server would not start, or not work.
    Failure,
}

/// A check, and what it found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Check {
    /// Its name.
    pub name: &'static str,
    /// How it ended.
    pub result: CheckResult,
    /// What was found, and what to do; empty if all is well.
    pub details: String,
}

impl Check {
    fn new(name: &'static str, result: CheckResult, details: impl Into<String>) -> Self {
        Self { name, result, details: details.into() }
    }

    /// A warning for each of these, or success if there is none.
    fn warnings(name: &'static str, details: &[String]) -> Self {
        let result = if details.is_empty() { CheckResult::Success } else { CheckResult::Warning };
        Self::new(name, result, details.join("; "))
    }
}

/// Looks at the configuration and the database and changes nothing.
pub async fn check_upgrade(loaded: Result<Loaded, ConfigError>) -> Vec<Check> {
    let loaded = match loaded {
        Ok(loaded) => loaded,
        Err(error) => {
            let text = error.to_string().replace('\n', " ");
            return vec![Check::new("Configuration", CheckResult::Failure, text)];
        }
    };
    let warnings: Vec<_> = loaded.warnings.iter().map(ToString::to_string).collect();
    let mut checks = vec![Check::warnings("Configuration", &warnings)];
    let config = &loaded.config;
    let schema = schema(config).await;
    let has_tables = schema.result < CheckResult::Failure;
    checks.push(schema);
    if !has_tables || config.database == Location::SqliteMemory {
        return checks;
    }
    match Store::open_as_is(&config.database, &config.store).await {
        Ok(store) => {
            checks.extend(contents(config, &store).await);
            store.close().await;
        }
        Err(OpenError::NoSchema { .. }) => {}
        Err(error) => checks.push(Check::new("Database", CheckResult::Failure, error.to_string())),
    }
    checks
}

async fn schema(config: &Config) -> Check {
    const NAME: &str = "Database Schema";
    let name = |place: usize| SCHEMA_HISTORY.get(place).map_or("", |revision| revision.name);
    let head = SCHEMA_HISTORY.len() - 1;
    let on_server = !matches!(config.database, Location::SqliteMemory | Location::SqliteFile(_));
    let place = match current_schema(&config.database, &config.store).await {
        Ok(place) => place,
        Err(error) => return Check::new(NAME, CheckResult::Failure, error.to_string()),
    };
    match place {
        Some(place) if place == head => Check::new(NAME, CheckResult::Success, ""),
        Some(place) if SCHEMA_HISTORY.get(place + 1).is_some_and(|next| next.ours) => {
            let text = format!(
                "the database is at {}; the first node that starts brings it to {}, or \
                 congress-db-manage upgrade head does",
                name(place),
                name(head)
            );
            Check::new(NAME, CheckResult::Warning, text)
        }
        Some(place) => {
            let text = format!(
                "the database is at the original's {}: bring it to c0125080d572 with the \
                 original's congress-db-manage first",
                name(place)
            );
            Check::new(NAME, CheckResult::Failure, text)
        }
        None if on_server => {
            let text = "the database has no tables: congress-db-manage upgrade head";
            Check::new(NAME, CheckResult::Failure, text)
        }
        // A file is made when the server starts.
        None => Check::new(NAME, CheckResult::Success, ""),
    }
}

async fn contents(config: &Config, store: &Store) -> Vec<Check> {
    let datasources = match store.datasources().await {
        Ok(datasources) => datasources,
        Err(error) => {
            return vec![Check::new("Datasources", CheckResult::Failure, error.to_string())];
        }
    };
    // A database that the original left has no catalogue yet.
    let drivers = store.drivers().await.unwrap_or_default();
    let secrets = Secrets::of(&drivers);
    let mut missing: Vec<String> = secrets.unreadable().collect();
    let mut clear = Vec::new();
    for Datasource { name, driver, config: stored, .. } in &datasources {
        if config.datasources.disabled_drivers.contains(driver) {
            missing.push(format!("datasource '{name}' needs driver '{driver}', which is disabled"));
        } else if !secrets.has(driver) && !has_component(config, driver) {
            missing.push(format!(
                "datasource '{name}' needs driver '{driver}', which is neither in the catalogue \
                 nor a file {driver}.wasm in driver_path"
            ));
        }
        let others = secrets.known(driver).filter(|name| *name != PASSWORD);
        let names = stored.clear(others.chain([PASSWORD]));
        if !names.is_empty() {
            clear.push(format!("datasource '{name}' has {} as clear text", names.join(", ")));
        }
    }
    if !clear.is_empty() {
        clear.push("congress-db-manage keys reseal seals them".into());
    }
    let monasca: Vec<_> = datasources
        .iter()
        .filter(|datasource| datasource.driver == "monasca_webhook")
        .map(|datasource| {
            format!(
                "datasource '{}' uses monasca_webhook, whose tables are other ones since Rocky: \
                 look at the rules that read them",
                datasource.name
            )
        })
        .collect();
    vec![
        Check::warnings("Monasca Webhook Driver", &monasca),
        Check::warnings("Drivers", &missing),
        Check::warnings("Clear Secrets", &clear),
        keys(config, &datasources),
    ]
}

/// Whether a file of this driver is where drivers are looked for.
fn has_component(config: &Config, driver: &str) -> bool {
    let datasources = &config.datasources;
    let file = format!("{driver}.wasm");
    let there = |folder: &Path| folder.join(&file).is_file();
    datasources.custom_drivers.iter().any(|custom| custom.name == driver && custom.path.is_file())
        || datasources.driver_path.iter().any(|folder| there(folder))
}

fn keys(config: &Config, datasources: &[Datasource]) -> Check {
    const NAME: &str = "Encryption Keys";
    if datasources.iter().all(|datasource| datasource.config.sealed().is_empty()) {
        return Check::new(NAME, CheckResult::Success, "");
    }
    match KeyRing::open(&config.encryption_key_path, false) {
        Err(error) => Check::new(NAME, CheckResult::Failure, error.to_string()),
        Ok(ring) => match wrong_key(&ring, datasources) {
            Some(text) => Check::new(NAME, CheckResult::Failure, text),
            None => Check::new(NAME, CheckResult::Success, ""),
        },
    }
}
