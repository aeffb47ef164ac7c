//! Recursion: the transitive closure of a graph, on the kind of policy for recursive rules.

use anyhow::Result;
use congress_policy::{NewPolicy, PolicyKind};

use super::{engine, fact, read_in_two_steps};
use crate::files::Workload;
use crate::recorder::Recorder;

pub(super) fn run(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    const POLICY: &str = "graph";
    let mut events = Vec::new();
    for (table, rows) in workload.facts()? {
        for row in rows {
            events.push(fact(&table, &row, POLICY)?);
        }
    }
    let rules = workload.rules.join("\n");
    let mut engine = engine()?;
    engine.create_policy(NewPolicy::new(POLICY, PolicyKind::Z3))?;
    recorder.time("insert rules and edges", || {
        engine.insert(&rules, Some(POLICY))?;
        Ok(engine.update(events)?)
    })?;
    for query in &workload.queries {
        read_in_two_steps(&engine, POLICY, query, recorder)?;
    }
    Ok(())
}
