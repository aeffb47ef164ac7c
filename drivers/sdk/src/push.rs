//! What is pushed: bodies of requests, and the rows that they replace.
//!
//! A driver that is pushed to sees one body at a time and keeps nothing in memory. Where a push
//! replaces some rows of a table and not others, [`find`] reads those from the host, and
//! [`rows::patch`] removes them.

use serde_json::{Map, Value as Json};

use crate::bindings::congress::datasource::sink;
pub use crate::bindings::congress::datasource::sink::Test;
use crate::translate::{Collected, Translator};
use crate::{ConfigField, Error, FieldType, Push, Result, Row, describe, json, rows};

/// Whether pushed rows outlive a restart; every driver that is pushed to has this field, and the
/// host does what it says.
pub fn persist_data() -> ConfigField {
    describe::field("persist_data", "Whether rows are kept over restarts (true or false).")
        .of(FieldType::Boolean)
}

/// The payload of what must have come to the webhook: `what` come there.
pub fn webhook(push: Push, what: &str) -> Result<String> {
    match push {
        Push::Webhook(body) => Ok(body),
        Push::Rows(_) => {
            Err(Error::Unsupported(format!("{what} come to the webhook, not as rows")))
        }
    }
}

/// A body that is one object.
pub fn object(body: &str) -> Result<Map<String, Json>> {
    match parse(body)? {
        Json::Object(object) => Ok(object),
        other => Err(Error::Protocol(format!("an object is expected, not {}", json::kind(&other)))),
    }
}

/// A body that is a list of objects.
pub fn objects(body: &str) -> Result<Vec<Map<String, Json>>> {
    let Json::Array(items) = parse(body)? else {
        return Err(Error::Protocol("a list of objects is expected".into()));
    };
    let object = |(number, item): (usize, Json)| match item {
        Json::Object(object) => Ok(object),
        other => {
            let kind = json::kind(&other);
            Err(Error::Protocol(format!("item {number} must be an object, it is {kind}")))
        }
    };
    items.into_iter().enumerate().map(object).collect()
}

/// A member that must be there.
pub fn member<'a>(object: &'a Map<String, Json>, name: &str) -> Result<&'a Json> {
    object.get(name).ok_or_else(|| Error::Protocol(format!("member '{name}' is missing")))
}

fn parse(body: &str) -> Result<Json> {
    serde_json::from_str(body).map_err(|error| Error::Protocol(format!("not JSON: {error}")))
}

/// The rows of a table, as they were before this call, whose cell in that column passes a test.
pub fn find(table: &str, column: &str, test: &Test) -> Result<Vec<Row>> {
    Ok(sink::find(table, column, test)?)
}

/// Rows of a translator's tables, each with those of one table after the other.
pub fn translated(translator: &Translator, object: Json) -> Result<Collected> {
    let mut collected = Collected::default();
    translator.translate([&object], &mut collected)?;
    Ok(collected)
}

/// Puts rows in the place of those whose cell in that column passes a test.
pub fn replace_where(table: &str, column: &str, test: &Test, added: &[Row]) -> Result<()> {
    rows::patch(table, added, &find(table, column, test)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn webhooks_take_no_rows() {
        assert_eq!(webhook(Push::Webhook("{}".into()), "alarms").unwrap(), "{}");
        let error = webhook(Push::Rows(("t".into(), "[]".into())), "alarms").unwrap_err();
        assert_eq!(error, Error::Unsupported("alarms come to the webhook, not as rows".into()));
    }

    #[test]
    fn bodies_are_checked() {
        assert_eq!(object(r#"{"a": 1}"#).unwrap()["a"], 1);
        assert_eq!(objects(r#"[{"a": 1}, {}]"#).unwrap().len(), 2);
        let text = |error: Error| match error {
            Error::Protocol(text) => text,
            other => panic!("{other:?}"),
        };
        assert_eq!(text(object("[]").unwrap_err()), "an object is expected, not a list");
        assert_eq!(text(objects("{}").unwrap_err()), "a list of objects is expected");
        assert_eq!(
            text(objects("[{}, 7]").unwrap_err()),
            "item 1 must be an object, it is a number"
        );
        assert!(text(object("{").unwrap_err()).starts_with("not JSON"));
        let empty = Map::new();
        assert_eq!(text(member(&empty, "id").unwrap_err()), "member 'id' is missing");
    }
}
