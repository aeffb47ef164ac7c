//! What the figures were measured on.

use std::fs;

use anyhow::{Context, Result};

/// Optimised without debug assertions: what `cargo build --release` makes.
pub(crate) const RELEASE: bool = !cfg!(debug_assertions);

/// The machine and how busy it is, as one line.
pub(crate) fn description() -> String {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = info.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split_once(':')).map_or("unknown", |(_, name)| name);
    format!("{cores} cores of {}, load {}", model.trim(), load())
}

/// The load averages of the last 1, 5 and 15 minutes.
pub(crate) fn load() -> String {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').take(3).collect::<Vec<_>>().join(" ")
}

/// This process's resident memory, in bytes.
pub(crate) fn resident() -> Result<u64> {
    let path = "/proc/self/status";
    let text = fs::read_to_string(path).with_context(|| format!("cannot read {path}"))?;
    let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let kilobytes = line.and_then(|line| line.split_whitespace().next());
    let kilobytes = kilobytes.with_context(|| format!("{path} has no VmRSS"))?;
    Ok(kilobytes.parse::<u64>()? * 1024)
}
