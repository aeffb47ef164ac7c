//! The part of a policy that uses some tables and keeps away from others.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use congress_policy::{Engine, ErrorKind, NewPolicy, Options, PolicyKind, SubpolicyQuery};
use time::macros::datetime;

fn engine(rules: &str) -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for name in ["t", "u"] {
        engine.create_policy(NewPolicy::new(name, PolicyKind::Nonrecursive)).unwrap();
    }
    engine.insert(rules, Some("t")).unwrap();
    engine
}

fn found(engine: &Engine, required: &[&str], prohibited: &[&str], output: &[&str]) -> Vec<String> {
    let query = SubpolicyQuery { required, prohibited, output };
    let rules = engine.snapshot().find_subpolicy(query, Some("t")).unwrap();
    rules.iter().map(ToString::to_string).collect()
}

#[test]
fn what_a_chosen_rule_reads_comes_with_it() {
    let engine = engine(
        "bad(x) :- a(x), not b(x)
         a(x) :- t:c(x), lt(x, 5)
         b(x) :- u:d(x)
         c(x) :- e(x)
         bad(x) :- f(x)
         f(x) :- e(x)
         other(x) :- a(x)",
    );
    let with_d =
        ["bad(x) :- a(x), not b(x)", "a(x) :- t:c(x), lt(x, 5)", "b(x) :- u:d(x)", "c(x) :- e(x)"];
    assert_eq!(found(&engine, &["u:d"], &[], &["bad"]), with_d);
    assert_eq!(found(&engine, &["e"], &["f"], &["bad"]), with_d);
    assert_eq!(found(&engine, &["t:e"], &["u:d"], &["bad"]), ["bad(x) :- f(x)", "f(x) :- e(x)"]);
    assert!(found(&engine, &["u:e"], &[], &["bad"]).is_empty());
    assert!(found(&engine, &["e"], &["e"], &["bad"]).is_empty());
    assert!(found(&engine, &["e"], &[], &["e", "none"]).is_empty());
}

#[test]
fn an_output_is_not_prohibited() {
    let engine =
        engine("p(x) :- q(x), r(x) s(x) :- p(x), r(x) s(x) :- secret(x) p(x) :- secret(x)");
    // The rules that read the secret are left out; that `p` has one does not spoil `p`.
    assert_eq!(
        found(&engine, &["r"], &["secret", "p"], &["p", "s"]),
        ["p(x) :- q(x), r(x)", "s(x) :- p(x), r(x)"]
    );
    assert!(found(&engine, &["r"], &["secret"], &["s"]).is_empty());
}

#[test]
fn a_policy_that_is_not_there_is_an_error() {
    let engine = engine("");
    let error = engine.snapshot().find_subpolicy(SubpolicyQuery::default(), None).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Target);
}
