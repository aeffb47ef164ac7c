//! The engine against the naive evaluator, on random programs: whatever is inserted and deleted,
//! every table has the same rows, asked for whole or in part, evaluated or kept as a view; what
//! watches and actions were told of adds up to the same rows; and a snapshot never changes.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

#[path = "common/naive.rs"]
mod naive;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use congress_policy::ast::{Constant, Statement};
use congress_policy::builtins::Context;
use congress_policy::{Engine, NewPolicy, Options, Outcome, PolicyKind, Snapshot, parser};
use congress_table::{Change, Row, TableDelta, Value};
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
        // Bounded, for a recursion must end.
        2 => format!("lt({a}, 3), lt({b}, 3), plus({a}, {b}, {c})"),
        _ => format!("not lteq({a}, {b})"),
    });
    prop_oneof![5 => table, 1 => builtin]
}

/// A rule; of a table of a layer that reads lower layers only, unless `recursive`.
fn rule(recursive: bool) -> impl Strategy<Value = String> {
    (DERIVED..TABLES.len(), prop::bool::weighted(0.1)).prop_flat_map(move |(layer, action)| {
        let (name, width) = TABLES[layer];
        let head = prop::collection::vec(prop_oneof![6 => term(), 1 => aggregate()], width);
        let reads = if recursive { TABLES.len() } else { layer };
        let body = prop::collection::vec(literal(reads), 1..4);
        (head, body).prop_map(move |(head, body)| {
            let head = format!("{name}({})", head.join(", "));
            let head = if action { format!("execute[n:{head}]") } else { head };
            format!("{head} :- {}", body.join(", "))
        })
    })
}

fn fact(stored: usize) -> impl Strategy<Value = String> {
    let values = prop::collection::vec(prop::sample::select(&VALUES[..]), 3);
    (0..stored, values).prop_map(|(table, values)| {
        let (name, width) = TABLES[table];
        format!("{name}({})", values[..width].join(", "))
    })
}

#[derive(Clone, Debug)]
enum Operation {
    Insert(String),
    /// Several statements as one batch.
    Batch(Vec<String>),
    /// Deletes one of the statements that are there.
    Delete(prop::sample::Index),
    /// Replaces a table by rows, its rules included.
    Replace(usize, Vec<Vec<i64>>),
    /// Rows that go and come.
    Change(usize, Vec<Vec<i64>>, Vec<Vec<i64>>),
}

/// What is done, and in which policy.
fn operation(recursive: bool) -> impl Strategy<Value = (Operation, &'static str)> {
    let rows = || prop::collection::vec(prop::collection::vec(0..4i64, 3), 0..6);
    let statement = || prop_oneof![3 => fact(4).boxed(), 1 => rule(recursive).boxed()];
    let operation = prop_oneof![
        6 => fact(4).prop_map(Operation::Insert),
        4 => rule(recursive).prop_map(Operation::Insert),
        2 => prop::collection::vec(statement(), 2..6).prop_map(Operation::Batch),
        3 => any::<prop::sample::Index>().prop_map(Operation::Delete),
        1 => (0..3usize, rows()).prop_map(|(table, rows)| Operation::Replace(table, rows)),
        1 => (0..3usize, rows(), rows())
            .prop_map(|(table, removed, added)| Operation::Change(table, removed, added)),
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

/// An engine with both policies.
fn engine(kind: PolicyKind) -> Engine {
    let clock = Arc::new(|| context().now);
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for policy in POLICIES {
        engine.create_policy(NewPolicy::new(policy, kind)).unwrap();
    }
    engine
}

fn rows(rows: &[Vec<i64>], width: usize) -> Vec<Row> {
    rows.iter().map(|row| row[..width].iter().map(|i| Value::Int(*i)).collect()).collect()
}

/// Does one thing. What is refused changes nothing.
fn perform(engine: &mut Engine, policy: &str, operation: &Operation) -> Outcome {
    match operation {
        // Unsafe rules are refused, and so are literals of another width than was learned.
        Operation::Insert(text) => engine.insert(text, Some(policy)).unwrap_or_default(),
        Operation::Batch(texts) => {
            engine.insert(&texts.join(" "), Some(policy)).unwrap_or_default()
        }
        Operation::Delete(which) => {
            let mut content = engine.snapshot().content(Some(policy)).unwrap();
            content.sort_by_cached_key(ToString::to_string);
            match content.is_empty() {
                true => Outcome::default(),
                false => {
                    let text = which.get(&content).to_string();
                    engine.delete(&text, Some(policy)).unwrap()
                }
            }
        }
        Operation::Replace(table, new) => {
            let (name, width) = TABLES[*table];
            let table = (name.into(), rows(new, width));
            engine.initialize_tables(policy, &[table]).unwrap_or_default()
        }
        Operation::Change(table, removed, added) => {
            let (name, width) = TABLES[*table];
            let delta = TableDelta { removed: rows(removed, width), added: rows(added, width) };
            let change = Change { tables: vec![(name.into(), delta)] };
            engine.apply_change(policy, &change).unwrap_or_default()
        }
    }
}

/// The rows of watched tables, as their changes tell.
#[derive(Default)]
struct Mirror(BTreeMap<String, BTreeSet<String>>);

impl Mirror {
    fn change(&mut self, table: &str, added: &[Vec<Constant>], removed: &[Vec<Constant>]) {
        let rows = self.0.entry(table.to_owned()).or_default();
        let print = |row: &Vec<Constant>| {
            let cells: Vec<String> = row.iter().map(ToString::to_string).collect();
            format!("{table}({})", cells.join(", "))
        };
        for row in removed.iter().map(print) {
            assert!(rows.remove(&row), "{row} goes and was not there");
        }
        for row in added.iter().map(print) {
            assert!(rows.insert(row.clone()), "{row} comes and was there");
        }
    }

    fn follow(&mut self, outcome: &Outcome) {
        for fired in &outcome.fired {
            self.change(&fired.watch, &fired.added, &fired.removed);
        }
        for done in &outcome.executions {
            let table = format!("{} execute[n:{}", done.policy, done.action);
            self.change(&table, &done.added, &done.removed);
        }
    }
}

/// All that there is to compare: each query's answers in each policy.
fn compare(
    engine: &Engine,
    program: &[(&str, Vec<Statement>)],
) -> Result<naive::Model, TestCaseError> {
    let snapshot = engine.snapshot();
    let model = naive::Model::new(program, context());
    for policy in POLICIES {
        for query in queries() {
            let parsed = parser::parse(&query).unwrap().remove(0);
            let wanted = model.answers(policy, &parsed);
            let found = answers(&snapshot, policy, &query);
            prop_assert_eq!(found, wanted, "{} in {}: {:?}", query, policy, program);
        }
    }
    Ok(model)
}

/// The facts and rules that are there.
fn program(engine: &Engine) -> Vec<(&'static str, Vec<Statement>)> {
    let snapshot = engine.snapshot();
    POLICIES.iter().map(|policy| (*policy, snapshot.content(Some(policy)).unwrap())).collect()
}

fn agree(kind: PolicyKind, operations: &[(Operation, &str)]) -> Result<(), TestCaseError> {
    let (mut plain, mut watching) = (engine(kind), engine(kind));
    let half = operations.len() / 2;
    let mut kept = None;
    let mut mirror = Mirror::default();
    for (at, (operation, policy)) in operations.iter().enumerate() {
        if at == half {
            let snapshot = watching.snapshot();
            kept = Some((everything(&snapshot), snapshot));
            for policy in POLICIES {
                for (table, width) in TABLES {
                    let watch = format!("{policy}:{table}");
                    watching.watch(&watch, None, &watch, None).unwrap();
                    let query = format!("{watch}({})", VARIABLES[..width].join(", "));
                    let rows = answers(&watching.snapshot(), policy, &query);
                    mirror.0.insert(watch, rows);
                }
            }
        }
        perform(&mut plain, policy, operation);
        mirror.follow(&perform(&mut watching, policy, operation));
    }

    let stored = program(&plain);
    compare(&plain, &stored)?;
    let model = compare(&watching, &stored)?;
    for policy in POLICIES {
        for (table, width) in TABLES {
            let variables = VARIABLES[..width].join(", ");
            let query = parser::parse(&format!("{policy}:{table}({variables})")).unwrap().remove(0);
            let told = mirror.0.get(&format!("{policy}:{table}")).cloned().unwrap_or_default();
            if !operations.is_empty() {
                prop_assert_eq!(
                    told,
                    model.answers(policy, &query),
                    "{} of {}: {:?}",
                    table,
                    policy,
                    stored
                );
            }
            let query = format!("execute[n:{table}({variables})]");
            let query = parser::parse(&query).unwrap().remove(0);
            let told = mirror.0.get(&format!("{policy} execute[n:{table}")).into_iter().flatten();
            let told: BTreeSet<String> =
                told.map(|row| format!("{}]", row.split_once(' ').unwrap().1)).collect();
            prop_assert_eq!(
                told,
                model.answers(policy, &query),
                "{} of {}: {:?}",
                query,
                policy,
                stored
            );
        }
    }
    if let Some((before, snapshot)) = kept {
        prop_assert_eq!(everything(&snapshot), before, "a snapshot has changed");
    }
    Ok(())
}

/// In a materialized policy numbers match by value, which the naive evaluator does not know: texts
/// and whole numbers only.
fn plain(text: &str) -> String {
    text.replace("1.0", "3").replace("2.5", "4").replace("avg(", "max(")
}

/// [`agree`] for materialized policies, which list what follows from their rules, not the rules.
fn agree_materialized(operations: &[(Operation, &'static str)]) -> Result<(), TestCaseError> {
    let (mut evaluated, mut watching) =
        (engine(PolicyKind::Materialized), engine(PolicyKind::Materialized));
    for policy in POLICIES {
        for (table, _) in TABLES {
            watching.watch(&format!("{policy}:{table}"), Some(policy), table, None).unwrap();
        }
    }
    let mut program: Vec<(&str, Vec<Statement>)> =
        POLICIES.iter().map(|policy| (*policy, Vec::new())).collect();
    for (operation, policy) in operations {
        let stored = &mut program.iter_mut().find(|(name, _)| name == policy).unwrap().1;
        let (texts, insert) = match operation {
            Operation::Insert(text) => (plain(text), true),
            Operation::Batch(texts) => (plain(&texts.join(" ")), true),
            Operation::Delete(which) if !stored.is_empty() => {
                (which.get(stored).to_string(), false)
            }
            // Feeds are refused.
            _ => continue,
        };
        let apply = |engine: &mut Engine| match insert {
            true => engine.insert(&texts, Some(policy)),
            false => engine.delete(&texts, Some(policy)),
        };
        let outcome = apply(&mut evaluated).unwrap_or_default();
        let same = apply(&mut watching).unwrap_or_default();
        prop_assert_eq!(outcome.changes.len(), same.changes.len());
        for change in outcome.changes {
            match change.insert {
                true => stored.push(change.statement),
                false => {
                    let text = change.statement.to_string();
                    let at = stored.iter().position(|other| other.to_string() == text);
                    stored.remove(at.unwrap());
                }
            }
        }
    }
    compare(&evaluated, &program)?;
    compare(&watching, &program)?;
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(150) })]

    #[test]
    fn queries_views_and_the_naive_evaluator_agree(
        operations in prop::collection::vec(operation(false), 1..60)
    ) {
        agree(PolicyKind::Nonrecursive, &operations)?;
    }

    #[test]
    fn they_agree_on_materialized_policies(
        operations in prop::collection::vec(operation(false), 1..60)
    ) {
        agree_materialized(&operations)?;
    }

    #[test]
    fn they_agree_on_recursive_programs(
        operations in prop::collection::vec(operation(true), 1..60)
    ) {
        agree(PolicyKind::Z3, &operations)?;
    }
}
