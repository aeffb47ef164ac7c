//! Orchestration: stacks with their resources and events, and software deployments of Heat.

mod actions;
mod stacks;

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Field, Translator, hdict, nested, value};

use crate::stacks::Stacks;

struct Heat;

impl Driver for Heat {
    fn metadata() -> Metadata {
        let description =
            "Datasource driver that interfaces with OpenStack orchestration aka heat.";
        let tables = openstack::tables(&collections())
            .into_iter()
            .chain(resources().tables())
            .chain(events().tables());
        openstack::openstack("heat", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(tables)
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let service = orchestration(config)?;
        let collections = collections();
        let stacks = Stacks::of(&service);
        wanted.each(["stacks", "deployments", "resources", "events"], |root| match root {
            "resources" => stacks.read("resources", &resources()),
            "events" => stacks.read("events", &events()),
            // One of those that the service has a list of.
            root => service.poll(&collections, &Wanted::new(vec![root.to_owned()])),
        })
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&orchestration(config)?, call)
    }
}

fn orchestration(config: &Config) -> Result<Service> {
    Service::find(config, "orchestration", EndpointInterface::Public)
}

fn collections() -> [Collection; 2] {
    [
        Collection::new("stacks", "stacks", stacks()),
        Collection::new("software_deployments", "software_deployments", deployments()),
    ]
}

fn stacks() -> Translator {
    let columns = [
        "id",
        "stack_name",
        "description",
        "creation_time",
        "updated_time",
        "stack_status",
        "stack_status_reason",
        "stack_owner",
        "parent",
    ];
    hdict("stacks").fields(columns.map(value)).fields([links("stacks_links", "id")])
}

fn deployments() -> Translator {
    let outputs = hdict("deployment_output_values")
        .parent_key("id")
        .fields(["deploy_stdout", "deploy_stderr", "deploy_status_code", "result"].map(value));
    let columns = ["status", "server_id", "config_id", "action", "status_reason", "id"];
    hdict("deployments").fields(columns.map(value)).fields([nested("output_values", outputs)])
}

fn resources() -> Translator {
    let columns = [
        "physical_resource_id",
        "logical_resource_id",
        "stack_id",
        "resource_name",
        "resource_type",
        "creation_time",
        "updated_time",
        "resource_status",
        "resource_status_reason",
    ];
    let links = links("resources_links", "physical_resource_id");
    hdict("resources").fields(columns.map(value)).fields([links])
}

fn events() -> Translator {
    let columns = [
        "id",
        "physical_resource_id",
        "logical_resource_id",
        "stack_id",
        "resource_name",
        "event_time",
        "resource_status",
        "resource_status_reason",
    ];
    hdict("events").fields(columns.map(value)).fields([links("events_links", "id")])
}

/// The links of an object, tied to it by one of its columns.
fn links(table: &str, key: &str) -> Field {
    nested("links", hdict(table).parent_key(key).in_list().fields(["href", "rel"].map(value)))
}

congress_driver::export_driver!(Heat);

#[cfg(test)]
mod tests {
    #[test]
    fn translators_can_work() {
        use super::{deployments, events, resources, stacks};
        for translator in [stacks(), deployments(), resources(), events()] {
            translator.check().unwrap();
        }
    }
}
