//! Cloud Foundry's API v2: organizations, spaces with their apps and the apps' service bindings,
//! service instances.

mod cloud;
mod login;

use congress_driver::describe::{field, poll_time};
use congress_driver::prelude::*;
use congress_driver::tables::TableSet;
use congress_driver::translate::{Translator, hdict, list, nested, value};
use serde_json::Value as Json;

use crate::cloud::Cloud;

struct CloudFoundry;

impl Driver for CloudFoundry {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with cloudfoundry";
        let login = field(
            "login_url",
            "The login server's address, where it is on another host than the API.",
        );
        metadata("cloudfoundryv2", env!("CARGO_PKG_VERSION"), description)
            .with_hosts(["{auth_url}", "{login_url}"])
            .with_config([
                field("username", "The user to log in as.").required(),
                field("password", "The user's password.").required().secret(),
                poll_time(),
                field("auth_url", "The API's address.").required(),
                login,
            ])
            .with_tables(
                [organizations(), spaces(), services()].iter().flat_map(Translator::tables),
            )
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let cloud = Cloud::open(config)?;
        wanted.each(["organizations", "spaces", "services"], |root| match root {
            "organizations" => read_organizations(&cloud),
            "spaces" => read_spaces(&cloud),
            _ => read_services(&cloud),
        })
    }
}

fn read_organizations(cloud: &Cloud) -> Result<()> {
    let organizations = organizations();
    let mut rows = TableSet::of(&organizations);
    organizations.translate(cloud.organizations(), &mut rows)?;
    rows.finish()
}

fn read_spaces(cloud: &Cloud) -> Result<()> {
    let spaces = spaces();
    let mut rows = TableSet::of(&spaces);
    for space in cloud.spaces()? {
        let mut space = space.clone();
        space["apps"] = Json::Array(cloud.apps(&space)?);
        spaces.translate([&space], &mut rows)?;
    }
    rows.finish()
}

fn read_services(cloud: &Cloud) -> Result<()> {
    let services = services();
    let mut rows = TableSet::of(&services);
    for space in cloud.spaces()? {
        services.translate(&cloud.services(space)?, &mut rows)?;
    }
    rows.finish()
}

fn organizations() -> Translator {
    hdict("organizations").fields(["guid", "name", "created_at", "updated_at"].map(value))
}

fn spaces() -> Translator {
    hdict("spaces")
        .fields(["guid", "name", "created_at", "updated_at"].map(value))
        .fields([nested("apps", apps())])
}

fn apps() -> Translator {
    let bindings =
        list("service_bindings", "service_instance_guid").parent_key("guid").parent_col("app_guid");
    let columns = [
        "guid",
        "buildpack",
        "command",
        "console",
        "debug",
        "detected_buildpack",
        "detected_start_command",
        "disk_quota",
        "docker_image",
        "environment_json",
        "health_check_timeout",
        "instances",
        "memory",
        "name",
        "package_state",
        "package_updated_at",
        "production",
        "staging_failed_reason",
        "staging_task_id",
        "state",
        "version",
        "created_at",
        "updated_at",
    ];
    hdict("apps")
        .parent_key("guid")
        .parent_col("space_guid")
        .in_list()
        .fields(columns.map(value))
        .fields([nested("service_bindings", bindings)])
}

/// The column `last_operation` has always been null.
fn services() -> Translator {
    hdict("services").fields([
        value("guid"),
        value("space_guid"),
        value("name"),
        value("bound_app_count"),
        value("last_operation").extract(|_| Json::Null),
        value("service_plan").col("service_plan_name").extract(|plan| plan["name"].clone()),
    ])
}

congress_driver::export_driver!(CloudFoundry);

#[cfg(test)]
mod tests {
    #[test]
    fn translators_can_work() {
        for translator in [super::organizations(), super::spaces(), super::services()] {
            translator.check().unwrap();
        }
    }
}
