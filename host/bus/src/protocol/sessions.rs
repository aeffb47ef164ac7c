//! Snapshots that a publisher has encoded, or is about to, for other nodes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use super::core::Context;
use super::message::{Instance, set_of};
use super::{Lane, Output, SnapshotJob, Target, Time};
use crate::TableName;
use crate::stream::Position;

/// How many parts of a snapshot are on their way to one node at a time: no more than that waits in
/// the broker.
pub const WINDOW: u32 = 16;
/// How many bytes of encoded snapshots are kept, unless they are of one snapshot.
pub const MAX_SESSION_BYTES: usize = 256 << 20;
/// How long an encoded snapshot is kept that nobody asks for.
const KEEP: Duration = Duration::from_secs(10);
/// How many snapshots may wait to be encoded.
const MAX_WAITING: usize = 64;

/// Snapshots by their number.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    next: u64,
    waiting: BTreeMap<u64, Waiting>,
    ready: BTreeMap<u64, Ready>,
}

#[derive(Debug)]
struct Waiting {
    source: Arc<str>,
    set: u64,
    requested: Time,
    /// Where it was taken, once it was.
    position: Option<Position>,
    requesters: BTreeSet<Instance>,
}

#[derive(Debug)]
struct Ready {
    source: Arc<str>,
    set: u64,
    position: Position,
    parts: Vec<Bytes>,
    bytes: usize,
    used: Time,
}

impl Sessions {
    /// A node wants a snapshot of a source that stands at `head`.
    pub(super) fn request(
        &mut self,
        from: Instance,
        source: &Arc<str>,
        head: Position,
        tables: BTreeSet<TableName>,
        cx: &mut Context<'_>,
    ) -> Option<u64> {
        let set = set_of(&tables);
        let ready = self
            .ready
            .iter()
            .find(|(_, r)| r.source == *source && r.set == set && r.position == head)
            .map(|(session, _)| *session);
        if let Some(session) = ready {
            self.send(session, 0, from, cx);
            return None;
        }
        for waiting in self.waiting.values_mut() {
            let fits = waiting.source == *source && waiting.set == set;
            let current = waiting.position.is_none_or(|position| position == head);
            if fits && (current || waiting.requesters.contains(&from)) {
                waiting.requesters.insert(from);
                return None;
            }
        }
        if self.waiting.len() >= MAX_WAITING {
            return None;
        }
        // Numbers of a process that ended must not be taken for this one's.
        if self.next == 0 {
            self.next = cx.random.draw() >> 1;
        }
        self.next += 1;
        let waiting = Waiting {
            source: source.clone(),
            set,
            requested: cx.now,
            position: None,
            requesters: [from].into(),
        };
        self.waiting.insert(self.next, waiting);
        Some(self.next)
    }

    /// The rows were copied; encoding begins.
    pub(super) fn taken(&mut self, job: &SnapshotJob, position: Position) {
        if let Some(waiting) = self.waiting.get_mut(&job.session) {
            waiting.position = Some(position);
        }
    }

    /// The snapshot is encoded, or could not be taken.
    pub(super) fn ready(
        &mut self,
        session: u64,
        encoded: Option<(Position, Vec<Bytes>)>,
        cx: &mut Context<'_>,
    ) {
        let Some(waiting) = self.waiting.remove(&session) else { return };
        let Some((position, parts)) = encoded else { return };
        let bytes = parts.iter().map(Bytes::len).sum();
        let Waiting { source, set, requesters, .. } = waiting;
        self.ready.insert(session, Ready { source, set, position, parts, bytes, used: cx.now });
        for requester in requesters {
            self.send(session, 0, requester, cx);
        }
        self.make_room();
    }

    fn make_room(&mut self) {
        while self.ready.len() > 1
            && self.ready.values().map(|ready| ready.bytes).sum::<usize>() > MAX_SESSION_BYTES
        {
            let oldest = self.ready.iter().min_by_key(|(_, ready)| ready.used);
            let Some(oldest) = oldest.map(|(session, _)| *session) else { return };
            self.ready.remove(&oldest);
        }
    }

    /// Sends a window of parts. False if there is no such snapshot.
    pub(super) fn send(
        &mut self,
        session: u64,
        next: u32,
        to: Instance,
        cx: &mut Context<'_>,
    ) -> bool {
        let Some(ready) = self.ready.get_mut(&session) else {
            return false;
        };
        ready.used = cx.now;
        for part in ready.parts.iter().skip(next as usize).take(WINDOW as usize) {
            cx.send_bytes(Lane::Data, Target::Node(to.clone()), part.clone());
        }
        true
    }

    /// Nothing is sent any more; whoever still wants something asks again.
    pub(super) fn link_down(&mut self) {
        self.ready.clear();
    }

    pub(super) fn tick(&mut self, now: Time) {
        self.ready.retain(|_, ready| now < ready.used + KEEP);
        // A driver that never came back with one must not block it for ever.
        self.waiting.retain(|_, waiting| now < waiting.requested + KEEP * 6);
    }

    /// The output that has a snapshot made.
    pub(super) fn start(job: SnapshotJob, cx: &mut Context<'_>) {
        cx.outputs.push_back(Output::Snapshot(job));
    }
}
