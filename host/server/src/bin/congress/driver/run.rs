//! `congress driver run`: polls a component and prints its tables.

use std::process::ExitCode;
use std::time::Instant;

use anyhow::{anyhow, bail};
use clap::Args;
use congress_plugins::{ConfigValues, Host, State};
use congress_server::datasources::lazy_tables;
use congress_server::fixture::tables;

use super::hosting::{existing, host, load, with_hint};
use super::options::Component;
use super::print;
use super::watch::{Stamp, changed};
use crate::output::{self, Format};

/// What `run` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    component: Component,
    /// Shows only this table.
    #[arg(long)]
    table: Option<String>,
    /// Loads and polls again whenever the file changes, until interrupted.
    #[arg(long)]
    watch: bool,
    /// Shows the driver's log lines below warnings, too.
    #[arg(short, long)]
    verbose: bool,
}

pub(super) async fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    existing(&arguments.component.file)?;
    show_log(arguments.verbose);
    let config = arguments.component.config.values()?;
    let host = host(&arguments.component.grants, None)?;
    if !arguments.watch {
        once(&host, arguments, &config, format).await?;
        return Ok(ExitCode::SUCCESS);
    }
    loop {
        let stamp = Stamp::of(&arguments.component.file);
        if let Err(error) = once(&host, arguments, &config, format).await {
            output::note(&format!("congress: {error:#}"));
        }
        output::note(&format!("watching {} (Ctrl-C ends)", arguments.component.file.display()));
        changed(&arguments.component.file, stamp).await;
    }
}

async fn once(
    host: &Host,
    arguments: &Arguments,
    config: &ConfigValues,
    format: Format,
) -> anyhow::Result<()> {
    let driver = load(host, existing(&arguments.component.file)?).await?;
    let metadata = driver.metadata();
    output::note(&format!(
        "{} {}: loaded in {:.0} ms{}",
        metadata.id,
        metadata.version,
        driver.load_time().as_secs_f64() * 1000.0,
        if driver.is_from_cache() { " from the cache" } else { "" },
    ));
    if !metadata.feed.polls() {
        bail!("the driver '{}' is not polled: its rows are pushed", metadata.id);
    }
    let source = driver
        .datasource("run", config, State::default())
        .await
        .map_err(|error| anyhow!("{}{}", with_hint(&error), fields(metadata)))?;
    let mut roots = tables::roots(&source, &lazy_tables(config));
    if let Some(only) = &arguments.table {
        let Some(table) = source.table(only) else {
            let names: Vec<&str> = source.tables().iter().map(|t| t.name.as_str()).collect();
            bail!("there is no table '{only}'; there are: {}", names.join(", "));
        };
        roots = vec![table.root_name().to_owned()];
    }
    let begun = Instant::now();
    let polled = tables::poll(&source, &roots).await.map_err(|error| {
        let ms = begun.elapsed().as_secs_f64() * 1000.0;
        anyhow!("the poll failed after {ms:.0} ms: {}", with_hint(&error))
    })?;
    output::write(&print::polled(&source, &polled, arguments.table.as_deref(), format)?)?;
    for (table, error) in &polled.failed {
        output::note(&format!("table '{table}' could not be read: {}", with_hint(error)));
    }
    output::note(&format!(
        "polled in {:.1} ms, {:.1} of them for the instance (rows: {}, tables: {}, requests: {})",
        polled.figures.duration.as_secs_f64() * 1000.0,
        polled.figures.instance.as_secs_f64() * 1000.0,
        polled.figures.rows,
        polled.tables.len(),
        polled.figures.requests,
    ));
    if polled.failed.is_empty() { Ok(()) } else { bail!("not every table could be read") }
}

/// The fields of a driver, after an error in a configuration.
fn fields(metadata: &congress_plugins::Metadata) -> String {
    let field = |field: &congress_plugins::ConfigField| {
        let mark = if field.required && field.default.is_none() { " (required)" } else { "" };
        format!("\n  {}{mark}: {}", field.name, field.description)
    };
    let fields: String = metadata.config.iter().map(field).collect();
    match fields.is_empty() {
        true => "\nThe driver has no fields.".to_owned(),
        false => format!("\nIts fields, to be set with --config NAME=VALUE:{fields}"),
    }
}

/// What the driver logs goes to standard error, as harmless as everything else.
fn show_log(verbose: bool) {
    let level = if verbose { "trace" } else { "warn" };
    let filter = tracing_subscriber::EnvFilter::new(format!("congress_plugins::guest={level}"));
    // Fails only if there is one already.
    let _ = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(false)
        .with_writer(|| output::Notes)
        .with_target(false)
        .without_time()
        .try_init();
}
