//! Joins over three tables, with negation.

use std::collections::BTreeSet;

use anyhow::Result;

use super::{insert_rules, loaded, read_step};
use crate::files::Workload;
use crate::recorder::Recorder;

/// Each query once; the first one, which finds no indexes, twice.
pub(super) fn join3_negation(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let mut engine = loaded(workload, recorder)?;
    insert_rules(&mut engine, workload, recorder)?;
    let mut seen = BTreeSet::new();
    for query in workload.queries.iter().take(1).chain(&workload.queries) {
        let step = if seen.insert(query) { query.clone() } else { format!("{query} again") };
        read_step(&engine, &step, query, recorder)?;
    }
    Ok(())
}
