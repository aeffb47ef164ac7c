//! What can go wrong between nodes and RabbitMQ.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{
    Mirror, SOON, World, acquainted, change, delta, next, options, tables, unique, until,
};
use congress_bus::protocol::{Announce, Envelope, Message};
use congress_bus::{
    Bus, CallError, Epoch, Link, Publisher, RabbitBus, RabbitHost, RabbitOptions, RabbitTls,
    Register, Subscription, Update,
};
use congress_table::{Change, TableDelta, Value};
use congress_test_services::{Proxy, RabbitMq, RabbitTlsFiles, free_port};

/// How long everything may take to be current again, beyond what is promised, on a machine that
/// does much else.
const ALLOWANCE: Duration = Duration::from_secs(10);

async fn link_is(bus: &dyn Bus, up: bool) -> Link {
    let mut link = bus.link();
    let wanted = link.wait_for(|link| (*link == Link::Up) == up);
    let found = tokio::time::timeout(SOON, wanted).await;
    found.unwrap_or_else(|_| panic!("the link is not up={up}")).unwrap().clone()
}

/// A publisher with some rows, and one that follows it on another node.
struct Followed {
    publisher: Publisher,
    subscription: Subscription,
    mirror: Mirror,
    next: i64,
}

impl Followed {
    fn new(near: &dyn Bus, far: &dyn Bus) -> Self {
        let publisher = near.publish("nova", Epoch(1)).unwrap();
        publisher.commit(Change { tables: vec![("t".into(), delta(0..1000, []))] });
        let subscription = far.subscribe("__engine", "nova", tables(&["t"]));
        Self { publisher, subscription, mirror: Mirror::default(), next: 1000 }
    }

    fn commit(&mut self) {
        self.publisher.commit(change("t", &[self.next], &[self.next - 1000]));
        self.next += 1;
    }

    /// How long it takes until the copy is current.
    async fn catch_up(&mut self) -> Duration {
        let begin = Instant::now();
        self.mirror.follow(&mut self.subscription, &self.publisher, "t").await;
        begin.elapsed()
    }
}

async fn pair(near: RabbitOptions, far: RabbitOptions) -> (Arc<dyn Bus>, Arc<dyn Bus>) {
    let nodes: Vec<Arc<dyn Bus>> =
        vec![Arc::new(RabbitBus::connect(near)), Arc::new(RabbitBus::connect(far))];
    acquainted(&nodes).await;
    (nodes[0].clone(), nodes[1].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broker_may_be_away_at_start_killed_paused_and_short_of_memory() {
    let mut broker = RabbitMq::start().await.unwrap();
    broker.stop().await.unwrap();
    let bus_id = unique("bus");
    let near = RabbitBus::connect(options(broker.port(), &bus_id, "ds"));
    let far = RabbitBus::connect(options(broker.port(), &bus_id, "pe1"));
    let mut followed = Followed::new(&near, &far);
    let mut here = near.subscribe("__here", "nova", tables(&["t"]));
    assert!(matches!(next(&mut here).await, Update::Snapshot(_)), "what is here needs no broker");
    let Link::Down(reason) = link_is(&far, false).await else { panic!() };
    println!("without a broker: {reason}");
    let call = far.call("echo", "x".into(), SOON).await;
    assert!(matches!(call, Err(CallError::Down(_))), "{call:?}");
    far.raise(Register::Revision, 3);

    broker.run().await.unwrap();
    println!("current {:?} after the broker's start", followed.catch_up().await);
    let mut revision = near.register(Register::Revision);
    tokio::time::timeout(SOON, revision.wait_for(|value| *value == 3)).await.unwrap().unwrap();

    // Killed, and back; the source goes on meanwhile.
    broker.kill().await.unwrap();
    link_is(&near, false).await;
    (0..100).for_each(|_| followed.commit());
    broker.run().await.unwrap();
    let current = followed.catch_up().await;
    println!("current {current:?} after the return of a killed broker");
    assert!(current < Duration::from_secs(5) + ALLOWANCE);

    // Stopped in the middle, as a host that swaps: nobody closes anything.
    broker.pause().unwrap();
    let begin = Instant::now();
    link_is(&near, false).await;
    println!("a stopped broker was noticed after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(6) + ALLOWANCE);
    (0..100).for_each(|_| followed.commit());
    broker.resume().unwrap();
    println!("current {:?} after the broker went on", followed.catch_up().await);

    // An alarm: it takes no messages, but keeps connections.
    link_is(&near, true).await;
    broker.raise_memory_alarm().await.unwrap();
    let Link::Down(reason) = link_is(&near, false).await else { panic!() };
    assert!(reason.contains("takes no messages"), "{reason}");
    let begin = Instant::now();
    (0..2000).for_each(|_| followed.commit());
    assert!(begin.elapsed() < Duration::from_secs(2), "publishing does not wait for the broker");
    broker.clear_memory_alarm().await.unwrap();
    println!("current {:?} after the alarm", followed.catch_up().await);
    followed.commit();
    followed.catch_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_may_be_cut_frozen_and_slow() {
    let broker = RabbitMq::shared().await.unwrap();
    let proxy = Proxy::to_port(broker.port()).await.unwrap();
    let bus_id = unique("bus");
    let (near, far) =
        pair(options(broker.port(), &bus_id, "ds"), options(proxy.port(), &bus_id, "pe1")).await;
    let mut followed = Followed::new(&*near, &*far);
    followed.catch_up().await;

    proxy.cut();
    (0..100).for_each(|_| followed.commit());
    println!("current {:?} after a cut", followed.catch_up().await);

    // Half-open: both ends believe in a connection on which nothing comes any more.
    proxy.freeze();
    let begin = Instant::now();
    (0..100).for_each(|_| followed.commit());
    link_is(&*far, false).await;
    println!("a frozen connection was noticed after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(6) + ALLOWANCE);
    // Both sides believe the other gone, and keep the rows.
    until("the other is gone", || near.nodes().borrow().len() == 1).await;
    until("the other is gone", || far.nodes().borrow().len() == 1).await;
    while !followed.mirror.gone {
        followed.mirror.apply(next(&mut followed.subscription).await);
    }
    proxy.restore();
    println!("current {:?} after the thaw", followed.catch_up().await);
    until("both are back", || near.nodes().borrow().len() == 2).await;

    proxy.delay(Duration::from_millis(100));
    (0..100).for_each(|_| followed.commit());
    followed.catch_up().await;
    proxy.restore();
    proxy.throttle(200_000);
    let rows = delta(10_000..30_000, []);
    followed.publisher.commit(Change { tables: vec![("t".into(), rows)] });
    println!("20,000 rows over a slow connection took {:?}", followed.catch_up().await);
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_are_tried_in_turn() {
    let broker = RabbitMq::shared().await.unwrap();
    let proxies = [
        Proxy::to_port(broker.port()).await.unwrap(),
        Proxy::to_port(broker.port()).await.unwrap(),
    ];
    let bus_id = unique("bus");
    let mut near = options(free_port().unwrap(), &bus_id, "ds");
    for proxy in &proxies {
        near.hosts.push(RabbitHost { port: proxy.port(), ..near.hosts[0].clone() });
    }
    let (near, far) = pair(near, options(broker.port(), &bus_id, "pe1")).await;
    let mut followed = Followed::new(&*near, &*far);
    followed.catch_up().await;
    for proxy in &proxies {
        // Its connections are cut too. How long the link is down nobody can see who looks late;
        // but what is committed now gets through by another host only.
        proxy.refuse();
        followed.commit();
        if proxy.port() == proxies[1].port() {
            proxies[0].restore();
        }
        followed.catch_up().await;
        link_is(&*near, true).await;
    }
}

/// Somebody who has the broker's password and is no node.
async fn stranger(port: u16) -> lapin::Connection {
    let address = format!("amqp://127.0.0.1:{port}/%2f");
    lapin::Connection::connect(&address, lapin::ConnectionProperties::default()).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn garbage_does_no_harm() {
    let World::Rabbit { port, bus_id } = World::rabbit().await else { panic!() };
    let (near, far) = pair(options(port, &bus_id, "ds"), options(port, &bus_id, "pe1")).await;
    let mut followed = Followed::new(&*near, &*far);
    followed.catch_up().await;

    let stranger = stranger(port).await;
    let channel = stranger.create_channel().await.unwrap();
    let instances: Vec<String> =
        near.nodes().borrow().iter().map(|node| node.instance.clone()).collect();
    let mut routes = vec![("all", String::new()), ("source", "nova".to_owned())];
    for instance in &instances {
        for queue in ["control", "data", "calls", "replies"] {
            routes.push(("node", format!("{instance}.{queue}")));
        }
    }
    let mut noise = 12345u64;
    for i in 0..500usize {
        for (exchange, key) in &routes {
            let mut payload: Vec<u8> = (0..i % 97)
                .map(|_| {
                    noise = noise.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                    (noise >> 33) as u8
                })
                .collect();
            if i % 2 == 0 {
                // What looks like a message of every kind.
                payload.splice(0..0, [0xC6, 1, (i / 2 % 16) as u8, 0, 1, 1, b'x']);
            }
            channel
                .basic_publish(
                    format!("congress.{bus_id}.{exchange}").into(),
                    key.as_str().into(),
                    lapin::options::BasicPublishOptions::default(),
                    &payload,
                    lapin::BasicProperties::default(),
                )
                .await
                .unwrap();
        }
    }
    (0..100).for_each(|_| followed.commit());
    followed.catch_up().await;
    assert_eq!((&*near.link().borrow(), &*far.link().borrow()), (&Link::Up, &Link::Up));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_sender_whose_name_fits_no_routing_key_does_no_harm() {
    let World::Rabbit { port, bus_id } = World::rabbit().await else { panic!() };
    let (near, far) = pair(options(port, &bus_id, "ds"), options(port, &bus_id, "pe1")).await;
    let mut followed = Followed::new(&*near, &*far);
    followed.catch_up().await;
    let mut links = [near.link(), far.link()];
    links.iter_mut().for_each(|link| _ = link.borrow_and_update());

    let stranger = stranger(port).await;
    let channel = stranger.create_channel().await.unwrap();
    let say = async |length: usize, message: Message| {
        let bytes = Envelope { from: "x".repeat(length).into(), message }.encode();
        channel
            .basic_publish(
                format!("congress.{bus_id}.all").into(),
                "".into(),
                lapin::options::BasicPublishOptions::default(),
                &bytes,
                lapin::BasicProperties::default(),
            )
            .await
            .unwrap();
    };
    // To each of these a node would answer, to a key that no broker takes.
    let announce = Announce { ask: true, ..Announce::default() };
    for length in [65, 247, 248, 255, 256, 300, 100_000] {
        say(length, Message::Ask).await;
        say(length, Message::Announce(announce.clone())).await;
        say(length, Message::Pull { source: "nova".into(), session: 1, next: 0 }).await;
    }
    // The longest that is answered.
    say(64, Message::Ask).await;
    for bus in [&near, &far] {
        until("they were dropped", || bus.status().malformed == 21).await;
        assert_eq!(bus.nodes().borrow().len(), 2);
    }
    (0..100).for_each(|_| followed.commit());
    followed.catch_up().await;
    for link in &links {
        assert!(!link.has_changed().unwrap(), "the link stayed up: {:?}", link.borrow());
    }
    let _requests = far.serve("echo", 1).unwrap();
    let seen = || near.nodes().borrow().iter().any(|node| node.services.contains("echo"));
    until("nodes go on hearing each other", seen).await;
}

/// Text that does not compress.
fn noise(seed: u64) -> Value {
    let mut random = congress_bus::protocol::Random(seed);
    Value::text((0..512).map(|_| format!("{:016x}", random.draw())).collect::<String>())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_subscriber_that_does_not_read_cannot_fill_the_broker() {
    let broker = RabbitMq::start().await.unwrap();
    let proxy = Proxy::to_port(broker.port()).await.unwrap();
    let bus_id = unique("bus");
    // Its connection is not looked after, so that the broker believes in it.
    let careless = RabbitOptions {
        heartbeat: Duration::from_secs(600),
        peer_timeout: Duration::from_secs(600),
        ..options(proxy.port(), &bus_id, "pe1")
    };
    let patient = RabbitOptions {
        peer_timeout: Duration::from_secs(600),
        ..options(broker.port(), &bus_id, "ds")
    };
    let (near, far) = pair(patient, careless).await;
    let mut followed = Followed::new(&*near, &*far);
    followed.catch_up().await;
    let before = broker.memory().await.unwrap();
    proxy.freeze();
    // 256 MiB for it.
    for i in 0..512u64 {
        let rows = (0..64).map(|j| [noise(i * 64 + j)].into()).collect();
        let change = TableDelta { added: rows, removed: vec![] };
        followed.publisher.commit(Change { tables: vec![("t".into(), change)] });
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    let queues = broker.queues("/").await.unwrap();
    let fullest = queues.iter().max_by_key(|queue| queue.bytes).unwrap();
    let grown = broker.memory().await.unwrap().saturating_sub(before);
    println!("after 256 MiB: {} MiB in {}", fullest.bytes >> 20, fullest.name);
    println!("the broker's memory grew by {} MiB", grown >> 20);
    assert!(fullest.bytes > 8 << 20, "it was really for the one that does not read");
    assert!(fullest.bytes < 96 << 20, "{fullest:?}");
    assert!(grown < 256 << 20);
    proxy.restore();
    followed.catch_up().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn buses_and_virtual_hosts_keep_apart() {
    let broker = RabbitMq::shared().await.unwrap();
    let vhost = unique("vhost");
    broker.add_vhost(&vhost).await.unwrap();
    let bus_id = unique("bus");
    let elsewhere = || RabbitOptions {
        virtual_host: vhost.clone(),
        ..options(broker.port(), &bus_id, "elsewhere")
    };
    let other = RabbitBus::connect(options(broker.port(), &unique("bus"), "other"));
    let (third, fourth) = pair(elsewhere(), elsewhere()).await;
    let (near, far) =
        pair(options(broker.port(), &bus_id, "n"), options(broker.port(), &bus_id, "n")).await;
    link_is(&other, true).await;
    let mut followed = Followed::new(&*near, &*far);
    let mut deaf = other.subscribe("__engine", "nova", tables(&["t"]));
    followed.catch_up().await;
    // Longer than a heartbeat.
    let heard = tokio::time::timeout(Duration::from_millis(1500), deaf.next()).await;
    assert!(heard.is_err());
    // Two of one name are two.
    let nodes = near.nodes().borrow().clone();
    assert_eq!(nodes.iter().map(|node| node.node_id.as_str()).collect::<Vec<_>>(), ["n", "n"]);
    assert_eq!(other.nodes().borrow().len(), 1);
    assert_eq!((third.nodes().borrow().len(), fourth.nodes().borrow().len()), (2, 2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_node_that_leaves_is_forgotten_at_once_and_one_that_dies_soon() {
    let World::Rabbit { port, bus_id } = World::rabbit().await else { panic!() };
    let connect = |name: &str| RabbitBus::connect(options(port, &bus_id, name));
    let near = connect("pe1");
    let (leaves, dies) = (connect("ds1"), connect("ds2"));
    until("they meet", || near.nodes().borrow().len() == 3).await;
    let requests = (leaves.serve("leaves", 1).unwrap(), dies.serve("dies", 1).unwrap());
    let seen =
        |service: &str| near.nodes().borrow().iter().any(|node| node.services.contains(service));
    until("they serve", || seen("leaves") && seen("dies")).await;
    let publisher = leaves.publish("nova", Epoch(1)).unwrap();
    let mut subscription = near.subscribe("__engine", "nova", tables(&["t"]));
    assert!(matches!(next(&mut subscription).await, Update::Snapshot(_)));

    // Calls to both wait, until one says that it goes.
    let call = tokio::spawn({
        let near = near.clone();
        async move { near.call("leaves", "x".into(), SOON).await }
    });
    let begin = Instant::now();
    leaves.leave().await;
    assert!(matches!(next(&mut subscription).await, Update::Gone));
    until("it is forgotten", || near.nodes().borrow().len() == 2).await;
    let told = call.await.unwrap();
    assert!(matches!(told, Err(CallError::Stopped(_) | CallError::NotFound(_))), "{told:?}");
    println!("a goodbye was heard after {:?}", begin.elapsed());
    assert!(begin.elapsed() < Duration::from_secs(3));

    // Dropped without a word: nobody is there to take a call, which is known at once.
    drop((publisher, requests));
    drop((leaves, dies));
    let begin = Instant::now();
    loop {
        // One that is on its way when the node dies is lost with it.
        match near.call("dies", "x".into(), Duration::from_millis(200)).await {
            Err(CallError::NotFound(_)) => break,
            Err(CallError::Stopped(_) | CallError::Timeout(_)) => {}
            other => panic!("{other:?}"),
        }
    }
    println!("calls to a dead node fail at once {:?} after its death", begin.elapsed());
    assert!(near.nodes().borrow().len() == 2 || begin.elapsed() > Duration::from_secs(4));
    until("it is forgotten", || near.nodes().borrow().len() == 1).await;
    assert!(begin.elapsed() < Duration::from_secs(6) + ALLOWANCE);
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_end_with_the_link_and_go_to_the_highest_term() {
    let broker = RabbitMq::shared().await.unwrap();
    let proxy = Proxy::to_port(broker.port()).await.unwrap();
    let bus_id = unique("bus");
    let near = RabbitBus::connect(options(proxy.port(), &bus_id, "pe1"));
    let old = RabbitBus::connect(options(broker.port(), &bus_id, "ds"));
    let new = RabbitBus::connect(options(broker.port(), &bus_id, "ds"));
    until("they meet", || near.nodes().borrow().len() == 3).await;
    old.raise(Register::Term, 1);
    let mut stale = old.serve("nova", 8).unwrap();
    new.raise(Register::Term, 2);
    let mut fresh = new.serve("nova", 8).unwrap();
    let serving =
        || near.nodes().borrow().iter().filter(|node| node.services.contains("nova")).count();
    until("both serve", || serving() == 2).await;
    let call = tokio::spawn({
        let near = near.clone();
        async move { near.call("nova", "x".into(), SOON).await }
    });
    let request = tokio::select! {
        request = fresh.next() => request.unwrap(),
        _ = stale.next() => panic!("the lower term was called"),
    };
    // The link goes while the call waits: what became of it is not known.
    let begin = Instant::now();
    proxy.cut();
    assert_eq!(call.await.unwrap(), Err(CallError::Stopped("nova".into())));
    println!("a call ended {:?} after the link", begin.elapsed());
    request.reply("too late".into());
    link_is(&near, true).await;
    until("both serve", || serving() == 2).await;
    let call = tokio::spawn({
        let near = near.clone();
        async move { near.call("nova", "y".into(), SOON).await }
    });
    let request = fresh.next().await.unwrap();
    assert_eq!(request.body, "y");
    request.reply("again".into());
    assert_eq!(call.await.unwrap(), Ok("again".into()));
    // Whoever calls tells its term.
    assert_eq!(*old.register(Register::Term).borrow(), 2);
}

/// An authority, and a key with a certificate of it for `name`, as PEM.
fn certificates(name: &str) -> (String, String, String) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    authority.distinguished_name.push(rcgen::DnType::CommonName, "test authority");
    let ca = authority.self_signed(&key).unwrap();
    let issuer = rcgen::Issuer::new(authority, key);
    let own_key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec![name.to_owned()]).unwrap();
    let own = own.signed_by(&own_key, &issuer).unwrap();
    (ca.pem(), own.pem(), own_key.serialize_pem())
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_with_certificates_of_both_sides() {
    let folder = tempfile::tempdir().unwrap();
    let file = |name: &str, content: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    };
    let (ca, cert, key) = certificates("localhost");
    let (ca, cert, key) = (file("ca.pem", &ca), file("cert.pem", &cert), file("key.pem", &key));
    let (foreign, ..) = certificates("localhost");
    let foreign = file("foreign.pem", &foreign);
    let files =
        RabbitTlsFiles { ca: ca.clone(), cert: cert.clone(), key: key.clone(), verify_peer: true };
    let broker = RabbitMq::start_with(Some(files)).await.unwrap();
    let bus_id = unique("bus");
    let options = |host: &str, tls: RabbitTls| {
        let mut options = options(broker.tls_port().unwrap(), &bus_id, "n");
        options.hosts[0].host = host.to_owned();
        RabbitOptions { tls: Some(tls), ..options }
    };
    let good = RabbitTls { ca_file: Some(ca), cert_file: Some(cert), key_file: Some(key) };
    let (near, far) =
        pair(options("localhost", good.clone()), options("localhost", good.clone())).await;
    let mut followed = Followed::new(&*near, &*far);
    followed.catch_up().await;

    let wrong = [
        ("another authority", "localhost", RabbitTls { ca_file: Some(foreign), ..good.clone() }),
        ("another name", "127.0.0.1", good.clone()),
        ("no certificate", "localhost", RabbitTls { cert_file: None, ..good.clone() }),
        ("no such file", "localhost", RabbitTls { ca_file: Some("/none".into()), ..good }),
    ];
    for (what, host, tls) in wrong {
        let bus = RabbitBus::connect(options(host, tls));
        let mut link = bus.link();
        let refused = |link: &Link| match link {
            Link::Up => panic!("{what}: connected"),
            Link::Down(reason) => reason != "not connected yet",
        };
        let refused = tokio::time::timeout(SOON, link.wait_for(refused)).await;
        let Link::Down(reason) = refused.unwrap().unwrap().clone() else { panic!() };
        println!("{what}: {reason}");
        assert!(!reason.contains("guest:guest"));
    }
}
