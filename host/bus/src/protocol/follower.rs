//! One subscription of this node: what it has, what waits for its reader, what it fetches.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;

use congress_table::{Change, Digest, Row, TableSchema};

use super::message::{SnapshotChunk, set_of};
use super::source::{Arrived, rows_of};
use super::{GRACE, RETRY, Random, Size, TOO_LARGE, Time, WINDOW};
use crate::TableName;
use crate::stream::{Cursor, Position, Snapshot, Update};

/// How many changes wait for a reader before it is to take a snapshot instead.
pub const QUEUE: usize = 64;
/// How many rows of changes wait for a reader, unless they are of one change.
pub const QUEUE_ROWS: usize = 1 << 20;
/// The same, in bytes.
const QUEUE_BYTES: usize = 1 << 30;
/// Both.
const QUEUE_SIZE: Size = Size { rows: QUEUE_ROWS, bytes: QUEUE_BYTES };
/// How many changes are kept that come while a snapshot is fetched.
const EARLY: usize = 256;
/// What a part of a snapshot counts as beyond its content, so that empty ones have an end too.
const PART: Size = Size { rows: 0, bytes: size_of::<SnapshotChunk>() };
/// How often the missing part of a snapshot is asked for before a new snapshot is.
const PULLS: u32 = 3;

/// A subscription.
#[derive(Debug)]
pub(super) struct Follower {
    pub(super) name: String,
    pub(super) tables: BTreeSet<TableName>,
    pub(super) set: u64,
    cursor: Cursor,
    fetch: Option<Fetch>,
    /// Of the tables at the cursor; kept for streams of other nodes only.
    digests: HashMap<TableName, Digest>,
    /// With the size of each change.
    queue: VecDeque<(Size, Update)>,
    queued: Size,
    /// The reader is too slow: once it has read what waits it needs a snapshot.
    lagging: bool,
    /// A publisher was there, as far as the reader knows or will read.
    present: bool,
    /// A publisher has been seen further on, and since when nothing has come of it.
    behind: Option<(Position, Time)>,
    /// How many snapshots it has wanted.
    pub(super) snapshots: u64,
    /// Breaks the rules, so that the simulation can be seen to find it.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fault: Option<super::core::Fault>,
}

/// A snapshot that is wanted.
#[derive(Debug)]
struct Fetch {
    /// When to ask, or to ask again.
    due: Time,
    attempts: u32,
    assembly: Option<Assembly>,
    /// The last one was too large: what comes of it is ignored until one is asked for again.
    refused: bool,
    /// Changes that came meanwhile, by their number.
    early: BTreeMap<u64, Arc<Arrived>>,
    early_size: Size,
}

/// A snapshot that arrives.
#[derive(Debug)]
struct Assembly {
    session: u64,
    position: Position,
    /// The next part that is missing.
    next: u32,
    /// Parts before this one have been asked for.
    granted: u32,
    last: Option<u32>,
    waiting: BTreeMap<u32, Arc<SnapshotChunk>>,
    /// Of all parts that have come.
    size: Size,
    schema: Vec<Arc<TableSchema>>,
    tables: Vec<(TableName, Vec<Row>)>,
    sums: Vec<Digest>,
    digests: Vec<Option<Digest>>,
}

/// What a follower needs to be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Need {
    Snapshot,
    Parts { session: u64, next: u32 },
}

impl Follower {
    pub(super) fn new(name: &str, tables: BTreeSet<TableName>, now: Time) -> Self {
        let mut follower = Self {
            name: name.to_owned(),
            set: set_of(&tables),
            tables,
            cursor: Cursor::default(),
            fetch: None,
            digests: HashMap::new(),
            queue: VecDeque::new(),
            queued: Size::default(),
            lagging: false,
            present: false,
            behind: None,
            snapshots: 0,
            #[cfg(any(test, feature = "simulation"))]
            fault: None,
        };
        follower.start_fetch(now);
        follower
    }

    /// Where what waits for the reader leads to.
    pub(super) fn position(&self) -> Option<Position> {
        self.cursor.position()
    }

    /// Whether it misses nothing that it knows of.
    pub(super) fn is_live(&self) -> bool {
        self.fetch.is_none() && !self.lagging
    }

    pub(super) fn set_tables(&mut self, tables: BTreeSet<TableName>, now: Time) -> bool {
        if self.tables == tables {
            return false;
        }
        self.set = set_of(&tables);
        self.tables = tables;
        self.start_fetch(now);
        true
    }

    /// Drops what waits (Gone excepted) and wants a snapshot.
    fn start_fetch(&mut self, now: Time) {
        self.behind = None;
        self.lagging = false;
        self.snapshots += 1;
        self.drop_queue();
        self.fetch = Some(Fetch {
            due: now,
            attempts: 0,
            assembly: None,
            refused: false,
            early: BTreeMap::new(),
            early_size: Size::default(),
        });
    }

    /// What waits for the reader would be stale once a snapshot comes. That the publisher went
    /// stays true.
    fn drop_queue(&mut self) {
        self.queue.retain(|(_, update)| matches!(update, Update::Gone));
        self.queued = Size::default();
    }

    /// The publisher was replaced: what is under way of the old one is worth nothing.
    pub(super) fn leader_changed(&mut self, now: Time) {
        self.present = true;
        self.start_fetch(now);
    }

    /// The publisher is gone. True if the reader is to be told.
    pub(super) fn leader_gone(&mut self, now: Time) -> bool {
        self.start_fetch(now);
        if !std::mem::take(&mut self.present) || self.position().is_none() {
            return false;
        }
        // One that comes and goes is gone once, for a reader that has not heard of it yet.
        if !matches!(self.queue.back(), Some((_, Update::Gone))) {
            self.queue.push_back((Size::default(), Update::Gone));
        }
        true
    }

    /// The link is new: whatever was asked for is asked for again, at once.
    pub(super) fn link_up(&mut self, now: Time) {
        if let Some(fetch) = self.fetch.as_mut().filter(|fetch| !fetch.refused) {
            fetch.due = now;
            fetch.attempts = 0;
            fetch.assembly = None;
        }
    }

    /// What to ask for now, if anything; the next time is set.
    pub(super) fn need(&mut self, now: Time, random: &mut Random) -> Option<Need> {
        let fetch = self.fetch.as_mut().filter(|fetch| fetch.due <= now)?;
        let [first, most] = RETRY;
        fetch.due = now + random.around((first * (fetch.attempts + 1)).min(most));
        fetch.attempts += 1;
        fetch.refused = false;
        if fetch.attempts > PULLS {
            fetch.assembly = None;
        }
        match &mut fetch.assembly {
            Some(assembly) => {
                assembly.granted = assembly.next.saturating_add(WINDOW);
                Some(Need::Parts { session: assembly.session, next: assembly.next })
            }
            None => {
                fetch.attempts = 1.max(fetch.attempts % (PULLS + 1));
                Some(Need::Snapshot)
            }
        }
    }

    /// The publisher has no such snapshot: a new one is needed.
    pub(super) fn no_session(&mut self, session: u64, now: Time) {
        if let Some(fetch) = &mut self.fetch
            && fetch.assembly.as_ref().is_some_and(|assembly| assembly.session == session)
        {
            fetch.assembly = None;
            fetch.due = now;
        }
    }

    /// A change arrives. True if there is something for the reader.
    pub(super) fn on_change(&mut self, arrived: &Arc<Arrived>, now: Time) -> bool {
        if self.lagging {
            return false;
        }
        if let Some(fetch) = &mut self.fetch {
            fetch.hold(arrived);
            return false;
        }
        let to = arrived.position;
        if !self.cursor.is_behind(to) {
            return false;
        }
        let next = self.position().is_some_and(|at| to.follows(at));
        #[cfg(any(test, feature = "simulation"))]
        let next = next || self.fault == Some(super::core::Fault::IgnoreGaps);
        let complete =
            !arrived.reset && !arrived.omitted.iter().any(|name| self.tables.contains(name));
        if !(next && complete && self.digests_agree(arrived)) {
            self.start_fetch(now);
            if let Some(fetch) = &mut self.fetch {
                fetch.hold(arrived);
            }
            return false;
        }
        self.cursor.on_snapshot(to);
        match &mut self.behind {
            Some((head, _)) if *head <= to => self.behind = None,
            Some((_, since)) => *since = now,
            None => {}
        }
        match narrow(&arrived.change, &self.tables) {
            Some(change) => {
                let size = Size { rows: rows_of(&change), bytes: arrived.bytes };
                self.push_change(to, change, size)
            }
            None => false,
        }
    }

    /// Whether the tables' digests after a change are what its publisher says. Notes them if so.
    fn digests_agree(&mut self, arrived: &Arrived) -> bool {
        #[cfg(any(test, feature = "simulation"))]
        if self.fault == Some(super::core::Fault::IgnoreGaps) {
            return true;
        }
        let mut after = Vec::new();
        for (name, net, stated) in &arrived.digests {
            if !self.tables.contains(name) {
                continue;
            }
            let mut digest = self.digests.get(name).copied().unwrap_or_default();
            digest.add(*net);
            if stated.is_some_and(|stated| stated != digest) {
                tracing::warn!(
                    subscriber = %self.name, table = %name,
                    "rows differ from the publisher's; taking a snapshot"
                );
                return false;
            }
            after.push((name.clone(), digest));
        }
        self.digests.extend(after);
        true
    }

    fn push_change(&mut self, position: Position, change: Arc<Change>, size: Size) -> bool {
        let mut after = self.queued;
        after.add(size);
        let full = self.queue.len() >= QUEUE || !self.queue.is_empty() && after.exceeds(QUEUE_SIZE);
        if full {
            self.drop_queue();
            self.lagging = true;
            return true;
        }
        self.queued = after;
        self.queue.push_back((size, Update::Change(position, change)));
        true
    }

    /// Part of a snapshot arrives. Gives what to ask for next, and whether there is something for
    /// the reader.
    pub(super) fn on_chunk(
        &mut self,
        chunk: &Arc<SnapshotChunk>,
        now: Time,
        most: Size,
    ) -> (Option<Need>, bool) {
        let nothing = (None, false);
        let backward = self.position().is_some_and(|at| chunk.position < at);
        if chunk.set != self.set || backward && !self.may_go_back() {
            return nothing;
        }
        let fetch = self.fetch.as_mut().filter(|fetch| !fetch.refused);
        let Some(fetch) = fetch else { return nothing };
        let assembly = fetch.assembly.get_or_insert_with(|| Assembly::new(chunk));
        if assembly.session != chunk.session || assembly.position != chunk.position {
            return nothing;
        }
        let before = assembly.next;
        assembly.take(chunk);
        if assembly.size.exceeds(most) {
            let Size { rows, bytes } = assembly.size;
            tracing::warn!(
                subscriber = %self.name, source = %chunk.source, rows, bytes,
                "a snapshot is too large and is given up; another one is asked for in {TOO_LARGE:?}"
            );
            fetch.refuse(now);
            return nothing;
        }
        if assembly.next > before {
            fetch.due = now + RETRY[0];
            fetch.attempts = 0;
        }
        let assembly_next = assembly.next;
        if assembly.last.is_some_and(|last| assembly_next > last) {
            return (None, self.finish(now));
        }
        if assembly.last.is_none() && assembly.next.saturating_add(WINDOW / 2) >= assembly.granted {
            let need = Need::Parts { session: assembly.session, next: assembly.granted };
            assembly.granted = assembly.granted.saturating_add(WINDOW);
            return (Some(need), false);
        }
        nothing
    }

    /// Whether a rule is broken for the simulation.
    fn may_go_back(&self) -> bool {
        #[cfg(any(test, feature = "simulation"))]
        let broken = self.fault == Some(super::core::Fault::AcceptLowerEpochs);
        #[cfg(not(any(test, feature = "simulation")))]
        let broken = false;
        broken
    }

    /// All parts are there.
    fn finish(&mut self, now: Time) -> bool {
        let Some(Fetch { assembly: Some(assembly), early, .. }) = self.fetch.take() else {
            return false;
        };
        let agree = |(sum, stated): (&Digest, &Option<Digest>)| stated.is_none_or(|s| s == *sum);
        if !assembly.sums.iter().zip(&assembly.digests).all(agree) {
            tracing::warn!(subscriber = %self.name, "a snapshot is damaged; taking another one");
            self.start_fetch(now + RETRY[0]);
            return false;
        }
        self.digests = assembly
            .tables
            .iter()
            .zip(&assembly.sums)
            .map(|((name, _), sum)| (name.clone(), *sum))
            .collect();
        let snapshot = Snapshot {
            position: assembly.position,
            schema: assembly.schema.into(),
            tables: assembly.tables,
        };
        self.take_snapshot(snapshot, early, now)
    }

    /// A snapshot of a publication of this node.
    pub(super) fn local_snapshot(&mut self, snapshot: Snapshot, now: Time) -> bool {
        match self.fetch.take() {
            None => false,
            Some(fetch) => {
                self.digests.clear();
                self.take_snapshot(snapshot, fetch.early, now)
            }
        }
    }

    fn take_snapshot(
        &mut self,
        snapshot: Snapshot,
        early: BTreeMap<u64, Arc<Arrived>>,
        now: Time,
    ) -> bool {
        if self.may_go_back() {
            self.cursor = Cursor::default();
        }
        if !self.cursor.on_snapshot(snapshot.position) {
            self.start_fetch(now);
            return false;
        }
        self.queue.clear();
        self.queued = Size::default();
        self.present = true;
        self.queue.push_back((Size::default(), Update::Snapshot(snapshot)));
        for arrived in early.values() {
            self.on_change(arrived, now);
        }
        true
    }

    /// The publisher says where it stands. `lost`: what it said before may not have come.
    pub(super) fn on_head(&mut self, head: Position, lost: bool, now: Time) {
        #[cfg(any(test, feature = "simulation"))]
        if self.fault == Some(super::core::Fault::IgnoreGaps) {
            return;
        }
        if self.fetch.is_some() || self.lagging || !self.cursor.is_behind(head) {
            return;
        }
        if lost {
            self.start_fetch(now);
        } else {
            self.behind.get_or_insert((head, now));
        }
    }

    /// The publisher says what a table's digest is at a position.
    pub(super) fn on_digest(&mut self, at: Position, table: &str, digest: Digest, now: Time) {
        let known = self.digests.get(table).copied().unwrap_or_default();
        if self.fetch.is_none()
            && !self.lagging
            && self.position() == Some(at)
            && self.tables.contains(table)
            && known != digest
        {
            tracing::warn!(
                subscriber = %self.name, table,
                "rows differ from the publisher's; taking a snapshot"
            );
            self.start_fetch(now);
        }
    }

    pub(super) fn tick(&mut self, now: Time) {
        if let Some((head, since)) = self.behind
            && now >= since + GRACE
        {
            self.behind = None;
            if self.cursor.is_behind(head) {
                self.start_fetch(now);
            }
        }
    }

    /// The next update for the reader.
    pub(super) fn next(&mut self, now: Time) -> Option<Update> {
        match self.queue.pop_front() {
            Some((size, update)) => {
                self.queued.remove(size);
                Some(update)
            }
            None => {
                if self.lagging {
                    self.start_fetch(now);
                }
                None
            }
        }
    }
}

impl Fetch {
    fn hold(&mut self, arrived: &Arc<Arrived>) {
        let mut after = self.early_size;
        after.add(arrived.size());
        if self.early.len() >= EARLY || after.exceeds(QUEUE_SIZE) {
            // The gap that this leaves is found after the snapshot.
            self.early.clear();
            after = arrived.size();
        }
        self.early_size = after;
        self.early.insert(arrived.position.sequence, arrived.clone());
    }

    /// The snapshot is more than this node takes. It will hardly be less the next moment.
    fn refuse(&mut self, now: Time) {
        self.assembly = None;
        self.attempts = 0;
        self.refused = true;
        self.due = now + TOO_LARGE;
    }
}

impl Assembly {
    fn new(chunk: &SnapshotChunk) -> Self {
        Self {
            session: chunk.session,
            position: chunk.position,
            next: 0,
            granted: WINDOW,
            last: None,
            waiting: BTreeMap::new(),
            size: Size::default(),
            schema: Vec::new(),
            tables: Vec::new(),
            sums: Vec::new(),
            digests: Vec::new(),
        }
    }

    fn take(&mut self, chunk: &Arc<SnapshotChunk>) {
        // Only what was asked for is kept, and of what comes twice the first.
        if chunk.index < self.next
            || chunk.index >= self.granted.saturating_add(WINDOW)
            || self.waiting.contains_key(&chunk.index)
        {
            return;
        }
        self.size.add(chunk.content.size);
        self.size.add(PART);
        self.waiting.insert(chunk.index, chunk.clone());
        while let Some(chunk) = self.waiting.remove(&self.next) {
            self.append(&chunk);
            self.next = self.next.saturating_add(1);
        }
    }

    fn append(&mut self, chunk: &SnapshotChunk) {
        if chunk.last {
            self.last = Some(chunk.index);
        }
        self.schema.extend(chunk.content.schema.iter().cloned());
        for (part, sum) in chunk.content.parts.iter().zip(&chunk.content.sums) {
            if self.tables.last().is_none_or(|(name, _)| *name != part.name) {
                self.tables.push((part.name.clone(), Vec::new()));
                self.sums.push(Digest::default());
                self.digests.push(None);
            }
            if let (Some((_, rows)), Some(total), Some(digest)) =
                (self.tables.last_mut(), self.sums.last_mut(), self.digests.last_mut())
            {
                rows.extend(part.added.iter().cloned());
                total.add(*sum);
                *digest = digest.or(part.digest);
            }
        }
    }
}

/// The change without tables that a subscriber has not asked for; shared if nothing is cut.
fn narrow(change: &Arc<Change>, tables: &BTreeSet<TableName>) -> Option<Arc<Change>> {
    let wanted = |name: &TableName| tables.contains(name);
    if !change.tables.is_empty() && change.tables.iter().all(|(name, _)| wanted(name)) {
        return Some(change.clone());
    }
    let tables: Vec<_> = change.tables.iter().filter(|(name, _)| wanted(name)).cloned().collect();
    (!tables.is_empty()).then(|| Arc::new(Change { tables }))
}
