//! Replays recorded scenarios of the API, each against a server process of its own.
//!
//! `CONGRESS_API_CORPUS` names a folder of that format; otherwise `corpus/api` below
//! `CONGRESS_SHARED`, or below `../shared`. Without any of them the test says `skipped`.
//!
//! Every scenario is counted with its first difference (with `CONGRESS_API_CORPUS_ALL` set, with all);
//! those of [`MUST_PASS`] must have none but
//! the listed [`deviations`].
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod compare;
mod deviations;
mod names;
mod replay;
mod scenario;

use std::path::PathBuf;

use futures_util::StreamExt as _;

/// Scenarios whose every step must agree, but for deviations.
const MUST_PASS: [&str; 25] = [
    "action-theory-and-simulate",
    "bigger-joins",
    "builtins-compare-arith",
    "datasource-crud",
    "datasource-errors",
    "datasource-execute",
    "doctor-driver",
    "execute-disabled",
    "kind-action",
    "kind-database",
    "kind-datasource",
    "library-crud",
    "library-errors",
    "policies-crud",
    "policies-errors",
    "policies-with-rules",
    "rules-before-datasource",
    "rules-crud",
    "rules-errors",
    "rules-syntax-accepted",
    "status",
    "tables-and-rows",
    "trace-explanations",
    "versions-and-routing",
    "webhook-monasca",
];

/// Scenarios replayed at once: mostly they wait for data.
const AT_ONCE: usize = 4;

#[tokio::test(flavor = "multi_thread")]
async fn recorded_scenarios() {
    let Some(folder) = corpus() else {
        println!("skipped: no recorded API scenarios (set CONGRESS_API_CORPUS)");
        return;
    };
    let scenarios = scenario::read_all(&folder);
    assert!(!scenarios.is_empty(), "{} has no scenarios", folder.display());
    let outcomes: Vec<_> = futures_util::stream::iter(&scenarios)
        .map(|scenario| replay::replay(scenario, &folder))
        .buffered(AT_ONCE)
        .collect()
        .await;
    let all = std::env::var_os("CONGRESS_API_CORPUS_ALL").is_some();
    let mut failed = Vec::new();
    let (mut passed, mut total) = (0, 0);
    for (scenario, outcome) in scenarios.iter().zip(outcomes) {
        let name = scenario.name.as_str();
        println!("{name}: {}/{}", outcome.passed, outcome.total);
        passed += outcome.passed;
        total += outcome.total;
        let (wanted, unwanted): (Vec<_>, Vec<_>) = outcome
            .differences
            .iter()
            .partition(|(step, _)| deviations::reason(name, *step).is_some());
        for (step, _) in &wanted {
            let reason = deviations::reason(name, *step).unwrap_or_default();
            println!("  step {step} differs on purpose: {reason}");
        }
        let shown = if all { unwanted.len() } else { 1 };
        for (_, difference) in unwanted.iter().take(shown) {
            println!("{difference}");
        }
        if !unwanted.is_empty() {
            let steps: Vec<_> = unwanted.iter().map(|(step, _)| step.to_string()).collect();
            println!("  all steps that differ: {}", steps.join(" "));
        }
        let listed = deviations::steps(name).count();
        if MUST_PASS.contains(&name) && (!unwanted.is_empty() || wanted.len() < listed) {
            failed.push(name);
        }
    }
    println!("all scenarios: {passed}/{total} steps");
    assert!(
        failed.is_empty(),
        "these scenarios must pass, but differ where they should not, or agree where they are \
         listed as different: {}",
        failed.join(", ")
    );
}

fn corpus() -> Option<PathBuf> {
    match std::env::var_os("CONGRESS_API_CORPUS") {
        Some(folder) => Some(folder.into()),
        None => {
            congress_tests::shared().map(|shared| shared.join("corpus/api")).filter(|f| f.is_dir())
        }
    }
}
