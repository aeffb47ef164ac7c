//! Many rules, small changes: heads read again after each change, or watched.

use std::time::Instant;

use anyhow::Result;
use congress_policy::Engine;

use super::{NONRECURSIVE, insert_rules, loaded, read};
use crate::files::Workload;
use crate::recorder::{Recorder, Unit};

pub(super) fn run(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let updates = workload.updates()?;
    let (mut engine, _facts) = loaded(workload, recorder)?;
    insert_rules(&mut engine, workload, recorder)?;
    let step = "first read of all heads";
    let count = recorder.time(step, || read_all(&engine, workload))?;
    recorder.answers(step, count);
    let mut counts = Vec::new();
    for change in &updates {
        let begun = Instant::now();
        recorder.time("apply a step", || Ok(engine.apply_change(NONRECURSIVE, change)?))?;
        let count = recorder.time("re-read all heads", || read_all(&engine, workload))?;
        let both = begun.elapsed().as_secs_f64();
        recorder.sample("step and all heads, re-read", Unit::Seconds, both);
        recorder.answers("re-read all heads", count);
        counts.push(count);
    }

    let (mut engine, _facts) = loaded(workload, &mut Recorder::default())?;
    insert_rules(&mut engine, workload, &mut Recorder::default())?;
    recorder.time("watch all heads", || {
        for query in &workload.queries {
            let head = query.split('(').next().unwrap_or_default();
            engine.watch(query, Some(NONRECURSIVE), head, None)?;
        }
        Ok(())
    })?;
    let step = "step and all heads, watched";
    for (change, count) in updates.iter().zip(counts) {
        recorder.time(step, || Ok(engine.apply_change(NONRECURSIVE, change)?))?;
        let now = read_all(&engine, workload)?;
        anyhow::ensure!(now == count, "{now} answers after a step with watches, {count} without");
    }
    Ok(())
}

/// Reads all heads. The number of their answers.
fn read_all(engine: &Engine, workload: &Workload) -> Result<usize> {
    let snapshot = engine.snapshot();
    let mut count = 0;
    for query in &workload.queries {
        count += read(&snapshot, NONRECURSIVE, query)?;
    }
    Ok(count)
}
