//! How to reach the broker.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::protocol::{MAX_INSTANCE, MAX_NAME, PEER_TIMEOUT, TABLES};

/// The longest bus id, in bytes: it is part of the names of exchanges and queues, which the broker
/// bounds.
pub(super) const MAX_BUS_ID: usize = 100;
/// The longest name of a virtual host, in bytes, as the broker has it.
const MAX_VIRTUAL_HOST: usize = 255;

/// What [`RabbitBus::connect`](super::RabbitBus::connect) needs to know.
///
/// [`fmt::Debug`] shows no passwords.
#[derive(Clone, Debug)]
pub struct RabbitOptions {
    /// The node's name: 255 bytes at most.
    pub node_id: String,
    /// Tells this process from others of its name: draw it at start, for instance a UUID. Up
    /// to 64 bytes.
    pub instance: String,
    /// The version of the program; shown to other nodes.
    pub program: String,
    /// `[dse] bus_id`: only nodes with equal ones see each other. 100 bytes at most.
    pub bus_id: String,
    /// The brokers of one cluster, in the order in which they are tried; at least one.
    pub hosts: Vec<RabbitHost>,
    /// The virtual host: 255 bytes at most.
    pub virtual_host: String,
    /// TLS, if it is to be used.
    pub tls: Option<RabbitTls>,
    /// After how long a silent node counts as gone.
    pub peer_timeout: Duration,
    /// How often connections are looked after. A dead one is noticed within twice that.
    pub heartbeat: Duration,
    /// How long to wait at most before the next attempt to connect. The waits begin at a tenth of
    /// that, double, and vary by a fifth.
    pub retry: Duration,
    /// How long the broker keeps a queue of ours that nobody reads.
    pub queue_expiry: Duration,
    /// How many messages the broker sends ahead of their acknowledgement; 0 for the default of
    /// each queue.
    pub prefetch: u16,
    /// Whether exchanges survive the broker's restart. Nothing depends on it but other
    /// applications' expectations: they are declared again at each connection.
    pub durable: bool,
    /// How many rows of one source a subscription takes: a snapshot, or a change, with more is given
    /// up. Default 8,000,000, eight times what one call of a driver may give (`rows_per_call`).
    pub snapshot_rows: usize,
    /// How much memory they may take, in bytes, roughly. Default 4 GiB, eight times
    /// `row_bytes_per_call`.
    pub snapshot_bytes: usize,
}

/// One broker.
#[derive(Clone, PartialEq, Eq)]
pub struct RabbitHost {
    /// A name or address; IPv6 addresses without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

/// How TLS is used. The broker's certificate is always checked, its name included.
#[derive(Clone, Debug, Default)]
pub struct RabbitTls {
    /// PEM file of the authorities that the broker's certificate may come from; the system's if
    /// none is given.
    pub ca_file: Option<PathBuf>,
    /// PEM file of this node's certificate and those between it and its authority.
    pub cert_file: Option<PathBuf>,
    /// PEM file of its key; without one it is looked for in `cert_file`.
    pub key_file: Option<PathBuf>,
}

impl RabbitOptions {
    /// The defaults, for a broker reached without TLS.
    pub fn new(
        node_id: impl Into<String>,
        instance: impl Into<String>,
        hosts: Vec<RabbitHost>,
    ) -> Self {
        Self {
            node_id: node_id.into(),
            instance: instance.into(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            bus_id: "bus".to_owned(),
            hosts,
            virtual_host: "/".to_owned(),
            tls: None,
            peer_timeout: PEER_TIMEOUT,
            heartbeat: Duration::from_secs(2),
            retry: Duration::from_secs(1),
            queue_expiry: Duration::from_secs(1800),
            prefetch: 0,
            durable: false,
            snapshot_rows: TABLES.rows,
            snapshot_bytes: TABLES.bytes,
        }
    }

    /// Why there can be no link with these options, whatever the broker says.
    pub(super) fn problem(&self) -> Option<String> {
        let bounded = [
            ("bus_id", &self.bus_id, MAX_BUS_ID),
            ("node_id", &self.node_id, MAX_NAME),
            ("the instance", &self.instance, MAX_INSTANCE),
            ("the version of the program", &self.program, MAX_NAME),
            ("the name of the virtual host", &self.virtual_host, MAX_VIRTUAL_HOST),
        ];
        let (what, text, most) = bounded.into_iter().find(|(_, text, most)| text.len() > *most)?;
        Some(format!("{what} has {} bytes; it can have {most} at most", text.len()))
    }
}

impl fmt::Debug for RabbitHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user, .. } = self;
        write!(f, "{user}:***@{host}:{port}")
    }
}
