//! What each kind of misbehaviour costs: one call that fails, with a sentence that says why.

use std::time::{Duration, Instant};

use axum::body::Body;
use congress_plugins::{Host, HostConfig, Limits, State};
use serde_json::{Value as Json, json};

use crate::common::*;

/// How a guest misbehaves, and what its datasource's error must say.
struct Case {
    behaviour: &'static str,
    config: Json,
    says: &'static str,
}

fn case(behaviour: &'static str, config: Json, says: &'static str) -> Case {
    Case { behaviour, config, says }
}

/// Those that end by themselves, or by a limit of what they do.
fn quick_cases() -> Vec<Case> {
    vec![
        case("traps", json!({"mode": "trap"}), "the driver crashed (it panicked"),
        // Which stack ends first, the engine's or the one in the guest's memory, is the compiler's.
        case("recurses", json!({"mode": "recurse"}), "stack"),
        case("allocates without end", json!({"mode": "memory"}), "`memory_bytes`"),
        case(
            "returns a million malformed rows",
            json!({"mode": "malformed-rows"}),
            "a batch for table 'numbers' has 7 columns, but the table has 2",
        ),
        case(
            "returns two million rows",
            json!({"mode": "many-rows", "count": 2_000_000}),
            "`rows_per_call`",
        ),
        case("returns one huge text", json!({"mode": "huge-text"}), "`memory_bytes`"),
        case(
            "returns a text too large to hand over",
            json!({"mode": "huge-text", "count": 9 << 20}),
            "`hostcall_bytes`",
        ),
        case("floods the log", json!({"mode": "flood-log"}), "`log_lines_per_call`"),
        case("answers a huge error", json!({"mode": "huge-text-error"}), "xxx…"),
        case("floods its state", json!({"mode": "state-flood"}), "none"),
        case("traps in `tables`", json!({"mode": "tables-trap"}), "the driver crashed"),
        case(
            "has 20,000 tables",
            json!({"mode": "many-tables", "count": 20_000}),
            "`tables_per_datasource`",
        ),
        case(
            "has 20,000 columns",
            json!({"mode": "wide-table", "count": 20_000}),
            "`columns_per_table`",
        ),
    ]
}

/// Those that wait for a service whose answers never end.
fn waiting_cases(endless: &str) -> Vec<Case> {
    vec![
        case(
            "opens a thousand connections",
            json!({"mode": "connections", "target": endless}),
            "16 requests, the limit `concurrent_requests`",
        ),
        case(
            "waits for an answer that never ends",
            json!({"mode": "fetch", "target": endless}),
            "did not answer within 2 s",
        ),
    ]
}

/// Those that only time ends; with a service that answers at once.
fn endless_cases(quick: &str) -> Vec<Case> {
    vec![
        case("spins", json!({"mode": "spin"}), "did not end within 1 s"),
        case("sleeps", json!({"mode": "sleep"}), "did not end within 1 s"),
        case("spins in `tables`", json!({"mode": "spin-in-tables"}), "did not end within 1 s"),
        case(
            "never reads its response",
            json!({"mode": "never-read", "target": quick}),
            "did not end within 1 s",
        ),
        case(
            "sends requests without end",
            json!({"mode": "requests", "target": quick, "count": 1_000_000}),
            "the limit `",
        ),
    ]
}

/// Machines may be busy: only what is to run out of time gets little of it.
fn host(time: Duration) -> Host {
    let limits = Limits {
        call_timeout: time,
        describe_timeout: time,
        request_timeout: Duration::from_secs(2),
        hostcall_bytes: 8 << 20,
        rows_per_call: 100_000,
        ..Limits::default()
    };
    Host::new(HostConfig { limits, ..local_config() }).unwrap()
}

/// Memory is measured of a process, so the test has one of its own.
#[tokio::test]
async fn each_misbehaviour_costs_one_call_and_says_why() {
    if alone("hostile::each_misbehaviour_costs_one_call_and_says_why").await {
        measure().await;
    }
}

async fn measure() {
    let quick = Service::start(|_| answer(200, "quick")).await;
    let endless = Service::start(|_| {
        let begun = futures_util::stream::iter([Ok::<_, std::io::Error>("begun")]);
        let never = futures_util::stream::pending();
        answer(200, Body::from_stream(futures_util::StreamExt::chain(begun, never)))
    })
    .await;
    println!("| a guest that | took | of it computing | held at most | last_error |");
    println!("|---|---|---|---|---|");
    endure(&host(Duration::from_secs(60)), quick_cases()).await;
    endure(&host(Duration::from_secs(60)), waiting_cases(&endless.url("/"))).await;
    endure(&host(Duration::from_secs(1)), endless_cases(&quick.url("/"))).await;
}

/// Lets each guest do its worst and prints what that cost.
async fn endure(host: &Host, cases: Vec<Case>) {
    let driver = hostile(host).await;
    let good = driver.datasource("good", &values(json!({})), State::default()).await.unwrap();
    good.poll(&["numbers"]).await.unwrap();
    for Case { behaviour, config, says } in cases {
        let before = memory("VmRSS");
        reset_peak();
        let (start, computed) = (Instant::now(), processor_time());
        let made = driver.datasource("bad", &values(config), State::default()).await;
        let error = match made {
            Ok(source) => source.poll(&["numbers", "report"]).await.err().map(|e| e.to_string()),
            Err(error) => Some(error.to_string()),
        };
        let took = start.elapsed();
        let error = error.unwrap_or_else(|| "none: it was refused, and went on".to_owned());
        println!(
            "| {behaviour} | {:.2} s | {:.2} s | {:.1} MiB | {} |",
            took.as_secs_f64(),
            (processor_time() - computed).as_secs_f64(),
            memory("VmHWM").saturating_sub(before) as f64 / 1024.0,
            shortened(&error),
        );
        assert!(error.contains(says), "{behaviour}: {error}");
        assert!(!error.contains('\n') && error.len() < 4096, "{behaviour}: one sentence: {error}");
        // A loaded machine may take its time, but not without end.
        assert!(took < Duration::from_secs(60), "{behaviour} took {took:?}");
        // And nobody else notices.
        good.poll(&["numbers"]).await.unwrap();
    }
}

/// A sentence fit for a table.
fn shortened(text: &str) -> String {
    match text.char_indices().nth(300) {
        Some((end, _)) => format!("{}[…]", &text[..end]),
        None => text.to_owned(),
    }
}

/// This process's memory in KiB, as the system counts it.
fn memory(what: &str) -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with(what)).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

/// Has the largest memory so far counted anew.
fn reset_peak() {
    std::fs::write("/proc/self/clear_refs", "5").unwrap();
}

/// What all threads of this process have computed.
fn processor_time() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime).try_into().unwrap()
}
