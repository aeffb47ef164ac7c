//! What the catalogue alone says of datasources: whether one that somebody wants to create may be,
//! and what of one is secret.

use congress_plugins::{ConfigError, ConfigField, ConfigValues, FieldType, Metadata};
use serde_json::Value;

use super::Client;
use super::drivers::CatalogueEntry;
use super::views;
use crate::failure::{Answer, Failure, Status};

/// The field that names lazy tables.
const LAZY_TABLES: &str = "lazy_tables";

impl Client {
    /// The options of a driver in the catalogue that are sealed and never shown, those of its
    /// session included.
    pub(crate) fn secrets_of(driver: &congress_store::Driver) -> serde_json::Result<Vec<String>> {
        let entry: CatalogueEntry = serde_json::from_value(driver.metadata.clone())?;
        Ok(views::secrets(&entry.metadata).map(str::to_owned).collect())
    }
}

/// Checks a configuration: unknown fields first, then missing ones, then values.
pub(super) fn config(driver: &Metadata, config: &ConfigValues) -> Answer<()> {
    let refused = |text: String| Err(Failure::verbatim(Status::BadRequest, text));
    match driver.check(config) {
        Ok(_) => lazy_roots(driver, config),
        Err(ConfigError::Unknown { fields, .. }) => {
            let fields: Vec<_> = fields.iter().map(|field| format!("'{field}'")).collect();
            refused(format!("Invalid driver options: {{{}}}", fields.join(", ")))
        }
        Err(ConfigError::Missing { fields, .. }) => {
            refused(format!("Missing required config options: {}", fields.join(", ")))
        }
        Err(ConfigError::Invalid { field, .. }) if field == LAZY_TABLES => {
            let names = serde_json::json!(lazy_tables(config));
            refused(format!("Invalid lazy tables: they are a JSON list of names, such as {names}"))
        }
        Err(other) => refused(other.to_string()),
    }
}

/// Checks that lazy tables are names, and those of root tables where the catalogue knows all tables
/// that there can be. Where it does not, the driver's code tells once it starts.
fn lazy_roots(driver: &Metadata, config: &ConfigValues) -> Answer<()> {
    let roots: Vec<&str> =
        driver.tables.iter().filter(|t| t.root.is_none()).map(|t| t.name.as_str()).collect();
    // Such a field may declare tables: `resources` of kubernetes does.
    let declares =
        |field: &ConfigField| field.field_type == FieldType::Json && field.name != LAZY_TABLES;
    let all_known = !roots.is_empty() && !driver.config.iter().any(declares);
    let is_text = |value: &Value| value.is_string();
    let invalid = match config.get(LAZY_TABLES) {
        None | Some(Value::Null) => return Ok(()),
        Some(Value::Array(names)) if !names.iter().all(is_text) => {
            Value::Array(names.iter().filter(|name| !is_text(name)).cloned().collect())
        }
        Some(Value::Array(_) | Value::String(_)) if !all_known => return Ok(()),
        Some(Value::Array(_) | Value::String(_)) => {
            let unknown = lazy_tables(config).into_iter();
            let unknown: Vec<_> = unknown.filter(|name| !roots.contains(&name.as_str())).collect();
            if unknown.is_empty() {
                return Ok(());
            }
            unknown.into()
        }
        Some(other) => other.clone(),
    };
    let mut text = format!("Invalid lazy tables: {invalid}.");
    if all_known {
        text += &format!(" Accepted tables for driver {} are {roots:?}", driver.id);
    }
    Err(Failure::verbatim(Status::BadRequest, text))
}

/// Checks a datasource's name: a valid policy name without leading underscore.
///
/// The text with its unfilled placeholder is what clients have always been sent.
pub(super) fn name(name: &str) -> Answer<()> {
    let valid = !name.starts_with('_')
        && !name.contains(':')
        && congress_policy::names::is_referable_policy_name(name);
    if valid {
        return Ok(());
    }
    Err(Failure::verbatim(
        Status::BadRequest,
        "Datasource name %(value) is invalid. Cannot be empty or start with underscore.  Must be \
         valid in policy language",
    ))
}

/// The root tables that a configuration declares lazy: a JSON list, or a text with commas.
pub fn lazy_tables(config: &ConfigValues) -> Vec<String> {
    let split = |text: &str| -> Vec<String> {
        text.trim_matches(['[', ']'])
            .split(',')
            .map(|name| name.trim().trim_matches(['\'', '"']).to_owned())
            .filter(|name| !name.is_empty())
            .collect()
    };
    match config.get(LAZY_TABLES) {
        Some(Value::Array(names)) => {
            names.iter().filter_map(|name| name.as_str().map(str::to_owned)).collect()
        }
        Some(Value::String(text)) => split(text),
        _ => Vec::new(),
    }
}

/// The seconds between two polls: 10 unless the configuration says otherwise; none for 0, which
/// means on request only. The error is the sentence for the client.
pub(super) fn poll_time(
    config: &ConfigValues,
    default: Option<&str>,
) -> Result<Option<std::time::Duration>, String> {
    let text = match config.get("poll_time") {
        None | Some(Value::Null) => default.unwrap_or("10").to_owned(),
        Some(Value::String(text)) => text.trim().to_owned(),
        Some(other) => other.to_string(),
    };
    // A year is as good as never, and keeps arithmetic with times in bounds.
    match text.parse::<f64>() {
        Ok(seconds) if (0.0..=31_536_000.0).contains(&seconds) => {
            Ok((seconds > 0.0).then(|| std::time::Duration::from_secs_f64(seconds)))
        }
        _ => Err(format!(
            "poll_time must be a number of seconds from 0 (only on request) to 31536000, but is \
             '{text}'"
        )),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use congress_plugins::{Feed, SessionKind};
    use congress_table::TableSchema;
    use serde_json::json;

    use super::*;

    fn values(value: Value) -> ConfigValues {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn poll_times() {
        let of = |value| poll_time(&values(json!({ "poll_time": value })), None);
        assert_eq!(poll_time(&ConfigValues::new(), None), Ok(Some(Duration::from_secs(10))));
        assert_eq!(poll_time(&ConfigValues::new(), Some("5")), Ok(Some(Duration::from_secs(5))));
        assert_eq!(of(json!(0)), Ok(None));
        assert_eq!(of(json!("30")), Ok(Some(Duration::from_secs(30))));
        assert_eq!(of(json!(0.5)), Ok(Some(Duration::from_millis(500))));
        for bad in [json!("abc"), json!(-1), json!("inf"), json!("NaN"), json!([])] {
            assert!(of(bad.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn lazy_tables_as_list_or_text() {
        let of = |value| lazy_tables(&values(json!({ "lazy_tables": value })));
        assert_eq!(of(json!(["a", "b"])), ["a", "b"]);
        assert_eq!(of(json!("a, b")), ["a", "b"]);
        assert_eq!(of(json!("['a', 'b']")), ["a", "b"]);
        assert!(of(json!("")).is_empty());
    }

    fn field(name: &str, field_type: FieldType, secret: bool) -> ConfigField {
        ConfigField {
            name: name.into(),
            description: String::new(),
            field_type,
            required: false,
            secret,
            default: None,
        }
    }

    /// A driver of OpenStack's with tables of these names and roots.
    fn driver(tables: &[(&str, Option<&str>)]) -> Metadata {
        let table = |(name, root): &(&str, Option<&str>)| TableSchema {
            name: (*name).into(),
            columns: vec![],
            root: root.map(str::to_owned),
        };
        let password = field("password", FieldType::Text, true);
        Metadata {
            id: "d".into(),
            version: "1".into(),
            description: String::new(),
            config: vec![field(LAZY_TABLES, FieldType::Json, false), password],
            tables: tables.iter().map(table).collect(),
            actions: vec![],
            feed: Feed::Poll,
            session: SessionKind::Keystone,
            hosts: vec![],
            files: vec![],
        }
    }

    #[test]
    fn lazy_tables_are_roots() {
        let nova = driver(&[("servers", None), ("addresses", Some("servers")), ("flavors", None)]);
        let of = |driver: &Metadata, value: Value| {
            config(driver, &values(json!({ "lazy_tables": value }))).map_err(|e| e.message)
        };
        for good in
            [json!(["servers"]), json!("[\"servers\", \"flavors\"]"), json!([]), json!(null)]
        {
            assert_eq!(of(&nova, good.clone()), Ok(()), "{good}");
        }
        let expected = "Invalid lazy tables: [\"addresses\",\"nope\"]. Accepted tables for driver d \
                        are [\"servers\", \"flavors\"]";
        assert_eq!(of(&nova, json!(["servers", "addresses", "nope"])).unwrap_err(), expected);
        let expected =
            "Invalid lazy tables: they are a JSON list of names, such as [\"servers\",\"flavors\"]";
        assert_eq!(of(&nova, json!("servers, flavors")).unwrap_err(), expected);
        for bad in
            [json!([1]), json!(7), json!({}), json!(true), json!("[1]"), json!(["servers", null])]
        {
            let error = of(&nova, bad.clone()).unwrap_err();
            assert!(error.starts_with("Invalid lazy tables: "), "{bad}: {error}");
        }
        // Tables that only the driver's code knows.
        let mut others = [driver(&[]), nova];
        others[1].config.push(field("resources", FieldType::Json, false));
        for other in &others {
            assert_eq!(of(other, json!(["certificates"])), Ok(()));
            assert_eq!(of(other, json!([1])).unwrap_err(), "Invalid lazy tables: [1].");
        }
    }

    #[test]
    fn secrets_are_read_from_what_the_catalogue_holds() {
        let entry = CatalogueEntry { metadata: driver(&[]), world: "1.1".into(), origin: None };
        let stored = |metadata| congress_store::Driver {
            id: "d".into(),
            hash: String::new(),
            size: 0,
            metadata,
        };
        let secrets = Client::secrets_of(&stored(serde_json::to_value(&entry).unwrap())).unwrap();
        assert_eq!(secrets, ["password", "application_credential_secret", "token"]);
        let bare = serde_json::to_value(&entry.metadata).unwrap();
        assert!(
            Client::secrets_of(&stored(bare)).is_err(),
            "no entry, and no secret is overlooked"
        );
    }
}
