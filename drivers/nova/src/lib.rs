//! Compute: servers with their addresses and tags, flavors, services, hypervisors and availability
//! zones of Nova.

mod actions;
mod reads;
mod templates;

use congress_driver::describe::field;
use congress_driver::openstack::{self, Collection, Service};
use congress_driver::prelude::*;
use congress_driver::pytext;
use congress_driver::session::EndpointInterface;
use congress_driver::translate::{Translator, hdict, list, nested, value};
use congress_driver::types::DataType::{Float, Int, Str};
use serde_json::{Map, Value as Json};

struct Nova;

/// The first version of the API that answers the servers' tags.
const DEFAULT_VERSION: &str = "2.26";

impl Driver for Nova {
    fn metadata() -> Metadata {
        let description = "Datasource driver that interfaces with OpenStack Compute aka nova.";
        let version = field("api_version", "The version of the API to ask for, as 2.26.");
        let own = [version.or(DEFAULT_VERSION)];
        openstack::openstack("nova", env!("CARGO_PKG_VERSION"), description, own)
            .with_tables(openstack::tables(&collections()))
            .with_actions(actions::all())
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        version_headers(config)?;
        Ok(Self::metadata().tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        compute(config)?.poll(&collections(), wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        actions::execute(&compute(config)?, call)
    }
}

fn compute(config: &Config) -> Result<Service> {
    let headers = version_headers(config)?;
    Ok(Service::find(config, "compute", EndpointInterface::Public)?.with_headers(headers))
}

/// The headers that choose the API's version; the newer one exists since 2.27.
fn version_headers(config: &Config) -> Result<Vec<(String, String)>> {
    let version = config.get("api_version").unwrap_or(DEFAULT_VERSION).trim();
    let minor = match version.strip_prefix("2.") {
        Some("latest") => None,
        _ if version == "latest" => None,
        Some(minor) if minor.parse::<u16>().is_ok() => minor.parse::<u16>().ok(),
        _ => {
            return Err(Error::Config(format!(
                "field 'api_version' must be like {DEFAULT_VERSION}, not '{version}'"
            )));
        }
    };
    let version = if minor.is_none() { "latest" } else { version };
    let mut headers = vec![("X-OpenStack-Nova-API-Version".into(), version.into())];
    if minor.is_none_or(|minor| minor >= 27) {
        headers.push(("OpenStack-API-Version".into(), format!("compute {version}")));
    }
    Ok(headers)
}

fn collections() -> [Collection; 5] {
    [
        Collection::new("servers/detail?all_tenants=1", "servers", servers()).with_links(),
        Collection::new("flavors/detail", "flavors", flavors()).with_links(),
        Collection::new("os-services", "services", services()),
        Collection::new("os-hypervisors/detail", "hypervisors", hypervisors()).with_links(),
        Collection::new("os-availability-zone/detail", "availabilityZoneInfo", zones()),
    ]
}

fn servers() -> Translator {
    let addresses = hdict("servers.addresses")
        .parent_key("id")
        .parent_col("server_id")
        .parent_desc("UUID of server")
        .in_list()
        .extract_objects(flat_addresses)
        .fields([
            value("network_name").typed(Str).desc("Name of attached network to server"),
            value("addr").col("address").typed(Str).desc("IP address of the server"),
            value("version").typed(Int).desc("Internet Protocol Version of network"),
            value("OS-EXT-IPS-MAC:mac_addr")
                .col("mac_address")
                .typed(Str)
                .desc("MAC address associated to the IP of the server"),
            value("OS-EXT-IPS:type").col("address_type").typed(Str).desc("IP address type"),
        ]);
    let tags = list("tags", "tag")
        .parent_key("id")
        .parent_col("server_id")
        .parent_desc("UUID of server")
        .typed(Str)
        .val_desc("server tag string");
    hdict("servers").fields([
        value("id").typed(Str).desc("The UUID for the server"),
        value("name").typed(Str).desc("Name of the server"),
        value("hostId").col("host_id").typed(Str).desc("The UUID for the host"),
        value("status").typed(Str).desc("The server status"),
        value("tenant_id").typed(Str).desc("The tenant ID"),
        value("user_id").typed(Str).desc("The user ID of the user who owns the server"),
        value("image").col("image_id").extract(id_or_text).desc("Name or ID of image"),
        value("flavor").col("flavor_id").extract(id_or_text).desc("ID of the flavor"),
        value("OS-EXT-AZ:availability_zone")
            .col("zone")
            .typed(Str)
            .desc("The availability zone of host"),
        value("OS-EXT-SRV-ATTR:hypervisor_hostname")
            .col("host_name")
            .typed(Str)
            .desc("The hostname of hypervisor where the server is running"),
        value("created").col("created_at").typed(Str).desc("Time at which server is created"),
        nested("addresses", addresses),
        nested("tags", tags),
    ])
}

fn flavors() -> Translator {
    hdict("flavors").fields([
        value("id").typed(Str).desc("ID of the flavor"),
        value("name").typed(Str).desc("Name of the flavor"),
        value("vcpus").typed(Int).desc("Number of vcpus"),
        value("ram").typed(Int).desc("Memory size in MB"),
        value("disk").typed(Int).desc("Disk size in GB"),
        value("OS-FLV-EXT-DATA:ephemeral")
            .col("ephemeral")
            .absent("N/A")
            .typed(Int)
            .desc("Ephemeral space size in GB"),
        value("rxtx_factor").typed(Float).desc("RX/TX factor"),
    ])
}

fn services() -> Translator {
    hdict("services").fields([
        value("id").col("service_id").typed(Int).desc("Service ID"),
        value("binary").typed(Str).desc("Service binary"),
        value("host").typed(Str).desc("Host Name"),
        value("zone").typed(Str).desc("Availability Zone"),
        value("status").typed(Str).desc("Status of service"),
        value("state").typed(Str).desc("State of service"),
        value("updated_at").typed(Str).desc("Last updated time"),
        value("disabled_reason").typed(Str).desc("Disabled reason"),
    ])
}

fn hypervisors() -> Translator {
    hdict("hypervisors").fields([
        value("hypervisor_hostname").typed(Str).desc("Hypervisor host"),
        // An integer up to version 2.52, a UUID from there on. (The description is the original's.)
        value("id").desc("hypervisori id"),
        value("state").typed(Str).desc("State of the hypervisor"),
        value("status").typed(Str).desc("Status of the hypervisor"),
    ])
}

fn zones() -> Translator {
    hdict("availability_zones").fields([
        value("zoneName").col("zone").typed(Str).desc("Availability zone name"),
        value("zoneState").col("state").typed(Str).desc("Availability zone state"),
    ])
}

/// The id of an image or flavor; a text stays itself (empty for servers that boot from a volume),
/// what has no id becomes its text.
fn id_or_text(json: &Json) -> Json {
    match json.get("id") {
        Some(id) => id.clone(),
        None => Json::String(pytext::text(json)),
    }
}

/// From network name → list of addresses to one list, each address with its network's name.
fn flat_addresses(addresses: &Json) -> Json {
    let networks = addresses.as_object().into_iter().flatten();
    let flat = networks.flat_map(|(network, addresses)| {
        addresses.as_array().into_iter().flatten().map(move |address| {
            let mut flat: Map<String, Json> = address.as_object().cloned().unwrap_or_default();
            flat.insert("network_name".into(), network.as_str().into());
            Json::Object(flat)
        })
    });
    Json::Array(flat.collect())
}

congress_driver::export_driver!(Nova);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn versions_choose_their_headers() {
        let headers = |version: &str| {
            let config = Config::new(vec![("api_version".into(), version.into())]);
            version_headers(&config).map(|headers| headers.into_iter().map(|(_, v)| v).collect())
        };
        let texts = |texts: &[&str]| Ok(texts.iter().map(|t| t.to_string()).collect::<Vec<_>>());
        assert_eq!(headers("2.26"), texts(&["2.26"]));
        assert_eq!(headers("2.27"), texts(&["2.27", "compute 2.27"]));
        assert_eq!(headers("latest"), texts(&["latest", "compute latest"]));
        for wrong in ["", "2", "3.1", "2.x", "2.-1"] {
            assert!(matches!(headers(wrong), Err(Error::Config(_))), "{wrong}");
        }
    }

    #[test]
    fn images_and_flavors_have_ids_or_texts() {
        for (json, id) in [
            (json!({"id": "i"}), json!("i")),
            (json!(""), json!("")),
            (json!(null), json!("None")),
            (json!({"vcpus": 1}), json!("{'vcpus': 1}")),
        ] {
            assert_eq!(id_or_text(&json), id);
        }
    }

    #[test]
    fn addresses_know_their_network() {
        let addresses = json!({"a": [{"addr": "1"}, {"addr": "2"}], "b": [], "c": [{"addr": "3"}]});
        let networks: Vec<Json> = flat_addresses(&addresses)
            .as_array()
            .unwrap()
            .iter()
            .map(|address| json!([address["network_name"], address["addr"]]))
            .collect();
        assert_eq!(networks, [json!(["a", "1"]), json!(["a", "2"]), json!(["c", "3"])]);
    }

    #[test]
    fn translators_can_work() {
        for translator in [servers(), flavors(), services(), hypervisors(), zones()] {
            translator.check().unwrap();
        }
    }
}
