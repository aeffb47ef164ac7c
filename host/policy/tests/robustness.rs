//! Whatever text the engine is given, it answers or refuses: it does not panic, and what it refuses
//! it can show.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use congress_policy::{Engine, Error, Errors, Event, Limits, NewPolicy, Options, PolicyKind};
use congress_table::{Column, TableSchema};
use proptest::prelude::*;
use time::macros::datetime;

const POLICIES: [(&str, PolicyKind); 6] = [
    ("t", PolicyKind::Nonrecursive),
    ("a", PolicyKind::Action),
    ("d", PolicyKind::Database),
    ("m", PolicyKind::Materialized),
    ("z", PolicyKind::Z3),
    ("s", PolicyKind::Datasource),
];

fn engine() -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    engine.limit_views(10_000);
    for (name, kind) in &POLICIES[..5] {
        engine.create_policy(NewPolicy::new(*name, *kind)).unwrap();
    }
    let column = |name: &str| Column {
        name: name.to_owned(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    let columns = vec![column("id"), column("name")];
    let table = TableSchema { name: "q".to_owned(), columns, root: None };
    engine.initialize_datasource("s", &[table]).unwrap();
    engine
}

fn shown(error: &Error) {
    assert!(!error.message().is_empty());
    assert!(error.render().len() >= error.message().lines().next().unwrap().len());
}

fn all_shown(errors: &Errors) {
    assert_ne!(errors.iter().count(), 0);
    errors.iter().for_each(shown);
}

fn term() -> impl Strategy<Value = String> {
    let words = ["x", "y", "_", "1", "2.0", "'a'", "count(x)", "sum(y)", "avg(_)"];
    proptest::sample::select(words.to_vec()).prop_map(str::to_owned)
}

fn atom() -> impl Strategy<Value = String> {
    let tables = [
        "p",
        "q",
        "r+",
        "t:p",
        "s:q",
        "s:p",
        "z:p",
        "m:q",
        "d:p",
        "nope:p",
        "true",
        "false",
        "lt",
        "plus",
        "builtin:plus",
        "builtin:lt",
        "builtin:len",
        "builtin:nope",
        "builtin:split",
        "count",
    ];
    let named = prop_oneof![
        8 => term(),
        1 => ("(id|name|0|1|7)", term()).prop_map(|(column, term)| format!("{column}={term}")),
    ];
    let modal = proptest::sample::select(vec!["", "", "", "", "", "execute", "insert"]);
    let args = proptest::collection::vec(named, 0..4);
    (modal, proptest::sample::select(tables.to_vec()), args).prop_map(|(modal, table, args)| {
        let atom = format!("{table}({})", args.join(", "));
        if modal.is_empty() { atom } else { format!("{modal}[{atom}]") }
    })
}

/// Texts that parse, mostly, and mean nothing in particular.
fn statement() -> impl Strategy<Value = String> {
    let literal = (any::<bool>(), atom())
        .prop_map(|(not, atom)| if not { format!("not {atom}") } else { atom });
    let body = proptest::collection::vec(literal, 1..4);
    let heads = proptest::collection::vec(atom(), 1..2);
    prop_oneof![
        1 => atom(),
        4 => (heads, body).prop_map(|(heads, body)| {
            format!("{} :- {}", heads.join(", "), body.join(", "))
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn no_batch_breaks_the_engine(
        batches in proptest::collection::vec(
            (0..POLICIES.len(), any::<bool>(), proptest::collection::vec(statement(), 1..4)),
            1..6,
        ),
        queries in proptest::collection::vec((0..POLICIES.len(), statement()), 1..4),
    ) {
        let mut engine = engine();
        for (policy, insert, statements) in batches {
            let (policy, text) = (POLICIES[policy].0, statements.join("\n"));
            let events = match Event::parse(&text, insert, Some(policy)) {
                Ok(events) => events,
                Err(error) => {
                    shown(&error);
                    continue;
                }
            };
            let checked = engine.check(&events);
            match engine.update(events) {
                Ok(outcome) => prop_assert!(checked.is_ok() || outcome.waiting > 0),
                Err(errors) => {
                    prop_assert!(checked.is_err());
                    all_shown(&errors);
                }
            }
        }
        let snapshot = engine.snapshot();
        for (policy, query) in queries {
            // Random rules may count without end.
            let limits = Limits { rows: Some(10_000), ..Limits::default() };
            match snapshot.select_within(&query, Some(POLICIES[policy].0), limits) {
                Ok(answers) => prop_assert_eq!(answers.statements().count(), answers.len()),
                Err(error) => shown(&error),
            }
        }
    }
}
