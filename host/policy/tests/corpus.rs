//! Replays recorded behaviour of the original engine: every `<topic>.json` of a folder.
//!
//! The folder is `$CONGRESS_DATALOG_CORPUS`, else `$CONGRESS_SHARED/corpus/datalog`, else
//! `../shared/corpus/datalog` beside the workspace; without one the test says that it skips. It
//! prints a line for each topic and the first differences in full, and fails if there is one. A
//! scenario with an operation that the runner does not know is counted apart, unless a step before
//! differs; it fails the test as well.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![expect(clippy::print_stdout, reason = "the table of topics is the point")]

#[path = "corpus/compare.rs"]
mod compare;
#[path = "corpus/ops.rs"]
mod ops;
#[path = "common/recorded.rs"]
mod recorded;
#[path = "corpus/syntax_ops.rs"]
mod syntax_ops;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use compare::Verdict;
use serde_json::Value;

/// How many differences are shown.
const SHOWN: usize = 10;

#[derive(Default)]
struct Tally {
    passed: usize,
    failed: usize,
    not_built: usize,
    total: usize,
}

#[test]
fn recorded_scenarios_replay() {
    let Some(folder) = folder() else { return };
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    assert!(!files.is_empty(), "no *.json in {}", folder.display());

    let mut tallies: BTreeMap<String, Tally> = BTreeMap::new();
    let mut missing: BTreeMap<String, usize> = BTreeMap::new();
    let mut differences = Vec::new();
    for file in files {
        let topic = recorded::read(&file);
        let name = topic["topic"].as_str().unwrap();
        let tally = tallies.entry(name.to_owned()).or_default();
        for scenario in recorded::scenarios(&topic) {
            tally.total += 1;
            match replay(name, scenario) {
                Verdict::Same => tally.passed += 1,
                Verdict::NotBuilt(what) => {
                    tally.not_built += 1;
                    *missing.entry(what).or_default() += 1;
                }
                Verdict::Differs(text) => {
                    tally.failed += 1;
                    differences.push(format!("{name} / {}\n{text}", scenario["name"]));
                }
            }
        }
    }

    println!("{:<22} {:>6} / {:<6} {:>6} {:>9}", "topic", "passed", "total", "failed", "not built");
    for (name, Tally { passed, failed, not_built, total }) in &tallies {
        println!("{name:<22} {passed:>6} / {total:<6} {failed:>6} {not_built:>9}");
    }
    for (what, scenarios) in &missing {
        println!("not built: {what} ({scenarios} scenarios)");
    }
    for difference in differences.iter().take(SHOWN) {
        println!("\n{difference}");
    }
    if differences.len() > SHOWN {
        println!("\n… and {} more", differences.len() - SHOWN);
    }
    let broken: Vec<&String> = tallies
        .iter()
        .filter(|(_, tally)| tally.passed < tally.total)
        .map(|(name, _)| name)
        .collect();
    assert!(broken.is_empty(), "differences in {broken:?}");
}

fn folder() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("CONGRESS_DATALOG_CORPUS") {
        return Some(folder.into());
    }
    let shared = std::env::var_os("CONGRESS_SHARED").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared"),
        PathBuf::from,
    );
    let folder = shared.join("corpus/datalog");
    if !folder.is_dir() {
        println!("skipped: no recorded cases at {}", folder.display());
        return None;
    }
    Some(folder)
}

/// Runs a scenario up to the first step that differs.
fn replay(topic: &str, scenario: &Value) -> Verdict {
    let mut session = ops::Session::new();
    let mut not_built = None;
    for (at, step) in scenario["steps"].as_array().unwrap().iter().enumerate() {
        let done = session.run(step["op"].as_str().unwrap(), &step["args"]);
        match compare::step(topic, step, &done) {
            Verdict::Same => {}
            Verdict::NotBuilt(what) => not_built = not_built.or(Some(what)),
            Verdict::Differs(text) => {
                return Verdict::Differs(format!("  step {at}: {step}\n{text}"));
            }
        }
    }
    not_built.map_or(Verdict::Same, Verdict::NotBuilt)
}
