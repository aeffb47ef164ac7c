//! Replays recorded scenarios of the API, each against a server process of its own.
//!
//! `CONGRESS_API_CORPUS` names a folder of that format; otherwise `corpus/api` below
//! `CONGRESS_SHARED`, or below `../shared`. Without any of them the test says `skipped`.
//!
//! Every scenario is counted with its first difference (with `CONGRESS_API_CORPUS_ALL` set, with all).
//! There must be none but [`deviations`] on purpose, and those that are listed must be there.
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
    let (mut passed, mut total, mut on_purpose) = (0, 0, 0);
    for (scenario, outcome) in scenarios.iter().zip(outcomes) {
        let name = scenario.name.as_str();
        let (wanted, unwanted): (Vec<_>, Vec<_>) =
            outcome.differences.iter().partition(|difference| difference.reason.is_some());
        println!(
            "{name}: {}/{}, on purpose not: {}, wrong: {}",
            outcome.passed,
            outcome.total,
            wanted.len(),
            unwanted.len()
        );
        passed += outcome.passed;
        total += outcome.total;
        on_purpose += wanted.len();
        for difference in &wanted {
            let reason = difference.reason.unwrap_or_default();
            println!("  step {} differs on purpose: {reason}", difference.step);
        }
        let shown = if all { unwanted.len() } else { 1 };
        for difference in unwanted.iter().take(shown) {
            println!("{}", difference.text);
        }
        if !unwanted.is_empty() {
            let steps: Vec<_> = unwanted.iter().map(|d| d.step.to_string()).collect();
            println!("  all steps that are wrong: {}", steps.join(" "));
        }
        let agrees = |step: &usize| wanted.iter().all(|difference| difference.step != *step);
        if !unwanted.is_empty() || deviations::steps(name).any(|step| agrees(&step)) {
            failed.push(name);
        }
    }
    println!("all scenarios: {passed}/{total} steps; {on_purpose} differ on purpose");
    assert!(
        failed.is_empty(),
        "these scenarios differ where they should not, or agree where they are listed as \
         different: {}",
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
