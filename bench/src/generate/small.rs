//! The workloads of the original's own performance tests.

use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::{Cells, Folder, cells};

/// `insert_*`: one call per fact; `update_*`: all facts in one call.
pub(super) fn facts_only(root: &Path, name: &str) -> Result<()> {
    let (rows, kind) = match name {
        "update_nonrecursive" => (10_000, "nonrecursive"),
        "update_database" => (1_000, "database"),
        "insert_database" => (100, "database"),
        _ => (100, "nonrecursive"),
    };
    let folder =
        Folder::new(root, name, json!({"kind": kind, "rows": rows}), &[], &["r(x)".to_owned()])?;
    folder.facts("r", numbers(rows))
}

pub(super) fn indexing(root: &Path) -> Result<()> {
    let meta = json!({"kind": "nonrecursive", "expected_answers": 100});
    let rule = "d(x) :- a(x), b(x), c(x)".to_owned();
    let folder = Folder::new(root, "indexing", meta, &[rule], &["d(x)".to_owned()])?;
    ["a", "b", "c"].into_iter().try_for_each(|table| folder.facts(table, numbers(100)))
}

pub(super) fn initialize_tables(root: &Path) -> Result<()> {
    let meta = json!({"kind": "nonrecursive", "rows": 700});
    let query = "p(a, b, c, d, e, f)".to_owned();
    let folder = Folder::new(root, "initialize_tables", meta, &[], &[query])?;
    let row = |i: usize| cells![1, 2, "foo", "bar", i, format!("{}{i}", "a".repeat(100))];
    folder.facts("p", (0..700).map(row))
}

pub(super) fn select(root: &Path, name: &str) -> Result<()> {
    let (query, repeat, answers) = match name {
        "select_1match" => ("r(1, 1)", 100, 1),
        _ => ("r(x, y)", 10, 100),
    };
    let meta = json!({"kind": "nonrecursive", "repeat": repeat, "expected_answers": answers});
    let rule = "r(x, y) :- p(x, x, y), q(x)".to_owned();
    cube(&Folder::new(root, name, meta, &[rule], &[query.to_owned()])?)
}

pub(super) fn simulate_latency(root: &Path) -> Result<()> {
    let meta = json!({
        "kind": "nonrecursive", "repeat": 100, "sequence": "p-(0,0,0)", "delta": true,
        "action_policy_empty": true, "expected": "s-(0)",
    });
    let rule = "s(x) :- q(x), p(x, 0, 0)".to_owned();
    cube(&Folder::new(root, "simulate_latency", meta, &[rule], &["s(x)".to_owned()])?)
}

/// `p` holds all triples of the digits, `q` all digits.
fn cube(folder: &Folder) -> Result<()> {
    folder.facts("p", (0..1000).map(|i| cells![i / 100, i / 10 % 10, i % 10]))?;
    folder.facts("q", numbers(10))
}

fn numbers(count: usize) -> impl Iterator<Item = Cells> {
    (0..count).map(|i| cells![i])
}
