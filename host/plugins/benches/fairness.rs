//! What guests that misbehave do to those that do not: the latency of 50 datasources' polls,
//! alone and beside 10 hostile datasources, on two guest threads.
//!
//!     scripts/build-drivers hostile
//!     cargo bench -p congress-plugins --bench fairness [-- SECONDS]
//!
//! Each well-behaved datasource polls five times a second, begins at a time of its own, and puts
//! some hundred rows into its tables. The hostile ones begin anew as soon as they have been
//! stopped.

#![expect(
    clippy::print_stdout,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "figures are for the terminal, and a bench that cannot go on ends"
)]

use std::path::PathBuf;
use std::time::{Duration, Instant};

use congress_plugins::{ConfigValues, Datasource, Driver, Host, HostConfig, Limits, State};
use serde_json::{Value as Json, json};

const GOOD: usize = 50;
const PERIOD: Duration = Duration::from_millis(200);

/// How the hostile ones spend their time.
const HOSTILE: [&str; 10] = [
    "spin",
    "spin",
    "spin",
    "spin",
    "memory",
    "malformed-rows",
    "many-rows",
    "flood-log",
    "recurse",
    "sleep",
];

fn main() {
    let seconds = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(10);
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(measure(Duration::from_secs(seconds)));
}

async fn measure(time: Duration) {
    let limits = Limits { call_timeout: Duration::from_secs(2), ..Limits::default() };
    let config = HostConfig { guest_threads: 2, limits, ..HostConfig::default() };
    let host = Host::new(config).expect("a host");
    let driver = host.load(guest()).await.expect("the guest");
    let mut good = Vec::new();
    for _ in 0..GOOD {
        good.push(source(&driver, json!({"mode": "ok", "count": 200})).await);
    }
    latencies(&good, Duration::from_secs(1)).await;
    let alone = latencies(&good, time).await;
    print("alone", &alone);

    let mut hostile = Vec::new();
    for mode in HOSTILE {
        let source = source(&driver, json!({"mode": mode})).await;
        hostile.push(tokio::spawn(async move {
            loop {
                let _ = source.poll(&["numbers"]).await;
            }
        }));
    }
    latencies(&good, Duration::from_secs(3)).await;
    let beside = latencies(&good, time).await;
    print("beside 10 hostile", &beside);
    let (p50, p99) = (percentile(&alone, 50), percentile(&alone, 99));
    println!(
        "p50 {:+.1} %, p99 {:+.2} ms",
        (percentile(&beside, 50).as_secs_f64() / p50.as_secs_f64() - 1.0) * 100.0,
        (percentile(&beside, 99).as_secs_f64() - p99.as_secs_f64()) * 1000.0,
    );
    hostile.iter().for_each(tokio::task::JoinHandle::abort);
}

fn guest() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../drivers/out/testing/hostile.wasm"))
}

async fn source(driver: &Driver, config: Json) -> Datasource {
    let config: ConfigValues = config.as_object().cloned().unwrap_or_default();
    driver.datasource("d", &config, State::default()).await.expect("a datasource")
}

/// How long polls took, sorted.
async fn latencies(sources: &[Datasource], time: Duration) -> Vec<Duration> {
    let start = Instant::now();
    let tasks: Vec<_> = sources
        .iter()
        .enumerate()
        .map(|(index, source)| {
            let source = source.clone();
            let offset = PERIOD * index as u32 / GOOD as u32;
            tokio::spawn(async move {
                let mut polls = Vec::new();
                let mut clock = tokio::time::interval_at((start + offset).into(), PERIOD);
                clock.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
                while start.elapsed() < time {
                    clock.tick().await;
                    let begin = Instant::now();
                    source.poll(&["numbers"]).await.expect("a good poll");
                    polls.push(begin.elapsed());
                }
                polls
            })
        })
        .collect();
    let mut all = Vec::new();
    for task in tasks {
        all.extend(task.await.unwrap());
    }
    all.sort_unstable();
    all
}

fn percentile(sorted: &[Duration], percent: usize) -> Duration {
    sorted.get(sorted.len() * percent / 100).copied().unwrap_or_default()
}

fn print(what: &str, sorted: &[Duration]) {
    println!(
        "{what:18} {:6} polls  p50 {:7.3} ms  p99 {:7.3} ms  max {:7.3} ms",
        sorted.len(),
        percentile(sorted, 50).as_secs_f64() * 1000.0,
        percentile(sorted, 99).as_secs_f64() * 1000.0,
        sorted.last().copied().unwrap_or_default().as_secs_f64() * 1000.0,
    );
}
