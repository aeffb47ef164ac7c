//! Workflows: workflows, actions and their executions in Mistral.

mod actions;

use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::Paging;
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{hdict, value};

struct Mistral;

impl Driver for Mistral {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with Mistral.";
        openstack::openstack("mistral", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        workflow(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        let service = workflow(config)?;
        service.send(actions::request(call, service.base())?)
    }
}

fn workflow(config: &Config) -> Result<Service> {
    Service::find(config, "workflowv2", EndpointInterface::Public)
}

/// What the service holds as JSON text (inputs, parameters) stays that text.
fn collections() -> [Collection; 4] {
    [
        collection(
            "workflows",
            "workflows",
            &[
                "name",
                "id",
                "scope",
                "input",
                "namespace",
                "project_id",
                "created_at",
                "updated_at",
                "definition",
                "description",
            ],
        ),
        collection(
            "actions",
            "actions",
            &[
                "id",
                "name",
                "input",
                "created_at",
                "updated_at",
                "is_system",
                "definition",
                "description",
                "scope",
            ],
        ),
        collection(
            "executions",
            "workflow_executions",
            &[
                "id",
                "workflow_name",
                "input",
                "created_at",
                "updated_at",
                "state",
                "state_info",
                "description",
                "workflow_id",
                "workflow_namespace",
                "params",
            ],
        ),
        collection(
            "action_executions",
            "action_executions",
            &[
                "id",
                "name",
                "state_info",
                "workflow_name",
                "task_execution_id",
                "task_name",
                "description",
                "input",
                "created_at",
                "updated_at",
                "accepted",
                "state",
                "workflow_namespace",
            ],
        ),
    ]
}

/// A list whose members are the columns; path and list have the same name in this API.
fn collection(list: &'static str, table: &str, columns: &[&str]) -> Collection {
    let translator = hdict(table).fields(columns.iter().map(|column| value(column)));
    Collection::new(list, list, translator).paged(Paging::Link(Path::member("next")))
}

congress_driver::export_driver!(Mistral);
