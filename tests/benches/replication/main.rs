//! What the deployment guide promises of a replicated system, measured: real nodes, RabbitMQ,
//! MariaDB, all on this machine.
//!
//!     cargo bench --package congress-tests --bench replication [-- NAME…]
//!
//! Names are `write`, `create`, `snapshot`, `change`, `take-over`, `broker` and `loadgen`; without
//! any, all of these are measured. `paused` takes ten minutes and is measured only if it is named. No
//! time is asserted: each figure stands beside what is promised.
//!
//! From the end of a poll to the view is counted by the nodes' own timestamps: the datasource node
//! logs when a poll's rows are there (`tables read`), each engine when they are part of what its
//! readers see (`rows are in the engine`). Both are processes of one machine, with one clock.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

mod change;
mod fail_over;
mod figures;
mod files;
mod loadgen;
mod nodes;
mod paused;

use anyhow::{Result, ensure};

const NAMES: [&str; 8] =
    ["write", "create", "snapshot", "change", "take-over", "broker", "loadgen", "paused"];

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let chosen: Vec<String> =
        std::env::args().skip(1).filter(|argument| !argument.starts_with("--")).collect();
    for name in &chosen {
        ensure!(NAMES.contains(&name.as_str()), "{name} is none of {NAMES:?}");
    }
    println!(
        "load average (1, 5, 15 minutes): {}",
        std::fs::read_to_string("/proc/loadavg")?.trim()
    );
    for name in NAMES
        .into_iter()
        .filter(|name| chosen.is_empty() && *name != "paused" || chosen.iter().any(|c| c == name))
    {
        match name {
            "write" => nodes::write().await?,
            "create" => nodes::create().await?,
            "snapshot" => nodes::snapshot().await?,
            "change" => change::change().await?,
            "take-over" => fail_over::take_over().await?,
            "broker" => fail_over::broker().await?,
            "paused" => paused::memory().await?,
            _ => loadgen::publish().await?,
        }
    }
    Ok(())
}
