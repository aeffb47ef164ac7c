//! Datasources whose tables change while rules read them.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::sync::Arc;

use congress_policy::{Engine, Event, NewPolicy, Options, PolicyKind};
use congress_table::{Column, Row, TableSchema, Value};
use time::macros::datetime;

fn engine() -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    engine.create_policy(NewPolicy::new("t", PolicyKind::Nonrecursive)).unwrap();
    engine
}

fn schema(name: &str, columns: &[&str]) -> TableSchema {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    TableSchema { name: name.to_owned(), columns: columns.iter().map(column).collect(), root: None }
}

fn rows(table: &str, rows: &[&[&str]]) -> (Arc<str>, Vec<Row>) {
    let row = |cells: &&[&str]| cells.iter().map(|cell| Value::text(*cell)).collect();
    (table.into(), rows.iter().map(row).collect())
}

fn answers(engine: &Engine, query: &str) -> Vec<String> {
    let answers = engine.snapshot().select(query, Some("t")).unwrap();
    let mut printed: Vec<String> = answers.statements().map(|s| s.to_string()).collect();
    printed.sort();
    printed
}

fn rules(engine: &Engine) -> Vec<String> {
    engine.snapshot().rules(Some("t")).unwrap().iter().map(ToString::to_string).collect()
}

/// A datasource `nova` with two servers, of which one is wrong, and a rule about them by names.
fn with_servers() -> Engine {
    let mut engine = engine();
    engine.initialize_datasource("nova", &[schema("servers", &["id", "status"])]).unwrap();
    engine
        .initialize_tables("nova", &[rows("servers", &[&["1", "ERROR"], &["2", "ACTIVE"]])])
        .unwrap();
    engine.insert("bad(x) :- nova:servers(id=x, status=\"ERROR\")", Some("t")).unwrap();
    engine
}

#[test]
fn a_rule_with_columns_by_name_follows_them_to_their_new_places() {
    let mut engine = with_servers();
    engine.watch("w", Some("t"), "bad", None).unwrap();
    let outcome = engine
        .redeclare_tables(
            "nova",
            &[schema("servers", &["status", "host", "id"])],
            &[rows("servers", &[&["ERROR", "h1", "1"], &["ERROR", "h2", "3"]])],
        )
        .unwrap();
    assert_eq!(rules(&engine), ["bad(x) :- nova:servers(\"ERROR\", x_01, x)"]);
    assert_eq!(answers(&engine, "bad(x)"), ["bad(\"1\")", "bad(\"3\")"]);
    // A watcher sees one change, not the rows go and come again.
    let [fired] = &outcome.fired[..] else { panic!("{:?}", outcome.fired) };
    let printed = |rows: &[Vec<congress_policy::ast::Constant>]| {
        rows.iter().map(|row| row[0].to_string()).collect::<Vec<_>>()
    };
    assert_eq!((printed(&fired.added), printed(&fired.removed)), (vec!["\"3\"".into()], vec![]));
    let made: Vec<String> = outcome.changes.iter().map(ToString::to_string).collect();
    assert_eq!(
        made,
        [
            "delete[bad(x) :- nova:servers(x, \"ERROR\")] for t",
            "insert[bad(x) :- nova:servers(\"ERROR\", x_01, x)] for t"
        ]
    );
}

#[test]
fn a_rule_that_does_not_fit_any_more_is_kept_with_its_errors_and_comes_back() {
    let mut engine = with_servers();
    let positional = "wide(x) :- nova:servers(x, y), not nova:servers(x, \"ERROR\")";
    engine.insert(positional, Some("t")).unwrap();
    engine.redeclare_tables("nova", &[schema("servers", &["id"])], &[]).unwrap();
    assert!(rules(&engine).is_empty());
    let waiting: Vec<String> =
        engine.waiting().iter().map(|waiting| waiting.errors[0].message().to_owned()).collect();
    assert_eq!(
        waiting,
        [
            "In literal nova:servers(id=x, status=\"ERROR\") column name status does not exist",
            "Literal nova:servers(x, y) contained 2 arguments but exactly 1 arguments are permitted",
        ]
    );
    // Rows of another width are gone, and the table is there.
    assert!(answers(&engine, "nova:servers(x)").is_empty());

    engine.redeclare_tables("nova", &[schema("servers", &["id", "status"])], &[]).unwrap();
    assert!(engine.waiting().is_empty());
    assert_eq!(rules(&engine).len(), 2);
    engine.initialize_tables("nova", &[rows("servers", &[&["7", "ERROR"], &["8", "x"]])]).unwrap();
    assert_eq!(answers(&engine, "bad(x)"), ["bad(\"7\")"]);
    assert_eq!(answers(&engine, "wide(x)"), ["wide(\"8\")"]);
}

#[test]
fn what_did_not_change_is_left_alone() {
    let mut engine = with_servers();
    engine.insert("n(x) :- nova:servers(x, y)", Some("t")).unwrap();
    let tables = [schema("servers", &["id", "status"]), schema("hosts", &["name"])];
    let outcome = engine.redeclare_tables("nova", &tables, &[]).unwrap();
    assert!(outcome.changes.is_empty());
    assert_eq!(answers(&engine, "bad(x)"), ["bad(\"1\")"]);
    engine.insert("h(x) :- nova:hosts(name=x)", Some("t")).unwrap();
    // New names for the same places: rows stay, rules by position stay, those by name do not fit.
    engine.redeclare_tables("nova", &[schema("servers", &["uuid", "state"])], &[]).unwrap();
    assert_eq!(answers(&engine, "n(x)"), ["n(\"1\")", "n(\"2\")"]);
    // A table that is gone may come again, a column that is gone is an error.
    let waiting = engine.waiting();
    let waits: Vec<_> =
        waiting.iter().map(|w| (w.event.statement.to_string(), w.errors.len())).collect();
    assert_eq!(
        waits,
        [
            ("bad(x) :- nova:servers(id=x, status=\"ERROR\")".to_owned(), 1),
            ("h(x) :- nova:hosts(name=x)".to_owned(), 0)
        ]
    );
}

#[test]
fn wrong_rows_change_nothing() {
    let mut engine = with_servers();
    let tables = [schema("servers", &["id"])];
    let refused = engine.redeclare_tables("nova", &tables, &[rows("servers", &[&["1", "2"]])]);
    assert!(refused.is_err());
    assert!(engine.redeclare_tables("nova", &tables, &[rows("hosts", &[&["1"]])]).is_err());
    assert!(engine.redeclare_tables("nowhere", &tables, &[]).is_err());
    assert_eq!(answers(&engine, "bad(x)"), ["bad(\"1\")"]);
}

#[test]
fn a_datasource_that_comes_back_with_other_tables_is_a_change_of_schema() {
    let mut engine = with_servers();
    engine.remove_datasource("nova").unwrap();
    assert_eq!(rules(&engine).len(), 1);
    engine.initialize_datasource("nova", &[schema("servers", &["status", "id"])]).unwrap();
    engine.initialize_tables("nova", &[rows("servers", &[&["ERROR", "9"]])]).unwrap();
    assert_eq!(answers(&engine, "bad(x)"), ["bad(\"9\")"]);
}

#[test]
fn a_recursion_that_was_allowed_stays_allowed() {
    let mut engine = with_servers();
    let text = "r(x) :- nova:servers(id=x) r(x) :- r(y), nova:servers(id=x, status=y)";
    engine.update_recursive(Event::parse(text, true, Some("t")).unwrap()).unwrap();
    engine.redeclare_tables("nova", &[schema("servers", &["status", "id"])], &[]).unwrap();
    assert!(engine.waiting().is_empty());
    assert_eq!(rules(&engine).len(), 3);
}

#[test]
fn the_deletion_of_a_statement_set_aside_takes_it_back() {
    let mut engine = engine();
    let rule = "p(x) :- nova:servers(id=x)";
    engine.insert(rule, Some("t")).unwrap();
    engine.insert("q(x) :- nova:servers(idd=x)", Some("t")).unwrap();
    engine.delete(rule, Some("t")).unwrap();
    assert_eq!(engine.waiting().len(), 1);
    engine.initialize_datasource("nova", &[schema("servers", &["id"])]).unwrap();
    assert_eq!(engine.waiting()[0].errors.len(), 1);
    // Also once it has been found wrong, though as it stands it could not be deleted.
    engine.delete("q(x) :- nova:servers(idd=x)", Some("t")).unwrap();
    assert!(engine.waiting().is_empty());
    assert!(rules(&engine).is_empty());
}

#[test]
fn a_rule_by_position_may_read_a_table_that_its_datasource_does_not_have() {
    let mut engine = with_servers();
    let rule = "odd(x) :- nova:server(x), not nova:servers(x, \"ACTIVE\")";
    engine.insert(rule, Some("t")).unwrap();
    assert!(answers(&engine, "odd(x)").is_empty());
    // The first use says how wide it is, as of any table that nobody declared.
    assert!(engine.insert("odd(x) :- nova:server(x, y)", Some("t")).is_err());
    assert!(engine.insert("named(x) :- nova:server(id=x)", Some("t")).is_ok());
    let named = engine.check(&Event::parse("n(x) :- nova:server(id=x)", true, Some("t")).unwrap());
    assert!(named.unwrap_err().joined().contains("uses unknown table server"));
    // That does not make it one of the datasource's.
    let servers = [schema("servers", &["id", "status"])];
    assert!(engine.redeclare_tables("nova", &servers, &[rows("server", &[&["1"]])]).is_err());

    let warnings = |engine: &Engine| {
        let events = Event::parse(rule, true, Some("t")).unwrap();
        let warnings = engine.snapshot().warnings(&events[0].statement);
        warnings.into_iter().map(|w| (w.message, w.suggestion)).collect::<Vec<_>>()
    };
    let message = "datasource 'nova' has no table 'server', so nothing is found there".to_owned();
    assert_eq!(
        warnings(&engine),
        [(message, Some("did you mean 'nova:servers'?".to_owned()))],
        "what it uses itself is not suggested"
    );

    // A driver that has the table, if of another width, has the rule checked again.
    let tables = [schema("servers", &["id", "status"]), schema("server", &["id", "x", "y"])];
    engine.redeclare_tables("nova", &tables, &[rows("server", &[&["7", "", ""]])]).unwrap();
    assert_eq!(answers(&engine, "odd(x)"), ["odd(\"7\")"]);
    assert!(warnings(&engine).is_empty());
    // And when the table goes, its rows go with it.
    engine.redeclare_tables("nova", &tables[..1], &[]).unwrap();
    assert!(answers(&engine, "odd(x)").is_empty());
    assert_eq!(warnings(&engine).len(), 1);

    engine.remove_datasource("nova").unwrap();
    let gone = "there is no policy or datasource 'nova' so far, so nothing is found there";
    assert!(warnings(&engine).iter().all(|(message, _)| message == gone));
}

#[test]
fn a_table_without_columns_has_rows_of_any_width() {
    let mut engine = engine();
    engine.initialize_datasource("s", &[schema("data", &[])]).unwrap();
    engine.initialize_tables("s", &[rows("data", &[&["1"], &["1", "2"]])]).unwrap();
    engine.insert("one(x) :- s:data(x)", Some("t")).unwrap();
    engine.insert("two(x, y) :- s:data(x, y)", Some("t")).unwrap();
    assert_eq!(answers(&engine, "one(x)"), ["one(\"1\")"]);
    assert_eq!(answers(&engine, "two(x, y)"), ["two(\"1\", \"2\")"]);
    // There is no such name.
    assert!(engine.insert("named(x) :- s:data(id=x)", Some("t")).is_err());
}
