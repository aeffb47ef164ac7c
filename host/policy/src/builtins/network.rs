//! IP addresses and networks.
//!
//! IPv4 addresses are read as C's `inet_aton` does, so `010.0.0.1` is 8.0.0.1 and `10.1` is
//! 10.0.0.1; the standard library's parser takes neither.

use std::cmp::Ordering;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::{BuiltinError, Result};
use crate::ast::Constant;

/// Whether the order of two addresses is a wanted one. IPv4 comes before IPv6.
pub(super) fn ordered([a, b]: &[Constant; 2], wanted: fn(Ordering) -> bool) -> Result<bool> {
    Ok(wanted(address(a)?.cmp(&address(b)?)))
}

/// Whether two networks have the same family, first address and prefix.
pub(super) fn networks_equal([a, b]: &[Constant; 2]) -> Result<bool> {
    Ok(network(a)? == network(b)?)
}

/// Whether the first or the last address of the second network lies in the first, as plain
/// numbers. So a large network does not overlap with a small one within; policies rely on it.
pub(super) fn networks_overlap([a, b]: &[Constant; 2]) -> Result<bool> {
    let (a, b) = (network(a)?, network(b)?);
    let range = a.first..=a.last;
    Ok(range.contains(&b.first) || range.contains(&b.last))
}

pub(super) fn ip_in_network([ip, net]: &[Constant; 2]) -> Result<bool> {
    let (ip, network) = (address(ip)?, network(net)?);
    Ok(ip.is_ipv4() == network.is_ipv4 && (network.first..=network.last).contains(&bits(ip)))
}

#[derive(PartialEq, Eq)]
struct Network {
    is_ipv4: bool,
    first: u128,
    last: u128,
}

/// A text or a number as an address; a number is of IPv4 if it fits 32 bits.
fn address(value: &Constant) -> Result<IpAddr> {
    let found = match value {
        Constant::Text(text) => parse_address(text),
        Constant::Int(int) => match u32::try_from(int) {
            Ok(small) => Some(Ipv4Addr::from_bits(small).into()),
            Err(_) => u128::try_from(int).ok().map(|large| Ipv6Addr::from_bits(large).into()),
        },
        Constant::Float(_) => None,
    };
    found.ok_or_else(|| "not an IP address".into())
}

fn parse_address(text: &str) -> Option<IpAddr> {
    if text.contains(':') {
        return text.parse::<Ipv6Addr>().ok().map(IpAddr::V6);
    }
    // One to four numbers; the last fills the bytes that are left.
    const MOST: usize = 4;
    let mut address: u32 = 0;
    let mut parts = text.split('.').peekable();
    let mut count = 0;
    while let Some(part) = parts.next() {
        let number = parse_octet(part)?;
        count += 1;
        if parts.peek().is_some() {
            if count == MOST || number > 0xff {
                return None;
            }
            address = address << 8 | number;
        } else {
            let room = 8 * (MOST - (count - 1)) as u32;
            if u64::from(number) >= 1 << room {
                return None;
            }
            // Before the only number there is nothing to move.
            address = address.checked_shl(room).unwrap_or(0) | number;
        }
    }
    Some(Ipv4Addr::from_bits(address).into())
}

/// A number in decimal, with `0` in front in octal, with `0x` in hexadecimal.
fn parse_octet(part: &str) -> Option<u32> {
    let (digits, radix) = match part.as_bytes() {
        [b'0', b'x' | b'X', ..] => (part.get(2..)?, 16),
        [b'0', _, ..] => (part.get(1..)?, 8),
        _ => (part, 10),
    };
    // `from_str_radix` would take a sign.
    let has_digits_only = digits.bytes().all(|b| b.is_ascii_hexdigit());
    has_digits_only.then(|| u32::from_str_radix(digits, radix).ok()).flatten()
}

/// `address/prefix`, or an address alone. Host bits do not matter.
fn network(value: &Constant) -> Result<Network> {
    let invalid = || BuiltinError::from("not an IP network");
    let Constant::Text(text) = value else { return Err(invalid()) };
    let (ip, prefix) = match text.split_once('/') {
        Some((ip, prefix)) => (ip, Some(prefix)),
        None => (&**text, None),
    };
    let ip = parse_address(ip).ok_or_else(invalid)?;
    let width: u32 = if ip.is_ipv4() { 32 } else { 128 };
    let prefix = match prefix {
        None => width,
        Some(digits) if digits.bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok().filter(|prefix| *prefix <= width).ok_or_else(invalid)?
        }
        Some(_) => return Err(invalid()),
    };
    // The bits of the hosts; with a prefix of 0 of IPv6 all 128.
    let hosts = 1_u128.checked_shl(width - prefix).map_or(u128::MAX, |size| size - 1);
    let first = bits(ip) & !hosts;
    Ok(Network { is_ipv4: ip.is_ipv4(), first, last: first | hosts })
}

fn bits(ip: IpAddr) -> u128 {
    match ip {
        IpAddr::V4(ip) => ip.to_bits().into(),
        IpAddr::V6(ip) => ip.to_bits(),
    }
}
