//! The inventory of a Plexxi Core, the controller of a data centre's switches.
//!
//! The product is discontinued, and only its vendor's Python library ever spoke to it. Whoever has
//! that library pushes what it says to the webhook, all of it at once: an object with the lists
//! `hosts`, `vms`, `affinities`, `vswitches`, `plexxiswitches` and `ports`. Every push replaces all
//! tables. The fields for a login are those of the original, whose datasources need no change; they
//! are not used.

use congress_driver::prelude::*;
use congress_driver::{json, push};
use serde_json::{Map, Value as Json};

struct Plexxi;

/// Tables and their columns. Those of macs and the like come with the table before the dot.
const TABLES: [(&str, &[&str]); 13] = [
    ("hosts", &["uuid", "name", "mac_count", "vmcount"]),
    ("hosts.macs", &["Host_uuid", "Mac_Address"]),
    ("hosts.guests", &["Host_uuid", "VM_uuid"]),
    ("vms", &["uuid", "name", "host_uuid", "ip", "mac_count"]),
    ("vms.macs", &["vmID", "Mac_Address"]),
    ("affinities", &["uuid", "name"]),
    ("vswitches", &["uuid", "host_count", "vnic_count"]),
    ("vswitches.macs", &["vswitch_uuid", "Mac_Address"]),
    ("vswitches.hosts", &["vswitch_uuid", "hostuuid"]),
    ("plexxiswitches", &["uuid", "ip", "status"]),
    ("plexxiswitches.macs", &["Switch_uuid", "Mac_Address"]),
    ("ports", &["uuid", "name"]),
    (
        "networklinks",
        &["uuid", "name", "port_uuid", "start_uuid", "start_name", "stop_uuid", "stop_name"],
    ),
];

impl Driver for Plexxi {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with PlexxiCore. Its inventory is \
                           pushed to the webhook: the service has no open API.";
        let unused = "Of the original; not used.";
        metadata("plexxi", env!("CARGO_PKG_VERSION"), description)
            .with_feed(Feed::Push)
            .with_config([
                field("auth_url", unused).required(),
                field("username", unused).required(),
                field("password", unused).required().secret(),
                poll_time(),
                field("tenant_name", unused).required(),
                field("unique_names", unused),
                field("keystone_pass", unused).secret(),
                field("keystone_user", unused),
                push::persist_data(),
            ])
            .with_tables(TABLES.map(declared))
    }

    fn receive(_: &Config, push: Push) -> Result<()> {
        let Push::Webhook(body) = push else {
            let text = "the whole inventory is pushed to the webhook: its tables depend on each \
                        other";
            return Err(Error::Unsupported(text.into()));
        };
        let inventory = Inventory::read(&push::object(&body)?)?;
        TABLES.iter().try_for_each(|(table, _)| rows::replace(table, inventory.rows(table)))
    }
}

fn declared((name, columns): (&str, &[&str])) -> Table {
    let columns = columns.iter().map(|name| column(name, ColumnType::Any).describe("None"));
    let declared = table(name, columns);
    match name.split_once('.') {
        Some((root, _)) => declared.fetched_with(root),
        None => declared,
    }
}

/// Objects by list.
struct Inventory {
    hosts: Vec<Map<String, Json>>,
    vms: Vec<Map<String, Json>>,
    affinities: Vec<Map<String, Json>>,
    vswitches: Vec<Map<String, Json>>,
    switches: Vec<Map<String, Json>>,
    ports: Vec<Map<String, Json>>,
}

impl Inventory {
    fn read(body: &Map<String, Json>) -> Result<Self> {
        let list = |name: &str| objects(body, name);
        Ok(Self {
            hosts: list("hosts")?,
            vms: list("vms")?,
            affinities: list("affinities")?,
            vswitches: list("vswitches")?,
            switches: list("plexxiswitches")?,
            ports: list("ports")?,
        })
    }

    fn rows(&self, table: &str) -> Vec<Row> {
        match table {
            "hosts" => self.host_rows(),
            "hosts.macs" => items(&self.hosts, "macs"),
            "hosts.guests" => self
                .hosts
                .iter()
                .flat_map(|host| {
                    self.guests(host).map(move |vm| vec![cell(host, "uuid"), cell(vm, "uuid")])
                })
                .collect(),
            "vms" => self
                .vms
                .iter()
                .map(|vm| {
                    let mut row = cells(vm, &["uuid", "name", "host", "ip"]);
                    row.push(count(vm, "macs"));
                    row
                })
                .collect(),
            "vms.macs" => items(&self.vms, "macs"),
            "affinities" => self.affinities.iter().map(|a| cells(a, &["uuid", "name"])).collect(),
            "vswitches" => self
                .vswitches
                .iter()
                .map(|switch| {
                    vec![cell(switch, "uuid"), count(switch, "hosts"), count(switch, "macs")]
                })
                .collect(),
            "vswitches.macs" => items(&self.vswitches, "macs"),
            "vswitches.hosts" => items(&self.vswitches, "hosts"),
            "plexxiswitches" => {
                self.switches.iter().map(|s| cells(s, &["uuid", "ip", "status"])).collect()
            }
            "plexxiswitches.macs" => items(&self.switches, "macs"),
            "ports" => self.ports.iter().map(|port| cells(port, &["uuid", "name"])).collect(),
            _ => self.ports.iter().flat_map(links).collect(),
        }
    }

    /// The column `mac_count` has the sum over all hosts up to this one, and no value as long as
    /// that is 0: policies of the original know it so.
    fn host_rows(&self) -> Vec<Row> {
        let mut sum = 0;
        let row = |host: &Map<String, Json>| {
            sum += list(host, "macs").len();
            let mut row = cells(host, &["uuid", "name"]);
            row.push(if sum == 0 { none() } else { integer_cell(sum) });
            row.push(integer_cell(self.guests(host).count()));
            row
        };
        self.hosts.iter().map(row).collect()
    }

    fn guests<'a>(
        &'a self,
        host: &'a Map<String, Json>,
    ) -> impl Iterator<Item = &'a Map<String, Json>> {
        let uuid = host.get("uuid").filter(|uuid| !uuid.is_null());
        self.vms.iter().filter(move |vm| uuid.is_some() && vm.get("host") == uuid)
    }
}

/// The links of a port.
fn links(port: &Map<String, Json>) -> Vec<Row> {
    let link = |link: &Json| {
        let link = link.as_object()?;
        let mut row = cells(link, &["uuid", "name"]);
        row.push(cell(port, "uuid"));
        for end in ["start", "stop"] {
            let end = link.get(end).and_then(Json::as_object).cloned().unwrap_or_default();
            row.extend(cells(&end, &["uuid", "name"]));
        }
        Some(row)
    };
    list(port, "links").iter().filter_map(link).collect()
}

/// The objects of a list that may be missing.
fn objects(body: &Map<String, Json>, name: &str) -> Result<Vec<Map<String, Json>>> {
    let wrong = || Error::Protocol(format!("'{name}' must be a list of objects"));
    match body.get(name) {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Array(items)) => {
            items.iter().map(|item| item.as_object().cloned().ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// A row for each item of a list in each object: the object's uuid, and the item.
fn items(objects: &[Map<String, Json>], name: &str) -> Vec<Row> {
    let rows = |object: &Map<String, Json>| {
        let uuid = cell(object, "uuid");
        let row = |item: &Json| vec![uuid.clone(), or_none(item)];
        list(object, name).iter().map(row).collect::<Vec<_>>()
    };
    objects.iter().flat_map(rows).collect()
}

fn list<'a>(object: &'a Map<String, Json>, name: &str) -> &'a [Json] {
    object.get(name).and_then(Json::as_array).map(Vec::as_slice).unwrap_or_default()
}

fn cells(object: &Map<String, Json>, names: &[&str]) -> Row {
    names.iter().map(|name| cell(object, name)).collect()
}

fn cell(object: &Map<String, Json>, name: &str) -> Value {
    object.get(name).map_or_else(none, or_none)
}

fn or_none(json: &Json) -> Value {
    match json {
        Json::Null => none(),
        other => json::cell(other),
    }
}

/// What stands where there is no value.
fn none() -> Value {
    "None".into()
}

fn count(object: &Map<String, Json>, name: &str) -> Value {
    integer_cell(list(object, name).len())
}

fn integer_cell(number: usize) -> Value {
    i64::try_from(number).unwrap_or(i64::MAX).into()
}

congress_driver::export_driver!(Plexxi);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn inventory(json: Json) -> Inventory {
        Inventory::read(json.as_object().unwrap()).unwrap()
    }

    #[test]
    fn macs_are_summed_over_hosts() {
        let inventory = inventory(json!({
            "hosts": [{"uuid": "a", "name": "x"}, {"uuid": "b", "macs": ["m", "n"]}, {"uuid": "c"}],
            "vms": [{"uuid": "v", "host": "b"}, {"uuid": "w", "host": null}],
        }));
        let rows = inventory.rows("hosts");
        let none = Value::from("None");
        assert_eq!(rows[0], vec!["a".into(), "x".into(), none.clone(), Value::Integer(0)]);
        assert_eq!(rows[1][2..], vec![Value::Integer(2), Value::Integer(1)]);
        assert_eq!(rows[2][2..], vec![Value::Integer(2), Value::Integer(0)]);
        assert_eq!(inventory.rows("hosts.guests"), vec![vec![Value::from("b"), "v".into()]]);
        assert_eq!(inventory.rows("vms")[1][2..], vec![none.clone(), none, Value::Integer(0)]);
    }

    #[test]
    fn links_have_two_ends() {
        let inventory = inventory(json!({"ports": [
            {"uuid": "p", "links": [{"uuid": "l", "name": "n", "start": {"uuid": "s"}, "stop": null}]},
            {"uuid": "q", "links": null},
        ]}));
        let row = &inventory.rows("networklinks")[0];
        assert_eq!(row[2..5], vec![Value::from("p"), "s".into(), "None".into()]);
        assert_eq!(inventory.rows("networklinks").len(), 1);
        assert_eq!(inventory.rows("ports").len(), 2);
    }

    #[test]
    fn lists_of_something_else_are_refused() {
        assert!(Inventory::read(json!({"hosts": {}}).as_object().unwrap()).is_err());
        assert!(Inventory::read(json!({"vms": [1]}).as_object().unwrap()).is_err());
    }
}
