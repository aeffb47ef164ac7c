//! A world of nodes and a broker in virtual time, in which everything can go wrong, for tests.
//!
//! A [`World`] runs the real [`Core`](crate::protocol::Core)s; only the broker, the network, time
//! and chance are simulated, the last by one seed: the same seed does the same again. What nodes do
//! beyond the protocol is a [`Program`]'s: it publishes, subscribes, calls, answers, and shares
//! with the programs of other nodes a state of its own, such as a simulated database.
//!
//! What can happen to messages, at rates that [`Trouble`] sets: loss, repetition, delay, overtaking.
//! What can happen to nodes and the broker, when the test says so: see [`World::crash`] and those
//! beside it.

mod node;
#[cfg(test)]
mod tests;

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

pub use node::{Node, SimulatedPublisher};

use crate::protocol::{
    Core, Envelope, Fault, Identity, Instance, Lane, Output, PEER_TIMEOUT, Random, SnapshotJob,
    Target, Ticket, Time, encode_change, encode_snapshot,
};
use crate::stream::Epoch;
use crate::{CallError, Register, TableName};

/// How many messages wait for a node that is paused.
const QUEUE: usize = 1000;
/// How often nodes step without being told anything.
const TICK: Duration = Duration::from_millis(50);

/// What a node does.
pub trait Program: Sized {
    /// What all nodes share, apart from the bus: a simulated database, a record of what happened.
    type Shared;

    /// The node starts, or starts anew after a crash.
    fn start(node: &mut Node, shared: &mut Self::Shared) -> Self;

    /// Something happens.
    fn step(&mut self, node: &mut Node, shared: &mut Self::Shared, event: Event);

    /// The node is asked to stop, and says goodbye afterwards.
    fn stop(&mut self, _node: &mut Node, _shared: &mut Self::Shared) {}
}

/// What a program is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// Time has passed.
    Tick,
    /// There may be an update for a subscription: [`Node::next_update`].
    Update(u64),
    /// A call for a service of this node: [`Node::reply`].
    Request(Ticket, Arc<str>, Bytes),
    /// A call of this node is over.
    CallDone(u64, Result<Bytes, CallError>),
    /// A register has risen.
    Register(Register, u64),
    /// The nodes that are seen have changed.
    Nodes,
    /// What is wanted of a publication of this node has changed.
    Wanted(Arc<str>, BTreeSet<TableName>),
}

/// How likely each thing is to happen to a message, in parts of a thousand; and how long messages
/// take.
#[derive(Clone, Copy, Debug, Default)]
pub struct Trouble {
    /// It is lost.
    pub loss: u64,
    /// It comes twice.
    pub repetition: u64,
    /// It takes up to two seconds, and those after it wait for it.
    pub delay: u64,
    /// It takes up to two seconds, and those after it do not wait.
    pub overtaking: u64,
}

/// One node's place.
struct Slot<P> {
    node: Node,
    program: P,
    /// Counts its starts.
    incarnation: u64,
    running: bool,
    paused: bool,
    /// Counts its connections; the broker knows the present one only.
    connection: u64,
    /// The broker takes and gives messages.
    connected: bool,
    bound: BTreeSet<Arc<str>>,
    /// What came while it was paused.
    held: VecDeque<Happening>,
    /// When the last message of a lane comes.
    last: BTreeMap<Lane, Time>,
}

/// What is to happen.
enum Happening {
    Tick {
        slot: usize,
        incarnation: u64,
    },
    Deliver {
        slot: usize,
        connection: u64,
        bytes: Bytes,
    },
    Undeliverable {
        slot: usize,
        incarnation: u64,
        call: u64,
    },
    Snapshot {
        slot: usize,
        incarnation: u64,
        job: SnapshotJob,
    },
    LocalSnapshot {
        slot: usize,
        incarnation: u64,
        follower: u64,
        source: Arc<str>,
        epoch: Epoch,
        tables: BTreeSet<TableName>,
    },
    Bound {
        slot: usize,
        connection: u64,
        source: Arc<str>,
    },
    LinkDown {
        slot: usize,
        incarnation: u64,
    },
    LinkUp {
        slot: usize,
        incarnation: u64,
    },
    Resume {
        slot: usize,
    },
    Start {
        slot: usize,
    },
    BrokerUp,
}

struct Scheduled {
    at: Time,
    order: u64,
    what: Happening,
}

impl PartialEq for Scheduled {
    fn eq(&self, other: &Self) -> bool {
        (self.at, self.order) == (other.at, other.order)
    }
}
impl Eq for Scheduled {}
impl PartialOrd for Scheduled {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}
impl Ord for Scheduled {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.at, self.order).cmp(&(other.at, other.order))
    }
}

/// Nodes, a broker, and what happens to them.
pub struct World<P: Program> {
    /// What the programs share.
    pub shared: P::Shared,
    /// What happens to messages.
    pub trouble: Trouble,
    /// Chance. Tests draw from it too, so that one seed tells all.
    pub random: Random,
    now: Time,
    slots: Vec<Slot<P>>,
    schedule: BinaryHeap<Reverse<Scheduled>>,
    order: u64,
    broker_up: bool,
    /// Grows with everything that happens: equal for equal runs.
    trace: u64,
    fault: Option<Fault>,
}

impl<P: Program> World<P> {
    /// A world of `nodes` nodes, which start and connect within the first moments. With a `fault`
    /// all nodes break a rule, for the test that tests find it.
    pub fn new(seed: u64, nodes: usize, shared: P::Shared, fault: Option<Fault>) -> Self {
        let mut world = Self {
            shared,
            trouble: Trouble::default(),
            random: Random(seed),
            now: Time::ZERO,
            slots: Vec::new(),
            schedule: BinaryHeap::new(),
            order: 0,
            broker_up: true,
            trace: 0,
            fault,
        };
        for slot in 0..nodes {
            let (node, program) = world.boot(slot, 0);
            world.slots.push(Slot {
                node,
                program,
                incarnation: 0,
                running: true,
                paused: false,
                connection: 0,
                connected: false,
                bound: BTreeSet::new(),
                held: VecDeque::new(),
                last: BTreeMap::new(),
            });
            world.carry_out(slot);
            world.set_going(slot);
        }
        world
    }

    fn boot(&mut self, slot: usize, incarnation: u64) -> (Node, P) {
        let identity = Identity {
            node_id: format!("n{slot}"),
            instance: format!("n{slot}.{incarnation}").into(),
            program: String::new(),
        };
        let mut core = Core::new(identity, PEER_TIMEOUT, self.random.draw());
        if let Some(fault) = self.fault {
            core.break_rule(fault);
        }
        let mut node = Node::new(slot, incarnation, core, Random(self.random.draw()), self.now);
        let program = P::start(&mut node, &mut self.shared);
        (node, program)
    }

    fn set_going(&mut self, slot: usize) {
        let incarnation = self.slots[slot].incarnation;
        let jitter = Duration::from_millis(self.random.below(50));
        self.at(self.now + jitter, Happening::Tick { slot, incarnation });
        self.at(self.now + jitter * 4, Happening::LinkUp { slot, incarnation });
    }

    /// The time since the beginning.
    pub fn now(&self) -> Time {
        self.now
    }

    /// A number that tells runs apart.
    pub fn trace(&self) -> u64 {
        self.trace
    }

    /// How many nodes there are, running or not.
    pub fn len(&self) -> usize {
        self.slots.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Whether a node runs.
    pub fn is_running(&self, slot: usize) -> bool {
        self.slots[slot].running
    }

    /// A node and its program.
    pub fn node(&self, slot: usize) -> (&Node, &P) {
        (&self.slots[slot].node, &self.slots[slot].program)
    }

    /// Does something on a node that runs, as its program might.
    pub fn with<R>(
        &mut self,
        slot: usize,
        f: impl FnOnce(&mut P, &mut Node, &mut P::Shared) -> R,
    ) -> R {
        let place = &mut self.slots[slot];
        place.node.now = self.now;
        let result = f(&mut place.program, &mut place.node, &mut self.shared);
        self.carry_out(slot);
        result
    }

    fn at(&mut self, at: Time, what: Happening) {
        self.order += 1;
        self.schedule.push(Reverse(Scheduled { at, order: self.order, what }));
    }

    /// Lets time pass.
    pub fn run(&mut self, duration: Duration) {
        let end = self.now + duration;
        while let Some(Reverse(next)) = self.schedule.peek() {
            if next.at > end {
                break;
            }
            let Some(Reverse(next)) = self.schedule.pop() else { break };
            self.now = next.at;
            self.trace = self.trace.wrapping_mul(31).wrapping_add(next.at.as_nanos() as u64);
            self.happen(next.what);
        }
        self.now = end;
    }

    // ---- what can be done to nodes and the broker ----

    /// A node ends in the middle of whatever it does, and starts anew after a while.
    pub fn crash(&mut self, slot: usize, down: Duration) {
        let place = &mut self.slots[slot];
        if !place.running {
            return;
        }
        place.running = false;
        place.paused = false;
        place.held.clear();
        place.connected = false;
        self.at(self.now + down, Happening::Start { slot });
    }

    /// A node stops gracefully, and starts anew after a while.
    pub fn stop(&mut self, slot: usize, down: Duration) {
        if !self.slots[slot].running || self.slots[slot].paused {
            return;
        }
        self.with(slot, |program, node, shared| {
            program.stop(node, shared);
            node.core.leave(node.now);
        });
        self.crash(slot, down);
    }

    /// A node does nothing for a while (SIGSTOP); its connection stays.
    pub fn pause(&mut self, slot: usize, duration: Duration) {
        let place = &mut self.slots[slot];
        if place.running && !place.paused {
            place.paused = true;
            self.at(self.now + duration, Happening::Resume { slot });
        }
    }

    /// Nothing goes between a node and the broker any more. The node notices after `unnoticed` and
    /// connects again `down` after that.
    pub fn cut(&mut self, slot: usize, unnoticed: Duration, down: Duration) {
        let place = &mut self.slots[slot];
        if !place.running || !place.connected {
            return;
        }
        place.connected = false;
        place.bound.clear();
        let incarnation = place.incarnation;
        self.at(self.now + unnoticed, Happening::LinkDown { slot, incarnation });
        self.at(self.now + unnoticed + down, Happening::LinkUp { slot, incarnation });
    }

    /// The broker ends, and is back after a while. What it had is lost.
    pub fn restart_broker(&mut self, down: Duration) {
        self.broker_up = false;
        self.at(self.now + down, Happening::BrokerUp);
        for slot in 0..self.slots.len() {
            let noticed = Duration::from_millis(self.random.below(100));
            let back = down + Duration::from_millis(self.random.below(1000));
            self.cut(slot, noticed, back);
        }
    }

    // ---- what happens ----

    fn is_current(&self, slot: usize, incarnation: u64) -> bool {
        self.slots[slot].running && self.slots[slot].incarnation == incarnation
    }

    fn happen(&mut self, what: Happening) {
        // What a paused node would do waits, or is lost if it is too much.
        let (slot, incarnation) = match &what {
            Happening::Tick { slot, incarnation }
            | Happening::Undeliverable { slot, incarnation, .. }
            | Happening::Snapshot { slot, incarnation, .. }
            | Happening::LocalSnapshot { slot, incarnation, .. }
            | Happening::LinkDown { slot, incarnation }
            | Happening::LinkUp { slot, incarnation } => (*slot, Some(*incarnation)),
            Happening::Deliver { slot, connection, .. }
            | Happening::Bound { slot, connection, .. } => {
                if self.slots[*slot].connection != *connection || !self.slots[*slot].connected {
                    return;
                }
                (*slot, None)
            }
            Happening::Resume { slot } => return self.resume(*slot),
            Happening::Start { slot } => return self.start(*slot),
            Happening::BrokerUp => {
                self.broker_up = true;
                return;
            }
        };
        if incarnation.is_some_and(|incarnation| !self.is_current(slot, incarnation)) {
            return;
        }
        let place = &mut self.slots[slot];
        if place.paused {
            if place.held.len() >= QUEUE {
                place.held.pop_front();
            }
            place.held.push_back(what);
            return;
        }
        self.do_it(slot, what);
    }

    fn do_it(&mut self, slot: usize, what: Happening) {
        let now = self.now;
        self.slots[slot].node.now = now;
        match what {
            Happening::Tick { incarnation, .. } => {
                self.slots[slot].node.core.tick(now);
                self.tell(slot, Event::Tick);
                self.at(now + TICK, Happening::Tick { slot, incarnation });
            }
            Happening::Deliver { bytes, .. } => {
                if let Ok(Some(envelope)) = Envelope::decode(&bytes) {
                    self.slots[slot].node.core.receive(now, envelope);
                }
            }
            Happening::Undeliverable { call, .. } => {
                self.slots[slot].node.core.call_failed(now, call, false);
            }
            Happening::Snapshot { job, .. } => {
                let node = &mut self.slots[slot].node;
                let encoded = node.publication(&job.source, job.epoch).map(|publication| {
                    let (snapshot, digests) = publication.snapshot_with_digests(&job.tables);
                    let me = &node.core.identity().instance;
                    (snapshot.position, encode_snapshot(me, &job, &snapshot, &digests))
                });
                if let Some((position, _)) = &encoded {
                    node.core.snapshot_taken(&job, *position);
                }
                node.core.snapshot_ready(now, job.session, encoded);
            }
            Happening::LocalSnapshot { follower, source, epoch, tables, .. } => {
                let node = &mut self.slots[slot].node;
                if let Some(publication) = node.publication(&source, epoch) {
                    let snapshot = publication.snapshot(&tables);
                    node.core.local_snapshot(now, follower, snapshot);
                }
            }
            Happening::Bound { source, .. } => {
                self.slots[slot].bound.insert(source.clone());
                self.slots[slot].node.core.bound(now, &source);
            }
            Happening::LinkDown { .. } => {
                self.slots[slot].node.core.link_down(now, "cut");
            }
            Happening::LinkUp { incarnation, .. } => {
                if !self.broker_up {
                    let again = now + Duration::from_millis(500 + self.random.below(500));
                    self.at(again, Happening::LinkUp { slot, incarnation });
                    return;
                }
                let place = &mut self.slots[slot];
                if place.connected {
                    return;
                }
                place.connection += 1;
                place.connected = true;
                place.last.clear();
                place.bound = place.node.core.bindings().into_iter().collect();
                place.node.core.link_up(now, &place.bound.clone());
            }
            Happening::Resume { .. } | Happening::Start { .. } | Happening::BrokerUp => {}
        }
        self.carry_out(slot);
    }

    fn resume(&mut self, slot: usize) {
        if !self.slots[slot].paused {
            return;
        }
        self.slots[slot].paused = false;
        let held: Vec<_> = self.slots[slot].held.drain(..).collect();
        for what in held {
            self.happen(what);
        }
    }

    fn start(&mut self, slot: usize) {
        let incarnation = self.slots[slot].incarnation + 1;
        let (node, program) = self.boot(slot, incarnation);
        let place = &mut self.slots[slot];
        place.node = node;
        place.program = program;
        place.incarnation = incarnation;
        place.running = true;
        place.connection += 1;
        self.carry_out(slot);
        self.set_going(slot);
    }

    fn tell(&mut self, slot: usize, event: Event) {
        let place = &mut self.slots[slot];
        place.program.step(&mut place.node, &mut self.shared, event);
    }

    /// Does what a node's core wants done.
    fn carry_out(&mut self, slot: usize) {
        while let Some(output) = self.slots[slot].node.core.next_output() {
            let incarnation = self.slots[slot].incarnation;
            let soon = self.now + Duration::from_millis(1 + self.random.below(20));
            match output {
                Output::Send { lane, to, bytes, call } => {
                    self.submit(slot, lane, &to, &bytes, call);
                }
                Output::SendChange(change) => {
                    let me = self.slots[slot].node.core.identity().instance.clone();
                    let to = Target::Source(change.source.clone());
                    encode_change(&me, &change, |message| {
                        self.submit(slot, Lane::Data, &to, &message, None);
                    });
                }
                Output::Snapshot(job) => {
                    self.at(soon, Happening::Snapshot { slot, incarnation, job });
                }
                Output::LocalSnapshot { follower, source, epoch, tables } => {
                    let what = Happening::LocalSnapshot {
                        slot,
                        incarnation,
                        follower,
                        source,
                        epoch,
                        tables,
                    };
                    self.at(soon, what);
                }
                Output::Bind(source) => {
                    let connection = self.slots[slot].connection;
                    self.at(soon, Happening::Bound { slot, connection, source });
                }
                Output::Unbind(source) => {
                    self.slots[slot].bound.remove(&source);
                }
                Output::Update(follower) => self.tell(slot, Event::Update(follower)),
                Output::Nodes => self.tell(slot, Event::Nodes),
                Output::Register(register, value) => {
                    self.tell(slot, Event::Register(register, value));
                }
                Output::Wanted(source, tables) => self.tell(slot, Event::Wanted(source, tables)),
                Output::Request { ticket, service, body } => {
                    self.tell(slot, Event::Request(ticket, service, body));
                }
                Output::CallDone { id, result } => self.tell(slot, Event::CallDone(id, result)),
            }
        }
    }

    /// A node hands a message to the broker.
    fn submit(&mut self, from: usize, lane: Lane, to: &Target, bytes: &Bytes, call: Option<u64>) {
        if !self.slots[from].connected {
            return;
        }
        let is =
            |place: &Slot<P>, instance: &Instance| place.node.core.identity().instance == *instance;
        let targets: Vec<usize> = (0..self.slots.len())
            .filter(|slot| {
                let place = &self.slots[*slot];
                place.connected
                    && match to {
                        Target::All => *slot != from,
                        Target::Source(source) => *slot != from && place.bound.contains(source),
                        Target::Node(instance) | Target::Calls(instance) => is(place, instance),
                    }
            })
            .collect();
        if let (Some(call), true) = (call, targets.is_empty()) {
            let incarnation = self.slots[from].incarnation;
            let at = self.now + Duration::from_millis(1);
            self.at(at, Happening::Undeliverable { slot: from, incarnation, call });
        }
        for slot in targets {
            self.transmit(slot, lane, bytes);
        }
    }

    fn transmit(&mut self, slot: usize, lane: Lane, bytes: &Bytes) {
        let connection = self.slots[slot].connection;
        let mut chance = |parts: u64| parts > 0 && self.random.below(1000) < parts;
        let trouble = self.trouble;
        let copies = match (chance(trouble.loss), chance(trouble.repetition)) {
            (true, _) => 0,
            (_, true) => 2,
            _ => 1,
        };
        let (late, overtaken) = (chance(trouble.delay), chance(trouble.overtaking));
        for _ in 0..copies {
            let most = if late || overtaken { 2_000_000 } else { 3_000 };
            let mut at = self.now + Duration::from_micros(200 + self.random.below(most));
            if !overtaken {
                let last = self.slots[slot].last.entry(lane).or_default();
                at = at.max(*last);
                *last = at;
            }
            let bytes = bytes.clone();
            self.at(at, Happening::Deliver { slot, connection, bytes });
        }
    }
}
