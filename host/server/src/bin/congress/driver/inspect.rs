//! `congress driver inspect`: what a component is and what it wants.

use std::fmt::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use clap::Args;
use congress_plugins::{Inspection, Metadata, Standing};
use serde_json::{Value, json};

use super::hosting::{announced, existing, host, load};
use super::options::Grants;
use crate::output::{self, Format};

/// What `inspect` takes.
#[derive(Args)]
pub(crate) struct Arguments {
    /// The component.
    file: PathBuf,
}

pub(super) async fn run(arguments: &Arguments, format: Format) -> anyhow::Result<ExitCode> {
    if matches!(format, Format::Csv | Format::Value) {
        bail!("what a component is has no rows; choose -f table, json or yaml");
    }
    let grants = Grants { call_timeout: std::time::Duration::from_secs(60), ..Grants::default() };
    let host = host(&grants, None)?;
    let file = existing(&arguments.file)?;
    let inspection = announced(file, host.inspect(file)).await?;
    // What cannot be loaded is shown as far as it goes.
    let metadata = match load(&host, &arguments.file).await {
        Ok(driver) => Ok(driver.metadata().clone()),
        Err(error) => Err(error.kind.to_string()),
    };
    let text = match format {
        Format::Table => output::clean_lines(&as_text(&inspection, &metadata)),
        structured => output::structured(&as_json(&inspection, &metadata), structured)?,
    };
    output::write(&text)?;
    match metadata {
        Ok(_) => Ok(ExitCode::SUCCESS),
        Err(_) => Ok(ExitCode::FAILURE),
    }
}

fn as_json(inspection: &Inspection, metadata: &Result<Metadata, String>) -> Value {
    let imports: Vec<Value> = inspection
        .imports
        .iter()
        .map(|import| json!({"name": import.name, "standing": word(import.standing)}))
        .collect();
    json!({
        "size": inspection.size,
        "hash": inspection.hash,
        "world_version": inspection.world_version.as_ref().ok(),
        "problem": inspection.world_version.as_ref().err().or(metadata.as_ref().err()),
        "exports": inspection.exports,
        "imports": imports,
        "driver": metadata.as_ref().ok(),
    })
}

fn as_text(inspection: &Inspection, metadata: &Result<Metadata, String>) -> String {
    let mut text = String::new();
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "{name:<10}{value}");
    };
    if let Ok(metadata) = metadata {
        line("driver", &format!("{} {}", metadata.id, metadata.version));
        line("", &metadata.description);
    }
    if let Err(problem) = metadata {
        line("problem", &format!("it {problem}"));
    }
    if let Ok(version) = &inspection.world_version {
        line("world", &format!("congress:datasource@{version}"));
    }
    line("size", &format!("{} bytes", inspection.size));
    line("sha256", &inspection.hash);
    if let Ok(metadata) = metadata {
        line("feed", &name(&metadata.feed));
        line("session", &name(&metadata.session));
        line("hosts", &or_none(metadata.hosts.join(" ")));
        line("files", &or_none(metadata.files.join(" ")));
        text += &described(metadata);
    } else {
        line("exports", &or_none(inspection.exports.join(" ")));
    }
    text += "\nimports\n";
    let width = inspection.imports.iter().map(|import| import.name.len()).max().unwrap_or(0);
    for import in &inspection.imports {
        let _ = writeln!(text, "  {:<width$}  {}", import.name, explained(import.standing));
    }
    text
}

/// Configuration, tables and actions.
fn described(metadata: &Metadata) -> String {
    let mut text = String::from("\nconfiguration\n");
    for field in metadata.fields() {
        let mut marks = vec![name(&field.field_type)];
        marks.extend(field.required.then(|| "required".to_owned()));
        marks.extend(field.secret.then(|| "secret".to_owned()));
        marks.extend(field.default.as_ref().map(|value| format!("default {value:?}")));
        let _ = writeln!(text, "  {} ({}): {}", field.name, marks.join(", "), field.description);
    }
    text += "\ntables\n";
    if metadata.tables.is_empty() {
        text += "  as the configuration says\n";
    }
    for table in &metadata.tables {
        let columns = table.columns.iter().map(|column| match name(&column.column_type) {
            any if any == "any" => column.name.clone(),
            other => format!("{}: {other}", column.name),
        });
        let columns = columns.collect::<Vec<_>>().join(", ");
        let with = table.root.as_ref().map_or(String::new(), |root| format!(", with {root}"));
        let _ = writeln!(text, "  {}({columns}){with}", table.name);
    }
    if !metadata.actions.is_empty() {
        text += "\nactions\n";
    }
    for action in &metadata.actions {
        let others = action.takes_others.then_some("…");
        let arguments = action.arguments.iter().map(|a| a.name.as_str()).chain(others);
        let arguments: Vec<_> = arguments.collect();
        let _ = writeln!(text, "  {}({})", action.name, arguments.join(", "));
    }
    text
}

/// The name of a variant, as the API spells it.
fn name(value: &impl serde::Serialize) -> String {
    let value = serde_json::to_value(value).unwrap_or_default();
    value.as_str().unwrap_or_default().replace('_', "-")
}

fn or_none(text: String) -> String {
    if text.is_empty() { "none".to_owned() } else { text }
}

fn word(standing: Standing) -> &'static str {
    match standing {
        Standing::Granted => "granted",
        Standing::Empty => "empty",
        Standing::Refused => "refused",
    }
}

fn explained(standing: Standing) -> &'static str {
    match standing {
        Standing::Granted => "granted",
        Standing::Empty => "empty: there to link against, does nothing",
        Standing::Refused => "refused: this host does not have it",
    }
}
