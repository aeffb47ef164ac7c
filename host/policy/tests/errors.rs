//! What refusals look like: each case of `errors/*.txt` is run, and its report compared.
//!
//! A file holds cases, one below the other:
//!
//! ```text
//! ==== what the case shows
//! insert t
//! p(x) :- q(y)
//! ----
//! the report that is expected
//! ```
//!
//! The first line says what is done with the text below it: `insert`, `delete` or `select`, and in
//! which policy (`-`: none is named); `simulate`: a sequence; `create <name> <kind>`; `drop` or `rename` a policy; `rows`
//! of a table. [`engine`] makes what is there before each case.
//!
//! With `CONGRESS_BLESS=1` the reports are written instead of compared; look at the difference
//! before committing it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;

use congress_policy::{
    Engine, Error, Errors, Limits, NewPolicy, Options, PolicyKind, References, Simulation,
};
use congress_table::{Column, TableSchema};
use time::macros::datetime;

/// The policies that the cases know.
fn engine() -> Engine {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    for (name, kind) in [
        ("t", PolicyKind::Nonrecursive),
        ("users", PolicyKind::Nonrecursive),
        ("effects", PolicyKind::Action),
        ("stock", PolicyKind::Database),
        ("paths", PolicyKind::Z3),
        ("view", PolicyKind::Materialized),
    ] {
        engine.create_policy(NewPolicy::new(name, kind)).unwrap();
    }
    let table = |name: &str, columns: &[&str]| TableSchema {
        name: name.to_owned(),
        columns: columns
            .iter()
            .map(|name| Column {
                name: (*name).to_owned(),
                description: None,
                column_type: Default::default(),
                nullable: false,
            })
            .collect(),
        root: None,
    };
    let tables = [table("servers", &["id", "name", "status"]), table("flavors", &["id", "ram"])];
    engine.initialize_datasource("nova", &tables).unwrap();
    engine.insert("group(\"ann\", \"admin\")", Some("users")).unwrap();
    let effects = "action(\"pause\") base-(x) :- pause(x)";
    engine.insert(effects, Some("effects")).unwrap();
    engine.insert("whole(x) :- part(x)", Some("view")).unwrap();
    engine.insert("base(1) mid(x) :- base(x) top(x) :- users:group(x, g)", Some("t")).unwrap();
    engine
}

/// Does what a case says and gives its report.
fn report(case: &str) -> String {
    let (command, text) = case.split_once('\n').unwrap_or((case, ""));
    let words: Vec<&str> = command.split(' ').collect();
    let [verb, rest @ ..] = &words[..] else { panic!("no command: {case}") };
    let policy = rest.first().copied().filter(|policy| *policy != "-");
    let named = || policy.unwrap_or_else(|| panic!("no policy: {command}"));
    let mut engine = engine();
    let snapshot = engine.snapshot();
    let shown = |error: Error| error.render();
    let all = |errors: Errors| errors.iter().map(Error::render).collect::<Vec<_>>().join("\n\n");
    let done = match *verb {
        "insert" => engine.insert(text, policy).map(|_| ()).map_err(all),
        // As the rule API does, which lets nothing wait for a schema.
        "check" => {
            let events = congress_policy::Event::parse(text, true, policy).unwrap();
            engine.check(&events).map(|_| ()).map_err(all)
        }
        "delete" => engine.delete(text, policy).map(|_| ()).map_err(all),
        "select" => snapshot.select(text, policy).map(|_| ()).map_err(shown),
        "create" => match rest[1].parse::<PolicyKind>() {
            Ok(kind) => engine.create_policy(NewPolicy::new(rest[0], kind)).map(|_| ()),
            Err(error) => Err(error),
        }
        .map_err(shown),
        "drop" => engine.delete_policy(named(), References::Refuse).map(|_| ()).map_err(shown),
        "rename" => engine.rename_policy(rest[0], rest[1]).map(|_| ()).map_err(shown),
        "simulate" => {
            let fresh = || "new".to_owned();
            let simulation = Simulation {
                query: "base(x)",
                policy,
                sequence: text,
                action_policy: Some("effects"),
                delta: false,
                trace: false,
                fresh: &fresh,
            };
            snapshot.simulate(&simulation, Limits::default()).map(|_| ()).map_err(all)
        }
        "rows" => snapshot.rows(named(), rest[1]).map(|_| ()).map_err(shown),
        _ => panic!("no such command: {command}"),
    };
    match done {
        Ok(()) => "accepted".to_owned(),
        Err(report) => report,
    }
}

#[test]
fn reports_are_as_written() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/errors");
    let bless = std::env::var_os("CONGRESS_BLESS").is_some();
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut differences = String::new();
    let mut cases = 0;
    for file in files {
        let written = std::fs::read_to_string(&file).unwrap();
        let mut fresh = String::new();
        for case in written.split("==== ").skip(1) {
            let (title, rest) = case.split_once('\n').unwrap();
            let (input, wanted) = rest.split_once("\n----\n").unwrap_or((rest.trim_end(), ""));
            let report = report(input);
            if report.trim_end() != wanted.trim_end() {
                let _ = write!(
                    differences,
                    "{}: {title}\n{input}\n---- wanted\n{wanted}\n---- is\n{report}\n\n",
                    file.display()
                );
            }
            let gap = if cases == 0 || fresh.is_empty() { "" } else { "\n" };
            let _ = writeln!(fresh, "{gap}==== {title}\n{input}\n----\n{report}");
            cases += 1;
        }
        if bless {
            std::fs::write(&file, fresh).unwrap();
        }
    }
    assert!(cases > 0);
    assert!(bless || differences.is_empty(), "{differences}");
}
