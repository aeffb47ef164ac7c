//! The inventory that recorded scenarios of the API are about (`tests/tests/api_corpus`): fixed
//! rows, and two actions that change them for as long as the datasource runs.

use congress_driver::actions::Arguments;
use congress_driver::prelude::*;
use congress_driver::{rows, state};
use serde_json::{Map, Value as Json};

struct Corpus;

/// Under this key the state has what actions have made of the servers: their status by id, null for
/// those that are removed.
const CHANGES: &str = "changes";

const SERVERS: [(&str, &str, &str, Option<i64>, bool); 4] = [
    ("s1", "web1", "ACTIVE", Some(512), false),
    ("s2", "web2", "ACTIVE", Some(1024), true),
    ("s3", "db1", "PAUSED", Some(4096), false),
    ("s4", "batch", "ERROR", None, false),
];

const TAGS: [(&str, &str); 4] = [("s1", "web"), ("s1", "prod"), ("s2", "web"), ("s4", "prod")];

const PORTS: [(&str, &str, &str); 4] =
    [("p1", "s1", "n1"), ("p2", "s2", "n1"), ("p3", "s2", "n2"), ("p4", "s3", "n2")];

impl Driver for Corpus {
    fn metadata() -> Metadata {
        metadata("corpus", env!("CARGO_PKG_VERSION"), "Fixed inventory used by the API corpus")
            .with_config([
                field("endpoint", "Anything.").required(),
                field("password", "Anything.").required().secret(),
                poll_time(),
                lazy_tables(),
            ])
            .with_tables([
                table(
                    "servers",
                    [
                        text("id").describe("server identifier"),
                        text("name").describe("server name"),
                        text("status"),
                        integer("ram").describe("MiB"),
                        boolean("locked"),
                    ],
                ),
                table("servers.tags", [text("server_id"), text("tag")]).fetched_with("servers"),
                table("networks", [text("id"), text("name"), boolean("shared")]),
                table("ports", [text("id"), text("server_id"), text("network_id")]),
            ])
            .with_actions([
                action("set_status", "change the status of one server")
                    .argument("server_id", "server to change")
                    .argument("status", "new status"),
                action("remove_server", "drop one server").argument("server_id", "server to drop"),
            ])
    }

    fn poll(_: &Config, wanted: &Wanted) -> Result<()> {
        wanted.each(["servers", "networks", "ports"], |name| match name {
            "servers" => servers(&changes()),
            "networks" => {
                let networks = [("n1", "public", true), ("n2", "private", false)];
                let row = |(id, name, shared): (&str, &str, bool)| {
                    vec![id.into(), name.into(), shared.into()]
                };
                rows::replace("networks", networks.map(row))
            }
            _ => {
                let row = |(id, server, network): (&str, &str, &str)| {
                    vec![id.into(), server.into(), network.into()]
                };
                rows::replace("ports", PORTS.map(row))
            }
        })
    }

    fn execute(_: &Config, call: &Call) -> Result<()> {
        let (server, status) = match call.action.as_str() {
            "set_status" => {
                let arguments = Arguments::of(call, "server_id status")?;
                (arguments.get("server_id").cloned(), arguments.get("status").cloned())
            }
            "remove_server" => (Arguments::of(call, "server_id")?.get("server_id").cloned(), None),
            other => return Err(Error::Unsupported(format!("there is no action '{other}'"))),
        };
        let mut changes = changes();
        let server = server.as_ref().and_then(Json::as_str).unwrap_or_default().to_owned();
        changes.insert(server, status.unwrap_or_default());
        servers(&changes)?;
        state::set(CHANGES, Json::Object(changes))
    }
}

fn changes() -> Map<String, Json> {
    let stored = state::get(CHANGES).and_then(|text| serde_json::from_str(&text).ok());
    stored.unwrap_or_default()
}

fn servers(changes: &Map<String, Json>) -> Result<()> {
    let is_there = |id: &str| changes.get(id) != Some(&Json::Null);
    let there = SERVERS.iter().filter(|(id, ..)| is_there(id));
    let row = |(id, name, status, ram, locked): &(&str, &str, &str, Option<i64>, bool)| {
        let status = changes.get(*id).and_then(Json::as_str).unwrap_or(status);
        vec![(*id).into(), (*name).into(), status.into(), (*ram).into(), (*locked).into()]
    };
    rows::replace("servers", there.map(row))?;
    let tags = TAGS.iter().filter(|(id, _)| is_there(id));
    rows::replace("servers.tags", tags.map(|(id, tag)| vec![(*id).into(), (*tag).into()]))
}

congress_driver::export_driver!(Corpus);
