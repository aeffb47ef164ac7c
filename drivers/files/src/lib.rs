//! Tables from files and from what HTTP serves as such: CSV and TSV, JSON, YAML, colon-separated
//! files such as `/etc/passwd`, plain lines; and whether the paths in a column exist. `drivers/files/README.md` describes the mapping.

mod content;
mod delimited;
mod mapping;

use std::collections::{BTreeMap, BTreeSet};

use congress_driver::conditional::Version;
use congress_driver::describe::login;
use congress_driver::files::{self, FileError};
use congress_driver::mapping::{Rows, read};
use congress_driver::prelude::*;
use congress_driver::rows::TableWriter;
use congress_driver::tables::TableSet;
use mapping::{Existence, Form, Source};

struct Files;

impl Driver for Files {
    fn metadata() -> Metadata {
        let description =
            "Reads tables from files and addresses: CSV, TSV, JSON, YAML, colon-separated, lines.";
        metadata("files", env!("CARGO_PKG_VERSION"), description)
            .with_session(SessionKind::Configured)
            .with_files(["{folder}"])
            .with_hosts(["{url}"])
            .with_config([
                field("folder", "Where relative paths in `tables` start; nothing outside is read."),
                field("tables", "The mapping: {table: {path, format, columns, …}}.")
                    .of(FieldType::Json)
                    .required(),
                field("url", "The address that each `url` in `tables` is below."),
            ])
            .with_config(login("none"))
            .with_config([poll_time(), lazy_tables()])
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        let sources = sources(config)?;
        let mut tables: Vec<Table> = Vec::new();
        for (name, source) in &sources {
            for table in source.tables(name, &sources, config)? {
                if tables.iter().any(|other| other.name == table.name) {
                    return Err(Error::Config(format!("table '{}' is declared twice", table.name)));
                }
                tables.push(table);
            }
        }
        Ok(tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let sources = sources(config)?;
        wanted.each(sources.keys().map(String::as_str), |name| match sources.get(name) {
            Some(source) => poll(config, &sources, name, source),
            None => Ok(()),
        })
    }
}

type Sources = BTreeMap<String, Source>;

fn sources(config: &Config) -> Result<Sources> {
    read(config, "tables")
}

fn poll(config: &Config, sources: &Sources, name: &str, source: &Source) -> Result<()> {
    if let Form::Exists(existence) = &source.form {
        let paths = paths_to_check(config, sources, existence)?;
        let rows = paths.into_iter().map(|path| {
            let exists = exists(&path);
            vec![path.into(), exists.into()]
        });
        return rows::replace(name, rows);
    }
    let location = source.location(config)?;
    let Some((content, version)) = content::changed(&location, name)? else { return Ok(()) };
    let place = location.text();
    match &source.form {
        Form::Delimited(delimited) => {
            let columns = source.columns(delimited, config)?;
            let mut rows = TableWriter::new(name);
            let mut lists: Vec<TableWriter> =
                delimited.lists.keys().map(|table| TableWriter::new(table)).collect();
            delimited.read(content, place, &columns, |row| {
                for (list, writer) in delimited.lists.values().zip(&mut lists) {
                    list.split(&columns, &row).into_iter().try_for_each(|row| writer.push(row))?;
                }
                rows.push(row)
            })?;
            lists.into_iter().try_for_each(TableWriter::finish)?;
            rows.finish()?;
        }
        Form::Json(mapping) => tree(name, mapping, place, &content.json(place)?)?,
        Form::Yaml(mapping) => tree(name, mapping, place, &content.yaml(place)?)?,
        Form::Exists(_) => {}
    }
    version.map_or(Ok(()), Version::keep)
}

/// Sends the rows of a list somewhere in a JSON value.
fn tree(table: &str, mapping: &Rows, place: &str, content: &serde_json::Value) -> Result<()> {
    let items = mapping.items(content).map_err(|found| {
        Error::Protocol(format!("{place}: {} is {found}, not a list", mapping.rows))
    })?;
    let translator = mapping.translator(table)?;
    let mut rows = TableSet::of(&translator);
    translator.translate(items, &mut rows)?;
    rows.finish()
}

/// The distinct values of the column whose paths are to be checked.
fn paths_to_check(
    config: &Config,
    sources: &Sources,
    existence: &Existence,
) -> Result<BTreeSet<String>> {
    let (source, delimited) = existence.source(sources)?;
    let location = source.location(config)?;
    let columns = source.columns(delimited, config)?;
    let Some(column) = columns.iter().flatten().position(|c| c.name == existence.column) else {
        return Ok(BTreeSet::new());
    };
    let mut paths = BTreeSet::new();
    delimited.read(content::whole(&location)?, location.text(), &columns, |row| {
        if let Some(Value::Text(path)) = row.into_iter().nth(column) {
            paths.insert(path);
        }
        Ok(())
    })?;
    Ok(paths)
}

/// Whether a path exists. Not known, and no error, where the operator has granted no look at it:
/// the paths come from a file's content, which nobody can be expected to have granted in full.
fn exists(path: &str) -> Option<bool> {
    if !path.starts_with('/') {
        return None;
    }
    match files::info(path) {
        Ok(_) => Some(true),
        Err(FileError::NotFound(_)) => Some(false),
        Err(FileError::Denied(_) | FileError::Other(_)) => None,
    }
}

congress_driver::export_driver!(Files);
