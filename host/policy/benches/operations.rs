//! Single operations of the engine. Whole workloads, beside other engines, are in `bench/`.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use congress_policy::{Engine, Event, NewPolicy, Options, PolicyKind, parser};
use congress_table::{Change, Row, TableDelta, Value};
use criterion::{BatchSize, Criterion, criterion_group, criterion_main};
use time::macros::datetime;

const ROWS: usize = 100_000;

const RULE: &str = "bad(s, n) :- server(s, p, \"ERROR\"), port(p, n), not exempt(s)";

fn text(value: String) -> Value {
    Value::text(value)
}

fn server(id: usize, state: &str) -> Row {
    [text(format!("s{id}")), text(format!("port{}", id % 10_000)), Value::text(state)].into()
}

fn port(id: usize) -> Row {
    [text(format!("port{id}")), text(format!("net{}", id % 1000))].into()
}

const OTHER_RULE: &str = "q(s) :- bad(s, n), server(s, p, st)";

/// 100,000 servers and their ports; one server in ten is in error, of which one in ten is exempt.
fn engine() -> Result<Engine, Box<dyn std::error::Error>> {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    engine.create_policy(NewPolicy::new("test", PolicyKind::Nonrecursive))?;
    let state = |id: usize| if id.is_multiple_of(10) { "ERROR" } else { "ACTIVE" };
    let servers = (0..ROWS).map(|id| server(id, state(id))).collect();
    let ports = (0..10_000).map(port).collect();
    let exempt = (0..ROWS).step_by(100).map(|id| [text(format!("s{id}"))].into()).collect();
    let tables = [("server".into(), servers), ("port".into(), ports), ("exempt".into(), exempt)];
    engine.initialize_tables("test", &tables)?;
    engine.insert(RULE, Some("test"))?;
    // What is measured must work.
    engine.insert(OTHER_RULE, None)?;
    engine.delete(OTHER_RULE, None)?;
    Ok(engine)
}

fn operations(criterion: &mut Criterion) {
    let mut engine = engine().unwrap_or_else(|error| unreachable!("fixed rows: {error}"));
    criterion.bench_function("parse a rule", |bencher| {
        bencher.iter(|| parser::parse(black_box(RULE)));
    });
    criterion.bench_function("insert a rule and delete it", |bencher| {
        let events = |insert| Event::parse(OTHER_RULE, insert, None);
        bencher.iter_batched(
            || [events(true), events(false)],
            |both| both.map(|events| events.map(|events| engine.update(events))),
            BatchSize::SmallInput,
        );
    });
    let snapshot = engine.snapshot();
    let query = |name: &str, query: &str, criterion: &mut Criterion| {
        criterion.bench_function(name, |bencher| {
            bencher.iter(|| snapshot.select(black_box(query), Some("test")));
        });
    };
    query("query for one row", "server(\"s777\", \"port777\", \"ACTIVE\")", criterion);
    query("join by index", "bad(\"s770\", n)", criterion);
    query("join of 100,000 rows", "bad(s, n)", criterion);
    drop(snapshot);
    criterion.bench_function("change 100 of 100,000 rows", |bencher| {
        let (own, other): (Vec<Row>, Vec<Row>) =
            (0..100).map(|id| (server(id * 7 + 1, "ACTIVE"), server(id * 7 + 1, "BUILD"))).unzip();
        let change = |added: &[Row], removed: &[Row]| Change {
            tables: vec![(
                "server".into(),
                TableDelta { added: added.into(), removed: removed.into() },
            )],
        };
        let changes = [change(&other, &own), change(&own, &other)];
        let mut changes = changes.iter().cycle();
        bencher.iter(|| changes.next().map(|change| engine.apply_change("test", change)));
    });
    criterion.bench_function("take a snapshot", |bencher| bencher.iter(|| engine.snapshot()));
}

fn quick() -> Criterion {
    Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
}

criterion_group! { name = benches; config = quick(); targets = operations }
criterion_main!(benches);
