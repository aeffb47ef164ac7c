//! What a node knows of one source: who publishes it, its own publication of it if it has one,
//! and its subscriptions.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use congress_table::{Change, Digest, TableDelta};

use super::core::Context;
use super::follower::{Follower, Need};
use super::message::{Delta, Instance, Message, SnapshotChunk, Subscribe};
use super::{
    ChangeToSend, FollowerId, INTEREST, Lane, Output, REFRESH, Size, SnapshotJob, Target, Time,
};
use crate::stream::{Epoch, Position, Snapshot};
use crate::{BusStatus, PublicationStatus, SubscriptionStatus, TableName};

/// The most parts that a change is taken in.
const MAX_PARTS: u32 = 1024;
/// The most nodes whose interest in one publication is kept.
const MAX_INTERESTED: usize = 1000;

/// A change that has arrived, complete.
#[derive(Debug)]
pub struct Arrived {
    /// Where it leads to.
    pub position: Position,
    /// Something changed that it does not tell.
    pub reset: bool,
    /// The tables whose rows are in it.
    pub change: Arc<Change>,
    /// Tables that changed but whose rows are not in it.
    pub omitted: Vec<TableName>,
    /// Per table with rows: the digests of those that came less those that went, and the digest of
    /// the whole table after the change as its publisher states it.
    pub digests: Vec<(TableName, Digest, Option<Digest>)>,
    /// What its rows take in memory; nothing if they are shared with a publication of this node.
    pub bytes: usize,
}

impl Arrived {
    /// How much it is.
    pub(super) fn size(&self) -> Size {
        Size { rows: rows_of(&self.change), bytes: self.bytes }
    }
}

/// How many rows a change has.
pub(super) fn rows_of(change: &Change) -> usize {
    change.tables.iter().map(|(_, delta)| delta.added.len() + delta.removed.len()).sum()
}

#[derive(Debug)]
pub(super) struct Source {
    pub(super) name: Arc<str>,
    /// The highest epoch that anybody was heard to publish it at, and who that was.
    highest: Option<(Epoch, Instance)>,
    /// That one, while it does.
    leader: Option<Instance>,
    /// What the publisher said may have been lost: the link is new.
    pub(super) suspect: bool,
    pub(super) publication: Option<Published>,
    /// What other nodes want of this one's publication. Outlives it, for the next one.
    interest: HashMap<Instance, Interest>,
    pub(super) followers: BTreeMap<FollowerId, Follower>,
    /// A change of which not all parts have come.
    assembling: Option<Assembling>,
    pub(super) routed: Routed,
    /// Counts what was said to the publisher.
    version: u64,
    refresh_due: Time,
}

/// Whether messages about the source are routed to this node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Routed {
    No,
    Asked,
    Yes,
}

#[derive(Debug)]
struct Assembling {
    position: Position,
    next: u32,
    size: Size,
    arrived: Arrived,
    change: Change,
}

/// A publication of this node.
#[derive(Debug)]
pub(super) struct Published {
    pub(super) epoch: Epoch,
    pub(super) position: Position,
    pub(super) digests: BTreeMap<TableName, Digest>,
    /// All that is wanted, here and elsewhere.
    wanted: BTreeSet<TableName>,
    /// What is wanted elsewhere.
    wanted_elsewhere: Arc<BTreeSet<TableName>>,
}

#[derive(Debug)]
struct Interest {
    version: u64,
    heard: Time,
    subscribers: Vec<(String, BTreeSet<TableName>)>,
}

impl Published {
    pub(super) fn new(epoch: Epoch) -> Self {
        Self {
            epoch,
            position: Position { epoch, sequence: 0 },
            digests: BTreeMap::new(),
            wanted: BTreeSet::new(),
            wanted_elsewhere: Arc::default(),
        }
    }
}

impl Source {
    pub(super) fn new(name: Arc<str>) -> Self {
        Self {
            name,
            highest: None,
            leader: None,
            suspect: false,
            publication: None,
            interest: HashMap::new(),
            followers: BTreeMap::new(),
            assembling: None,
            routed: Routed::No,
            version: 0,
            refresh_due: Time::ZERO,
        }
    }

    /// Whether nothing is lost with it but the memory of an epoch.
    pub(super) fn is_idle(&self) -> bool {
        self.publication.is_none()
            && self.followers.is_empty()
            && self.leader.is_none()
            && self.interest.is_empty()
    }

    /// The highest epoch that anybody was heard to publish it at.
    pub(super) fn epoch(&self) -> Option<Epoch> {
        self.highest.as_ref().map(|(epoch, _)| *epoch)
    }

    /// Forgets what is higher: a rule broken for the simulation.
    #[cfg(any(test, feature = "simulation"))]
    pub(super) fn listen_to_lower(&mut self, epoch: Epoch) {
        if self.epoch().is_some_and(|highest| highest > epoch) {
            self.highest = None;
        }
    }

    fn is_local(&self, me: &Instance) -> bool {
        self.leader.as_ref() == Some(me)
    }

    /// Notes who publishes at which epoch. False if that is not the one to listen to.
    pub(super) fn learn(&mut self, from: &Instance, epoch: Epoch, cx: &mut Context<'_>) -> bool {
        match &self.highest {
            _ if epoch.has_lost(cx.term) => return false,
            Some((highest, _)) if epoch < *highest => return false,
            // Two publishers of one epoch cannot be told apart by their numbers: the first counts.
            Some((highest, by)) if epoch == *highest && by != from => return false,
            Some((highest, _)) if epoch == *highest && self.leader.is_some() => return true,
            _ => {}
        }
        self.highest = Some((epoch, from.clone()));
        self.leader = Some(from.clone());
        self.assembling = None;
        for follower in self.followers.values_mut() {
            follower.leader_changed(cx.now);
        }
        self.drive(cx);
        true
    }

    /// The publisher is silent, or has said that it publishes no longer.
    pub(super) fn absent(&mut self, who: &Instance, cx: &mut Context<'_>) {
        if self.leader.as_ref() != Some(who) {
            return;
        }
        self.leader = None;
        self.assembling = None;
        for (id, follower) in &mut self.followers {
            if follower.leader_gone(cx.now) {
                cx.outputs.push_back(Output::Update(*id));
            }
        }
    }

    /// A part of a change arrives.
    pub(super) fn on_delta(&mut self, from: &Instance, delta: Delta, cx: &mut Context<'_>) {
        if !self.learn(from, delta.position.epoch, cx) || self.followers.is_empty() {
            return;
        }
        let Delta { position, reset, index, last, content, .. } = delta;
        let fits =
            self.assembling.as_ref().is_some_and(|a| a.position == position && a.next == index);
        let mut assembling = match self.assembling.take() {
            Some(assembling) if fits => assembling,
            // Parts of a change come in order or not at all; without one it is a gap.
            _ if index == 0 => Assembling {
                position,
                next: 0,
                size: Size::default(),
                arrived: Arrived {
                    position,
                    reset,
                    change: Arc::default(),
                    omitted: Vec::new(),
                    digests: Vec::new(),
                    bytes: 0,
                },
                change: Change::default(),
            },
            _ => return,
        };
        assembling.size.add(content.size);
        if assembling.size.exceeds(cx.most) {
            // As a gap, which a snapshot mends.
            let Size { rows, bytes } = assembling.size;
            tracing::warn!(source = %self.name, rows, bytes, "a change is too large and is given up");
            return;
        }
        assembling.append(content);
        assembling.next += 1;
        if last {
            let Assembling { mut arrived, change, size, .. } = assembling;
            arrived.bytes = size.bytes;
            arrived.change = Arc::new(change);
            self.deliver(&Arc::new(arrived), cx);
        } else if assembling.next < MAX_PARTS {
            self.assembling = Some(assembling);
        }
    }

    fn deliver(&mut self, arrived: &Arc<Arrived>, cx: &mut Context<'_>) {
        for (id, follower) in &mut self.followers {
            if follower.on_change(arrived, cx.now) {
                cx.outputs.push_back(Output::Update(*id));
            }
        }
        self.drive(cx);
    }

    /// A part of a snapshot arrives.
    pub(super) fn on_chunk(
        &mut self,
        from: &Instance,
        chunk: &Arc<SnapshotChunk>,
        cx: &mut Context<'_>,
    ) {
        if !self.learn(from, chunk.position.epoch, cx) {
            return;
        }
        // Several subscriptions to the same tables share what comes, and ask once.
        let mut asked = None;
        for (id, follower) in &mut self.followers {
            let (need, news) = follower.on_chunk(chunk, cx.now, cx.most);
            if news {
                cx.outputs.push_back(Output::Update(*id));
            }
            asked = asked.or(need);
        }
        if let Some(Need::Parts { session, next }) = asked {
            self.pull(session, next, cx);
        }
        self.drive(cx);
    }

    pub(super) fn on_no_session(&mut self, session: u64, cx: &mut Context<'_>) {
        for follower in self.followers.values_mut() {
            follower.no_session(session, cx.now);
        }
        self.drive(cx);
    }

    fn pull(&self, session: u64, next: u32, cx: &mut Context<'_>) {
        if let Some(leader) = self.leader.clone() {
            let message = Message::Pull { source: self.name.clone(), session, next };
            cx.send(Lane::Control, Target::Node(leader), message);
        }
    }

    /// The publisher says where it stands.
    pub(super) fn on_head(
        &mut self,
        from: &Instance,
        head: Position,
        lost: bool,
        cx: &mut Context<'_>,
    ) {
        if self.learn(from, head.epoch, cx) {
            let lost = lost || std::mem::take(&mut self.suspect);
            for follower in self.followers.values_mut() {
                follower.on_head(head, lost, cx.now);
            }
            self.drive(cx);
        }
    }

    pub(super) fn on_digest(
        &mut self,
        from: &Instance,
        at: Position,
        table: &str,
        digest: Digest,
        cx: &mut Context<'_>,
    ) {
        if self.leader.as_ref() == Some(from) {
            for follower in self.followers.values_mut() {
                follower.on_digest(at, table, digest, cx.now);
            }
        }
    }

    pub(super) fn local_snapshot(
        &mut self,
        id: FollowerId,
        snapshot: Snapshot,
        cx: &mut Context<'_>,
    ) {
        if self.epoch() == Some(snapshot.position.epoch)
            && let Some(follower) = self.followers.get_mut(&id)
        {
            if follower.local_snapshot(snapshot, cx.now) {
                cx.outputs.push_back(Output::Update(id));
            }
            self.drive(cx);
        }
    }

    /// Asks for what followers need and has not been asked for lately.
    pub(super) fn drive(&mut self, cx: &mut Context<'_>) {
        let Some(leader) = self.leader.clone() else { return };
        let local = self.is_local(cx.me);
        if !local && (!cx.link_up || self.routed != Routed::Yes) {
            return;
        }
        let mut needs = Vec::new();
        for (id, follower) in &mut self.followers {
            if let Some(need) = follower.need(cx.now, cx.random) {
                needs.push((*id, need, follower.tables.clone()));
            }
        }
        let mut sets = BTreeSet::new();
        for (follower, need, tables) in needs {
            match need {
                Need::Parts { session, next } => self.pull(session, next, cx),
                Need::Snapshot if local => {
                    if let Some(epoch) = self.epoch() {
                        let source = self.name.clone();
                        cx.outputs.push_back(Output::LocalSnapshot {
                            follower,
                            source,
                            epoch,
                            tables,
                        });
                    }
                }
                Need::Snapshot => {
                    // One snapshot serves all that want the same tables.
                    if sets.insert(tables.clone()) {
                        self.say_what_is_wanted(&leader, Some(tables), cx);
                    }
                }
            }
        }
    }

    /// Tells the publisher all subscriptions of this node.
    pub(super) fn say_what_is_wanted(
        &mut self,
        leader: &Instance,
        fetch: Option<BTreeSet<TableName>>,
        cx: &mut Context<'_>,
    ) {
        self.version += 1;
        self.refresh_due = cx.now + cx.random.around(REFRESH);
        let subscribers =
            self.followers.values().map(|f| (f.name.clone(), f.tables.clone())).collect();
        let message = Message::Subscribe(Subscribe {
            source: self.name.clone(),
            version: self.version,
            subscribers,
            fetch,
        });
        cx.send(Lane::Control, Target::Node(leader.clone()), message);
    }

    /// The set of subscriptions, or of their tables, has changed.
    pub(super) fn followers_changed(&mut self, cx: &mut Context<'_>) {
        self.update_wanted(cx);
        let me = cx.me.clone();
        if let Some(leader) = self.leader.clone().filter(|leader| *leader != me) {
            self.say_what_is_wanted(&leader, None, cx);
        }
        match (self.followers.is_empty(), self.routed) {
            (false, Routed::No) if cx.link_up => {
                self.routed = Routed::Asked;
                cx.outputs.push_back(Output::Bind(self.name.clone()));
            }
            (true, Routed::Asked | Routed::Yes) => {
                self.routed = Routed::No;
                cx.outputs.push_back(Output::Unbind(self.name.clone()));
            }
            _ => {}
        }
        self.drive(cx);
    }

    /// Another node says what it wants of a publication of this one. Gives the tables of which it
    /// wants a snapshot.
    pub(super) fn on_subscribe(
        &mut self,
        from: &Instance,
        subscribe: Subscribe,
        cx: &mut Context<'_>,
    ) -> Option<BTreeSet<TableName>> {
        self.publication.as_ref()?;
        let known = self.interest.get(from).map(|interest| interest.version);
        if known.is_none() && self.interest.len() >= MAX_INTERESTED {
            return None;
        }
        // One that was overtaken says nothing any more.
        if known.is_none_or(|known| known < subscribe.version) {
            let interest = Interest {
                version: subscribe.version,
                heard: cx.now,
                subscribers: subscribe.subscribers,
            };
            self.interest.insert(from.clone(), interest);
            self.update_wanted(cx);
        }
        subscribe.fetch
    }

    /// A node is gone, and with it its subscriptions.
    pub(super) fn forget_interest(&mut self, who: &Instance, cx: &mut Context<'_>) {
        if self.interest.remove(who).is_some() {
            self.update_wanted(cx);
        }
    }

    pub(super) fn update_wanted(&mut self, cx: &mut Context<'_>) {
        let Some(published) = &mut self.publication else { return };
        let elsewhere: BTreeSet<_> = self
            .interest
            .values()
            .flat_map(|interest| &interest.subscribers)
            .flat_map(|(_, tables)| tables.iter().cloned())
            .collect();
        let mut wanted = elsewhere.clone();
        wanted.extend(self.followers.values().flat_map(|f| f.tables.iter().cloned()));
        if *published.wanted_elsewhere != elsewhere {
            published.wanted_elsewhere = Arc::new(elsewhere);
        }
        if published.wanted != wanted {
            published.wanted.clone_from(&wanted);
            cx.outputs.push_back(Output::Wanted(self.name.clone(), wanted));
        }
    }

    /// How its subscriptions and its publication fare.
    pub(super) fn add_status(&self, status: &mut BusStatus) {
        status.subscriptions.extend(self.followers.values().map(|follower| SubscriptionStatus {
            subscriber: follower.name.clone(),
            source: self.name.to_string(),
            tables: follower.tables.len(),
            publisher: self.leader.as_ref().map(|leader| leader.to_string()),
            position: follower.position(),
            current: self.leader.is_some() && follower.is_live(),
            snapshots: follower.snapshots,
        }));
        status.publications.extend(self.publication.iter().map(|published| PublicationStatus {
            source: self.name.to_string(),
            position: published.position,
            fenced: self.epoch() != Some(published.epoch),
            nodes: self.interest.len(),
        }));
    }

    /// The names of those who subscribe to tables, here and, as far as this node publishes the
    /// source, elsewhere.
    pub(super) fn subscribers(&self) -> Vec<String> {
        let here = self.followers.values().map(|f| (&f.name, &f.tables));
        let elsewhere =
            self.interest.values().flat_map(|i| i.subscribers.iter().map(|(n, t)| (n, t)));
        let names: BTreeSet<_> = here
            .chain(elsewhere)
            .filter(|(_, tables)| !tables.is_empty())
            .map(|(name, _)| name.clone())
            .collect();
        names.into_iter().collect()
    }

    /// This node's publication has taken a change.
    pub(super) fn committed(
        &mut self,
        epoch: Epoch,
        position: Position,
        change: Arc<Change>,
        digests: Vec<Digest>,
        cx: &mut Context<'_>,
    ) {
        let leads = self.epoch() == Some(epoch) && !epoch.has_lost(cx.term);
        let Some(published) = self.publication.as_mut().filter(|p| p.epoch == epoch) else {
            return;
        };
        published.position = position;
        for ((name, _), digest) in change.tables.iter().zip(&digests) {
            published.digests.insert(name.clone(), *digest);
        }
        if !leads {
            return;
        }
        if cx.link_up && !self.interest.is_empty() {
            cx.outputs.push_back(Output::SendChange(ChangeToSend {
                source: self.name.clone(),
                position,
                change: change.clone(),
                wanted: published.wanted_elsewhere.clone(),
                digests,
            }));
        }
        self.deliver_local(position, false, change, cx);
    }

    /// This node's publication has moved on in a way that no change tells.
    pub(super) fn advanced(
        &mut self,
        epoch: Epoch,
        position: Position,
        digests: BTreeMap<TableName, Digest>,
        cx: &mut Context<'_>,
    ) {
        let leads = self.epoch() == Some(epoch) && !epoch.has_lost(cx.term);
        let Some(published) = self.publication.as_mut().filter(|p| p.epoch == epoch) else {
            return;
        };
        published.position = position;
        published.digests = digests;
        if !leads {
            return;
        }
        if !self.interest.is_empty() {
            let delta = Delta {
                source: self.name.clone(),
                position,
                reset: true,
                last: true,
                ..Delta::default()
            };
            cx.send(Lane::Data, Target::Source(self.name.clone()), Message::Delta(delta));
        }
        self.deliver_local(position, true, Arc::default(), cx);
    }

    fn deliver_local(
        &mut self,
        position: Position,
        reset: bool,
        change: Arc<Change>,
        cx: &mut Context<'_>,
    ) {
        if self.is_local(cx.me) {
            let (omitted, digests) = (Vec::new(), Vec::new());
            let arrived = Arrived { position, reset, change, omitted, digests, bytes: 0 };
            self.deliver(&Arc::new(arrived), cx);
        }
    }

    /// A snapshot that was asked for, if it can be taken at all.
    pub(super) fn job(&self, session: u64, tables: BTreeSet<TableName>) -> Option<SnapshotJob> {
        let published = self.publication.as_ref()?;
        let source = self.name.clone();
        Some(SnapshotJob { session, source, epoch: published.epoch, tables })
    }

    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        for follower in self.followers.values_mut() {
            follower.tick(cx.now);
        }
        let me = cx.me.clone();
        if cx.now >= self.refresh_due
            && !self.followers.is_empty()
            && let Some(leader) = self.leader.clone().filter(|leader| *leader != me)
        {
            self.say_what_is_wanted(&leader, None, cx);
        }
        let before = self.interest.len();
        self.interest.retain(|_, interest| cx.now < interest.heard + INTEREST);
        if self.interest.len() != before {
            self.update_wanted(cx);
        }
        self.drive(cx);
    }
}

impl Assembling {
    fn append(&mut self, content: super::rows::Content) {
        for (part, sum) in content.parts.into_iter().zip(content.sums) {
            if part.omitted {
                self.arrived.omitted.push(part.name);
                continue;
            }
            if self.change.tables.last().is_none_or(|(name, _)| *name != part.name) {
                self.change.tables.push((part.name.clone(), TableDelta::default()));
                self.arrived.digests.push((part.name, Digest::default(), None));
            }
            if let (Some((_, delta)), Some((_, net, stated))) =
                (self.change.tables.last_mut(), self.arrived.digests.last_mut())
            {
                delta.added.extend(part.added);
                delta.removed.extend(part.removed);
                net.add(sum);
                *stated = stated.or(part.digest);
            }
        }
    }
}
