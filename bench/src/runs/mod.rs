//! What is done to the engine, workload by workload.

mod churn;
mod incremental;
mod joins;
mod million;
mod reachability;
mod readers;
mod simulation;
mod small;
mod war_story;

use std::hint::black_box;
use std::sync::Arc;

use anyhow::{Context, Result};
use congress_policy::{Engine, Event, NewPolicy, Options, PolicyKind, Snapshot};
use congress_table::Row;
use time::macros::datetime;

use crate::files::Workload;
use crate::recorder::Recorder;

/// Does a workload once, on a fresh engine.
type Run = fn(&Workload, &mut Recorder) -> Result<()>;

/// A workload that can be measured.
pub(crate) struct Spec {
    pub(crate) name: &'static str,
    /// The folder with its files; several workloads may share one.
    pub(crate) files: &'static str,
    pub(crate) run: Run,
    /// Whether DuckDB and SQLite do it too.
    pub(crate) peers: bool,
    /// Whether each run takes a process of its own, for its memory is measured.
    pub(crate) own_process: bool,
}

const fn compared(name: &'static str, files: &'static str, run: Run) -> Spec {
    Spec { name, files, run, peers: true, own_process: false }
}

/// All workloads, in the order in which they are shown.
pub(crate) const ALL: &[Spec] = &[
    compared("insert_nonrecursive", "insert_nonrecursive", small::insert),
    compared("insert_database", "insert_database", small::insert),
    compared("update_nonrecursive", "update_nonrecursive", small::update),
    compared("update_database", "update_database", small::update),
    compared("indexing", "indexing", small::indexing),
    compared("initialize_tables", "initialize_tables", small::initialize_tables),
    compared("select_1match", "select_1match", small::select),
    compared("select_100matches", "select_100matches", small::select),
    compared("simulate_latency", "simulate_latency", simulation::run),
    compared("join3_negation", "join3_negation", joins::join3_negation),
    compared("reachability_100", "reachability_100", reachability::run),
    compared("reachability_200", "reachability_200", reachability::run),
    compared("reachability_2000", "reachability_2000", reachability::run),
    compared("reachability_dag_100", "reachability_dag_100", reachability::run),
    compared("incremental_200rules", "incremental_200rules", incremental::run),
    compared("war_story", "war_story", war_story::run),
    Spec { own_process: true, ..compared("load_1m", "load_1m", million::load) },
    compared("point_query", "load_1m", million::point_query),
    compared("insert_1000_rules", "load_1m", million::insert_rules),
    Spec { peers: false, ..compared("readers_beside_writer", "join3_negation", readers::run) },
    Spec { peers: false, own_process: true, ..compared("churn", "initialize_tables", churn::run) },
];

/// The policies of every fresh engine.
const NONRECURSIVE: &str = "nonrecursive";
const DATABASE: &str = "database";

fn engine() -> Result<Engine> {
    let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    engine.create_policy(NewPolicy::new(NONRECURSIVE, PolicyKind::Nonrecursive))?;
    engine.create_policy(NewPolicy::new(DATABASE, PolicyKind::Database))?;
    Ok(engine)
}

/// Rows of tables, by the tables' names.
type Facts = Vec<(Arc<str>, Vec<Row>)>;

/// An engine with all of the workload's rows, and the rows: if they went now, the allocator would
/// tidy up after them during the steps to come.
fn loaded(workload: &Workload, recorder: &mut Recorder) -> Result<(Engine, Facts)> {
    let facts = workload.facts()?;
    let mut engine = engine()?;
    recorder.time("load", || Ok(engine.initialize_tables(NONRECURSIVE, &facts)?))?;
    Ok((engine, facts))
}

/// Inserts all rules as one batch.
fn insert_rules(engine: &mut Engine, workload: &Workload, recorder: &mut Recorder) -> Result<()> {
    let text = workload.rules.join("\n");
    recorder.time("insert the rules", || Ok(engine.insert(&text, Some(NONRECURSIVE))?))?;
    Ok(())
}

/// Answers a query and reads every value of every answer. The number of answers.
fn read(snapshot: &Snapshot, policy: &str, query: &str) -> Result<usize> {
    let answers = snapshot.select(query, Some(policy))?;
    answers.for_each_row(|row| {
        black_box(row);
    });
    Ok(answers.len())
}

/// Reads a query as a step.
fn read_step(
    engine: &Engine,
    policy: &str,
    step: &str,
    query: &str,
    recorder: &mut Recorder,
) -> Result<()> {
    let count = recorder.time(step, || read(&engine.snapshot(), policy, query))?;
    recorder.answers(step, count);
    Ok(())
}

/// Reads a query as a step; and once more, to tell finding the answers from reading their values.
fn read_in_two_steps(
    engine: &Engine,
    policy: &str,
    query: &str,
    recorder: &mut Recorder,
) -> Result<()> {
    read_step(engine, policy, query, query, recorder)?;
    let snapshot = engine.snapshot();
    let found = recorder
        .time(&format!("{query}: finding them"), || Ok(snapshot.select(query, Some(policy))?))?;
    recorder.time(&format!("{query}: reading them"), || {
        found.for_each_row(|row| {
            black_box(row);
        });
        Ok(())
    })
}

/// The insertion of a row as a fact.
fn fact(table: &str, row: &Row, policy: &str) -> Result<Event> {
    let cells: Vec<String> = row.iter().map(literal).collect();
    let mut events = Event::parse(&format!("{table}({})", cells.join(", ")), true, Some(policy))?;
    events.pop().context("a fact is one statement")
}

/// A value as it is written in a rule. The workloads' texts need no escapes.
fn literal(value: &congress_table::Value) -> String {
    match value {
        congress_table::Value::Text(text) => format!("\"{text}\""),
        other => other.to_string(),
    }
}
