//! Quality of service in networking: ports, policies with their rules, and which port is bound to
//! which policy, in Neutron.

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Translator, hdict, list, nested, value};
use serde_json::{Value as Json, json};

struct NeutronQos;

/// The field that takes bindings from where Neutron has them.
const BY_POLICY_ID: &str = "bindings_by_policy_id";

impl Driver for NeutronQos {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with QoS extension of OpenStack \
                           Networking aka Neutron.";
        let by_id = "Fills qos_policy_port_bindings from the ports' qos_policy_id, too.";
        let own = [field(BY_POLICY_ID, by_id).of(FieldType::Boolean).or("false")];
        openstack::openstack("neutronv2_qos", env!("CARGO_PKG_VERSION"), description, own)
            .with_tables(openstack::tables(&collections(false)))
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        config.boolean(BY_POLICY_ID)?;
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let service = Service::find(config, "network", EndpointInterface::Public)?;
        let by_id = config.boolean(BY_POLICY_ID)?.unwrap_or(false);
        service.without_version().poll(&collections(by_id), wanted)
    }
}

fn collections(by_id: bool) -> [Collection; 2] {
    [
        Collection::new("v2.0/ports", "ports", ports(by_id)).with_links(),
        Collection::new("v2.0/qos/policies", "policies", policies()).with_links(),
    ]
}

/// Bindings are read from a list that no released Neutron sends; the original knew no other. Those
/// of ports without that list can be read from where Neutron has them.
fn ports(by_id: bool) -> Translator {
    let bindings = list("qos_policy_port_bindings", "qos_policy_id")
        .parent_key("id")
        .parent_col("port_id")
        .parent_desc("UUID of port")
        .val_desc("UUID of qos policy");
    let bindings = if by_id {
        nested("qos_policies", bindings.extract_objects(policies_of)).at(Path::default())
    } else {
        nested("qos_policies", bindings)
    };
    hdict("ports").fields([value("id").desc("UUID of port"), bindings])
}

/// The policies of a port.
fn policies_of(port: &Json) -> Json {
    match (&port["qos_policies"], &port["qos_policy_id"]) {
        (Json::Null, Json::Null) => json!([]),
        (Json::Null, policy) => json!([policy]),
        (policies, _) => policies.clone(),
    }
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
    use congress_driver::translate::Collected;

    use super::*;

    #[test]
    fn translators_can_work() {
        for translator in [ports(false), ports(true), policies()] {
            translator.check().unwrap();
        }
        assert_eq!(ports(true).tables(), ports(false).tables());
    }

    #[test]
    fn bindings_come_from_the_policy_id_where_that_is_wanted() {
        let found = [
            json!({"id": "a", "qos_policies": ["p", "q"], "qos_policy_id": "r"}),
            json!({"id": "b", "qos_policy_id": "r"}),
            json!({"id": "c", "qos_policy_id": null}),
            json!({"id": "d"}),
        ];
        let bindings = |by_id| {
            let mut output = Collected::default();
            ports(by_id).translate(&found, &mut output).unwrap();
            assert_eq!(output.0["ports"].len(), found.len());
            output.0["qos_policy_port_bindings"].clone()
        };
        let row = |port: &str, policy: &str| vec![port.into(), policy.into()];
        assert_eq!(bindings(false), [row("a", "p"), row("a", "q")]);
        assert_eq!(bindings(true), [row("a", "p"), row("a", "q"), row("b", "r")]);
    }
}
