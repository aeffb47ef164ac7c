//! Networking: networks, ports, subnets, routers, security groups and floating addresses of
//! Neutron.

mod actions;
mod tables;
mod yaml;

use congress_driver::openstack::{self, Service};
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;

struct Neutron;

impl Driver for Neutron {
    fn metadata() -> Metadata {
        let description =
            "Datasource driver that interfaces with OpenStack Networking aka Neutron.";
        openstack::openstack("neutronv2", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&tables::collections()))
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        network(config)?.poll(&tables::collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&network(config)?, call)
    }
}

/// The service, without its version: most catalogues leave it out.
fn network(config: &Config) -> Result<Service> {
    Ok(Service::find(config, "network", EndpointInterface::Public)?.without_version())
}

congress_driver::export_driver!(Neutron);
