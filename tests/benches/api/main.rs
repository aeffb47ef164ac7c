//! What is promised of one node with API, engine and datasources in a process, measured.
//!
//!     cargo bench --package congress-tests --bench api [-- NAME…]
//!
//! Names are `start`, `rules`, `simulate` and `rows`; without any, all are measured. `rows` needs
//! `wrk` (Debian has a package of that name) and the driver `gen` (`scripts/build-drivers`). No time
//! is asserted: each figure stands beside what is promised, and what the original took.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod rows;

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use congress_test_services::{Mariadb, RabbitMq};
use congress_tests::{Server, ServerOptions, database};
use serde_json::{Value, json};

const NAMES: [&str; 4] = ["start", "rules", "simulate", "rows"];

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for name in &chosen {
        ensure!(NAMES.contains(&name.as_str()), "{name} is none of {NAMES:?}");
    }
    println!(
        "load average (1, 5, 15 minutes): {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    for name in NAMES.iter().filter(|name| chosen.is_empty() || chosen.iter().any(|c| c == *name)) {
        match *name {
            "start" => start().await?,
            "rules" => {
                rules("SQLite, 1 s promised", ServerOptions::default()).await?;
                let mariadb = Mariadb::start().await?;
                let connection = database(&mariadb, "congress").await?;
                let options = ServerOptions::default().with("database", "connection", connection);
                rules("MariaDB, 5 s promised", options).await?;
            }
            "simulate" => simulate().await?,
            _ => rows::derived().await?,
        }
    }
    Ok(())
}

/// From the process's beginning to its first answer, and what it holds then.
async fn start() -> Result<()> {
    let rabbitmq = RabbitMq::start().await?;
    let url = format!("rabbit://guest:guest@127.0.0.1:{}/", rabbitmq.port());
    let options = ServerOptions::default()
        .with("DEFAULT", "api", true)
        .with("DEFAULT", "policy_engine", true)
        .with("DEFAULT", "node_id", "pe1")
        .with("DEFAULT", "transport_url", url);
    let mut times = Vec::new();
    for _ in 0..5 {
        let begun = Instant::now();
        let server = Server::start(options.clone()).await?;
        expect(server.get("/v1/policies").await?, 200)?;
        times.push(begun.elapsed());
        if times.len() == 5 {
            println!(
                "an idle node with API and engine: {:.1} MiB resident   [40; the original: 106]",
                resident(server.pid())?
            );
        }
        server.stop().await?;
    }
    figures(
        "start to the first answer (asked every 20 ms)",
        times,
        "0.3 s; the original: 2 to 8 s",
    );
    Ok(())
}

/// 1,000 rules one by one.
async fn rules(what: &str, options: ServerOptions) -> Result<()> {
    let server = Server::start(options).await?;
    expect(server.post("/v1/policies", &json!({"name": "many"})).await?, 201)?;
    let path = "/v1/policies/many/rules";
    expect(server.post(path, &json!({"rule": "q(1)"})).await?, 201)?;
    let begun = Instant::now();
    let mut times = Vec::new();
    for i in 0..1000 {
        let rule = json!({"rule": format!("r{i}(x) :- q(x), lt(x, {i})")});
        let one = Instant::now();
        expect(server.post(path, &rule).await?, 201)?;
        times.push(one.elapsed());
    }
    println!(
        "1,000 rules, {what}: {:.2} s in all   [the original: 163 s]",
        seconds(begun.elapsed())
    );
    let last = times.split_off(900);
    figures("  the first hundred", times.drain(..100).collect(), "as the last");
    figures("  the last hundred", last, "the original: 9 times the first");
    Ok(())
}

/// A sequence of one action over 1,000 facts.
async fn simulate() -> Result<()> {
    let server = Server::start(ServerOptions::default()).await?;
    let facts = (0..1000).map(|i| format!("conn(\"vm{i}\", \"net{}\")", i % 10));
    let rules: Vec<Value> = facts
        .chain(["bad(x) :- conn(x, \"net9\")".to_owned()])
        .map(|rule| json!({"rule": rule}))
        .collect();
    expect(server.post("/v1/policies", &json!({"name": "s", "rules": rules})).await?, 201)?;
    let actions = ["action(\"connect\")", "conn+(x, y) :- connect(x, y)"];
    let actions = actions.map(|rule| json!({"rule": rule}));
    let actions = json!({"name": "a", "kind": "action", "rules": actions});
    expect(server.post("/v1/policies", &actions).await?, 201)?;
    let body = json!({
        "query": "bad(x)", "sequence": "connect(\"new\", \"net9\")", "action_policy": "a",
    });
    for (what, flag, original) in
        [("all answers", "", "23 ms"), ("the difference", "&delta=true", "32 ms")]
    {
        let mut times = Vec::new();
        for _ in 0..500 {
            let path = format!("/v1/policies/s?action=simulate{flag}");
            let one = Instant::now();
            expect(server.post(&path, &body).await?, 200)?;
            times.push(one.elapsed());
        }
        figures(
            &format!("simulate, {what}"),
            times,
            &format!("p50 1 ms; the original: {original}"),
        );
    }
    Ok(())
}

fn expect(reply: congress_tests::Reply, status: u16) -> Result<()> {
    ensure!(reply.status == status, "{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    Ok(())
}

fn seconds(time: Duration) -> f64 {
    time.as_secs_f64()
}

/// The resident memory of a process, in MiB.
fn resident(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kib = line.and_then(|line| line.split_whitespace().next()).context("no VmRSS")?;
    Ok(kib.parse::<f64>()? / 1024.0)
}

fn figures(what: &str, mut times: Vec<Duration>, promise: &str) {
    times.sort_unstable();
    let at = |percent: usize| {
        let time = times.get((times.len().saturating_sub(1) * percent).div_ceil(100));
        time.map_or(f64::NAN, |time| seconds(*time) * 1000.0)
    };
    println!(
        "{what}: n={} p50={:.2} p99={:.2} max={:.2} ms   [{promise}]",
        times.len(),
        at(50),
        at(99),
        at(100)
    );
}
