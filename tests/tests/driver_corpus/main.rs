//! Replays recorded cases of drivers: the real component, in the real host, against a local HTTP
//! server that gives the recorded answers.
//!
//! `CONGRESS_DRIVER_CORPUS` names a folder of that format; otherwise `corpus/drivers` below
//! `CONGRESS_SHARED`, or below `../shared`. Without any of them the test says `skipped`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod case;
mod service;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use congress_server::fixture::Mode;

/// Drivers whose every polled case must pass.
const MUST_PASS: [&str; 2] = ["keystonev3", "nova"];

#[tokio::test(flavor = "multi_thread")]
async fn recorded_cases() {
    let Some(folder) = corpus() else {
        println!("skipped: no recorded driver cases (set CONGRESS_DRIVER_CORPUS)");
        return;
    };
    let drivers = congress_tests::drivers_folder();
    let mut totals: BTreeMap<String, (usize, usize)> = BTreeMap::new();
    let mut not_built = Vec::new();
    let mut differences = Vec::new();
    for (driver, path) in case::files(&folder) {
        let component = drivers.join(format!("{driver}.wasm"));
        if !component.exists() {
            if !not_built.contains(&driver) {
                not_built.push(driver);
            }
            continue;
        }
        let case = case::read(&path);
        if case.mode != Mode::Poll {
            println!("not built: {} ({:?})", path.display(), case.mode);
            continue;
        }
        let total = totals.entry(driver).or_default();
        total.1 += 1;
        match case::replay(&component, &case).await {
            Ok(()) => total.0 += 1,
            Err(difference) => differences.push(format!("{}:\n{difference}", path.display())),
        }
    }
    for (driver, (passed, all)) in &totals {
        println!("{driver}: {passed}/{all}");
    }
    println!("no such driver: {}", not_built.join(" "));
    for difference in &differences {
        println!("{difference}");
    }
    for driver in MUST_PASS {
        let (passed, all) = totals.get(driver).copied().unwrap_or_default();
        let present = folder.join(driver).is_dir();
        assert!(!present || (all > 0 && passed == all), "{driver}: {passed} of {all} cases pass");
    }
}

fn corpus() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("CONGRESS_DRIVER_CORPUS") {
        return Some(folder.into());
    }
    let shared = congress_tests::shared()?;
    Some(shared.join("corpus/drivers")).filter(|folder| Path::is_dir(folder))
}
