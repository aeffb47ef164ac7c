//! Alarms of Monasca, which it sends to the webhook.

use congress_driver::prelude::*;
use congress_driver::push::{self, Test};
use congress_driver::translate::{Translator, hdict, nested, value, vdict};
use congress_driver::{alarms, json};
use serde_json::{Map, Value as Json};

struct MonascaWebhook;

const NOTIFICATIONS: &str = "alarm_notification";
const METRICS: &str = "alarms.metrics";
const DIMENSIONS: &str = "alarms.metrics.dimensions";

impl Driver for MonascaWebhook {
    fn metadata() -> Metadata {
        let description = "Datasource driver that accepts Monasca webhook alarm notifications.";
        metadata("monasca_webhook", env!("CARGO_PKG_VERSION"), description)
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
        let old = alarms::outdated(config, NOTIFICATIONS, "alarm_timestamp", Value::Integer)?;
        // Their ids are their first cells.
        let ids = old.iter().filter_map(|row| row.first().cloned()).collect();
        rows::patch(NOTIFICATIONS, &[], &old)?;
        push::replace_where(METRICS, "alarm_id", &Test::AnyOf(ids), &[])
    }

    /// An alarm replaces what was known of it. Its dimensions may be those of others, and stay.
    fn receive(config: &Config, push: Push) -> Result<()> {
        let alarm = alarm(&push::webhook(push, "alarms")?)?;
        let id = json::cell(push::member(&alarm, "alarm_id")?);
        let rows = push::translated(&table(), alarm.into())?.0;
        let of = |table: &str| rows.get(table).map(Vec::as_slice).unwrap_or_default();
        let this = Test::AnyOf(vec![id]);
        push::replace_where(NOTIFICATIONS, "alarm_id", &this, of(NOTIFICATIONS))?;
        push::replace_where(METRICS, "alarm_id", &this, of(METRICS))?;
        rows::patch(DIMENSIONS, of(DIMENSIONS), &[])?;
        alarms::watch(config)
    }
}

fn alarm(body: &str) -> Result<Map<String, Json>> {
    let alarm = push::object(body)?;
    push::member(&alarm, "alarm_id")?;
    push::member(&alarm, "metrics")?;
    Ok(alarm)
}

fn table() -> Translator {
    let dimensions = vdict(DIMENSIONS, "key", "value").id_col("id");
    let metrics = hdict(METRICS)
        .in_list()
        .parent_key("alarm_id")
        .parent_col("alarm_id")
        .parent_desc("ALARM id")
        .fields([value("id"), value("name"), nested("dimensions", dimensions)]);
    hdict(NOTIFICATIONS).fields([
        value("alarm_id"),
        value("alarm_definition_id"),
        value("alarm_name"),
        value("alarm_description"),
        value("alarm_timestamp"),
        value("state"),
        value("old_state"),
        value("message"),
        value("tenant_id"),
        nested("metrics", metrics),
    ])
}

congress_driver::export_driver!(MonascaWebhook);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_has_rows_in_three_tables() {
        let body = r#"{"alarm_id": "a", "alarm_timestamp": 7, "metrics": [
            {"id": null, "name": "cpu", "dimensions": {"host": "h"}}, {"name": "disk"}]}"#;
        let rows = push::translated(&table(), alarm(body).unwrap().into()).unwrap().0;
        assert_eq!(rows[NOTIFICATIONS][0][..2], vec![Value::from("a"), Value::Null]);
        assert_eq!(rows[METRICS].len(), 2);
        assert_eq!(rows[DIMENSIONS][0][1..], vec![Value::from("host"), "h".into()]);
        assert_eq!(rows[METRICS][0][3], rows[DIMENSIONS][0][0]);
    }

    #[test]
    fn what_is_no_alarm_is_refused() {
        for body in ["{}", r#"{"alarm_id": 1}"#, r#"{"metrics": []}"#, "[]"] {
            assert!(alarm(body).is_err(), "{body}");
        }
    }
}
