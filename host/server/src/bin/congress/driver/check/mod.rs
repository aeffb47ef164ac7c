//! `congress driver check`: looks for mistakes before an operator finds them.
//!
//! Everything runs in the same host as in a server. But for the one poll of `--config`, requests
//! are answered here: nothing is sent to any service.

mod calls;
mod odd;
mod report;
mod rows;
mod shape;
mod wire;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;
use congress_plugins::{ConfigValues, Limits, Wire};
use serde_json::{Value, json};

use self::calls::Subject;
use self::report::Report;
use self::wire::{CheckWire, Service};
use super::hosting::{existing, with_limits};
use super::options::Component;
use super::replay;
use crate::output::{self, Format};

/// What `check` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    #[command(flatten)]
    component: Component,
    /// A fixture whose answers a poll gets, instead of the service that --config names.
    #[arg(long, conflicts_with_all = ["fields", "config_file"])]
    fixture: Option<PathBuf>,
}

pub(super) async fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    let file = existing(&arguments.component.file)?;
    let fixture = arguments.fixture.as_deref().map(replay::read).transpose()?;
    let (given, service) = match &fixture {
        Some(fixture) => (replay::config(fixture), Service::fixture(fixture)),
        None => (arguments.component.config.values()?, Service::Network),
    };
    let wire = Arc::new(CheckWire::default());
    // What a driver asks of a service that gives nonsense must not take a minute each time.
    let timeout = arguments.component.grants.call_timeout.min(odd::PATIENCE);
    let limits = Limits { call_timeout: timeout, ..Limits::default() };
    // Rows that a table refuses and a driver forgets about are lost without a word: here the
    // first one tells.
    let strict = Limits { refused_batches: 0, ..limits.clone() };
    let host = |limits| {
        with_limits(&arguments.component.grants, limits, Some(wire.clone() as Arc<dyn Wire>))
    };
    let (host, strict) = (host(limits)?, host(strict)?);

    let mut report = Report::default();
    if let Some(driver) = shape::check(&host, file, &mut report).await {
        let is_given = !given.is_empty() || fixture.is_some();
        let strict = strict.load(file).await?;
        let subject = Subject { driver, given, wire: wire.clone() };
        rows::check(&subject, &strict, service, is_given, &mut report).await;
        odd::check(&subject, &mut report).await;
        calls::check(&subject, &mut report).await;
    }
    output::write(&match format {
        Format::Json | Format::Yaml => output::structured(&serde_json::to_value(&report)?, format)?,
        Format::Csv | Format::Value => {
            output::lay_out(&report::HEADING.map(str::to_owned), &report.lines(), format)
        }
        Format::Table => output::clean_lines(&report.to_string()),
    })?;
    Ok(if report.failures() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// A configuration that a datasource could have: what is given, defaults, and something plausible
/// for whatever must be there.
fn plausible(metadata: &congress_plugins::Metadata, given: &ConfigValues) -> ConfigValues {
    use congress_plugins::FieldType;
    let mut config = given.clone();
    for field in &metadata.config {
        let place = format!("{{{}}}", field.name);
        let is_address = metadata.hosts.iter().any(|host| host.starts_with(&place))
            || field.name.contains("url")
            || field.name.contains("endpoint");
        let wanted = field.required || is_address || field.name == "username";
        if !wanted || field.default.is_some() || config.contains_key(&field.name) {
            continue;
        }
        let value: Value = match field.field_type {
            FieldType::Text if is_address => congress_server::fixture::BASE.into(),
            FieldType::Text => "check".into(),
            FieldType::Integer => json!(1),
            FieldType::Float => json!(1.5),
            FieldType::Boolean => json!(true),
            FieldType::Json => json!({}),
        };
        config.insert(field.name.clone(), value);
    }
    config
}
