//! Simulations: what they see, what they may cost, and that nobody else sees anything of them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use congress_policy::{
    Engine, Error, ErrorKind, Errors, Limits, MAX_SEQUENCE, NewPolicy, Options, PolicyKind,
    Simulation, SimulationAnswers, SimulationResult, Snapshot,
};
use congress_table::{Column, TableSchema};
use proptest::prelude::*;
use time::macros::datetime;

/// An engine with the policies `t` and `u` and the action policy `act`.
fn engine(t: &str, act: &str) -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for (name, kind) in [
        ("t", PolicyKind::Nonrecursive),
        ("u", PolicyKind::Nonrecursive),
        ("act", PolicyKind::Action),
    ] {
        engine.create_policy(NewPolicy::new(name, kind)).unwrap();
    }
    engine.insert(t, Some("t")).unwrap();
    engine.insert(act, Some("act")).unwrap();
    engine
}

fn run(
    snapshot: &Snapshot,
    query: &str,
    sequence: &str,
    delta: bool,
    limits: Limits<'_>,
) -> Result<SimulationResult, Errors> {
    let made = AtomicU64::new(0);
    let simulation = Simulation {
        query,
        policy: Some("t"),
        sequence,
        action_policy: Some("act"),
        delta,
        trace: false,
        fresh: &|| format!("new{}", made.fetch_add(1, Ordering::Relaxed)),
    };
    snapshot.simulate(&simulation, limits)
}

fn printed(result: &SimulationResult) -> Vec<String> {
    let mut printed: Vec<String> =
        result.answers.statements().iter().map(ToString::to_string).collect();
    printed.sort();
    printed
}

fn after(engine: &Engine, query: &str, sequence: &str) -> Vec<String> {
    printed(&run(&engine.snapshot(), query, sequence, false, Limits::default()).unwrap())
}

fn delta(engine: &Engine, query: &str, sequence: &str) -> Vec<String> {
    printed(&run(&engine.snapshot(), query, sequence, true, Limits::default()).unwrap())
}

fn refused(engine: &Engine, query: &str, sequence: &str) -> Error {
    let result = run(&engine.snapshot(), query, sequence, false, Limits::default());
    result.unwrap_err().iter().next().unwrap().clone()
}

fn content(snapshot: &Snapshot) -> BTreeSet<String> {
    let policies = snapshot.policies();
    let all = policies.iter().flat_map(|policy| snapshot.content(Some(&policy.name)).unwrap());
    all.map(|statement| statement.to_string()).collect()
}

#[test]
fn nothing_remains_of_a_simulation_that_succeeds_or_fails() {
    let engine = engine("p(1) q(x) :- p(x)", "action(\"a\") p+(x) :- a(x) p-(1) :- a(x)");
    let before = content(&engine.snapshot());
    assert_eq!(after(&engine, "q(x)", "a(2) p+(3) u:r+(\"text\") q+(9)"), ["q(2)", "q(3)", "q(9)"]);
    let error = refused(&engine, "q(x)", "a(2) p+(3) q-(x) :- p(x) p(4)");
    assert_eq!(error.message(), "Sequence contained non-action, non-update: p(4)");
    assert_eq!(error.places()[0].span.start, 25);
    assert_eq!(content(&engine.snapshot()), before);
    assert_eq!(after(&engine, "q(x)", ""), ["q(1)"]);
}

#[test]
fn readers_and_the_writer_go_on_while_it_runs() {
    let act = "action(\"a\") p+(x, y) :- a(y), p(x, 0) p-(x, 0) :- a(y), p(x, 0)";
    let mut engine = engine("q(x) :- p(x, y), gt(y, 0)", act);
    let rows: String = (0..200).map(|i| format!("p({i}, 0) ")).collect();
    engine.insert(&rows, Some("t")).unwrap();
    let snapshot = engine.snapshot();
    let (before, done) = (content(&snapshot), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let threads: Vec<_> = (1..4)
            .map(|thread| {
                let (snapshot, done, before) = (&snapshot, &done, &before);
                scope.spawn(move || {
                    let sequence = format!("a({thread}) p+(\"new {thread}\", {thread})");
                    let mut rounds = 0;
                    while rounds < 5 || !done.load(Ordering::Relaxed) {
                        let limits = Limits::default();
                        let result = run(snapshot, "p(x, y)", &sequence, true, limits).unwrap();
                        let SimulationAnswers::Delta { gained, lost } = &result.answers else {
                            panic!("no difference");
                        };
                        assert_eq!((gained.len(), lost.len()), (201, 200));
                        assert!(gained.rows().all(|row| row[1].to_string() == thread.to_string()));
                        rounds += 1;
                    }
                    assert_eq!(content(snapshot), *before);
                })
            })
            .collect();
        for i in 0..200 {
            engine.delete(&format!("p({i}, 0)"), Some("t")).unwrap();
            engine.insert(&format!("p(\"text {i}\", 1)"), Some("t")).unwrap();
        }
        done.store(true, Ordering::Relaxed);
        threads.into_iter().for_each(|thread| thread.join().unwrap());
    });
    assert_eq!(engine.snapshot().select("q(x)", Some("t")).unwrap().len(), 200);
    assert_eq!(after(&engine, "q(x)", "p-(\"text 7\", 1)").len(), 199);
}

#[test]
fn a_difference_is_marked_where_the_query_has_its_name() {
    let engine = engine("p(1) p(2) q(x) :- p(x), not r(x) any() :- r(x)", "");
    assert_eq!(delta(&engine, "q(x)", "r+(1) p+(3)"), ["q+(3)", "q-(1)"]);
    assert_eq!(delta(&engine, "any()", "r+(1)"), ["any+()"]);
    assert_eq!(delta(&engine, "u:s(x)", "u:s+(\"a\")"), ["u:s+(\"a\")"]);
    assert_eq!(
        delta(&engine, "a(x, 7), b() :- q(x), p(y), equal(x, y)", "r+(1)"),
        ["a-(1, 7), b-() :- q(1), p(1), equal(1, 1)"]
    );
    assert_eq!(delta(&engine, "q(x)", "p+(1) r+(5) p-(7) p+(8) p-(8)"), Vec::<String>::new());
    // Numbers are told apart by type, and what a builtin makes is no text of the state.
    assert_eq!(
        delta(&engine, "a(y) :- p(x), plus(x, 0.5, y)", "p+(3) p-(1)"),
        ["a+(3.5) :- p(3), plus(3, 0.5, 3.5)", "a-(1.5) :- p(1), plus(1, 0.5, 1.5)"]
    );
}

#[test]
fn rows_of_an_update_may_have_any_width_and_are_equal_by_value() {
    let engine = engine("p(1) p(\"x\")", "");
    assert_eq!(after(&engine, "p(x)", "p-(1.0) p+(\"x\", 2)"), ["p(\"x\")"]);
    assert_eq!(after(&engine, "p(x, y)", "p+(\"x\", 2)"), ["p(\"x\", 2)"]);
    assert_eq!(after(&engine, "p(x)", "p+(1.0)"), ["p(\"x\")", "p(1)"]);
    let error = refused(&engine, "p(x)", "p+(x)");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Head, "Fact not ground: p+(x)"));
    let error = refused(&engine, "p(x)", "v:p+(1)");
    assert_eq!((error.kind(), error.message()), (ErrorKind::Target, "Unknown policy v"));
}

#[test]
fn rules_come_and_go() {
    let mut engine = engine("p(1) p(2) q(1) r(x) :- p(x), not q(x)", "");
    assert_eq!(after(&engine, "r(x)", "r-(x) :- not q(x), p(x)"), Vec::<String>::new());
    assert_eq!(after(&engine, "r(x)", "r+(x) :- not u:s(x), q(x)"), ["r(1)", "r(2)"]);
    assert_eq!(after(&engine, "u:w(x)", "u:w+(x) :- t:r(x)"), ["u:w(2)"]);
    assert_eq!(after(&engine, "r(x)", "r+(9) :- true q+(2)"), ["r(9)"]);
    let message = |sequence: &str| refused(&engine, "r(x)", sequence).message().to_owned();
    assert_eq!(
        message("r+(x) :- q(y)"),
        "Variable x found in head but not in body, rule r(x) :- q(y)"
    );
    assert!(message("r+(x) :- q(x), not p(y)").starts_with("Could not reorder rule r(x)"));
    assert_eq!(message("q+(x) :- r(x)"), "Rules are recursive");
    assert_eq!(message("u:a+(x) :- t:r(x) p+(x) :- u:a(x)"), "Rules are recursive");
    assert_eq!(
        message("r+(x), q+(x) :- p(x)"),
        "Sequence contained non-action, non-update: r+(x), q+(x) :- p(x)"
    );
    assert_eq!(
        message("execute[r+(x)] :- p(x)"),
        "Sequence contained non-action, non-update: execute[r+(x)] :- p(x)"
    );

    let column = |name: &str| Column {
        name: name.to_owned(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    let servers = TableSchema {
        name: "servers".to_owned(),
        columns: vec![column("id"), column("status")],
        root: None,
    };
    engine.initialize_datasource("nova", &[servers]).unwrap();
    engine.insert("servers(\"a\", \"ERROR\")", Some("nova")).unwrap();
    let rule = "r+(x) :- nova:servers(id=x, status=\"ERROR\")";
    assert_eq!(after(&engine, "r(x)", rule), ["r(\"a\")", "r(2)"]);
    let both =
        format!("{rule} nova:servers-(\"a\", \"ERROR\") nova:servers+(id=\"b\", status=\"ERROR\")");
    assert_eq!(after(&engine, "r(x)", &both), ["r(\"b\")", "r(2)"]);
}

#[test]
fn rules_of_a_z3_policy_may_become_recursive() {
    let mut engine = engine("", "action(\"cut\") z:edge-(x, y) :- cut(x), z:edge(x, y)");
    engine.create_policy(NewPolicy::new("z", PolicyKind::Z3)).unwrap();
    let text = "edge(1, 2) edge(2, 3) edge(3, 1) edge(4, 5) path(x, y) :- edge(x, y)";
    engine.insert(text, Some("z")).unwrap();
    let count = |sequence: &str| after(&engine, "z:path(x, y)", sequence).len();
    assert_eq!(count(""), 4);
    let step = "z:path+(x, z) :- path(x, y), edge(y, z)";
    assert_eq!(count(step), 10);
    assert_eq!(count(&format!("{step} z:edge-(3, 1)")), 4);
    assert_eq!(count(&format!("cut(3) {step}")), 4);
    assert_eq!(count(&format!("{step} z:path-(x, z) :- edge(y, z), path(x, y)")), 4);
    assert_eq!(count(&format!("{step} z:path+(x, y) :- t:path(x, y)")), 10);
    let message = |sequence: &str| refused(&engine, "z:path(x, y)", sequence).message().to_owned();
    assert_eq!(
        message(&format!("{step} z:edge+(x, y) :- t:p(x, y) p+(x, y) :- z:path(x, y)")),
        "Rules are recursive"
    );
    assert_eq!(message("z:path+(x, y) :- edge(y, x), not path(x, y)"), "Rules are recursive");
    engine.allow_recursion(true);
    assert_eq!(after(&engine, "p(x)", "e+(1, 2) e+(2, 3) p+(1) p+(y) :- p(x), e(x, y)").len(), 3);

    // The action policy may be recursive, too.
    engine.create_policy(NewPolicy::new("acts", PolicyKind::Z3)).unwrap();
    let text = "action(\"cut\")
                 next(x, y) :- edge(x, y)
                 next(x, z) :- next(x, y), edge(y, z)
                 edge-(x, y) :- cut(x), next(x, y), edge(x, y)
                 far+(y) :- cut(x), next(x, y)";
    engine.insert(text, Some("acts")).unwrap();
    let simulation = Simulation {
        query: "a(x, y) :- edge(x, y), far(y)",
        policy: Some("z"),
        sequence: "cut(2) acts:edge+(5, 6) edge+(5, 6) cut(4)",
        action_policy: Some("acts"),
        delta: false,
        trace: true,
        fresh: &String::new,
    };
    let result = engine.snapshot().simulate(&simulation, Limits::default()).unwrap();
    assert_eq!(
        printed(&result),
        [
            "a(1, 2) :- edge(1, 2), far(2)",
            "a(3, 1) :- edge(3, 1), far(1)",
            "a(5, 6) :- edge(5, 6), far(6)"
        ]
    );
}

#[test]
fn what_is_kept_up_to_date_is_derived_in_a_simulation() {
    let mut engine = engine("seen(x) :- m:q(x)", "action(\"a\") m:p+(x) :- a(x)");
    engine.create_policy(NewPolicy::new("m", PolicyKind::Materialized)).unwrap();
    engine.insert("p(1) q(x) :- p(x), not r(x)", Some("m")).unwrap();
    engine.watch("w", Some("t"), "seen", None).unwrap();
    assert_eq!(after(&engine, "seen(x)", "a(2) m:r+(1)"), ["seen(2)"]);
    assert_eq!(delta(&engine, "m:q(x)", "m:q-(x) :- p(x), not r(x)"), ["m:q-(1)"]);
    assert_eq!(after(&engine, "seen(x)", ""), ["seen(1)"]);
}

#[test]
fn options_are_facts_beside_the_action() {
    let engine = engine(
        "image(\"i\", 5) image(\"j\", 9) size(x, s) :- vm(x, i, s)",
        "action(\"boot\")
         vm+(n, i, s) :- boot(n, i), opt(n, \"size\", s)
         vm+(n, i, \"small\") :- boot(n, i), not sized(n)
         sized(n) :- opt(n, \"size\", s)",
    );
    let data = "boot(\"v\", i), opt(\"v\", \"size\", n) :- image(i, n), gt(n, 5)";
    assert_eq!(after(&engine, "size(x, s)", data), ["size(\"v\", 9)"]);
    assert_eq!(after(&engine, "size(x, s)", "boot(\"v\", \"i\")"), ["size(\"v\", \"small\")"]);
    // Supplied without a body; nothing of it is left for the next action.
    let sequence = "boot(\"v\", 1), opt(\"w\", \"size\", 3) :- true boot(\"w\", 1)";
    assert_eq!(
        after(&engine, "size(x, s)", sequence),
        ["size(\"v\", \"small\")", "size(\"w\", \"small\")"]
    );
    // A body without a solution skips the statement; the order of its literals does not matter.
    assert_eq!(
        after(&engine, "size(x, s)", "boot(i, i) :- gt(n, 9), image(i, n)"),
        Vec::<String>::new()
    );
    let error = refused(&engine, "size(x, s)", "boot(i, i) :- gt(n, 9)");
    assert_eq!(error.kind(), ErrorKind::Safety);
    let error = refused(&engine, "size(x, s)", "boot(i, \"j\")");
    assert_eq!(error.message(), "Action not ground: boot(i, \"j\")");
}

#[test]
fn a_fresh_value_is_one_within_an_action() {
    let engine = engine(
        "pair(v, w) :- vm(x, v), port(y, x, w)",
        "action(\"boot\") action(\"tag\")
         vm+(id, v) :- boot(v)
         port+(port, id, v) :- boot(v)
         vm-(id, v) :- tag(id, w), vm(id, v)
         vm+(id, w) :- tag(id, w)
         result(x) :- boot(v), vm+(x, v)",
    );
    assert_eq!(after(&engine, "pair(v, w)", "boot(1) boot(2)"), ["pair(1, 1)", "pair(2, 2)"]);
    let made: BTreeSet<String> = after(&engine, "a(x) :- vm(x, v)", "boot(1) boot(1)")
        .into_iter()
        .chain(after(&engine, "a(x) :- port(x, y, v)", "boot(1) boot(1)"))
        .collect();
    assert_eq!(made.len(), 4, "{made:?}");
    // The result names what the action made, and only that of the last one is seen.
    assert_eq!(
        after(&engine, "pair(v, w)", "boot(1) boot(2) tag(x, 7) :- result(x)"),
        ["pair(1, 1)", "pair(7, 2)"]
    );
    assert_eq!(
        after(
            &engine,
            "pair(v, w)",
            "boot(1) port+(0, 0, 0) tag(x, 7) :- result(x) tag(x, 8) :- result(x)"
        ),
        ["pair(7, 1)"]
    );
}

#[test]
fn an_action_sees_the_policy_under_simulation_behind_its_own_tables() {
    let engine = engine(
        "base(1) seen(x) :- act:base(x) seen(x) :- base(x), not act:seen(x)",
        "action(\"go\") base(2)
         copy+(x) :- go(y), base(x)
         own+(x) :- go(y), act:base(x)
         u:copy+(x) :- go(y), t:base(x)
         act:base+(y) :- go(y)
         both+(y) :- go(y) both-(y) :- go(y) both-(1) :- go(y)",
    );
    let all = |query: &str| after(&engine, query, "both+(1) base+(3) go(9)");
    assert_eq!(all("copy(x)"), ["copy(1)", "copy(2)", "copy(3)"]);
    assert_eq!(all("own(x)"), ["own(1)", "own(2)", "own(3)"]);
    assert_eq!(all("u:copy(x)"), ["u:copy(1)", "u:copy(3)"]);
    assert_eq!(all("both(x)"), ["both(9)"]);
    assert_eq!(all("act:base(x)"), ["act:base(2)", "act:base(9)"]);
    assert_eq!(all("seen(x)"), ["seen(1)", "seen(2)", "seen(3)", "seen(9)"]);
}

/// What a trace says that its last query found, in order.
fn traced(trace: &str) -> Vec<String> {
    let line = trace.lines().rfind(|line| line.contains(": Found answer ["));
    let list = line.and_then(|line| line.split_once('[')).map(|(_, list)| list);
    let list = list.and_then(|list| list.strip_suffix(']')).unwrap_or_default();
    let mut found: Vec<String> = list.split("),").map(str::to_owned).collect();
    let last = found.len() - 1;
    found[..last].iter_mut().for_each(|answer| answer.push(')'));
    found.retain(|answer| !answer.is_empty());
    found.sort();
    found
}

#[test]
fn a_trace_sees_what_the_sequence_left() {
    let engine = engine(
        "a(1) b(x) :- a(x) c(x) :- b(x), not a(3) n(x) :- a(x), not m(x)",
        "action(\"go\") t:a+(x) :- go(x) t:a-(1) :- go(x)",
    );
    for (query, sequence, wanted) in [
        ("b(x)", "a+(2) a-(1)", &["b(2)"][..]),
        ("t:b(x)", "a+(2) a-(1)", &["t:b(2)"]),
        ("a(x)", "a+(2)", &["a(1)", "a(2)"]),
        ("b(x)", "a-(1)", &[]),
        ("c(x)", "a+(3)", &[]),
        ("n(x)", "m+(1) a+(4)", &["n(4)"]),
        ("b(x)", "go(7)", &["b(7)"]),
        // A rule and a table that were not there.
        ("d(x)", "d+(x) :- b(x)", &["d(1)"]),
        ("e(x)", "e+(5)", &["e(5)"]),
        ("b(x)", "b-(x) :- a(x)", &[]),
        ("u:f(x)", "u:f+(x) :- t:b(x) a+(2)", &["u:f(1)", "u:f(2)"]),
    ] {
        for delta in [false, true] {
            let simulation = Simulation {
                query,
                policy: Some("t"),
                sequence,
                action_policy: Some("act"),
                delta,
                trace: true,
                fresh: &String::new,
            };
            let found = engine.snapshot().simulate(&simulation, Limits::default()).unwrap();
            let trace = found.trace.clone().unwrap();
            let (_, last) = trace.rsplit_once("** Simulate: Querying").unwrap();
            assert_eq!(traced(last), wanted, "{query} after {sequence}: {trace}");
            if !delta {
                assert_eq!(printed(&found), wanted, "{query} after {sequence}");
            }
        }
    }
    // Before the sequence it is the state before.
    let simulation = Simulation {
        query: "b(x)",
        policy: Some("t"),
        sequence: "a+(2) a-(1)",
        action_policy: None,
        delta: true,
        trace: true,
        fresh: &String::new,
    };
    let found = engine.snapshot().simulate(&simulation, Limits::default()).unwrap();
    let trace = found.trace.unwrap();
    let (before, after) = trace.split_once("RT    : Applying").unwrap();
    assert_eq!((traced(before), traced(after)), (vec!["b(1)".into()], vec!["b(2)".to_owned()]));
}

#[test]
fn an_action_policy_is_needed_for_actions_only() {
    let engine = engine("p(1)", "action(\"a\") p+(x) :- a(x)");
    let simulation = Simulation {
        query: "p(x)",
        policy: Some("t"),
        sequence: "act:action+(\"b\") p+(2)",
        action_policy: None,
        delta: false,
        trace: true,
        fresh: &String::new,
    };
    let snapshot = engine.snapshot();
    let result = snapshot.simulate(&simulation, Limits::default()).unwrap();
    assert_eq!(printed(&result), ["p(1)", "p(2)"]);
    let trace = result.trace.unwrap();
    assert!(trace.contains("RT    : Applying update p+(2) to t\n"), "{trace}");
    assert!(trace.ends_with("RT    : Result of p(x) is [p(1), p(2)]\n"), "{trace}");
    assert!(trace.contains("t     : Call: p(x)\n"), "{trace}");

    let message = |simulation: &Simulation<'_>| {
        snapshot.simulate(simulation, Limits::default()).unwrap_err().joined()
    };
    assert_eq!(
        message(&Simulation { sequence: "a(2)", ..simulation }),
        "Sequence contained non-action, non-update: a(2)"
    );
    assert_eq!(message(&Simulation { action_policy: Some("w"), ..simulation }), "Unknown policy w");
    assert_eq!(
        message(&Simulation { policy: None, ..simulation }),
        "Must choose a policy to operate on"
    );
    assert_eq!(
        message(&Simulation { query: "p(x) p(y)", ..simulation }),
        "Query p(x) p(y) contained more than 1 rule"
    );
    assert!(message(&Simulation { query: "", ..simulation }).starts_with("Queries can have"));
    assert!(message(&Simulation { sequence: "p+(", ..simulation }).starts_with("Parse failure."));
}

#[test]
fn limits_hold_for_the_whole_simulation() {
    let rows: String = (0..100).map(|i| format!("p({i}) ")).collect();
    let engine = engine(&rows, "action(\"all\") q+(x, y) :- all(y), p(x)");
    let snapshot = engine.snapshot();
    let within = |sequence: &str, rows: usize| {
        let limits = Limits { rows: Some(rows), ..Limits::default() };
        run(&snapshot, "q(x, y)", sequence, false, limits).map(|result| printed(&result).len())
    };
    assert_eq!(within("all(1) all(2)", 1000).unwrap(), 200);
    let refused = within("all(1) all(2) all(3) all(4)", 300).unwrap_err();
    assert!(refused.iter().all(|error| error.kind() == ErrorKind::Limit), "{refused}");
    assert!(within(&"p+(1) ".repeat(50), 40).is_err());

    let long = "p+(1) ".repeat(MAX_SEQUENCE + 1);
    let refused = run(&snapshot, "p(1)", &long, false, Limits::default()).unwrap_err();
    assert_eq!(refused.iter().next().unwrap().kind(), ErrorKind::Limit);

    let stop = AtomicBool::new(true);
    let limits = Limits { stop: Some(&stop), ..Limits::default() };
    assert!(run(&snapshot, "p(1)", "p+(1)", false, limits).is_err());
}

/// A change of the tables `e` and `f`: by an update, or by an action that does the same.
#[derive(Clone, Debug)]
struct Change {
    insert: bool,
    row: String,
    by_action: bool,
}

fn change() -> impl Strategy<Value = Change> {
    (any::<bool>(), 0..2usize, 0..8i32, 0..4i32, any::<bool>()).prop_map(
        |(insert, table, a, b, by_action)| {
            let row = if table == 0 { format!("e({a}, {b})") } else { format!("f({b}.5)") };
            Change { insert, row, by_action }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]

    #[test]
    fn a_simulation_answers_as_the_engine_would_after_the_same_changes(
        facts in prop::collection::vec(change(), 0..60),
        changes in prop::collection::vec(change(), 0..30),
        kind in prop::sample::select(&[PolicyKind::Nonrecursive, PolicyKind::Materialized, PolicyKind::Z3][..]),
    ) {
        let rules = "p(x, z) :- e(x, y), e(y, z), not f(z)
                     p(x, y) :- e(x, z), f(w), equal(y, 0), e(z, y)
                     q(x) :- p(x, x) q(x) :- e(x, 3), not p(x, 3)";
        let act = "action(\"add_e\") action(\"add_f\") action(\"cut_e\") action(\"cut_f\")
                   w:e+(x, y) :- add_e(x, y) w:e-(x, y) :- cut_e(x, y)
                   w:f+(x) :- add_f(x) w:f-(x) :- cut_f(x)";
        let mut engine = engine("", act);
        engine.create_policy(NewPolicy::new("w", kind)).unwrap();
        engine.insert(rules, Some("w")).unwrap();
        for Change { row, .. } in &facts {
            engine.insert(row, Some("w")).unwrap();
        }
        let sequence: Vec<String> = changes
            .iter()
            .map(|Change { insert, row, by_action }| match (insert, by_action) {
                (true, true) => format!("add_{row}"),
                (false, true) => format!("cut_{row}"),
                (true, false) => format!("w:{}", row.replacen('(', "+(", 1)),
                (false, false) => format!("w:{}", row.replacen('(', "-(", 1)),
            })
            .collect();
        let sequence = sequence.join(" ");
        let queries = ["w:p(x, y)", "w:p(1, y)", "w:p(x, 2)", "w:q(x)", "w:e(3, y)", "w:f(x)"];
        let before = engine.snapshot();
        let simulated: Vec<_> = queries
            .iter()
            .map(|query| {
                // Readers leave indexes behind, which the next overlay takes over.
                before.select(query, Some("t")).unwrap();
                (after(&engine, query, &sequence), delta(&engine, query, &sequence))
            })
            .collect();
        for Change { insert, row, .. } in &changes {
            match insert {
                true => engine.insert(row, Some("w")).unwrap(),
                false => engine.delete(row, Some("w")).unwrap(),
            };
        }
        let select = |snapshot: &Snapshot, query: &str| -> BTreeSet<String> {
            let answers = snapshot.select(query, Some("t")).unwrap();
            answers.statements().map(|answer| answer.to_string()).collect()
        };
        for (query, (after, delta)) in queries.iter().zip(simulated) {
            let (was, is) = (select(&before, query), select(&engine.snapshot(), query));
            prop_assert_eq!(&after.into_iter().collect::<BTreeSet<_>>(), &is, "{}", query);
            let marked = |rows: Vec<&String>, sign: &str| -> Vec<String> {
                rows.into_iter().map(|row| row.replacen('(', &format!("{sign}("), 1)).collect()
            };
            let mut wanted = marked(is.difference(&was).collect(), "+");
            wanted.extend(marked(was.difference(&is).collect(), "-"));
            wanted.sort();
            prop_assert_eq!(delta, wanted, "{}", query);
        }
    }
}
