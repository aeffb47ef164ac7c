//! The tables, and where their rows come from.

use congress_driver::openstack::Collection;
use congress_driver::translate::{Translator, hdict, list, nested, value};
use congress_driver::types::DataType::{self, Bool, Enumeration, Int, IpAddress, IpNetwork, Str};
use congress_driver::types::Member::{Integer, Text};

/// Of networks, ports and routers.
const STATUS: DataType = Enumeration {
    members: &[Text("ACTIVE"), Text("BUILD"), Text("DOWN"), Text("ERROR"), Text("OTHER")],
    other: Some("OTHER"),
};
const FLOATING_STATUS: DataType = Enumeration {
    members: &[Text("ACTIVE"), Text("DOWN"), Text("ERROR"), Text("OTHER")],
    other: Some("OTHER"),
};
const IP_VERSION: DataType = Enumeration { members: &[Integer(4), Integer(6)], other: None };
const DIRECTION: DataType =
    Enumeration { members: &[Text("egress"), Text("ingress")], other: None };

/// What the service lists.
pub(crate) fn collections() -> [Collection; 6] {
    [
        collection("v2.0/networks", "networks", networks()),
        collection("v2.0/ports", "ports", ports()),
        collection("v2.0/subnets", "subnets", subnets()),
        collection("v2.0/routers", "routers", routers()),
        collection("v2.0/security-groups", "security_groups", security_groups()),
        collection("v2.0/floatingips", "floatingips", floating_ips()),
    ]
}

fn collection(path: &'static str, list: &'static str, translator: Translator) -> Collection {
    Collection::new(path, list, translator).with_links()
}

fn networks() -> Translator {
    hdict("networks").fields([
        value("id").typed(Str).desc("Network ID"),
        value("tenant_id").typed(Str).desc("Tenant ID"),
        value("name").typed(Str).desc("Network name"),
        value("status").typed(STATUS).desc("Network status"),
        value("admin_state_up")
            .typed(Bool)
            .desc("Administrative state of the network (true/false)"),
        value("shared").typed(Bool).desc("Indicates if network is shared across all tenants"),
    ])
}

fn ports() -> Translator {
    let fixed_ips = hdict("fixed_ips")
        .parent_key("id")
        .parent_col("port_id")
        .parent_desc("UUID of Port")
        .in_list()
        .fields([
            value("ip_address").typed(IpAddress).desc("The IP addresses for the port"),
            value("subnet_id")
                .typed(Str)
                .desc("The UUID of the subnet to which the port is attached"),
        ]);
    let security_groups = list("security_group_port_bindings", "security_group_id")
        .parent_key("id")
        .parent_col("port_id")
        .parent_desc("UUID of port")
        .typed(Str)
        .val_desc("UUID of security group");
    hdict("ports").fields([
        value("id").typed(Str).desc("UUID of port"),
        value("tenant_id").typed(Str).desc("tenant ID"),
        value("name").typed(Str).desc("port name"),
        value("network_id").typed(Str).desc("UUID of attached network"),
        value("mac_address").typed(Str).desc("MAC address of the port"),
        value("admin_state_up").typed(Bool).desc("Administrative state of the port"),
        value("status").typed(STATUS).desc("Port status"),
        value("device_id").typed(Str).desc("The ID of the device that uses this port"),
        value("device_owner").typed(Str).desc(
            "The entity type that uses this port.E.g., compute:nova, network:router_interface",
        ),
        nested("fixed_ips", fixed_ips),
        nested("security_groups", security_groups),
    ])
}

fn subnets() -> Translator {
    let allocation_pools = hdict("allocation_pools")
        .parent_key("id")
        .parent_col("subnet_id")
        .parent_desc("UUID of subnet")
        .in_list()
        .fields([
            value("start").typed(Str).desc("The start address for the allocation pools"),
            value("end").typed(Str).desc("The end address for the allocation pools"),
        ]);
    let dns_nameservers = list("dns_nameservers", "dns_nameserver")
        .parent_key("id")
        .parent_col("subnet_id")
        .parent_desc("UUID of subnet")
        .typed(Str)
        .val_desc("The DNS server");
    let host_routes = hdict("host_routes")
        .parent_key("id")
        .parent_col("subnet_id")
        .parent_desc("UUID of subnet")
        .in_list()
        .fields([
            value("destination").typed(Str).desc("The destination for static route"),
            value("nexthop").typed(Str).desc("The next hop for the destination"),
        ]);
    hdict("subnets").fields([
        value("id").typed(Str).desc("UUID of subnet"),
        value("tenant_id").typed(Str).desc("tenant ID"),
        value("name").typed(Str).desc("subnet name"),
        value("network_id").typed(Str).desc("UUID of attached network"),
        value("ip_version").typed(IP_VERSION).desc("The IP version, which is 4 or 6"),
        value("cidr").typed(IpNetwork).desc("The CIDR"),
        value("gateway_ip").typed(IpAddress).desc("The gateway IP address"),
        value("enable_dhcp").typed(Bool).desc("Is DHCP is enabled or not"),
        value("ipv6_ra_mode").typed(Str).desc("The IPv6 RA mode"),
        value("ipv6_address_mode").typed(Str).desc("The IPv6 address mode"),
        nested("allocation_pools", allocation_pools),
        nested("dns_nameservers", dns_nameservers),
        nested("host_routes", host_routes),
    ])
}

fn routers() -> Translator {
    let fixed_ips = hdict("external_fixed_ips")
        .parent_key("router_id")
        .parent_col("router_id")
        .parent_desc("UUID of router")
        .in_list()
        .fields([
            value("subnet_id").typed(Str).desc("UUID of the subnet"),
            value("ip_address").typed(IpAddress).desc("IP Address"),
        ]);
    let gateway = hdict("external_gateway_infos")
        .parent_key("id")
        .parent_col("router_id")
        .parent_desc("UUID of router")
        .fields([
            value("network_id").typed(Str).desc("Network ID"),
            value("enable_snat").typed(Bool).desc("current Source NAT status for router"),
            nested("external_fixed_ips", fixed_ips),
        ]);
    hdict("routers").fields([
        value("id").typed(Str).desc("uuid of the router"),
        value("tenant_id").typed(Str).desc("tenant ID"),
        value("status").typed(STATUS).desc("router status"),
        value("admin_state_up").typed(Bool).desc("administrative state of router"),
        value("name").typed(Str).desc("router name"),
        value("distributed").typed(Bool).desc("indicates if it's distributed router "),
        nested("external_gateway_info", gateway),
    ])
}

fn security_groups() -> Translator {
    let rules = hdict("security_group_rules")
        .parent_key("id")
        .parent_col("security_group_id")
        .parent_desc("uuid of security group")
        .in_list()
        .fields([
            value("id").typed(Str).desc("The UUID of the security group rule"),
            value("tenant_id").typed(Str).desc("tenant ID"),
            value("remote_group_id")
                .typed(Str)
                .desc("remote group id to associate with security group rule"),
            value("direction")
                .typed(DIRECTION)
                .desc("Direction in which the security group rule is applied"),
            value("ethertype").typed(Str).desc("IPv4 or IPv6"),
            value("protocol")
                .typed(Str)
                .desc("protocol that is matched by the security group rule."),
            value("port_range_min").typed(Int).desc("Min port number in the range"),
            value("port_range_max").typed(Int).desc("Max port number in the range"),
            value("remote_ip_prefix").typed(Str).desc("Remote IP prefix to be associated"),
        ]);
    hdict("security_groups").fields([
        value("id").typed(Str).desc("The UUID for the security group"),
        value("tenant_id").typed(Str).desc("Tenant ID"),
        value("name").typed(Str).desc("The security group name"),
        value("description").typed(Str).desc("security group description"),
        nested("security_group_rules", rules),
    ])
}

fn floating_ips() -> Translator {
    hdict("floating_ips").fields([
        value("id").typed(Str).desc("The UUID of the floating IP address"),
        value("router_id").typed(Str).desc("UUID of router"),
        value("tenant_id").typed(Str).desc("Tenant ID"),
        value("floating_network_id")
            .typed(Str)
            .desc("The UUID of the network associated with floating IP"),
        value("fixed_ip_address")
            .typed(IpAddress)
            .desc("Fixed IP address associated with floating IP address"),
        value("floating_ip_address").typed(IpAddress).desc("The floating IP address"),
        value("port_id").typed(Str).desc("UUID of port"),
        value("status").typed(FLOATING_STATUS).desc("The floating IP status"),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn translators_can_work() {
        let all = [networks(), ports(), subnets(), routers(), security_groups(), floating_ips()];
        for translator in all {
            translator.check().unwrap();
        }
    }
}
