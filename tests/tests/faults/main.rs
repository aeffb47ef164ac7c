//! The whole system, broken in every way that the failure matrix has, while it is used.
//!
//! Three policy-engine nodes behind HAProxy, two datasource nodes, RabbitMQ and MariaDB run as
//! they are deployed; twenty datasources read files that change all the time, a rule has each job of
//! a service done, of which more and more come, and clients read and write throughout. After each
//! fault every engine must have the tables of the sources, no acknowledged write may be lost, each
//! job must have been done once or be listed as one of which that is not known, and nobody may have
//! been shown rows that never were, or older ones than before. What clients saw of it is printed as
//! a table.
//!
//! `cargo test -p congress-tests --test faults` is the short run. The long one, with every fault,
//! 10,000 rows in each datasource and this many rounds:
//!
//! ```text
//! CONGRESS_FAULT_ROUNDS=5 cargo test -p congress-tests --test faults -- --nocapture
//! ```
//!
//! `CONGRESS_FAULTS=broker,clock` runs those whose names contain one of these words.
#![expect(
    clippy::expect_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod jobs;
mod ledger;
mod load;
mod matrix;
mod report;
#[path = "../actions/service.rs"]
#[expect(dead_code, clippy::unwrap_used, reason = "shared with the tests of actions")]
mod service;
mod world;

use std::sync::Arc;
use std::time::{Duration, Instant};

use congress_tests::{Database, Deployment, DeploymentOptions, drivers_folder};

use crate::jobs::{Jobs, Tally};
use crate::load::Load;
use crate::matrix::{FAULTS, Fault};
use crate::report::{Line, Report};
use crate::world::World;

/// How long everything may take to be as it should after a fault is over.
const RECOVERY: Duration = Duration::from_secs(60);

/// How many datasources there are.
const SOURCES: usize = 20;

/// How often something is looked at that takes a while.
const LOOK: Duration = Duration::from_millis(50);

/// How much is done.
struct Extent {
    rounds: usize,
    rows: usize,
    faults: Vec<&'static Fault>,
}

impl Extent {
    fn of_environment() -> Self {
        let rounds = std::env::var("CONGRESS_FAULT_ROUNDS").ok();
        let rounds = rounds.map(|text| text.parse::<usize>().expect("CONGRESS_FAULT_ROUNDS"));
        let words = std::env::var("CONGRESS_FAULTS").ok();
        let chosen = |fault: &&Fault| match &words {
            Some(words) => words.split(',').any(|word| fault.name.contains(word.trim())),
            None => rounds.is_some() || fault.short,
        };
        Self {
            rounds: rounds.unwrap_or(1),
            rows: if rounds.is_some() { 10_000 } else { 1_000 },
            faults: FAULTS.iter().filter(chosen).collect(),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_fails_the_system_recovers_and_loses_nothing() {
    let extent = Extent::of_environment();
    assert!(!extent.faults.is_empty(), "CONGRESS_FAULTS names no fault");
    let files = tempfile::tempdir().unwrap();
    let jobs = Arc::new(Jobs::start().await);
    let world = World::new(files.path(), SOURCES, extent.rows, jobs.clone()).unwrap();
    let options = DeploymentOptions {
        engines: 3,
        datasources: 2,
        database: Database::Mariadb,
        balancer: true,
        links: true,
        drivers: drivers_folder(),
        ..DeploymentOptions::default()
    };
    let options = options
        .with("DEFAULT", "driver_path", Jobs::drivers(files.path()).unwrap())
        .with("plugins", "allowed_files", files.path().display())
        .with("plugins", "allowed_hosts", "127.0.0.1")
        // As by default: the balancer has time to notice that a node stops.
        .with("DEFAULT", "graceful_drain_delay", 2);
    let mut deployment = Deployment::start(options).await.unwrap();
    world.enter(&deployment).await.unwrap();
    jobs.enter(&deployment).await.unwrap();
    let load = Load::start(&deployment, &world).await.unwrap();
    let mut report = Report::new(extent.rows);
    let mut end = Instant::now();
    settle(&mut deployment, &world, &jobs, &load, &mut end).await.expect("before any fault");
    for round in 0..extent.rounds {
        for fault in &extent.faults {
            world.go_on();
            load.begin();
            let begin = Instant::now();
            (fault.cause)(&mut deployment).await.expect(fault.name);
            let over = Instant::now();
            let settled = settle(&mut deployment, &world, &jobs, &load, &mut end).await;
            report.add(round, Line::new(fault.name, &load, [begin, over, end], settled));
        }
    }
    let actions = match are_done(&deployment, &jobs).await {
        Ok(tally) => tally.to_string(),
        Err(wrong) => wrong,
    };
    report.finish(&actions);
}

/// Waits until everything is as it should be, which it is from `end` on; how nodes ended that did so
/// by themselves. Sources and those that write stand still afterwards.
async fn settle(
    deployment: &mut Deployment,
    world: &World,
    jobs: &Jobs,
    load: &Load,
    end: &mut Instant,
) -> Result<Vec<String>, String> {
    let over = Instant::now();
    world.hold().await;
    let mut notes = Vec::new();
    loop {
        notes.extend(deployment.revive().await.map_err(|error| format!("{error:#}"))?);
        let state = is_current(deployment, world, load, over).await;
        *end = Instant::now();
        match state {
            Ok(()) => break,
            Err(wrong) => patience(over, &wrong, deployment).await?,
        }
    }
    load.hold();
    loop {
        let state = async {
            is_kept(deployment, load).await?;
            are_done(deployment, jobs).await
        };
        match state.await {
            Ok(_) => return Ok(notes),
            Err(wrong) => patience(over, &wrong, deployment).await?,
        }
    }
}

/// Waits for a moment, unless it has lasted too long.
async fn patience(since: Instant, wrong: &str, deployment: &Deployment) -> Result<(), String> {
    if since.elapsed() > RECOVERY {
        return Err(format!("after {RECOVERY:?} {wrong}\n{}", deployment.logs()));
    }
    tokio::time::sleep(LOOK).await;
    Ok(())
}

/// Whether all engines have the tables of the sources, and clients are served; what is not so.
async fn is_current(
    deployment: &Deployment,
    world: &World,
    load: &Load,
    since: Instant,
) -> Result<(), String> {
    load.is_served_since(since)?;
    deployment.active().await.ok_or("no datasource node is active")?;
    for node in &deployment.engines {
        let server = node.server().map_err(|error| error.to_string())?;
        // Cheap, before all rows are compared.
        world.is_current(server).await.map_err(|wrong| format!("{}: {wrong}", node.name()))?;
    }
    for node in &deployment.engines {
        let server = node.server().map_err(|error| error.to_string())?;
        for source in &world.sources {
            let body = source.read(server).await?;
            let shown = source.judge(&body).map_err(|wrong| format!("{}: {wrong}", node.name()))?;
            let present = source.generation();
            if shown != present {
                return Err(format!("{} is at {shown} of {present}", source.name));
            }
        }
    }
    Ok(())
}

/// Whether each action was carried out once; what is not so.
async fn are_done(deployment: &Deployment, jobs: &Jobs) -> Result<Tally, String> {
    let node = deployment.engines.first().ok_or("no engine")?;
    jobs.are_done(node.server().map_err(|error| error.to_string())?).await
}

/// Whether every engine has what was acknowledged; what is not so.
async fn is_kept(deployment: &Deployment, load: &Load) -> Result<(), String> {
    for node in &deployment.engines {
        let server = node.server().map_err(|error| error.to_string())?;
        load.ledger
            .is_kept_by(server)
            .await
            .map_err(|wrong| format!("{}: {wrong}", node.name()))?;
    }
    Ok(())
}
