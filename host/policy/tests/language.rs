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
