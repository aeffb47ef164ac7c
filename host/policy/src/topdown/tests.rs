use std::sync::Arc;

use time::macros::datetime;

use crate::{Engine, ErrorKind, Limits, NewPolicy, Options, PolicyKind};

fn engine(policies: &[(&str, &str)]) -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for (name, _) in policies {
        engine.create_policy(NewPolicy::new(*name, PolicyKind::Nonrecursive)).unwrap();
    }
    for (name, text) in policies {
        engine.insert(text, Some(name)).unwrap();
    }
    engine
}

fn trace(engine: &Engine, query: &str, policy: &str) -> String {
    engine.snapshot().trace(query, Some(policy), Limits::default()).unwrap().1
}

fn abduced(engine: &Engine, query: &str, tables: &[&str], policy: &str) -> Vec<String> {
    let rules = engine.snapshot().abduce(query, tables, Some(policy)).unwrap();
    rules.iter().map(ToString::to_string).collect()
}

#[test]
fn a_refuted_negation_is_left_at_its_first_proof() {
    let engine = engine(&[(
        "zoo",
        "caged(x) :- ape(x), not free(x) ape(1) free(x) :- ape(x), wild(x) wild(1)",
    )]);
    let wanted = "\
zoo   : Call: caged(x)
zoo   : Note: Trying caged(x) :- ape(x), not free(x)
zoo   : | Call: ape(x)
zoo   : | Note: Trying ape(1)
zoo   : | Exit: ape(1)
zoo   : | Call: not free(1)
zoo   : | | Call: free(1)
zoo   : | | Note: Trying free(x) :- ape(x), wild(x)
zoo   : | | | Call: ape(1)
zoo   : | | | Note: Trying ape(1)
zoo   : | | | Exit: ape(1)
zoo   : | | | Call: wild(1)
zoo   : | | | Note: Trying wild(1)
zoo   : | | | Exit: wild(1)
zoo   : | | Exit: free(1)
zoo   : | Fail: not free(1)
zoo   : | Redo: ape(1)
zoo   : | Fail: ape(x)
zoo   : Fail: caged(x)
";
    assert_eq!(trace(&engine, "caged(x)", "zoo"), wanted);
}

#[test]
fn lines_have_the_prefix_of_the_policy_that_owns_the_table() {
    let engine = engine(&[("a", "p(x) :- longname:q(x), r(x) r(1)"), ("longname", "q(1) :- true")]);
    let wanted = "\
a     : Call: p(x)
a     : Note: Trying p(x) :- longname:q(x), r(x)
longn : | Call: longname:q(x)
longn : | Note: Trying q(1) :- true()
longn : | | Call: true()
longn : | | Exit: true()
longn : | Exit: longname:q(1)
a     : | Call: r(1)
a     : | Note: Trying r(1)
a     : | Exit: r(1)
a     : Exit: p(1)
a     : Redo: p(1)
a     : | Redo: r(1)
a     : | Fail: r(1)
longn : | Redo: longname:q(1)
longn : | Fail: longname:q(x)
a     : Fail: p(x)
a     : Found answer [p(1)]
";
    assert_eq!(trace(&engine, "p(x)", "a"), wanted);
}

#[test]
fn a_trace_has_the_answers_of_the_query() {
    let mut engine = engine(&[(
        "t",
        "edge(1, 2) edge(2, 3) edge(3, 3) edge(1.0, 9) edge(3, 4)
         two(x, z) :- edge(x, y), edge(y, z)
         loop(x) :- edge(x, x)
         end(y) :- edge(x, y), not start(y)
         start(x) :- edge(x, y)
         next(x, z) :- edge(x, y), plus(x, 1, z), lt(z, 4)",
    )]);
    engine.create_policy(NewPolicy::new("db", PolicyKind::Database)).unwrap();
    engine.insert("n(1, 1.0) n(2, 3)", Some("db")).unwrap();
    engine.create_policy(NewPolicy::new("m", PolicyKind::Materialized)).unwrap();
    engine.insert("n(1, 1.0) n(2, 3) f(x) :- n(x, x) g(4.0, x) :- f(x)", Some("m")).unwrap();
    let queries = [
        "two(x, y)",
        "two(1, y)",
        "loop(x)",
        "end(x)",
        "next(x, y)",
        "two(x, x)",
        "db:n(1.0, x)",
        "both(x, y) :- db:n(x, x), edge(x, y)",
        "m:n(1.0, x)",
        "m:f(1.0)",
        "m:g(4, x)",
        "p(x) :- m:g(4, x), edge(x, y)",
        "p(x) :- edge(x, y), m:f(x)",
        "both(x, free) :- edge(x, y)",
        "none(x)",
        "edge(id=x)",
        "p() :- not edge(1, 3), true",
        "p() :- not true",
        "p() :- false",
    ];
    for query in queries {
        let snapshot = engine.snapshot();
        let printed = |answers: crate::Answers| {
            let mut printed: Vec<String> = answers.statements().map(|s| s.to_string()).collect();
            printed.sort();
            printed
        };
        let (traced, _) = snapshot.trace(query, Some("t"), Limits::default()).unwrap();
        let selected = snapshot.select(query, Some("t")).unwrap();
        assert_eq!(printed(traced), printed(selected), "{query}");
    }
}

#[test]
fn abduction_assumes_the_tables_named_and_keeps_variables_apart() {
    let engine = engine(&[
        ("t", "p(x) :- q(x), other:r(x, y) q(x) :- s(x), not u(x) u(x) :- s(x), v(x) v(2)"),
        ("other", "r(x, y) :- e(x, z), e(z, y)"),
    ]);
    let one = ["p(x) :- s(x), other:e(x, z), other:e(z, y)"];
    assert_eq!(abduced(&engine, "p(x)", &["s", "other:e"], "t"), one);
    // What a negation depends on is not assumed, what is bound is.
    assert_eq!(abduced(&engine, "q(2)", &["s"], "t"), ["q(2) :- s(2)"]);
    assert_eq!(
        abduced(&engine, "a(z) :- other:e(z, x)", &["other:e"], "t"),
        ["a(z) :- other:e(z, x)"]
    );
    let apart = abduced(&engine, "a(z) :- p(z)", &["s", "other:e"], "t");
    assert_eq!(apart, ["a(z) :- s(z), other:e(z, z_2), other:e(z_2, y)"]);
    // Nothing to assume: the bare instance.
    assert_eq!(abduced(&engine, "v(x)", &["s"], "t"), ["v(2)"]);
    assert!(abduced(&engine, "p(x)", &["e"], "t").is_empty());
}

#[test]
fn rows_of_aggregates_have_no_proof() {
    let engine = engine(&[("t", "q(\"a\", 1) q(\"a\", 2) q(\"b\", 3) n(k, sum(v)) :- q(k, v)")]);
    let snapshot = engine.snapshot();
    let trace = |query: &str| snapshot.trace(query, Some("t"), Limits::default()).unwrap().1;
    assert_eq!(
        trace("n(\"b\", x)"),
        "t     : Call: n(\"b\", x)\n\
         t     : Note: Trying n(k, sum(v)) :- q(k, v)\n\
         t     : Exit: n(\"b\", 3)\n\
         t     : Redo: n(\"b\", 3)\n\
         t     : Fail: n(\"b\", x)\n\
         t     : Found answer [n(\"b\", 3)]\n"
    );
    assert!(!trace("a(k) :- q(k, 1), not n(k, 3)").contains("Found answer"));
    assert_eq!(abduced(&engine, "n(\"a\", x)", &["q"], "t"), ["n(\"a\", 3)"]);
}

#[test]
fn depth_steps_and_stopping_are_errors_and_not_crashes() {
    let chain = |length: usize| -> String {
        let rules = (0..length).map(|i| format!("p{}(x) :- p{i}(x);", i + 1));
        rules.chain(["p0(1);".to_owned()]).collect()
    };
    let engine = engine(&[("deep", &chain(1_100))]);
    let snapshot = engine.snapshot();
    let limited = |query: &str, limits| {
        snapshot.trace(query, Some("deep"), limits).map(|(answers, _)| answers.len())
    };
    assert_eq!(limited("p900(x)", Limits::default()), Ok(1));
    let deep = limited("p1100(x)", Limits::default()).unwrap_err();
    assert_eq!(deep.kind(), ErrorKind::Limit);
    assert!(deep.message().contains("1000 rules deep"), "{deep}");
    let few = Limits { rows: Some(100), ..Limits::default() };
    assert_eq!(limited("p900(x)", few).unwrap_err().kind(), ErrorKind::Limit);
    let stop = std::sync::atomic::AtomicBool::new(true);
    let stopped = Limits { stop: Some(&stop), ..Limits::default() };
    assert_eq!(limited("p0(x)", stopped).unwrap_err().kind(), ErrorKind::Limit);
}
