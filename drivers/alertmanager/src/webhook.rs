//! Alertmanager's webhook: firing alerts come, resolved ones go, between polls or without any.
//!
//! A notification holds the whole alert, so that the rows of a resolved one are known from its
//! notification alone, and nothing must be remembered.

use congress_driver::translate::Collected;
use congress_driver::{Error, Result, Row, rows};
use serde_json::{Value as Json, json};

use crate::{alerts, dated};

/// Takes a notification.
pub(crate) fn receive(json: &str) -> Result<()> {
    for Patch { table, added, removed } in patches(json)? {
        rows::patch(&table, &added, &removed)?;
    }
    Ok(())
}

/// What a notification changes of one table.
#[derive(Debug, PartialEq)]
struct Patch {
    table: String,
    added: Vec<Row>,
    removed: Vec<Row>,
}

fn patches(json: &str) -> Result<Vec<Patch>> {
    let wrong = |what: &str| Error::Protocol(format!("this is no webhook of Alertmanager: {what}"));
    let body: Json = serde_json::from_str(json).map_err(|error| wrong(&error.to_string()))?;
    let Some(Json::Array(all)) = body.get("alerts") else {
        return Err(wrong("it has no list 'alerts'"));
    };
    let (mut firing, mut resolved) = (Vec::new(), Vec::new());
    for alert in all {
        let Some(fingerprint) = alert["fingerprint"].as_str() else {
            return Err(wrong("an alert has no 'fingerprint' (it has since version 0.20)"));
        };
        let kept = json!({
            "fingerprint": fingerprint, "labels": alert["labels"], "startsAt": alert["startsAt"],
            "receivers": [{ "name": body["receiver"] }],
        });
        match alert["status"].as_str() {
            Some("firing") => firing.push(kept),
            Some("resolved") => resolved.push(kept),
            _ => return Err(wrong("an alert's 'status' is neither firing nor resolved")),
        }
    }
    let (mut added, mut removed) = (translated(&firing)?, translated(&resolved)?);
    let tables = alerts().tables().into_iter().map(|table| table.name);
    let patches = tables.map(|table| Patch {
        added: added.0.remove(&table).unwrap_or_default(),
        removed: removed.0.remove(&table).unwrap_or_default(),
        table,
    });
    Ok(patches.filter(|patch| !patch.added.is_empty() || !patch.removed.is_empty()).collect())
}

fn translated(list: &[Json]) -> Result<Collected> {
    let mut rows = Collected::default();
    alerts().extract_objects(dated).translate(list, &mut rows)?;
    Ok(rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notification(status: &str) -> String {
        let ends = if status == "firing" { "0001-01-01T00:00:00Z" } else { "2026-11-27T10:30:00Z" };
        json!({
            "version": "4", "groupKey": "{}:{alertname=\"Down\"}", "truncatedAlerts": 0,
            "status": status, "receiver": "congress", "externalURL": "http://am:9093",
            "groupLabels": {"alertname": "Down"}, "commonLabels": {}, "commonAnnotations": {},
            "alerts": [{
                "status": status, "labels": {"alertname": "Down", "severity": "page"},
                "annotations": {"summary": format!("now {status}")},
                "startsAt": "2026-11-27T10:00:00.123456789Z", "endsAt": ends,
                "generatorURL": "http://prometheus:9090/graph", "fingerprint": "1a30ba71cca2921f",
            }],
        })
        .to_string()
    }

    #[test]
    fn what_was_added_is_removed() {
        let (firing, resolved) = (
            patches(&notification("firing")).unwrap(),
            patches(&notification("resolved")).unwrap(),
        );
        let tables: Vec<_> = firing.iter().map(|patch| patch.table.as_str()).collect();
        assert_eq!(tables, ["alerts.labels", "alerts.receivers", "alerts"]);
        for (came, went) in firing.iter().zip(&resolved) {
            assert_eq!(came.added, went.removed);
            assert!(came.removed.is_empty() && went.added.is_empty());
        }
        let alert = ["1a30ba71cca2921f", "Down", "page", "2026-11-27T10:00:00Z"];
        assert_eq!(firing[2].added, [Row::from(alert.map(Into::into))]);
    }

    #[test]
    fn what_is_no_notification_is_refused() {
        for (body, message) in [
            ("{", "EOF"),
            ("[]", "no list 'alerts'"),
            (r#"{"alerts": [{"status": "firing"}]}"#, "no 'fingerprint'"),
            (r#"{"alerts": [{"fingerprint": "a", "status": "on"}]}"#, "neither firing"),
        ] {
            let Err(Error::Protocol(text)) = patches(body) else { panic!("{body}") };
            assert!(text.contains(message), "{text}");
        }
        assert_eq!(patches(r#"{"alerts": []}"#).unwrap(), []);
    }
}
