//! Reading beside the writer: states, and what a query or a view may cost.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/engine.rs"]
mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use common::engine;
use congress_policy::{Engine, ErrorKind, Limits, NewPolicy, Options, PolicyKind};
use congress_table::{Row, Value};
use time::macros::datetime;

#[test]
fn what_only_must_exist_is_not_multiplied_out() {
    let mut engine = engine(&["t"]);
    let rows: Vec<Row> = (0..20_000).map(|i| [Value::Int(i)].into()).collect();
    engine.initialize_tables("t", &[("a".into(), rows.clone()), ("b".into(), rows)]).unwrap();
    engine.insert("p(x) :- a(x), b(y), lt(x, 3)", Some("t")).unwrap();
    let limits = Limits { rows: Some(10), ..Limits::default() };
    let found = engine.snapshot().select_within("p(x)", Some("t"), limits).unwrap();
    assert_eq!(found.len(), 3);
}

#[test]
fn a_query_can_be_bounded_and_stopped() {
    let mut engine = engine(&["t"]);
    let rows: Vec<Row> = (0..2000).map(|i| [Value::Int(i)].into()).collect();
    engine.initialize_tables("t", &[("a".into(), rows)]).unwrap();
    let select = |limits: Limits<'_>| {
        let query = "p(x, y) :- a(x), a(y)";
        engine.snapshot().select_within(query, Some("t"), limits).unwrap_err().kind()
    };
    assert_eq!(select(Limits { rows: Some(10_000), ..Limits::default() }), ErrorKind::Limit);
    let stop = AtomicBool::new(true);
    assert_eq!(select(Limits { stop: Some(&stop), ..Limits::default() }), ErrorKind::Limit);
}

#[test]
fn readers_see_whole_batches_while_the_writer_writes() {
    let mut engine = engine(&["t"]);
    engine.insert("same(x) :- a(x), b(x) odd(x) :- a(x), not b(x)", Some("t")).unwrap();
    let latest = engine.latest();
    let done = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let mut reads = 0;
            while !done.load(Ordering::Relaxed) || reads == 0 {
                let snapshot = latest.snapshot();
                assert!(snapshot.select("odd(x)", Some("t")).unwrap().is_empty());
                let a = snapshot.rows("t", "a").map_or(0, |rows| rows.len());
                assert_eq!(snapshot.select("same(x)", Some("t")).unwrap().len(), a);
                reads += 1;
            }
        });
        for i in 0..300 {
            engine.insert(&format!("a({i}) b({i}) a(\"{i}\") b(\"{i}\")"), Some("t")).unwrap();
            if i >= 20 {
                let old = i - 20;
                let text = format!("a({old}) b({old}) a(\"{old}\") b(\"{old}\")");
                engine.delete(&text, Some("t")).unwrap();
            }
        }
        done.store(true, Ordering::Relaxed);
        reader.join().unwrap();
    });
    assert_eq!(latest.snapshot().select("same(x)", Some("t")).unwrap().len(), 40);
}

#[test]
fn a_watched_join_that_rejects_nearly_all_is_given_up_and_told_of() {
    let mut engine = engine(&[]);
    engine.create_policy(NewPolicy::new("z", PolicyKind::Z3)).unwrap();
    engine.limit_views(2_000);
    engine.watch("w", Some("z"), "same", None).unwrap();
    let facts: String = (0..1_000).map(|i| format!("a({i}) b({i}) ")).collect();
    assert!(engine.insert(&facts, Some("z")).unwrap().overflowed.is_empty());
    // A million combinations for a thousand rows.
    let rule = "same(x) :- a(x), b(y), plus(x, 0, z), minus(y, z, 0)";
    let outcome = engine.insert(rule, Some("z")).unwrap();
    let tables: Vec<&str> = outcome.overflowed.iter().map(|(_, table)| &**table).collect();
    assert_eq!(tables, ["same"]);
    // Whoever asks is answered, within the limits of queries.
    let ask = |bindings| {
        let limits = Limits { bindings, ..Limits::default() };
        engine.snapshot().select_within("same(x)", Some("z"), limits)
    };
    assert_eq!(ask(None).unwrap().len(), 1_000);
    let error = ask(Some(10_000)).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    assert!(error.to_string().contains("10000 combinations of rows"), "{error}");
}

#[test]
fn a_watched_recursion_without_end_is_given_up_and_told_of() {
    let mut engine = engine(&[]);
    engine.create_policy(NewPolicy::new("z", PolicyKind::Z3)).unwrap();
    engine.limit_views(10_000);
    engine.watch("w", Some("z"), "above", None).unwrap();
    engine.watch("fine", Some("z"), "fine", None).unwrap();
    let rules = "n(y) :- n(x), plus(x, 1, y) above(x) :- n(x), lt(x, 3) fine(x) :- m(x)";
    assert!(engine.insert(rules, Some("z")).unwrap().overflowed.is_empty());
    let outcome = engine.insert("n(0) m(1)", Some("z")).unwrap();
    let tables: Vec<&str> = outcome.overflowed.iter().map(|(_, table)| &**table).collect();
    assert_eq!(tables, ["n", "above"]);
    assert_eq!(outcome.fired.len(), 1);
    // Said once; and queries have limits of their own.
    assert!(
        engine
            .insert("n(-1) m(2)".replace("-1", "7").as_str(), Some("z"))
            .unwrap()
            .overflowed
            .is_empty()
    );
    let limits = Limits { rows: Some(1000), ..Limits::default() };
    let error = engine.snapshot().select_within("above(x)", Some("z"), limits).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
    // Texts that grow without end stop as well.
    let outcome = engine.insert("s(y) :- s(x), concat(x, x, y) s(\"a\")", Some("z")).unwrap();
    assert!(outcome.overflowed.is_empty());
    engine.watch("s", Some("z"), "s", None).unwrap();
    assert!(engine.snapshot().select_within("s(x)", Some("z"), limits).unwrap().len() < 30);
    // With other rules it is tried again.
    engine.delete("n(y) :- n(x), plus(x, 1, y)", Some("z")).unwrap();
    assert_eq!(engine.snapshot().select("above(x)", Some("z")).unwrap().len(), 1);
    let outcome = engine.insert("n(1)", Some("z")).unwrap();
    assert_eq!(outcome.fired[0].added.len(), 1);
}

#[test]
fn rows_are_the_same_while_the_state_is() {
    let mut engine = engine(&["t"]);
    let latest = engine.latest();
    let rules = "p(1) q(x) :- p(x) late(x) :- p(x), now(n), lt(n, \"2025\") \
                 later(x) :- late(x)";
    engine.insert(rules, Some("t")).unwrap();
    let state = latest.snapshot().id();
    assert_eq!(latest.snapshot().id(), state);
    let volatile = |table| {
        let found = latest.snapshot().rows_within("t", table, Limits::default()).unwrap();
        (found.rows.len(), found.volatile)
    };
    assert_eq!((volatile("p"), volatile("q")), ((1, false), (1, false)));
    assert_eq!((volatile("late"), volatile("later")), ((1, true), (1, true)));
    let mut states = vec![state];
    for change in ["p(2)", "p(3)"] {
        engine.insert(change, Some("t")).unwrap();
        states.push(latest.snapshot().id());
        engine.delete(change, Some("t")).unwrap();
        states.push(latest.snapshot().id());
    }
    for (at, state) in states.iter().enumerate() {
        assert!(!states[..at].contains(state), "{at}");
    }
}

#[test]
fn a_time_without_a_date_is_of_the_day_on_which_it_is_read() {
    let day = Arc::new(AtomicI64::new(0));
    let today = day.clone();
    let start = datetime!(2024-02-03 04:05:06);
    let clock = Arc::new(move || start + time::Duration::days(today.load(Ordering::Relaxed)));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    engine.create_policy(NewPolicy::new("t", PolicyKind::Nonrecursive)).unwrap();
    engine.watch("w", Some("t"), "on", None).unwrap();
    engine.insert("on(d) :- at(t), extract_date(t, d)", Some("t")).unwrap();
    let on = |engine: &Engine| {
        let found = engine.snapshot().rows_within("t", "on", Limits::default()).unwrap();
        let mut rows: Vec<String> = found.rows.iter().map(|row| row[0].to_string()).collect();
        rows.sort();
        (rows, found.volatile)
    };
    let rows = |rows: &[&str]| rows.iter().map(|row| format!("\"{row}\"")).collect::<Vec<_>>();
    engine.insert("at(\"2024-01-01 10:00\")", Some("t")).unwrap();
    assert_eq!(on(&engine), (rows(&["2024-01-01"]), false));
    engine.insert("at(\"10:00\")", Some("t")).unwrap();
    engine.insert("at(\"2024-01-02\")", Some("t")).unwrap();
    assert_eq!(on(&engine), (rows(&["2024-01-01", "2024-01-02", "2024-02-03"]), true));
    day.store(1, Ordering::Relaxed);
    assert_eq!(on(&engine), (rows(&["2024-01-01", "2024-01-02", "2024-02-04"]), true));
    // What came of it yesterday does not stay behind.
    engine.delete("at(\"10:00\")", Some("t")).unwrap();
    assert_eq!(on(&engine), (rows(&["2024-01-01", "2024-01-02"]), false));
}
