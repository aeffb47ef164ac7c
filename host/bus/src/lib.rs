//! How nodes talk: table streams, remote calls and presence.
//!
//! * **Streams.** A datasource publishes [`Change`](congress_table::Change)s of its tables, numbered
//!   by (epoch, sequence); a subscriber receives a snapshot and then every change in order. Whatever
//!   is lost on the way (a slow subscriber, a broker's restart) is noticed by its number and repaired
//!   by a fresh snapshot. The rules are in [`Cursor`], apart from any transport.
//! * **Calls.** One request, one reply, with a deadline; a call to a service that is nowhere fails
//!   at once.
//! * **Presence.** Which nodes there are, what they serve and what they subscribe to.
//!
//! [`InProcessBus`] connects the roles within one process, [`RabbitBus`] those of many. Everything
//! goes through the [`Bus`] trait, so that roles do not know which transport they use:
//!
//! ```no_run
//! # use std::sync::Arc;
//! # use congress_bus::{Bus, InProcessBus, RabbitBus, RabbitHost, RabbitOptions};
//! # fn bus(in_process: bool, node_id: &str, instance: &str) -> Arc<dyn Bus> {
//! if in_process {
//!     return Arc::new(InProcessBus::new(node_id, instance));
//! }
//! let (user, password) = ("congress".to_owned(), "secret".to_owned());
//! let host = RabbitHost { host: "mq1".to_owned(), port: 5672, user, password };
//! let options = RabbitOptions {
//!     bus_id: "bus".to_owned(), // [dse] bus_id
//!     virtual_host: "/".to_owned(),
//!     ..RabbitOptions::new(node_id, instance, vec![host])
//! };
//! // Within a Tokio runtime; it returns at once, whether or not there is a broker.
//! Arc::new(RabbitBus::connect(options))
//! # }
//! ```
//!
//! At a graceful stop, call [`Bus::leave`] last. An active datasource node raises
//! [`Register::Term`] to the term of its lease *before* it serves and publishes: calls go to the
//! node that began to serve at the highest term.
//!
//! [`protocol`] is what nodes say to each other, apart from any transport; with the feature
//! `simulation` there is a simulated world to test it, and what rests on it, in.
#![forbid(unsafe_code)]

mod call;
mod in_process;
pub mod protocol;
mod publication;
mod rabbit;
#[cfg(any(test, feature = "simulation"))]
pub mod simulation;
mod stream;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use congress_table::TableSchema;
use tokio::sync::watch;

pub use call::{CallError, Request, Requests};
pub use in_process::InProcessBus;
pub use publication::{Publication, Publisher};
pub use rabbit::{RabbitBus, RabbitHost, RabbitOptions, RabbitTls};
pub use stream::{Cursor, Epoch, Position, Snapshot, Step, Subscription, Update};

/// A table's name.
pub type TableName = Arc<str>;

/// The tables that a source can have, each with its columns.
pub type Schema = Arc<[Arc<TableSchema>]>;

/// One node as the bus sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// The name that the operator gave it.
    pub node_id: String,
    /// Drawn at start; tells two processes with one name apart.
    pub instance: String,
    /// The services it answers calls for.
    pub services: BTreeSet<String>,
}

/// A number that only grows and that all nodes share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Register {
    /// The revision of the shared database: whoever has less catches up.
    Revision,
    /// The term of the lease of the active datasource node: whoever held a lower one has lost it.
    Term,
}

/// The state of a node's connection to all others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Link {
    /// Messages get through.
    Up,
    /// They do not, and why, for the operator.
    Down(String),
}

/// How a bus fares, for operators.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct BusStatus {
    /// All nodes seen lately, this one included.
    pub peers: Vec<PeerStatus>,
    /// This node's subscriptions.
    pub subscriptions: Vec<SubscriptionStatus>,
    /// This node's publications.
    pub publications: Vec<PublicationStatus>,
    /// How many messages could not be sent for want of room.
    pub unsent: u64,
    /// How many messages that came were malformed.
    pub malformed: u64,
}

/// A node, as others see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerStatus {
    /// The name that the operator gave it.
    pub node_id: String,
    /// Drawn at its start.
    pub instance: String,
    /// The version of its program.
    pub program: String,
    /// How long ago it was heard; nothing for this node itself.
    pub silent_for: Duration,
}

/// A subscription of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SubscriptionStatus {
    /// Who subscribes.
    pub subscriber: String,
    /// To which source.
    pub source: String,
    /// To how many of its tables.
    pub tables: usize,
    /// The instance that publishes it; none if nobody does at present.
    pub publisher: Option<String>,
    /// Where the subscriber stands; none before the first snapshot.
    pub position: Option<Position>,
    /// Whether it misses nothing that it knows of.
    pub current: bool,
    /// How many snapshots it has asked for.
    pub snapshots: u64,
}

/// A publication of this node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicationStatus {
    /// The source.
    pub source: String,
    /// Where its stream stands.
    pub position: Position,
    /// Whether somebody else publishes it at a higher epoch, so that nobody listens here.
    pub fenced: bool,
    /// How many other nodes subscribe to it.
    pub nodes: usize,
}

/// Why a stream or service could not be registered.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RegisterError {
    /// A service of that name is already served on this node.
    #[error("service '{0}' is already served on this node")]
    Duplicate(String),
    /// Somebody publishes, or has published, this source under the same or a higher epoch.
    #[error("'{source_name}' is published at epoch {current}; epoch {offered} comes too late")]
    Fenced {
        /// The source.
        source_name: String,
        /// The highest epoch seen.
        current: Epoch,
        /// The one that was offered.
        offered: Epoch,
    },
}

/// The connection of one node to all others.
#[async_trait]
pub trait Bus: Send + Sync + 'static {
    /// Begins to publish a source. Its epoch must be higher than any before it, and not of a
    /// [term](Epoch::in_term) lower than [`Register::Term`]: once that has risen, nobody listens to
    /// what was published in a lower one. Epochs outside of terms need no lease.
    fn publish(&self, source: &str, epoch: Epoch) -> Result<Publisher, RegisterError>;

    /// Subscribes `subscriber` (a service's name, shown in the source's status) to some tables of
    /// a source. The source need not exist yet: the first update comes when it does. Whoever
    /// subscribes to no table follows the schema alone.
    fn subscribe(
        &self,
        subscriber: &str,
        source: &str,
        tables: BTreeSet<TableName>,
    ) -> Subscription;

    /// Who subscribes to tables of a source, on all nodes: service names, sorted.
    fn subscribers(&self, source: &str) -> Vec<String>;

    /// Answers calls for a service from now on, until the returned queue is dropped. At most
    /// `backlog` calls wait; further ones are refused as [`CallError::Busy`].
    fn serve(&self, service: &str, backlog: usize) -> Result<Requests, RegisterError>;

    /// Calls a service and waits for its reply.
    async fn call(
        &self,
        service: &str,
        body: Bytes,
        deadline: Duration,
    ) -> Result<Bytes, CallError>;

    /// All nodes seen lately, this one included; a change in who there is or what they serve is
    /// signalled.
    fn nodes(&self) -> watch::Receiver<Arc<[Node]>>;

    /// Raises a [`Register`] for all nodes. A value that is not higher than the present one changes
    /// nothing. What a broken link loses is repaired with the next heartbeat.
    fn raise(&self, register: Register, value: u64);

    /// The highest value of a register that any node was heard to raise; 0 until there is one.
    fn register(&self, register: Register) -> watch::Receiver<u64>;

    /// Whether messages get through at present.
    fn link(&self) -> watch::Receiver<Link>;

    /// Tells the other nodes that this one stops, so that they need not wait until it has been
    /// silent for long. For a graceful stop, as the last thing that is done with the bus.
    async fn leave(&self) {}

    /// How the bus fares, for operators.
    fn status(&self) -> BusStatus {
        let peer = |node: &Node| PeerStatus {
            node_id: node.node_id.clone(),
            instance: node.instance.clone(),
            program: env!("CARGO_PKG_VERSION").to_owned(),
            silent_for: Duration::ZERO,
        };
        let peers = self.nodes().borrow().iter().map(peer).collect();
        BusStatus { peers, ..BusStatus::default() }
    }
}
