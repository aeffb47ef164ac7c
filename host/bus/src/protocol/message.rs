//! Messages and their bytes. `docs/protocol.md` describes them.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use congress_table::Digest;

use super::rows;
use super::wire::{Malformed, Reader, Writer};
use crate::TableName;
use crate::stream::{Epoch, Position};

/// What every message begins with, and the version of the envelope.
const MAGIC: [u8; 2] = [0xC6, 1];
/// The body is an LZ4 block after its length as 4 bytes.
const COMPRESSED: u8 = 1;
/// Shorter bodies are not worth compressing.
const COMPRESS_FROM: usize = 512;
/// The longest body that a reader accepts, uncompressed, in bytes.
pub const MAX_BODY: usize = 64 << 20;
/// How many tables, subscriptions, sources or services a reader takes from one message.
const MAX_ITEMS: usize = 100_000;
/// The longest instance, in bytes. Ours are UUIDs, of 36. It is part of routing keys and of the names
/// of queues, which have 255 bytes at most.
pub const MAX_INSTANCE: usize = 64;
/// The longest node id, and version of a program, in bytes. Node ids are host names, or what an
/// operator calls a node.
pub const MAX_NAME: usize = 255;

/// The version of the protocol that this code speaks; shown to others in announcements.
pub const VERSION: u64 = 1;

/// A process, by what it drew at start.
pub type Instance = Arc<str>;

/// A message, and who sent it.
#[derive(Clone, Debug, PartialEq)]
pub struct Envelope {
    /// The sender.
    pub from: Instance,
    /// What it says.
    pub message: Message,
}

/// What nodes tell each other.
#[derive(Clone, Debug, PartialEq)]
pub enum Message {
    /// Who a node is and what it serves; on change, on request, and every few seconds.
    Announce(Announce),
    /// That a node lives, and where the streams that it publishes stand; every second.
    Heartbeat(Heartbeat),
    /// A node stops.
    Goodbye,
    /// A register was raised.
    Registers(Registers),
    /// Please announce yourself to me.
    Ask,
    /// What a node wants of a source, complete; and perhaps a snapshot of it.
    Subscribe(Subscribe),
    /// A change of a source's tables, or a part of it.
    Delta(Delta),
    /// A part of a snapshot.
    Snapshot(SnapshotChunk),
    /// Further parts of a snapshot, please.
    Pull {
        /// The source.
        source: Arc<str>,
        /// The snapshot's number.
        session: u64,
        /// The first part that is missing.
        next: u32,
    },
    /// The publisher has no such snapshot any more.
    NoSession {
        /// The snapshot's number.
        session: u64,
    },
    /// A call, or a part of it.
    Call(Call),
    /// The reply to a call, or a part of it.
    Reply(Reply),
}

/// See [`Message::Announce`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Announce {
    /// The name that the operator gave the node.
    pub node_id: String,
    /// The version of its program.
    pub program: String,
    /// The version of the protocol that it speaks.
    pub protocol: u64,
    /// Counts its announcements that differ.
    pub version: u64,
    /// The services it serves, with the term that held when it began to.
    pub services: Vec<(Arc<str>, u64)>,
    /// Everybody shall answer with an announcement and a heartbeat.
    pub ask: bool,
}

/// See [`Message::Heartbeat`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Heartbeat {
    /// Counts the node's heartbeats.
    pub beat: u64,
    /// The version of its present announcement.
    pub announce: u64,
    /// The registers as it knows them.
    pub registers: Registers,
    /// Messages before this one may have been lost: it comes from a new connection.
    pub fresh: bool,
    /// Where its streams stand; all of them.
    pub positions: Vec<(Arc<str>, Position)>,
    /// Digests of tables at these positions, in turn. The number is the place in `positions`.
    pub digests: Vec<(u32, TableName, Digest)>,
}

/// The registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Registers {
    /// [`Register::Revision`](crate::Register::Revision).
    pub revision: u64,
    /// [`Register::Term`](crate::Register::Term).
    pub term: u64,
}

/// See [`Message::Subscribe`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Subscribe {
    /// The source.
    pub source: Arc<str>,
    /// Counts the sender's messages of this kind about this source.
    pub version: u64,
    /// All its subscriptions: the subscriber's name and its tables.
    pub subscribers: Vec<(String, BTreeSet<TableName>)>,
    /// The tables of which it wants a snapshot.
    pub fetch: Option<BTreeSet<TableName>>,
}

/// See [`Message::Delta`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delta {
    /// The source.
    pub source: Arc<str>,
    /// Where it leads to.
    pub position: Position,
    /// Something changed that no change tells: take a snapshot.
    pub reset: bool,
    /// The part's number, from 0.
    pub index: u32,
    /// It is the last part.
    pub last: bool,
    /// Tables and rows.
    pub content: rows::Content,
}

/// See [`Message::Snapshot`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct SnapshotChunk {
    /// The source.
    pub source: Arc<str>,
    /// Where it was taken.
    pub position: Position,
    /// The number its publisher gave it.
    pub session: u64,
    /// The tables it was asked for: [`set_of`] them.
    pub set: u64,
    /// The part's number, from 0.
    pub index: u32,
    /// It is the last part.
    pub last: bool,
    /// Schema, tables and rows.
    pub content: rows::Content,
}

/// See [`Message::Call`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Call {
    /// The number its caller gave it.
    pub id: u64,
    /// The service.
    pub service: Arc<str>,
    /// The caller's term register.
    pub term: u64,
    /// How long the caller waits, in milliseconds.
    pub timeout: u64,
    /// The part's number, from 0.
    pub index: u32,
    /// It is the last part.
    pub last: bool,
    /// The request, or this part of it.
    pub body: Bytes,
}

/// See [`Message::Reply`].
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Reply {
    /// The call's number.
    pub id: u64,
    /// How it went.
    pub status: ReplyStatus,
    /// The part's number, from 0.
    pub index: u32,
    /// It is the last part.
    pub last: bool,
    /// The reply, or this part of it.
    pub body: Bytes,
}

/// How a call went.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReplyStatus {
    /// It was answered.
    #[default]
    Done,
    /// Too many calls wait for the service; this one was not carried out.
    Busy,
    /// The service is not served there.
    NotFound,
    /// The service ended before it answered, or said something this version does not know.
    Stopped,
}

/// A number for a set of tables, the same on every node.
pub fn set_of(tables: &BTreeSet<TableName>) -> u64 {
    let mut w = Writer::default();
    tables.iter().for_each(|table| w.str(table));
    xxhash_rust::xxh3::xxh3_64(&w.bytes)
}

/// Kinds of messages.
mod kind {
    pub(super) const ANNOUNCE: u8 = 1;
    pub(super) const HEARTBEAT: u8 = 2;
    pub(super) const GOODBYE: u8 = 3;
    pub(super) const REGISTERS: u8 = 4;
    pub(super) const ASK: u8 = 5;
    pub(super) const SUBSCRIBE: u8 = 6;
    pub(super) const DELTA: u8 = 7;
    pub(super) const SNAPSHOT: u8 = 8;
    pub(super) const PULL: u8 = 9;
    pub(super) const NO_SESSION: u8 = 10;
    pub(super) const CALL: u8 = 11;
    pub(super) const REPLY: u8 = 12;
}

/// The field of every message that says who sent it.
const FROM: u64 = 1;

impl Envelope {
    /// The message's bytes. Changes and snapshots are made by [`encode_change`] and
    /// [`encode_snapshot`](super::encode_snapshot) instead, which cut them into chunks; here their
    /// content is left out.
    ///
    /// [`encode_change`]: super::encode_change
    pub fn encode(&self) -> Bytes {
        let mut w = Writer::default();
        w.str_field(FROM, &self.from);
        let (kind, payload) = self.message.write(&mut w);
        seal(kind, w, payload)
    }

    /// Reads a message. None for one of a kind or version that this code does not know: a newer
    /// node has sent it.
    pub fn decode(bytes: &[u8]) -> Result<Option<Self>, Malformed> {
        let mut reader = Reader::new(bytes);
        let [magic, version, kind, flags] = reader.take(4)? else {
            return Err(Malformed("it ends too early"));
        };
        if *magic != MAGIC[0] {
            return Err(Malformed("it is not of this protocol"));
        }
        if *version != MAGIC[1] || flags & !COMPRESSED != 0 {
            return Ok(None);
        }
        let inflated;
        if flags & COMPRESSED != 0 {
            let length = reader.take(4)?.try_into().map(u32::from_le_bytes);
            let length = length.map_err(|_| Malformed("a length"))? as usize;
            // LZ4 makes at most 255 bytes of one.
            if length > MAX_BODY || length / 255 > reader.rest.len() {
                return Err(Malformed("it is too long"));
            }
            inflated = lz4_flex::block::decompress(reader.rest, length)
                .map_err(|_| Malformed("it cannot be decompressed"))?;
            reader = Reader::new(&inflated);
        } else if reader.rest.len() > MAX_BODY {
            return Err(Malformed("it is too long"));
        }
        let Some((FROM, from)) = reader.field()? else {
            return Err(Malformed("the sender is not named"));
        };
        let from = bounded(from, MAX_INSTANCE, "the sender's instance is too long")?.into();
        Ok(Message::read(*kind, reader)?.map(|message| Self { from, message }))
    }
}

/// Puts the envelope around fields and payload.
fn seal(kind: u8, fields: Writer, payload: Option<&[u8]>) -> Bytes {
    let mut body = fields.bytes;
    if let Some(payload) = payload {
        body.push(0);
        body.extend_from_slice(payload);
    }
    let mut out = vec![MAGIC[0], MAGIC[1], kind, 0];
    if body.len() >= COMPRESS_FROM {
        let compressed = lz4_flex::block::compress(&body);
        if compressed.len() + 4 < body.len() {
            out[3] = COMPRESSED;
            out.extend_from_slice(&(body.len() as u32).to_le_bytes());
            out.extend_from_slice(&compressed);
            return out.into();
        }
    }
    out.append(&mut body);
    out.into()
}

/// The bytes of one chunk of a change.
pub(super) fn seal_delta(from: &str, delta: &Delta, content: &[u8]) -> Bytes {
    let mut w = Writer::default();
    w.str_field(FROM, from);
    write_delta(delta, &mut w);
    seal(kind::DELTA, w, Some(content))
}

/// The bytes of one chunk of a snapshot.
pub(super) fn seal_snapshot(from: &str, chunk: &SnapshotChunk, content: &[u8]) -> Bytes {
    let mut w = Writer::default();
    w.str_field(FROM, from);
    w.str_field(2, &chunk.source);
    w.field(3, |w| position(w, chunk.position));
    w.number_field(4, chunk.session);
    w.number_field(5, chunk.set);
    w.number_field(6, u64::from(chunk.index));
    w.number_field(7, u64::from(chunk.last));
    seal(kind::SNAPSHOT, w, Some(content))
}

fn write_delta(delta: &Delta, w: &mut Writer) {
    w.str_field(2, &delta.source);
    w.field(3, |w| position(w, delta.position));
    w.number_field(4, u64::from(delta.reset));
    w.number_field(5, u64::from(delta.index));
    w.number_field(6, u64::from(delta.last));
}

fn position(w: &mut Writer, position: Position) {
    w.varint(position.epoch.0);
    w.varint(position.sequence);
}

impl Message {
    /// Writes the fields; gives the kind and what follows the fields.
    fn write(&self, w: &mut Writer) -> (u8, Option<&[u8]>) {
        match self {
            Self::Announce(announce) => {
                w.str_field(2, &announce.node_id);
                w.str_field(3, &announce.program);
                w.number_field(4, announce.protocol);
                w.number_field(5, announce.version);
                w.number_field(6, u64::from(announce.ask));
                for (service, term) in &announce.services {
                    w.field(7, |w| {
                        w.str(service);
                        w.varint(*term);
                    });
                }
                (kind::ANNOUNCE, None)
            }
            Self::Heartbeat(heartbeat) => {
                w.number_field(2, heartbeat.beat);
                w.number_field(3, heartbeat.announce);
                write_registers(w, heartbeat.registers);
                w.number_field(6, u64::from(heartbeat.fresh));
                for (source, at) in &heartbeat.positions {
                    w.field(7, |w| {
                        w.str(source);
                        position(w, *at);
                    });
                }
                for (source, table, digest) in &heartbeat.digests {
                    w.field(8, |w| {
                        w.varint(u64::from(*source));
                        w.str(table);
                        w.u64(digest.to_bits());
                    });
                }
                (kind::HEARTBEAT, None)
            }
            Self::Goodbye => (kind::GOODBYE, None),
            Self::Registers(registers) => {
                write_registers(w, *registers);
                (kind::REGISTERS, None)
            }
            Self::Ask => (kind::ASK, None),
            Self::Subscribe(subscribe) => {
                w.str_field(2, &subscribe.source);
                w.number_field(3, subscribe.version);
                for (name, tables) in &subscribe.subscribers {
                    w.field(4, |w| {
                        w.str(name);
                        tables.iter().for_each(|table| w.str(table));
                    });
                }
                if let Some(tables) = &subscribe.fetch {
                    w.field(5, |w| tables.iter().for_each(|table| w.str(table)));
                }
                (kind::SUBSCRIBE, None)
            }
            Self::Delta(delta) => {
                write_delta(delta, w);
                (kind::DELTA, None)
            }
            Self::Snapshot(chunk) => {
                w.str_field(2, &chunk.source);
                (kind::SNAPSHOT, None)
            }
            Self::Pull { source, session, next } => {
                w.str_field(2, source);
                w.number_field(3, *session);
                w.number_field(4, u64::from(*next));
                (kind::PULL, None)
            }
            Self::NoSession { session } => {
                w.number_field(2, *session);
                (kind::NO_SESSION, None)
            }
            Self::Call(call) => {
                w.number_field(2, call.id);
                w.str_field(3, &call.service);
                w.number_field(4, call.term);
                w.number_field(5, call.timeout);
                w.number_field(6, u64::from(call.index));
                w.number_field(7, u64::from(call.last));
                (kind::CALL, Some(&call.body))
            }
            Self::Reply(reply) => {
                w.number_field(2, reply.id);
                let status = match reply.status {
                    ReplyStatus::Done => 0,
                    ReplyStatus::Busy => 1,
                    ReplyStatus::NotFound => 2,
                    ReplyStatus::Stopped => 3,
                };
                w.number_field(3, status);
                w.number_field(4, u64::from(reply.index));
                w.number_field(5, u64::from(reply.last));
                (kind::REPLY, Some(&reply.body))
            }
        }
    }

    fn read(kind: u8, mut r: Reader<'_>) -> Result<Option<Self>, Malformed> {
        Ok(Some(match kind {
            kind::ANNOUNCE => Self::Announce(read_announce(&mut r)?),
            kind::HEARTBEAT => Self::Heartbeat(read_heartbeat(&mut r)?),
            kind::GOODBYE => Self::Goodbye,
            kind::REGISTERS => {
                let mut registers = Registers::default();
                while let Some((number, field)) = r.field()? {
                    read_register(number, field, &mut registers)?;
                }
                Self::Registers(registers)
            }
            kind::ASK => Self::Ask,
            kind::SUBSCRIBE => Self::Subscribe(read_subscribe(&mut r)?),
            kind::DELTA => Self::Delta(read_delta(&mut r)?),
            kind::SNAPSHOT => Self::Snapshot(read_snapshot(&mut r)?),
            kind::PULL => {
                let (mut source, mut session, mut next) = (Arc::from(""), 0, 0);
                while let Some((number, mut field)) = r.field()? {
                    match number {
                        2 => source = text(field)?.into(),
                        3 => session = field.varint()?,
                        4 => next = small(field)?,
                        _ => {}
                    }
                }
                Self::Pull { source, session, next }
            }
            kind::NO_SESSION => {
                let mut session = 0;
                while let Some((number, mut field)) = r.field()? {
                    if number == 2 {
                        session = field.varint()?;
                    }
                }
                Self::NoSession { session }
            }
            kind::CALL => Self::Call(read_call(&mut r)?),
            kind::REPLY => Self::Reply(read_reply(&mut r)?),
            _ => return Ok(None),
        }))
    }
}

fn write_registers(w: &mut Writer, registers: Registers) {
    w.number_field(4, registers.revision);
    w.number_field(5, registers.term);
}

fn read_register(number: u64, mut r: Reader<'_>, into: &mut Registers) -> Result<(), Malformed> {
    match number {
        4 => into.revision = r.varint()?,
        5 => into.term = r.varint()?,
        _ => {}
    }
    Ok(())
}

fn read_announce(r: &mut Reader<'_>) -> Result<Announce, Malformed> {
    let mut announce = Announce::default();
    while let Some((number, mut field)) = r.field()? {
        match number {
            2 => announce.node_id = bounded(field, MAX_NAME, "a node id is too long")?.to_owned(),
            3 => announce.program = bounded(field, MAX_NAME, "a version is too long")?.to_owned(),
            4 => announce.protocol = field.varint()?,
            5 => announce.version = field.varint()?,
            6 => announce.ask = field.varint()? != 0,
            7 => push(&mut announce.services, (field.name()?, field.varint()?))?,
            _ => {}
        }
    }
    Ok(announce)
}

fn read_heartbeat(r: &mut Reader<'_>) -> Result<Heartbeat, Malformed> {
    let mut heartbeat = Heartbeat::default();
    while let Some((number, mut field)) = r.field()? {
        match number {
            2 => heartbeat.beat = field.varint()?,
            3 => heartbeat.announce = field.varint()?,
            4 | 5 => read_register(number, field, &mut heartbeat.registers)?,
            6 => heartbeat.fresh = field.varint()? != 0,
            7 => {
                let source = field.name()?;
                push(&mut heartbeat.positions, (source, read_position(&mut field)?))?;
            }
            8 => {
                let source = u32::try_from(field.varint()?).map_err(|_| Malformed("a number"))?;
                let table = field.name()?;
                let digest = Digest::from_bits(field.u64()?);
                push(&mut heartbeat.digests, (source, table, digest))?;
            }
            _ => {}
        }
    }
    Ok(heartbeat)
}

fn read_subscribe(r: &mut Reader<'_>) -> Result<Subscribe, Malformed> {
    let mut subscribe = Subscribe::default();
    let mut named = 0;
    while let Some((number, mut field)) = r.field()? {
        match number {
            2 => subscribe.source = text(field)?.into(),
            3 => subscribe.version = field.varint()?,
            4 => {
                let name = field.str()?.to_owned();
                push(&mut subscribe.subscribers, (name, names(field, &mut named)?))?;
            }
            5 => subscribe.fetch = Some(names(field, &mut named)?),
            _ => {}
        }
    }
    Ok(subscribe)
}

fn read_delta(r: &mut Reader<'_>) -> Result<Delta, Malformed> {
    let mut delta = Delta::default();
    while let Some((number, mut field)) = r.field()? {
        match number {
            2 => delta.source = text(field)?.into(),
            3 => delta.position = read_position(&mut field)?,
            4 => delta.reset = field.varint()? != 0,
            5 => delta.index = small(field)?,
            6 => delta.last = field.varint()? != 0,
            _ => {}
        }
    }
    delta.content = rows::read(r.rest)?;
    Ok(delta)
}

fn read_snapshot(r: &mut Reader<'_>) -> Result<SnapshotChunk, Malformed> {
    let mut chunk = SnapshotChunk::default();
    while let Some((number, mut field)) = r.field()? {
        match number {
            2 => chunk.source = text(field)?.into(),
            3 => chunk.position = read_position(&mut field)?,
            4 => chunk.session = field.varint()?,
            5 => chunk.set = field.varint()?,
            6 => chunk.index = small(field)?,
            7 => chunk.last = field.varint()? != 0,
            _ => {}
        }
    }
    chunk.content = rows::read(r.rest)?;
    Ok(chunk)
}

fn read_call(r: &mut Reader<'_>) -> Result<Call, Malformed> {
    let mut call = Call::default();
    while let Some((number, mut field)) = r.field()? {
        match number {
            2 => call.id = field.varint()?,
            3 => call.service = text(field)?.into(),
            4 => call.term = field.varint()?,
            5 => call.timeout = field.varint()?,
            6 => call.index = small(field)?,
            7 => call.last = field.varint()? != 0,
            _ => {}
        }
    }
    call.body = Bytes::copy_from_slice(r.rest);
    Ok(call)
}

fn read_reply(r: &mut Reader<'_>) -> Result<Reply, Malformed> {
    let mut reply = Reply::default();
    while let Some((number, mut field)) = r.field()? {
        match number {
            2 => reply.id = field.varint()?,
            3 => {
                reply.status = match field.varint()? {
                    0 => ReplyStatus::Done,
                    1 => ReplyStatus::Busy,
                    2 => ReplyStatus::NotFound,
                    _ => ReplyStatus::Stopped,
                }
            }
            4 => reply.index = small(field)?,
            5 => reply.last = field.varint()? != 0,
            _ => {}
        }
    }
    reply.body = Bytes::copy_from_slice(r.rest);
    Ok(reply)
}

fn read_position(r: &mut Reader<'_>) -> Result<Position, Malformed> {
    Ok(Position { epoch: Epoch(r.varint()?), sequence: r.varint()? })
}

fn text<'a>(r: Reader<'a>) -> Result<&'a str, Malformed> {
    std::str::from_utf8(r.rest).map_err(|_| Malformed("a text is not UTF-8"))
}

fn bounded<'a>(r: Reader<'a>, most: usize, too_long: &'static str) -> Result<&'a str, Malformed> {
    if r.rest.len() > most {
        return Err(Malformed(too_long));
    }
    text(r)
}

fn small(mut r: Reader<'_>) -> Result<u32, Malformed> {
    u32::try_from(r.varint()?).map_err(|_| Malformed("a number is too large"))
}

/// Names of tables; `named` counts those of the whole message.
fn names(mut r: Reader<'_>, named: &mut usize) -> Result<BTreeSet<TableName>, Malformed> {
    let mut names = BTreeSet::new();
    while !r.is_empty() {
        if *named >= MAX_ITEMS {
            return Err(Malformed("it names too many tables"));
        }
        *named += 1;
        names.insert(r.name()?);
    }
    Ok(names)
}

fn push<T>(items: &mut Vec<T>, item: T) -> Result<(), Malformed> {
    if items.len() >= MAX_ITEMS {
        return Err(Malformed("it has too many items"));
    }
    items.push(item);
    Ok(())
}

#[cfg(test)]
mod tests;
