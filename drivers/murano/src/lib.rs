//! The application catalogue: packages, environments, and the services and networks in these, as
//! objects with properties and relationships, of Murano.

mod actions;
mod model;

use congress_driver::openstack::{self, Service};
use congress_driver::paging::{Pages, Paging};
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::url;

use crate::model::Model;

struct Murano;

/// All tables come of one reading.
const ROOT: &str = "objects";

impl Driver for Murano {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with murano";
        let mut metadata =
            openstack::openstack("murano", env!("CARGO_PKG_VERSION"), description, [])
                .with_tables(tables())
                .with_actions(actions::all());
        // With one root table, there is nothing to be lazy with.
        metadata.config.retain(|field| field.name != "lazy_tables");
        metadata
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let service = catalogue(config)?;
        wanted.each([ROOT], |_| read(&service)?.send())
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&catalogue(config)?, call)
    }
}

fn catalogue(config: &Config) -> Result<Service> {
    Ok(Service::find(config, "application-catalog", EndpointInterface::Public)?.without_version())
}

fn tables() -> [Table; 6] {
    [
        table(ROOT, columns(["object_id", "owner_id", "type"])),
        child("parent_types", columns(["id", "parent_type"])),
        child("properties", columns(["owner_id", "name", "value"])),
        child("relationships", columns(["source_id", "target_id", "name"])),
        child("connected", columns(["source_id", "target_id"])),
        child("states", columns(["id", "state"])),
    ]
}

fn child<const N: usize>(name: &str, columns: [Column; N]) -> Table {
    table(name, columns).fetched_with(ROOT)
}

/// The original shows the text "None" where these have no description.
fn columns<const N: usize>(names: [&str; N]) -> [Column; N] {
    names.map(|name| column(name, ColumnType::Any).describe("None"))
}

fn read(service: &Service) -> Result<Model> {
    let mut model = Model::default();
    let next = Paging::Cursor { token: Path::member("next_marker"), parameter: "marker".into() };
    let packages = service.get("v1/catalog/packages?include_disabled=False&limit=20");
    for page in Pages::new(packages, next, Path::member("packages")) {
        page?.list()?.iter().for_each(|package| model.package(package));
    }
    let environments = list(service, "v1/environments?all_tenants=False", "environments");
    for page in environments {
        for environment in page?.list()? {
            model.environment(environment);
            let Some(id) = environment["id"].as_str() else { continue };
            let address = format!("v1/environments/{}", url::encode(id));
            let first = service.get(&format!("{address}/services"));
            let services = Pages::new(first, Paging::None, Path::default());
            for page in services.may_be_gone() {
                page?.list()?.iter().for_each(|service| model.service(id, service));
            }
            let deployments = list(service, &format!("{address}/deployments"), "deployments");
            for page in deployments.may_be_gone() {
                page?.list()?.iter().for_each(|deployment| model.deployment(id, deployment));
            }
        }
    }
    Ok(model)
}

fn list(service: &Service, path: &str, member: &str) -> Pages {
    Pages::new(service.get(path), Paging::None, Path::member(member))
}

congress_driver::export_driver!(Murano);
