//! Alarming: the alarms of Aodh.

mod actions;

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{hdict, value};

struct Aodh;

impl Driver for Aodh {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with aodh.";
        openstack::openstack("aodh", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        alarming(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&alarming(config)?, call)
    }
}

/// The service at its root: catalogues name it with or without the version.
fn alarming(config: &Config) -> Result<Service> {
    Ok(Service::find(config, "alarming", EndpointInterface::Public)?.without_version())
}

fn collections() -> [Collection; 1] {
    let alarms = hdict("alarms").fields(
        [
            "alarm_id",
            "name",
            "state",
            "enabled",
            "type",
            "description",
            "time_constraints",
            "user_id",
            "project_id",
            "alarm_actions",
            "ok_actions",
            "insufficient_data_actions",
            "repeat_actions",
            "timestamp",
            "state_timestamp",
        ]
        .map(value),
    );
    [Collection::new("v2/alarms", "", alarms).at(Path::default())]
}

congress_driver::export_driver!(Aodh);
