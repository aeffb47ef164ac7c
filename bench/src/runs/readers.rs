//! Readers beside a writer: what queries take and how many there are a second.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use congress_policy::{Engine, Latest};
use congress_table::{Change, Row, TableDelta, Value};

use super::{NONRECURSIVE, insert_rules, loaded, read};
use crate::files::Workload;
use crate::recorder::{Recorder, Unit};

const READERS: usize = 8;
const PERIOD: Duration = Duration::from_secs(1);
const CHANGED_ROWS: usize = 100;

/// One reader and eight; without a writer, and with one that changes a hundred rows at a time
/// without a pause.
pub(super) fn run(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let (mut engine, facts) = loaded(workload, &mut Recorder::default())?;
    let servers = facts.iter().find(|(table, _)| &**table == "server").map(|(_, rows)| rows);
    let servers = servers.context("no table server")?;
    let queries: Vec<String> = (servers.iter().step_by(997))
        .enumerate()
        .map(|(at, row)| match at % 2 {
            0 => {
                format!("server({})", row.iter().map(super::literal).collect::<Vec<_>>().join(", "))
            }
            _ => format!("all({}, t)", super::literal(&row[0])),
        })
        .collect();
    insert_rules(&mut engine, workload, &mut Recorder::default())?;
    for query in &queries {
        read(&engine.snapshot(), NONRECURSIVE, query)?;
    }
    let latest = engine.latest();
    for readers in [1, READERS] {
        let what = if readers == 1 { "1 reader".to_owned() } else { format!("{readers} readers") };
        measure(readers, &latest, &queries, &what, recorder, |until| {
            thread::sleep(until.saturating_duration_since(Instant::now()));
            Ok(())
        })?;
        let what = format!("{what} and a writer");
        let mut changes = 0;
        let begun = Instant::now();
        measure(readers, &latest, &queries, &what, recorder, |until| {
            while Instant::now() < until {
                write(&mut engine, servers, changes)?;
                changes += 1;
            }
            Ok(())
        })?;
        let rate = f64::from(changes) / begun.elapsed().as_secs_f64();
        recorder.sample(&format!("{what}: changes"), Unit::PerSecond, rate);
    }
    Ok(())
}

/// Gives the first rows another state, or their own one back.
fn write(engine: &mut Engine, servers: &[Row], number: u32) -> Result<()> {
    let own: Vec<Row> = servers.iter().take(CHANGED_ROWS).cloned().collect();
    let other = own.iter().map(|row| {
        let mut cells = row.to_vec();
        if let Some(last) = cells.last_mut() {
            *last = Value::text("REBUILD");
        }
        Row::from(cells)
    });
    let other: Vec<Row> = other.collect();
    let (added, removed) = if number.is_multiple_of(2) { (other, own) } else { (own, other) };
    let change = Change { tables: vec![("server".into(), TableDelta { added, removed })] };
    engine.apply_change(NONRECURSIVE, &change)?;
    Ok(())
}

/// Runs readers for a while, each on the latest state for every query, and `beside` them.
fn measure(
    readers: usize,
    latest: &Latest,
    queries: &[String],
    what: &str,
    recorder: &mut Recorder,
    beside: impl FnOnce(Instant) -> Result<()>,
) -> Result<()> {
    let stop = Arc::new(AtomicBool::new(false));
    let failure = RwLock::new(None);
    let begun = Instant::now();
    let mut times: Vec<f64> = Vec::new();
    thread::scope(|scope| {
        let threads: Vec<_> = (0..readers)
            .map(|reader| {
                let (stop, failure) = (stop.clone(), &failure);
                scope.spawn(move || {
                    let mut times = Vec::new();
                    for query in queries.iter().cycle().skip(reader * 7) {
                        if stop.load(Ordering::Relaxed) {
                            break;
                        }
                        let begun = Instant::now();
                        if let Err(error) = read(&latest.snapshot(), NONRECURSIVE, query) {
                            *failure.write().unwrap_or_else(PoisonError::into_inner) = Some(error);
                            break;
                        }
                        times.push(begun.elapsed().as_secs_f64());
                    }
                    times
                })
            })
            .collect();
        let result = beside(begun + PERIOD);
        stop.store(true, Ordering::Relaxed);
        times.extend(threads.into_iter().filter_map(|thread| thread.join().ok()).flatten());
        result
    })?;
    let seconds = begun.elapsed().as_secs_f64();
    if let Some(error) = failure.into_inner().unwrap_or_else(PoisonError::into_inner) {
        return Err(error);
    }
    times.sort_by(f64::total_cmp);
    let percentile = |percent: usize| times.get(times.len() * percent / 100).copied();
    recorder.sample(&format!("{what}: reads"), Unit::PerSecond, times.len() as f64 / seconds);
    for percent in [50, 99] {
        let time = percentile(percent).context("no reads at all")?;
        recorder.sample(&format!("{what}: p{percent} of a read"), Unit::Seconds, time);
    }
    Ok(())
}
