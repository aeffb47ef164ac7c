//! Kubernetes: core objects, roles and policies as tables, any other resource by configuration, and
//! actions on nodes, pods and workloads. `docs/drivers/kubernetes.md` describes all of it.

mod actions;
mod core;
mod quantity;
mod shape;

use std::collections::BTreeMap;

use congress_driver::describe::login;
use congress_driver::mapping::{Child, Column, Rows, read};
use congress_driver::paging::Paging;
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::rest::{self, Collection, Service};
use congress_driver::translate::Translator;
use serde::Deserialize;

struct Kubernetes;

/// Objects asked for at once.
const PAGE: &str = "limit=500";

/// A table of a custom resource, or of any other that has none here.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Resource {
    /// The path of its list, as `apis/cert-manager.io/v1/certificates`.
    path: String,
    columns: Vec<Column>,
    #[serde(default)]
    children: BTreeMap<String, Child>,
}

impl Driver for Kubernetes {
    fn metadata() -> Metadata {
        let description = "Reads a Kubernetes cluster: core objects, and any resource by mapping.";
        metadata("kubernetes", env!("CARGO_PKG_VERSION"), description)
            .with_session(SessionKind::Configured)
            .with_hosts(["{url}"])
            .with_config([field("url", "The address of the API server.").required()])
            .with_config(login("bearer"))
            .with_config([
                field("namespace", "Reads what is in this namespace only; all by default."),
                field("resources", "More tables: {table: {path, columns, children}}.")
                    .of(FieldType::Json),
                poll_time(),
                lazy_tables(),
            ])
            .with_tables(rest::tables(&core::collections(None)))
            .with_actions(actions::all())
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        namespace(config)?;
        let mut tables = rest::tables(&core::collections(None));
        for table in rest::tables(&custom(config)?) {
            if tables.iter().any(|other| other.name == table.name) {
                return Err(Error::Config(format!("table '{}' is declared twice", table.name)));
            }
            tables.push(table);
        }
        Ok(tables)
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        let mut collections = core::collections(namespace(config)?);
        collections.extend(custom(config)?);
        Service::at(config.text("url")?).poll(&collections, wanted)
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        let service = Service::at(config.text("url")?);
        service.send(actions::request(call, service.base())?)
    }
}

/// The list at a path, in pages.
fn collection(path: &str, translator: Translator) -> Collection {
    let mark = if path.contains('?') { '&' } else { '?' };
    let token = Path::members(["metadata", "continue"]);
    Collection::new(format!("{path}{mark}{PAGE}"), "items", translator)
        .null_is_empty()
        .paged(Paging::Cursor { token, parameter: "continue".into() })
}

/// The collections that the configuration adds.
fn custom(config: &Config) -> Result<Vec<Collection>> {
    if config.get("resources").is_none() {
        return Ok(Vec::new());
    }
    let resources: BTreeMap<String, Resource> = read(config, "resources")?;
    resources
        .into_iter()
        .map(|(table, Resource { path, columns, children })| {
            if path.contains("://") {
                return Err(Error::Config(format!(
                    "field 'resources', at {table}.path: '{path}' is an address; give what stands \
                     below field 'url', as apis/GROUP/VERSION/PLURAL"
                )));
            }
            let rows = Rows { rows: Path::default(), columns, children };
            Ok(collection(&path, rows.translator(&table)?))
        })
        .collect()
}

fn namespace(config: &Config) -> Result<Option<&str>> {
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match config.get("namespace").map(str::trim).filter(|name| !name.is_empty()) {
        Some(name) if !name.chars().all(plain) => Err(Error::Config(format!(
            "field 'namespace': '{name}' is no namespace; use lower-case letters, digits and '-'"
        ))),
        namespace => Ok(namespace),
    }
}

congress_driver::export_driver!(Kubernetes);

#[cfg(test)]
mod tests {
    use congress_driver::{Error, Table};

    use super::*;

    fn tables(fields: &[(&str, &str)]) -> Result<Vec<Table>> {
        let fields = fields.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect();
        Kubernetes::tables(&Config::new(fields))
    }

    #[test]
    fn resources_add_tables() {
        let resources = r#"{"certificates": {"path": "apis/cert-manager.io/v1/certificates",
            "columns": [{"name": "uid", "path": "metadata.uid"}],
            "children": {"certificates.names":
                {"rows": "spec.dnsNames", "parent": "uid", "value": "name"}}}}"#;
        let count = tables(&[]).unwrap().len();
        let with = tables(&[("resources", resources)]).unwrap();
        assert_eq!(with.len(), count + 2);
        assert_eq!(with[count].name, "certificates.names");
    }

    #[test]
    fn mistakes_are_named() {
        for (field, value, message) in [
            (
                "resources",
                r#"{"pods": {"path": "x", "columns": ["a"]}}"#,
                "'pods' is declared twice",
            ),
            ("resources", r#"{"t": {"path": "http://x/", "columns": ["a"]}}"#, "is an address"),
            ("resources", r#"{"t": {"path": "x", "colums": []}}"#, "unknown field `colums`"),
            ("namespace", "Kube System", "is no namespace"),
        ] {
            let Err(Error::Config(text)) = tables(&[(field, value)]) else { panic!("{value}") };
            assert!(text.contains(message), "{text}");
        }
    }

    #[test]
    fn table_names_are_unique() {
        let mut names: Vec<String> = tables(&[]).unwrap().into_iter().map(|t| t.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
