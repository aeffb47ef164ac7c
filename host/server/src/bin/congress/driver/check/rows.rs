//! A poll with real answers: its rows against what the driver declares.

use std::collections::BTreeMap;
use std::net::IpAddr;

use congress_plugins::{Datasource, State};
use congress_server::datasources::lazy_tables;
use congress_server::fixture::tables::{self, Polled};
use congress_table::{Column, ColumnType, Table, Value};

use super::calls::Subject;
use super::plausible;
use super::report::Report;
use super::wire::Service;
use crate::driver::hosting::with_hint;

/// Polls with the author's configuration or fixture.
pub(super) async fn check(subject: &Subject, service: Service, given: bool, report: &mut Report) {
    const POLLS: &str = "polls";
    const MATCH: &str = "rows match the declared columns";
    const WANTED: &str = "gives the tables that are wanted, and no others";
    let metadata = subject.driver.metadata();
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
    let source = match subject.driver.datasource("check", &config, State::default()).await {
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
        report.judge(MATCH, &mismatches(&source, &polled.tables));
    }
    report.judge(WANTED, &unwanted(&source, &roots).await);
}

/// Polls one root table at a time, and none.
async fn unwanted(source: &Datasource, roots: &[String]) -> Vec<String> {
    /// More polls would tell no more.
    const TRIED: usize = 10;
    let mut problems = Vec::new();
    let mut lists: Vec<Vec<String>> = vec![Vec::new()];
    if roots.len() > 1 {
        lists.extend(roots.iter().take(TRIED).map(|root| vec![root.clone()]));
    }
    for wanted in lists {
        match tables::poll(source, &wanted).await {
            Err(error) => problems.push(format!("asked for {wanted:?}: {}", error.kind)),
            Ok(Polled { tables, .. }) => {
                let is_wanted = |name: &str| {
                    let schema = source.table(name);
                    schema.is_some_and(|s| wanted.iter().any(|w| w == s.root_name()))
                };
                let extra: Vec<&String> = tables.keys().filter(|name| !is_wanted(name)).collect();
                if !extra.is_empty() {
                    problems.push(format!(
                        "asked for {wanted:?}, it also reads {extra:?}: a lazy table costs requests \
                         that nobody needs"
                    ));
                }
            }
        }
    }
    problems
}

/// Cells that are not what their columns say; one per column.
fn mismatches(source: &Datasource, tables: &BTreeMap<String, Table>) -> Vec<String> {
    let mut problems = Vec::new();
    for (name, table) in tables {
        let Some(schema) = source.table(name) else { continue };
        for (position, column) in schema.columns.iter().enumerate() {
            let wrong = table.rows().filter_map(|row| row.get(position)).find(|c| !fits(column, c));
            if let Some(cell) = wrong {
                problems.push(format!(
                    "table '{name}', column '{}' is declared {}{}, but holds {cell:?}",
                    column.name,
                    declared(column.column_type),
                    if column.nullable { "" } else { " without nulls" },
                ));
            }
        }
    }
    problems
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
