//! Bare metal: chassis, nodes with their properties, ports and drivers of Ironic.

mod actions;

use congress_driver::describe::field;
use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::Paging;
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Translator, hdict, list, nested, value};

struct Ironic;

/// The version of the API that the original's rows come from.
const DEFAULT_VERSION: &str = "1.9";

impl Driver for Ironic {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack bare metal aka ironic.";
        let version = field(
            "api_version",
            "The version of the API to ask for, as 1.9; some actions need a later one.",
        );
        let own = [version.or(DEFAULT_VERSION)];
        openstack::openstack("ironic", env!("CARGO_PKG_VERSION"), description, own)
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::all())
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        version_header(config)?;
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        baremetal(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&baremetal(config)?, call)
    }
}

/// The service at its root: catalogues name it with or without the version.
fn baremetal(config: &Config) -> Result<Service> {
    let header = version_header(config)?;
    let found = Service::find(config, "baremetal", EndpointInterface::Public)?;
    Ok(found.without_version().with_headers([header]))
}

/// The header that chooses the API's version.
fn version_header(config: &Config) -> Result<(String, String)> {
    let version = config.get("api_version").unwrap_or(DEFAULT_VERSION).trim();
    let minor = version.strip_prefix("1.").map(str::parse::<u16>);
    if version != "latest" && !matches!(minor, Some(Ok(_))) {
        return Err(Error::Config(format!(
            "field 'api_version' must be like {DEFAULT_VERSION}, not '{version}'"
        )));
    }
    Ok(("X-OpenStack-Ironic-API-Version".into(), version.into()))
}

fn collections() -> [Collection; 4] {
    [
        collection("v1/chassis/detail", "chassis", chassises()),
        collection("v1/nodes/detail", "nodes", nodes()),
        collection("v1/ports/detail", "ports", ports()),
        collection("v1/drivers", "drivers", drivers()),
    ]
}

fn collection(path: &'static str, list: &'static str, translator: Translator) -> Collection {
    Collection::new(path, list, translator).paged(Paging::Link(Path::member("next")))
}

fn chassises() -> Translator {
    hdict("chassises").fields([
        value("uuid").col("id"), //
        value("created_at"),
        value("updated_at"),
    ])
}

fn nodes() -> Translator {
    // The column that repeats the node's id has this name in the original.
    let properties = hdict("node_properties")
        .parent_key("id")
        .parent_col("properties")
        .fields(["memory_mb", "cpu_arch", "local_gb", "cpus"].map(value));
    hdict("nodes").fields([
        value("uuid").col("id").desc(""),
        value("chassis_uuid").col("owner_chassis").desc(""),
        value("power_state").desc(""),
        value("maintenance").desc(""),
        nested("properties", properties),
        value("driver"),
        value("instance_uuid").col("running_instance"),
        value("created_at"),
        value("provision_updated_at"),
        value("updated_at"),
    ])
}

fn ports() -> Translator {
    hdict("ports").fields([
        value("uuid").col("id"),
        value("node_uuid").col("owner_node"),
        value("address").col("mac_address"),
        value("vif_port_id").at(Path::members(["extra", "vif_port_id"])).absent(""),
        value("created_at"),
        value("updated_at"),
    ])
}

fn drivers() -> Translator {
    let hosts = list("active_hosts", "hosts").parent_key("name").parent_col("name");
    hdict("drivers").fields([value("name"), nested("hosts", hosts)])
}

congress_driver::export_driver!(Ironic);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_checked() {
        let header = |version: &str| {
            version_header(&Config::new(vec![("api_version".into(), version.into())]))
        };
        assert_eq!(header(" 1.46 ").unwrap().1, "1.46");
        assert_eq!(header("latest").unwrap().1, "latest");
        for wrong in ["", "1", "2.1", "1.x"] {
            assert!(matches!(header(wrong), Err(Error::Config(_))), "{wrong}");
        }
    }

    #[test]
    fn translators_can_work() {
        for translator in [chassises(), nodes(), ports(), drivers()] {
            translator.check().unwrap();
        }
    }
}
