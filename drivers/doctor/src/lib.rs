//! Events of OPNFV Doctor: what its monitors found on hosts, pushed as rows by the inspector.

use congress_driver::prelude::*;
use congress_driver::push;
use congress_driver::tables::TableSet;
use congress_driver::translate::{Translator, hdict, value};
use serde_json::{Map, Value as Json};

struct Doctor;

impl Driver for Doctor {
    fn metadata() -> Metadata {
        let description = "Datasource driver that allows external systems to push data in \
                           accordance with OPNFV Doctor Inspector southbound interface \
                           specification.";
        metadata("doctor", env!("CARGO_PKG_VERSION"), description)
            .with_feed(Feed::Push)
            .with_config([push::persist_data()])
            .with_tables(events().tables())
    }

    fn receive(_: &Config, push: Push) -> Result<()> {
        let Push::Rows((_, body)) = push else {
            return Err(Error::Unsupported("events are pushed as rows, not to the webhook".into()));
        };
        let pushed = push::objects(&body)?.iter().map(event).collect::<Result<Vec<_>>>()?;
        let translator = events();
        let mut tables = TableSet::of(&translator);
        translator.translate(&pushed, &mut tables)?;
        tables.finish()
    }
}

fn events() -> Translator {
    let columns = ["time", "type", "hostname", "status", "monitor", "monitor_event_id"];
    hdict("events").fields(columns.map(value))
}

/// An event with its details beside the rest. Where both have a member, that of the details counts.
fn event(event: &Map<String, Json>) -> Result<Json> {
    match event.get("details") {
        Some(Json::Object(details)) => {
            let mut flat = event.clone();
            flat.extend(details.clone());
            Ok(flat.into())
        }
        Some(_) => Err(Error::Protocol("an event's member 'details' must be an object".into())),
        None => Err(Error::Protocol("an event lacks its member 'details'".into())),
    }
}

congress_driver::export_driver!(Doctor);

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flat(json: Json) -> Result<Json> {
        event(json.as_object().unwrap())
    }

    #[test]
    fn details_win() {
        let event = flat(json!({"time": 1, "status": "a", "details": {"status": "b", "x": null}}));
        let event = event.unwrap();
        assert_eq!((&event["time"], &event["status"]), (&json!(1), &json!("b")));
    }

    #[test]
    fn events_without_details_are_refused() {
        assert!(flat(json!({"time": 1})).is_err());
        assert!(flat(json!({"details": null})).is_err());
        assert!(flat(json!({"details": {}})).is_ok());
    }
}
