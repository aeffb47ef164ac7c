//! DNS: zones, record sets, pools and services of Designate. `docs/drivers/designate.md` describes
//! all of it.

use congress_driver::actions::{self, Template, bare, with_body};
use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::Paging;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Field, Translator, hdict, list, nested, value, vdict};
use congress_driver::types::DataType::{Bool, Int, Str};

struct Designate;

impl Driver for Designate {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack DNS aka designate.";
        let all_projects = field("all_projects", "Reads what is of other projects, too.");
        let own = [all_projects.of(FieldType::Boolean).or("true")];
        openstack::openstack("designate", env!("CARGO_PKG_VERSION"), description, own)
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::describe(ACTIONS))
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        config.boolean("all_projects")?;
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        dns(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        dns(config)?.execute(ACTIONS, call)
    }
}

/// The service without a version: catalogues name it with one, or without.
fn dns(config: &Config) -> Result<Service> {
    let found = Service::find(config, "dns", EndpointInterface::Public)?;
    let all = config.boolean("all_projects")?.unwrap_or(true);
    let header = all.then(|| ("X-Auth-All-Projects".to_owned(), "true".to_owned()));
    Ok(found.without_version().with_headers(header))
}

const ACTIONS: &[Template] = &[
    bare("zones.delete", "zone", "DELETE v2/zones/{zone}", "Deletes a zone with all its records."),
    with_body(
        "zones.update",
        "zone ttl? email? description?",
        "PATCH v2/zones/{zone}",
        r#"{"ttl": "{ttl}", "email": "{email}", "description": "{description}"}"#,
        "Changes what is given of a zone.",
    ),
    with_body(
        "recordsets.create",
        "zone name type records ttl? description?",
        "POST v2/zones/{zone}/recordsets",
        r#"{"name": "{name}", "type": "{type}", "records": "{records}", "ttl": "{ttl}",
            "description": "{description}"}"#,
        "Adds a record set; records are a list.",
    ),
    with_body(
        "recordsets.update",
        "zone recordset records? ttl? description?",
        "PUT v2/zones/{zone}/recordsets/{recordset}",
        r#"{"records": "{records}", "ttl": "{ttl}", "description": "{description}"}"#,
        "Changes what is given of a record set.",
    ),
    bare(
        "recordsets.delete",
        "zone recordset",
        "DELETE v2/zones/{zone}/recordsets/{recordset}",
        "Deletes a record set.",
    ),
];

fn collections() -> [Collection; 5] {
    let dns = |path: &str, list: &str, translator: Translator| {
        Collection::new(format!("v2/{path}"), list, translator).paged(Paging::links_next())
    };
    [
        dns("zones", "zones", zones()),
        dns("recordsets", "recordsets", record_sets()),
        dns("pools", "pools", pools()),
        dns("tlds", "tlds", tlds()),
        dns("service_statuses", "service_statuses", services()),
    ]
}

fn text(member: &str, description: &str) -> Field {
    value(member).typed(Str).desc(description)
}

fn number(member: &str, description: &str) -> Field {
    value(member).typed(Int).desc(description)
}

fn values(table: &str, member: &str, column: &str) -> Field {
    nested(member, list(&format!("{table}.{member}"), column).parent_key("id").parent_col("id"))
}

fn attributes(table: &str) -> Field {
    let pairs = vdict(&format!("{table}.attributes"), "attribute", "value");
    nested("attributes", pairs.parent_key("id").parent_col("id"))
}

fn zones() -> Translator {
    hdict("zones").fields([
        text("id", "The zone's id"),
        text("name", "The zone's name, which ends with a dot"),
        text("project_id", "The project that it belongs to"),
        text("pool_id", "The pool that serves it"),
        text("type", "PRIMARY or SECONDARY"),
        text("email", "The address of whoever is responsible"),
        number("ttl", "Seconds for which its records hold"),
        number("serial", "Grows with each change"),
        text("status", "ACTIVE, PENDING or ERROR"),
        text("action", "What is being done: CREATE, UPDATE, DELETE or NONE"),
        value("shared").typed(Bool).desc("Whether other projects may use it"),
        text("description", "What it is for"),
        text("created_at", "When it was created"),
        values("zones", "masters", "master"),
        attributes("zones"),
    ])
}

fn record_sets() -> Translator {
    hdict("recordsets").fields([
        text("id", "The record set's id"),
        text("zone_id", "The zone that it is in"),
        text("zone_name", "The name of that zone"),
        text("project_id", "The project that it belongs to"),
        text("name", "Its name, which ends with a dot"),
        text("type", "A, AAAA, CNAME, MX and others"),
        number("ttl", "Seconds for which it holds; null: as its zone says"),
        text("status", "ACTIVE, PENDING or ERROR"),
        text("action", "What is being done: CREATE, UPDATE, DELETE or NONE"),
        text("description", "What it is for"),
        text("created_at", "When it was created"),
        values("recordsets", "records", "record"),
    ])
}

fn pools() -> Translator {
    let servers = hdict("pools.ns_records").in_list().parent_key("id").parent_col("id");
    hdict("pools").fields([
        text("id", "The pool's id"),
        text("name", "The pool's name"),
        text("project_id", "The project that it belongs to"),
        text("description", "What it is for"),
        nested(
            "ns_records",
            servers.fields([
                text("hostname", "The name of a server, which ends with a dot"),
                number("priority", "Its place among the servers"),
            ]),
        ),
        attributes("pools"),
    ])
}

fn tlds() -> Translator {
    hdict("tlds").fields([
        text("id", "The id"),
        text("name", "A domain below which zones may be made"),
        text("description", "What it is for"),
    ])
}

fn services() -> Translator {
    hdict("service_statuses").fields([
        text("id", "The id"),
        text("service_name", "Which part of the service it is, as api or worker"),
        text("hostname", "Where it runs"),
        text("status", "UP, DOWN or WARNING"),
    ])
}

congress_driver::export_driver!(Designate);
