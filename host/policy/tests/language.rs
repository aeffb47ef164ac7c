//! What the language has beyond the original's.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use congress_policy::{Engine, ErrorKind, NewPolicy, Options, PolicyKind};
use time::macros::datetime;

fn engine(text: &str) -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    engine.create_policy(NewPolicy::new("t", PolicyKind::Nonrecursive)).unwrap();
    engine.insert(text, Some("t")).unwrap();
    engine
}

#[track_caller]
fn check(engine: &Engine, query: &str, wanted: &[&str]) {
    let answers = engine.snapshot().select(query, Some("t")).unwrap();
    let mut printed: Vec<String> = answers.statements().map(|s| s.to_string()).collect();
    printed.sort();
    assert_eq!(printed, wanted, "{query}");
}

#[test]
fn builtins_on_texts_need_their_prefix() {
    let engine = engine(
        "name(\"web-1\") name(\"db-1\") name(7)
         prefix(\"web-1\", \"a table of ours\")
         web(x) :- builtin:prefix(x, \"web\"), name(x)
         other(x) :- name(x), not builtin:prefix(x, \"web\")
         role(x, r) :- name(x), builtin:split(x, \"-\", 0, r)
         table(x, y) :- name(x), prefix(x, y)
         any(x) :- name(x), builtin:matches(x, \"^(web|db)-[0-9]+$\")",
    );
    check(&engine, "web(x)", &["web(\"web-1\")"]);
    check(&engine, "other(x)", &["other(\"db-1\")", "other(7)"]);
    check(&engine, "role(x, r)", &["role(\"db-1\", \"db\")", "role(\"web-1\", \"web\")"]);
    check(&engine, "table(x, y)", &["table(\"web-1\", \"a table of ours\")"]);
    check(&engine, "any(x)", &["any(\"db-1\")", "any(\"web-1\")"]);
    check(&engine, "builtin:upper(\"é\", x)", &["builtin:upper(\"é\", \"É\")"]);
}

#[test]
fn the_guide_lists_every_builtin() {
    let guide = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/policy-language.md");
    let guide = std::fs::read_to_string(guide).unwrap();
    for builtin in congress_policy::builtins::all() {
        let entry = format!("`{}({})`", builtin.name, builtin.parameters);
        assert!(guide.contains(&entry), "{entry}");
    }
}

#[test]
fn builtins_on_bits() {
    let engine = engine("n(6) n(3) p(x, y, z) :- n(x), n(y), builtin:and(x, y, z)");
    check(&engine, "p(6, 3, z)", &["p(6, 3, 2)"]);
    check(&engine, "builtin:or(6, 3, x)", &["builtin:or(6, 3, 7)"]);
    check(&engine, "builtin:bnot(6, x)", &["builtin:bnot(6, -7)"]);
}

#[test]
fn a_builtin_by_its_prefix_has_its_number_of_arguments() {
    let mut engine = engine("");
    let errors = engine.insert("p(x) :- q(x), builtin:plus(x, 1)", Some("t")).unwrap_err();
    let error = errors.iter().next().unwrap();
    assert_eq!(error.kind(), ErrorKind::Builtin);
    assert_eq!(
        error.message(),
        "Literal builtin:plus(x, 1) contained 2 arguments but exactly 3 arguments are permitted"
    );
    assert_eq!(error.suggestion(), Some("it is builtin:plus(x, y → z)"));
    assert!(engine.insert("p(x) :- builtin:plus(id=x)", Some("t")).is_err());
    assert!(engine.waiting().is_empty());
    // Taken by the original; there is a warning for it.
    engine.insert("p(x) :- q(x), builtin:plsu(x, 1)", Some("t")).unwrap();
}

const SERVERS: &str = "
    server(\"a\", \"t1\", 2) server(\"b\", \"t1\", 2) server(\"c\", \"t2\", 8) exempt(\"t2\")
    number(t, count(id)) :- server(id, t, r)
    ram(t, sum(r), max(r), avg(r)) :- server(id, t, r)
    total(count(id)) :- server(id, t, r)
    large(t) :- ram(t, s, m, a), builtin:gt(s, 5)";

#[test]
fn aggregates_take_solutions_together() {
    let engine = engine(SERVERS);
    check(&engine, "number(t, n)", &["number(\"t1\", 2)", "number(\"t2\", 1)"]);
    check(&engine, "number(\"t2\", n)", &["number(\"t2\", 1)"]);
    check(&engine, "number(t, 2)", &["number(\"t1\", 2)"]);
    check(&engine, "number(\"t3\", n)", &[]);
    // Both servers of t1 count, although they have the same memory.
    check(&engine, "ram(\"t1\", s, m, a)", &["ram(\"t1\", 4, 2, 2.0)"]);
    check(&engine, "total(n)", &["total(3)"]);
    check(&engine, "large(t)", &["large(\"t2\")"]);
    check(
        &engine,
        "ans(t) :- exempt(t), not number(t, 2)",
        &["ans(\"t2\") :- exempt(\"t2\"), not number(\"t2\", 2)"],
    );
    let tables = engine.snapshot().rows("t", "number").unwrap();
    assert_eq!(tables.len(), 2);
}

#[test]
fn a_group_without_solutions_or_without_a_result_is_not_there() {
    let engine = engine(
        "q(\"a\", 1) q(\"a\", \"x\") q(\"b\", 1)
         n(count(x)) :- nothing(x)
         s(k, sum(v)) :- q(k, v)
         c(k, count(v)) :- q(k, v)
         both(k, count(v), max(v)) :- q(k, v)",
    );
    check(&engine, "n(x)", &[]);
    check(&engine, "s(k, s)", &["s(\"b\", 1)"]);
    check(&engine, "c(k, n)", &["c(\"a\", 2)", "c(\"b\", 1)"]);
    check(&engine, "both(k, n, m)", &["both(\"b\", 1, 1)"]);
}

#[test]
fn aggregates_of_aggregates_and_beside_other_rules() {
    let mut engine = engine(SERVERS);
    engine
        .insert(
            "most(max(n)) :- number(t, n)
             winner(t) :- most(n), number(t, n)
             number(\"t9\", 7)
             number(t, 0) :- exempt(t)",
            Some("t"),
        )
        .unwrap();
    check(&engine, "most(n)", &["most(7)"]);
    check(&engine, "winner(t)", &["winner(\"t9\")"]);
    check(&engine, "number(\"t2\", n)", &["number(\"t2\", 0)", "number(\"t2\", 1)"]);
    engine.delete("number(\"t9\", 7)", Some("t")).unwrap();
    check(&engine, "winner(t)", &["winner(\"t1\")"]);
    engine.delete("number(t, count(id)) :- server(id, t, r)", Some("t")).unwrap();
    check(&engine, "number(t, n)", &["number(\"t2\", 0)"]);
}

#[test]
fn actions_and_recursive_policies_have_aggregates() {
    let mut engine = engine("server(\"a\", \"t1\") server(\"b\", \"t1\")");
    let rule = "execute[nova:alert(t, count(id))] :- server(id, t)";
    let outcome = engine.insert(rule, Some("t")).unwrap();
    assert_eq!(outcome.changes[0].to_string(), format!("insert[{rule}] for t"));
    let added: Vec<String> =
        outcome.executions[0].added[0].iter().map(ToString::to_string).collect();
    assert_eq!(added, ["\"t1\"", "2"]);

    engine.create_policy(NewPolicy::new("z", PolicyKind::Z3)).unwrap();
    engine
        .insert(
            "edge(1, 2) edge(2, 3) edge(3, 1) edge(4, 1)
             path(x, y) :- edge(x, y) path(x, z) :- path(x, y), edge(y, z)
             reach(x, count(y)) :- path(x, y)
             far(x, n) :- reach(x, n) far(x, n) :- edge(x, y), far(y, n)",
            Some("z"),
        )
        .unwrap();
    check(&engine, "z:reach(4, n)", &["z:reach(4, 3)"]);
    check(
        &engine,
        "ans(x) :- z:far(x, 3)",
        &[
            "ans(1) :- z:far(1, 3)",
            "ans(2) :- z:far(2, 3)",
            "ans(3) :- z:far(3, 3)",
            "ans(4) :- z:far(4, 3)",
        ],
    );
    let errors = engine.insert("path(x, n) :- reach(x, n)", Some("z")).unwrap_err();
    assert_eq!(errors.iter().next().unwrap().kind(), ErrorKind::Recursion);
}

#[test]
fn a_watched_aggregate_follows_each_change() {
    let mut engine = engine(
        "n(k, count(v), max(v)) :- q(k, v), not r(v)
         high(max(c)) :- n(k, c, m)",
    );
    engine.watch("n", Some("t"), "n", None).unwrap();
    engine.watch("high", Some("t"), "high", None).unwrap();
    let mut change = |text: &str, insert: bool| {
        let outcome =
            if insert { engine.insert(text, Some("t")) } else { engine.delete(text, Some("t")) };
        let mut rows: Vec<String> = Vec::new();
        for fired in outcome.unwrap().fired {
            for (sign, list) in [('+', fired.added), ('-', fired.removed)] {
                rows.extend(list.iter().map(|row| {
                    let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
                    format!("{sign}{}({})", fired.watch, cells.join(", "))
                }));
            }
        }
        rows.sort();
        rows.join(" ")
    };
    assert_eq!(change("q(1, 1) q(1, 2) q(2, 7)", true), "+high(2) +n(1, 2, 2) +n(2, 1, 7)");
    assert_eq!(change("q(2, 8) q(2, 9)", true), "+high(3) +n(2, 3, 9) -high(2) -n(2, 1, 7)");
    assert_eq!(change("q(3, \"x\") q(3, 1)", true), "");
    assert_eq!(change("r(\"x\")", true), "+n(3, 1, 1)");
    assert_eq!(change("q(1, 2)", false), "+n(1, 1, 1) -n(1, 2, 2)");
    assert_eq!(change("q(2, 7) q(2, 8) q(2, 9)", false), "+high(1) -high(3) -n(2, 3, 9)");
    let rule = "n(k, count(v), max(v)) :- q(k, v), not r(v)";
    assert_eq!(change(rule, false), "-high(1) -n(1, 1, 1) -n(3, 1, 1)");
}

#[test]
fn simulations_see_aggregates() {
    use congress_policy::{Limits, Simulation};
    let mut engine = engine("q(\"a\", 1) q(\"a\", 2) n(k, count(v)) :- q(k, v)");
    engine.create_policy(NewPolicy::new("act", PolicyKind::Action)).unwrap();
    let effects = "action(\"go\") q+(\"c\", count(v)) :- go(x), t:q(x, v)";
    engine.insert(effects, Some("act")).unwrap();
    let simulate = |query, sequence| {
        let fresh = || "new".to_owned();
        let policy = Some("t");
        let action_policy = Some("act");
        let (delta, trace, fresh) = (true, false, &fresh);
        let simulation = Simulation { query, policy, sequence, action_policy, delta, trace, fresh };
        let result = engine.snapshot().simulate(&simulation, Limits::default()).unwrap();
        let statements = result.answers.statements();
        let mut printed: Vec<String> = statements.iter().map(ToString::to_string).collect();
        printed.sort();
        printed.join(" ")
    };
    let after = simulate("n(k, c)", "q+(\"a\", 3) q-(\"a\", 2) q+(\"b\", 1) q+(\"a\", 4)");
    assert_eq!(after, "n+(\"a\", 3) n+(\"b\", 1) n-(\"a\", 2)");
    assert_eq!(simulate("s(x)", "s+(max(c)) :- n(k, c)"), "s+(2)");
    assert_eq!(simulate("n(k, c)", "n-(k, count(v)) :- q(k, v)"), "n-(\"a\", 2)");
    assert_eq!(simulate("q(k, v)", "go(\"a\")"), "q+(\"c\", 2)");
}

#[test]
fn aggregates_are_explained_by_their_solutions() {
    use congress_policy::{Detail, Limits};
    let engine =
        engine("q(\"a\", 1) q(\"a\", 2) q(\"b\", \"x\") q(\"b\", 1) n(k, sum(v)) :- q(k, v)");
    let explain = |atom: &str| {
        let snapshot = engine.snapshot();
        snapshot.explain(atom, Some("t"), Detail::default(), Limits::default()).unwrap().to_string()
    };
    let why = explain("n(\"a\", x)");
    assert!(why.starts_with("n(\"a\", 3)  by rule 1 of t: n(k, sum(v)) :- q(k, v)\n"), "{why}");
    assert!(why.contains("  q(\"a\", 1)  is a fact of t\n"), "{why}");
    assert!(why.contains("  q(\"a\", 2)  is a fact of t\n"), "{why}");
    assert!(explain("n(\"a\", 4)").contains("argument 2 is 3, not 4"));
    assert!(explain("n(\"b\", x)").contains("argument 2 no value of them"));
    assert!(explain("n(\"c\", x)").contains("fails at q(k, v)"));
}

#[test]
fn a_query_for_one_group_computes_that_group_only() {
    use congress_policy::Limits;
    use congress_table::{Row, Value};
    let mut engine =
        engine("n(t, count(id)) :- q(id, t) limited(t) :- cap(c), n(t, c) cap(1) cap(20)");
    let rows: Vec<Row> = (0..20_000).map(|i| [Value::Int(i), Value::Int(i / 20)].into()).collect();
    engine.initialize_tables("t", &[("q".into(), rows)]).unwrap();
    let limits = |rows| Limits { rows: Some(rows), ..Limits::default() };
    let select = |query: &str, rows| {
        let answers = engine.snapshot().select_within(query, Some("t"), limits(rows));
        answers.map(|answers| answers.len()).map_err(|error| error.kind())
    };
    assert_eq!(select("n(7, n)", 100), Ok(1));
    assert_eq!(select("n(7, 21)", 100), Ok(0));
    assert_eq!(select("limited(t)", 30_000), Ok(1000));
    assert_eq!(select("n(t, n)", 100), Err(ErrorKind::Limit));
}
