//! Key manager: what Barbican says about secrets, containers and orders, never what is in them.
//! `docs/drivers/barbican.md` describes all of it.

use congress_driver::actions::{self, Template, bare, with_body};
use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::Paging;
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Field, Translator, hdict, nested, value};
use congress_driver::types::DataType::{Int, Str};
use serde_json::Value as Json;

struct Barbican;

impl Driver for Barbican {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack Key Manager. \
                           Reads metadata only, never the secrets themselves.";
        openstack::openstack("barbican", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::describe(ACTIONS))
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        key_manager(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        key_manager(config)?.execute(ACTIONS, call)
    }
}

/// The service without a version: catalogues name it with one, or without.
fn key_manager(config: &Config) -> Result<Service> {
    Ok(Service::find(config, "key-manager", EndpointInterface::Public)?.without_version())
}

const ACTIONS: &[Template] = &[
    bare("secrets.delete", "secret", "DELETE v1/secrets/{secret}", "Deletes a secret for good."),
    with_body(
        "secrets.restrict",
        "secret users?",
        "PUT v1/secrets/{secret}/acl",
        r#"{"read": {"project-access": false, "users": "{users}"}}"#,
        "Lets only its creator read a secret, and these users (a list) if they are given.",
    ),
    with_body(
        "secrets.share",
        "secret",
        "PUT v1/secrets/{secret}/acl",
        r#"{"read": {"project-access": true}}"#,
        "Lets all of its project read a secret.",
    ),
    bare(
        "containers.delete",
        "container",
        "DELETE v1/containers/{container}",
        "Deletes a container, not the secrets in it.",
    ),
    bare("orders.delete", "order", "DELETE v1/orders/{order}", "Deletes an order."),
];

fn collections() -> [Collection; 3] {
    // No sort order is given: old versions refuse it. 100 is the most that is allowed.
    let kept = |list: &str, translator: Translator| {
        let next = Paging::Link(Path::member("next"));
        Collection::new(format!("v1/{list}?limit=100&offset=0"), list, translator).paged(next)
    };
    [
        kept("secrets", secrets()), //
        kept("containers", containers()),
        kept("orders", orders()),
    ]
}

fn text(member: &str, description: &str) -> Field {
    value(member).typed(Str).desc(description)
}

/// The id at the end of the address that this API has in its place.
fn id(column: &str, member: &str, description: &str) -> Field {
    text(member, description).col(column).extract(|reference| {
        let last =
            reference.as_str().and_then(|text| text.trim_end_matches('/').rsplit('/').next());
        last.map_or(Json::Null, Json::from)
    })
}

fn consumers(table: &str) -> Field {
    let consumers = hdict(&format!("{table}.consumers")).in_list().parent_key("id");
    nested(
        "consumers",
        consumers.parent_col("id").fields([
            text("service", "The service that uses it"),
            text("resource_type", "The kind of thing that uses it"),
            text("resource_id", "The id of what uses it"),
            text("name", "The name of what uses it"),
            text("URL", "The address of what uses it").col("url"),
        ]),
    )
}

fn secrets() -> Translator {
    hdict("secrets").fields([
        id("id", "secret_ref", "The secret's id"),
        text("name", "The secret's name"),
        text("secret_type", "symmetric, private, passphrase, certificate, opaque and others"),
        text("algorithm", "What it is for, as aes"),
        value("bit_length").typed(Int).desc("How many bits it has"),
        text("mode", "How it is used, as cbc"),
        text("content_type", "The type of its content")
            .at(Path::members(["content_types", "default"])),
        text("status", "ACTIVE or ERROR"),
        text("creator_id", "The user who made it"),
        text("expiration", "When it ends; null for never"),
        text("created", "When it was created"),
        text("updated", "When it was last changed"),
        consumers("secrets"),
    ])
}

fn containers() -> Translator {
    let secrets = hdict("containers.secrets").in_list().parent_key("id").parent_col("id");
    hdict("containers").fields([
        id("id", "container_ref", "The container's id"),
        text("name", "The container's name"),
        text("type", "generic, rsa or certificate"),
        text("status", "ACTIVE or ERROR"),
        text("creator_id", "The user who made it"),
        text("created", "When it was created"),
        text("updated", "When it was last changed"),
        nested(
            "secret_refs",
            secrets.fields([
                text("name", "What the secret is in the container, as private_key"),
                id("secret_id", "secret_ref", "The secret's id"),
            ]),
        ),
        consumers("containers"),
    ])
}

fn orders() -> Translator {
    let meta = |column: &str, member: &str, description: &str| {
        value(column).at(Path::members(["meta", member])).desc(description)
    };
    hdict("orders").fields([
        id("id", "order_ref", "The order's id"),
        text("type", "key, asymmetric or certificate"),
        text("status", "ACTIVE, PENDING or ERROR"),
        text("error_status_code", "Which error it was"),
        text("error_reason", "Why it went wrong"),
        meta("name", "name", "The name that the secret gets").typed(Str),
        meta("algorithm", "algorithm", "The algorithm that is asked for").typed(Str),
        meta("bit_length", "bit_length", "How many bits are asked for").typed(Int),
        id("secret_id", "secret_ref", "The secret that came of it"),
        id("container_id", "container_ref", "The container that came of it"),
        text("creator_id", "The user who made it"),
        text("created", "When it was created"),
        text("updated", "When it was last changed"),
    ])
}

congress_driver::export_driver!(Barbican);
