//! DuckDB and SQLite over the same files, by way of `peers.py`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::recorder::{Recorder, Unit};
use crate::report::Outcome;

/// The engines to compare with, as `peers.py` calls them.
pub(crate) const ENGINES: [&str; 2] = ["duckdb", "sqlite"];

/// Where the Python that runs them is, and their program.
pub(crate) struct Peers {
    pub(crate) python: PathBuf,
    pub(crate) runs: usize,
}

impl Peers {
    /// Measures one workload on one engine, in a process of its own.
    pub(crate) fn measure(&self, engine: &str, workload: &str, folder: &Path) -> Outcome {
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("peers.py");
        let output = Command::new(&self.python)
            .arg(program)
            .args(["--engine", engine, "--workload", workload])
            .args(["--runs", &self.runs.to_string()])
            .arg(folder)
            .output()
            .map_err(|error| format!("cannot start {}: {error}", self.python.display()))?;
        if !output.status.success() {
            let text = String::from_utf8_lossy(&output.stderr);
            return Err(text.lines().last().unwrap_or("it failed without a word").to_owned());
        }
        recorder(&output.stdout).map_err(|error| format!("{error:#}"))
    }
}

/// Reads `[{"name", "unit", "samples", "answers"}…]`; also what a process of our own prints.
pub(crate) fn recorder(json: &[u8]) -> Result<Recorder> {
    let value: Value = serde_json::from_slice(json).context("the figures are not JSON")?;
    let mut recorder = Recorder::default();
    let list = |step: &Value, key: &str| step.get(key)?.as_array().cloned();
    for step in value.as_array().context("the figures are no list")? {
        let name = step.get("name").and_then(Value::as_str).context("a step without name")?;
        let unit = match step.get("unit").and_then(Value::as_str) {
            Some("bytes") => Unit::Bytes,
            Some("ratio") => Unit::Ratio,
            Some("per second") => Unit::PerSecond,
            _ => Unit::Seconds,
        };
        for sample in list(step, "samples").unwrap_or_default() {
            recorder.sample(name, unit, sample.as_f64().context("a sample is no number")?);
        }
        for count in list(step, "answers").unwrap_or_default() {
            let count = count.as_u64().context("a count of answers is no number")?;
            recorder.answers(name, usize::try_from(count)?);
        }
    }
    Ok(recorder)
}

/// The same as text.
pub(crate) fn json(recorder: &Recorder) -> Value {
    let unit = |unit| match unit {
        Unit::Seconds => "seconds",
        Unit::PerSecond => "per second",
        Unit::Bytes => "bytes",
        Unit::Ratio => "ratio",
    };
    let step = |step: &crate::recorder::Step| {
        serde_json::json!({
            "name": step.name, "unit": unit(step.unit),
            "samples": step.samples, "answers": step.answers,
        })
    };
    recorder.steps.iter().map(step).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_survive_the_way_between_processes() {
        let mut sent = Recorder::default();
        sent.sample("load", Unit::Seconds, 0.25);
        sent.answers("load", 7);
        sent.sample("memory", Unit::Bytes, 200.0);
        let got = recorder(json(&sent).to_string().as_bytes()).unwrap();
        assert_eq!(format!("{got:?}"), format!("{sent:?}"));
        assert!(recorder(b"{}").is_err());
    }
}
