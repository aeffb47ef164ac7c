//! The end of a datasource node, and of the broker.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use congress_tests::{Database, Deployment, DeploymentOptions};

use crate::figures;
use crate::files::{PATIENCE, Source};

/// How many datasources there are.
const SOURCES: usize = 20;

/// How many rows each has.
const ROWS: usize = 1_000;

/// Two engines, two datasource nodes, and sources that are polled every second.
pub(crate) async fn start() -> Result<(Deployment, Vec<Source>, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let options =
        DeploymentOptions { datasources: 2, database: Database::Mariadb, ..Default::default() };
    let options = options.with("plugins", "allowed_files", folder.path().display());
    let deployment = Deployment::start(options).await?;
    let mut sources = Vec::new();
    for number in 0..SOURCES {
        let name = format!("d{number}");
        sources.push(Source::create(&deployment, folder.path(), &name, 1).await?);
    }
    for source in &sources {
        source.is_everywhere(&deployment, "first").await?;
    }
    Ok((deployment, sources, folder))
}

pub(crate) fn change(sources: &[Source], marker: &str) -> Result<()> {
    sources.iter().try_for_each(|source| source.write(ROWS, marker, marker))
}

/// From the end of the active datasource node to rows that only its successor can have read.
pub(crate) async fn take_over() -> Result<()> {
    const TIMES: usize = 5;
    let (mut deployment, sources, _folder) = start().await?;
    let (mut first, mut all) = (Vec::new(), Vec::new());
    for turn in 0..TIMES {
        let place = deployment.has_active(PATIENCE).await?;
        let node = deployment.datasources.get_mut(place).context("no such node")?;
        node.kill().await?;
        let begin = Instant::now();
        let marker = format!("g{turn}");
        change(&sources, &marker)?;
        first.push(soonest(&deployment, &sources, &marker, begin).await?);
        for source in &sources {
            source.is_everywhere(&deployment, &marker).await?;
        }
        all.push(begin.elapsed());
        deployment.datasources.get_mut(place).context("no such node")?.start().await?;
    }
    let what = "datasource node killed, its successor publishes";
    figures::print(&format!("{what}: first rows"), first, "< 4000 ms");
    figures::print(&format!("{what}: all of 20 datasources on both engines"), all, "none");
    Ok(())
}

/// How long it takes until the first of the sources shows on an engine.
async fn soonest(
    deployment: &Deployment,
    sources: &[Source],
    marker: &str,
    begin: Instant,
) -> Result<Duration> {
    let node = deployment.engine(0)?;
    let shown = sources.iter().map(|source| Box::pin(source.shows(node, marker)));
    futures_util::future::select_ok(shown).await?;
    Ok(begin.elapsed())
}

/// From the return of the broker to tables that changed while it was away.
pub(crate) async fn broker() -> Result<()> {
    const TIMES: usize = 3;
    let (mut deployment, sources, _folder) = start().await?;
    let mut times = Vec::new();
    for turn in 0..TIMES {
        deployment.broker.kill().await?;
        let marker = format!("g{turn}");
        change(&sources, &marker)?;
        deployment.broker.run().await?;
        let begin = Instant::now();
        for source in &sources {
            source.is_everywhere(&deployment, &marker).await?;
        }
        times.push(begin.elapsed());
    }
    let what = "broker back after a restart, all tables current on both engines";
    figures::print(what, times, "< 5000 ms");
    Ok(())
}
