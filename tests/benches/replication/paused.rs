//! A subscriber that stands still while everything goes on.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::fail_over::{change, start};

/// How long it stands still, unless `CONGRESS_PAUSE_SECONDS` says otherwise.
const PAUSE: u64 = 600;

/// How often the broker is looked at.
const LOOK: Duration = Duration::from_secs(30);

/// The broker's memory while one engine is stopped and all rows of all sources change every second.
pub(crate) async fn memory() -> Result<()> {
    let seconds = std::env::var("CONGRESS_PAUSE_SECONDS").ok();
    let seconds = seconds.map_or(Ok(PAUSE), |text| text.parse())?;
    let (mut deployment, sources, _folder) = start().await?;
    change(&sources, "before")?;
    for source in &sources {
        source.is_everywhere(&deployment, "before").await?;
    }
    let before = deployment.broker.memory().await?;
    let node = deployment.engines.get_mut(1).context("no such node")?;
    node.pause()?;
    let begin = Instant::now();
    let (mut most, mut next, mut turn) = (0, LOOK, 0);
    while begin.elapsed() < Duration::from_secs(seconds) {
        turn += 1;
        change(&sources, &format!("g{turn}"))?;
        tokio::time::sleep(Duration::from_secs(1)).await;
        if begin.elapsed() >= next {
            next += LOOK;
            let now = deployment.broker.memory().await?;
            most = most.max(now);
            println!("  after {:>3} s: {} MiB", begin.elapsed().as_secs(), now >> 20);
        }
    }
    deployment.engines.get_mut(1).context("no such node")?.resume()?;
    let resumed = Instant::now();
    for source in &sources {
        source.is_everywhere(&deployment, &format!("g{turn}")).await?;
    }
    println!(
        "one of two engines stood still for {seconds} s while 20,000 rows changed {turn} times: \
         the broker's memory {} MiB before, at most {} MiB, then current after {:.1} s   [flat]",
        before >> 20,
        most >> 20,
        resumed.elapsed().as_secs_f64(),
    );
    Ok(())
}
