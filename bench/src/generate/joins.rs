//! Joins, recursion and many rules.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::Result;
use serde_json::json;

use super::{Cells, Folder, cells};
use crate::random::Random;

pub(super) fn join3_negation(root: &Path) -> Result<()> {
    let rules = [
        "bad(s, n) :- server(s, p, \"ERROR\"), port(p, n), net(n, t, \"external\"), not exempt(s)",
        "all(s, t) :- server(s, p, st), port(p, n), net(n, t, k), not exempt(s)",
    ];
    let queries = ["bad(s, n)", "all(s, \"tenant7\")", "all(s, t)"];
    let meta = json!({"kind": "nonrecursive", "expected_answers": 499});
    let folder = Folder::new(
        root,
        "join3_negation",
        meta,
        &rules.map(str::to_owned),
        &queries.map(str::to_owned),
    )?;
    let mut random = Random::new(1);
    let server = (0..100_000).map(|i| {
        let port = format!("port{}", random.below(10_000));
        cells![format!("s{i}"), port, if random.percent(10) { "ERROR" } else { "ACTIVE" }]
    });
    folder.facts("server", server)?;
    let mut random = Random::new(2);
    let port = (0..10_000).map(|i| {
        let net = format!("net{}", random.below(1000));
        cells![format!("port{i}"), net]
    });
    folder.facts("port", port)?;
    let net = (0..1000).map(|i| {
        let kind = if i % 20 == 0 { "external" } else { "internal" };
        cells![format!("net{i}"), format!("tenant{}", i % 50), kind]
    });
    folder.facts("net", net)?;
    let exempt = Random::new(3).sample(100_000, 2000);
    folder.facts("exempt", exempt.into_iter().map(|i| cells![format!("s{i}")]))
}

/// Twice as many edges as nodes; without cycles, all edges lead to a higher node. The original did
/// the one without in a policy of kind materialized, whose loop does not end on cycles.
pub(super) fn reachability(root: &Path, name: &str, nodes: usize, acyclic: bool) -> Result<()> {
    let rules = ["tc(x, y) :- e(x, y)", "tc(x, y) :- tc(x, z), e(z, y)"].map(str::to_owned);
    let queries = ["tc(x, y)", "tc(0, y)"].map(str::to_owned);
    let kind = if acyclic { "materialized" } else { "z3" };
    let meta = json!({"kind": kind, "recursive": true, "nodes": nodes, "edges": 2 * nodes});
    let folder = Folder::new(root, name, meta, &rules, &queries)?;
    let mut random = Random::new(4);
    let mut edges = BTreeSet::new();
    while edges.len() < 2 * nodes {
        let (a, b) = (random.below(nodes), random.below(nodes));
        if a != b {
            edges.insert(if acyclic { (a.min(b), a.max(b)) } else { (a, b) });
        }
    }
    folder.facts("e", edges.into_iter().map(|(a, b)| cells![a, b]))
}

const TABLES: usize = 20;
const ROWS: usize = 5000;
const STEPS: usize = 5;

/// 200 rules of four shapes and 100 helpers over 20 tables; each step replaces 1 % of the rows.
pub(super) fn incremental_200rules(root: &Path) -> Result<()> {
    let mut random = Random::new(5);
    let (mut rules, mut queries) = (Vec::new(), Vec::new());
    for i in 0..200 {
        let tables = random.sample(TABLES, 2);
        let (a, b) = (tables[0], tables[1]);
        let (v, w) = (random.below(50), random.below(50));
        let (head, body) = match i % 4 {
            0 => {
                let below = 50 + random.below(400);
                ("x", format!("t{a}(x, n, \"v{v}\"), t{b}(x, m, w), lt(n, {below})"))
            }
            1 => ("x, w", format!("t{a}(x, {}, v), t{b}(x, m, w)", random.below(500))),
            2 => {
                let helper = random.below(5);
                ("x", format!("t{a}(x, n, \"v{v}\"), not has{b}_{helper}(x)"))
            }
            _ => ("x, y", format!("t{a}(x, n, \"v{v}\"), t{b}(y, n, \"v{w}\")")),
        };
        rules.push(format!("out{i}({head}) :- {body}"));
        queries.push(format!("out{i}({head})"));
    }
    for b in 0..TABLES {
        rules.extend((0..5).map(|v| format!("has{b}_{v}(x) :- t{b}(x, n, \"v{v}\")")));
    }
    let meta = json!({"kind": "nonrecursive", "tables": TABLES, "rows": ROWS, "steps": STEPS, "expected_answers": 9005});
    let folder = Folder::new(root, "incremental_200rules", meta, &rules, &queries)?;

    let names: Vec<String> = (0..TABLES).map(|t| format!("t{t}")).collect();
    let values = |random: &mut Random| (random.below(500), random.below(50));
    let row = |key: usize, (number, value): (usize, usize)| -> Cells {
        cells![format!("k{key}"), number, format!("v{value}")]
    };
    let mut tables: Vec<Vec<(usize, usize)>> =
        (0..TABLES).map(|_| (0..ROWS).map(|_| values(&mut random)).collect()).collect();
    for (name, table) in names.iter().zip(&tables) {
        folder.facts(name, table.iter().enumerate().map(|(key, values)| row(key, *values)))?;
    }
    for step in 0..STEPS {
        let mut changes = Vec::new();
        for (name, table) in names.iter().zip(&mut tables) {
            for key in random.sample(ROWS, ROWS / 100) {
                changes.push((false, name.as_str(), row(key, table[key])));
                table[key] = values(&mut random);
                changes.push((true, name.as_str(), row(key, table[key])));
            }
        }
        folder.update(step, &changes)?;
    }
    Ok(())
}
