//! Placement: resource providers with their inventories, usages, traits, aggregates and
//! allocations. `docs/drivers/placement.md` describes all of it.

mod objects;

use std::cell::OnceCell;

use congress_driver::actions::{self, Template, bare};
use congress_driver::openstack::{self, Service};
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::tables::TableSet;
use congress_driver::url;
use objects::PARTS;
use serde_json::Value as Json;

struct Placement;

/// The first version in which a provider names its parent and its root, and in which allocations
/// name project and user.
const DEFAULT_VERSION: &str = "1.28";

impl Driver for Placement {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack Placement.";
        let version = field("api_version", "The version of the API to ask for, as 1.28.");
        let own = [version.or(DEFAULT_VERSION)];
        openstack::openstack("placement", env!("CARGO_PKG_VERSION"), description, own)
            .with_tables(objects::tables())
            .with_actions(actions::describe(ACTIONS))
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        version(config)?;
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let service = service(config)?;
        // All tables need the providers, which are read once, and again if that failed.
        let read = OnceCell::new();
        let roots = PARTS.iter().map(|part| part.table);
        wanted.each([objects::PROVIDERS].into_iter().chain(roots), |root| {
            if read.get().is_none() {
                // Nobody else sets it.
                let _ = read.set(providers(&service)?);
            }
            let providers: &[Json] = read.get().map_or(&[], Vec::as_slice);
            match PARTS.iter().find(|part| part.table == root) {
                Some(part) => read_part(&service, part, providers),
                None => {
                    let translator = objects::providers();
                    let mut rows = TableSet::of(&translator);
                    translator.translate(providers, &mut rows)?;
                    rows.finish()
                }
            }
        })
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        service(config)?.execute(ACTIONS, call)
    }
}

const ACTIONS: &[Template] = &[
    bare(
        "allocations.delete",
        "consumer",
        "DELETE allocations/{consumer}",
        "Frees all that a consumer has, for instance a server that is no more.",
    ),
    bare(
        "resource_providers.delete",
        "provider",
        "DELETE resource_providers/{provider}",
        "Deletes a provider; refused while anything is allocated on it.",
    ),
    bare("traits.create", "trait", "PUT traits/{trait}", "Makes a trait of one's own (CUSTOM_…)."),
    bare("traits.delete", "trait", "DELETE traits/{trait}", "Deletes a trait of one's own."),
];

fn service(config: &Config) -> Result<Service> {
    let version = format!("placement {}", version(config)?);
    let headers = [("OpenStack-API-Version".to_owned(), version)];
    Ok(Service::find(config, "placement", EndpointInterface::Public)?.with_headers(headers))
}

fn version(config: &Config) -> Result<&str> {
    let version = config.get("api_version").unwrap_or(DEFAULT_VERSION).trim();
    let minor = version.strip_prefix("1.").and_then(|minor| minor.parse::<u16>().ok());
    if minor.is_some() || version == "latest" {
        return Ok(version);
    }
    Err(Error::Config(format!(
        "field 'api_version' must be like {DEFAULT_VERSION}, or latest, not '{version}'"
    )))
}

/// All resource providers: this API has no pages.
fn providers(service: &Service) -> Result<Vec<Json>> {
    let (_, mut body) = service.get("resource_providers").send_json()?;
    match body.get_mut("resource_providers").map(Json::take) {
        Some(Json::Array(providers)) => Ok(providers),
        _ => Err(Error::Protocol("GET resource_providers: the answer has no such list".into())),
    }
}

/// Reads what all providers have of one kind.
fn read_part(service: &Service, part: &objects::Part, providers: &[Json]) -> Result<()> {
    let translator = (part.translator)();
    let mut rows = TableSet::of(&translator);
    for provider in providers {
        let Some(uuid) = provider["uuid"].as_str() else { continue };
        let path = format!("resource_providers/{}/{}", url::encode(uuid), part.path);
        let request = service.get(&path);
        let response = congress_driver::session::send(&request)?;
        if response.status == 404 {
            continue; // deleted since the list was read
        }
        let body = response.success(&request)?.json(&request)?;
        translator.translate(&part.objects(uuid, &body)?, &mut rows)?;
    }
    rows.finish()
}

congress_driver::export_driver!(Placement);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_checked() {
        let version = |text: &str| {
            let config = Config::new(vec![("api_version".into(), text.into())]);
            version(&config).map(str::to_owned)
        };
        assert_eq!(version("1.36").unwrap(), "1.36");
        assert_eq!(version("latest").unwrap(), "latest");
        assert!(version("2.0").is_err() && version("1.x").is_err());
    }
}
