//! Rows that are replaced for long, with fresh text each time: memory must not grow.

use anyhow::Result;
use congress_table::{Change, Row, TableDelta, Value};

use super::{NONRECURSIVE, engine, read};
use crate::files::Workload;
use crate::machine;
use crate::recorder::{Recorder, Unit};

/// Rows in the table, and how many of them each round replaces.
const ROWS: usize = 20_000;
const REPLACED: usize = 2_000;
/// Rounds before the first measurement, and after it.
const WARM_UP: usize = 50;
const ROUNDS: usize = 1_000;

pub(super) fn run(_: &Workload, recorder: &mut Recorder) -> Result<()> {
    let mut engine = engine()?;
    engine.insert("few(x) :- t(x, y, \"kind 1\"), lt(y, 100)", Some(NONRECURSIVE))?;
    let mut version = vec![0; ROWS];
    let all: Vec<Row> = (0..ROWS).map(|id| row(id, 0)).collect();
    engine.initialize_tables(NONRECURSIVE, &[("t".into(), all)])?;
    let mut warm = 0;
    let mut took = 0.0;
    for round in 0..WARM_UP + ROUNDS {
        if round == WARM_UP {
            warm = machine::resident()?;
        }
        let mut delta = TableDelta::default();
        for at in 0..REPLACED {
            let id = (round * REPLACED + at) % ROWS;
            delta.removed.push(row(id, version[id]));
            version[id] += 1;
            delta.added.push(row(id, version[id]));
        }
        let change = Change { tables: vec![("t".into(), delta)] };
        let begun = std::time::Instant::now();
        engine.apply_change(NONRECURSIVE, &change)?;
        took += begun.elapsed().as_secs_f64();
        if round % 10 == 0 {
            read(&engine.snapshot(), NONRECURSIVE, "few(x)")?;
        }
    }
    let end = machine::resident()?;
    let rounds = (WARM_UP + ROUNDS) as f64;
    recorder.sample("replace 2,000 of 20,000 rows", Unit::Seconds, took / rounds);
    recorder.sample("resident memory after warm-up", Unit::Bytes, warm as f64);
    recorder.sample("resident memory 1,000 rounds later", Unit::Bytes, end as f64);
    recorder.sample("the one to the other", Unit::Ratio, end as f64 / warm.max(1) as f64);
    Ok(())
}

fn row(id: usize, version: usize) -> Row {
    [
        Value::text(format!("row {id} in version {version}")),
        Value::Int(((id * 31 + version) % 1000) as i64),
        Value::text(format!("kind {}", id % 7)),
    ]
    .into()
}
