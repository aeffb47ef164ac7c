//! Memory follows what is stored, however long rows come and go.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use congress_policy::{Engine, NewPolicy, Options, PolicyKind};
use congress_table::{Change, Row, TableDelta, Value};
use time::macros::datetime;

const ROWS: usize = 4_000;
const REPLACED: usize = 400;

/// Bytes of this process that are resident.
fn resident() -> usize {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4096
}

fn row(number: usize) -> Row {
    let text = |text: String| Value::Text(text.into());
    let number_text = number.wrapping_mul(0x9e37_79b9);
    [
        text(format!("{number_text:08x}-0000-4000-8000-{number:012}")),
        text(format!("a name that nobody had before {number}")),
        Value::Float(number as f64 + 0.5),
        Value::Int((number % 7) as i64),
    ]
    .into_iter()
    .collect()
}

/// Replaces a tenth of the rows, so many times.
fn churn(engine: &mut Engine, next: &mut usize, rounds: usize) {
    for _ in 0..rounds {
        let oldest = *next - ROWS;
        let delta = TableDelta {
            removed: (oldest..oldest + REPLACED).map(row).collect(),
            added: (*next..*next + REPLACED).map(row).collect(),
        };
        *next += REPLACED;
        engine.apply_change("t", &Change { tables: vec![("s".into(), delta)] }).unwrap();
        let answers = engine.snapshot().select("named(x, y)", Some("t")).unwrap();
        assert_eq!(answers.len(), ROWS);
    }
}

#[test]
fn fresh_texts_for_a_long_time_leave_memory_as_it_was() {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    engine.create_policy(NewPolicy::new("t", PolicyKind::Nonrecursive)).unwrap();
    // A view, and a builtin that makes texts of its own.
    engine.insert("named(x, z) :- s(x, y, f, n), concat(y, x, z)", Some("t")).unwrap();
    engine.watch("w", Some("t"), "named", None).unwrap();
    let _latest = engine.latest();
    let added = (0..ROWS).map(row).collect();
    let delta = TableDelta { added, removed: Vec::new() };
    engine.apply_change("t", &Change { tables: vec![("s".into(), delta)] }).unwrap();

    let mut next = ROWS;
    churn(&mut engine, &mut next, 60);
    let warm = resident();
    churn(&mut engine, &mut next, 600);
    let end = resident();
    // 240,000 rows have come and gone: 60 times what is stored.
    assert!(end * 10 <= warm * 12, "{warm} bytes after warm-up, {end} at the end");
}
