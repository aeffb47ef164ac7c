//! A change at a source, until it shows in a derived row on both engines.

use std::time::{Instant, SystemTime};

use anyhow::{Context as _, Result, bail};
use congress_tests::{Database, Deployment, DeploymentOptions, Node};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use crate::figures;
use crate::files::{LOOK, PATIENCE, Source};

/// Which lines the nodes log.
const LEVELS: &str = "info,congress_server::datasources=debug,congress_server::engine=debug";

/// How large a table is, what of it changes how often, and what is promised.
struct Case {
    what: &'static str,
    rows: usize,
    all: bool,
    times: usize,
    promise: &'static str,
}

const CASES: [Case; 3] = [
    Case {
        what: "1,000 rows replaced",
        rows: 1_000,
        all: true,
        times: 50,
        promise: "p50 < 20 ms, p99 < 100 ms",
    },
    Case {
        what: "100,000 rows replaced",
        rows: 100_000,
        all: true,
        times: 5,
        promise: "< 1500 ms",
    },
    Case {
        what: "1 row among 100,000",
        rows: 100_000,
        all: false,
        times: 20,
        promise: "p50 < 10 ms",
    },
];

pub(crate) async fn change() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let options = DeploymentOptions { database: Database::Mariadb, ..Default::default() }
        .with("plugins", "allowed_files", folder.path().display())
        .environment("RUST_LOG", LEVELS);
    let deployment = Deployment::start(options).await?;
    // Nothing polls by itself meanwhile.
    let source = Source::create(&deployment, folder.path(), "changing", 3600).await?;
    let server = deployment.engine(0)?.server()?;
    let rules = ["copy(k, v) :- changing:items(k, v), not skip(k)", "skip(\"marker\")"];
    deployment.policy("copies", rules).await?;
    source.is_everywhere(&deployment, "first").await?;
    let mut turn = 0;
    let mut salt = String::new();
    for case in &CASES {
        let mut times = Vec::new();
        // The first is not counted: the table may have had another size.
        for step in 0..=case.times {
            turn += 1;
            if case.all || step == 0 {
                salt = format!("x{turn}");
            }
            let marker = format!("g{turn}");
            source.write(case.rows, &salt, &marker)?;
            let active = deployment.datasources.first().context("no datasource node")?;
            let before = Said::so_far(active);
            let engines: Vec<_> = deployment.engines.iter().map(Said::so_far).collect();
            source.refresh(server).await?;
            source.is_everywhere(&deployment, &marker).await?;
            let polled = before.next("tables read", &source.name).await?;
            for engine in engines {
                let shown = engine.next("rows are in the engine", &source.name).await?;
                if step > 0 {
                    times.push(shown.duration_since(polled)?);
                }
            }
        }
        let what = format!("poll to view on both engines, {}", case.what);
        figures::print(&what, times, case.promise);
    }
    Ok(())
}

/// A node, and how much it had logged before a change.
struct Said<'a> {
    node: &'a Node,
    bytes: usize,
}

impl<'a> Said<'a> {
    fn so_far(node: &'a Node) -> Self {
        Self { node, bytes: node.log().len() }
    }

    /// When the node first logged a line about a datasource since then. It may do so a moment after
    /// readers have seen the change.
    async fn next(&self, line: &str, datasource: &str) -> Result<SystemTime> {
        let about = format!("datasource={datasource}");
        let begin = Instant::now();
        loop {
            let log = self.node.log();
            let log = log.get(self.bytes..).unwrap_or_default();
            if let Some(found) = log.lines().find(|t| t.contains(line) && t.contains(&about)) {
                let time = found.split_whitespace().next().unwrap_or_default();
                let time = OffsetDateTime::parse(time, &Rfc3339);
                return Ok(time.with_context(|| found.to_owned())?.into());
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} logs no '{line}'", self.node.name());
            }
            tokio::time::sleep(LOOK).await;
        }
    }
}
