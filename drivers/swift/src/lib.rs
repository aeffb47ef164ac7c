//! Object storage: the containers of the configured project's account in Swift, and the objects in
//! them.

mod actions;

use congress_driver::openstack::Service;
use congress_driver::paging::{Pages, Paging};
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::tables::TableSet;
use congress_driver::translate::{Translator, hdict, value};
use congress_driver::{openstack, url};
use serde_json::Value as Json;

struct Swift;

impl Driver for Swift {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with swift.";
        openstack::openstack("swift", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(containers().tables())
            .with_tables(objects().tables())
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let service = store(config)?;
        wanted.each(["containers", "objects"], |root| match root {
            "containers" => read_containers(&service),
            _ => read_objects(&service),
        })
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&store(config)?, call)
    }
}

/// The account: the catalogue's address ends with it.
fn store(config: &Config) -> Result<Service> {
    Service::find(config, "object-store", EndpointInterface::Public)
}

fn containers() -> Translator {
    hdict("containers").fields(["count", "bytes", "name"].map(value))
}

fn objects() -> Translator {
    let members = ["bytes", "last_modified", "hash", "name", "content_type", "container_name"];
    hdict("objects").fields(members.map(value))
}

fn read_containers(service: &Service) -> Result<()> {
    let translator = containers();
    let mut rows = TableSet::of(&translator);
    for page in pages(service, "") {
        translator.translate(page?.list()?, &mut rows)?;
    }
    rows.finish()
}

fn read_objects(service: &Service) -> Result<()> {
    let translator = objects();
    let mut rows = TableSet::of(&translator);
    for page in pages(service, "") {
        for container in page?.list()? {
            let Some(name) = container["name"].as_str() else { continue };
            for page in pages(service, &url::encode(name)).may_be_gone() {
                let page = page?;
                let objects: Vec<Json> =
                    page.list()?.iter().map(|object| within(object, name)).collect();
                translator.translate(&objects, &mut rows)?;
            }
        }
    }
    rows.finish()
}

/// An object that knows its container.
fn within(object: &Json, container: &str) -> Json {
    let mut object = object.clone();
    if let Some(members) = object.as_object_mut() {
        members.insert("container_name".into(), container.into());
    }
    object
}

/// The pages of what the account or a container lists: they end with an empty one.
fn pages(service: &Service, container: &str) -> Pages {
    let by_name = Paging::Marker { member: Path::member("name"), parameter: "marker".into() };
    Pages::new(service.get(&format!("{container}?format=json")), by_name, Path::default())
}

congress_driver::export_driver!(Swift);
