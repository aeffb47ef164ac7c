//! Options and values of the services' configuration files, as agents on the nodes push them.
//!
//! The original asked its agents over the message bus. Here an agent pushes to the webhook, at its
//! own pace, all that its host has:
//!
//! ```json
//! {"host": "compute-1",
//!  "namespaces": {HASH: {"name": "nova.conf", "data": {SECTION: {"namespaces": [[NAME, [OPTION, …]]]}}}},
//!  "templates": {HASH: {"name": "nova-config-generator.conf", "namespaces": [HASH, …]}},
//!  "configs": {HASH: {"service": "nova", "version": "ussuri", "path": "/etc/nova/nova.conf",
//!                     "template": HASH, "data": [{SECTION: {NAME: [TEXT, …]}}]}}}
//! ```
//!
//! A push replaces the files and values of its host. What options there are is the same for all
//! hosts and stays.

mod definitions;
mod types;
mod values;

use congress_driver::prelude::*;
use congress_driver::push::{self, Test};
use congress_driver::translate::{Collected, Output};
use congress_driver::{describe, hash, json, logging, pytext};
use serde_json::{Map, Value as Json};

use definitions::Definitions;

struct ConfigFiles;

impl Driver for ConfigFiles {
    fn metadata() -> Metadata {
        let description = "Datasource driver that allows OS configs retrieval. Agents on the \
                           nodes push them to the webhook.";
        metadata("config", env!("CARGO_PKG_VERSION"), description)
            .with_feed(Feed::Push)
            .with_config([describe::poll_time(), describe::lazy_tables(), push::persist_data()])
            .with_tables(TABLES.iter().map(|(name, columns)| {
                let columns =
                    columns.iter().map(|(name, text)| column(name, ColumnType::Any).describe(text));
                table(name, columns)
            }))
    }

    fn receive(_: &Config, push: Push) -> Result<()> {
        let Push::Webhook(body) = push else {
            let text = "an agent pushes all that its host has to the webhook, not rows";
            return Err(Error::Unsupported(text.into()));
        };
        let body = push::object(&body)?;
        let host = push::member(&body, "host")?;
        let host = host.as_str().ok_or_else(|| wrong("'host' must be a text"))?;
        publish(&id(&[host]), &rows_of(host, &body)?)
    }
}

/// Puts what was pushed in the place of what was known of the host. Definitions are added.
fn publish(host: &str, rows: &Collected) -> Result<()> {
    let is_host = Test::AnyOf(vec![host.into()]);
    let files = push::find("file", "host_id", &is_host)?;
    let ids = files.iter().filter_map(|row| row.first().cloned()).collect();
    let services = push::find("service", "host", &is_host)?;
    let values = push::find("binding", "file_id", &Test::AnyOf(ids))?;
    let none = Vec::new();
    for (table, _) in TABLES {
        let added = rows.0.get(*table).map(Vec::as_slice).unwrap_or_default();
        let removed = match *table {
            "file" => &files,
            "service" => &services,
            "binding" => &values,
            _ => &none,
        };
        rows::patch(table, added, removed)?;
    }
    Ok(())
}

/// All rows that a push makes.
fn rows_of(host: &str, body: &Map<String, Json>) -> Result<Collected> {
    let mut rows = Collected::default();
    let definitions = Definitions::read(body, &mut rows)?;
    let host_id = id(&[host]);
    rows.row("host", vec![host_id.as_str().into(), text(host)])?;
    for (hash, config) in objects(body, "configs")? {
        let template = config.get("template").and_then(Json::as_str).unwrap_or_default();
        let Some(namespaces) = definitions.namespaces(template) else {
            logging::info(&format!("file {hash} waits for its template {template}"));
            continue;
        };
        let name = |member: &str| config.get(member).and_then(Json::as_str).unwrap_or_default();
        let path = name("path");
        let base = path.rsplit('/').next().unwrap_or(path);
        let file = vec![hash.as_str().into(), host_id.as_str().into(), template.into(), text(base)];
        rows.row("file", file)?;
        let service =
            vec![text(name("service")), host_id.as_str().into(), cell(config.get("version"))];
        rows.row("service", service)?;
        let sections = values::Sections::of(config.get("data"));
        for namespace in namespaces {
            for option in definitions.options(namespace) {
                let Some(given) = sections.value(option) else { continue };
                for value in option.kind.cells(given) {
                    let value = self::value(value);
                    let row = vec![option.id.as_str().into(), hash.as_str().into(), value];
                    rows.row("binding", row)?;
                }
                option.kind.describe(&option.id, &mut rows)?;
            }
        }
    }
    Ok(rows)
}

/// The id of what has these texts: the same everywhere.
fn id(texts: &[&str]) -> String {
    const AGENT: &str = "http://openstack.org/congress/agent";
    let namespace = hash::uuid3(hash::NAMESPACE_URL, AGENT);
    hash::uuid_text(hash::uuid3(namespace, &texts.concat()))
}

/// A member as a cell: no null, no booleans, and texts as [`text`] makes them.
fn cell(json: Option<&Json>) -> Value {
    match json {
        None | Some(Json::Null) => "".into(),
        Some(Json::Bool(flag)) => pytext::text(&Json::Bool(*flag)).into(),
        Some(other) => value(json::cell(other)),
    }
}

fn value(value: Value) -> Value {
    match value {
        Value::Null => "".into(),
        Value::Boolean(flag) => if flag { "True" } else { "False" }.into(),
        Value::Text(of) => text(&of),
        number => number,
    }
}

/// Texts have no `%`, for the original's policies would have taken it for a place holder.
fn text(of: &str) -> Value {
    of.replace('%', "").into()
}

/// The members of an object of objects, which may be missing.
fn objects<'a>(
    body: &'a Map<String, Json>,
    name: &str,
) -> Result<Vec<(&'a String, &'a Map<String, Json>)>> {
    let wrong = || wrong(&format!("'{name}' must be an object of objects"));
    match body.get(name) {
        None | Some(Json::Null) => Ok(Vec::new()),
        Some(Json::Object(members)) => members
            .iter()
            .map(|(key, member)| Ok((key, member.as_object().ok_or_else(wrong)?)))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

fn wrong(what: &str) -> Error {
    Error::Protocol(what.to_owned())
}

/// Tables, their columns, and the columns' descriptions, which are the original's.
const TABLES: &[(&str, &[(&str, &str)])] = &[
    (
        "binding",
        &[
            ("option_id", "The represented option"),
            ("file_id", "The file containing the assignement"),
            ("val", "Actual value"),
        ],
    ),
    ("option", &[("id", "Id"), ("namespace", ""), ("group", ""), ("name", "")]),
    (
        "option_info",
        &[
            ("option_id", "Option id"),
            ("type", ""),
            ("default", ""),
            ("deprecated", ""),
            ("deprecated_reason", ""),
            ("mutable", ""),
            ("positional", ""),
            ("required", ""),
            ("sample_default", ""),
            ("secret", ""),
            ("help", ""),
        ],
    ),
    ("host", &[("id", "Id"), ("name", "Arbitraty host name")]),
    (
        "file",
        &[
            ("id", "Id"),
            ("host_id", "File's host"),
            ("template", "Template specifying the content of the file"),
            ("name", ""),
        ],
    ),
    ("module", &[("id", "Id"), ("base_dir", ""), ("module", "")]),
    ("service", &[("service", ""), ("host", ""), ("version", "")]),
    ("template", &[("id", ""), ("name", "")]),
    ("template_ns", &[("template", "hash"), ("namespace", "hash")]),
    ("namespace", &[("id", ""), ("name", "")]),
    ("int_type", &[("option_id", ""), ("min", ""), ("max", ""), ("choices", "")]),
    ("float_type", &[("option_id", ""), ("min", ""), ("max", "")]),
    (
        "string_type",
        &[
            ("option_id", ""),
            ("regex", ""),
            ("max_length", ""),
            ("quotes", ""),
            ("ignore_case", ""),
            ("choices", ""),
        ],
    ),
    ("list_type", &[("option_id", ""), ("item_type", ""), ("bounds", "")]),
    ("ipaddr_type", &[("option_id", ""), ("version", "")]),
    ("uri_type", &[("option_id", ""), ("max_length", ""), ("schemes", "")]),
    ("range_type", &[("option_id", ""), ("min", ""), ("max", "")]),
];

congress_driver::export_driver!(ConfigFiles);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn push(kind: Json, given: &str) -> Collected {
        let option =
            json!({"name": "an-option", "dest": "an_option", "type": kind, "help": "100%"});
        let body = json!({
            "host": "h",
            "namespaces": {"ns": {"name": "n", "data": {"G": {"namespaces": [["n", [option]]]}}}},
            "templates": {"t": {"name": "t.conf", "namespaces": ["ns"]}},
            "configs": {"c": {"service": "s", "version": "v", "path": "/etc/s/s.conf", "template": "t",
                              "data": [{"G": {"an_option": [given]}}]}},
        });
        rows_of("h", body.as_object().unwrap()).unwrap()
    }

    fn values(kind: Json, given: &str) -> Vec<Value> {
        let rows = push(kind, given).0;
        let rows = rows.get("binding").cloned().unwrap_or_default();
        rows.into_iter().map(|row| row[2].clone()).collect()
    }

    #[test]
    fn values_have_the_type_of_their_option() {
        let integer = |number: i64| vec![Value::Integer(number)];
        let text = |text: &str| vec![Value::from(text)];
        assert_eq!(values(json!({"type": "Integer", "max": 9}), " 7 "), integer(7));
        assert_eq!(values(json!({"type": "Integer", "max": 9}), "10"), text("10"));
        assert_eq!(values(json!({"type": "Boolean"}), "off"), text("False"));
        assert_eq!(values(json!({"type": "Boolean"}), "perhaps"), text("perhaps"));
        assert_eq!(values(json!({"type": "Float"}), "1"), vec![Value::Float(1.0)]);
        let list = json!({"type": "List", "item_type": {"type": "Integer"}});
        assert_eq!(values(list, "1, 2"), [integer(1), integer(2)].concat());
        let dict = json!({"type": "Dict", "value_type": {"type": "String"}});
        assert_eq!(values(dict, "a:1,b:2"), [text("a:1"), text("b:2")].concat());
        assert_eq!(values(json!({"type": "String"}), "50%"), text("50"));
    }

    #[test]
    fn types_are_described_where_there_are_values() {
        let rows = push(json!({"type": "List", "item_type": {"type": "Port"}}), "80,443").0;
        assert_eq!(rows["list_type"][0][1..], vec![Value::from("Port"), "False".into()]);
        let port = vec![Value::Integer(0), Value::Integer(65_535), "".into()];
        assert_eq!(rows["int_type"][0][1..], port);
        assert_eq!(rows["option_info"][0][10], Value::from("100"));
        assert_eq!(rows["file"][0][3], Value::from("s.conf"));
        assert!(!rows.contains_key("string_type"));
    }

    #[test]
    fn files_wait_for_their_template() {
        let body = json!({"host": "h", "configs": {"c": {"template": "t", "path": "/x"}}});
        let rows = rows_of("h", body.as_object().unwrap()).unwrap().0;
        assert_eq!(rows.keys().collect::<Vec<_>>(), ["host"]);
        assert!(rows_of("h", json!({"configs": []}).as_object().unwrap()).is_err());
    }
}
