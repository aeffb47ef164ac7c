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
//! The three may come in pushes of their own, in any order: a file whose template, or a namespace of
//! it, is not known waits. A push with `configs` replaces the files and values of its host. What
//! options there are is the same for all hosts and stays.

mod definitions;
mod types;
mod values;
mod waiting;

use std::collections::HashSet;

use congress_driver::prelude::*;
use congress_driver::push::{self, Test};
use congress_driver::translate::{Collected, Output};
use congress_driver::{describe, hash, json, pytext};
use serde_json::{Map, Value as Json};

use definitions::{Definitions, firsts, text_at};
use waiting::File;

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
        let mut rows = Collected::default();
        let mut definitions = Definitions::read(&body, &mut rows)?;
        let files = files_of(host, &body, waiting::recall()?)?;
        definitions.recall(&files.iter().map(File::template).collect())?;
        let waiting = describe_files(host, files, &definitions, &mut rows)?;
        let has_files = has_files(&body);
        if has_files {
            let mut own = waiting.iter().filter(|file| file.host == host);
            own.try_for_each(|file| waiting::check(file, &definitions))?;
        }
        let templates = objects(&body, "templates")?;
        let templates = templates.into_iter().map(|(hash, _)| hash.as_str()).collect();
        waiting::check_others(&waiting, &templates, &definitions)?;
        waiting::keep(&waiting, &definitions)?;
        definitions.remember(&body, &rows, has_files.then_some(host))?;
        publish(has_files.then_some(host), &rows)
    }
}

/// Whether a push says which files its host has. One that does not leaves them as they are.
fn has_files(body: &Map<String, Json>) -> bool {
    body.get("configs").is_some_and(|configs| !configs.is_null())
}

/// The files of a push, and those that wait, but for those that the push replaces.
fn files_of(host: &str, body: &Map<String, Json>, waiting: Vec<File>) -> Result<Vec<File>> {
    let replaced = has_files(body);
    let mut files = waiting;
    files.retain(|file| !replaced || file.host != host);
    files.extend(objects(body, "configs")?.into_iter().map(|(hash, config)| File {
        host: host.to_owned(),
        hash: hash.clone(),
        config: config.clone(),
    }));
    Ok(files)
}

/// Adds rows, in the place of what was known of the host whose files the push has, if it has any.
fn publish(host: Option<&str>, rows: &Collected) -> Result<()> {
    let none = Vec::new();
    let (mut files, mut services, mut values) = (none.clone(), none.clone(), none.clone());
    if let Some(host) = host {
        let host_id = id(&[host]);
        let is_host = Test::AnyOf(vec![host_id.as_str().into()]);
        files = push::find("file", "host_id", &is_host)?;
        services = push::find("service", "host", &is_host)?;
        let same = push::find("file", "id", &Test::AnyOf(firsts(&files)))?;
        let ids = ids_of_none_but(&host_id, &same);
        values = push::find("binding", "file_id", &Test::AnyOf(ids))?;
    }
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

/// The ids of files that no other host has: equal files have one id everywhere, and one set of
/// values.
fn ids_of_none_but(host: &str, files: &[Row]) -> Vec<Value> {
    let is_host = |file: &&Row| file.get(1) == Some(&host.into());
    let (own, others): (Vec<&Row>, Vec<&Row>) = files.iter().partition(is_host);
    let shared: HashSet<&str> = others.iter().map(|file| text_at(file, 0)).collect();
    let own = own.into_iter().filter(|file| !shared.contains(text_at(file, 0)));
    own.filter_map(|file| file.first().cloned()).collect()
}

/// Makes the rows of a host and of files, and answers those files whose template is not known.
fn describe_files(
    host: &str,
    files: Vec<File>,
    definitions: &Definitions,
    rows: &mut Collected,
) -> Result<Vec<File>> {
    rows.row("host", vec![id(&[host]).into(), text(host)])?;
    let mut waiting = Vec::new();
    for file in files {
        let Some(options) = definitions.of_template(file.template()) else {
            waiting.push(file);
            continue;
        };
        let (hash, host) = (file.hash.as_str(), id(&[&file.host]));
        let path = file.text("path");
        let base = path.rsplit('/').next().unwrap_or(path);
        let row = vec![hash.into(), host.as_str().into(), file.template().into(), text(base)];
        rows.row("file", row)?;
        let service = text(file.text("service"));
        rows.row("service", vec![service, host.into(), cell(file.config.get("version"))])?;
        let sections = values::Sections::of(file.config.get("data"));
        for option in options {
            let Some(given) = sections.value(option) else { continue };
            for value in option.kind.cells(given) {
                let value = self::value(value);
                rows.row("binding", vec![option.id.as_str().into(), hash.into(), value])?;
            }
            option.kind.describe(&option.id, rows)?;
        }
    }
    Ok(waiting)
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

    /// What a first push is: its rows, and the files that wait.
    fn pushed(body: &Json) -> Result<(Collected, Vec<File>)> {
        let body = body.as_object().unwrap();
        let mut rows = Collected::default();
        let definitions = Definitions::read(body, &mut rows)?;
        let waiting =
            describe_files("h", files_of("h", body, Vec::new())?, &definitions, &mut rows)?;
        Ok((rows, waiting))
    }

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
        pushed(&body).unwrap().0
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
        assert_eq!(values(json!({"type": "Boolean"}), " true "), text(" true "));
        let dict = json!({"type": "Dict", "value_type": {"type": "String"}});
        assert_eq!(values(dict, "a:1,b:2"), [text("a:1"), text("b:2")].concat());
        assert_eq!(values(json!({"type": "String"}), "50%"), text("50"));
    }

    /// As oslo.config 10.7 has them.
    #[test]
    fn lists_and_mappings_are_those_of_oslo() {
        let texts = |kind: &Json, given: &str| -> Vec<String> {
            let text = |value| match value {
                Value::Text(text) => text,
                other => format!("{other:?}"),
            };
            values(kind.clone(), given).into_iter().map(text).collect()
        };
        let none: [&str; 0] = [];
        let list = json!({"type": "List", "item_type": {"type": "String"}});
        assert_eq!(texts(&list, "a,,b"), ["a", "", "b"]);
        assert_eq!(texts(&list, " a,, "), ["a"]);
        assert_eq!(texts(&list, "\"a,b\",c"), ["\"a", "b\"", "c"]);
        assert_eq!(texts(&list, ","), none);
        let quoted = json!({"type": "List", "item_type": {"type": "String", "quotes": true}});
        assert_eq!(texts(&quoted, "x,\"a,b\" ,'c'"), ["x", "a,b", "c"]);
        assert_eq!(texts(&quoted, "\"a\"b,c"), ["\"a\"b,c"]);
        let numbers = json!({"type": "List", "item_type": {"type": "Integer"}, "bounds": true});
        assert_eq!(texts(&numbers, "[1,,2]"), ["Value::Integer(1)", "", "Value::Integer(2)"]);
        assert_eq!(texts(&numbers, "[x,1]"), ["[x,1]"]);
        let dict = json!({"type": "Dict", "value_type": {"type": "String", "quotes": true}});
        assert_eq!(texts(&dict, "a:\"1,2\",b:3"), ["a:1,2", "b:3"]);
        assert_eq!(texts(&dict, "a:1,,b:2"), ["a:1", ",b:2"]);
        assert_eq!(texts(&dict, "a:1,a:2"), ["a:1,a:2"]);
        assert_eq!(texts(&dict, ":1"), [":1"]);
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
        let mut body = json!({"host": "h", "configs": {"c": {"template": "t", "path": "/x"}}});
        let (rows, waiting) = pushed(&body).unwrap();
        assert_eq!(rows.0.keys().collect::<Vec<_>>(), ["host"]);
        assert_eq!(waiting[0].hash, "c");
        body["templates"] = json!({"t": {"name": "t.conf", "namespaces": ["ns"]}});
        assert_eq!(pushed(&body).unwrap().1.len(), 1);
        body["namespaces"] = json!({"ns": {"name": "n", "data": {}}});
        assert!(pushed(&body).unwrap().1.is_empty());
        assert!(pushed(&json!({"configs": []})).is_err());
    }

    #[test]
    fn only_a_push_with_files_replaces_those_of_its_host() {
        let file = |host: &str, hash: &str| File {
            host: host.into(),
            hash: hash.into(),
            config: Map::new(),
        };
        let files = |body: Json| {
            let waiting = vec![file("h", "old"), file("i", "other")];
            let files = files_of("h", body.as_object().unwrap(), waiting).unwrap();
            files.into_iter().map(|file| file.hash).collect::<Vec<_>>()
        };
        assert_eq!(files(json!({"templates": {}})), ["old", "other"]);
        assert_eq!(files(json!({"configs": {}})), ["other"]);
        assert_eq!(files(json!({"configs": {"new": {}}})), ["other", "new"]);
    }

    #[test]
    fn values_of_a_file_stay_while_another_host_has_it() {
        let file = |id: &str, host: &str| vec![id.into(), host.into(), "t".into(), "n".into()];
        let files = [file("c1", "a"), file("c2", "a"), file("c1", "b"), file("c3", "b")];
        assert_eq!(ids_of_none_but("a", &files), [Value::from("c2")]);
    }
}
