//! Network functions: their descriptors, the functions themselves, and the management addresses of
//! their units in Tacker.

use congress_driver::actions;
use congress_driver::describe::field;
use congress_driver::openstack::{self, Collection, Service};
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Field, Translator, hdict, nested, value, vdict};
use serde_json::Value as Json;

const ACTIONS: &str = include_str!("actions.txt");

struct Tacker;

impl Driver for Tacker {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack tacker.";
        let own = [field("api_version", "Not used; the original had it.")];
        openstack::openstack("tacker", env!("CARGO_PKG_VERSION"), description, own)
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::sorted(actions::describe(&actions::parse(ACTIONS))))
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        orchestration(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        orchestration(config)?.execute(&actions::parse(ACTIONS), call)
    }
}

/// The service, without a version: it has several APIs, each with its own.
fn orchestration(config: &Config) -> Result<Service> {
    Ok(Service::find(config, "nfv-orchestration", EndpointInterface::Public)?.without_version())
}

fn collections() -> [Collection; 2] {
    [
        Collection::new("v1.0/vnfds.json", "vnfds", descriptors()).with_links(),
        Collection::new("v1.0/vnfs.json", "vnfs", functions()).with_links(),
    ]
}

fn descriptors() -> Translator {
    hdict("vnfds").fields(values([
        "id",
        "name",
        "description",
        "template_source",
        "tenant_id",
        "created_at",
        "updated_at",
    ]))
}

fn functions() -> Translator {
    let units = vdict("vnfs.instances", "key", "value")
        .parent_key("id")
        .parent_col("vnf_id")
        .extract_objects(members_in_text);
    hdict("vnfs")
        .fields(values([
            "id",
            "name",
            "status",
            "description",
            "vnfd_id",
            "vim_id",
            "tenant_id",
            "instance_id",
            "created_at",
            "updated_at",
            "error_reason",
        ]))
        .fields([nested("mgmt_url", units)])
}

fn values<const N: usize>(members: [&str; N]) -> [Field; N] {
    members.map(value)
}

/// Addresses come as the text of a JSON object. One function whose text is none has no addresses,
/// and the others have theirs.
fn members_in_text(addresses: &Json) -> Json {
    let parsed = addresses.as_str().and_then(|text| serde_json::from_str(text).ok());
    Some(parsed.unwrap_or_else(|| addresses.clone())).filter(Json::is_object).unwrap_or_default()
}

congress_driver::export_driver!(Tacker);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn translators_can_work() {
        for translator in [descriptors(), functions()] {
            translator.check().unwrap();
        }
    }

    #[test]
    fn addresses_are_json_in_a_text() {
        for (given, members) in [
            (json!(r#"{"VDU1": "10.0.0.1"}"#), json!({"VDU1": "10.0.0.1"})),
            (json!({"VDU1": ["10.0.0.1"]}), json!({"VDU1": ["10.0.0.1"]})),
            (json!("10.0.0.1"), json!(null)),
            (json!("[1]"), json!(null)),
        ] {
            assert_eq!(members_in_text(&given), members);
        }
    }

    #[test]
    fn templates_can_work() {
        actions::check(ACTIONS).unwrap();
    }
}
