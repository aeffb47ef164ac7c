//! The engine against the naive evaluator, on random programs without recursion: whatever is
//! inserted and deleted, every table has the same rows, asked for whole or in part; and a snapshot
//! never changes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/naive.rs"]
mod naive;

use std::collections::BTreeSet;
use std::sync::Arc;

use congress_policy::ast::Statement;
use congress_policy::builtins::Context;
use congress_policy::{Engine, NewPolicy, Options, PolicyKind, Snapshot, parser};
use proptest::prelude::*;
use time::macros::datetime;

const POLICIES: [&str; 2] = ["a", "b"];
/// Tables by layer, with their widths; a rule of one layer reads lower ones only.
const TABLES: [(&str, usize); 6] = [("e", 2), ("f", 1), ("g", 3), ("p", 2), ("q", 1), ("r", 2)];
/// The layer from which on tables have rules.
const DERIVED: usize = 2;
const VALUES: [&str; 7] = ["0", "1", "2", "1.0", "\"1\"", "\"x\"", "2.5"];
const VARIABLES: [&str; 4] = ["x", "y", "z", "w"];

/// A term: a variable three times in four.
fn term() -> impl Strategy<Value = String> {
    prop_oneof![
        3 => prop::sample::select(&VARIABLES[..]).prop_map(str::to_owned),
        1 => prop::sample::select(&VALUES[..]).prop_map(str::to_owned),
    ]
}

fn aggregate() -> impl Strategy<Value = String> {
    let function = prop::sample::select(vec!["count", "sum", "min", "max", "avg"]);
    (function, prop::sample::select(&VARIABLES[..])).prop_map(|(f, x)| format!("{f}({x})"))
}

fn literal(layer: usize) -> impl Strategy<Value = String> {
    let table = (0..layer, prop::collection::vec(term(), 3), 0..2usize, prop::bool::weighted(0.3))
        .prop_map(|(table, terms, policy, negated)| {
            let (name, width) = TABLES[table];
            let sign = if negated { "not " } else { "" };
            format!("{sign}{}:{name}({})", POLICIES[policy], terms[..width].join(", "))
        });
    let builtin = (term(), term(), term(), 0..4usize).prop_map(|(a, b, c, which)| match which {
        0 => format!("lt({a}, {b})"),
        1 => format!("equal({a}, {b})"),
        2 => format!("plus({a}, {b}, {c})"),
        _ => format!("not lteq({a}, {b})"),
    });
    prop_oneof![5 => table, 1 => builtin]
}

fn rule() -> impl Strategy<Value = String> {
    (DERIVED..TABLES.len()).prop_flat_map(|layer| {
        let (name, width) = TABLES[layer];
        let head = prop::collection::vec(prop_oneof![6 => term(), 1 => aggregate()], width);
        let body = prop::collection::vec(literal(layer), 1..4);
        (head, body).prop_map(move |(head, body)| {
            format!("{name}({}) :- {}", head.join(", "), body.join(", "))
        })
    })
}

fn fact() -> impl Strategy<Value = String> {
    let values = prop::collection::vec(prop::sample::select(&VALUES[..]), 3);
    (0..4usize, values).prop_map(|(table, values)| {
        let (name, width) = TABLES[table];
        format!("{name}({})", values[..width].join(", "))
    })
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(String),
    /// Deletes one of the statements that are there.
    Delete(prop::sample::Index),
}

/// What is done, and in which policy.
fn operation() -> impl Strategy<Value = (Operation, &'static str)> {
    let operation = prop_oneof![
        5 => fact().prop_map(Operation::Insert),
        3 => rule().prop_map(Operation::Insert),
        2 => any::<prop::sample::Index>().prop_map(Operation::Delete),
    ];
    (operation, prop::sample::select(&POLICIES[..]))
}

fn context() -> Context {
    Context { now: datetime!(2024-02-03 04:05:06) }
}

/// Every table asked for whole, and with its columns bound in turn.
fn queries() -> Vec<String> {
    let mut queries = Vec::new();
    for (name, width) in TABLES {
        let variables = &VARIABLES[..width];
        queries.push(format!("{name}({})", variables.join(", ")));
        for column in 0..width {
            for value in ["1", "2.5"] {
                let mut terms = variables.to_vec();
                terms[column] = value;
                queries.push(format!("{name}({})", terms.join(", ")));
            }
        }
        queries.push(format!("{name}({})", vec!["x"; width].join(", ")));
    }
    queries.push("ans(x) :- p(x, y), not q(y), b:e(y, z)".to_owned());
    queries
}

fn answers(snapshot: &Snapshot, policy: &str, query: &str) -> BTreeSet<String> {
    let answers = snapshot.select(query, Some(policy)).unwrap();
    let printed: BTreeSet<String> = answers.statements().map(|s| s.to_string()).collect();
    assert_eq!(printed.len(), answers.len(), "duplicates in {query}");
    printed
}

fn everything(snapshot: &Snapshot) -> Vec<BTreeSet<String>> {
    let all = POLICIES.iter().flat_map(|policy| queries().into_iter().map(move |q| (policy, q)));
    all.map(|(policy, query)| answers(snapshot, policy, &query)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, ..ProptestConfig::default() })]

    #[test]
    fn the_engine_and_the_naive_evaluator_agree(
        operations in prop::collection::vec(operation(), 1..60)
    ) {
        let mut engine = Engine::new(Options { ascii_only_rows: false, clock: Arc::new(|| context().now) });
        for policy in POLICIES {
            engine.create_policy(NewPolicy::new(policy, PolicyKind::Nonrecursive)).unwrap();
        }
        let half = operations.len() / 2;
        let mut kept = None;
        for (at, (operation, policy)) in operations.iter().enumerate() {
            if at == half {
                let snapshot = engine.snapshot();
                kept = Some((everything(&snapshot), snapshot));
            }
            match operation {
                // Unsafe rules are refused, and so are literals of another width than was learned.
                Operation::Insert(text) => drop(engine.insert(text, Some(policy))),
                Operation::Delete(which) => {
                    let content = engine.snapshot().content(Some(policy)).unwrap();
                    if !content.is_empty() {
                        let text = which.get(&content).to_string();
                        let outcome = engine.delete(&text, Some(policy)).unwrap();
                        prop_assert_eq!(outcome.changes.len(), 1, "{}", text);
                    }
                }
            }
        }

        let snapshot = engine.snapshot();
        let content: Vec<(&str, Vec<Statement>)> = POLICIES
            .iter()
            .map(|policy| (*policy, snapshot.content(Some(policy)).unwrap()))
            .collect();
        let model = naive::Model::new(&content, context());
        for policy in POLICIES {
            for query in queries() {
                let parsed = parser::parse(&query).unwrap().remove(0);
                let wanted = model.answers(policy, &parsed);
                prop_assert_eq!(
                    answers(&snapshot, policy, &query), wanted, "{} in {}: {:?}", query, policy,
                    content
                );
            }
        }
        if let Some((before, snapshot)) = kept {
            prop_assert_eq!(everything(&snapshot), before, "a snapshot has changed");
        }
    }
}
