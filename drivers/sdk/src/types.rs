//! Types that a column may declare, and what they make of a value.

use std::net::{IpAddr, Ipv4Addr};

use crate::{ColumnType, Value};

/// The declared type of a column.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub enum DataType {
    /// Any value.
    #[default]
    Scalar,
    /// Text.
    Str,
    /// A boolean.
    Bool,
    /// An integer; a float without fraction becomes one.
    Int,
    /// A float; an integer becomes one.
    Float,
    /// Text that looks like a UUID, with or without dashes.
    Uuid,
    /// An IPv4 or IPv6 address; takes its normal form.
    IpAddress,
    /// An IPv4 or IPv6 network; takes its normal form, with prefix length.
    IpNetwork,
    /// One of a set of values.
    Enumeration {
        /// The members.
        members: &'static [Member],
        /// What any other value becomes; without it, others do not fit.
        other: Option<&'static str>,
    },
}

/// A member of an enumeration.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Member {
    /// A text.
    Text(&'static str),
    /// An integer.
    Integer(i64),
}

impl DataType {
    /// The value in the form of this type, or the value again if it does not fit. Null always
    /// fits.
    pub fn marshal(self, value: Value) -> Result<Value, Value> {
        let fits = match (self, &value) {
            (_, Value::Null) | (Self::Scalar, _) => true,
            (Self::Str, Value::Text(_)) => true,
            (Self::Bool, Value::Boolean(_)) => true,
            (Self::Int, Value::Integer(_) | Value::Boolean(_)) => true,
            (Self::Int, Value::Float(f)) => return integral(*f).map(Value::Integer).ok_or(value),
            (Self::Float, Value::Float(_)) => true,
            (Self::Float, Value::Integer(i)) => return Ok(Value::Float(*i as f64)),
            (Self::Float, Value::Boolean(b)) => return Ok(Value::Float(f64::from(u8::from(*b)))),
            (Self::Uuid, Value::Text(text)) => is_uuid(text),
            (Self::IpAddress, Value::Text(text)) => {
                return address(text).map(|ip| Value::Text(ip.to_string())).ok_or(value);
            }
            (Self::IpNetwork, Value::Text(text)) => {
                return network(text).map(Value::Text).ok_or(value);
            }
            (Self::Enumeration { members, other }, value) => {
                if !members.iter().any(|member| member.is(value)) {
                    return other.map(Value::from).ok_or_else(|| value.clone());
                }
                true
            }
            _ => false,
        };
        if fits { Ok(value) } else { Err(value) }
    }

    /// What the column is to the rest of the system.
    pub fn column_type(self) -> ColumnType {
        match self {
            Self::Scalar | Self::Enumeration { .. } => ColumnType::Any,
            Self::Str => ColumnType::Text,
            Self::Bool => ColumnType::Boolean,
            Self::Int => ColumnType::Integer,
            Self::Float => ColumnType::Float,
            Self::Uuid => ColumnType::Uuid,
            Self::IpAddress => ColumnType::IpAddress,
            Self::IpNetwork => ColumnType::IpNetwork,
        }
    }
}

impl Member {
    fn is(self, value: &Value) -> bool {
        match (self, value) {
            (Self::Text(member), Value::Text(text)) => member == text,
            (Self::Integer(member), Value::Integer(i)) => member == *i,
            _ => false,
        }
    }
}

fn integral(float: f64) -> Option<i64> {
    // The bounds are exact in f64; the upper one is excluded, for i64::MAX is not.
    let fits = float.fract() == 0.0 && (-(2f64.powi(63))..2f64.powi(63)).contains(&float);
    fits.then_some(float as i64)
}

fn is_uuid(text: &str) -> bool {
    let bare = text.replace("urn:", "").replace("uuid:", "");
    let bare = bare.trim_matches(['{', '}']).replace('-', "");
    bare.len() == 32 && bare.bytes().all(|b| b.is_ascii_hexdigit())
}

fn address(text: &str) -> Option<IpAddr> {
    let ip: IpAddr = text.parse().ok()?;
    Some(ip.to_canonical())
}

/// The normal form of a network: no host bits, prefix length.
fn network(text: &str) -> Option<String> {
    let (ip, length) = match text.split_once('/') {
        Some((ip, length)) => (ip, Some(length)),
        None => (text, None),
    };
    // Networks are not mapped from one family to the other: their length would change meaning.
    let ip: IpAddr = ip.parse().ok()?;
    let (bits, width) = match ip {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let length = length.map_or(Some(width), |length| prefix_length(length, ip))?;
    let host_bits = u32::from(width - length);
    let mask = u128::MAX.checked_shl(host_bits).unwrap_or(0);
    (bits & !mask == 0).then(|| format!("{}/{length}", plain(ip)))
}

/// An address in the form that networks have: IPv6 in groups of digits alone. Rust writes one that
/// holds an IPv4 address with that one's dots.
fn plain(ip: IpAddr) -> String {
    match ip {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            let [.., high, low] = v6.segments();
            format!("::ffff:{high:x}:{low:x}")
        }
        ip => ip.to_string(),
    }
}

/// A prefix length, written as a number or, for IPv4, as a netmask or a host mask.
fn prefix_length(text: &str, ip: IpAddr) -> Option<u8> {
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let width = if ip.is_ipv4() { 32 } else { 128 };
        return text.parse().ok().filter(|length| *length <= width);
    }
    if ip.is_ipv6() {
        return None;
    }
    let mask = text.parse::<Ipv4Addr>().ok()?.to_bits();
    let length = if mask.leading_ones() == mask.count_ones() {
        mask.leading_ones()
    } else if mask.trailing_ones() == mask.count_ones() {
        mask.leading_zeros()
    } else {
        return None;
    };
    u8::try_from(length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fits(data_type: DataType, value: impl Into<Value>, becomes: impl Into<Value>) {
        let value = value.into();
        assert_eq!(data_type.marshal(value.clone()), Ok(becomes.into()), "{data_type:?} {value:?}");
    }

    fn misfits(data_type: DataType, value: impl Into<Value>) {
        let value = value.into();
        assert_eq!(data_type.marshal(value.clone()), Err(value), "{data_type:?}");
    }

    #[test]
    fn numbers() {
        fits(DataType::Int, 3.0, 3);
        fits(DataType::Int, true, true);
        misfits(DataType::Int, 3.5);
        misfits(DataType::Int, 1e19);
        misfits(DataType::Int, "3");
        fits(DataType::Float, 1, 1.0);
        fits(DataType::Float, true, 1.0);
        fits(DataType::Float, Value::Null, Value::Null);
    }

    #[test]
    fn addresses_take_their_normal_form() {
        fits(DataType::IpAddress, "2001:DB8::0:1", "2001:db8::1");
        fits(DataType::IpAddress, "::ffff:10.0.0.1", "10.0.0.1");
        misfits(DataType::IpAddress, "010.0.0.1");
        misfits(DataType::IpAddress, "fe80::1%eth0");
    }

    #[test]
    fn networks_take_their_normal_form() {
        fits(DataType::IpNetwork, "10.0.0.1", "10.0.0.1/32");
        fits(DataType::IpNetwork, "10.0.0.0/255.0.0.0", "10.0.0.0/8");
        fits(DataType::IpNetwork, "0.0.0.0/0", "0.0.0.0/0");
        fits(DataType::IpNetwork, "2001:DB8::/32", "2001:db8::/32");
        misfits(DataType::IpNetwork, "10.0.0.1/8");
        misfits(DataType::IpNetwork, "10.0.0.0/33");
        misfits(DataType::IpNetwork, "10.0.0.0/255.0.255.0");
        misfits(DataType::IpNetwork, "10.0.0.0/");
    }

    #[test]
    fn networks_are_written_as_in_python() {
        fits(DataType::IpNetwork, "::ffff:10.0.0.0/120", "::ffff:a00:0/120");
        fits(DataType::IpNetwork, "::FFFF:0.0.0.0/96", "::ffff:0:0/96");
        fits(DataType::IpNetwork, "::10.0.0.1", "::a00:1/128");
        fits(DataType::IpNetwork, "10.0.0.0/0.255.255.255", "10.0.0.0/8");
        fits(DataType::IpNetwork, "10.0.0.0/255.255.255.255", "10.0.0.0/32");
        fits(DataType::IpNetwork, "0.0.0.0/0.0.0.0", "0.0.0.0/0");
        misfits(DataType::IpNetwork, "10.0.0.0/0.255.0.255");
        misfits(DataType::IpNetwork, "2001:db8::/ffff:ffff::");
    }

    #[test]
    fn enumerations_and_uuids() {
        let open = DataType::Enumeration { members: &[Member::Text("UP")], other: Some("OTHER") };
        fits(open, "UP", "UP");
        fits(open, 4, "OTHER");
        let closed = DataType::Enumeration { members: &[Member::Integer(4)], other: None };
        fits(closed, 4, 4);
        misfits(closed, 5);
        fits(
            DataType::Uuid,
            "3b890e8a78814430b0879e9e642e5e0d",
            "3b890e8a78814430b0879e9e642e5e0d",
        );
        misfits(DataType::Uuid, "3b890e8a");
    }
}
