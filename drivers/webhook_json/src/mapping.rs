//! The mapping: where a table's records are in what is pushed, what tells them apart, and how long
//! they hold.

use std::collections::BTreeMap;

use congress_driver::mapping::{Child, Column, Rows};
use congress_driver::path::Path;
use serde::Deserialize;
use serde_json::Value as Json;

use crate::held::Held;

/// A root table.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Flat")]
pub(crate) struct Source {
    pub(crate) rows: Rows,
    /// Where a record has what tells it from others. Without it, what is pushed is all there is.
    pub(crate) key: Option<Vec<Path>>,
    /// Which records count; all by default.
    pub(crate) when: Option<Condition>,
    /// Which records say that one is gone.
    pub(crate) remove: Option<Condition>,
    /// Seconds for which rows hold; for ever by default.
    pub(crate) ttl: Option<u64>,
    /// Where the host finds records by their key, if it can.
    pub(crate) held: Option<Held>,
}

/// Whether a member of a record is one of some values.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Condition {
    path: Path,
    is: OneOrMany<Json>,
}

#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum OneOrMany<T> {
    Many(Vec<T>),
    One(T),
}

/// A source as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat {
    #[serde(default)]
    rows: Path,
    key: Option<OneOrMany<Path>>,
    when: Option<Condition>,
    remove: Option<Condition>,
    ttl: Option<u64>,
    columns: Vec<Column>,
    #[serde(default)]
    children: BTreeMap<String, Child>,
}

impl TryFrom<Flat> for Source {
    type Error = String;

    fn try_from(flat: Flat) -> Result<Self, String> {
        let Flat { rows, key, when, remove, ttl, columns, children } = flat;
        let key = key.map(|key| match key {
            OneOrMany::Many(paths) => paths,
            OneOrMany::One(path) => vec![path],
        });
        let conditions = [&when, &remove].into_iter().flatten().map(|condition| &condition.path);
        for path in key.iter().flatten().chain(conditions) {
            if !path.is_single() {
                return Err(format!("the path {path} selects many values; one is needed"));
            }
        }
        if key.as_ref().is_some_and(Vec::is_empty) {
            return Err("'key' is empty; give a path, or leave it out".into());
        }
        if remove.is_some() && key.is_none() {
            return Err("'remove' needs a 'key' that says which record goes".into());
        }
        if ttl == Some(0) {
            return Err("'ttl' must be at least 1 second".into());
        }
        Ok(Self { rows: Rows { rows, columns, children }, key, when, remove, ttl, held: None })
    }
}

impl Source {
    /// The records for this table, if the payload has any place for them: an empty list has one.
    pub(crate) fn records<'a>(&self, payload: &'a Json) -> Option<Vec<&'a Json>> {
        let mut records = self.rows.items(payload).ok()?;
        records.retain(|record| self.when.as_ref().is_none_or(|when| when.holds(record)));
        Some(records)
    }

    /// Whether it must know later what was pushed before.
    pub(crate) fn remembers(&self) -> bool {
        self.ttl.is_some() || self.key.is_some() && self.held.is_none()
    }

    /// Whether a record says that the one with its key is gone.
    pub(crate) fn removes(&self, record: &Json) -> bool {
        self.remove.as_ref().is_some_and(|remove| remove.holds(record))
    }

    /// The key of a record, or what is wrong with the record.
    pub(crate) fn key_of(&self, record: &Json) -> Result<String, String> {
        let paths = self.key.as_deref().unwrap_or_default();
        let values: Result<Vec<Json>, String> = paths
            .iter()
            .map(|path| match path.get(record) {
                None | Some(Json::Null) => Err(format!("has nothing at {path}")),
                Some(value) => Ok(value.clone()),
            })
            .collect();
        Ok(Json::Array(values?).to_string())
    }
}

impl Condition {
    /// Whether it is true of a record.
    pub(crate) fn holds(&self, record: &Json) -> bool {
        let found = self.path.get(record).unwrap_or(&Json::Null);
        match &self.is {
            OneOrMany::Many(values) => values.contains(found),
            OneOrMany::One(value) => value == found,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(json: Json) -> Source {
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn keys_are_of_one_part_or_more() {
        let one = source(json!({"columns": ["a"], "key": "id"}));
        assert_eq!(one.key_of(&json!({"id": "x"})).unwrap(), r#"["x"]"#);
        let two = source(json!({"columns": ["a"], "key": ["id", "at.zone"]}));
        let record = json!({"id": 1, "at": {"zone": "z"}});
        assert_eq!(two.key_of(&record).unwrap(), r#"[1,"z"]"#);
        assert_eq!(two.key_of(&json!({"id": 1})).unwrap_err(), "has nothing at $.at.zone");
    }

    #[test]
    fn an_empty_list_is_for_a_table_and_a_missing_one_is_not() {
        let found = |rows: &str, payload: Json| {
            let source = source(json!({"rows": rows, "columns": ["a"]}));
            source.records(&payload).map(|records| records.len())
        };
        for rows in ["r", "r[*]"] {
            assert_eq!(found(rows, json!({"r": []})), Some(0));
            assert_eq!(found(rows, json!({"r": [{"a": 1}]})), Some(1));
            assert_eq!(found(rows, json!({"x": []})), None);
            assert_eq!(found(rows, json!({"r": "x"})), None);
            assert_eq!(found(rows, json!({"r": null})), None);
        }
        assert_eq!(found("r[*].s[*]", json!({"r": [{"s": []}]})), Some(0));
    }

    #[test]
    fn conditions_compare_with_one_value_or_some() {
        let source = source(json!({
            "columns": ["a"], "key": "a",
            "when": {"path": "kind", "is": ["host", "vm"]}, "remove": {"path": "up", "is": false},
        }));
        let (when, remove) = (source.when.unwrap(), source.remove.unwrap());
        assert!(when.holds(&json!({"kind": "vm"})) && !when.holds(&json!({"kind": "x"})));
        assert!(remove.holds(&json!({"up": false})) && !remove.holds(&json!({})));
    }
}
