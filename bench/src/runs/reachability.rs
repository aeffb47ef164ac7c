//! Recursion: the transitive closure of a graph.

use anyhow::Result;
use congress_policy::{NewPolicy, PolicyKind};

use super::{engine, fact, read};
use crate::files::Workload;
use crate::recorder::Recorder;

/// On the kind of policy for recursive rules.
pub(super) fn z3(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    run(workload, recorder, PolicyKind::Z3)
}

/// On the kind of policy that keeps derived rows.
pub(super) fn materialized(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    run(workload, recorder, PolicyKind::Materialized)
}

fn run(workload: &Workload, recorder: &mut Recorder, kind: PolicyKind) -> Result<()> {
    const POLICY: &str = "graph";
    let mut events = Vec::new();
    for (table, rows) in workload.facts()? {
        for row in rows {
            events.push(fact(&table, &row, POLICY)?);
        }
    }
    let rules = workload.rules.join("\n");
    let mut engine = engine()?;
    engine.create_policy(NewPolicy::new(POLICY, kind))?;
    recorder.time("insert rules and edges", || {
        engine.insert(&rules, Some(POLICY))?;
        Ok(engine.update(events)?)
    })?;
    for query in &workload.queries {
        let count = recorder.time(query, || read(&engine.snapshot(), POLICY, query))?;
        recorder.answers(query, count);
    }
    Ok(())
}
