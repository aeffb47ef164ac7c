//! What nodes say to each other and when, apart from any transport.
//!
//! [`Core`] is one node's part: a state machine that does no input or output. It is told what
//! happens (a message came, time passed, a change was committed, the link went down), each time
//! with the present [`Time`], and leaves [`Output`]s that its driver carries out. The driver of
//! production is [`RabbitBus`](crate::RabbitBus); that of the simulation has virtual time.
//!
//! What holds whatever is lost, repeated, reordered or late:
//!
//! * A subscriber applies a snapshot, then changes without a gap, each once, as a whole. A gap, a
//!   change of a table that it wants without its rows, a digest that differs, or a publisher that
//!   stands further on for [`GRACE`]: it fetches a snapshot.
//! * Nothing of a lower epoch is applied after something of a higher one.
//! * Whatever is asked for is asked for again until it comes: nothing hangs on one message.
//! * Every queue and every buffer has a bound; what does not fit is dropped, and repaired by a
//!   snapshot once there is room.
//!
//! `docs/protocol.md` describes the messages byte by byte.

mod calls;
mod core;
mod encode;
mod follower;
mod message;
mod presence;
mod rows;
mod sessions;
mod source;
mod wire;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use congress_table::{Change, Digest};

#[cfg(any(test, feature = "simulation"))]
pub use self::core::Fault;
pub use self::core::{Core, Identity};
pub use calls::{CallRoute, MAX_CALL, Ticket};
pub use encode::{encode_change, encode_snapshot};
pub use follower::{QUEUE, QUEUE_ROWS};
pub use message::{
    Announce, Call, Delta, Envelope, Heartbeat, Instance, MAX_BODY, MAX_INSTANCE, MAX_NAME,
    Message, Registers, Reply, ReplyStatus, SnapshotChunk, Subscribe, VERSION, set_of,
};
pub use rows::{CHUNK, Content, Part};
pub use sessions::{MAX_SESSION_BYTES, WINDOW};
pub use source::Arrived;
pub use wire::Malformed;

use crate::stream::{Epoch, Position};
use crate::{CallError, Register, TableName};

/// Monotonic time since an origin that the driver chose.
pub type Time = Duration;

/// How often a node says that it lives.
pub const HEARTBEAT: Duration = Duration::from_secs(1);
/// How long a silent node counts as living, unless configured otherwise.
pub const PEER_TIMEOUT: Duration = Duration::from_secs(5);
/// How often an unchanged announcement is repeated.
pub const ANNOUNCE: Duration = Duration::from_secs(10);
/// How long a subscriber that seems behind waits for what may be on its way.
pub const GRACE: Duration = Duration::from_millis(1500);
/// After which silence something asked for is asked for again: the first time, and at most.
pub const RETRY: [Duration; 2] = [Duration::from_millis(1000), Duration::from_millis(2000)];
/// How often a subscriber repeats unasked what it wants.
pub const REFRESH: Duration = Duration::from_secs(20);
/// How long a publisher believes a subscriber that does not repeat it.
pub const INTEREST: Duration = Duration::from_secs(70);
/// After which time a snapshot is asked for again that was too large.
pub const TOO_LARGE: Duration = Duration::from_secs(60);
/// How often the driver calls [`Core::tick`].
pub const TICK: Duration = Duration::from_millis(20);

/// How much of tables there is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows.
    pub rows: usize,
    /// What they take in memory, in bytes, roughly.
    pub bytes: usize,
}

/// The most that a subscription takes of one source, unless told otherwise: eight times what one call
/// of a driver may give.
pub const TABLES: Size = Size { rows: 8_000_000, bytes: 4 << 30 };

impl Size {
    /// Counts more in.
    pub fn add(&mut self, more: Self) {
        self.rows = self.rows.saturating_add(more.rows);
        self.bytes = self.bytes.saturating_add(more.bytes);
    }

    /// Counts some out.
    pub fn remove(&mut self, less: Self) {
        self.rows = self.rows.saturating_sub(less.rows);
        self.bytes = self.bytes.saturating_sub(less.bytes);
    }

    /// Whether there is more of anything than `most`.
    pub fn exceeds(self, most: Self) -> bool {
        self.rows > most.rows || self.bytes > most.bytes
    }
}

/// A subscription of this node.
pub type FollowerId = u64;

/// Which way a message goes. What is in one lane to one node arrives in order, if it arrives;
/// lanes do not wait for each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Lane {
    /// Presence, registers, what is wanted: small and urgent.
    Control,
    /// Changes and snapshots.
    Data,
    /// Calls and replies.
    Calls,
}

/// Where a message goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Every node.
    All,
    /// The nodes bound to a source.
    Source(Arc<str>),
    /// One node.
    Node(Instance),
    /// One node's queue of calls; who calls wants to know whether there is such a queue.
    Calls(Instance),
}

/// A change that is to be encoded and sent, in its turn in [`Lane::Data`].
#[derive(Clone, Debug)]
pub struct ChangeToSend {
    /// The source.
    pub source: Arc<str>,
    /// Where the change leads to.
    pub position: Position,
    /// The change.
    pub change: Arc<Change>,
    /// The tables that other nodes want. Rows of others are left out.
    pub wanted: Arc<BTreeSet<TableName>>,
    /// The digests of the changed tables, in the order of the change.
    pub digests: Vec<Digest>,
}

/// A snapshot that is to be taken, encoded and handed to [`Core::snapshot_ready`].
#[derive(Clone, Debug)]
pub struct SnapshotJob {
    /// Its number.
    pub session: u64,
    /// The source.
    pub source: Arc<str>,
    /// The epoch of the publication.
    pub epoch: Epoch,
    /// The tables.
    pub tables: BTreeSet<TableName>,
}

/// What a driver is to do.
#[derive(Clone, Debug)]
pub enum Output {
    /// Send a message.
    Send {
        /// The way it goes.
        lane: Lane,
        /// Where it goes.
        to: Target,
        /// Its bytes.
        bytes: Bytes,
        /// The call that it begins: [`Core::call_failed`] if it cannot be delivered.
        call: Option<u64>,
    },
    /// Encode a change by [`encode_change`] and send the chunks to [`Target::Source`].
    SendChange(ChangeToSend),
    /// Take a snapshot of a publication of this node, for other nodes.
    Snapshot(SnapshotJob),
    /// Take a snapshot of a publication of this node, for [`Core::local_snapshot`].
    LocalSnapshot {
        /// The subscription.
        follower: FollowerId,
        /// The source.
        source: Arc<str>,
        /// The epoch of the publication.
        epoch: Epoch,
        /// The tables.
        tables: BTreeSet<TableName>,
    },
    /// Have messages to [`Target::Source`] routed here, then tell [`Core::bound`].
    Bind(Arc<str>),
    /// Have them routed here no longer.
    Unbind(Arc<str>),
    /// There may be an update for a subscription.
    Update(FollowerId),
    /// [`Core::nodes`] has changed.
    Nodes,
    /// A register has risen.
    Register(Register, u64),
    /// What is wanted of a publication of this node has changed.
    Wanted(Arc<str>, BTreeSet<TableName>),
    /// A call for a service of this node.
    Request {
        /// For [`Core::reply`].
        ticket: Ticket,
        /// The service.
        service: Arc<str>,
        /// The request.
        body: Bytes,
    },
    /// A call of this node is over.
    CallDone {
        /// Its number.
        id: u64,
        /// How it went.
        result: Result<Bytes, CallError>,
    },
}

/// A small generator (SplitMix64) for jitter; what it gives need not be secret.
#[derive(Clone, Debug)]
pub struct Random(pub u64);

impl Random {
    /// The next number.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which is not 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        self.draw() % bound.max(1)
    }

    /// A duration between 80 and 120 percent of one.
    pub fn around(&mut self, duration: Duration) -> Duration {
        duration.saturating_mul(80 + self.below(41) as u32) / 100
    }
}

#[cfg(test)]
mod tests;
