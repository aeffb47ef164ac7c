//! Calls between nodes.

use std::collections::{BTreeMap, HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::core::Context;
use super::message::{Call, Instance, Message, Reply, ReplyStatus};
use super::{Lane, Output, Target, Time};
use crate::CallError;

/// The longest request or reply, in bytes.
pub const MAX_CALL: usize = 64 << 20;
/// A longer body goes in parts of this length.
const PART: usize = 512 * 1024;
/// How many calls of others may be incomplete at a time.
const MAX_INCOMPLETE: usize = 256;
/// How many bytes of incomplete calls of others are kept.
const MAX_INCOMPLETE_BYTES: usize = 4 * MAX_CALL;
/// How many calls of others are remembered, so that one that comes twice is carried out once.
const REMEMBERED: usize = 4096;

/// Where a call goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallRoute {
    /// To a service of this node: the driver hands it over.
    Here,
    /// To another node; its end comes as [`Output::CallDone`] with this number.
    Sent(u64),
}

/// A call that waits for its reply, on the node that serves it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket {
    /// Who called.
    pub(super) from: Instance,
    /// The number the caller gave it.
    pub(super) id: u64,
}

/// Calls under way, both ways.
#[derive(Debug, Default)]
pub(super) struct Calls {
    next: u64,
    outgoing: BTreeMap<u64, Outgoing>,
    incoming: HashMap<Ticket, Incoming>,
    /// Calls of others that have come, complete; and the order in which they are forgotten.
    seen: HashSet<Ticket>,
    oldest: VecDeque<Ticket>,
}

#[derive(Debug)]
struct Outgoing {
    service: Arc<str>,
    to: Instance,
    deadline: Time,
    reply: Joined,
}

#[derive(Debug)]
struct Incoming {
    deadline: Time,
    request: Joined,
}

/// What became of a part of a call that came.
#[derive(Debug)]
pub(super) enum Taken {
    /// There is nothing to be done yet, or any more.
    Part,
    /// It was the last one.
    Whole(Ticket, Bytes),
    /// There is no room for the call. What comes of it later is ignored.
    Refused(Ticket),
}

/// A body that comes in parts.
#[derive(Debug, Default)]
struct Joined {
    next: u32,
    body: BytesMut,
}

impl Joined {
    /// Takes the next part. The whole once it is complete.
    fn take(&mut self, index: u32, last: bool, part: Bytes) -> Option<Bytes> {
        if index != self.next || self.body.len() + part.len() > MAX_CALL {
            return None;
        }
        self.next = self.next.checked_add(1)?;
        if last && self.body.is_empty() {
            return Some(part);
        }
        self.body.extend_from_slice(&part);
        last.then(|| std::mem::take(&mut self.body).freeze())
    }
}

/// A body's parts: number, whether it is the last, content.
fn parts(body: &Bytes) -> impl Iterator<Item = (u32, bool, Bytes)> {
    let count = body.len().div_ceil(PART).max(1);
    (0..count).map(move |i| {
        let part = body.slice(i * PART..body.len().min((i + 1) * PART));
        (i as u32, i + 1 == count, part)
    })
}

impl Calls {
    /// Sends a call.
    pub(super) fn call(
        &mut self,
        service: &str,
        to: Instance,
        body: &Bytes,
        timeout: Duration,
        term: u64,
        cx: &mut Context<'_>,
    ) -> u64 {
        self.next += 1;
        let id = self.next;
        let service: Arc<str> = service.into();
        for (index, last, body) in parts(body) {
            let call = Call {
                id,
                service: service.clone(),
                term,
                timeout: u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX),
                index,
                last,
                body,
            };
            cx.send_call(Target::Calls(to.clone()), Message::Call(call), id);
        }
        let deadline = cx.now.saturating_add(timeout);
        self.outgoing.insert(id, Outgoing { service, to, deadline, reply: Joined::default() });
        id
    }

    /// Ends a call of this node. Nothing if it is over already.
    pub(super) fn end(
        &mut self,
        id: u64,
        error: impl FnOnce(String) -> CallError,
        cx: &mut Context<'_>,
    ) {
        if let Some(outgoing) = self.outgoing.remove(&id) {
            let result = Err(error(outgoing.service.to_string()));
            cx.outputs.push_back(Output::CallDone { id, result });
        }
    }

    /// The caller does not wait any more.
    pub(super) fn forget(&mut self, id: u64) {
        self.outgoing.remove(&id);
    }

    /// Ends all calls to one node, or to all.
    pub(super) fn lose(&mut self, to: Option<&Instance>, cx: &mut Context<'_>) {
        let lost: Vec<u64> = self
            .outgoing
            .iter()
            .filter(|(_, call)| to.is_none_or(|to| call.to == *to))
            .map(|(id, _)| *id)
            .collect();
        for id in lost {
            self.end(id, CallError::Stopped, cx);
        }
    }

    /// A part of a reply arrives.
    pub(super) fn on_reply(&mut self, from: &Instance, reply: Reply, cx: &mut Context<'_>) {
        let Some(outgoing) = self.outgoing.get_mut(&reply.id).filter(|call| call.to == *from)
        else {
            return;
        };
        let id = reply.id;
        match reply.status {
            ReplyStatus::Done => {
                if let Some(body) = outgoing.reply.take(reply.index, reply.last, reply.body) {
                    self.outgoing.remove(&id);
                    cx.outputs.push_back(Output::CallDone { id, result: Ok(body) });
                }
            }
            ReplyStatus::Busy => self.end(id, CallError::Busy, cx),
            ReplyStatus::NotFound => self.end(id, CallError::NotFound, cx),
            ReplyStatus::Stopped => self.end(id, CallError::Stopped, cx),
        }
    }

    /// A part of a call arrives.
    pub(super) fn on_call(&mut self, from: &Instance, call: &Call, now: Time) -> Taken {
        let ticket = Ticket { from: from.clone(), id: call.id };
        if self.seen.contains(&ticket) {
            return Taken::Part;
        }
        if call.index == 0 && call.last {
            self.remember(&ticket);
            return Taken::Whole(ticket, call.body.clone());
        }
        let first = call.index == 0 && !self.incoming.contains_key(&ticket);
        if first || self.incoming.contains_key(&ticket) {
            let bytes: usize = self.incoming.values().map(|i| i.request.body.len()).sum();
            let full = first && self.incoming.len() >= MAX_INCOMPLETE;
            if full || bytes.saturating_add(call.body.len()) > MAX_INCOMPLETE_BYTES {
                self.incoming.remove(&ticket);
                self.remember(&ticket);
                return Taken::Refused(ticket);
            }
        }
        if first {
            let deadline = now + Duration::from_millis(call.timeout.min(600_000));
            let incoming = Incoming { deadline, request: Joined::default() };
            self.incoming.insert(ticket.clone(), incoming);
        }
        let joined = self
            .incoming
            .get_mut(&ticket)
            .and_then(|i| i.request.take(call.index, call.last, call.body.clone()));
        let Some(body) = joined else { return Taken::Part };
        self.incoming.remove(&ticket);
        self.remember(&ticket);
        Taken::Whole(ticket, body)
    }

    fn remember(&mut self, ticket: &Ticket) {
        self.seen.insert(ticket.clone());
        self.oldest.push_back(ticket.clone());
        if self.oldest.len() > REMEMBERED
            && let Some(oldest) = self.oldest.pop_front()
        {
            self.seen.remove(&oldest);
        }
    }

    /// Answers a call of another node.
    pub(super) fn reply(ticket: &Ticket, status: ReplyStatus, body: &Bytes, cx: &mut Context<'_>) {
        for (index, last, body) in parts(body) {
            let reply = Reply { id: ticket.id, status, index, last, body };
            cx.send(Lane::Calls, Target::Node(ticket.from.clone()), Message::Reply(reply));
        }
    }

    pub(super) fn tick(&mut self, cx: &mut Context<'_>) {
        let late: Vec<u64> = self
            .outgoing
            .iter()
            .filter(|(_, call)| cx.now >= call.deadline)
            .map(|(id, _)| *id)
            .collect();
        for id in late {
            self.end(id, CallError::Timeout, cx);
        }
        self.incoming.retain(|_, incoming| cx.now < incoming.deadline);
    }
}
