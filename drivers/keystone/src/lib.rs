//! Identity by the names of Keystone's API 2.0: users, roles and tenants. Where only version 3 is
//! left, the same tables come from that.

use congress_driver::actions::{self, Template};
use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::Paging;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Translator, hdict, value};

struct Keystone;

/// Actions that are the same at both versions, and those that are not.
const BOTH: &str = include_str!("actions.txt");
const V2: &str = include_str!("v2.txt");
const V3: &str = include_str!("v3.txt");

impl Driver for Keystone {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with keystone.";
        openstack::openstack("keystone", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&Version::V2.collections()))
            .with_actions(actions::describe(&Version::V2.actions()))
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let (service, version) = identity(config)?;
        service.poll(&version.collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        let (service, version) = identity(config)?;
        service.execute(&version.actions(), call)
    }
}

/// The version of the API that a service has.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Version {
    V2,
    V3,
}

/// The service, at the version that its address names; an address without one has the latest.
fn identity(config: &Config) -> Result<(Service, Version)> {
    let found = Service::find(config, "identity", EndpointInterface::Admin)?;
    Ok(versioned(found))
}

fn versioned(found: Service) -> (Service, Version) {
    if found.base().ends_with("/v2.0") {
        return (found, Version::V2);
    }
    let root = found.without_version();
    (Service::at(&format!("{}/v3", root.base())), Version::V3)
}

impl Version {
    fn actions(self) -> Vec<Template> {
        let own = match self {
            Self::V2 => V2,
            Self::V3 => V3,
        };
        let mut templates = actions::parse(BOTH);
        templates.extend(actions::parse(own));
        templates
    }

    fn collections(self) -> [Collection; 3] {
        match self {
            Self::V2 => [
                Collection::new("users", "users", self.users()),
                Collection::new("OS-KSADM/roles", "roles", roles()),
                Collection::new("tenants", "tenants", tenants()),
            ],
            Self::V3 => [
                Collection::new("users", "users", self.users()).paged(Paging::links_next()),
                Collection::new("roles", "roles", roles()).paged(Paging::links_next()),
                Collection::new("projects", "projects", tenants()).paged(Paging::links_next()),
            ],
        }
    }

    fn users(self) -> Translator {
        let (username, tenant) = match self {
            Self::V2 => ("username", "tenantId"),
            Self::V3 => ("name", "default_project_id"),
        };
        hdict("users").fields([
            value(username).col("username"),
            value("name"),
            value("enabled"),
            value(tenant).col("tenantId"),
            value("id"),
            value("email"),
        ])
    }
}

fn roles() -> Translator {
    hdict("roles").fields(["id", "name"].map(value))
}

fn tenants() -> Translator {
    hdict("tenants").fields(["enabled", "description", "name", "id"].map(value))
}

congress_driver::export_driver!(Keystone);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_name_the_version() {
        for (address, base, version) in [
            ("http://k:35357/v2.0/", "http://k:35357/v2.0", Version::V2),
            ("http://k/identity", "http://k/identity/v3", Version::V3),
            ("http://k/identity/v3", "http://k/identity/v3", Version::V3),
        ] {
            let (service, found) = versioned(Service::at(address));
            assert_eq!((service.base(), found), (base, version));
        }
    }

    #[test]
    fn both_versions_have_the_same_tables_and_actions() {
        for text in [BOTH, V2, V3] {
            actions::check(text).unwrap();
        }
        let names = |version: Version| {
            let arguments = |template: &Template| (template.name, template.arguments);
            version.actions().iter().map(arguments).collect::<Vec<_>>()
        };
        assert_eq!(names(Version::V2), names(Version::V3));
        let names = |version: Version| {
            let tables = openstack::tables(&version.collections());
            let columns = |table: Table| table.columns.into_iter().map(|column| column.name);
            tables.into_iter().map(|table| columns(table).collect()).collect::<Vec<Vec<_>>>()
        };
        assert_eq!(names(Version::V2), names(Version::V3));
        for version in [Version::V2, Version::V3] {
            version.collections().iter().for_each(|c| c.translator().check().unwrap());
        }
    }
}
