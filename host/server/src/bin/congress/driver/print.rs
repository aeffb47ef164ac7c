//! Printing the tables of a poll.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use congress_plugins::Datasource;
use congress_server::fixture::compare;
use congress_server::fixture::tables::Polled;
use congress_table::Table;
use serde_json::{Value, json};

use crate::output::{self, Format};

/// What a poll gave, as text in one of the formats.
pub(super) fn polled(
    source: &Datasource,
    polled: &Polled,
    only: Option<&str>,
    format: Format,
) -> anyhow::Result<String> {
    let shown: BTreeMap<&String, &Table> =
        polled.tables.iter().filter(|(name, _)| only.is_none_or(|only| only == *name)).collect();
    let mut text = String::new();
    match format {
        Format::Json | Format::Yaml => {
            let failed = polled.failed.iter().map(|(table, e)| (table.clone(), e.to_string()));
            let tables = shown.iter().map(|(name, table)| {
                let value = json!({"columns": columns(source, name), "rows": rows(table)});
                ((*name).clone(), value)
            });
            let value = json!({
                "tables": tables.collect::<serde_json::Map<_, _>>(),
                "failed": failed.collect::<BTreeMap<_, _>>(),
                "rows": polled.figures.rows,
                "requests": polled.figures.requests,
                "milliseconds": polled.figures.duration.as_secs_f64() * 1000.0,
                "instance_milliseconds": polled.figures.instance.as_secs_f64() * 1000.0,
            });
            text = output::structured(&value, format)?;
        }
        Format::Table => {
            for (name, table) in shown {
                let _ = writeln!(text, "{}", output::clean(name));
                let cells = cells(table, false);
                text += &output::lay_out(&columns(source, name), &cells, format);
                let _ = writeln!(text, "{}", output::counted(cells.len()));
            }
        }
        Format::Csv | Format::Value => {
            let several = shown.len() > 1;
            for (name, table) in shown {
                if several {
                    let _ = writeln!(text, "# {}", output::clean(name));
                }
                text += &output::lay_out(&columns(source, name), &cells(table, true), format);
            }
        }
    }
    Ok(text)
}

fn columns(source: &Datasource, table: &str) -> Vec<String> {
    let schema = source.table(table);
    schema.map_or_else(Vec::new, |s| s.columns.iter().map(|column| column.name.clone()).collect())
}

fn rows(table: &Table) -> Vec<Vec<Value>> {
    let mut rows: Vec<Vec<Value>> =
        table.rows().map(|row| row.iter().map(compare::cell).collect()).collect();
    rows.sort_by_cached_key(|row| Value::from(row.clone()).to_string());
    rows
}

/// The cells as texts. A null is an empty field in CSV, and said to be one for people.
fn cells(table: &Table, empty_nulls: bool) -> Vec<Vec<String>> {
    let text = |value: &Value| match value {
        Value::String(text) => text.clone(),
        Value::Null if empty_nulls => String::new(),
        other => other.to_string(),
    };
    rows(table).iter().map(|row| row.iter().map(text).collect()).collect()
}
