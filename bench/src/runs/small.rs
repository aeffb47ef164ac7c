//! The workloads of the original's own performance tests.

use anyhow::{Context, Result};
use congress_policy::Event;

use super::{DATABASE, NONRECURSIVE, engine, fact, insert_rules, read, read_step};
use crate::files::Workload;
use crate::recorder::Recorder;

/// The policy that the workload wants.
fn policy(workload: &Workload) -> &'static str {
    match workload.meta.get("kind").and_then(|kind| kind.as_str()) {
        Some("database") => DATABASE,
        _ => NONRECURSIVE,
    }
}

/// One call for each fact, which is text.
pub(super) fn insert(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let policy = policy(workload);
    let facts: Vec<String> = (workload.facts()?.iter())
        .flat_map(|(table, rows)| rows.iter().map(move |row| format!("{table}({})", row[0])))
        .collect();
    let mut engine = engine()?;
    recorder.time("insert the facts one by one", || {
        for fact in &facts {
            engine.insert(fact, Some(policy))?;
        }
        Ok(())
    })?;
    read_step(&engine, policy, "read it", workload.query()?, recorder)
}

/// One call for all facts, which are parsed already.
pub(super) fn update(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let policy = policy(workload);
    let mut events = Vec::new();
    for (table, rows) in workload.facts()? {
        for row in rows {
            events.push(fact(&table, &row, policy)?);
        }
    }
    let mut engine = engine()?;
    recorder.time("insert all facts at once", || Ok(engine.update(events)?))?;
    read_step(&engine, policy, "read it", workload.query()?, recorder)
}

/// Three updates, one rule, one query: one figure.
pub(super) fn indexing(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let mut updates: Vec<Vec<Event>> = Vec::new();
    for (table, rows) in workload.facts()? {
        updates
            .push(rows.iter().map(|row| fact(&table, row, NONRECURSIVE)).collect::<Result<_>>()?);
    }
    let rule = workload.rules.first().context("no rule")?;
    let query = workload.query()?;
    let mut engine = engine()?;
    let step = "three updates, a rule, a query";
    let count = recorder.time(step, || {
        for update in updates {
            engine.update(update)?;
        }
        engine.insert(rule, Some(NONRECURSIVE))?;
        read(&engine.snapshot(), NONRECURSIVE, query)
    })?;
    recorder.answers(step, count);
    Ok(())
}

pub(super) fn initialize_tables(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let (engine, _facts) = super::loaded(workload, recorder)?;
    read_step(&engine, NONRECURSIVE, "read it", workload.query()?, recorder)
}

/// The same query again and again.
pub(super) fn select(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let (mut engine, _facts) = super::loaded(workload, recorder)?;
    insert_rules(&mut engine, workload, recorder)?;
    let repeat = workload.number("repeat").context("meta.json: no repeat")?;
    let query = workload.query()?;
    let snapshot = engine.snapshot();
    let step = format!("{query}, {repeat} times");
    let count = recorder.time(&step, || {
        let mut count = 0;
        for _ in 0..repeat {
            count = read(&snapshot, NONRECURSIVE, query)?;
        }
        Ok(count)
    })?;
    recorder.answers(&step, count);
    Ok(())
}
