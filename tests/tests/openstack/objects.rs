//! What is made through the services' own APIs.

use congress_test_services::{CloudService, OpenStack, eventually};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{SOON, USER, part, say};

/// More than Glance puts on one page.
pub(crate) const IMAGES: usize = 30;

/// The ids of what has been made.
pub(crate) struct Objects {
    pub(crate) alice: String,
    pub(crate) web_project: String,
    pub(crate) domain: String,
    /// An image with data.
    pub(crate) image: String,
    pub(crate) network: String,
    pub(crate) subnet: String,
    /// Allows HTTPS.
    pub(crate) https_group: String,
    /// For ports without a security group.
    pub(crate) quarantine_group: String,
    /// A port with the security group `https`, of the server `guarded`.
    pub(crate) guarded_port: String,
    /// A port without security groups, of the server `exposed`.
    pub(crate) exposed_port: String,
    pub(crate) router: String,
    pub(crate) outside: String,
    pub(crate) floating_ip: String,
    pub(crate) guarded: String,
    pub(crate) exposed: String,
}

impl Objects {
    /// Makes all of it.
    pub(crate) async fn make(cloud: &OpenStack) -> Self {
        part("Objects, made through the services' APIs");
        let keystone = cloud.keystone();
        keystone.add_user(USER.0, USER.1, "admin", "admin").await.unwrap();
        let alice = keystone.add_user("alice", "pw", "web", "member").await.unwrap();
        let projects = keystone.ask(Method::GET, "projects?name=web", None).await.unwrap();
        let domain = json!({"domain": {"name": "research", "description": "Of the labs"}});
        let domain = keystone.ask(Method::POST, "domains", Some(domain)).await.unwrap();
        say("Keystone: user alice, project web, domain research");

        let image = images(cloud).await;
        say(format!("Glance: {IMAGES} images, one of them with data and tags"));

        let neutron = Neutron(cloud);
        let network = neutron.make("network", json!({"name": "backend"})).await;
        let subnet = json!({
            "name": "backend-v4", "network_id": network, "ip_version": 4, "cidr": "10.1.0.0/24",
            "dns_nameservers": ["10.1.0.2"],
        });
        let subnet = neutron.make("subnet", subnet).await;
        let https_group = neutron.make("security_group", json!({"name": "https"})).await;
        let rule = json!({
            "security_group_id": https_group, "direction": "ingress", "protocol": "tcp",
            "port_range_min": 443, "port_range_max": 443, "remote_ip_prefix": "192.0.2.0/24",
        });
        neutron.make("security_group_rule", rule).await;
        let quarantine_group = neutron.make("security_group", json!({"name": "quarantine"})).await;
        let router = neutron.make("router", json!({"name": "edge"})).await;
        let outside = json!({"name": "outside", "router:external": true});
        let outside = neutron.make("network", outside).await;
        let addresses = json!({"network_id": outside, "ip_version": 4, "cidr": "198.51.100.0/24"});
        neutron.make("subnet", addresses).await;
        neutron
            .put(
                &format!("routers/{router}"),
                json!({"router": {
                    "external_gateway_info": {"network_id": outside},
                }}),
            )
            .await;
        let path = format!("routers/{router}/add_router_interface");
        neutron.put(&path, json!({ "subnet_id": subnet })).await;
        say(
            "Neutron: networks backend and outside, router edge, security groups https and quarantine",
        );

        let flavor = json!({"flavor": {
            "id": "1", "name": "tiny", "vcpus": 1, "ram": 64, "disk": 1,
        }});
        nova(cloud, "flavors", flavor).await;
        let guarded = server(cloud, "guarded", &image).await;
        let exposed = server(cloud, "exposed", &image).await;
        say("Nova: flavor tiny, servers guarded and exposed, both ACTIVE");

        let port = |name: &str, server: &str, groups: Value| {
            json!({
                "name": name, "network_id": network, "device_id": server,
                "device_owner": "compute:nova", "security_groups": groups,
            })
        };
        let with = port("guarded", &guarded, json!([https_group]));
        let guarded_port = neutron.make("port", with).await;
        let exposed_port = neutron.make("port", port("exposed", &exposed, json!([]))).await;
        let floating = json!({"floating_network_id": outside, "port_id": guarded_port});
        let floating_ip = neutron.make("floatingip", floating).await;
        say("Neutron: a port for each server, that of exposed without any security group");
        Self {
            alice,
            web_project: projects["projects"][0]["id"].as_str().unwrap().to_owned(),
            domain: domain["domain"]["id"].as_str().unwrap().to_owned(),
            image,
            network,
            subnet,
            https_group,
            quarantine_group,
            guarded_port,
            exposed_port,
            router,
            outside,
            floating_ip,
            guarded,
            exposed,
        }
    }
}

/// Makes images; the one with data.
async fn images(cloud: &OpenStack) -> String {
    let mut last = String::new();
    for number in 1..=IMAGES {
        let body = json!({
            "name": format!("image-{number}"), "disk_format": "raw", "container_format": "bare",
            "visibility": "public", "tags": ["tested", "small"],
        });
        let made = cloud.ask(CloudService::Glance, Method::POST, "v2/images", Some(body)).await;
        last = made.unwrap()["id"].as_str().unwrap().to_owned();
    }
    let data = Some(("application/octet-stream", b"not really a disk".to_vec()));
    let path = format!("v2/images/{last}/file");
    cloud.send(CloudService::Glance, Method::PUT, &path, data).await.unwrap();
    last
}

/// Makes a server without network and waits until it runs; its id.
async fn server(cloud: &OpenStack, name: &str, image: &str) -> String {
    let body = json!({"server": {
        "name": name, "imageRef": image, "flavorRef": "1", "networks": "none", "tags": ["tested"],
    }});
    let made = nova(cloud, "servers", body).await;
    let id = made["server"]["id"].as_str().unwrap().to_owned();
    server_is(cloud, &id, "ACTIVE").await;
    id
}

/// Waits until Nova says that a server has this status.
pub(crate) async fn server_is(cloud: &OpenStack, server: &str, status: &str) {
    let path = format!("servers/{server}");
    eventually(&format!("server {server} is {status}"), SOON, async || {
        let body = cloud.ask(CloudService::NovaApi, Method::GET, &path, None).await.unwrap();
        assert_ne!(body["server"]["status"], "ERROR", "{body}");
        (body["server"]["status"] == status).then_some(())
    })
    .await
    .unwrap();
}

async fn nova(cloud: &OpenStack, path: &str, body: Value) -> Value {
    cloud.ask(CloudService::NovaApi, Method::POST, path, Some(body)).await.unwrap()
}

/// Neutron's API.
pub(crate) struct Neutron<'a>(pub(crate) &'a OpenStack);

impl Neutron<'_> {
    /// Makes an object; its id.
    async fn make(&self, kind: &str, object: Value) -> String {
        let path = format!("v2.0/{}s", kind.replace('_', "-"));
        let body = json!({ kind: object });
        let made =
            self.0.ask(CloudService::Neutron, Method::POST, &path, Some(body)).await.unwrap();
        made[kind]["id"].as_str().unwrap_or_else(|| panic!("{made}")).to_owned()
    }

    /// Changes an object.
    pub(crate) async fn put(&self, path: &str, body: Value) {
        let path = format!("v2.0/{path}");
        self.0.ask(CloudService::Neutron, Method::PUT, &path, Some(body)).await.unwrap();
    }

    /// An object.
    pub(crate) async fn get(&self, path: &str) -> Value {
        let path = format!("v2.0/{path}");
        self.0.ask(CloudService::Neutron, Method::GET, &path, None).await.unwrap()
    }
}
