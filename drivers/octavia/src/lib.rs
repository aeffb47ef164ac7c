//! Load balancing: load balancers, listeners, pools, members, health monitors, L7 policies and
//! amphorae of Octavia. `docs/drivers/octavia.md` describes all of it.

use congress_driver::actions::{self, Template, bare, with_body};
use congress_driver::openstack::{self, Collection, Service};
use congress_driver::paging::{Pages, Paging};
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::session::EndpointInterface;
use congress_driver::tables::TableSet;
use congress_driver::translate::{Field, Translator, hdict, list, nested, value, vdict};
use congress_driver::types::DataType::{Bool, Int, IpAddress, Str};
use congress_driver::{json, url};
use serde_json::Value as Json;

struct Octavia;

/// The table whose rows are below the pools, to be asked for pool by pool.
const MEMBERS: &str = "members";

impl Driver for Octavia {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack Load Balancing.";
        openstack::openstack("octavia", env!("CARGO_PKG_VERSION"), description, [])
            .with_tables(openstack::tables(&collections()).into_iter().chain(members().tables()))
            .with_actions(actions::describe(ACTIONS))
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let (service, collections) = (load_balancing(config)?, collections());
        let roots = collections.iter().map(Collection::table).chain([MEMBERS]);
        wanted.each(roots, |root| match collections.iter().find(|c| c.table() == root) {
            Some(collection) => service.read(collection),
            None => read_members(&service),
        })
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        load_balancing(config)?.execute(ACTIONS, call)
    }
}

/// The service without a version: catalogues name it with one, or without.
fn load_balancing(config: &Config) -> Result<Service> {
    Ok(Service::find(config, "load-balancer", EndpointInterface::Public)?.without_version())
}

const ACTIONS: &[Template] = &[
    with_body(
        "loadbalancers.enable",
        "loadbalancer",
        "PUT v2/lbaas/loadbalancers/{loadbalancer}",
        r#"{"loadbalancer": {"admin_state_up": true}}"#,
        "Turns a load balancer on.",
    ),
    with_body(
        "loadbalancers.disable",
        "loadbalancer",
        "PUT v2/lbaas/loadbalancers/{loadbalancer}",
        r#"{"loadbalancer": {"admin_state_up": false}}"#,
        "Turns a load balancer off.",
    ),
    bare(
        "loadbalancers.failover",
        "loadbalancer",
        "PUT v2/lbaas/loadbalancers/{loadbalancer}/failover",
        "Replaces the amphorae of a load balancer.",
    ),
    bare(
        "loadbalancers.delete",
        "loadbalancer",
        "DELETE v2/lbaas/loadbalancers/{loadbalancer}",
        "Deletes a load balancer that has no listeners and pools.",
    ),
    bare(
        "loadbalancers.delete_cascade",
        "loadbalancer",
        "DELETE v2/lbaas/loadbalancers/{loadbalancer}?cascade=true",
        "Deletes a load balancer with all that is in it.",
    ),
    with_body(
        "listeners.enable",
        "listener",
        "PUT v2/lbaas/listeners/{listener}",
        r#"{"listener": {"admin_state_up": true}}"#,
        "Turns a listener on.",
    ),
    with_body(
        "listeners.disable",
        "listener",
        "PUT v2/lbaas/listeners/{listener}",
        r#"{"listener": {"admin_state_up": false}}"#,
        "Turns a listener off.",
    ),
    bare(
        "listeners.delete",
        "listener",
        "DELETE v2/lbaas/listeners/{listener}",
        "Deletes a listener.",
    ),
    with_body(
        "listeners.set_connection_limit",
        "listener connection_limit",
        "PUT v2/lbaas/listeners/{listener}",
        r#"{"listener": {"connection_limit": "{connection_limit}"}}"#,
        "Limits the connections of a listener; -1 for no limit.",
    ),
    with_body(
        "members.enable",
        "pool member",
        "PUT v2/lbaas/pools/{pool}/members/{member}",
        r#"{"member": {"admin_state_up": true}}"#,
        "Gives a member requests again.",
    ),
    with_body(
        "members.disable",
        "pool member",
        "PUT v2/lbaas/pools/{pool}/members/{member}",
        r#"{"member": {"admin_state_up": false}}"#,
        "Gives a member no requests.",
    ),
    with_body(
        "members.set_weight",
        "pool member weight",
        "PUT v2/lbaas/pools/{pool}/members/{member}",
        r#"{"member": {"weight": "{weight}"}}"#,
        "Sets a member's share of its pool's requests.",
    ),
    bare(
        "members.delete",
        "pool member",
        "DELETE v2/lbaas/pools/{pool}/members/{member}",
        "Removes a member from its pool.",
    ),
    bare(
        "amphorae.failover",
        "amphora",
        "PUT v2/octavia/amphorae/{amphora}/failover",
        "Replaces an amphora.",
    ),
];

fn collections() -> [Collection; 7] {
    let lbaas = |list: &str, translator: Translator| {
        Collection::new(format!("v2/lbaas/{list}"), list, translator).with_links()
    };
    [
        lbaas("loadbalancers", load_balancers()),
        lbaas("listeners", listeners()),
        lbaas("pools", pools()),
        lbaas("healthmonitors", health_monitors()),
        lbaas("l7policies", l7_policies()),
        Collection::new("v2/lbaas/providers", "providers", providers()),
        Collection::new("v2/octavia/amphorae", "amphorae", amphorae()).with_links(),
    ]
}

/// Reads the members of all pools. A member says nothing of its pool.
fn read_members(service: &Service) -> Result<()> {
    let pages = |path: &str, list: &str| {
        let links = Paging::RelNext(Path::member(format!("{list}_links")));
        Pages::new(service.get(path), links, Path::member(list)).same_address()
    };
    let translator = members();
    let mut rows = TableSet::of(&translator);
    for page in pages("v2/lbaas/pools?fields=id", "pools") {
        for pool in page?.list()?.iter().filter_map(|pool| pool["id"].as_str()) {
            let path = format!("v2/lbaas/pools/{}/members", url::encode(pool));
            for page in pages(&path, MEMBERS).may_be_gone() {
                let page = page?;
                let members: Vec<Json> = page
                    .list()?
                    .iter()
                    .map(|member| json::with(member, "pool_id", pool.into()))
                    .collect();
                translator.translate(&members, &mut rows)?;
            }
        }
    }
    rows.finish()
}

/// What objects of all kinds have.
fn object(table: &str, fields: impl IntoIterator<Item = Field>) -> Translator {
    hdict(table)
        .fields([
            text("id", "The id"),
            text("name", "The name"),
            text("project_id", "The project that it belongs to"),
            flag("admin_state_up", "Whether it is turned on"),
            text("provisioning_status", "ACTIVE, PENDING_UPDATE, ERROR and others"),
            text("operating_status", "ONLINE, OFFLINE, DEGRADED, ERROR and others"),
        ])
        .fields(fields)
        .fields([values(table, "tags", "tag")])
}

fn text(member: &str, description: &str) -> Field {
    value(member).typed(Str).desc(description)
}

fn number(member: &str, description: &str) -> Field {
    value(member).typed(Int).desc(description)
}

fn flag(member: &str, description: &str) -> Field {
    value(member).typed(Bool).desc(description)
}

fn first(column: &str, member: &str, description: &str) -> Field {
    let first = format!("{member}[0].id").parse().unwrap_or_default();
    value(column).at(first).typed(Str).desc(description)
}

fn values(table: &str, member: &str, column: &str) -> Field {
    nested(member, list(&format!("{table}.{member}"), column).parent_key("id").parent_col("id"))
}

/// Objects that are named by their ids only.
fn ids(table: &str, member: &str, column: &str) -> Field {
    let ids = hdict(&format!("{table}.{member}")).in_list().parent_key("id").parent_col("id");
    nested(member, ids.fields([value("id").col(column).typed(Str)]))
}

fn load_balancers() -> Translator {
    let additional = hdict("loadbalancers.additional_vips").in_list().parent_key("id");
    object(
        "loadbalancers",
        [
            value("vip_address").typed(IpAddress).desc("The address that clients use"),
            text("vip_port_id", "The port with that address"),
            text("vip_subnet_id", "The subnet of that address"),
            text("vip_network_id", "The network of that address"),
            text("provider", "Who provides it, as amphora or ovn"),
            text("flavor_id", "The flavor"),
            text("availability_zone", "The availability zone"),
            text("created_at", "When it was created"),
            nested(
                "additional_vips",
                additional.parent_col("id").fields([
                    value("ip_address").typed(IpAddress).desc("A further address"),
                    text("subnet_id", "Its subnet"),
                ]),
            ),
        ],
    )
}

fn listeners() -> Translator {
    let headers = vdict("listeners.insert_headers", "header", "value");
    object(
        "listeners",
        [
            first("loadbalancer_id", "loadbalancers", "The load balancer that it is of"),
            text("protocol", "HTTP, TERMINATED_HTTPS, TCP, UDP and others"),
            number("protocol_port", "The port that clients use"),
            text("default_pool_id", "Where requests go"),
            number("connection_limit", "The most connections at a time; -1 for any number"),
            text("default_tls_container_ref", "Where its certificate is in the key manager"),
            text("client_authentication", "NONE, OPTIONAL or MANDATORY"),
            text("tls_ciphers", "The ciphers that are allowed, separated by colons"),
            values("listeners", "tls_versions", "version"),
            values("listeners", "sni_container_refs", "ref"),
            values("listeners", "allowed_cidrs", "cidr"),
            nested("insert_headers", headers.parent_key("id").parent_col("id")),
        ],
    )
}

fn pools() -> Translator {
    object(
        "pools",
        [
            first("loadbalancer_id", "loadbalancers", "The load balancer that it is of"),
            text("protocol", "The protocol to its members"),
            text("lb_algorithm", "ROUND_ROBIN, LEAST_CONNECTIONS and others"),
            text("healthmonitor_id", "What watches its members"),
            flag("tls_enabled", "Whether connections to its members are encrypted"),
            value("session_persistence")
                .col("persistence")
                .at(Path::members(["session_persistence", "type"]))
                .typed(Str)
                .desc("How clients stay at a member, as SOURCE_IP"),
            ids("pools", "listeners", "listener_id"),
            ids("pools", "members", "member_id"),
        ],
    )
}

fn members() -> Translator {
    object(
        MEMBERS,
        [
            text("pool_id", "The pool that it is in"),
            value("address").typed(IpAddress).desc("Where requests go"),
            number("protocol_port", "The port there"),
            number("weight", "Its share of the requests"),
            flag("backup", "Whether it is used only when all others are down"),
            text("subnet_id", "The subnet of its address"),
            value("monitor_address").typed(IpAddress).desc("Where it is checked, if elsewhere"),
            number("monitor_port", "The port that is checked, if another"),
        ],
    )
}

fn health_monitors() -> Translator {
    object(
        "healthmonitors",
        [
            first("pool_id", "pools", "The pool that it watches"),
            text("type", "HTTP, HTTPS, PING, TCP and others"),
            number("delay", "Seconds between checks"),
            number("timeout", "Seconds that a check may take"),
            number("max_retries", "Successes after which a member is online"),
            number("max_retries_down", "Failures after which it is in error"),
            text("url_path", "The path that is asked for"),
            text("expected_codes", "The statuses that count as success"),
        ],
    )
}

fn l7_policies() -> Translator {
    object(
        "l7policies",
        [
            text("listener_id", "The listener that it is of"),
            text("action", "REDIRECT_TO_POOL, REDIRECT_TO_URL, REJECT and others"),
            number("position", "Its place among the listener's policies, from 1"),
            text("redirect_pool_id", "The pool that requests go to"),
            text("redirect_url", "The address that clients are sent to"),
            ids("l7policies", "rules", "rule_id"),
        ],
    )
}

fn providers() -> Translator {
    hdict("providers").fields([text("name", "The name"), text("description", "What it is")])
}

fn amphorae() -> Translator {
    let address = |member: &str, description: &str| {
        value(member).typed(IpAddress).desc(description) //
    };
    hdict("amphorae").fields([
        text("id", "The id"),
        text("loadbalancer_id", "The load balancer that it works for"),
        text("compute_id", "Its server"),
        text("status", "ALLOCATED, BOOTING, READY, ERROR and others"),
        text("role", "MASTER, BACKUP or STANDALONE"),
        address("lb_network_ip", "Its address on the management network"),
        address("vrrp_ip", "Its own address beside the shared one"),
        address("ha_ip", "The shared address"),
        text("cert_expiration", "When its certificate ends"),
        text("cached_zone", "The availability zone of its server"),
        text("image_id", "Its image"),
        text("compute_flavor", "The flavor of its server"),
        text("created_at", "When it was created"),
    ])
}

congress_driver::export_driver!(Octavia);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translators_can_work() {
        for collection in &collections() {
            collection.translator().check().unwrap();
        }
        members().check().unwrap();
    }
}
