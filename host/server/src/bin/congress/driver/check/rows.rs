//! A poll with real answers: its rows against what the driver declares.

use std::collections::BTreeMap;
use std::net::IpAddr;

use congress_plugins::{Datasource, Driver, State};
use congress_server::datasources::lazy_tables;
use congress_server::fixture::tables;
use congress_table::{Column, ColumnType, Table, Value};

use super::calls::Subject;
use super::plausible;
use super::report::Report;
use super::wire::Service;
use crate::driver::hosting::with_hint;

/// Polls with the author's configuration or fixture, in a host that takes no bad row.
pub(super) async fn check(
    subject: &Subject,
    strict: &Driver,
    service: Service,
    given: bool,
    report: &mut Report,
) {
    const POLLS: &str = "polls";
    const MATCH: &str = "rows match the declared columns";
    const WANTED: &str = "gives the tables that are wanted, and no others";
    let metadata = strict.metadata();
    let skip = |report: &mut Report, reason: &str| {
        for check in [POLLS, MATCH, WANTED] {
            report.skip(check, reason);
        }
    };
    if !metadata.feed.polls() {
        return skip(report, "its rows are pushed");
    }
    let needs = metadata.config.iter().any(|field| field.required && field.default.is_none());
    if !given && (needs || !metadata.hosts.is_empty()) {
        return skip(
            report,
            "give --config KEY=VALUE or --fixture FILE, to poll with real answers",
        );
    }
    subject.wire.become_service(service);
    let config = if given { subject.given.clone() } else { plausible(metadata, &subject.given) };
    let source = match strict.datasource("check", &config, State::default()).await {
        Ok(source) => source,
        Err(error) => {
            report.fail(POLLS, with_hint(&error));
            return;
        }
    };
    let roots = tables::roots(&source, &lazy_tables(&config));
    let polled = match tables::poll(&source, &roots).await {
        Ok(polled) => polled,
        Err(error) => {
            report.fail(POLLS, with_hint(&error));
            return;
        }
    };
    let failed =
        polled.failed.iter().map(|(table, error)| format!("'{table}': {}", with_hint(error)));
    report.judge(POLLS, &failed.collect::<Vec<_>>());
    if polled.tables.values().all(Table::is_empty) {
        report.skip(MATCH, "no table has rows");
    } else {
        let (wrong, mixed) = mismatches(&source, &polled.tables);
        report.judge_with_notes(MATCH, &wrong, &mixed);
    }
    match unwanted(&source, &roots).await {
        Ok(notes) => report.judge_with_notes(WANTED, &[], &notes),
        Err(problem) => report.fail(WANTED, problem),
    }
}

/// Polls one root table at a time. Reading more than is wanted is allowed, and a waste.
async fn unwanted(source: &Datasource, roots: &[String]) -> Result<Vec<String>, String> {
    /// More polls would tell no more.
    const TRIED: usize = 10;
    let mut notes = Vec::new();
    for root in roots.iter().take(TRIED).filter(|_| roots.len() > 1) {
        let wanted = [root.clone()];
        let polled = tables::poll(source, &wanted)
            .await
            .map_err(|error| format!("asked for '{root}' alone: {}", error.kind))?;
        let is_wanted = |name: &String| source.table(name).is_some_and(|s| s.root_name() == root);
        let extra: Vec<&str> =
            polled.tables.keys().filter(|name| !is_wanted(name)).map(String::as_str).collect();
        if !extra.is_empty() {
            notes.push(format!(
                "asked for '{root}' alone, it also reads '{}': lazy tables then save nothing",
                extra.join("', '")
            ));
        }
    }
    Ok(notes)
}

/// Columns of which no cell is what they say, and those of which some are not: the declaration is
/// not enforced, for a service that breaks its own promises must not lose the row.
fn mismatches(source: &Datasource, tables: &BTreeMap<String, Table>) -> (Vec<String>, Vec<String>) {
    let (mut wrong, mut mixed) = (Vec::new(), Vec::new());
    for (name, table) in tables {
        let Some(schema) = source.table(name) else { continue };
        for (position, column) in schema.columns.iter().enumerate() {
            let cells = || table.rows().filter_map(|row| row.get(position));
            let Some(cell) = cells().find(|cell| !fits(column, cell)) else { continue };
            let text = format!(
                "table '{name}', column '{}' is declared {}{}, but holds {}",
                column.name,
                declared(column.column_type),
                if column.nullable { "" } else { " without nulls" },
                congress_server::fixture::compare::cell(cell),
            );
            match cells().any(|cell| fits(column, cell) && !matches!(cell, Value::Null)) {
                true => mixed.push(text + " among others"),
                false => wrong.push(text),
            }
        }
    }
    (wrong, mixed)
}

fn declared(column_type: ColumnType) -> &'static str {
    match column_type {
        ColumnType::Any => "any",
        ColumnType::Boolean => "boolean",
        ColumnType::Integer => "integer",
        ColumnType::Float => "float",
        ColumnType::Text => "text",
        ColumnType::Uuid => "uuid",
        ColumnType::IpAddress => "ip-address",
        ColumnType::IpNetwork => "ip-network",
    }
}

fn fits(column: &Column, cell: &Value) -> bool {
    match (column.column_type, cell) {
        (_, Value::Null) => column.nullable,
        (ColumnType::Any, _)
        | (ColumnType::Boolean, Value::Bool(_))
        | (ColumnType::Integer, Value::Int(_))
        | (ColumnType::Float, Value::Int(_) | Value::Float(_))
        | (ColumnType::Text, Value::Text(_)) => true,
        (ColumnType::Uuid, Value::Text(text)) => uuid::Uuid::try_parse(text).is_ok(),
        (ColumnType::IpAddress, Value::Text(text)) => text.parse::<IpAddr>().is_ok(),
        (ColumnType::IpNetwork, Value::Text(text)) => is_network(text),
        _ => false,
    }
}

/// An address, and the length of a prefix: `10.0.0.0/8`.
fn is_network(text: &str) -> bool {
    let Some((address, prefix)) = text.split_once('/') else { return false };
    let longest = match address.parse() {
        Ok(IpAddr::V4(_)) => 32,
        Ok(IpAddr::V6(_)) => 128,
        Err(_) => return false,
    };
    prefix.parse::<u8>().is_ok_and(|prefix| prefix <= longest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cells_fit_their_columns() {
        let column = |column_type, nullable| Column {
            name: "c".to_owned(),
            description: None,
            column_type,
            nullable,
        };
        let text = |text: &str| Value::text(text);
        for (column_type, good, bad) in [
            (ColumnType::Boolean, Value::Bool(true), Value::Int(1)),
            (ColumnType::Integer, Value::Int(1), Value::Float(1.0)),
            (ColumnType::Float, Value::Int(1), text("1")),
            (ColumnType::Text, text(""), Value::Int(1)),
            (ColumnType::Uuid, text("936DA01F9ABD4d9d80C702AF85C822A8"), text("x")),
            (ColumnType::IpAddress, text("::1"), text("localhost")),
            (ColumnType::IpNetwork, text("10.0.0.0/8"), text("10.0.0.0/33")),
        ] {
            assert!(fits(&column(column_type, false), &good), "{column_type:?} {good:?}");
            assert!(!fits(&column(column_type, true), &bad), "{column_type:?} {bad:?}");
            assert!(!fits(&column(column_type, false), &Value::Null));
            assert!(fits(&column(column_type, true), &Value::Null));
        }
    }
}
