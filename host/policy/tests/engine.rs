//! The engine as a server uses it: batches, feeds, waiting statements, watches, readers.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

#[path = "common/engine.rs"]
mod common;

use common::engine;
use congress_policy::{
    Applied, Engine, Error, ErrorKind, Event, NewPolicy, PolicyKind, References, Snapshot,
    Subscription, TableFilter,
};
use congress_table::{Change, Column, Row, TableDelta, TableSchema, Value};

fn schema(name: &str, columns: &[&str]) -> TableSchema {
    let column = |name: &&str| Column {
        name: (*name).to_owned(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    TableSchema { name: name.to_owned(), columns: columns.iter().map(column).collect(), root: None }
}

fn nova(engine: &mut Engine) {
    engine.initialize_datasource("nova", &[schema("servers", &["id", "name", "status"])]).unwrap();
}

fn row(cells: &[&str]) -> Row {
    cells.iter().map(|cell| Value::text(*cell)).collect()
}

fn change(table: &str, added: Vec<Row>, removed: Vec<Row>) -> Change {
    Change { tables: vec![(table.into(), TableDelta { added, removed })] }
}

fn answers(snapshot: &Snapshot, query: &str, policy: &str) -> Vec<String> {
    let answers = snapshot.select(query, Some(policy)).unwrap();
    let mut printed: Vec<String> = answers.statements().map(|s| s.to_string()).collect();
    printed.sort();
    printed
}

fn only(errors: congress_policy::Errors) -> Error {
    let mut errors = errors.iter().cloned();
    let error = errors.next().unwrap();
    assert_eq!(errors.next(), None);
    error
}

#[test]
fn a_check_changes_nothing_and_tells_what_an_update_will_do() {
    let mut engine = engine(&["t"]);
    let events = Event::parse("p(x) :- not r(x), q(x) q(1)", true, Some("t")).unwrap();
    let would: Vec<String> =
        engine.check(&events).unwrap().iter().map(Applied::to_string).collect();
    assert_eq!(would, ["insert[p(x) :- q(x), not r(x)] for t", "insert[q(1)] for t"]);
    assert!(engine.snapshot().content(Some("t")).unwrap().is_empty());
    let did = engine.update(events.clone()).unwrap().changes;
    assert_eq!(did.iter().map(Applied::to_string).collect::<Vec<_>>(), would);
    assert!(engine.check(&events).unwrap().is_empty());
}

#[test]
fn a_refused_batch_leaves_no_trace() {
    let mut engine = engine(&["t"]);
    engine.insert("p(x) :- q(x)", Some("t")).unwrap();
    let version = engine.subscriptions_version();
    for text in ["q(1) q(x) :- p(x)", "q(1) r(x) :- s(y)", "q(1) q(1, 2)"] {
        assert!(engine.insert(text, Some("t")).is_err(), "{text}");
        assert_eq!(engine.snapshot().content(Some("t")).unwrap().len(), 1, "{text}");
    }
    assert_eq!(engine.subscriptions_version(), version);
    // The edges and widths of the refused statements are gone, too.
    engine.insert("s(1, 2) t(x) :- r(x), p(x)", Some("t")).unwrap();
}

#[test]
fn all_errors_of_all_statements_are_reported() {
    let mut engine = engine(&["t"]);
    let errors = engine
        .insert("p(x, y) :- q(z) r(x) t:s(1) u(x) :- v(x), not w(x, y)", Some("t"))
        .unwrap_err();
    let messages: Vec<&str> = errors.iter().map(Error::message).collect();
    assert_eq!(
        messages,
        [
            "Variable x found in head but not in body, rule p(x, y) :- q(z)",
            "Variable y found in head but not in body, rule p(x, y) :- q(z)",
            "Fact not ground: r(x)",
            "Fact t:s(1) should not reference any policy: t",
            "Could not reorder rule u(x) :- v(x), not w(x, y).  Unsafe lits: not w(x, y) (vars \
             {'y'})",
        ]
    );
}

#[test]
fn errors_show_the_place_and_what_was_perhaps_meant() {
    let mut engine = engine(&["t"]);
    nova(&mut engine);
    let text = "ok(1)\nbad(x) :-\n  nova:servers(idd=x)";
    let error = only(engine.insert(text, Some("t")).unwrap_err());
    assert_eq!(
        error.render(),
        "In literal nova:servers(idd=x) column name idd does not exist\n \
         --> line 3, column 2\n  |\n3 |   nova:servers(idd=x)\n  |   ^^^^^^^^^^^^^^^^^^^\n\
         did you mean column 'id'?"
    );
    let bad = Event::parse("bad(x) :- nova:server(id=x)", true, Some("t")).unwrap();
    let error = only(engine.check(&bad).unwrap_err());
    assert_eq!(error.message(), "Literal nova:server(id=x) uses unknown table server.");
    assert_eq!(error.suggestion(), Some("did you mean 'nova:servers'?"));
    let error = only(engine.insert("bad(1)", Some("tt")).unwrap_err());
    assert_eq!((error.kind(), error.message()), (ErrorKind::Target, "Unknown policy tt"));
    let error = only(engine.insert("bad(1", Some("t")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Syntax);
    assert!(error.render().contains("bad(1"), "{}", error.render());
}

#[test]
fn a_statement_waits_for_its_schema_unless_it_may_not() {
    let mut engine = engine(&["t"]);
    let rule = "p(x) :- nova:servers(id=x, status=\"ERROR\")";
    let refused = engine.check(&Event::parse(rule, true, Some("t")).unwrap()).unwrap_err();
    assert_eq!(
        only(refused).message(),
        "Literal nova:servers(id=x, status=\"ERROR\") uses named arguments, but the schema is \
         unknown."
    );
    let outcome = engine.insert(rule, Some("t")).unwrap();
    assert_eq!((outcome.changes.len(), outcome.waiting), (0, 1));
    engine.insert("w(x) :- nova:servers(nmae=x)", Some("t")).unwrap();
    assert_eq!(engine.waiting()[0].policies(), ["nova"]);

    nova(&mut engine);
    let rules = engine.snapshot().rules(Some("t")).unwrap();
    assert_eq!(rules[0].to_string(), "p(x) :- nova:servers(x, x_01, \"ERROR\")");
    // The wrong one is kept with its error and stays without effect.
    let [waiting] = engine.waiting() else { panic!("{:?}", engine.waiting()) };
    assert_eq!(waiting.errors[0].suggestion(), Some("did you mean column 'name'?"));

    engine.delete_policy("t", References::Dangle).unwrap();
    assert!(engine.waiting().is_empty());
}

#[test]
fn rows_of_datasources_come_and_go() {
    let mut engine = engine(&["t"]);
    nova(&mut engine);
    engine.insert("bad(i) :- nova:servers(id=i, status=\"ERROR\")", Some("t")).unwrap();
    let a = row(&["1", "a", "ERROR"]);
    let b = row(&["2", "b", "ERROR"]);
    engine.initialize_tables("nova", &[("servers".into(), vec![a.clone()])]).unwrap();
    let before = engine.snapshot();
    engine.apply_change("nova", &change("servers", vec![b], vec![a])).unwrap();
    assert_eq!(answers(&engine.snapshot(), "bad(i)", "t"), ["bad(\"2\")"]);
    assert_eq!(answers(&before, "bad(i)", "t"), ["bad(\"1\")"]);

    // One wrong row refuses the whole change.
    let wrong = vec![row(&["3", "c", "ERROR"]), row(&["4", "d"])];
    let error = only(engine.apply_change("nova", &change("servers", wrong, vec![])).unwrap_err());
    assert_eq!(
        error.message(),
        "Literal servers(\"4\", \"d\") contained 2 arguments but exactly 3 arguments are permitted"
    );
    let unknown = change("servrs", vec![row(&["5"])], vec![]);
    assert!(engine.apply_change("nova", &unknown).is_err());
    assert_eq!(answers(&engine.snapshot(), "bad(i)", "t"), ["bad(\"2\")"]);

    engine.remove_datasource("nova").unwrap();
    assert_eq!(answers(&engine.snapshot(), "bad(i)", "t"), Vec::<String>::new());
}

#[test]
fn values_of_datasources_become_those_of_policies() {
    let mut engine = engine(&[]);
    let columns = ["a", "b", "c", "d", "e"];
    engine.initialize_datasource("s", &[schema("v", &columns)]).unwrap();
    let cells =
        [Value::Null, Value::Bool(true), Value::Int(i64::MIN), Value::Float(1.0), Value::text("é")];
    engine.initialize_tables("s", &[("v".into(), vec![cells.into()])]).unwrap();
    assert_eq!(
        answers(&engine.snapshot(), "v(a, b, c, d, e)", "s"),
        ["v(\"None\", \"True\", -9223372036854775808, 1.0, \"é\")"]
    );
}

#[test]
fn an_empty_table_is_known_once_it_was_read() {
    let mut engine = engine(&[]);
    nova(&mut engine);
    let names = |engine: &Engine| {
        engine.snapshot().tablenames(Some("nova"), TableFilter::default()).unwrap()
    };
    assert!(names(&engine).is_empty());
    engine.apply_change("nova", &change("servers", vec![], vec![])).unwrap();
    assert_eq!(names(&engine), ["servers"]);
    assert_eq!(engine.snapshot().rows("nova", "servers").unwrap().len(), 0);
}

#[test]
fn subscriptions_are_what_rules_read_from_datasources() {
    let mut engine = engine(&["t", "u"]);
    nova(&mut engine);
    let before = engine.subscriptions_version();
    engine
        .insert(
            "p(x) :- nova:servers(x, n, s), u:q(x), lt(x, 3) p(x) :- neutron:ports(x)
             execute[nova:pause(x)] :- p(x)",
            Some("t"),
        )
        .unwrap();
    assert_ne!(engine.subscriptions_version(), before);
    let subscription =
        |service: &str, table: &str| Subscription { service: service.into(), table: table.into() };
    let (ports, servers) = (subscription("neutron", "ports"), subscription("nova", "servers"));
    assert_eq!(engine.subscriptions(), [ports.clone(), servers]);
    let version = engine.subscriptions_version();
    engine.insert("q(1)", Some("u")).unwrap();
    assert_eq!(engine.subscriptions_version(), version);
    engine.delete("p(x) :- nova:servers(x, n, s), u:q(x), lt(x, 3)", Some("t")).unwrap();
    assert_eq!(engine.subscriptions(), [ports]);
}

#[test]
fn actions_are_requested_for_rows_that_come() {
    let mut engine = engine(&["t"]);
    let outcome = engine.insert("execute[nova:servers.pause(x)] :- q(x) q(1)", Some("t")).unwrap();
    let [execution] = &outcome.executions[..] else { panic!("{outcome:?}") };
    assert_eq!((&*execution.service, &*execution.action), ("nova", "servers.pause"));
    assert_eq!((execution.added.len(), execution.removed.len()), (1, 0));
    let outcome = engine.insert("q(1) r(2)", Some("t")).unwrap();
    assert!(outcome.executions.is_empty());
    let outcome = engine.delete("q(1)", Some("t")).unwrap();
    assert_eq!(outcome.executions[0].removed.len(), 1);
}

#[test]
fn execute_tables_are_told_with_what_they_depend_on() {
    let mut engine = engine(&["t", "u", "nova"]);
    engine.keep_told(true);
    let rules = "execute[nova:pause(x)] :- bad(x), not u:spared(x)  bad(x) :- nova:vm(x)";
    engine.insert(rules, Some("t")).unwrap();
    // Of these two heads one is short for the other.
    engine
        .insert("execute[note(x)] :- t:bad(x)  execute[nova:note(x)] :- u:q(x)", Some("nova"))
        .unwrap();
    let tables = engine.execute_tables();
    let shown: Vec<_> = tables
        .iter()
        .map(|table| {
            let reads: Vec<_> = table.reads.iter().map(|(p, t)| format!("{p}:{t}")).collect();
            (format!("{} {}:{}", table.policy, table.service, table.action), reads.join(" "))
        })
        .collect();
    let shown: Vec<_> = shown.iter().map(|(a, b)| (&**a, &**b)).collect();
    assert_eq!(
        shown,
        [("nova nova:note", "nova:vm t:bad u:q"), ("t nova:pause", "nova:vm t:bad u:spared")]
    );
    assert_eq!((tables[0].follows, tables[1].follows), (false, true));

    engine.insert("vm(1) vm(2)", Some("nova")).unwrap();
    engine.insert("spared(2) q(1)", Some("u")).unwrap();
    let told = engine.take_told();
    let pauses = told.executions.iter().filter(|execution| &*execution.action == "pause");
    let counts: Vec<_> = pauses.map(|e| (e.added.len(), e.removed.len())).collect();
    assert_eq!(counts, [(2, 0), (0, 1)]);
    assert!(engine.take_told().executions.is_empty());
    let rows = |engine: &Engine, at: usize| engine.execute_rows(&tables[at]).unwrap().len();
    assert_eq!((rows(&engine, 0), rows(&engine, 1)), (3, 1));

    let volatile = "execute[nova:late(x)] :- nova:vm(x), builtin:now(n), builtin:lt(n, n)";
    engine.insert(volatile, Some("t")).unwrap();
    assert_eq!(engine.execute_tables()[1].action.as_ref(), "late");
    assert!(!engine.execute_tables()[1].follows);
    engine.limit_views(1);
    engine
        .insert("execute[nova:many(x)] :- bad(x)  bad(x) :- nova:vm(x), nova:vm(x)", Some("t"))
        .unwrap();
    let overflowed = engine.execute_tables().into_iter().filter(|table| table.overflowed);
    let overflowed: Vec<_> = overflowed.map(|table| table.action.to_string()).collect();
    assert!(overflowed.contains(&"many".to_owned()), "{overflowed:?}");
    engine.keep_told(false);
    engine.insert("q(9)", Some("u")).unwrap();
    assert!(engine.take_told().executions.is_empty());
}

#[test]
fn a_watch_tells_the_rows_that_came_and_went() {
    let mut engine = engine(&["t", "u"]);
    engine.insert("p(x) :- u:q(x), not r(x)", Some("t")).unwrap();
    engine.watch("w", Some("t"), "p", None).unwrap();
    assert_eq!(engine.insert("q(1) q(2)", Some("u")).unwrap().fired[0].added.len(), 2);
    let outcome = engine.insert("r(1)", Some("t")).unwrap();
    assert_eq!((outcome.fired[0].removed.len(), outcome.fired[0].added.len()), (1, 0));
    assert!(engine.insert("other(1)", Some("t")).unwrap().fired.is_empty());
    assert_eq!(engine.delete_policy("u", References::Dangle).unwrap().fired[0].removed.len(), 1);
    assert!(engine.unwatch("w"));
}

#[test]
fn recursion_is_for_kind_z3_unless_allowed() {
    let rules = "tc(x, y) :- e(x, y) tc(x, y) :- tc(x, z), e(z, y)";
    for kind in [PolicyKind::Nonrecursive, PolicyKind::Materialized, PolicyKind::Z3] {
        let mut engine = engine(&[]);
        engine.create_policy(NewPolicy::new("t", kind)).unwrap();
        engine.insert("e(1, 2) e(2, 3) e(3, 1) e(3, 4)", Some("t")).unwrap();
        let refused = engine.insert(rules, Some("t"));
        if kind != PolicyKind::Z3 {
            let errors = refused.unwrap_err();
            assert_eq!(errors.iter().next().unwrap().message(), "Rules are recursive");
            engine.allow_recursion(true);
            engine.insert(rules, Some("t")).unwrap();
        }
        let count = |query: &str| engine.snapshot().select(query, Some("t")).unwrap().len();
        assert_eq!(
            ["tc(x, y)", "tc(4, y)", "tc(1, y)", "tc(x, 4)", "tc(2, 2)"].map(count),
            [12, 0, 4, 3, 1]
        );
        let negated = engine.insert("odd(x) :- e(x, y), not odd(y)", Some("t")).unwrap_err();
        assert_eq!(negated.iter().next().unwrap().message(), "Rules are recursive");
    }
}

#[test]
fn a_recursion_over_two_policies_needs_both_to_be_z3() {
    let mut engine = engine(&["n"]);
    for name in ["a", "b"] {
        engine.create_policy(NewPolicy::new(name, PolicyKind::Z3)).unwrap();
    }
    engine.insert("p(x) :- b:q(x) p(0)", Some("a")).unwrap();
    engine.insert("q(y) :- a:p(x), lt(x, 3), plus(x, 1, y)", Some("b")).unwrap();
    let rows = engine.snapshot().rows("a", "p").unwrap();
    assert_eq!(rows.len(), 4);
    engine.insert("r(x) :- a:s(x)", Some("n")).unwrap();
    engine.insert("s(x) :- n:r(x)", Some("a")).unwrap_err();
}

#[test]
fn a_materialized_table_is_asked_whatever_the_spelling_of_numbers() {
    let rules = "s(y) :- q(x), plus(x, 1.0, y) t(x) :- s(x), q(x)";
    for watched in [false, true] {
        let mut engine = engine(&[]);
        engine.create_policy(NewPolicy::new("m", PolicyKind::Materialized)).unwrap();
        engine.insert(rules, Some("m")).unwrap();
        if watched {
            engine.watch("t", Some("m"), "t", None).unwrap();
        }
        engine.insert("q(1) q(2.0) q(3)", Some("m")).unwrap();
        let count = |engine: &Engine, query: &str| {
            engine.snapshot().select(query, Some("m")).unwrap().len()
        };
        let counts = ["s(x)", "s(3)", "s(3.0)", "t(x)", "t(2)"].map(|q| count(&engine, q));
        assert_eq!(counts, [3, 1, 1, 2, 1], "watched: {watched}");
        engine.delete("q(1.0)", Some("m")).unwrap();
        let counts = ["s(x)", "s(2)", "t(x)"].map(|q| count(&engine, q));
        assert_eq!(counts, [2, 0, 1], "watched: {watched}");
    }
}

#[test]
fn a_materialized_policy_lists_what_follows_and_guards_it() {
    let mut engine = engine(&[]);
    engine.create_policy(NewPolicy::new("m", PolicyKind::Materialized)).unwrap();
    engine.insert("p(x) :- q(x), not r(x) q(1) q(2) r(2.0)", Some("m")).unwrap();
    let content = |engine: &Engine| {
        let content = engine.snapshot().content(Some("m")).unwrap();
        let mut content: Vec<String> = content.iter().map(ToString::to_string).collect();
        content.sort();
        content
    };
    // Numbers match by value.
    assert_eq!(content(&engine), ["p(1)", "q(1)", "q(2)", "r(2.0)"]);
    engine.insert("p(7)", Some("m")).unwrap_err();
    engine.delete("p(1)", Some("m")).unwrap();
    engine.delete("r(2)", Some("m")).unwrap();
    assert_eq!(content(&engine), ["p(1)", "p(2)", "q(1)", "q(2)"]);
}

#[test]
fn a_renamed_policy_goes_on_under_its_new_name() {
    let mut engine = engine(&["a"]);
    engine.insert("p(x) :- q(x) q(1)", Some("a")).unwrap();
    engine.rename_policy("a", "b").unwrap();
    engine.insert("q(2)", Some("b")).unwrap();
    assert_eq!(answers(&engine.snapshot(), "p(x)", "b"), ["p(1)", "p(2)"]);
    let error = only(engine.insert("q(x) :- b:p(x)", Some("b")).unwrap_err());
    assert_eq!(error.kind(), ErrorKind::Recursion);
}

#[test]
fn numbers_join_by_type_and_are_stored_by_value() {
    let mut engine = engine(&["t"]);
    engine.create_policy(NewPolicy::new("d", PolicyKind::Database)).unwrap();
    engine.insert("a(1) b(1.0) p(x) :- a(x), b(x) q(x) :- b(x), d:c(x)", Some("t")).unwrap();
    engine.insert("c(1)", Some("d")).unwrap();
    let snapshot = engine.snapshot();
    assert!(answers(&snapshot, "p(x)", "t").is_empty());
    assert!(answers(&snapshot, "a(1.0)", "t").is_empty());
    // A database policy matches by value.
    assert_eq!(answers(&snapshot, "c(1.0)", "d").len(), 1);
    assert_eq!(answers(&snapshot, "q(x)", "t"), ["q(1.0)"]);
    assert!(engine.insert("a(1.0)", Some("t")).unwrap().changes.is_empty());
    assert_eq!(engine.delete("a(1.0)", Some("t")).unwrap().changes.len(), 1);
    assert!(answers(&engine.snapshot(), "a(x)", "t").is_empty());
}

#[test]
fn a_long_chain_of_rules_needs_no_stack() {
    const LENGTH: usize = 20_000;
    let mut engine = engine(&["t"]);
    let rules: Vec<String> = (0..LENGTH).map(|i| format!("p{}(x) :- p{i}(x)", i + 1)).collect();
    for rules in rules.chunks(2000) {
        engine.insert(&rules.join(" "), Some("t")).unwrap();
    }
    engine.insert("p0(1) p0(2)", Some("t")).unwrap();
    let query = format!("p{LENGTH}(x)");
    assert_eq!(answers(&engine.snapshot(), &query, "t").len(), 2);
    let closing = format!("p0(x) :- p{LENGTH}(x)");
    assert!(engine.insert(&closing, Some("t")).is_err());
    // One by one, on top: each costs what is above it, which is nothing.
    for i in LENGTH..LENGTH + 2000 {
        engine.insert(&format!("p{}(x) :- p{i}(x)", i + 1), Some("t")).unwrap();
    }
    let closing = format!("p7(x) :- p{}(x)", LENGTH + 2000);
    assert!(engine.insert(&closing, Some("t")).is_err());
}

#[test]
fn each_action_of_a_batch_gets_its_own_rows() {
    let mut engine = engine(&["t"]);
    engine.insert("ta(1) tb(2) tc(3)", Some("t")).unwrap();
    let rules = "execute[fx:acta(x)] :- ta(x) execute[fx:actb(x)] :- tb(x) \
                 execute[fx:actc(x)] :- tc(x) acta(x) :- tb(x)";
    let outcome = engine.insert(rules, Some("t")).unwrap();
    let mut actions: Vec<String> = outcome
        .executions
        .iter()
        .flat_map(|it| {
            it.added.iter().map(move |row| format!("{}:{} {}", it.service, it.action, row[0]))
        })
        .collect();
    actions.sort();
    assert_eq!(actions, ["fx:acta 1", "fx:actb 2", "fx:actc 3"]);
    // The table of the same name without the modal is another one.
    assert_eq!(engine.snapshot().select("acta(x)", Some("t")).unwrap().len(), 1);
    let outcome = engine.update(Event::parse("ta(4) ta(1)", true, Some("t")).unwrap()).unwrap();
    assert_eq!(outcome.executions.len(), 1);
    assert_eq!(outcome.executions[0].added.len(), 1);
}

#[test]
fn nan_stays_in_a_view_as_long_as_it_is_given() {
    let mut engine = engine(&["t", "s"]);
    engine.insert("p(x) :- s:t(x) p(x) :- s:u(x)", Some("t")).unwrap();
    engine.watch("w", Some("t"), "p", None).unwrap();
    let nan = |wanted: bool| -> Vec<Row> {
        if wanted { vec![[Value::Float(f64::NAN)].into_iter().collect()] } else { Vec::new() }
    };
    let mut change = |table: &str, removed: bool, added: bool| {
        let delta = TableDelta { removed: nan(removed), added: nan(added) };
        let change = Change { tables: vec![(table.into(), delta)] };
        let outcome = engine.apply_change("s", &change).unwrap();
        let rows = engine.snapshot().select("p(x)", Some("t")).unwrap().len();
        (outcome.fired.iter().map(|f| f.added.len() + f.removed.len()).sum::<usize>(), rows)
    };
    assert_eq!(change("t", false, true), (1, 1));
    assert_eq!(change("u", false, true), (0, 1));
    assert_eq!(change("u", true, false), (0, 1));
    assert_eq!(change("t", true, true), (0, 1));
    assert_eq!(change("t", true, false), (1, 0));
}

#[test]
fn numbers_that_match_by_value_do_so_in_the_order_of_the_literals() {
    let mut engine = engine(&["a"]);
    engine.create_policy(NewPolicy::new("d", PolicyKind::Database)).unwrap();
    engine.insert("k(1.0) r(x, y) :- k(x), d:q(x, y)", Some("a")).unwrap();
    engine.insert("q(1, 2) q(1.0, 3)", Some("d")).unwrap();
    engine.watch("w", Some("a"), "r", None).unwrap();
    let rows = |engine: &Engine, query: &str| {
        let answers = engine.snapshot().select(query, Some("a")).unwrap();
        let mut rows: Vec<String> = answers.statements().map(|s| s.to_string()).collect();
        rows.sort();
        rows
    };
    let query = "p(x) :- k(x), d:q(x, 2)";
    assert_eq!(rows(&engine, query), ["p(1.0) :- k(1.0), d:q(1.0, 2)"]);
    let outcome = engine.insert("q(1, 7)", Some("d")).unwrap();
    assert_eq!(outcome.fired[0].added.len(), 1);
    assert_eq!(rows(&engine, "r(x, y)"), ["r(1.0, 2)", "r(1.0, 3)", "r(1.0, 7)"]);
    // However many rows there are.
    let more: String = (100..1100).map(|i| format!("k({i}) ")).collect();
    engine.insert(&more, Some("a")).unwrap();
    assert_eq!(rows(&engine, query), ["p(1.0) :- k(1.0), d:q(1.0, 2)"]);

    engine.insert("n(x, count(y)) :- d:q(x, y)", Some("a")).unwrap();
    let whole = rows(&engine, "n(x, y)");
    for (bound, wanted) in [("n(1, y)", "n(1, "), ("n(1.0, y)", "n(1.0, ")] {
        let part: Vec<String> =
            whole.iter().filter(|row| row.starts_with(wanted)).cloned().collect();
        assert_eq!(rows(&engine, bound), part);
    }
    engine.watch("n", Some("a"), "n", None).unwrap();
    engine.insert("q(1, 9)", Some("d")).unwrap();
    let watched = rows(&engine, "n(x, y)");
    engine.unwatch("n");
    engine.insert("unrelated(1)", Some("a")).unwrap();
    assert_eq!(rows(&engine, "n(x, y)"), watched);
}

#[test]
fn renaming_a_policy_tells_what_it_does_to_watched_tables() {
    let mut engine = engine(&["a", "b"]);
    engine.insert("p(x) :- b:f(x) execute[n:go(x)] :- b:f(x)", Some("a")).unwrap();
    engine.watch("w", Some("a"), "p", None).unwrap();
    engine.insert("f(1)", Some("b")).unwrap();
    let outcome = engine.rename_policy("b", "c").unwrap();
    assert_eq!((outcome.fired[0].removed.len(), outcome.executions[0].removed.len()), (1, 1));
    let outcome = engine.rename_policy("c", "b").unwrap();
    assert_eq!((outcome.fired[0].added.len(), outcome.executions[0].added.len()), (1, 1));
}
