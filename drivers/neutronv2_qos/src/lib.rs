//! Quality of service in networking: ports, policies with their rules, and which port is bound to
//! which policy, in Neutron.

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Translator, hdict, list, nested, value};

struct NeutronQos;

impl Driver for NeutronQos {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with QoS extension of OpenStack \
                           Networking aka Neutron.";
        openstack::openstack("neutronv2_qos", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()))
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let service = Service::find(config, "network", EndpointInterface::Public)?;
        service.without_version().poll(&collections(), wanted)
    }
}

fn collections() -> [Collection; 2] {
    [
        Collection::new("v2.0/ports", "ports", ports()).with_links(),
        Collection::new("v2.0/qos/policies", "policies", policies()).with_links(),
    ]
}

/// Bindings are read from a list that no released Neutron sends; the original knew no other.
fn ports() -> Translator {
    let bindings = list("qos_policy_port_bindings", "qos_policy_id")
        .parent_key("id")
        .parent_col("port_id")
        .parent_desc("UUID of port")
        .val_desc("UUID of qos policy");
    hdict("ports").fields([value("id").desc("UUID of port"), nested("qos_policies", bindings)])
}

fn policies() -> Translator {
    let rules = hdict("rules")
        .parent_key("id")
        .parent_col("qos_policy_id")
        .parent_desc("uuid of qos policy")
        .in_list()
        .fields([
            value("id").desc("The UUID for the QoS minimumbandwidth rule translator"),
            value("min_kbps").desc("min_kbps bandwidth limit rule"),
            value("direction").desc("minimum bandwidth rule direction"),
            value("type").desc("type of qos rule"),
            value("dscp_mark").desc("mark of the dscp rule"),
            value("max_burst_kbps").desc("max_burst_kps limit"),
            value("max_kbps").desc("max_kps bandwidth limit"),
        ]);
    hdict("policies").fields([
        value("id").desc("The UUID for the qos policy"),
        value("tenant_id").desc("Tenant ID"),
        value("name").desc("The qos policy name"),
        value("description").desc("qos policy description"),
        value("shared").desc("The qos policy share"),
        nested("rules", rules),
    ])
}

congress_driver::export_driver!(NeutronQos);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translators_can_work() {
        for translator in [ports(), policies()] {
            translator.check().unwrap();
        }
    }
}
