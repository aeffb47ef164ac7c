//! Joins over three tables, with negation.

use anyhow::Result;

use super::{NONRECURSIVE, insert_rules, loaded, read_in_two_steps, read_step};
use crate::files::Workload;
use crate::recorder::Recorder;

/// Each query once; the first one, which finds no indexes, twice.
pub(super) fn join3_negation(workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let (mut engine, _facts) = loaded(workload, recorder)?;
    insert_rules(&mut engine, workload, recorder)?;
    for (at, query) in workload.queries.iter().enumerate() {
        if at == 0 {
            read_step(&engine, NONRECURSIVE, query, query, recorder)?;
            read_step(&engine, NONRECURSIVE, &format!("{query} again"), query, recorder)?;
        } else {
            read_in_two_steps(&engine, NONRECURSIVE, query, recorder)?;
        }
    }
    Ok(())
}
