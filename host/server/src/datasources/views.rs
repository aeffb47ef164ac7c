//! Drivers and datasources as the API shows them.

use congress_plugins::{ConfigField, Metadata};
use congress_table::TableSchema;
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::drivers::{CatalogueEntry, DriverState, LoadState, NextBuild};

/// A driver in a list, or a file that may become one.
#[derive(Clone, Debug, Serialize)]
pub struct DriverSummary {
    /// Its id; the file's name as long as that is not known.
    pub id: String,
    /// What it is for.
    pub description: String,
    /// How far it is.
    #[serde(flatten)]
    pub build: BuildSummary,
}

/// The build of a driver that is used, and how its loading stands. What is not known is null.
#[derive(Clone, Debug, Serialize)]
pub struct BuildSummary {
    /// The driver's own version.
    pub version: Option<String>,
    /// The version of the contract that it is built for.
    pub world: Option<String>,
    /// SHA-256 of the component.
    pub hash: Option<String>,
    /// Whether it can be used.
    pub state: LoadState,
    /// Why it, or its next build, cannot be used.
    pub error: Option<String>,
    /// The name of its file; none if it came from the database.
    pub file: Option<String>,
    /// When it was loaded, RFC 3339 in UTC.
    pub loaded_at: Option<String>,
    /// The build that is to replace it.
    pub next_build: Option<NextBuild>,
}

impl BuildSummary {
    /// Of a driver in the catalogue, with what the role that runs drivers says of it.
    pub(super) fn new(
        stored: Option<(&congress_store::Driver, &CatalogueEntry)>,
        state: Option<&DriverState>,
    ) -> Self {
        let loaded = state.and_then(|state| state.loaded.as_ref());
        Self {
            version: loaded
                .map(|build| build.version.clone())
                .or_else(|| stored.map(|(_, entry)| entry.metadata.version.clone())),
            world: loaded
                .map(|build| build.world.clone())
                .or_else(|| stored.map(|(_, entry)| entry.world.clone())),
            hash: loaded
                .map(|build| build.hash.clone())
                .or_else(|| stored.map(|(driver, _)| driver.hash.clone())),
            state: state.map_or(LoadState::Stored, |state| state.state),
            error: state.and_then(|state| state.error.clone()),
            file: state.and_then(|state| state.file.clone()),
            loaded_at: loaded.and_then(|build| build.loaded_at.clone()),
            next_build: state.and_then(|state| state.next_build.clone()),
        }
    }
}

/// The description of what has not described itself.
pub(super) const NO_DESCRIPTION: &str = "";

/// A table of a schema.
pub(super) fn table(schema: &TableSchema) -> Value {
    let columns: Vec<_> = schema
        .columns
        .iter()
        .map(|column| json!({ "name": column.name, "description": column.description }))
        .collect();
    json!({ "table_id": schema.name, "columns": columns })
}

/// What the API says of an option.
fn option(field: &ConfigField) -> &'static str {
    if field.required { "required" } else { "(optional)" }
}

/// A driver with its options and tables, and how its loading stands.
pub(super) fn driver(metadata: &Metadata, build: &BuildSummary) -> Value {
    let config: Map<_, _> =
        metadata.config.iter().map(|f| (f.name.clone(), option(f).into())).collect();
    let mut object = Map::new();
    object.insert("id".to_owned(), metadata.id.clone().into());
    object.insert("description".to_owned(), metadata.description.clone().into());
    object.insert("config".to_owned(), config.into());
    let own = metadata.config.iter().filter(|field| field.secret);
    let secrets: Vec<Value> = own.map(|field| field.name.as_str().into()).collect();
    if !secrets.is_empty() {
        object.insert("secret".to_owned(), secrets.into());
    }
    let tables: Vec<_> = metadata.tables.iter().map(table).collect();
    object.insert("tables".to_owned(), tables.into());
    let of_session: Map<_, _> =
        metadata.session_fields().map(|f| (f.name.clone(), option(f).into())).collect();
    if !of_session.is_empty() {
        object.insert("session_config".to_owned(), of_session.into());
    }
    if let Ok(Value::Object(build)) = serde_json::to_value(build) {
        object.extend(build);
    }
    object.into()
}

/// A file that is no driver, or not yet: it has no options and tables.
pub(super) fn file(state: &DriverState) -> Value {
    let mut object = Map::new();
    object.insert("id".to_owned(), state.id.clone().into());
    object.insert("description".to_owned(), NO_DESCRIPTION.into());
    object.insert("config".to_owned(), Map::new().into());
    object.insert("tables".to_owned(), Vec::<Value>::new().into());
    if let Ok(Value::Object(build)) = serde_json::to_value(BuildSummary::new(None, Some(state))) {
        object.extend(build);
    }
    object.into()
}

/// The options of a driver that are never shown.
pub(super) fn secrets(metadata: &Metadata) -> impl Iterator<Item = &str> {
    metadata.fields().filter(|field| field.secret).map(|field| field.name.as_str())
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
    // Values are JSON, which has no line breaks; names may be anything.
    let named = named.iter().map(|(name, value)| format!("{}={value}", name.escape_debug()));
    positional.iter().map(Value::to_string).chain(named).collect::<Vec<_>>().join(", ")
}
