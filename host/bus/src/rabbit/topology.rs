//! Exchanges and queues of one node.
//!
//! Exchanges are shared by all nodes of a bus; queues belong to one connection of one node, go
//! with it, and have new names each time: a name may be locked for a while after its connection
//! was lost. Every queue is bounded, so that whoever does not read its own fills nothing.

use std::collections::BTreeSet;
use std::io;
use std::sync::Arc;

use lapin::options::{
    BasicConsumeOptions, BasicQosOptions, ExchangeDeclareOptions, QueueBindOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Channel, Consumer, ExchangeKind};

use super::options::RabbitOptions;
use crate::protocol::{Instance, Lane, Target};

/// Routing keys have at most 255 bytes ([`short`]); the names of longer sources are replaced by a digest. If
/// two coincide, each subscriber skips what it does not want.
const LONGEST_KEY: usize = 200;

/// How many bytes of the node id are in the names of its queues.
const NODE_BYTES: usize = 40;

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
            channel.exchange_declare(short(name.as_str())?, kind, declare, arguments).await?;
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
        let name = queue_name(options, kind, generation);
        let mut arguments = FieldTable::default();
        let mut argument = |key: &'static str, value| {
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
        channel.queue_declare(short(name.as_str())?, declare, arguments).await?;
        let key = node_key(&options.instance.as_str().into(), kind);
        bind(channel, &name, &self.node, &key).await?;
        if kind.name == CONTROL.name {
            bind(channel, &name, &self.all, "").await?;
        }
        let prefetch = if options.prefetch == 0 { kind.prefetch } else { options.prefetch };
        channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
        let consume = BasicConsumeOptions { exclusive: true, ..BasicConsumeOptions::default() };
        let consumer = channel
            .basic_consume(short(name.as_str())?, kind.name.into(), consume, FieldTable::default())
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
                    short(queue)?,
                    short(self.source.as_str())?,
                    short(source_key(source))?,
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
    let (queue, exchange, key) = (short(queue)?, short(exchange)?, short(key)?);
    channel.queue_bind(queue, exchange, key, options, arguments).await
}

/// A name or key as the broker takes it: of at most 255 bytes. The library's own conversion panics
/// beyond that, so whatever is not a constant of this code goes through here.
pub(super) fn short(text: impl Into<String>) -> lapin::Result<ShortString> {
    ShortString::try_new(text).map_err(|error| io::Error::other(error).into())
}

/// The name of a queue. With what [`RabbitOptions`] may hold it is short enough.
fn queue_name(options: &RabbitOptions, kind: Kind, generation: u64) -> String {
    let node_id = &options.node_id;
    let node_id = node_id.get(..node_id.floor_char_boundary(NODE_BYTES)).unwrap_or_default();
    let (bus_id, instance) = (&options.bus_id, &options.instance);
    format!("congress.{bus_id}.{node_id}.{instance}.{generation}.{}", kind.name)
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

#[cfg(test)]
mod tests {
    use super::super::options::MAX_BUS_ID;
    use super::*;
    use crate::protocol::{MAX_INSTANCE, MAX_NAME};

    #[test]
    fn the_longest_names_that_are_allowed_fit() {
        let options = RabbitOptions {
            bus_id: "b".repeat(MAX_BUS_ID),
            ..RabbitOptions::new("ü".repeat(MAX_NAME / 2), "i".repeat(MAX_INSTANCE), Vec::new())
        };
        assert_eq!(options.problem(), None);
        let exchanges = Exchanges::new(&options.bus_id);
        let instance: Instance = options.instance.as_str().into();
        let source = |length| Target::Source("s".repeat(length).into());
        let targets = [
            Target::All,
            source(LONGEST_KEY),
            source(100_000),
            Target::Calls(instance.clone()),
            Target::Node(instance),
        ];
        for to in &targets {
            for lane in [Lane::Control, Lane::Data, Lane::Calls] {
                let (exchange, key) = exchanges.route(lane, to);
                assert!(short(exchange).is_ok() && short(key).is_ok(), "{to:?}");
            }
        }
        for kind in [CONTROL, DATA, CALLS, REPLIES] {
            assert!(short(queue_name(&options, kind, u64::MAX)).is_ok());
        }
        assert!(short("x".repeat(256)).is_err());
    }
}
