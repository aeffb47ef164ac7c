//! Addresses that a datasource's configuration does not suffice to reach.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The address that packets will go to: IPv4 inside IPv6 (mapped, compatible, translated,
/// 6to4) is taken out, so that no spelling hides an address.
pub(crate) fn canonical(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(_) => address,
        IpAddr::V6(v6) => embedded(v6).map_or(address, IpAddr::V4),
    }
}

fn embedded(v6: Ipv6Addr) -> Option<Ipv4Addr> {
    let s = v6.segments();
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from(u32::from(high) << 16 | u32::from(low)));
    match s {
        // ::ffff:a.b.c.d, ::ffff:0:a.b.c.d (SIIT), 64:ff9b::a.b.c.d (NAT64), 2002:abcd:: (6to4)
        [0, 0, 0, 0, 0, 0xffff, h, l]
        | [0, 0, 0, 0, 0xffff, 0, h, l]
        | [0x64, 0xff9b, 0, 0, 0, 0, h, l]
        | [0x2002, h, l, ..] => v4(h, l),
        // ::a.b.c.d, but not :: and ::1
        [0, 0, 0, 0, 0, 0, h, l] if h != 0 || l > 1 => v4(h, l),
        _ => None,
    }
}

/// What makes an address special, as `a loopback address`; none for ordinary ones, among which
/// are private networks: most clouds live in them. Takes canonical addresses.
pub(crate) fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(v4) => special_v4(v4),
        IpAddr::V6(v6) => special_v6(v6),
    }
}

fn special_v4(v4: Ipv4Addr) -> Option<&'static str> {
    match v4.octets() {
        [127, ..] => Some("a loopback address"),
        [169, 254, ..] => Some("a link-local address, as metadata services have"),
        [0, ..] => Some("an unspecified address"),
        // Alibaba, Azure, Oracle.
        [100, 100, 100, 200] | [168, 63, 129, 16] | [192, 0, 0, _] => {
            Some("a metadata service's address")
        }
        [224..=239, ..] => Some("a multicast address"),
        [240..=255, ..] => Some("a reserved address"),
        _ => None,
    }
}

fn special_v6(v6: Ipv6Addr) -> Option<&'static str> {
    match v6.segments() {
        [0, 0, 0, 0, 0, 0, 0, 1] => Some("a loopback address"),
        [0, 0, 0, 0, 0, 0, 0, 0] => Some("an unspecified address"),
        [0xfe80..=0xfebf, ..] => Some("a link-local address"),
        // Amazon, Google.
        [0xfd00, 0xec2, 0, 0, 0, 0, 0, 0x254 | 0x23 | 0x253]
        | [0xfd20, 0xce, 0, 0, 0, 0, 0, 0x254] => Some("a metadata service's address"),
        [0xff00..=0xffff, ..] => Some("a multicast address"),
        // Teredo hides an obfuscated IPv4 address; site-local and local NAT64 prefixes are what
        // the site makes of them.
        [0x2001, 0, ..] | [0xfec0..=0xfeff, ..] | [0x64, 0xff9b, 1, ..] => {
            Some("a reserved address")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(text: &str) -> Option<&'static str> {
        special(canonical(text.parse().unwrap()))
    }

    #[test]
    fn special_addresses_in_every_dress() {
        for text in [
            "127.0.0.1",
            "127.255.1.2",
            "::1",
            "::ffff:127.0.0.1",
            "::127.0.0.1",
            "::ffff:0:127.0.0.1",
            "64:ff9b::7f00:1",
            "2002:7f00:1::",
            "0.0.0.0",
            "::",
            "169.254.169.254",
            "::ffff:169.254.169.254",
            "fe80::1",
            "fd00:ec2::254",
            "100.100.100.200",
            "168.63.129.16",
            "192.0.0.192",
            "224.0.0.1",
            "ff02::1",
            "255.255.255.255",
            "2001:0:4136:e378:8000:63bf:3fff:fdd2",
        ] {
            assert!(judged(text).is_some(), "{text}");
        }
    }

    #[test]
    fn private_and_public_addresses_are_ordinary() {
        for text in [
            "10.1.2.3",
            "192.168.0.1",
            "172.16.0.1",
            "100.64.0.1",
            "8.8.8.8",
            "fd12::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
        ] {
            assert_eq!(judged(text), None, "{text}");
        }
        assert_eq!(canonical("::ffff:10.0.0.1".parse().unwrap()).to_string(), "10.0.0.1");
    }
}
