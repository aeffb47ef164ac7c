//! Alertmanager: alerts, polled and as they come by webhook, and silences, which policies can make
//! and end. `docs/drivers/alertmanager.md` describes all of it.

mod actions;
mod webhook;

use congress_driver::describe::login;
use congress_driver::path::Path;
use congress_driver::prelude::*;
use congress_driver::rest::{self, Collection, Service};
use congress_driver::translate::{Field, Translator, hdict, list, nested, value, vdict};
use congress_driver::types::DataType::{Bool, Str};
use serde_json::{Value as Json, json};

struct Alertmanager;

impl Driver for Alertmanager {
    fn metadata() -> Metadata {
        let description = "Reads alerts and silences of Alertmanager, and takes its webhook.";
        metadata("alertmanager", env!("CARGO_PKG_VERSION"), description)
            .with_session(SessionKind::Configured)
            .with_feed(Feed::PollAndPush)
            .with_hosts(["{url}"])
            .with_config([field(
                "url",
                "Alertmanager's address, with its prefix if it has one. Without it, alerts come by \
                 webhook only.",
            )])
            .with_config(login("none"))
            .with_config([poll_time(), lazy_tables()])
            .with_tables(rest::tables(&collections()))
            .with_actions(actions::all())
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        match address(config) {
            Some(url) => Service::at(url).poll(&collections(), wanted),
            None => Ok(()), // nothing to ask: what has been pushed stays
        }
    }

    fn receive(_: &Config, push: Push) -> Result<()> {
        match push {
            Push::Webhook(json) => webhook::receive(&json),
            Push::Rows((table, _)) => Err(Error::Unsupported(format!(
                "table '{table}' takes no pushed rows: send Alertmanager's webhook"
            ))),
        }
    }

    fn execute(config: &Config, call: &Call) -> Result<()> {
        let url = address(config).ok_or_else(|| {
            Error::Config("field 'url' is not set: there is nothing to act upon".into())
        })?;
        let service = Service::at(url);
        service.send(actions::request(call, service.base())?)
    }
}

fn address(config: &Config) -> Option<&str> {
    config.get("url").map(str::trim).filter(|url| !url.is_empty())
}

fn collections() -> [Collection; 3] {
    // The alerts are read twice, for only tables of their own can be read more rarely.
    [
        whole("alerts", alerts().extract_objects(dated)),
        whole("alerts", statuses()),
        whole("silences", silences()),
    ]
}

/// A list that is the whole answer.
fn whole(path: &str, translator: Translator) -> Collection {
    Collection::new(format!("api/v2/{path}"), path, translator).at(Path::default())
}

/// What a webhook tells of an alert as well, and always the same way, so that it can be removed
/// again when the alert is resolved.
fn alerts() -> Translator {
    hdict("alerts").fields([
        value("fingerprint").typed(Str).desc("The alert's id, made of its labels"),
        value("name").at(Path::members(["labels", "alertname"])).typed(Str).desc("Its rule's name"),
        value("severity").at(Path::members(["labels", "severity"])).typed(Str).desc("That label"),
        value("startsAt").col("starts_at").typed(Str).desc("When it began, to the second"),
        child("labels", vdict("alerts.labels", "label", "value")),
        child(
            "receivers",
            hdict("alerts.receivers")
                .in_list()
                .fields([value("name").col("receiver").typed(Str).desc("Who is told of it")]),
        ),
    ])
}

/// What only Alertmanager itself can tell.
fn statuses() -> Translator {
    let status = |member: &str, column: &str| {
        let translator = list(&format!("alert_status.{column}"), "by").val_desc("That id");
        child(member, translator).at(Path::members(["status", member]))
    };
    hdict("alert_status").fields([
        value("fingerprint").typed(Str).desc("The alert's id"),
        value("state")
            .at(Path::members(["status", "state"]))
            .typed(Str)
            .desc("active, suppressed or unprocessed"),
        value("generatorURL").col("generator_url").typed(Str).desc("Where it comes from"),
        child("annotations", vdict("alert_status.annotations", "annotation", "value")),
        status("silencedBy", "silenced"),
        status("inhibitedBy", "inhibited"),
    ])
}

fn child(member: &str, translator: Translator) -> Field {
    let translator = translator.parent_key("fingerprint").parent_col("fingerprint");
    nested(member, translator.parent_desc("The alert's id"))
}

fn silences() -> Translator {
    let matchers = hdict("silences.matchers").in_list().parent_key("id").parent_col("id");
    let matchers = matchers.parent_desc("The silence's id").fields([
        value("name").col("label").typed(Str).desc("The label that is compared"),
        value("value").typed(Str).desc("The value that it is compared with"),
        value("isRegex").col("regex").typed(Bool).desc("Whether that is a regular expression"),
        value("isEqual").col("equal").absent(true).typed(Bool).desc("Whether it must match"),
    ]);
    hdict("silences").fields([
        value("id").typed(Str).desc("The silence's id"),
        value("state")
            .at(Path::members(["status", "state"]))
            .typed(Str)
            .desc("active, pending or expired"),
        value("createdBy").col("created_by").typed(Str).desc("Who made it"),
        value("comment").typed(Str).desc("Why"),
        value("startsAt").col("starts_at").typed(Str).desc("When it begins"),
        value("endsAt").col("ends_at").typed(Str).desc("When it ends"),
        nested("matchers", matchers),
    ])
}

/// Alerts with times as both API and webhook can tell them.
fn dated(alerts: &Json) -> Json {
    let dated = |alert: &Json| {
        let mut alert = alert.clone();
        if let Some(time) = alert.get_mut("startsAt") {
            *time = time.as_str().map_or(Json::Null, |text| json!(to_the_second(text)));
        }
        alert
    };
    alerts.as_array().map_or(Json::Null, |alerts| alerts.iter().map(dated).collect())
}

/// A time without the fraction of its second: the API tells milliseconds, the webhook nanoseconds.
fn to_the_second(time: &str) -> String {
    let Some((seconds, rest)) = time.split_once('.') else { return time.to_owned() };
    format!("{seconds}{}", rest.trim_start_matches(|c: char| c.is_ascii_digit()))
}

congress_driver::export_driver!(Alertmanager);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_lose_their_fraction_only() {
        for (time, expected) in [
            ("2026-11-27T10:00:00.123Z", "2026-11-27T10:00:00Z"),
            ("2026-11-27T10:00:00.123456789+02:00", "2026-11-27T10:00:00+02:00"),
            ("2026-11-27T10:00:00Z", "2026-11-27T10:00:00Z"),
        ] {
            assert_eq!(to_the_second(time), expected);
        }
    }
}
