//! The join that took the original 45 minutes; then changes of 1 %.

use anyhow::Result;

use super::{NONRECURSIVE, insert_rules, loaded, read, read_step};
use crate::files::Workload;
use crate::recorder::Recorder;

pub(super) fn run(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let updates = workload.updates()?;
    let query = workload.query()?;
    let (mut engine, _facts) = loaded(workload, recorder)?;
    insert_rules(&mut engine, workload, recorder)?;
    read_step(&engine, NONRECURSIVE, "cold answer", query, recorder)?;
    let mut counts = Vec::new();
    for change in &updates {
        recorder.time("apply a 1 % change", || Ok(engine.apply_change(NONRECURSIVE, change)?))?;
        let step = "answer after it";
        let count = recorder.time(step, || read(&engine.snapshot(), NONRECURSIVE, query))?;
        recorder.answers(step, count);
        counts.push(count);
    }

    let (mut engine, _facts) = loaded(workload, &mut Recorder::default())?;
    insert_rules(&mut engine, workload, &mut Recorder::default())?;
    engine.watch("errors", Some(NONRECURSIVE), "error", None)?;
    read(&engine.snapshot(), NONRECURSIVE, query)?;
    for (change, count) in updates.iter().zip(counts) {
        let step = "apply a 1 % change, watched";
        recorder.time(step, || Ok(engine.apply_change(NONRECURSIVE, change)?))?;
        let step = "answer after it, watched";
        let now = recorder.time(step, || read(&engine.snapshot(), NONRECURSIVE, query))?;
        recorder.answers(step, now);
        anyhow::ensure!(now == count, "{now} answers after a change when watched, {count} without");
    }
    Ok(())
}
