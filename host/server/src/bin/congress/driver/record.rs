//! `congress driver record`: what went over HTTP in one poll, as a fixture.

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context as _, anyhow, bail};
use clap::Args;
use congress_plugins::{State, Wire};
use congress_server::datasources::lazy_tables;
use congress_server::fixture::{Mask, Recorder, compare, tables};

use super::hosting::{existing, host, load, with_hint};
use super::options::Component;
use super::replay;
use crate::output;

/// What `record` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    component: Component,
    /// The fixture to write.
    #[arg(long, value_name = "FIXTURE")]
    out: PathBuf,
}

pub(super) async fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let config = arguments.component.config.values()?;
    let recorder = Arc::new(Recorder::default());
    let host = host(&arguments.component.grants, Some(recorder.clone() as Arc<dyn Wire>))?;
    let driver = load(&host, existing(&arguments.component.file)?).await?;
    let metadata = driver.metadata();
    let source = driver
        .datasource("record", &config, State::default())
        .await
        .map_err(|error| anyhow!("{}", with_hint(&error)))?;
    let roots = tables::roots(&source, &lazy_tables(&config));
    let polled = tables::poll(&source, &roots)
        .await
        .map_err(|error| anyhow!("nothing is recorded, the poll failed: {}", with_hint(&error)))?;
    if let Some((table, error)) = polled.failed.first() {
        bail!("nothing is recorded, table '{table}' could not be read: {}", with_hint(error));
    }
    if recorder.is_empty() {
        bail!("nothing is recorded: the driver sent no requests");
    }

    let name = arguments.out.file_stem().map_or_else(String::new, |n| n.to_string_lossy().into());
    let mask = Mask::new(metadata, &config);
    let (mut fixture, notes) = recorder.fixture(&metadata.id, &name, &config, mask)?;
    // The tables are those of the fixture, not of the service: what was masked or stands for an
    // address differs in both alike, and a fixture that is written replays.
    let replayed = replay::poll(&arguments.component.file, &fixture).await.context(
        "what was recorded cannot be replayed (are answers different each time they are asked for?)",
    )?;
    fixture.tables = compare::as_published(&replayed.tables);
    fixture.api_rows = compare::as_policies_see(&replayed.tables);
    for note in notes {
        output::note(&format!("note: {note}"));
    }
    for (table, rows) in &polled.tables {
        let now = replayed.tables.get(table).map_or(0, |rows| rows.len());
        if now != rows.len() {
            output::note(&format!(
                "note: table '{table}' had {} rows, and has {now} when replayed",
                rows.len()
            ));
        }
    }
    let text = serde_json::to_string_pretty(&fixture)? + "\n";
    std::fs::write(&arguments.out, text)
        .with_context(|| format!("cannot write {}", arguments.out.display()))?;
    output::note(&format!(
        "{} written (requests: {}, rows: {}, tables: {})",
        arguments.out.display(),
        recorder.len(),
        fixture.tables.values().map(Vec::len).sum::<usize>(),
        fixture.tables.len()
    ));
    Ok(ExitCode::SUCCESS)
}
