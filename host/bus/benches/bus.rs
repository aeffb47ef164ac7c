//! How fast tables travel: over a real broker of its own, between nodes in this process.
//!
//! `cargo bench -p congress-bus` prints a table. Times are of this process's clock, from the call of
//! `commit` (or `subscribe`) until the subscriber has the rows in its own copy.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout)]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use congress_bus::protocol::{
    ChangeToSend, Envelope, Random, SnapshotJob, encode_change, encode_snapshot,
};
use congress_bus::{
    Bus, Epoch, InProcessBus, Position, Publisher, RabbitBus, RabbitHost, RabbitOptions, Snapshot,
    Subscription, TableName, Update,
};
use congress_table::{Change, Row, Table, TableDelta, Value};
use congress_test_services::RabbitMq;

const ROWS: u64 = 100_000;

/// A row as of a server: ids, a name, a state, an address, numbers.
fn row(i: u64) -> Row {
    let id = |kind: u64, i: u64| {
        let bits = Random(kind << 40 | i).draw();
        let (a, b) = (bits as u32, (bits >> 32) as u16);
        Value::text(format!("{a:08x}-{b:04x}-4{:03x}-8000-{:012x}", i % 4096, i * 7919))
    };
    [
        id(1, i),
        Value::text(format!("server-{i}")),
        Value::text(["ACTIVE", "SHUTOFF", "BUILD"][(i % 3) as usize]),
        id(2, i % 70),
        Value::text(format!("10.{}.{}.{}", i >> 16 & 255, i >> 8 & 255, i & 255)),
        Value::Int((i % 64) as i64),
        Value::Bool(i.is_multiple_of(2)),
    ]
    .into()
}

fn delta(added: std::ops::Range<u64>, removed: std::ops::Range<u64>) -> Change {
    let delta = TableDelta { added: added.map(row).collect(), removed: removed.map(row).collect() };
    Change { tables: vec![("servers".into(), delta)] }
}

fn tables() -> BTreeSet<TableName> {
    [TableName::from("servers")].into()
}

/// The median and the 99th percentile.
fn show(what: &str, mut times: Vec<Duration>) {
    times.sort();
    let at = |part: usize| times[(times.len() - 1) * part / 100];
    let (p50, p99) = (at(50), at(99));
    println!("{what:<58} {:>4} x   p50 {p50:>10.2?}   p99 {p99:>10.2?}", times.len());
}

/// A subscriber with a copy.
struct Reader {
    subscription: Subscription,
    copy: Table,
}

impl Reader {
    /// Applies updates until the copy equals the publisher's table.
    async fn catch_up(&mut self, publisher: &Publisher) {
        let reached = |copy: &Table| {
            publisher.read(|p| p.table("servers").map(|t| t.digest()) == Some(copy.digest()))
        };
        while !reached(&self.copy) {
            match self.subscription.next().await.expect("a bus") {
                Update::Snapshot(snapshot) => {
                    self.copy = snapshot.tables.into_iter().flat_map(|(_, rows)| rows).collect();
                }
                Update::Change(_, change) => {
                    change.tables.iter().for_each(|(_, delta)| self.copy.apply(delta));
                }
                Update::Gone => {}
            }
        }
    }
}

async fn measure(name: &str, near: &dyn Bus, far: &[Arc<dyn Bus>]) {
    let publisher = near.publish("nova", Epoch(1)).unwrap();
    publisher.commit(delta(0..ROWS, 0..0));
    let mut times = Vec::new();
    for _ in 0..5 {
        let begin = Instant::now();
        let readers = far.iter().map(|far| {
            let subscription = far.subscribe("__engine", "nova", tables());
            async {
                let mut reader = Reader { subscription, copy: Table::new() };
                reader.catch_up(&publisher).await;
            }
        });
        futures_util::future::join_all(readers).await;
        times.push(begin.elapsed());
    }
    show(&format!("{name}: snapshot of 100,000 rows to {} subscribers", far.len()), times);

    let subscription = far[0].subscribe("__engine", "nova", tables());
    let mut reader = Reader { subscription, copy: Table::new() };
    reader.catch_up(&publisher).await;
    let mut low = 0;
    for (size, rounds) in [(1, 300), (1_000, 100), (ROWS, 10)] {
        let mut times = Vec::new();
        for _ in 0..rounds {
            let change = delta(low + ROWS..low + ROWS + size, low..low + size);
            low += size;
            let begin = Instant::now();
            publisher.commit(change);
            reader.catch_up(&publisher).await;
            times.push(begin.elapsed());
        }
        show(&format!("{name}: {size} of 100,000 rows replaced"), times);
    }
}

fn encoding() {
    let rows: Vec<Row> = (0..ROWS).map(row).collect();
    let position = Position { epoch: Epoch(1), sequence: 1 };
    let snapshot = Snapshot {
        position,
        schema: congress_bus::Schema::default(),
        tables: vec![("servers".into(), rows)],
    };
    let job = SnapshotJob { session: 1, source: "nova".into(), epoch: Epoch(1), tables: tables() };
    let begin = Instant::now();
    let chunks = encode_snapshot("i", &job, &snapshot, &[]);
    let encoded = begin.elapsed();
    let bytes: usize = chunks.iter().map(|chunk| chunk.len()).sum();
    let begin = Instant::now();
    for chunk in &chunks {
        Envelope::decode(chunk).unwrap().unwrap();
    }
    println!(
        "100,000 rows: {} chunks, {:.1} MiB; encoded in {encoded:.1?}, decoded in {:.1?}",
        chunks.len(),
        bytes as f64 / f64::from(1 << 20),
        begin.elapsed()
    );
    let change = ChangeToSend {
        source: "nova".into(),
        position,
        change: Arc::new(delta(0..1000, 1000..2000)),
        wanted: Arc::new(tables()),
        digests: Vec::new(),
    };
    let begin = Instant::now();
    let mut chunks = Vec::new();
    encode_change("i", &change, |message| chunks.push(message));
    let encoded = begin.elapsed();
    let begin = Instant::now();
    let read = chunks.iter().filter_map(|chunk| Envelope::decode(chunk).ok()).count();
    println!(
        "1,000 rows replaced: {read} message, {} KiB; encoded in {encoded:.1?}, decoded in {:.1?}",
        chunks[0].len() >> 10,
        begin.elapsed()
    );
    compression();
}

/// Ways to compress what a chunk of rows looks like: time there and back, and what is left.
fn compression() {
    let mut plain = Vec::new();
    for i in 0..6_000 {
        for cell in row(i).iter() {
            plain.extend_from_slice(cell.to_string().as_bytes());
            plain.push(0);
        }
    }
    let begin = Instant::now();
    let packed = lz4_flex::block::compress(&plain);
    let there = begin.elapsed();
    let begin = Instant::now();
    let back = lz4_flex::block::decompress(&packed, plain.len()).unwrap();
    assert_eq!(back, plain);
    let show = |what: &str, length: usize, there: Duration, back: Duration| {
        let part = 100 * length / plain.len();
        println!(
            "{what}: {} KiB to {part} %; there {there:.1?}, back {back:.1?}",
            plain.len() >> 10
        );
    };
    show("lz4", packed.len(), there, begin.elapsed());
    for level in [1, 6] {
        use std::io::{Read as _, Write as _};
        let begin = Instant::now();
        let mut encoder =
            flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::new(level));
        encoder.write_all(&plain).unwrap();
        let packed = encoder.finish().unwrap();
        let there = begin.elapsed();
        let begin = Instant::now();
        let mut back = Vec::new();
        flate2::read::DeflateDecoder::new(&packed[..]).read_to_end(&mut back).unwrap();
        assert_eq!(back, plain);
        show(&format!("deflate {level}"), packed.len(), there, begin.elapsed());
    }
}

async fn all() {
    encoding();
    let bus: Arc<dyn Bus> = Arc::new(InProcessBus::new("n", "i"));
    measure("in process", &*bus, &[bus.clone(), bus.clone(), bus.clone()]).await;
    let broker = RabbitMq::start().await.unwrap();
    let guest = || "guest".to_owned();
    let host = RabbitHost {
        host: "127.0.0.1".to_owned(),
        port: broker.port(),
        user: guest(),
        password: guest(),
    };
    let nodes: Vec<Arc<dyn Bus>> = ["ds", "pe1", "pe2", "pe3"]
        .map(|name| {
            let options = RabbitOptions::new(name, format!("{name}-1"), vec![host.clone()]);
            Arc::new(RabbitBus::connect(options)) as Arc<dyn Bus>
        })
        .into();
    for node in &nodes {
        node.nodes().wait_for(|seen| seen.len() == nodes.len()).await.unwrap();
    }
    measure("RabbitMQ", &*nodes[0], &nodes[1..]).await;
}

fn main() {
    // `cargo test` runs benches too, and needs no figures.
    if std::env::args().any(|argument| argument == "--bench") {
        let runtime = tokio::runtime::Runtime::new().expect("a runtime");
        runtime.block_on(all());
    }
}
