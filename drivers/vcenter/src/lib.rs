//! Hosts of VMware vCenter with their network interfaces, and virtual machines.
//!
//! `soap` speaks to the service; here is what its objects become.

mod soap;

use std::collections::HashMap;

use congress_driver::prelude::*;
use congress_driver::tables::TableSet;
use congress_driver::translate::{Translator, hdict, list, nested, value};
use serde_json::{Map, Value as Json, json};
use soap::{Client, Object};

struct VCenter;

/// How many hosts, and how many machines, are read where the configuration does not say.
const DEFAULT_LIMIT: i64 = 999;

const HOST: &str = "HostSystem";
const HOST_PROPERTIES: [&str; 5] = [
    "name",
    "hardware.systemInfo.uuid",
    "config.network.dnsConfig.address",
    "config.network.pnic",
    "config.network.vnic",
];

const MACHINE: &str = "VirtualMachine";
const MACHINE_PROPERTIES: [&str; 9] = [
    "name",
    "config.uuid",
    "config.annotation",
    "summary.config.vmPathName",
    "runtime.host",
    "summary.config.memorySizeMB",
    "summary.quickStats",
    "summary.overallStatus",
    "summary.storage",
];

/// The entry of a host without name servers. Policies know it with its spelling.
const NO_DNS: &str = "No DNS IP adddresses configured";

impl Driver for VCenter {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with vcenter";
        metadata("vcenter", env!("CARGO_PKG_VERSION"), description)
            .with_hosts(["{auth_url}", "https://{auth_url}"])
            .with_config([
                field("auth_url", "The vCenter's host, or the URL of its address.").required(),
                field("username", "Who logs in.").required(),
                field("password", "The password.").required().secret(),
                poll_time(),
                field("max_vms", "Read no more virtual machines than that; 999 by default.")
                    .of(FieldType::Integer),
                field("max_hosts", "Read no more hosts than that; 999 by default.")
                    .of(FieldType::Integer),
            ])
            .with_tables(roots().iter().flat_map(|(_, translator)| translator.tables()))
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        limit(config, "max_hosts")?;
        limit(config, "max_vms")?;
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let client = Client::login(
            config.text("auth_url")?,
            config.text("username")?,
            config.text("password")?,
        )?;
        let result = read(&client, config, wanted);
        client.logout();
        result
    }
}

fn read(client: &Client, config: &Config, wanted: &Wanted) -> Result<()> {
    // Whatever is wanted: interfaces and machines name their hosts.
    let hosts = client.objects(HOST, &HOST_PROPERTIES, limit(config, "max_hosts")?)?;
    let roots = roots();
    wanted.each(roots.iter().map(|(name, _)| *name), |root| {
        let objects: Vec<Json> = match root {
            "hosts" => hosts.iter().map(host).collect(),
            "host.PNICs" => hosts.iter().flat_map(physical_interfaces).collect(),
            "host.VNICs" => hosts.iter().flat_map(virtual_interfaces).collect(),
            _ => {
                let most = limit(config, "max_vms")?;
                let machines = client.objects(MACHINE, &MACHINE_PROPERTIES, most)?;
                let uuids: HashMap<&str, &Json> =
                    hosts.iter().map(|host| (host.id.as_str(), uuid(host))).collect();
                machines.iter().map(|vm| machine(vm, &uuids)).collect()
            }
        };
        let Some((_, translator)) = roots.iter().find(|(name, _)| *name == root) else {
            return Ok(());
        };
        let mut tables = TableSet::of(translator);
        translator.translate(&objects, &mut tables)?;
        tables.finish()
    })
}

fn limit(config: &Config, name: &str) -> Result<usize> {
    let limit = config.integer(name)?.unwrap_or(DEFAULT_LIMIT);
    usize::try_from(limit)
        .map_err(|_| Error::Config(format!("field '{name}' must not be negative, it is {limit}")))
}

fn uuid(host: &Object) -> &Json {
    host.property("hardware.systemInfo.uuid")
}

fn host(host: &Object) -> Json {
    let addresses = match host.property("config.network.dnsConfig.address") {
        Json::Array(addresses) if !addresses.is_empty() => json!(addresses),
        _ => json!([NO_DNS]),
    };
    json!({"name": host.property("name"), "uuid": uuid(host), "host.DNS_IPs": addresses})
}

fn physical_interfaces(host: &Object) -> Vec<Json> {
    let row = |nic: &Json| {
        let mut row = interface(host, nic);
        row.insert("mac".into(), nic["mac"].clone());
        row.into()
    };
    items(host.property("config.network.pnic")).map(row).collect()
}

fn virtual_interfaces(host: &Object) -> Vec<Json> {
    let row = |nic: &Json| {
        let mut row = interface(host, nic);
        row.insert("mac".into(), nic["spec"]["mac"].clone());
        row.insert("portgroup".into(), nic["portgroup"].clone());
        row.into()
    };
    items(host.property("config.network.vnic")).map(row).collect()
}

/// What both kinds have.
fn interface(host: &Object, nic: &Json) -> Map<String, Json> {
    let ip = &nic["spec"]["ip"];
    let cells = [
        ("host_uuid", uuid(host)),
        ("device", &nic["device"]),
        ("ipAddress", &ip["ipAddress"]),
        ("subnetMask", &ip["subnetMask"]),
    ];
    cells.into_iter().map(|(name, cell)| (name.to_owned(), cell.clone())).collect()
}

fn machine(machine: &Object, uuids: &HashMap<&str, &Json>) -> Json {
    let statistics = machine.property("summary.quickStats");
    let storage = machine.property("summary.storage");
    let host = machine.property("runtime.host").as_str().and_then(|id| uuids.get(id));
    json!({
        "name": machine.property("name"),
        "uuid": machine.property("config.uuid"),
        "host_uuid": host,
        "pathName": machine.property("summary.config.vmPathName"),
        "status": machine.property("summary.overallStatus"),
        "CpuDemand": statistics["overallCpuDemand"],
        "CpuUsage": statistics["overallCpuUsage"],
        "memorySizeMB": machine.property("summary.config.memorySizeMB"),
        "MemoryUsage": statistics["guestMemoryUsage"],
        "committedStorage": storage["committed"],
        "uncommittedStorage": storage["uncommitted"],
        "annotation": machine.property("config.annotation"),
    })
}

fn items(json: &Json) -> impl Iterator<Item = &Json> {
    json.as_array().into_iter().flatten()
}

/// Root tables and their translators.
fn roots() -> [(&'static str, Translator); 4] {
    let addresses = list("host.DNS_IPs", "DNS_IPs").id_col("Host:DNS_id");
    let hosts =
        [value("name"), value("uuid"), nested("host.DNS_IPs", addresses).col("Host:DNS_id")];
    let physical = ["host_uuid", "device", "mac", "ipAddress", "subnetMask"];
    let virtual_ = ["host_uuid", "device", "mac", "portgroup", "ipAddress", "subnetMask"];
    let machines = [
        "name",
        "uuid",
        "host_uuid",
        "pathName",
        "status",
        "CpuDemand",
        "CpuUsage",
        "memorySizeMB",
        "MemoryUsage",
        "committedStorage",
        "uncommittedStorage",
        "annotation",
    ];
    [
        ("hosts", hdict("hosts").fields(hosts)),
        ("host.PNICs", hdict("host.PNICs").fields(physical.map(value))),
        ("host.VNICs", hdict("host.VNICs").fields(virtual_.map(value))),
        ("vms", hdict("vms").fields(machines.map(value))),
    ]
}

congress_driver::export_driver!(VCenter);

#[cfg(test)]
mod tests {
    use super::*;

    fn object(id: &str, properties: Json) -> Object {
        Object { id: id.into(), properties: properties.as_object().unwrap().clone() }
    }

    #[test]
    fn hosts_without_name_servers_say_so() {
        let without = object("h", json!({"name": "n", "config.network.dnsConfig.address": []}));
        assert_eq!(host(&without)["host.DNS_IPs"], json!([NO_DNS]));
        assert_eq!(host(&object("h", json!({})))["name"], Json::Null);
    }

    #[test]
    fn interfaces_may_lack_an_address() {
        let host = object(
            "h",
            json!({
                "hardware.systemInfo.uuid": "u",
                "config.network.pnic": [{"device": "vmnic0", "mac": "m", "spec": {}}],
                "config.network.vnic": [{"device": "vmk0", "portgroup": "p", "spec": {"mac": "n"}}],
            }),
        );
        let physical = &physical_interfaces(&host)[0];
        assert_eq!((&physical["host_uuid"], &physical["mac"]), (&json!("u"), &json!("m")));
        assert_eq!(physical["ipAddress"], Json::Null);
        assert_eq!(virtual_interfaces(&host)[0]["mac"], "n");
    }

    #[test]
    fn machines_on_unknown_hosts_have_none() {
        let uuid = json!("u");
        let uuids = HashMap::from([("host-1", &uuid)]);
        let at = |host: &str| machine(&object("vm", json!({"runtime.host": host})), &uuids);
        assert_eq!(at("host-1")["host_uuid"], "u");
        assert_eq!(at("host-2")["host_uuid"], Json::Null);
    }
}
