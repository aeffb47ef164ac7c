//! Exchanges and queues of one node.
//!
//! Exchanges are shared by all nodes of a bus; queues belong to one connection of one node, go
//! with it, and have new names each time: a name may be locked for a while after its connection
//! was lost. Every queue is bounded, so that whoever does not read its own fills nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Consumer, ExchangeKind};

use super::options::RabbitOptions;
use crate::protocol::{Instance, Lane, Target};

/// Routing keys have at most 255 bytes; the names of longer sources are replaced by a digest. If
/// two coincide, each subscriber skips what it does not want.
const LONGEST_KEY: usize = 200;

/// A queue: what it is for, and its bounds.
#[derive(Clone, Copy, Debug)]
pub(super) struct Kind {
    pub(super) name: &'static str,
    /// Messages.
    length: i64,
    bytes: i64,
    /// Milliseconds that a message waits at most.
    ttl: i64,
    /// What happens to what does not fit.
    overflow: &'static str,
    /// Messages sent ahead of their acknowledgement.
    prefetch: u16,
}

/// Presence, registers, subscriptions.
pub(super) const CONTROL: Kind = Kind {
    name: "control",
    length: 10_000,
    bytes: 16 << 20,
    ttl: 10_000,
    overflow: "drop-head",
    prefetch: 200,
};
/// Changes and snapshots.
pub(super) const DATA: Kind = Kind {
    name: "data",
    length: 10_000,
    bytes: 64 << 20,
    ttl: 30_000,
    overflow: "drop-head",
    prefetch: 32,
};
/// Calls. What does not fit is refused, so that the caller knows.
pub(super) const CALLS: Kind = Kind {
    name: "calls",
    length: 1_000,
    bytes: 128 << 20,
    ttl: 600_000,
    overflow: "reject-publish",
    prefetch: 64,
};
/// Replies.
pub(super) const REPLIES: Kind = Kind {
    name: "replies",
    length: 10_000,
    bytes: 128 << 20,
    ttl: 600_000,
    overflow: "drop-head",
    prefetch: 64,
};

/// The names of one bus's exchanges.
#[derive(Clone, Debug)]
pub(super) struct Exchanges {
    all: String,
    source: String,
    node: String,
}

impl Exchanges {
    pub(super) fn new(bus_id: &str) -> Self {
        Self {
            all: format!("congress.{bus_id}.all"),
            source: format!("congress.{bus_id}.source"),
            node: format!("congress.{bus_id}.node"),
        }
    }

    pub(super) async fn declare(
        &self,
        channel: &Channel,
        options: &RabbitOptions,
    ) -> lapin::Result<()> {
        let kinds = [
            (&self.all, ExchangeKind::Fanout),
            (&self.source, ExchangeKind::Direct),
            (&self.node, ExchangeKind::Direct),
        ];
        for (name, kind) in kinds {
            let declare = ExchangeDeclareOptions {
                durable: options.durable,
                ..ExchangeDeclareOptions::default()
            };
            let arguments = FieldTable::default();
            channel.exchange_declare(name.as_str().into(), kind, declare, arguments).await?;
        }
        Ok(())
    }

    /// Exchange and routing key for a target.
    pub(super) fn route(&self, lane: Lane, to: &Target) -> (&str, String) {
        match to {
            Target::All => (&self.all, String::new()),
            Target::Source(source) => (&self.source, source_key(source)),
            Target::Calls(instance) => (&self.node, node_key(instance, CALLS)),
            Target::Node(instance) => {
                let kind = match lane {
                    Lane::Control => CONTROL,
                    Lane::Data => DATA,
                    Lane::Calls => REPLIES,
                };
                (&self.node, node_key(instance, kind))
            }
        }
    }

    /// Makes a queue of this node and begins to read it.
    pub(super) async fn open_queue(
        &self,
        channel: &Channel,
        options: &RabbitOptions,
        kind: Kind,
        generation: u64,
    ) -> lapin::Result<(String, Consumer)> {
        let node_id: String = options.node_id.chars().take(40).collect();
        let name = format!(
            "congress.{}.{node_id}.{}.{generation}.{}",
            options.bus_id, options.instance, kind.name
        );
        let mut arguments = FieldTable::default();
        let mut argument = |key: &str, value| {
            arguments.insert(key.into(), value);
        };
        argument("x-max-length", AMQPValue::LongLongInt(kind.length));
        argument("x-max-length-bytes", AMQPValue::LongLongInt(kind.bytes));
        argument("x-message-ttl", AMQPValue::LongLongInt(kind.ttl));
        argument("x-overflow", AMQPValue::LongString(kind.overflow.into()));
        let expiry = options.queue_expiry.as_millis().clamp(1, u128::from(u32::MAX)) as i64;
        argument("x-expires", AMQPValue::LongLongInt(expiry));
        let declare = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        channel.queue_declare(name.as_str().into(), declare, arguments).await?;
        let key = node_key(&options.instance.as_str().into(), kind);
        bind(channel, &name, &self.node, &key).await?;
        if kind.name == CONTROL.name {
            bind(channel, &name, &self.all, "").await?;
        }
        let prefetch = if options.prefetch == 0 { kind.prefetch } else { options.prefetch };
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let consume = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consumer = channel
            .basic_consume(name.as_str().into(), kind.name.into(), consume, FieldTable::default())
            .await?;
        Ok((name, consumer))
    }

    /// Makes `bound` equal to `wanted`.
    pub(super) async fn rebind(
        &self,
        channel: &Channel,
        queue: &str,
        bound: &mut BTreeSet<Arc<str>>,
        wanted: BTreeSet<Arc<str>>,
    ) -> lapin::Result<()> {
        for source in wanted.difference(bound) {
            bind(channel, queue, &self.source, &source_key(source)).await?;
        }
        for source in bound.difference(&wanted) {
            channel
                .queue_unbind(
                    queue.into(),
                    self.source.as_str().into(),
                    source_key(source).into(),
                    FieldTable::default(),
                )
                .await?;
        }
        *bound = wanted;
        Ok(())
    }
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> lapin::Result<()> {
    let options = QueueBindOptions::default();
    let arguments = FieldTable::default();
    channel.queue_bind(queue.into(), exchange.into(), key.into(), options, arguments).await
}

fn source_key(source: &str) -> String {
    if source.len() <= LONGEST_KEY {
        return source.to_owned();
    }
    format!("#{:016x}", xxhash_rust::xxh3::xxh3_64(source.as_bytes()))
}

fn node_key(instance: &Instance, kind: Kind) -> String {
    format!("{instance}.{}", kind.name)
}
