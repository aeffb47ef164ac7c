//! Outgoing requests: who may be asked, at which addresses, and the one sender that asks.
//!
//! A request passes three gates. [`Grants`] (with the session's catalogue) say whether this
//! datasource may ask this origin at all. [`Network::judge`] says, for each address that the name
//! resolves to, whether anybody may without the operator's word. The sender connects only to
//! addresses that passed, so that a name cannot change its address in between.

mod address;
pub(crate) mod allowed;
mod grants;
mod pace;
mod sender;
mod tls;
pub(crate) mod wire;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

pub(crate) use grants::{Grants, Origin, Trust as GrantTrust, expand, parse_url};
pub(crate) use sender::{Answer, Request, Sender, describe, only_reads, too_large};
pub(crate) use tls::{Tls, Trust as TlsTrust};

use self::wire::Wire;
use crate::config::AllowedHost;
use crate::{HostConfig, Limits};

/// Why a request was not answered. Texts name origins, never paths or queries.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SendError {
    /// The request is malformed.
    #[error("{0}")]
    Refused(String),
    /// Nobody granted this.
    #[error("{0}")]
    Denied(String),
    /// A limit is reached.
    #[error("{0}")]
    Limit(String),
    /// Name resolution, connection, TLS, or the answer failed.
    #[error("{0}")]
    Connection(String),
    /// The answer is longer than it may be.
    #[error("{0}")]
    TooLong(String),
    /// The answer took too long.
    #[error("{origin} did not answer within {} s", .limit.as_secs_f64())]
    Timeout { origin: String, limit: Duration },
}

/// What all datasources of a host share: the operator's lists, limits and TLS.
pub(crate) struct Network {
    allowed: Vec<AllowedHost>,
    only: Vec<AllowedHost>,
    pub(crate) limits: Limits,
    tls: Tls,
    wire: Option<Arc<dyn Wire>>,
    io: tokio::runtime::Handle,
}

impl Network {
    pub(crate) fn new(config: &HostConfig, io: tokio::runtime::Handle) -> Self {
        Self {
            allowed: config.allowed_hosts.clone(),
            only: config.only_hosts.clone(),
            limits: config.limits.clone(),
            tls: Tls::new(),
            wire: config.wire.clone(),
            io,
        }
    }

    /// Whether an address may be connected to under a host's name (or its own) and port.
    fn judge(&self, host: &str, port: u16, address: IpAddr) -> Result<(), SendError> {
        let address = address::canonical(address);
        let is_in = |list: &[AllowedHost]| {
            list.iter().any(|e| e.matches_host(host, port) || e.matches_address(address, port))
        };
        if is_in(&self.allowed) {
            return Ok(());
        }
        if let Some(what) = address::special(address) {
            return Err(SendError::Denied(format!(
                "{host} is {what} ({address}), which only the operator can grant: by an entry \
                 such as '{address}' in `allowed_hosts`"
            )));
        }
        if !self.only.is_empty() && !is_in(&self.only) {
            return Err(SendError::Denied(format!(
                "{host} ({address}) is not on the operator's list `only_hosts`"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn network(allowed: &[&str], only: &[&str]) -> Network {
        let parse = |list: &[&str]| list.iter().map(|e| e.parse().unwrap()).collect();
        let config = HostConfig {
            allowed_hosts: parse(allowed),
            only_hosts: parse(only),
            ..HostConfig::default()
        };
        Network::new(&config, tokio::runtime::Handle::current())
    }

    fn passes(network: &Network, host: &str, port: u16, address: &str) -> bool {
        network.judge(host, port, address.parse().unwrap()).is_ok()
    }

    #[tokio::test]
    async fn special_addresses_need_the_operator() {
        let none = network(&[], &[]);
        assert!(passes(&none, "cloud.example", 80, "10.0.0.1"));
        for address in ["127.0.0.1", "::1", "::ffff:127.0.0.1", "169.254.169.254", "fe80::1"] {
            assert!(!passes(&none, "rebound.example", 80, address), "{address}");
        }
        let some = network(&["127.0.0.1:5000", "localhost", "*.lab"], &[]);
        assert!(passes(&some, "127.0.0.1", 5000, "127.0.0.1"));
        assert!(passes(&some, "rebound.example", 5000, "::ffff:127.0.0.1"));
        assert!(!passes(&some, "127.0.0.1", 22, "127.0.0.1"));
        assert!(passes(&some, "localhost", 22, "127.0.0.1"));
        assert!(passes(&some, "a.lab", 22, "127.0.0.1"));
        assert!(!passes(&some, "a.lab.example", 22, "127.0.0.1"));
    }

    #[tokio::test]
    async fn an_exclusive_list_narrows() {
        let only = network(&["127.0.0.1"], &["*.example", "10.0.0.0/8"]);
        assert!(passes(&only, "a.example", 80, "192.0.2.1"));
        assert!(passes(&only, "elsewhere", 80, "10.9.9.9"));
        assert!(passes(&only, "127.0.0.1", 80, "127.0.0.1"));
        assert!(!passes(&only, "elsewhere", 80, "192.0.2.1"));
        assert!(!passes(&only, "a.example", 80, "169.254.169.254"));
    }
}
