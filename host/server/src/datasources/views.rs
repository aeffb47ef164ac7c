//! Drivers and datasources as the API shows them.

use congress_plugins::Metadata;
use congress_table::TableSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

/// A driver in the catalogue: what listing, checking and hiding need, on every node.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct CatalogueEntry {
    /// What the driver says of itself.
    pub(super) metadata: Metadata,
    /// The version of the contract that it is built for.
    pub(super) world: String,
}

/// A driver in a list.
#[derive(Clone, Debug, Serialize)]
pub struct DriverSummary {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// Its own version.
    pub version: String,
    /// The version of the contract that it is built for.
    pub world: String,
    /// SHA-256 of the component.
    pub hash: String,
}

/// A table of a schema.
pub(super) fn table(schema: &TableSchema) -> Value {
    let columns: Vec<_> = schema
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "description": column.description }))
        .collect();
    json!({ "table_id": schema.name, "columns": columns })
}

/// A driver with its options and tables.
pub(super) fn driver(metadata: &Metadata) -> Value {
    let mut config = Map::new();
    for field in &metadata.config {
        let value = match &field.default {
            _ if field.required => "required",
            Some(default) => default.as_str(),
            None => "(optional)",
        };
        config.insert(field.name.clone(), value.into());
    }
    let mut object = Map::new();
    object.insert("id".to_owned(), metadata.id.clone().into());
    object.insert("description".to_owned(), metadata.description.clone().into());
    object.insert("config".to_owned(), config.into());
    let secrets: Vec<Value> = secrets(metadata).map(Into::into).collect();
    if !secrets.is_empty() {
        object.insert("secret".to_owned(), secrets.into());
    }
    let tables: Vec<_> = metadata.tables.iter().map(table).collect();
    object.insert("tables".to_owned(), tables.into());
    object.into()
}

/// The options of a driver that are never shown.
pub(super) fn secrets(metadata: &Metadata) -> impl Iterator<Item = &str> {
    metadata.config.iter().filter(|field| field.secret).map(|field| field.name.as_str())
}

/// A datasource. Without its driver's entry all of its configuration is hidden, for nobody knows
/// which of it is secret.
pub(super) fn datasource(row: &congress_store::Datasource, driver: Option<&Metadata>) -> Value {
    let config = match driver {
        Some(metadata) => row.config.hiding(secrets(metadata)),
        None => row.config.hiding_all(),
    };
    json!({
        "id": row.id,
        "name": row.name,
        "driver": row.driver,
        "description": row.description,
        "type": null,
        "enabled": row.enabled,
        "config": config,
    })
}

/// The actions of a driver, by name.
pub(super) fn actions(metadata: &Metadata) -> Value {
    let mut actions: Vec<_> = metadata.actions.iter().collect();
    actions.sort_by(|a, b| a.name.cmp(&b.name));
    actions
        .into_iter()
        .map(|action| {
            let arguments: Vec<_> = action
                .arguments
                .iter()
                .map(|a| json!({ "name": a.name, "description": a.description }))
                .collect();
            json!({ "name": action.name, "args": arguments, "description": action.description })
        })
        .collect()
}

/// The arguments of an action as the log shows them.
pub(super) fn arguments(positional: &[Value], named: &Map<String, Value>) -> String {
    let named = named.iter().map(|(name, value)| format!("{name}={value}"));
    positional.iter().map(Value::to_string).chain(named).collect::<Vec<_>>().join(", ")
}
