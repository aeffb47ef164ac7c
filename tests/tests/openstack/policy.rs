//! A policy over several services, and actions that change them.

use congress_test_services::{CloudService, OpenStack};
use reqwest::Method;
use serde_json::{Value, json};

use crate::congress::Congress;
use crate::objects::{Neutron, Objects, server_is};
use crate::{SOON, part, say};

/// A port is a violation if no security group guards it. (Routers' ports never have one.)
const RULES: [&str; 5] = [
    "guarded(port) :- neutronv2:security_group_port_bindings(port_id=port)",
    "exposed(server, port) :- \
     neutronv2:ports(id=port, device_id=server, device_owner=\"compute:nova\"), not guarded(port)",
    "violation(name, address) :- exposed(server, port), nova:servers(id=server, name=name), \
     neutronv2:fixed_ips(port_id=port, ip_address=address)",
    "running(server) :- exposed(server, port), nova:servers(id=server, status=\"ACTIVE\")",
    "image_owner(name, project) :- nova:servers(name=name, image_id=image), \
     glancev2:images(id=image, owner=owner), keystonev3:projects(id=owner, name=project)",
];

const PAUSE: &str = "execute[nova:servers.pause(server)] :- running(server)";
const ATTACH: &str = "execute[neutronv2:attach_port_security_group(port, group)] :- \
                      exposed(server, port), neutronv2:security_groups(id=group, name=\"quarantine\")";

/// The violation is found; rules pause the server and guard the port; the violation goes.
pub(crate) async fn violations_and_actions(
    congress: &Congress,
    cloud: &OpenStack,
    objects: &Objects,
) {
    let rules: Vec<Value> = RULES.iter().map(|rule| json!({ "rule": rule })).collect();
    let body = json!({ "name": "ports", "rules": rules });
    let reply = congress.server.post("/v1/policies", &body).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
    for rule in RULES {
        say(rule);
    }
    let neutron = Neutron(cloud);
    let port = neutron.get(&format!("ports/{}", objects.exposed_port)).await;
    let address = &port["port"]["fixed_ips"][0]["ip_address"];
    congress.answers("ports", "violation", &[json!(["exposed", address])]).await;
    say(format!("violation(\"exposed\", {address})"));
    let owners = [json!(["exposed", "admin"]), json!(["guarded", "admin"])];
    congress.answers("ports", "image_owner", &owners).await;

    part("Actions that rules ask for");
    insert(congress, PAUSE).await;
    server_is(cloud, &objects.exposed, "PAUSED").await;
    say("Nova: the server exposed is PAUSED");
    server_is(cloud, &objects.guarded, "ACTIVE").await;
    let paused = [("id", json!(objects.exposed)), ("status", json!("PAUSED"))];
    congress.row("nova", "servers", &paused).await;

    insert(congress, ATTACH).await;
    congress.answers("ports", "violation", &[]).await;
    let port = neutron.get(&format!("ports/{}", objects.exposed_port)).await;
    assert_eq!(port["port"]["security_groups"], json!([objects.quarantine_group]));
    say("Neutron: the port of exposed is in the security group quarantine; no violation is left");
    let two = |body: &Value| body["results"].as_array().is_some_and(|actions| actions.len() == 2);
    congress.server.eventually("/v1/actions?state=done", SOON, two).await.unwrap();

    part("An action that the API asks for");
    let body = json!({"name": "servers.unpause", "args": {"positional": [objects.exposed]}});
    let reply = congress.server.post("/v1/data-sources/nova?action=execute", &body).await.unwrap();
    assert_eq!(reply.status, 200, "{:?}", reply.json());
    server_is(cloud, &objects.exposed, "ACTIVE").await;
    say("Nova: the server exposed is ACTIVE again");
    let body = json!({"name": "servers.pause", "args": {"positional": ["nosuch"]}});
    let reply = congress.server.post("/v1/data-sources/nova?action=execute", &body).await.unwrap();
    // It runs once it was asked for; how it went is in the log.
    assert_eq!(reply.status, 200, "{:?}", reply.json());
    let failed = |line: &&str| line.contains("ERROR") && line.contains("servers.pause");
    let told = |log: &str| log.lines().filter(failed).any(|line| line.contains("404"));
    congress.server.logs(SOON, told).await.unwrap();
    say("a server that is not there: the log has Nova's 404");
    let path = "servers/nosuch";
    assert!(cloud.ask(CloudService::NovaApi, Method::GET, path, None).await.is_err());
}

async fn insert(congress: &Congress, rule: &str) {
    let body = json!({ "rule": rule });
    let reply = congress.server.post("/v1/policies/ports/rules", &body).await.unwrap();
    assert_eq!(reply.status, 201, "{:?}", reply.json());
    say(rule);
}
