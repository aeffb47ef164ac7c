//! What the datasources have of it.

use serde_json::{Value, json};

use crate::congress::Congress;
use crate::objects::{IMAGES, Objects};
use crate::say;

/// Users, projects, domains and roles.
pub(crate) async fn identity(congress: &Congress, objects: &Objects) {
    let values = [
        ("id", json!(objects.alice)),
        ("name", json!("alice")),
        ("default_project_id", json!(objects.web_project)),
        ("domain_id", json!("default")),
    ];
    let alice = congress.row("keystonev3", "users", &values).await;
    assert_eq!(truth(&alice["enabled"]), Some(true), "{alice:?}");
    let values = [("id", json!(objects.web_project)), ("name", json!("web"))];
    congress.row("keystonev3", "projects", &values).await;
    let values = [("id", json!(objects.domain)), ("description", json!("Of the labs"))];
    congress.row("keystonev3", "domains", &values).await;
    congress.row("keystonev3", "roles", &[("name", json!("member"))]).await;
    counts(congress, "keystonev3", &["users", "projects", "domains", "roles"]).await;
}

/// Images, on several pages.
pub(crate) async fn images(congress: &Congress, objects: &Objects) {
    let values = [
        ("id", json!(objects.image)),
        ("status", json!("active")),
        ("size", json!("not really a disk".len())),
        ("visibility", json!("public")),
    ];
    congress.row("glancev2", "images", &values).await;
    assert_eq!(congress.rows("glancev2", "images").await.len(), IMAGES);
    assert_eq!(congress.rows("glancev2", "tags").await.len(), 2 * IMAGES);
    counts(congress, "glancev2", &["images", "tags"]).await;
}

/// Networks and what belongs to them.
pub(crate) async fn networks(congress: &Congress, objects: &Objects) {
    let id = |id: &str| json!(id);
    let name = |name: &str| ("name", json!(name));
    for (table, values) in [
        ("networks", vec![("id", id(&objects.network)), name("backend")]),
        ("networks", vec![("id", id(&objects.outside)), name("outside")]),
        ("subnets", vec![("id", id(&objects.subnet)), ("cidr", json!("10.1.0.0/24"))]),
        ("dns_nameservers", vec![("subnet_id", id(&objects.subnet))]),
        (
            "allocation_pools",
            vec![("subnet_id", id(&objects.subnet)), ("end", json!("10.1.0.254"))],
        ),
        ("ports", vec![("id", id(&objects.exposed_port)), ("device_id", id(&objects.exposed))]),
        ("fixed_ips", vec![("port_id", id(&objects.guarded_port))]),
        (
            "security_group_port_bindings",
            vec![
                ("port_id", id(&objects.guarded_port)),
                ("security_group_id", id(&objects.https_group)),
            ],
        ),
        ("security_groups", vec![("id", id(&objects.quarantine_group)), name("quarantine")]),
        (
            "security_group_rules",
            vec![
                ("security_group_id", id(&objects.https_group)),
                ("port_range_min", json!(443)),
                ("remote_ip_prefix", json!("192.0.2.0/24")),
            ],
        ),
        ("routers", vec![("id", id(&objects.router)), name("edge")]),
        (
            "external_gateway_infos",
            vec![("router_id", id(&objects.router)), ("network_id", id(&objects.outside))],
        ),
        ("external_fixed_ips", vec![]),
        (
            "floating_ips",
            vec![("id", id(&objects.floating_ip)), ("port_id", id(&objects.guarded_port))],
        ),
    ] {
        congress.row("neutronv2", table, &values).await;
    }
    let bound = congress.rows("neutronv2", "security_group_port_bindings").await;
    assert!(bound.iter().all(|row| row["port_id"] != json!(objects.exposed_port)), "{bound:?}");
    let tables = ["networks", "subnets", "ports", "fixed_ips", "security_groups"];
    counts(congress, "neutronv2", &tables).await;
    let tables =
        ["security_group_rules", "security_group_port_bindings", "routers", "floating_ips"];
    counts(congress, "neutronv2", &tables).await;
}

/// Servers and what they run on.
pub(crate) async fn servers(congress: &Congress, objects: &Objects) {
    for (server, name) in [(&objects.guarded, "guarded"), (&objects.exposed, "exposed")] {
        let values = [
            ("id", json!(server)),
            ("name", json!(name)),
            ("status", json!("ACTIVE")),
            ("image_id", json!(objects.image)),
            ("flavor_id", json!("1")),
            ("host_name", json!("compute-1")),
        ];
        congress.row("nova", "servers", &values).await;
        let tag = [("server_id", json!(server)), ("tag", json!("tested"))];
        congress.row("nova", "tags", &tag).await;
    }
    let tiny = [("name", json!("tiny")), ("vcpus", json!(1)), ("ram", json!(64))];
    congress.row("nova", "flavors", &tiny).await;
    for binary in ["nova-compute", "nova-conductor", "nova-scheduler"] {
        let up = [("binary", json!(binary)), ("state", json!("up"))];
        congress.row("nova", "services", &up).await;
    }
    let host = [("hypervisor_hostname", json!("compute-1")), ("state", json!("up"))];
    congress.row("nova", "hypervisors", &host).await;
    congress.row("nova", "availability_zones", &[("zone", json!("nova"))]).await;
    let tables = ["servers", "tags", "flavors", "services", "hypervisors", "availability_zones"];
    counts(congress, "nova", &tables).await;
}

async fn counts(congress: &Congress, datasource: &str, tables: &[&str]) {
    let mut counts = Vec::new();
    for table in tables {
        counts.push(format!("{} {table}", congress.rows(datasource, table).await.len()));
    }
    say(counts.join(", "));
}

/// Truth values come as such or as the original's texts.
fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(truth) => Some(*truth),
        Value::String(text) => text.to_lowercase().parse().ok(),
        _ => None,
    }
}
