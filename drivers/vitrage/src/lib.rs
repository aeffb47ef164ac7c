//! Alarms of Vitrage, which it sends to the webhook.

use congress_driver::prelude::*;
use congress_driver::push::{self, Test};
use congress_driver::translate::{Translator, hdict, value};
use congress_driver::{alarms, clock};
use serde_json::{Map, Value as Json};

struct Vitrage;

impl Driver for Vitrage {
    fn metadata() -> Metadata {
        let description = "Datasource driver that accepts Vitrage webhook alarm notifications.";
        metadata("vitrage", env!("CARGO_PKG_VERSION"), description)
            .with_feed(Feed::Push)
            .with_config([push::persist_data(), alarms::hours_to_keep_alarm()])
            .with_tables(table().tables())
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        alarms::check(config)?;
        Ok(table().tables())
    }

    /// Alarms that are too old go.
    fn upkeep(config: &Config) -> Result<()> {
        let at = |at: i64| -> Value { clock::utc(at).into() };
        rows::patch("alarms", &[], &alarms::outdated(config, "alarms", "update_timestamp", at)?)
    }

    /// An alarm replaces what was known of it.
    fn receive(config: &Config, push: Push) -> Result<()> {
        let alarm =
            flat(&push::object(&push::webhook(push, "alarms")?)?, &clock::utc(clock::now()))?;
        let id = congress_driver::json::cell(push::member(&alarm, "vitrage_id")?);
        let translated = push::translated(&table(), alarm.into())?;
        let added = translated.0.get("alarms").cloned().unwrap_or_default();
        push::replace_where("alarms", "vitrage_id", &Test::AnyOf(vec![id]), &added)?;
        alarms::watch(config)
    }
}

fn table() -> Translator {
    hdict("alarms").fields([
        value("name"),
        value("state"),
        value("vitrage_type").col("type"),
        value("vitrage_operational_severity").col("operational_severity"),
        value("vitrage_id"),
        value("update_timestamp"),
        value("receive_timestamp"),
        value("resource_name"),
        value("resource_id"),
        value("resource_vitrage_id"),
        value("resource_project_id"),
        value("resource_vitrage_operational_state").col("resource_operational_state"),
        value("resource_vitrage_type").col("resource_type"),
    ])
}

/// The alarm of a notification, with the members of its resource beside its own.
fn flat(notification: &Map<String, Json>, received: &str) -> Result<Map<String, Json>> {
    let object = |json: &Json, name: &str| {
        let object = json.as_object().cloned();
        object.ok_or_else(|| Error::Protocol(format!("member '{name}' must be an object")))
    };
    let mut alarm = object(push::member(notification, "payload")?, "payload")?;
    // An alarm that is about nothing known is one all the same.
    if let Some(resource) = alarm.remove("resource").filter(|resource| !resource.is_null()) {
        for (name, value) in object(&resource, "resource")? {
            alarm.insert(format!("resource_{name}"), value);
        }
    }
    alarm.insert("receive_timestamp".into(), received.into());
    Ok(alarm)
}

congress_driver::export_driver!(Vitrage);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn the_resource_moves_up() {
        let notification = json!({"notification": "vitrage.alarm.activate", "payload": {
            "vitrage_id": "v", "name": "slow", "resource": {"name": "host-1", "vitrage_type": "nova.host"},
        }});
        let alarm = flat(notification.as_object().unwrap(), "now").unwrap();
        let rows = push::translated(&table(), alarm.into()).unwrap().0;
        let row = &rows["alarms"][0];
        assert_eq!(row[0], Value::from("slow"));
        assert_eq!(row[4..7], vec![Value::from("v"), Value::Null, "now".into()]);
        assert_eq!(row[7..9], vec![Value::from("host-1"), Value::Null]);
        assert_eq!(row[12], Value::from("nova.host"));
    }

    #[test]
    fn what_is_no_alarm_is_refused() {
        let flat = |json: Json| flat(json.as_object().unwrap(), "now");
        assert!(flat(json!({})).is_err());
        assert!(flat(json!({"payload": []})).is_err());
        assert!(flat(json!({"payload": {"resource": "host-1"}})).is_err());
        assert!(flat(json!({"payload": {"resource": null}})).is_ok());
    }
}
