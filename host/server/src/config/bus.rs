//! How nodes reach each other: `transport_url`, `[dse]`, `[ha]` and `[oslo_messaging_rabbit]`.

use std::path::PathBuf;
use std::time::Duration;

use super::load::Reader;
use super::options;
use super::{Roles, Transport, TransportUrl};

/// The bus.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BusConfig {
    /// What carries messages, and where it is.
    pub url: TransportUrl,
    /// Nodes see each other only if theirs are equal.
    pub bus_id: String,
    /// After how long a silent node counts as gone.
    pub peer_timeout: Duration,
    /// TLS, if it is to be used.
    pub tls: Option<TlsFiles>,
    /// After how long a silent connection to the broker counts as dead.
    pub dead_after: Duration,
    /// The longest pause between two attempts to reach the broker.
    pub retry: Duration,
    /// Whether brokers are tried in any order.
    pub shuffle: bool,
    /// How long the broker keeps a queue that nobody reads.
    pub queue_expiry: Duration,
    /// How many messages the broker sends ahead of their acknowledgement; 0 for what suits.
    pub prefetch: u16,
    /// Whether exchanges survive the broker's restart.
    pub durable: bool,
}

/// PEM files for TLS.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsFiles {
    /// Authorities that the broker's certificate may come from.
    pub ca: Option<PathBuf>,
    /// This node's certificate.
    pub certificate: Option<PathBuf>,
    /// Its key.
    pub key: Option<PathBuf>,
}

/// A connection that never counts as dead does so after this time.
const LONGEST_SILENCE: Duration = Duration::from_secs(3600);

impl Reader<'_> {
    pub(super) fn bus(&mut self, roles: Roles) -> BusConfig {
        let url = self.transport(roles);
        let tls = self.tls(&url);
        let dead_after = self.value(&options::RABBIT_HEARTBEAT);
        let prefetch = self.value(&options::RABBIT_PREFETCH);
        let shuffle = match self.value(&options::RABBIT_STRATEGY).as_str() {
            "round-robin" => false,
            "shuffle" => true,
            other => {
                let text = format!("is {other:?}, but must be round-robin or shuffle");
                self.problems.push(self.about(&options::RABBIT_STRATEGY.spec, &text));
                false
            }
        };
        BusConfig {
            url,
            bus_id: self.value(&options::BUS_ID),
            peer_timeout: self.value(&options::PEER_TIMEOUT),
            tls,
            dead_after: if dead_after.is_zero() { LONGEST_SILENCE } else { dead_after },
            retry: self.value(&options::RABBIT_RETRY),
            shuffle,
            queue_expiry: self.value(&options::RABBIT_QUEUE_TTL),
            prefetch: u16::try_from(prefetch).unwrap_or(u16::MAX),
            durable: self.value(&options::RABBIT_DURABLE),
        }
    }

    fn transport(&mut self, roles: Roles) -> TransportUrl {
        let spec = &options::TRANSPORT_URL.spec;
        let url = match TransportUrl::parse(&self.value(&options::TRANSPORT_URL)) {
            Ok(url) => url,
            Err(text) => {
                self.problems.push(self.about(spec, &text));
                return TransportUrl::in_process();
            }
        };
        if url.is_in_process() && !roles.all() {
            let text = "names the in-process bus, but this process has not all roles: they could \
                        not reach each other; give none of --api, --policy-engine, --datasources, \
                        or all";
            self.problems.push(self.about(spec, text));
        }
        for (name, _) in url.query.iter().filter(|(name, _)| name != "ssl") {
            let text = format!(
                "has the option {name} after '?', which has no effect there; see \
                 [oslo_messaging_rabbit]"
            );
            self.warnings.push(self.about(spec, &text));
        }
        url
    }

    /// TLS, if the URL or the option asks for it.
    fn tls(&mut self, url: &TransportUrl) -> Option<TlsFiles> {
        let files = TlsFiles {
            ca: self.optional(&options::RABBIT_CA),
            certificate: self.optional(&options::RABBIT_CERT),
            key: self.optional(&options::RABBIT_KEY),
        };
        let asked = self.value(&options::RABBIT_SSL);
        let in_query = url.query.iter().rev().find(|(name, _)| name == "ssl").map(|(_, on)| on);
        let on = match in_query {
            Some(on) => matches!(on.to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on"),
            None => asked,
        };
        match url.transport {
            Transport::Rabbit { tls } => (tls || on).then_some(files),
            Transport::InProcess => None,
        }
    }
}
