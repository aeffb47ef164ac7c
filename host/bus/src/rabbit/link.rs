//! The link to the broker, kept up by a task that never gives up.
//!
//! One link is three connections: one that publishes, so that a broker that blocks publishers
//! blocks nothing else; one that reads; one for calls. If any of them, or a channel, fails, all
//! are cut and made anew: declared again, bound again, and every subscription compares its
//! position with its publisher's.

use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Channel, Confirmation, Consumer, Event, PublisherConfirm};
use tokio::sync::{mpsc, watch};

use super::options::RabbitOptions;
use super::outbox::Outbox;
use super::shared::{Data, Parcel, Shared};
use super::socket::{self, Socket};
use super::topology::{CALLS, CONTROL, DATA, Exchanges, REPLIES, short};
use crate::protocol::{self, ChangeToSend, Envelope, Instance, Lane, Message, Target};

/// How many messages of a lane wait for the broker's confirmation.
const UNCONFIRMED: usize = 128;
/// Changes with more rows are encoded on a thread of their own.
const ROWS_AT_ONCE: usize = 2_000;
/// How many parts of a large change are encoded before the first is sent.
const AHEAD: usize = 4;
/// The longest message that is sent: brokers have limits, and cut connections beyond them.
const LONGEST: usize = 15 << 20;
/// How long declaring everything may take.
const SET_UP: Duration = Duration::from_secs(5);
/// How long closing may take.
const CLOSE: Duration = Duration::from_secs(1);
/// How long this node's own heartbeats may fail to come back before the link is given up.
const ECHO: Duration = Duration::from_secs(5);

/// Keeps the link up until the task is ended.
pub(super) async fn run(shared: Arc<Shared>, options: RabbitOptions) {
    let mut random = protocol::Random(xxhash_rust::xxh3::xxh3_64(options.instance.as_bytes()));
    let mut wait = options.retry / 10;
    loop {
        // Names are never used twice, so neither are these.
        let generation = shared.attempts.fetch_add(1, Ordering::Relaxed);
        let index = generation as usize % options.hosts.len().max(1);
        let opened = tokio::time::timeout(
            SET_UP + SET_UP,
            Session::open(&options, index, generation, &shared),
        );
        let reason = match opened.await {
            Ok(Ok(session)) => {
                tracing::info!(host = ?options.hosts.get(index), "connected to the message bus");
                wait = options.retry / 10;
                match session.run(&shared).await {
                    Ended::Failed(reason) => reason,
                    Ended::Left => {
                        shared.link_down("this node has left");
                        shared.left.notify_waiters();
                        return;
                    }
                }
            }
            Ok(Err(reason)) => reason,
            Err(_) => "the broker does not answer".to_owned(),
        };
        tracing::warn!(host = ?options.hosts.get(index), %reason, "the message bus is down");
        shared.link_down(&reason);
        tokio::time::sleep(random.around(wait).min(options.retry)).await;
        wait = wait.saturating_mul(2).min(options.retry);
    }
}

/// How a link ended.
enum Ended {
    Failed(String),
    /// As was asked for.
    Left,
}

/// A link that is up.
struct Session {
    sockets: [Socket; 3],
    exchanges: Exchanges,
    control: Channel,
    data: Channel,
    calls: Channel,
    routes: Channel,
    consumers: Vec<(Consumer, Reading)>,
    data_queue: String,
    bound: BTreeSet<Arc<str>>,
}

/// Which queue is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reading {
    Control,
    Other,
}

impl Session {
    async fn open(
        options: &RabbitOptions,
        index: usize,
        generation: u64,
        shared: &Arc<Shared>,
    ) -> Result<Self, String> {
        if let Some(problem) = options.problem() {
            return Err(problem);
        }
        let host = options.hosts.get(index).ok_or("no broker is configured")?;
        let tls = options.tls.as_ref().map(socket::tls).transpose()?;
        let connect = |purpose| socket::connect(options, host, tls.as_ref(), purpose);
        let (publish, consume, call) =
            tokio::try_join!(connect("publish"), connect("consume"), connect("calls"))
                .map_err(|error| error.to_string())?;
        let set_up = Self::set_up(options, generation, shared, [publish, consume, call]);
        set_up.await.map_err(|error| format!("{}:{}: {error}", host.host, host.port))
    }

    async fn set_up(
        options: &RabbitOptions,
        generation: u64,
        shared: &Arc<Shared>,
        sockets: [Socket; 3],
    ) -> lapin::Result<Self> {
        let [publish, consume, call] = &sockets;
        let exchanges = Exchanges::new(&options.bus_id);
        let control = confirming(publish).await?;
        exchanges.declare(&control, options).await?;
        let data = confirming(publish).await?;
        let calls = confirming(call).await?;
        let mut consumers = Vec::new();
        let mut data_queue = String::new();
        for (kind, socket) in [(CONTROL, consume), (DATA, consume), (CALLS, call), (REPLIES, call)]
        {
            let channel = socket.connection.create_channel().await?;
            let (name, consumer) =
                exchanges.open_queue(&channel, options, kind, generation).await?;
            let reading = if kind.name == CONTROL.name { Reading::Control } else { Reading::Other };
            if kind.name == DATA.name {
                data_queue = name;
            }
            consumers.push((consumer, reading));
        }
        let routes = consume.connection.create_channel().await?;
        let mut bound = BTreeSet::new();
        let wanted = shared.with(|state, _| state.core.bindings()).into_iter().collect();
        exchanges.rebind(&routes, &data_queue, &mut bound, wanted).await?;
        Ok(Self { sockets, exchanges, control, data, calls, routes, consumers, data_queue, bound })
    }

    /// Carries messages until something fails, or the node leaves.
    async fn run(self, shared: &Arc<Shared>) -> Ended {
        let Self { sockets, exchanges, control, data, calls, routes, consumers, .. } = self;
        let (echo, echoed) = watch::channel(());
        shared.link_up(&self.bound);
        let reading = consumers.into_iter().map(|(consumer, reading)| {
            let echo = (reading == Reading::Control).then(|| echo.clone());
            read(shared, consumer, echo)
        });
        let failed = |what: &str, result: lapin::Result<()>| match result {
            Ok(()) => format!("{what} ended"),
            Err(error) => format!("{what}: {error}"),
        };
        let [publish, consume, call] = &sockets;
        let reason = tokio::select! {
            result = send(shared, &shared.control, &control, &exchanges, Lane::Control) => {
                failed("publishing", result)
            }
            result = send_data(shared, &data, &exchanges) => failed("publishing", result),
            result = send(shared, &shared.calls, &calls, &exchanges, Lane::Calls) => {
                failed("calling", result)
            }
            result = route(shared, &routes, &exchanges, &self.data_queue, self.bound.clone()) => {
                failed("binding", result)
            }
            result = futures_util::future::select_all(reading.map(Box::pin)) => {
                failed("reading", result.0)
            }
            reason = watch_over(shared, [publish, consume, call], echoed) => reason,
            () = shared.leaving.notified() => {
                // The broker logs connections that end otherwise.
                let close = sockets.iter().map(|s| s.connection.close(200, "the node stops".into()));
                let closed = futures_util::future::join_all(close);
                let _ = tokio::time::timeout(CLOSE, closed).await;
                return Ended::Left;
            }
        };
        Ended::Failed(reason)
    }
}

async fn confirming(socket: &Socket) -> lapin::Result<Channel> {
    let channel = socket.connection.create_channel().await?;
    channel.confirm_select(ConfirmSelectOptions::default()).await?;
    Ok(channel)
}

/// Messages whose confirmation has not come.
#[derive(Default)]
struct Unconfirmed {
    waiting: VecDeque<(Option<u64>, PublisherConfirm)>,
}

impl Unconfirmed {
    /// Waits until at most `most` are left.
    async fn settle(&mut self, most: usize, shared: &Arc<Shared>) -> lapin::Result<()> {
        while self.waiting.len() > most
            && let Some((call, confirm)) = self.waiting.pop_front()
        {
            let confirmation = confirm.await?;
            let Some(id) = call else { continue };
            match confirmation {
                // Nobody's queue took it.
                Confirmation::Ack(Some(_)) => {
                    shared.with(|state, now| state.core.call_failed(now, id, false));
                }
                Confirmation::Nack(_) => {
                    shared.with(|state, now| state.core.call_failed(now, id, true));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Sends what is put into a lane.
async fn send(
    shared: &Arc<Shared>,
    lane_box: &Outbox<Parcel>,
    channel: &Channel,
    exchanges: &Exchanges,
    lane: Lane,
) -> lapin::Result<()> {
    let mut unconfirmed = Unconfirmed::default();
    loop {
        let parcel = match lane_box.try_pop() {
            Some(parcel) => parcel,
            None => {
                unconfirmed.settle(0, shared).await?;
                lane_box.all_sent();
                lane_box.pop().await
            }
        };
        publish(channel, exchanges, lane, &parcel, &mut unconfirmed).await?;
        unconfirmed.settle(UNCONFIRMED, shared).await?;
    }
}

/// Sends changes and snapshots.
async fn send_data(
    shared: &Arc<Shared>,
    channel: &Channel,
    exchanges: &Exchanges,
) -> lapin::Result<()> {
    let me = shared.with(|state, _| state.core.identity().instance.clone());
    let mut unconfirmed = Unconfirmed::default();
    loop {
        let item = match shared.data.try_pop() {
            Some(item) => item,
            None => {
                unconfirmed.settle(0, shared).await?;
                shared.data.all_sent();
                shared.data.pop().await
            }
        };
        match item {
            Data::Parcel(parcel) => {
                publish(channel, exchanges, Lane::Data, &parcel, &mut unconfirmed).await?;
                unconfirmed.settle(UNCONFIRMED, shared).await?;
            }
            Data::Change(change) => {
                let to = Target::Source(change.source.clone());
                let mut messages = encode(me.clone(), change);
                while let Some(bytes) = messages.recv().await {
                    let parcel = Parcel { to: to.clone(), bytes, call: None };
                    publish(channel, exchanges, Lane::Data, &parcel, &mut unconfirmed).await?;
                    unconfirmed.settle(UNCONFIRMED, shared).await?;
                }
            }
        }
    }
}

/// Encodes a change: a large one on a thread of its own, while its first parts are sent already.
fn encode(me: Instance, change: ChangeToSend) -> mpsc::Receiver<Bytes> {
    let tables = change.change.tables.iter();
    let rows: usize = tables.map(|(_, delta)| delta.added.len() + delta.removed.len()).sum();
    if rows > ROWS_AT_ONCE {
        let (sender, messages) = mpsc::channel(AHEAD);
        tokio::task::spawn_blocking(move || {
            protocol::encode_change(&me, &change, |message| {
                // Nobody takes it any more if the link has gone.
                let _ = sender.blocking_send(message);
            });
        });
        return messages;
    }
    let mut all = Vec::new();
    protocol::encode_change(&me, &change, |message| all.push(message));
    let (sender, messages) = mpsc::channel(all.len().max(1));
    for message in all {
        let _ = sender.try_send(message);
    }
    messages
}

async fn publish(
    channel: &Channel,
    exchanges: &Exchanges,
    lane: Lane,
    parcel: &Parcel,
    unconfirmed: &mut Unconfirmed,
) -> lapin::Result<()> {
    if parcel.bytes.len() > LONGEST {
        tracing::error!(
            bytes = parcel.bytes.len(), most = LONGEST, to = ?parcel.to,
            "a message is too long for the broker and is not sent; is one row that large?"
        );
        return Ok(());
    }
    let (exchange, key) = exchanges.route(lane, &parcel.to);
    let (exchange, key) = match (short(exchange), short(key)) {
        (Ok(exchange), Ok(key)) => (exchange, key),
        (Err(error), _) | (_, Err(error)) => {
            tracing::error!(%error, to = ?parcel.to, "a message cannot be addressed and is not sent");
            return Ok(());
        }
    };
    let options =
        BasicPublishOptions { mandatory: parcel.call.is_some(), ..BasicPublishOptions::default() };
    let properties = BasicProperties::default().with_delivery_mode(1);
    let confirm = channel.basic_publish(exchange, key, options, &parcel.bytes, properties).await?;
    unconfirmed.waiting.push_back((parcel.call, confirm));
    Ok(())
}

/// Reads a queue. `echo` is told when a heartbeat of this node comes back.
async fn read(
    shared: &Arc<Shared>,
    mut consumer: Consumer,
    echo: Option<watch::Sender<()>>,
) -> lapin::Result<()> {
    let me = shared.with(|state, _| state.core.identity().instance.clone());
    while let Some(delivery) = consumer.next().await {
        let delivery = delivery?;
        match Envelope::decode(&delivery.data) {
            Ok(Some(envelope)) => {
                if envelope.from != me {
                    shared.with(|state, now| state.core.receive(now, envelope));
                } else if let (Message::Heartbeat(_), Some(echo)) = (&envelope.message, &echo) {
                    echo.send_replace(());
                }
            }
            Ok(None) => tracing::debug!("a message of a newer version was skipped"),
            Err(error) => {
                // Whoever sends such does so often.
                let count = shared.malformed.fetch_add(1, Ordering::Relaxed) + 1;
                if count.is_power_of_two() {
                    tracing::warn!(%error, count, "a message was dropped");
                }
            }
        }
        delivery.ack(BasicAckOptions::default()).await?;
    }
    Ok(())
}

/// Keeps the bindings as subscriptions come and go.
async fn route(
    shared: &Arc<Shared>,
    channel: &Channel,
    exchanges: &Exchanges,
    queue: &str,
    mut bound: BTreeSet<Arc<str>>,
) -> lapin::Result<()> {
    loop {
        let wanted: BTreeSet<_> =
            shared.with(|state, _| state.core.bindings()).into_iter().collect();
        exchanges.rebind(channel, queue, &mut bound, wanted).await?;
        shared.with(|state, now| {
            for source in &bound {
                state.core.bound(now, source);
            }
        });
        shared.routes.notified().await;
    }
}

/// Watches what tells nothing by itself: a broker that takes no messages, and connections on
/// which nothing arrives any more. Returns when the link is to be given up.
async fn watch_over(
    shared: &Arc<Shared>,
    sockets: [&Socket; 3],
    mut echoed: watch::Receiver<()>,
) -> String {
    let events = sockets.map(|socket| Box::pin(socket.connection.events_listener()));
    let mut events = futures_util::stream::select_all(events);
    let mut blocked = 0usize;
    loop {
        tokio::select! {
            event = events.next() => match event {
                Some(Event::ConnectionBlocked(reason)) => {
                    blocked += 1;
                    let reason = format!("the broker takes no messages: {reason}");
                    tracing::warn!(%reason, "the message bus is down");
                    shared.link_down(&reason);
                }
                Some(Event::ConnectionUnblocked) => {
                    blocked = blocked.saturating_sub(1);
                    if blocked == 0 {
                        tracing::info!("the broker takes messages again");
                        // What is routed here has changed since it was connected.
                        shared.link_up(&BTreeSet::new());
                    }
                }
                Some(Event::Error(error)) => return error.to_string(),
                Some(_) => {}
                None => return "the connection ended".to_owned(),
            },
            heard = tokio::time::timeout(ECHO, echoed.changed()), if blocked == 0 => match heard {
                Ok(Ok(())) => {}
                Ok(Err(_)) => return "reading ended".to_owned(),
                Err(_) => return format!("nothing came through for {ECHO:?}"),
            }
        }
    }
}
