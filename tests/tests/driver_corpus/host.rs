//! The real host of drivers, with a local service granted.

use std::path::Path;

use congress_plugins::{ConfigValues, Datasource, Host, HostConfig, State};
use serde_json::Value;

use super::service::Service;

/// A datasource of a component, configured for a local service.
pub(crate) async fn source(
    component: &Path,
    service: &Service,
    config: ConfigValues,
) -> Result<Datasource, String> {
    let config = service.fill(&Value::Object(config));
    let Value::Object(mut config) = config else { unreachable!("an object stays one") };
    let host = Host::new(HostConfig {
        allowed_hosts: vec!["127.0.0.1".parse().expect("an address")],
        ..HostConfig::default()
    })
    .map_err(|error| error.to_string())?;
    let driver = host.load(component).await.map_err(|error| error.to_string())?;
    // What a service that is pushed or spoken to otherwise needs no value for.
    let required = driver.metadata().config.iter().filter(|field| field.required);
    for field in required {
        config.entry(&field.name).or_insert_with(|| format!("any {}", field.name).into());
    }
    driver.datasource("replay", &config, State::default()).await.map_err(|error| error.to_string())
}
