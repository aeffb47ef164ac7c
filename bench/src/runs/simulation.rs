//! Simulation: what a query would answer if a row went.

use anyhow::{Context, Result};
use congress_policy::{Limits, NewPolicy, PolicyKind, Simulation};

use super::{NONRECURSIVE, insert_rules, loaded};
use crate::files::Workload;
use crate::recorder::Recorder;

/// The same simulation again and again; an action policy is there, but says nothing.
pub(super) fn run(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    const ACTIONS: &str = "actions";
    let (mut engine, _facts) = loaded(workload, recorder)?;
    insert_rules(&mut engine, workload, recorder)?;
    engine.create_policy(NewPolicy::new(ACTIONS, PolicyKind::Action))?;
    let text = |key: &str| {
        let value = workload.meta.get(key).and_then(|value| value.as_str());
        value.with_context(|| format!("meta.json: no {key}"))
    };
    let simulation = Simulation {
        query: workload.query()?,
        policy: Some(NONRECURSIVE),
        sequence: text("sequence")?,
        action_policy: Some(ACTIONS),
        delta: true,
        trace: false,
        fresh: &|| String::from("fresh"),
    };
    let repeat = workload.number("repeat").context("meta.json: no repeat")?;
    let snapshot = engine.snapshot();
    let step = format!("simulate {repeat} times");
    let changes = recorder.time(&step, || {
        let mut changes = Vec::new();
        for _ in 0..repeat {
            changes = snapshot.simulate(&simulation, Limits::default())?.answers.statements();
        }
        Ok(changes)
    })?;
    recorder.answers(&step, changes.len());
    let found: Vec<String> = changes.iter().map(ToString::to_string).collect();
    let expected = text("expected")?;
    anyhow::ensure!(found == [expected], "found {found:?}, not {expected}");
    Ok(())
}
