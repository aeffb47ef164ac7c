//! `congress driver replay`: polls with the answers of a fixture, and compares.

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use congress_plugins::{State, Wire};
use congress_server::datasources::lazy_tables;
use congress_server::fixture::tables::{self, Polled};
use congress_server::fixture::{BASE, Fixture, Mode, Replayer, compare, fill};
use serde_json::Value;

use super::hosting::{existing, host, load};
use super::options::Grants;
use crate::output;

/// What `replay` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The component.
    file: PathBuf,
    /// The fixture, as `congress driver record` writes them.
    fixture: PathBuf,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    existing(&arguments.file)?;
    let fixture = read(&arguments.fixture)?;
    let polled = poll(&arguments.file, &fixture).await?;
    let differences = compare::differences(&polled.tables, &fixture);
    if differences.is_empty() {
        output::note(&format!(
            "the same (rows: {}, tables: {}), polled in {:.1} ms",
            polled.tables.values().map(|table| table.len()).sum::<usize>(),
            polled.tables.len(),
            polled.figures.duration.as_secs_f64() * 1000.0
        ));
        return Ok(ExitCode::SUCCESS);
    }
    output::write(&output::clean_lines(&(differences.join("\n") + "\n")))?;
    output::note("congress: the tables differ from the fixture's");
    Ok(ExitCode::FAILURE)
}

/// Reads a fixture.
pub(super) fn read(path: &Path) -> anyhow::Result<Fixture> {
    let file = path.display();
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {file}"))?;
    let fixture: Fixture = serde_json::from_str(&text).with_context(|| {
        format!("{file} is no fixture of a driver; `congress driver record` writes them")
    })?;
    if fixture.mode != Mode::Poll {
        bail!("{file} is of the mode {:?}; only polled fixtures can be replayed", fixture.mode);
    }
    Ok(fixture)
}

/// The configuration of a fixture's datasource.
pub(super) fn config(fixture: &Fixture) -> congress_plugins::ConfigValues {
    match fill(&Value::Object(fixture.config.clone()), BASE) {
        Value::Object(config) => config,
        _ => congress_plugins::ConfigValues::new(),
    }
}

/// Polls a component once with a fixture's answers.
pub(super) async fn poll(file: &Path, fixture: &Fixture) -> anyhow::Result<Polled> {
    let replayer = Arc::new(Replayer::new(fixture));
    let grants = Grants { call_timeout: std::time::Duration::from_secs(60), ..Grants::default() };
    let host = host(&grants, Some(replayer.clone() as Arc<dyn Wire>))?;
    let driver = load(&host, file).await?;
    if driver.metadata().id != fixture.driver {
        output::note(&format!(
            "note: the fixture is of the driver '{}', the component is '{}'",
            fixture.driver,
            driver.metadata().id
        ));
    }
    let config = config(fixture);
    let source = driver.datasource("replay", &config, State::default()).await?;
    let roots = tables::roots(&source, &lazy_tables(&config));
    let polled = tables::poll(&source, &roots).await;
    let missing = || match replayer.unanswered() {
        requests if requests.is_empty() => String::new(),
        requests => format!("\nThe fixture has no answer to:\n  {}", requests.join("\n  ")),
    };
    let polled = polled.map_err(|error| anyhow!("the poll failed: {error}{}", missing()))?;
    if let Some((table, error)) = polled.failed.first() {
        bail!("table '{table}' could not be read: {error}{}", missing());
    }
    Ok(polled)
}
