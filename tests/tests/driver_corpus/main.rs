//! Replays recorded cases of drivers: the real component, in the real host or behind the real
//! server's API, against a local HTTP server that gives the recorded answers.
//!
//! The project's own recordings are in `drivers/<name>/fixtures`. Those of the original are in a
//! folder that `CONGRESS_DRIVER_CORPUS` names; otherwise in `corpus/drivers` below
//! `CONGRESS_SHARED`, or below `../shared`. Without any of them that part says `skipped`.
//!
//! Every driver that is built must pass all; what differs on purpose is in `deviations`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod actions;
mod api;
mod case;
mod deviations;
mod host;
mod objects;
mod push;
mod requests;
mod service;
mod totals;
mod vcenter;

use std::path::{Path, PathBuf};

use api::Api;
use congress_server::fixture::Mode;
use totals::Totals;

#[tokio::test(flavor = "multi_thread")]
async fn recorded_cases() {
    match corpus() {
        Some(folder) => replay_all(&case::drivers(&folder)).await,
        None => println!("skipped: no recorded driver cases (set CONGRESS_DRIVER_CORPUS)"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn own_cases() {
    let drivers = case::drivers(&congress_tests::root().join("drivers"));
    let with_fixtures = drivers.into_iter().map(|(name, path)| (name, path.join("fixtures")));
    let folders: Vec<_> = with_fixtures.filter(|(_, path)| path.is_dir()).collect();
    assert!(!folders.is_empty(), "no driver has fixtures");
    replay_all(&folders).await;
}

/// Replays all that is in these drivers' folders.
async fn replay_all(folders: &[(String, PathBuf)]) {
    let built = congress_tests::drivers_folder();
    let component = |driver: &str| built.join(format!("{driver}.wasm"));
    let (there, missing): (Vec<_>, Vec<_>) =
        folders.iter().partition(|(driver, _)| component(driver).exists());
    let components: Vec<_> = there.iter().map(|(driver, _)| component(driver)).collect();
    let mut api = Api::start(&components).await;
    let mut totals = Totals::default();
    let mut stored = Vec::new();
    for (driver, folder) in &there {
        let component = component(driver);
        for path in case::cases(folder) {
            let name = path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
            let recorded = case::read(&path);
            let said = |result: Result<(), String>| {
                let result = result.map_err(|text| format!("{name}:\n{text}"));
                deviations::judge(driver, &name, result)
            };
            match recorded.mode {
                Mode::Poll => {
                    totals.add(driver, "poll", said(case::poll(&component, &recorded).await));
                }
                Mode::Push => {
                    let steps = case::typed(&path);
                    let replayed = push::replay(&component, &recorded, &steps).await;
                    totals.add(driver, "push", said(replayed));
                    let source = format!("{driver}_{}", stored.len());
                    let pushed = push::through_api(&api, &source, &recorded, &steps).await;
                    if let Ok(Some(id)) = &pushed {
                        stored.push((driver.clone(), id.clone(), recorded));
                    }
                    totals.add(driver, "push through the API", said(pushed.map(drop)));
                }
                Mode::Objects => {
                    let objects = &case::json(&path)["service_data"];
                    let replayed = objects::replay(&component, &recorded, objects).await;
                    totals.add(driver, "objects", said(replayed));
                }
            }
        }
        let file = |name: &str| Some(folder.join(name)).filter(|path| path.is_file());
        if let Some(path) = file("schema.json") {
            api.schema(driver, &case::json(&path), &mut totals).await;
        }
        let (listed, calls) = (file("actions.json"), file("execute.json"));
        if listed.is_none() && calls.is_none() {
            continue;
        }
        match actions::Bench::new(&component, folder).await {
            Ok(bench) => {
                if let Some(path) = listed {
                    bench.actions(driver, &path, &mut totals).await;
                }
                if let Some(path) = calls {
                    bench.execute(driver, &path, &mut totals).await;
                }
            }
            Err(error) => totals.add(driver, "actions run", Err(error)),
        }
    }
    if !stored.is_empty() {
        api = api.restarted().await;
    }
    for (driver, id, recorded) in &stored {
        let rows = push::rows(&api, id, &recorded.api_rows).await;
        totals.add(driver, "push, after a restart", rows.map(|()| None));
    }
    totals.print();
    let missing: Vec<_> = missing.iter().map(|(driver, _)| driver.as_str()).collect();
    println!("no such driver: {}", missing.join(" "));
    let failed = totals.failed();
    assert!(failed.is_empty(), "these drivers differ from their recordings: {failed:?}");
}

fn corpus() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("CONGRESS_DRIVER_CORPUS") {
        return Some(folder.into());
    }
    let shared = congress_tests::shared()?;
    Some(shared.join("corpus/drivers")).filter(|folder| Path::is_dir(folder))
}
