//! A million rows: loading, single rows, new rules.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use congress_policy::Engine;

use super::{NONRECURSIVE, engine, read, read_step};
use crate::files::Workload;
use crate::machine;
use crate::recorder::{Recorder, Unit};

/// Rows per change while loading: few enough that the input does not show in the memory.
const BATCH: usize = 10_000;

/// An engine with all rows, and how long the engine took for them.
fn streamed(workload: &Workload) -> Result<(Engine, Duration)> {
    let mut engine = engine()?;
    let mut took = Duration::ZERO;
    workload.stream_facts(BATCH, |change| {
        let begun = Instant::now();
        engine.apply_change(NONRECURSIVE, &change)?;
        took += begun.elapsed();
        Ok(())
    })?;
    Ok((engine, took))
}

/// Rows come in changes of 10,000, as from a stream; reading the file is not counted.
pub(super) fn load(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let rows = workload.number("rows").context("meta.json: no rows")?;
    let before = machine::resident()?;
    let (engine, took) = streamed(workload)?;
    let after = machine::resident()?;
    recorder.sample("load", Unit::Seconds, took.as_secs_f64());
    let bytes = after.saturating_sub(before) as f64 / rows as f64;
    recorder.sample("resident memory per row", Unit::Bytes, bytes);
    // All of it must still be there.
    let query = workload.query()?;
    read_step(&engine, NONRECURSIVE, "first query for one row", query, recorder)
}

/// Queries for one row each, all of its values given.
pub(super) fn point_query(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let (engine, _) = streamed(workload)?;
    let snapshot = engine.snapshot();
    read(&snapshot, NONRECURSIVE, workload.query()?)?;
    let step = "one of many point queries";
    let begun = Instant::now();
    let mut answers = 0;
    for query in &workload.queries {
        answers += read(&snapshot, NONRECURSIVE, query)?;
    }
    let each = begun.elapsed().as_secs_f64() / workload.queries.len().max(1) as f64;
    recorder.sample(step, Unit::Seconds, each);
    let wrong = answers != workload.queries.len();
    recorder.answers(step, if wrong { 0 } else { 1 });
    Ok(())
}

/// One call for each rule.
pub(super) fn insert_rules(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let (mut engine, _) = streamed(workload)?;
    recorder.time("insert 1000 rules one by one", || {
        for rule in &workload.rules {
            engine.insert(rule, Some(NONRECURSIVE))?;
        }
        Ok(())
    })?;
    let rule = workload.rules.last().context("no rules")?;
    let head = rule.split(" :-").next().unwrap_or(rule);
    read_step(&engine, NONRECURSIVE, "first read of the last rule", head, recorder)?;
    read_step(&engine, NONRECURSIVE, "read it again", head, recorder)
}
