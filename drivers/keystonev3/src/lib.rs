//! Identity: users, roles, projects and domains of Keystone's API v3.

mod actions;

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::Paging;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Field, hdict, value};
use congress_driver::url;

struct Keystone;

impl Driver for Keystone {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with keystone.";
        openstack::openstack("keystonev3", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        identity(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&identity(config)?, call)
    }
}

/// The service at its version 3: catalogues name it with that version, without one, or with the
/// one that is gone.
fn identity(config: &Config) -> Result<Service> {
    let found = Service::find(config, "identity", EndpointInterface::Admin)?.without_version();
    Ok(Service::at(&url::join(found.base(), "v3")))
}

fn collections() -> [Collection; 4] {
    [
        collection(
            "users",
            [
                value("id").desc("The ID for the user."),
                value("name").desc("username, unique within domain"),
                value("enabled").desc("user is enabled or not"),
                value("default_project_id").desc("ID of the default project for the user"),
                value("domain_id").desc("The ID of the domain for the user."),
            ],
        ),
        collection(
            "roles",
            [
                value("id").desc("role ID"), //
                value("name").desc("role name"),
            ],
        ),
        collection(
            "projects",
            [
                value("enabled").desc("project is enabled or not"),
                value("description").desc("project description"),
                value("name").desc("project name"),
                value("domain_id").desc("The ID of the domain for the project"),
                value("id").desc("ID for the project"),
            ],
        ),
        collection(
            "domains",
            [
                value("enabled").desc("domain is enabled or disabled"),
                value("description").desc("domain description"),
                value("name").desc("domain name"),
                value("id").desc("domain ID"),
            ],
        ),
    ]
}

/// Path, list and table have the same name in this API.
fn collection<const N: usize>(name: &'static str, fields: [Field; N]) -> Collection {
    Collection::new(name, name, hdict(name).fields(fields)).paged(Paging::links_next())
}

congress_driver::export_driver!(Keystone);
