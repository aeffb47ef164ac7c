//! Rows that any service pushes as JSON, as a mapping in the configuration says.
//! `docs/drivers/webhook_json.md` describes the mapping.

mod held;
mod mapping;
mod memory;

use std::collections::BTreeMap;
use std::time::{SystemTime, UNIX_EPOCH};

use congress_driver::prelude::*;
use congress_driver::tables::TableSet;
use congress_driver::{mapping::read, state};
use held::{Held, Outline, keyless};
use mapping::Source;
use memory::{Memory, Records};
use serde_json::Value as Json;

struct WebhookJson;

impl Driver for WebhookJson {
    fn metadata() -> Metadata {
        let description = "Takes JSON that services push, as a mapping in its configuration says.";
        metadata("webhook_json", env!("CARGO_PKG_VERSION"), description)
            .with_feed(Feed::PollAndPush)
            .with_config([
                field("tables", "The mapping: {table: {rows, key, columns, ttl, …}}.")
                    .of(FieldType::Json)
                    .required(),
                field("persist_data", "Keep pushed rows over restarts; not with a `ttl`.")
                    .of(FieldType::Boolean),
                field("poll_time", "Seconds between looks for rows whose time has run out.")
                    .of(FieldType::Integer),
            ])
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        let persists = config.boolean("persist_data")?.unwrap_or(false);
        let mut tables: Vec<Table> = Vec::new();
        for (name, source) in sources(config)? {
            if persists && source.remembers() {
                return Err(Error::Config(format!(
                    "field 'persist_data': table '{name}' has a 'ttl', or a 'key' that is not in its \
                     columns and in its children's 'parent'; what it needs to know ends with the \
                     server, and rows that outlast it would never go"
                )));
            }
            for table in source.rows.translator(&name)?.tables() {
                if tables.iter().any(|other| other.name == table.name) {
                    return Err(Error::Config(format!("table '{}' is declared twice", table.name)));
                }
                tables.push(table);
            }
        }
        Ok(tables)
    }

    /// Nothing is asked for; rows whose time has run out go.
    fn poll(config: &Config, _: &Wanted) -> Result<()> {
        let now = now();
        for (table, source) in sources(config)?.iter().filter(|(_, source)| source.ttl.is_some()) {
            if source.key.is_some() {
                memory_of(table)?.expire(now).store(table)?;
            } else if state::get_as::<u64>(&ends(table)).is_some_and(|end| end <= now) {
                replace(table, source, &[])?;
                state::remove(&ends(table))?;
            }
        }
        Ok(())
    }

    fn receive(config: &Config, push: Push) -> Result<()> {
        let sources = sources(config)?;
        match push {
            Push::Rows((table, json)) => {
                let source = sources.get(&table).ok_or_else(|| {
                    Error::Unsupported(format!("rows are pushed to root tables; '{table}' is none"))
                })?;
                match parsed(&json)? {
                    Json::Array(records) => {
                        let records: Vec<&Json> = records.iter().collect();
                        if let Some(held) = &source.held {
                            forget(&table)?;
                            replace(&table, source, &held.left(&table, source, &records)?)
                        } else if source.key.is_some() {
                            let memory = memory_of(&table)?.emptied();
                            remember(&table, source, memory, &records)
                        } else {
                            replace(&table, source, &records)
                        }
                    }
                    other => Err(unlike("a list of objects", &other)),
                }
            }
            Push::Webhook(json) => webhook(&sources, &parsed(&json)?),
        }
    }
}

type Sources = BTreeMap<String, Source>;

fn sources(config: &Config) -> Result<Sources> {
    let mut sources: Sources = read(config, "tables")?;
    for (table, outline) in read::<BTreeMap<String, Outline>>(config, "tables")? {
        if let Some(source) = sources.get_mut(&table) {
            source.held = Held::of(source, outline);
        }
    }
    Ok(sources)
}

/// Gives each table the records that are for it.
fn webhook(sources: &Sources, payload: &Json) -> Result<()> {
    let mut found = false;
    for (table, source) in sources {
        // What is for one table need not have anything for another.
        let Some(records) = source.records(payload) else { continue };
        found = true;
        if let Some(held) = &source.held {
            forget(table)?;
            held.put(table, source, &records)?;
        } else if source.key.is_some() {
            remember(table, source, memory_of(table)?, &records)?;
        } else {
            replace(table, source, &records)?;
        }
    }
    if found {
        return Ok(());
    }
    let places: Vec<String> =
        sources.iter().map(|(table, source)| format!("{table}: {}", source.rows.rows)).collect();
    Err(Error::Protocol(format!(
        "the payload has records for no table; they are expected at {}",
        places.join(", ")
    )))
}

/// The records are all that the table holds from now on.
fn replace(table: &str, source: &Source, records: &[&Json]) -> Result<()> {
    let translator = source.rows.translator(table)?;
    let mut rows = TableSet::of(&translator);
    translator.translate(records.iter().copied(), &mut rows)?;
    rows.finish()?;
    match source.ttl {
        Some(ttl) => state::set(&ends(table), now().saturating_add(ttl)),
        None => Ok(()),
    }
}

/// Each record takes the place of that with the same key.
fn remember(table: &str, source: &Source, mut memory: Memory, records: &[&Json]) -> Result<()> {
    let translator = source.rows.translator(table)?;
    let end = source.ttl.map(|ttl| now().saturating_add(ttl));
    for record in records {
        let key = source.key_of(record).map_err(|what| keyless(table, &what))?;
        if source.removes(record) {
            memory.forget(&key);
        } else {
            let mut rows = Records::default();
            translator.translate([*record], &mut rows)?;
            memory.put(key, end, rows);
        }
    }
    memory.expire(now()).store(table)
}

fn memory_of(table: &str) -> Result<Memory> {
    match state::get(&remembered(table)) {
        Some(text) => Memory::parse(&text),
        None => Ok(Memory::default()),
    }
}

/// Removes what an earlier build has remembered of a table whose records the host holds: it takes room,
/// and is no longer true.
fn forget(table: &str) -> Result<()> {
    state::remove(&remembered(table))
}

/// The key of the state that says when a table's content ends, in seconds since 1970.
fn ends(table: &str) -> String {
    format!("ends {table}")
}

/// The key of the state that holds a table's records.
fn remembered(table: &str) -> String {
    format!("records {table}")
}

fn parsed(json: &str) -> Result<Json> {
    serde_json::from_str(json)
        .map_err(|error| Error::Protocol(format!("what was pushed is not JSON: {error}")))
}

fn unlike(expected: &str, found: &Json) -> Error {
    let found = congress_driver::json::kind(found);
    Error::Protocol(format!("what was pushed is {found}, not {expected}"))
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

congress_driver::export_driver!(WebhookJson);

#[cfg(test)]
mod tests {
    use super::*;

    fn tables(mapping: &str, persist: &str) -> Result<Vec<String>> {
        let fields = [("tables", mapping), ("persist_data", persist)];
        let fields = fields.map(|(k, v)| (k.to_owned(), v.to_owned())).into();
        let tables = WebhookJson::tables(&Config::new(fields))?;
        Ok(tables.into_iter().map(|table| table.name).collect())
    }

    #[test]
    fn mappings_declare_tables() {
        let mapping = r#"{"hosts": {"rows": "hosts", "key": "id", "columns": ["id", "state"],
            "children": {"hosts.tags": {"rows": "tags", "parent": "id", "value": "tag"}},
            "remove": {"path": "state", "is": "gone"}, "ttl": 60}}"#;
        assert_eq!(tables(mapping, "false").unwrap(), ["hosts.tags", "hosts"]);
        let kept = r#"{"t": {"columns": ["a"], "key": "a"}, "u": {"columns": ["b"]}}"#;
        assert_eq!(tables(kept, "true").unwrap(), ["t", "u"]);
    }

    #[test]
    fn mistakes_are_named() {
        for (mapping, persist, message) in [
            (r#"{"t": {"columns": ["a"], "key": "b"}}"#, "true", "a 'key' that is not in its"),
            (r#"{"t": {"columns": ["a"], "key": "a", "ttl": 9}}"#, "true", "has a 'ttl'"),
            (
                r#"{"t": {"columns": ["a"], "remove": {"path": "a", "is": 1}}}"#,
                "false",
                "'remove' needs a 'key'",
            ),
            (r#"{"t": {"columns": ["a"], "key": "a[*]"}}"#, "false", "selects many"),
            (r#"{"t": {"columns": ["a"], "ttl": 0}}"#, "false", "'ttl' must be at least 1"),
            (r#"{"t": {"columns": ["a"], "ky": "a"}}"#, "false", "unknown field `ky`"),
            (
                r#"{"t": {"columns": ["a"]}, "u": {"columns": ["b"], "children": {"t": {"rows": "x", "parent": "b", "value": "v"}}}}"#,
                "false",
                "'t' is declared twice",
            ),
        ] {
            let Err(Error::Config(text)) = tables(mapping, persist) else { panic!("{mapping}") };
            assert!(text.contains(message), "{text}");
        }
    }
}
