//! The operator's entries: hosts, ports, networks.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use ipnet::IpNet;
use reqwest::Url;

/// An entry of the operator's list of hosts.
///
/// `keystone.example`, `*.example`, `127.0.0.1`, `10.0.0.0/8`, `fd00::/8`; all but networks may
/// be followed by `:port` (IPv6 addresses then stand in brackets), which narrows them to it.
/// A name stands for whatever it resolves to; an address or network for itself, under any name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllowedHost {
    pattern: Pattern,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Pattern {
    Name(String),
    /// With its leading dot.
    Suffix(String),
    Network(IpNet),
}

/// Why an entry cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no host, host:port, *.suffix, address or network (examples: keystone.example, \
     127.0.0.1:5000, *.example, 10.0.0.0/8, [::1]:5000)"
)]
pub struct ParseAllowedHostError(String);

impl AllowedHost {
    /// Whether the entry names this host, as a URL spells it, under this port.
    pub(crate) fn matches_host(&self, host: &str, port: u16) -> bool {
        let host = host.strip_suffix('.').unwrap_or(host);
        self.matches_port(port)
            && match &self.pattern {
                Pattern::Name(name) => name == host,
                Pattern::Suffix(suffix) => host.len() > suffix.len() && host.ends_with(suffix),
                Pattern::Network(_) => false,
            }
    }

    /// Whether the entry contains this address, in canonical form, under this port.
    pub(crate) fn matches_address(&self, address: IpAddr, port: u16) -> bool {
        self.matches_port(port)
            && matches!(&self.pattern, Pattern::Network(network) if network.contains(&address))
    }

    fn matches_port(&self, port: u16) -> bool {
        self.port.is_none_or(|own| own == port)
    }
}

impl FromStr for AllowedHost {
    type Err = ParseAllowedHostError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let error = || ParseAllowedHostError(text.to_owned());
        let text = text.trim();
        if let Ok(network) = text.parse::<IpNet>() {
            return Ok(Self { pattern: Pattern::Network(network.trunc()), port: None });
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self { pattern: Pattern::Network(address.into()), port: None });
        }
        let (is_suffix, rest) = match text.strip_prefix("*.") {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        // The URL parser settles case, international names and every spelling of an address, so
        // that entries compare with the hosts of requests, which went through it too.
        let url = Url::parse(&format!("https://{rest}/")).map_err(|_| error())?;
        let has_more = !url.username().is_empty()
            || url.password().is_some()
            || url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some();
        // The parser drops a scheme's default port, so the port is read from the text.
        let port = match rest.rsplit_once(':') {
            Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
                Some(port.parse::<u16>().map_err(|_| error())?)
            }
            _ => None,
        };
        let host = url.host_str().filter(|_| !has_more).ok_or_else(error)?;
        let host = host.strip_suffix('.').unwrap_or(host);
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        let pattern = match (address, is_suffix) {
            (Ok(address), false) => Pattern::Network(address.into()),
            (Ok(_), true) => return Err(error()),
            (Err(_), false) => Pattern::Name(host.to_owned()),
            (Err(_), true) => Pattern::Suffix(format!(".{host}")),
        };
        Ok(Self { pattern, port })
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.pattern, self.port) {
            (Pattern::Network(net), Some(port)) => match net.addr() {
                IpAddr::V4(v4) => write!(f, "{v4}:{port}"),
                IpAddr::V6(v6) => write!(f, "[{v6}]:{port}"),
            },
            (Pattern::Network(net), None) if net.prefix_len() == net.max_prefix_len() => {
                net.addr().fmt(f)
            }
            (Pattern::Network(net), None) => net.fmt(f),
            (Pattern::Name(name), Some(port)) => write!(f, "{name}:{port}"),
            (Pattern::Name(name), None) => f.write_str(name),
            (Pattern::Suffix(suffix), Some(port)) => write!(f, "*{suffix}:{port}"),
            (Pattern::Suffix(suffix), None) => write!(f, "*{suffix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> AllowedHost {
        text.parse().unwrap()
    }

    #[test]
    fn entries_read_and_print() {
        for text in [
            "keystone.example",
            "keystone.example:5000",
            "*.example",
            "*.example:443",
            "127.0.0.1",
            "127.0.0.1:80",
            "10.0.0.0/8",
            "fd00::/8",
            "::1",
            "[::1]:5000",
        ] {
            assert_eq!(entry(text).to_string(), text);
        }
        assert_eq!(entry("Keystone.EXAMPLE."), entry("keystone.example"));
        assert_eq!(entry("[::1]"), entry("::1"));
    }

    #[test]
    fn nonsense_is_refused() {
        for text in [
            "",
            "http://x",
            "a b",
            "user@host",
            "host/path",
            "host:port",
            "*.127.0.0.1",
            "host:99999",
        ] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text:?}");
        }
    }

    #[test]
    fn names_and_suffixes_match_whole_labels() {
        assert!(entry("a.example").matches_host("a.example", 1));
        assert!(entry("a.example").matches_host("a.example.", 1));
        assert!(!entry("a.example").matches_host("b.a.example", 1));
        assert!(entry("*.example").matches_host("b.a.example", 1));
        assert!(!entry("*.example").matches_host("example", 1));
        assert!(!entry("*.example").matches_host("badexample", 1));
        assert!(!entry("a.example:80").matches_host("a.example", 81));
    }

    #[test]
    fn networks_match_addresses_only() {
        let loopback = entry("127.0.0.0/8");
        assert!(loopback.matches_address("127.1.2.3".parse().unwrap(), 9));
        assert!(!loopback.matches_address("128.0.0.1".parse().unwrap(), 9));
        assert!(!loopback.matches_host("127.0.0.1", 9));
        assert!(!entry("127.0.0.1:5000").matches_address("127.0.0.1".parse().unwrap(), 80));
    }
}
