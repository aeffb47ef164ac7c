//! The policies of `library/`: each shows a violation where there is one, and none where there is
//! none.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unreachable,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use congress_policy::ast::Constant;
use congress_policy::{Engine, NewPolicy, Options};
use congress_server::library::files;
use congress_store::NewLibraryPolicy;
use congress_table::{Change, Column, Row, TableDelta, TableSchema, Value};
use serde::Deserialize;
use serde_json::Value as Json;

type Schemas = BTreeMap<String, BTreeMap<String, Vec<String>>>;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    case: String,
    rows: BTreeMap<String, Vec<BTreeMap<String, Json>>>,
    #[serde(default)]
    facts: Vec<String>,
    #[serde(default)]
    error: BTreeSet<Vec<Cell>>,
    #[serde(default)]
    pause: BTreeSet<Vec<Cell>>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, PartialOrd, Ord)]
#[serde(untagged)]
enum Cell {
    Int(i64),
    Text(String),
}

fn library() -> Vec<NewLibraryPolicy> {
    files::read(&[Path::new(env!("CARGO_MANIFEST_DIR")).join("../../library")])
}

fn schemas() -> Schemas {
    serde_saphyr::from_str(include_str!("schemas.yaml")).expect("schemas")
}

#[test]
fn each_policy_shows_violations_and_their_absence() {
    let cases: BTreeMap<String, Vec<Case>> =
        serde_saphyr::from_str(include_str!("cases.yaml")).expect("cases");
    let library = library();
    let names = |names: Vec<&String>| names.into_iter().cloned().collect::<BTreeSet<_>>();
    assert_eq!(
        names(library.iter().map(|policy| &policy.name).collect()),
        names(cases.keys().collect())
    );
    for policy in &library {
        for case in &cases[&policy.name] {
            let engine = engine(policy, case);
            let snapshot = engine.snapshot();
            let found = rows(snapshot.rows(&policy.name, "error").unwrap());
            assert_eq!(found, case.error, "{}: {}", policy.name, case.case);
            let pause = snapshot.select("execute[nova:servers.pause(x)]", Some(&policy.name));
            let pause = rows(pause.unwrap().rows().collect());
            assert_eq!(pause, case.pause, "{}: {}", policy.name, case.case);
        }
        // Without any rows nothing is wrong.
        let nothing = Case {
            case: String::new(),
            rows: BTreeMap::new(),
            facts: Vec::new(),
            error: BTreeSet::new(),
            pause: BTreeSet::new(),
        };
        let engine = engine(policy, &nothing);
        assert!(engine.snapshot().rows(&policy.name, "error").unwrap().is_empty());
        assert!(cases[&policy.name].iter().any(|case| !case.error.is_empty()), "{}", policy.name);
    }
}

#[test]
fn files_say_what_they_are() {
    for policy in library() {
        assert!(policy.description.len() > 20 && policy.rules.len() < 20, "{}", policy.name);
        assert!(policy.rules.iter().all(|rule| rule.name.is_some()), "{}", policy.name);
    }
}

fn engine(policy: &NewLibraryPolicy, case: &Case) -> Engine {
    let clock = Arc::new(|| time::PrimitiveDateTime::MIN);
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for (datasource, tables) in schemas() {
        let tables: Vec<TableSchema> =
            tables.iter().map(|(name, columns)| schema(name, columns)).collect();
        engine.initialize_datasource(&datasource, &tables).expect("a datasource");
    }
    for (table, rows) in &case.rows {
        let (datasource, table) = table.split_once(':').expect("datasource:table");
        let columns = &schemas()[datasource][table];
        let added = rows.iter().map(|row| cells(row, columns)).collect();
        let delta = TableDelta { added, removed: Vec::new() };
        let change = Change { tables: vec![(table.into(), delta)] };
        engine.apply_change(datasource, &change).expect("rows");
    }
    let kind = policy.kind.parse().expect("a kind");
    engine.create_policy(NewPolicy::new(&policy.name, kind)).expect("a policy");
    for rule in policy.rules.iter().map(|rule| &rule.rule).chain(&case.facts) {
        let inserted = engine.insert(rule, Some(&policy.name));
        inserted.unwrap_or_else(|errors| panic!("{}: {rule}: {errors}", policy.name));
    }
    assert!(engine.waiting().is_empty(), "{} waits for a schema", policy.name);
    engine
}

fn schema(name: &str, columns: &[String]) -> TableSchema {
    let column = |name: &String| Column {
        name: name.clone(),
        description: None,
        column_type: Default::default(),
        nullable: true,
    };
    TableSchema { name: name.to_owned(), columns: columns.iter().map(column).collect(), root: None }
}

fn cells(row: &BTreeMap<String, Json>, columns: &[String]) -> Row {
    assert!(row.keys().all(|column| columns.contains(column)), "{row:?} has other columns");
    let cell = |column: &String| match row.get(column) {
        None | Some(Json::Null) => Value::Null,
        Some(Json::Bool(bool)) => Value::Bool(*bool),
        Some(Json::Number(number)) => Value::Int(number.as_i64().expect("a whole number")),
        Some(other) => Value::text(other.as_str().expect("a text")),
    };
    columns.iter().map(cell).collect()
}

fn rows(rows: Vec<Vec<Constant>>) -> BTreeSet<Vec<Cell>> {
    let cell = |constant: &Constant| match constant {
        Constant::Int(int) => Cell::Int(int.try_into().expect("a small number")),
        Constant::Text(text) => Cell::Text(text.to_string()),
        Constant::Float(_) => unreachable!("no case has floats"),
    };
    rows.iter().map(|row| row.iter().map(cell).collect()).collect()
}
