//! Takes over what a guest says of itself and of its tables: checked, bounded, in our own types.

use std::collections::HashSet;

use congress_table::{Column, ColumnType, TableSchema};

use crate::bindings::{driver as wit, types};
use crate::text::clean;
use crate::{
    Action, Argument, ConfigField, Feed, FieldType, Limits, Metadata, MetadataError, SessionKind,
    settings,
};

const NAME_BYTES: usize = 255;
const TEXT_BYTES: usize = 4096;
const FIELDS: usize = 256;
const ACTIONS: usize = 4096;
const ARGUMENTS: usize = 64;
const PATTERNS: usize = 64;

type Result<T> = std::result::Result<T, MetadataError>;

fn error<T>(place: impl Into<String>, problem: impl Into<String>) -> Result<T> {
    Err(MetadataError { place: clean(&place.into(), NAME_BYTES), problem: problem.into() })
}

/// Checks a driver's description.
pub(crate) fn metadata(raw: wit::Metadata, limits: &Limits) -> Result<Metadata> {
    let bytes = texts(&raw);
    within("the description", bytes, limits.metadata_bytes, "metadata_bytes")?;
    name("id", &raw.id, |c| c.is_ascii_alphanumeric() || c == '_')?;
    at_most("config", raw.config.len(), FIELDS)?;
    at_most("actions", raw.actions.len(), ACTIONS)?;
    at_most("hosts", raw.hosts.len(), PATTERNS)?;
    at_most("files", raw.files.len(), PATTERNS)?;

    let session = match raw.session {
        wit::SessionKind::None => SessionKind::None,
        wit::SessionKind::Keystone => SessionKind::Keystone,
        wit::SessionKind::Configured => SessionKind::Configured,
    };
    let config = raw.config.into_iter().map(|f| field(f, session)).collect::<Result<Vec<_>>>()?;
    unique("config", config.iter().map(|f| f.name.as_str()))?;
    for needed in needed_fields(session) {
        if config.iter().all(|field| field.name != *needed) {
            return error("config", format!("the driver's session needs a field '{needed}'"));
        }
    }
    let actions = raw.actions.into_iter().map(action).collect::<Result<Vec<_>>>()?;
    unique("actions", actions.iter().map(|a| a.name.as_str()))?;
    for (place, patterns) in [("hosts", &raw.hosts), ("files", &raw.files)] {
        for pattern in patterns {
            check_pattern(place, pattern, &config)?;
        }
    }

    Ok(Metadata {
        id: raw.id,
        version: clean(&raw.version, NAME_BYTES),
        description: clean(&raw.description, TEXT_BYTES),
        config,
        tables: tables(raw.tables, limits)?,
        actions,
        feed: match raw.feed {
            wit::Feed::Poll => Feed::Poll,
            wit::Feed::Push => Feed::Push,
            wit::Feed::PollAndPush => Feed::PollAndPush,
        },
        session,
        hosts: raw.hosts,
        files: raw.files,
    })
}

/// Checks tables: names unique and well formed, roots that exist, sizes within the limits.
pub(crate) fn tables(raw: Vec<types::Table>, limits: &Limits) -> Result<Vec<TableSchema>> {
    within("tables", raw.len(), limits.tables_per_datasource, "tables_per_datasource")?;
    let bytes = raw.iter().map(table_texts).sum();
    within("tables", bytes, limits.metadata_bytes, "metadata_bytes")?;
    let tables = raw.into_iter().map(|t| table(t, limits)).collect::<Result<Vec<_>>>()?;
    unique("tables", tables.iter().map(|t| t.name.as_str()))?;
    let roots: HashSet<&str> =
        tables.iter().filter(|t| t.root.is_none()).map(|t| t.name.as_str()).collect();
    for table in &tables {
        if let Some(root) = table.root.as_deref().filter(|root| !roots.contains(root)) {
            return error(
                format!("table '{}'", table.name),
                format!("its root '{}' is not a root table", clean(root, NAME_BYTES)),
            );
        }
    }
    Ok(tables)
}

fn table(raw: types::Table, limits: &Limits) -> Result<TableSchema> {
    name("tables", &raw.name, |c| c.is_ascii_alphanumeric() || c == '_' || c == '.')?;
    let place = format!("table '{}'", raw.name);
    within(
        &format!("{place}, columns"),
        raw.columns.len(),
        limits.columns_per_table,
        "columns_per_table",
    )?;
    let mut columns = Vec::with_capacity(raw.columns.len());
    for column in raw.columns {
        name(&format!("{place}, columns"), &column.name, |c| !c.is_control())?;
        columns.push(Column {
            name: column.name,
            description: column.description.map(|text| clean(&text, TEXT_BYTES)),
            column_type: match column.type_ {
                types::ColumnType::Any => ColumnType::Any,
                types::ColumnType::Boolean => ColumnType::Boolean,
                types::ColumnType::Integer => ColumnType::Integer,
                types::ColumnType::Float => ColumnType::Float,
                types::ColumnType::Text => ColumnType::Text,
                types::ColumnType::Uuid => ColumnType::Uuid,
                types::ColumnType::IpAddress => ColumnType::IpAddress,
                types::ColumnType::IpNetwork => ColumnType::IpNetwork,
            },
            nullable: column.nullable,
        });
    }
    unique(&format!("{place}, columns"), columns.iter().map(|c| c.name.as_str()))?;
    Ok(TableSchema { name: raw.name, columns, root: raw.root })
}

fn field(raw: wit::ConfigField, session: SessionKind) -> Result<ConfigField> {
    name("config", &raw.name, |c| c.is_ascii_alphanumeric() || c == '_' || c == '-')?;
    let field_type = match raw.type_ {
        wit::FieldType::Text => FieldType::Text,
        wit::FieldType::Integer => FieldType::Integer,
        wit::FieldType::Float => FieldType::Float,
        wit::FieldType::Boolean => FieldType::Boolean,
        wit::FieldType::Json => FieldType::Json,
    };
    let default = match raw.default {
        None => None,
        Some(text) => match settings::convert(field_type, &text.clone().into()) {
            Some(value) => Some(value),
            None => {
                return error(
                    format!("config field '{}'", raw.name),
                    format!("its default '{}' is not of its type", clean(&text, NAME_BYTES)),
                );
            }
        },
    };
    Ok(ConfigField {
        // What the host's session uses up is a secret whatever the driver says.
        secret: raw.secret || session.uses_up(&raw.name),
        name: raw.name,
        description: clean(&raw.description, TEXT_BYTES),
        field_type,
        required: raw.required,
        default,
    })
}

fn action(raw: wit::Action) -> Result<Action> {
    name("actions", &raw.name, |c| c.is_ascii_alphanumeric() || "_.-".contains(c))?;
    let place = format!("action '{}'", raw.name);
    at_most(&place, raw.arguments.len(), ARGUMENTS)?;
    let mut arguments = Vec::with_capacity(raw.arguments.len());
    for argument in raw.arguments {
        name(&place, &argument.name, |c| !c.is_control())?;
        arguments.push(Argument {
            name: argument.name,
            description: clean(&argument.description, TEXT_BYTES),
            required: argument.required,
        });
    }
    unique(&place, arguments.iter().map(|a| a.name.as_str()))?;
    Ok(Action {
        name: raw.name,
        description: clean(&raw.description, TEXT_BYTES),
        arguments,
        takes_others: raw.takes_others,
    })
}

fn needed_fields(session: SessionKind) -> &'static [&'static str] {
    match session {
        SessionKind::None => &[],
        SessionKind::Keystone => &["auth_url", "username", "password", "project_name"],
        SessionKind::Configured => &["auth"],
    }
}

/// A pattern's `{field}` parts must name fields, and no secret ones: a secret in an address would
/// show up in errors and in other people's logs.
fn check_pattern(place: &str, pattern: &str, config: &[ConfigField]) -> Result<()> {
    if pattern.len() > TEXT_BYTES {
        return error(place, "a pattern is too long");
    }
    let mut rest = pattern;
    while let Some((_, tail)) = rest.split_once('{') {
        let Some((field, tail)) = tail.split_once('}') else {
            return error(place, format!("'{}' has no closing brace", clean(pattern, NAME_BYTES)));
        };
        match config.iter().find(|f| f.name == field) {
            None => {
                let pattern = clean(pattern, NAME_BYTES);
                return error(place, format!("'{pattern}' names a field that does not exist"));
            }
            Some(f) if f.secret => {
                return error(place, format!("'{field}' is secret and cannot be in an address"));
            }
            Some(_) => {}
        }
        rest = tail;
    }
    Ok(())
}

fn name(place: &str, name: &str, allowed: impl Fn(char) -> bool) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES || !name.chars().all(allowed) {
        let shown = clean(name, NAME_BYTES);
        return error(place, format!("'{shown}' is not a valid name here"));
    }
    Ok(())
}

fn unique<'a>(place: &str, names: impl Iterator<Item = &'a str>) -> Result<()> {
    let mut seen = HashSet::new();
    for name in names {
        if !seen.insert(name) {
            return error(place, format!("'{name}' occurs twice"));
        }
    }
    Ok(())
}

/// The bytes of all texts of a description, which is kept by every node.
fn texts(raw: &wit::Metadata) -> usize {
    let config = raw.config.iter().map(|field| {
        field.name.len() + field.description.len() + field.default.as_ref().map_or(0, String::len)
    });
    let actions = raw.actions.iter().map(|action| {
        let arguments = action.arguments.iter().map(|a| a.name.len() + a.description.len());
        action.name.len() + action.description.len() + arguments.sum::<usize>()
    });
    let patterns = raw.hosts.iter().chain(&raw.files).map(String::len);
    raw.id.len()
        + raw.version.len()
        + raw.description.len()
        + config.chain(actions).chain(patterns).sum::<usize>()
        + raw.tables.iter().map(table_texts).sum::<usize>()
}

fn table_texts(table: &types::Table) -> usize {
    let columns = table
        .columns
        .iter()
        .map(|column| column.name.len() + column.description.as_ref().map_or(0, String::len));
    table.name.len() + table.root.as_ref().map_or(0, String::len) + columns.sum::<usize>()
}

/// As [`at_most`], for a limit that the operator can raise.
fn within(place: &str, count: usize, limit: usize, name: &str) -> Result<()> {
    if count > limit {
        let what = if name.ends_with("_bytes") { "bytes of text" } else { "entries" };
        return error(place, format!("{count} {what}; the limit `{name}` is {limit}"));
    }
    Ok(())
}

fn at_most(place: &str, count: usize, limit: usize) -> Result<()> {
    if count > limit {
        return error(place, format!("{count} entries; at most {limit} are allowed"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(name: &str) -> types::Column {
        types::Column {
            name: name.into(),
            description: None,
            type_: types::ColumnType::Text,
            nullable: true,
        }
    }

    fn table(name: &str, columns: &[&str], root: Option<&str>) -> types::Table {
        types::Table {
            name: name.into(),
            columns: columns.iter().map(|c| column(c)).collect(),
            root: root.map(Into::into),
        }
    }

    fn raw() -> wit::Metadata {
        wit::Metadata {
            id: "nova".into(),
            version: "1.0".into(),
            description: "Compute".into(),
            config: vec![wit::ConfigField {
                name: "url".into(),
                description: String::new(),
                type_: wit::FieldType::Text,
                required: true,
                secret: false,
                default: None,
            }],
            tables: vec![
                table("servers", &["id"], None),
                table("servers.ips", &["ip"], Some("servers")),
            ],
            actions: vec![],
            feed: wit::Feed::Poll,
            session: wit::SessionKind::None,
            hosts: vec!["{url}".into()],
            files: vec![],
        }
    }

    fn problem(change: impl FnOnce(&mut wit::Metadata)) -> String {
        let mut raw = raw();
        change(&mut raw);
        metadata(raw, &Limits::default()).unwrap_err().to_string()
    }

    #[test]
    fn a_sound_description_passes() {
        let m = metadata(raw(), &Limits::default()).unwrap();
        assert_eq!(m.tables[1].root_name(), "servers");
        assert_eq!(
            tables(vec![table("x", &[], None)], &Limits::default()).unwrap()[0].width(),
            None
        );
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(problem(|m| m.id = "a b".into()), "id: 'a b' is not a valid name here");
        assert_eq!(
            problem(|m| m.tables.push(table("servers", &["x"], None))),
            "tables: 'servers' occurs twice"
        );
        assert_eq!(
            problem(|m| m.tables.push(table("x", &["a", "a"], None))),
            "table 'x', columns: 'a' occurs twice"
        );
        assert_eq!(
            problem(|m| m.tables.push(table("x", &["a"], Some("servers.ips")))),
            "table 'x': its root 'servers.ips' is not a root table"
        );
        assert_eq!(
            problem(|m| m.hosts.push("https://{nope}".into())),
            "hosts: 'https://{nope}' names a field that does not exist"
        );
        assert_eq!(
            problem(|m| m.config[0].secret = true),
            "hosts: 'url' is secret and cannot be in an address"
        );
        assert_eq!(
            problem(|m| m.session = wit::SessionKind::Keystone),
            "config: the driver's session needs a field 'auth_url'"
        );
        assert_eq!(
            problem(|m| {
                m.config[0].type_ = wit::FieldType::Integer;
                m.config[0].default = Some("ten".into());
            }),
            "config field 'url': its default 'ten' is not of its type"
        );
    }

    #[test]
    fn texts_are_bounded_together() {
        let limits = Limits { metadata_bytes: 1_000, ..Limits::default() };
        assert!(metadata(raw(), &limits).is_ok());
        let long = "x".repeat(990);
        let changes: [fn(&mut wit::Metadata, String); 4] = [
            |m, text| m.description = text,
            |m, text| m.config[0].default = Some(text),
            |m, text| m.tables[0].columns[0].description = Some(text),
            |m, text| {
                m.actions = vec![wit::Action {
                    name: "a".into(),
                    description: String::new(),
                    arguments: vec![wit::Argument {
                        name: "b".into(),
                        description: text,
                        required: false,
                    }],
                    takes_others: false,
                }];
            },
        ];
        for change in changes {
            let mut raw = raw();
            change(&mut raw, long.clone());
            let error = metadata(raw, &limits).unwrap_err().to_string();
            assert!(error.contains("bytes of text; the limit `metadata_bytes` is 1000"), "{error}");
        }
        let mut column = column("a");
        column.description = Some(long.clone());
        let table = types::Table { name: long, columns: vec![column], root: None };
        let error = tables(vec![table], &limits).unwrap_err().to_string();
        assert!(error.contains("`metadata_bytes`"), "{error}");
    }

    #[test]
    fn sizes_are_bounded() {
        let wide: Vec<String> = (0..300).map(|i| format!("c{i}")).collect();
        let wide: Vec<&str> = wide.iter().map(String::as_str).collect();
        assert!(
            problem(|m| m.tables.push(table("x", &wide, None)))
                .contains("`columns_per_table` is 256")
        );
        assert!(
            problem(
                |m| m.tables = (0..2000).map(|i| table(&format!("t{i}"), &["a"], None)).collect()
            )
            .contains("`tables_per_datasource` is 1000")
        );
    }
}
