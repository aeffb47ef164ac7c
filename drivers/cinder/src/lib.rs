//! Block storage: volumes with their attachments, snapshots and services of Cinder.

mod actions;

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Translator, hdict, nested, value};

struct Cinder;

/// Where catalogues have the service: version 2 of the API is gone from it since Xena, version 3
/// has the same paths and members.
const TYPES: [&str; 3] = ["volumev2", "volumev3", "block-storage"];

impl Driver for Cinder {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack cinder.";
        openstack::openstack("cinder", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        volume(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&volume(config)?, call)
    }
}

fn volume(config: &Config) -> Result<Service> {
    Service::find_first(config, &TYPES, EndpointInterface::Public)
}

fn collections() -> [Collection; 3] {
    [
        Collection::new("volumes/detail?all_tenants=1", "volumes", volumes()).with_links(),
        Collection::new("snapshots/detail?all_tenants=1", "snapshots", snapshots()).with_links(),
        Collection::new("os-services", "services", services()),
    ]
}

fn volumes() -> Translator {
    let attachments = hdict("attachments")
        .parent_key("id")
        .parent_col("volume_id")
        .parent_desc("UUID of volume")
        .in_list()
        .fields(["server_id", "attachment_id", "host_name", "device"].map(value));
    let columns = [
        "id",
        "size",
        "user_id",
        "status",
        "description",
        "name",
        "bootable",
        "created_at",
        "volume_type",
        "encrypted",
        "availability_zone",
        "replication_status",
        "multiattach",
        "snapshot_id",
        "source_volid",
        "consistencygroup_id",
        "migration_status",
    ];
    hdict("volumes").fields(columns.map(value)).fields([nested("attachments", attachments)])
}

fn snapshots() -> Translator {
    hdict("snapshots")
        .fields(["id", "size", "status", "volume_id", "name", "created_at"].map(value))
}

fn services() -> Translator {
    let columns =
        ["status", "binary", "zone", "state", "updated_at", "host", "disabled_reason"].map(value);
    hdict("services").fields(columns)
}

congress_driver::export_driver!(Cinder);

#[cfg(test)]
mod tests {
    #[test]
    fn translators_can_work() {
        for translator in [super::volumes(), super::snapshots(), super::services()] {
            translator.check().unwrap();
        }
    }
}
