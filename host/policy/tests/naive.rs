//! The evaluator that the engine is compared with, compared with what a reader can check.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/naive.rs"]
mod naive;

use congress_policy::ast::Statement;
use congress_policy::builtins::Context;
use congress_policy::parser::parse;
use time::macros::datetime;

const CONTEXT: Context = Context { now: datetime!(2024-05-06 07:08:09) };

fn model(policies: &[(&str, &str)]) -> naive::Model {
    let policies: Vec<(&str, Vec<Statement>)> =
        policies.iter().map(|(name, text)| (*name, parse(text).unwrap())).collect();
    naive::Model::new(&policies, CONTEXT)
}

#[track_caller]
fn check(policies: &[(&str, &str)], query: &str, wanted: &[&str]) {
    let query = parse(query).unwrap().remove(0);
    let answers = model(policies).answers(policies[0].0, &query);
    assert_eq!(answers.iter().map(String::as_str).collect::<Vec<_>>(), wanted, "{query}");
}

#[test]
fn joins() {
    let program = [("t", "q(1, 2) q(2, 3) q(3, 3) p(x, z) :- q(x, y), q(y, z) self(x) :- q(x, x)")];
    check(&program, "p(x, y)", &["p(1, 3)", "p(2, 3)", "p(3, 3)"]);
    check(&program, "p(1, y)", &["p(1, 3)"]);
    check(&program, "self(x)", &["self(3)"]);
    check(
        &program,
        "ans(x) :- q(x, 3), p(1, 3)",
        &["ans(2) :- q(2, 3), p(1, 3)", "ans(3) :- q(3, 3), p(1, 3)"],
    );
    check(&program, "q(1)", &[]);
}

#[test]
fn negation_and_recursion() {
    let program = [(
        "t",
        "edge(1, 2) edge(2, 1) edge(2, 3) node(1) node(2) node(3) node(4)
         path(x, y) :- edge(x, y)
         path(x, z) :- path(x, y), path(y, z)
         alone(x) :- not linked(x), node(x)
         linked(x) :- path(x, y) linked(y) :- path(x, y)",
    )];
    check(&program, "path(3, x)", &[]);
    check(&program, "path(1, x)", &["path(1, 1)", "path(1, 2)", "path(1, 3)"]);
    check(&program, "alone(x)", &["alone(4)"]);
}

#[test]
fn builtins_and_kinds_of_values() {
    let program = [(
        "t",
        "a(1) a(1.0) b(1.0) b('1') c(2) c('x')
         p(x) :- a(x), b(x)
         r(z) :- plus(x, 1, z), c(x)
         s(x) :- a(x), builtin:equal(x, 1.0), true
         n(x) :- a(x), false",
    )];
    // The second spelling of a stored number is not stored.
    check(&program, "a(x)", &["a(1)"]);
    check(&program, "p(x)", &[]);
    check(&program, "r(x)", &["r(3)"]);
    check(&program, "s(x)", &["s(1)"]);
    check(&program, "n(x)", &[]);
}

#[test]
fn policies_and_actions() {
    let program = [
        ("t", "p(x) :- s:q(x), t:r(x) r(1) execute[s:go(x)] :- p(x) go(5)"),
        ("s", "q(1) q(2) go(7)"),
    ];
    check(&program, "p(x)", &["p(1)"]);
    check(&program, "s:q(x)", &["s:q(1)", "s:q(2)"]);
    check(&program, "execute[s:go(x)]", &["execute[s:go(1)]"]);
    check(&program, "execute[go(x)]", &[]);
    check(&program, "s:go(x)", &["s:go(7)"]);
    check(&program, "go(x)", &["go(5)"]);
}

#[test]
#[should_panic(expected = "not stratified")]
fn negation_in_a_cycle_is_refused() {
    model(&[("t", "p(x) :- q(x), not r(x) r(x) :- p(x) q(1)")]);
}

#[test]
fn aggregates() {
    let program = [(
        "t",
        "q('a', 1) q('a', 2) q('b', 2) q('b', 'x') q('c', 0.5) q('c', 1)
         n(k, count(v)) :- q(k, v)
         s(k, sum(v)) :- q(k, v)
         all(min(v), max(v), avg(v)) :- q(k, v), not q(k, 'x')
         high(k) :- n(k, n), not s(k, n)",
    )];
    check(&program, "n(k, n)", &["n(\"a\", 2)", "n(\"b\", 2)", "n(\"c\", 2)"]);
    check(&program, "s(k, s)", &["s(\"a\", 3)", "s(\"c\", 1.5)"]);
    check(&program, "all(x, y, z)", &["all(0.5, 2, 1.125)"]);
    check(&program, "high(k)", &["high(\"a\")", "high(\"b\")", "high(\"c\")"]);
}

#[test]
#[should_panic(expected = "not stratified")]
fn an_aggregate_in_a_cycle_is_refused() {
    model(&[("t", "p(count(x)) :- q(x) q(x) :- p(x)")]);
}
