//! One node's part of the protocol.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use congress_table::{Change, Digest};

use super::calls::{CallRoute, Calls, MAX_CALL, Taken, Ticket};
use super::follower::Follower;
use super::message::{
    Announce, Call, Envelope, Heartbeat, Instance, Message, Registers, ReplyStatus, Subscribe,
    VERSION,
};
use super::presence::Peers;
use super::sessions::Sessions;
use super::source::{Published, Routed, Source};
use super::{
    ANNOUNCE, FollowerId, HEARTBEAT, Lane, Output, Random, Size, SnapshotJob, TABLES, Target, Time,
};
use crate::stream::{Epoch, Position, Snapshot, Update};
use crate::{BusStatus, CallError, Link, Node, PeerStatus, Register, RegisterError, TableName};

/// The most sources that a node keeps in mind; the idle ones beyond are forgotten.
const MAX_SOURCES: usize = 20_000;
/// How many digests of tables one heartbeat carries.
const DIGESTS: usize = 256;
/// How often everything is looked at that has a timer, but for heartbeats and announcements.
const SWEEP: Duration = Duration::from_millis(100);

/// Who a node is.
#[derive(Clone, Debug)]
pub struct Identity {
    /// The name that the operator gave it.
    pub node_id: String,
    /// Drawn at start.
    pub instance: Instance,
    /// The version of its program.
    pub program: String,
}

/// A rule that a node breaks, so that the simulation can be seen to find it.
#[cfg(any(test, feature = "simulation"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// A subscriber applies whatever change comes next, as if nothing could be missing.
    IgnoreGaps,
    /// A node listens to whoever publishes, whatever the epoch.
    AcceptLowerEpochs,
}

/// What the parts of a node need when something happens.
pub(super) struct Context<'a> {
    pub(super) now: Time,
    pub(super) me: &'a Instance,
    pub(super) link_up: bool,
    /// The term of the lease: what was published in a lower one counts no more.
    pub(super) term: u64,
    /// The most that is taken of one source.
    pub(super) most: Size,
    pub(super) random: &'a mut Random,
    pub(super) outputs: &'a mut VecDeque<Output>,
}

impl Context<'_> {
    /// Sends a message, if there is a way to.
    pub(super) fn send(&mut self, lane: Lane, to: Target, message: Message) {
        if self.link_up {
            let bytes = Envelope { from: self.me.clone(), message }.encode();
            self.outputs.push_back(Output::Send { lane, to, bytes, call: None });
        }
    }

    pub(super) fn send_bytes(&mut self, lane: Lane, to: Target, bytes: Bytes) {
        if self.link_up {
            self.outputs.push_back(Output::Send { lane, to, bytes, call: None });
        }
    }

    pub(super) fn send_call(&mut self, to: Target, message: Message, call: u64) {
        let bytes = Envelope { from: self.me.clone(), message }.encode();
        let call = Some(call);
        self.outputs.push_back(Output::Send { lane: Lane::Calls, to, bytes, call });
    }
}

/// One node's state machine. See the [module](super) for how it is driven.
#[derive(Debug)]
pub struct Core {
    identity: Identity,
    peer_timeout: Duration,
    most: Size,
    random: Random,
    outputs: VecDeque<Output>,
    link: Link,
    /// In order, so that equal nodes do equal things.
    sources: BTreeMap<Arc<str>, Source>,
    /// Which source a subscription is of.
    followers: HashMap<FollowerId, Arc<str>>,
    next_follower: FollowerId,
    sessions: Sessions,
    peers: Peers,
    registers: Registers,
    /// What this node serves, and the term at which it began to.
    services: BTreeMap<Arc<str>, u64>,
    calls: Calls,
    announce_version: u64,
    announce_due: Time,
    heartbeat_due: Time,
    beat: u64,
    /// No heartbeat has been sent since the link came up.
    fresh: bool,
    /// Where the next heartbeat's digests begin.
    digests_from: usize,
    sweep_due: Time,
    #[cfg(any(test, feature = "simulation"))]
    fault: Option<Fault>,
}

/// Runs `f` with a context made of the other fields.
macro_rules! with_context {
    ($core:ident, $now:expr, |$cx:ident| $body:expr) => {{
        let mut context = Context {
            now: $now,
            me: &$core.identity.instance,
            link_up: $core.link == Link::Up,
            term: $core.registers.term,
            most: $core.most,
            random: &mut $core.random,
            outputs: &mut $core.outputs,
        };
        let $cx = &mut context;
        $body
    }};
}

impl Core {
    /// A node whose link is down yet.
    pub fn new(identity: Identity, peer_timeout: Duration, seed: u64) -> Self {
        Self {
            identity,
            peer_timeout,
            most: TABLES,
            random: Random(seed),
            outputs: VecDeque::new(),
            link: Link::Down("not connected yet".to_owned()),
            sources: BTreeMap::new(),
            followers: HashMap::new(),
            next_follower: 0,
            sessions: Sessions::default(),
            peers: Peers::default(),
            registers: Registers::default(),
            services: BTreeMap::new(),
            calls: Calls::default(),
            announce_version: 1,
            announce_due: Time::ZERO,
            heartbeat_due: Time::ZERO,
            beat: 0,
            fresh: true,
            digests_from: 0,
            sweep_due: Time::ZERO,
            #[cfg(any(test, feature = "simulation"))]
            fault: None,
        }
    }

    /// How much a subscription takes of one source from now on, instead of [`TABLES`].
    pub fn take_at_most(&mut self, most: Size) {
        self.most = most;
    }

    /// Breaks a rule from now on.
    #[cfg(any(test, feature = "simulation"))]
    pub fn break_rule(&mut self, fault: Fault) {
        self.fault = Some(fault);
    }

    /// What is to be done next.
    pub fn next_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Who this node is.
    pub fn identity(&self) -> &Identity {
        &self.identity
    }

    // ---- the link ----

    /// Whether messages get through.
    pub fn link(&self) -> &Link {
        &self.link
    }

    /// The sources that are to be routed here when the link comes up.
    pub fn bindings(&self) -> Vec<Arc<str>> {
        let followed = self.sources.values().filter(|source| !source.followers.is_empty());
        followed.map(|source| source.name.clone()).collect()
    }

    /// Messages get through from now on, and those to the sources of `bound` are routed here.
    /// Others may have been lost.
    pub fn link_up(&mut self, now: Time, bound: &BTreeSet<Arc<str>>) {
        self.link = Link::Up;
        self.fresh = true;
        self.announce(now, true);
        self.heartbeat(now);
        with_context!(self, now, |cx| {
            for source in self.sources.values_mut() {
                let followed = !source.followers.is_empty();
                source.routed = match followed && bound.contains(&source.name) {
                    true => Routed::Yes,
                    false => Routed::No,
                };
                source.suspect = true;
                for follower in source.followers.values_mut() {
                    follower.link_up(now);
                }
                if followed && source.routed == Routed::No {
                    source.routed = Routed::Asked;
                    cx.outputs.push_back(Output::Bind(source.name.clone()));
                }
                source.drive(cx);
            }
        });
    }

    /// No message gets through from now on.
    pub fn link_down(&mut self, now: Time, reason: &str) {
        self.link = Link::Down(reason.to_owned());
        self.sessions.link_down();
        with_context!(self, now, |cx| {
            self.calls.lose(None, cx);
            for source in self.sources.values_mut() {
                source.routed = Routed::No;
            }
        });
    }

    /// Messages to a source are routed here from now on.
    pub fn bound(&mut self, now: Time, source: &str) {
        with_context!(self, now, |cx| {
            if let Some(source) = self.sources.get_mut(source)
                && source.routed == Routed::Asked
            {
                source.routed = Routed::Yes;
                source.drive(cx);
            }
        });
    }

    /// A message arrives.
    pub fn receive(&mut self, now: Time, envelope: Envelope) {
        let Envelope { from, message } = envelope;
        if from == self.identity.instance {
            return;
        }
        match message {
            Message::Announce(announce) => self.on_announce(now, &from, announce),
            Message::Heartbeat(heartbeat) => self.on_heartbeat(now, &from, heartbeat),
            Message::Goodbye => self.on_goodbye(now, &from),
            Message::Registers(registers) => {
                self.learn_registers(registers);
            }
            Message::Ask => {
                let message = self.announcement(false);
                with_context!(self, now, |cx| cx.send(Lane::Control, Target::Node(from), message));
            }
            Message::Subscribe(subscribe) => self.on_subscribe(now, from, subscribe),
            Message::Delta(delta) => {
                with_context!(self, now, |cx| {
                    if let Some(source) = self.sources.get_mut(&delta.source) {
                        source.on_delta(&from, delta, cx);
                    }
                });
            }
            Message::Snapshot(chunk) => {
                let chunk = Arc::new(chunk);
                with_context!(self, now, |cx| {
                    if let Some(source) = self.sources.get_mut(&chunk.source) {
                        source.on_chunk(&from, &chunk, cx);
                    }
                });
            }
            Message::Pull { session, next, .. } => with_context!(self, now, |cx| {
                if !self.sessions.send(session, next, from.clone(), cx) {
                    let message = Message::NoSession { session };
                    cx.send(Lane::Control, Target::Node(from), message);
                }
            }),
            Message::NoSession { session } => with_context!(self, now, |cx| {
                for source in self.sources.values_mut() {
                    source.on_no_session(session, cx);
                }
            }),
            Message::Call(call) => self.on_call(now, &from, &call),
            Message::Reply(reply) => {
                with_context!(self, now, |cx| self.calls.on_reply(&from, reply, cx));
            }
        }
    }

    /// Time has passed. To be called every [`TICK`](super::TICK).
    pub fn tick(&mut self, now: Time) {
        if now >= self.announce_due {
            self.announce(now, false);
        }
        if now >= self.heartbeat_due {
            self.heartbeat(now);
        }
        if now < self.sweep_due {
            return;
        }
        self.sweep_due = now + SWEEP;
        let silent = self.peers.expire(now, self.peer_timeout);
        let changed = !silent.is_empty();
        for who in silent {
            self.lose_peer(now, &who);
        }
        if changed {
            self.outputs.push_back(Output::Nodes);
        }
        self.sessions.tick(now);
        with_context!(self, now, |cx| {
            self.calls.tick(cx);
            for source in self.sources.values_mut() {
                source.tick(cx);
            }
        });
        if self.sources.len() > MAX_SOURCES {
            self.sources.retain(|_, source| !source.is_idle());
        }
    }

    // ---- presence ----

    /// All nodes known, this one included.
    pub fn nodes(&self) -> Vec<Node> {
        let me = Node {
            node_id: self.identity.node_id.clone(),
            instance: self.identity.instance.to_string(),
            services: self.services.keys().map(|name| name.to_string()).collect(),
        };
        let mut nodes: Vec<Node> = self.peers.nodes().chain([me]).collect();
        nodes.sort_by(|a, b| (&a.node_id, &a.instance).cmp(&(&b.node_id, &b.instance)));
        nodes
    }

    /// How the protocol fares.
    pub fn status(&self, now: Time) -> BusStatus {
        let me = PeerStatus {
            node_id: self.identity.node_id.clone(),
            instance: self.identity.instance.to_string(),
            program: self.identity.program.clone(),
            silent_for: Duration::ZERO,
        };
        let mut status = BusStatus {
            peers: self.peers.status(now).chain([me]).collect(),
            ..BusStatus::default()
        };
        status.peers.sort_by(|a, b| (&a.node_id, &a.instance).cmp(&(&b.node_id, &b.instance)));
        for source in self.sources.values() {
            source.add_status(&mut status);
        }
        status
    }

    /// Says goodbye: others forget this node at once.
    pub fn leave(&mut self, now: Time) {
        with_context!(self, now, |cx| cx.send(Lane::Control, Target::All, Message::Goodbye));
    }

    fn announcement(&self, ask: bool) -> Message {
        Message::Announce(Announce {
            node_id: self.identity.node_id.clone(),
            program: self.identity.program.clone(),
            protocol: VERSION,
            version: self.announce_version,
            services: self.services.iter().map(|(name, term)| (name.clone(), *term)).collect(),
            ask,
        })
    }

    fn announce(&mut self, now: Time, ask: bool) {
        let message = self.announcement(ask);
        with_context!(self, now, |cx| {
            cx.send(Lane::Control, Target::All, message);
            self.announce_due = cx.now + cx.random.around(ANNOUNCE);
        });
    }

    /// What is announced has changed. It is said with the next tick, however often it changes.
    fn services_changed(&mut self, now: Time) {
        self.announce_version += 1;
        self.announce_due = now;
        self.outputs.push_back(Output::Nodes);
    }

    fn heartbeat(&mut self, now: Time) {
        self.heartbeat_due = now + HEARTBEAT;
        if self.link != Link::Up {
            return;
        }
        self.beat += 1;
        let mut published: Vec<&Source> = self
            .sources
            .values()
            .filter(|source| {
                source.publication.as_ref().is_some_and(|p| source.epoch() == Some(p.epoch))
            })
            .collect();
        published.sort_by(|a, b| a.name.cmp(&b.name));
        let positions: Vec<_> = published
            .iter()
            .filter_map(|source| Some((source.name.clone(), source.publication.as_ref()?.position)))
            .collect();
        let all: Vec<_> = published
            .iter()
            .enumerate()
            .flat_map(|(i, source)| {
                let digests = source.publication.iter().flat_map(|p| &p.digests);
                digests.map(move |(table, digest)| (i as u32, table, *digest))
            })
            .collect();
        let start = if self.digests_from < all.len() { self.digests_from } else { 0 };
        let end = all.len().min(start + DIGESTS);
        let digests =
            all[start..end].iter().map(|(i, table, d)| (*i, (*table).clone(), *d)).collect();
        self.digests_from = end;
        let message = Message::Heartbeat(Heartbeat {
            beat: self.beat,
            announce: self.announce_version,
            registers: self.registers,
            fresh: std::mem::take(&mut self.fresh),
            positions,
            digests,
        });
        with_context!(self, now, |cx| cx.send(Lane::Control, Target::All, message));
    }

    fn on_announce(&mut self, now: Time, from: &Instance, announce: Announce) {
        let Some(peer) = self.peers.heard(from, now) else { return };
        let ask = announce.ask;
        let known = peer.announce.as_ref();
        if known.is_none_or(|known| known.version < announce.version) {
            let changed = known.is_none_or(|known| {
                known.services != announce.services || known.node_id != announce.node_id
            });
            peer.announce = Some(announce);
            if changed {
                self.outputs.push_back(Output::Nodes);
            }
        }
        if ask {
            // Only the one that asks needs the announcement, but all may have the heartbeat.
            let message = self.announcement(false);
            let to = Target::Node(from.clone());
            with_context!(self, now, |cx| cx.send(Lane::Control, to, message));
            self.heartbeat_due = now;
        }
    }

    fn on_heartbeat(&mut self, now: Time, from: &Instance, heartbeat: Heartbeat) {
        let Some(peer) = self.peers.heard(from, now) else { return };
        if heartbeat.beat <= peer.beat {
            return;
        }
        peer.beat = heartbeat.beat;
        let ask = peer.is_to_be_asked(heartbeat.announce, now);
        let names: BTreeSet<Arc<str>> =
            heartbeat.positions.iter().map(|(name, _)| name.clone()).collect();
        let before = std::mem::replace(&mut peer.sources, names.clone());
        self.learn_registers(heartbeat.registers);
        with_context!(self, now, |cx| {
            if ask {
                cx.send(Lane::Control, Target::Node(from.clone()), Message::Ask);
            }
            for gone in before.difference(&names) {
                if let Some(source) = self.sources.get_mut(gone) {
                    source.absent(from, cx);
                }
            }
            for (name, position) in &heartbeat.positions {
                // The idle ones among those are forgotten soon.
                if self.sources.len() >= 2 * MAX_SOURCES && !self.sources.contains_key(name) {
                    continue;
                }
                let source =
                    self.sources.entry(name.clone()).or_insert_with(|| Source::new(name.clone()));
                #[cfg(any(test, feature = "simulation"))]
                if self.fault == Some(Fault::AcceptLowerEpochs) {
                    source.listen_to_lower(position.epoch);
                }
                source.on_head(from, *position, heartbeat.fresh, cx);
            }
            for (index, table, digest) in &heartbeat.digests {
                if let Some((name, position)) = heartbeat.positions.get(*index as usize)
                    && let Some(source) = self.sources.get_mut(name)
                {
                    source.on_digest(from, *position, table, *digest, cx);
                    source.drive(cx);
                }
            }
        });
    }

    fn on_goodbye(&mut self, now: Time, from: &Instance) {
        if self.peers.depart(from, now) {
            self.lose_peer(now, from);
            self.outputs.push_back(Output::Nodes);
        }
    }

    fn lose_peer(&mut self, now: Time, who: &Instance) {
        with_context!(self, now, |cx| {
            self.calls.lose(Some(who), cx);
            for source in self.sources.values_mut() {
                source.absent(who, cx);
                source.forget_interest(who, cx);
            }
        });
    }

    // ---- registers ----

    /// The highest value of a register that is known.
    pub fn register(&self, register: Register) -> u64 {
        match register {
            Register::Revision => self.registers.revision,
            Register::Term => self.registers.term,
        }
    }

    /// Raises a register for all nodes.
    pub fn raise(&mut self, now: Time, register: Register, value: u64) {
        let mut registers = Registers::default();
        match register {
            Register::Revision => registers.revision = value,
            Register::Term => registers.term = value,
        }
        if self.learn_registers(registers) {
            let message = Message::Registers(self.registers);
            with_context!(self, now, |cx| cx.send(Lane::Control, Target::All, message));
        }
    }

    fn learn_registers(&mut self, heard: Registers) -> bool {
        let mut raised = false;
        if heard.revision > self.registers.revision {
            self.registers.revision = heard.revision;
            self.outputs.push_back(Output::Register(Register::Revision, heard.revision));
            raised = true;
        }
        if heard.term > self.registers.term {
            self.registers.term = heard.term;
            self.outputs.push_back(Output::Register(Register::Term, heard.term));
            raised = true;
        }
        raised
    }

    // ---- publishing ----

    fn source(&mut self, name: &str) -> &mut Source {
        self.sources.entry(name.into()).or_insert_with_key(|name| Source::new(name.clone()))
    }

    /// Begins a publication. The caller holds its rows.
    pub fn publish(&mut self, now: Time, name: &str, epoch: Epoch) -> Result<(), RegisterError> {
        let lost = epoch.has_lost(self.registers.term);
        let floor = lost.then(|| Epoch::in_term(self.registers.term, 0));
        let highest = self.sources.get(name).and_then(Source::epoch);
        if let Some(current) = highest.filter(|highest| epoch <= *highest).or(floor) {
            let source_name = name.to_owned();
            return Err(RegisterError::Fenced { source_name, current, offered: epoch });
        }
        let me = self.identity.instance.clone();
        self.source(name).publication = Some(Published::new(epoch));
        with_context!(self, now, |cx| {
            if let Some(source) = self.sources.get_mut(name) {
                source.learn(&me, epoch, cx);
                source.update_wanted(cx);
            }
        });
        self.heartbeat_due = now;
        Ok(())
    }

    /// A publication of this node has taken a change; `digests` are those of the changed tables.
    pub fn committed(
        &mut self,
        now: Time,
        name: &str,
        position: Position,
        change: Arc<Change>,
        digests: Vec<Digest>,
    ) {
        with_context!(self, now, |cx| {
            if let Some(source) = self.sources.get_mut(name) {
                source.committed(position.epoch, position, change, digests, cx);
            }
        });
    }

    /// A publication of this node has moved in a way that no change tells; `digests` are those of
    /// all its tables.
    pub fn advanced(
        &mut self,
        now: Time,
        name: &str,
        position: Position,
        digests: BTreeMap<TableName, Digest>,
    ) {
        with_context!(self, now, |cx| {
            if let Some(source) = self.sources.get_mut(name) {
                source.advanced(position.epoch, position, digests, cx);
            }
        });
    }

    /// A publication of this node ends.
    pub fn closed(&mut self, now: Time, name: &str, epoch: Epoch) {
        let me = self.identity.instance.clone();
        with_context!(self, now, |cx| {
            if let Some(source) = self.sources.get_mut(name)
                && source.publication.as_ref().is_some_and(|p| p.epoch == epoch)
            {
                source.publication = None;
                source.absent(&me, cx);
            }
        });
        self.heartbeat_due = now;
    }

    fn on_subscribe(&mut self, now: Time, from: Instance, subscribe: Subscribe) {
        with_context!(self, now, |cx| {
            let Some(source) = self.sources.get_mut(&subscribe.source) else { return };
            let Some(tables) = source.on_subscribe(&from, subscribe, cx) else { return };
            let Some(published) = &source.publication else { return };
            let (name, head) = (source.name.clone(), published.position);
            let session = self.sessions.request(from, &name, head, tables.clone(), cx);
            if let Some(job) = session.and_then(|session| source.job(session, tables)) {
                Sessions::start(job, cx);
            }
        });
    }

    /// The rows of a snapshot were copied.
    pub fn snapshot_taken(&mut self, job: &SnapshotJob, position: Position) {
        self.sessions.taken(job, position);
    }

    /// A snapshot is encoded; none if there is no such publication any more.
    pub fn snapshot_ready(
        &mut self,
        now: Time,
        session: u64,
        encoded: Option<(Position, Vec<Bytes>)>,
    ) {
        with_context!(self, now, |cx| self.sessions.ready(session, encoded, cx));
    }

    // ---- subscribing ----

    /// Begins a subscription.
    pub fn subscribe(
        &mut self,
        now: Time,
        subscriber: &str,
        name: &str,
        tables: BTreeSet<TableName>,
    ) -> FollowerId {
        self.next_follower += 1;
        let id = self.next_follower;
        #[cfg(any(test, feature = "simulation"))]
        let fault = self.fault;
        let source = self.source(name);
        #[cfg_attr(not(any(test, feature = "simulation")), expect(unused_mut))]
        let mut follower = Follower::new(subscriber, tables, now);
        #[cfg(any(test, feature = "simulation"))]
        {
            follower.fault = fault;
        }
        source.followers.insert(id, follower);
        let name = source.name.clone();
        self.followers.insert(id, name.clone());
        with_context!(self, now, |cx| {
            if let Some(source) = self.sources.get_mut(&name) {
                source.followers_changed(cx);
            }
        });
        id
    }

    /// Changes the tables of a subscription.
    pub fn set_tables(&mut self, now: Time, id: FollowerId, tables: BTreeSet<TableName>) {
        with_context!(self, now, |cx| {
            let source = self.followers.get(&id).and_then(|name| self.sources.get_mut(name));
            if let Some(source) = source
                && let Some(follower) = source.followers.get_mut(&id)
                && follower.set_tables(tables, now)
            {
                source.followers_changed(cx);
            }
        });
    }

    /// Ends a subscription.
    pub fn unsubscribe(&mut self, now: Time, id: FollowerId) {
        with_context!(self, now, |cx| {
            let source = self.followers.remove(&id).and_then(|name| self.sources.get_mut(&name));
            if let Some(source) = source {
                source.followers.remove(&id);
                source.followers_changed(cx);
            }
        });
    }

    /// The next update of a subscription, if there is one.
    pub fn next_update(&mut self, now: Time, id: FollowerId) -> Option<Update> {
        with_context!(self, now, |cx| {
            let source = self.sources.get_mut(self.followers.get(&id)?)?;
            let update = source.followers.get_mut(&id)?.next(now);
            if update.is_none() {
                source.drive(cx);
            }
            update
        })
    }

    /// Hands over the snapshot that [`Output::LocalSnapshot`] asked for.
    pub fn local_snapshot(&mut self, now: Time, id: FollowerId, snapshot: Snapshot) {
        with_context!(self, now, |cx| {
            if let Some(source) = self.followers.get(&id).and_then(|n| self.sources.get_mut(n)) {
                source.local_snapshot(id, snapshot, cx);
            }
        });
    }

    /// Who subscribes to tables of a source, as far as this node knows.
    pub fn subscribers(&self, name: &str) -> Vec<String> {
        self.sources.get(name).map(Source::subscribers).unwrap_or_default()
    }

    /// Where a subscription stands, and whether it wants nothing.
    #[cfg(any(test, feature = "simulation"))]
    pub fn standing(&self, id: FollowerId) -> Option<(Option<Position>, bool)> {
        let source = self.sources.get(self.followers.get(&id)?)?;
        let follower = source.followers.get(&id)?;
        Some((follower.position(), follower.is_live()))
    }

    // ---- calls ----

    /// Begins to serve a service.
    pub fn serve(&mut self, now: Time, service: &str) -> Result<(), RegisterError> {
        if self.services.contains_key(service) {
            return Err(RegisterError::Duplicate(service.to_owned()));
        }
        self.services.insert(service.into(), self.registers.term);
        self.services_changed(now);
        Ok(())
    }

    /// Serves it no longer.
    pub fn withdraw(&mut self, now: Time, service: &str) {
        if self.services.remove(service).is_some() {
            self.services_changed(now);
        }
    }

    /// Calls a service: here if it is served here at no lower term than elsewhere, otherwise where
    /// the highest term is.
    pub fn call(
        &mut self,
        now: Time,
        service: &str,
        body: &Bytes,
        timeout: Duration,
    ) -> Result<CallRoute, CallError> {
        if body.len() > MAX_CALL {
            return Err(CallError::TooLong(service.to_owned()));
        }
        let here = self.services.get(service).copied();
        let there = self.peers.serving(service).max_by_key(|(term, _)| *term);
        let to = match (here, there) {
            (Some(here), Some((term, _))) if here >= term => return Ok(CallRoute::Here),
            (Some(_), None) => return Ok(CallRoute::Here),
            (_, Some((_, instance))) => instance.clone(),
            (None, None) => match &self.link {
                Link::Up => return Err(CallError::NotFound(service.to_owned())),
                Link::Down(reason) => return Err(CallError::Down(reason.clone())),
            },
        };
        if let Link::Down(reason) = &self.link {
            return Err(CallError::Down(reason.clone()));
        }
        let term = self.registers.term;
        let id = with_context!(self, now, |cx| {
            self.calls.call(service, to, body, timeout, term, cx)
        });
        Ok(CallRoute::Sent(id))
    }

    /// A call could not be delivered: `busy` if there was no room for it, else nobody took it.
    pub fn call_failed(&mut self, now: Time, id: u64, busy: bool) {
        let error = if busy { CallError::Busy } else { CallError::NotFound };
        with_context!(self, now, |cx| self.calls.end(id, error, cx));
    }

    /// The caller does not wait any more.
    pub fn forget_call(&mut self, id: u64) {
        self.calls.forget(id);
    }

    fn on_call(&mut self, now: Time, from: &Instance, call: &Call) {
        self.learn_registers(Registers { term: call.term, ..Registers::default() });
        let (ticket, body) = match self.calls.on_call(from, call, now) {
            Taken::Part => return,
            Taken::Refused(ticket) => {
                return self.reply(now, &ticket, ReplyStatus::Busy, &Bytes::new());
            }
            Taken::Whole(ticket, body) => (ticket, body),
        };
        if let Some((service, _)) = self.services.get_key_value(&call.service) {
            let service = service.clone();
            self.outputs.push_back(Output::Request { ticket, service, body });
        } else {
            self.reply(now, &ticket, ReplyStatus::NotFound, &Bytes::new());
        }
    }

    /// Answers a call that came as [`Output::Request`].
    pub fn reply(&mut self, now: Time, ticket: &Ticket, status: ReplyStatus, body: &Bytes) {
        // What the caller would not take it is not sent.
        let (status, body) = if body.len() > MAX_CALL {
            tracing::error!(bytes = body.len(), most = MAX_CALL, "a reply is too long to be sent");
            (ReplyStatus::Stopped, &Bytes::new())
        } else {
            (status, body)
        };
        with_context!(self, now, |cx| Calls::reply(ticket, status, body, cx));
    }
}
