//! Records that the host finds by their key, for it is in columns: nothing is remembered of them.

use std::collections::BTreeMap;

use congress_driver::mapping::Rows;
use congress_driver::path::Path;
use congress_driver::push::{self, Test};
use congress_driver::translate::Collected;
use congress_driver::{Error, Result, Row, Value, rows};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value as Json;

use crate::mapping::Source;

/// Keys in one question to the host: what a call carries is bounded.
const KEYS: usize = 1_000;

/// Where keys are.
#[derive(Debug, PartialEq)]
pub(crate) struct Held {
    /// The positions of the key's columns in the table.
    columns: Vec<usize>,
    /// The tables inside of it, and their columns that repeat the key.
    children: Vec<(String, String)>,
}

/// What a mapping says of the tables inside of a table.
#[derive(Debug, Deserialize)]
pub(crate) struct Outline {
    #[serde(default)]
    children: BTreeMap<String, Child>,
}

#[derive(Debug, Deserialize)]
struct Child {
    parent: String,
    #[serde(rename = "as")]
    column: Option<String>,
    #[serde(default)]
    children: BTreeMap<String, IgnoredAny>,
}

/// The last record of each key, or none if it is gone, with the key's cells.
type Latest<'a> = BTreeMap<String, (Row, Option<&'a Json>)>;

impl Held {
    /// Where a table's keys are, if the host can find all rows of a record by them: the key is one
    /// of columns, and tables inside repeat it.
    pub(crate) fn of(source: &Source, outline: Outline) -> Option<Self> {
        let columns = &source.rows.columns;
        let paths = source.key.as_deref().filter(|_| source.ttl.is_none())?;
        let position = |path: &Path| columns.iter().position(|column| column.path == *path);
        let positions: Vec<usize> = paths.iter().map(position).collect::<Option<_>>()?;
        let repeats = |child: &Child| {
            child.children.is_empty()
                && positions.iter().all(|position| columns[*position].name == child.parent)
        };
        if !outline.children.values().all(repeats) {
            return None;
        }
        let column = |child: Child| child.column.unwrap_or(child.parent);
        let children = outline.children.into_iter();
        let children = children.map(|(table, child)| (table, column(child))).collect();
        Some(Self { columns: positions, children })
    }

    /// Puts each record in the place of that with the same key.
    pub(crate) fn put(&self, table: &str, source: &Source, records: &[&Json]) -> Result<()> {
        let latest = self.latest(table, source, records)?;
        let added = latest.values().filter_map(|(_, record)| *record);
        let mut found = Collected::default();
        source.rows.translator(table)?.translate(added, &mut found)?;
        let added = |table: &str| found.0.get(table).map(Vec::as_slice).unwrap_or_default();
        let (part, cells) = telling(&latest, self.columns.len());
        let Some(column) = self.columns.get(part).and_then(|at| source.rows.columns.get(*at))
        else {
            return Ok(());
        };
        // With a key of more columns, these are some others' too.
        let mut removed = find(table, &column.name, &cells)?;
        removed.retain(|row| latest.contains_key(&self.key_in(row)));
        rows::patch(table, added(table), &removed)?;
        // A table that has any has a key of one column.
        for (child, column) in &self.children {
            rows::patch(child, added(child), &find(child, column, &cells)?)?;
        }
        Ok(())
    }

    /// The records that are left of some: the last of each key, without those that are gone.
    pub(crate) fn left<'a>(
        &self,
        table: &str,
        source: &Source,
        records: &[&'a Json],
    ) -> Result<Vec<&'a Json>> {
        let latest = self.latest(table, source, records)?;
        Ok(latest.into_values().filter_map(|(_, record)| record).collect())
    }

    fn latest<'a>(&self, table: &str, source: &Source, records: &[&'a Json]) -> Result<Latest<'a>> {
        let columns = self.columns.iter().filter_map(|at| source.rows.columns.get(*at).cloned());
        let keys =
            Rows { columns: columns.collect(), children: BTreeMap::new(), ..source.rows.clone() };
        let keys = keys.translator(table)?;
        let mut latest = Latest::new();
        for record in records {
            source.key_of(record).map_err(|what| keyless(table, &what))?;
            let mut rows = Collected::default();
            keys.translate([*record], &mut rows)?;
            let key = rows.0.remove(table).and_then(|mut rows| rows.pop()).unwrap_or_default();
            latest.insert(text(key.iter()), (key, Some(*record).filter(|of| !source.removes(of))));
        }
        Ok(latest)
    }

    fn key_in(&self, row: &Row) -> String {
        text(self.columns.iter().filter_map(|at| row.get(*at)))
    }
}

/// What is wrong with a push, one of whose records has no key.
pub(crate) fn keyless(table: &str, what: &str) -> Error {
    Error::Protocol(format!("table '{table}': a record {what}, so that it has no key"))
}

/// The part of the key that has the most different cells, so that it finds the fewest rows of others;
/// and these cells, each once.
fn telling(latest: &Latest<'_>, parts: usize) -> (usize, Vec<Value>) {
    let cells = |part: usize| {
        let cells = latest.values().filter_map(|(key, _)| key.get(part));
        let cells: BTreeMap<String, &Value> = cells.map(|cell| (text([cell]), cell)).collect();
        (part, cells)
    };
    let most = (0..parts).map(cells).reduce(|most, next| {
        let has_more = next.1.len() > most.1.len();
        if has_more { next } else { most }
    });
    most.map_or_else(Default::default, |(part, cells)| {
        (part, cells.into_values().cloned().collect())
    })
}

/// Rows with one of these cells in that column, none twice if no cell is there twice.
fn find(table: &str, column: &str, cells: &[Value]) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for cells in cells.chunks(KEYS) {
        rows.extend(push::find(table, column, &Test::AnyOf(cells.to_vec()))?);
    }
    Ok(rows)
}

/// A text that is the same for cells that are the same to the host, and for no others.
fn text<'a>(cells: impl IntoIterator<Item = &'a Value>) -> String {
    let text = |cell: &Value| match cell {
        Value::Null => "null".to_owned(),
        Value::Boolean(flag) => i64::from(*flag).to_string(),
        Value::Integer(number) => number.to_string(),
        // A float that is a whole number has no other digits than the integer.
        Value::Float(number) if *number == 0.0 => "0".to_owned(),
        Value::Float(number) => number.to_string(),
        Value::Text(text) => format!("{text:?}"),
    };
    cells.into_iter().map(text).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(mapping: &Json) -> (Source, Option<Held>) {
        let source: Source = serde_json::from_value(mapping.clone()).unwrap();
        let held = Held::of(&source, serde_json::from_value(mapping.clone()).unwrap());
        (source, held)
    }

    #[test]
    fn the_host_finds_what_repeats_the_key() {
        let children = |parent: &str, inside: Json| {
            json!({"columns": ["a", {"name": "id", "path": "at.id"}], "key": "at.id", "children":
                {"t.c": {"rows": "c", "parent": parent, "as": "of", "columns": ["x"],
                         "children": inside}}})
        };
        let held = source(&children("id", json!({}))).1.unwrap();
        assert_eq!(held.columns, [1]);
        assert_eq!(held.children, [("t.c".to_owned(), "of".to_owned())]);
        let both = json!({"columns": ["a", "b"], "key": ["b", "a"]});
        assert_eq!(source(&both).1.unwrap().columns, [1, 0]);
        let deeper = json!({"t.d": {"rows": "d", "parent": "x", "value": "v"}});
        for mapping in [
            children("a", json!({})),
            children("id", deeper),
            json!({"columns": ["a"], "key": "b"}),
            json!({"columns": ["a"], "key": "a", "ttl": 9}),
            json!({"columns": ["a"]}),
            json!({"columns": ["a", "b"], "key": ["b", "a"],
                   "children": {"t.c": {"rows": "c", "parent": "a", "value": "v"}}}),
        ] {
            assert_eq!(source(&mapping).1, None, "{mapping}");
        }
    }

    #[test]
    fn the_last_record_of_a_key_counts() {
        let (source, held) = source(&json!({
            "columns": ["v", "id"], "key": "id", "remove": {"path": "v", "is": "gone"},
        }));
        let held = held.unwrap();
        let records = [
            json!({"id": 1, "v": "a"}),
            json!({"id": "1", "v": "b"}),
            json!({"id": 1.0, "v": "c"}),
            json!({"id": 2, "v": "d"}),
            json!({"id": 2, "v": "gone"}),
        ];
        let records: Vec<&Json> = records.iter().collect();
        let latest = held.latest("t", &source, &records).unwrap();
        assert_eq!(latest.len(), 3);
        assert_eq!(latest[&held.key_in(&vec![Value::Null, 1.into()])].1, Some(records[2]));
        assert_eq!(latest[&held.key_in(&vec![Value::Null, 2.0.into()])].1, None);
        assert_eq!(held.left("t", &source, &records).unwrap(), [records[1], records[2]]);
        let error = held.latest("t", &source, &[&json!({"v": 1})]).unwrap_err();
        assert_eq!(error, keyless("t", "has nothing at $.id"));
    }

    #[test]
    fn the_part_of_a_key_that_tells_most_finds_records_and_each_cell_is_asked_for_once() {
        let cells = |key: Json, records: &[Json]| {
            let (source, held) = source(&json!({"columns": ["region", "id", "v"], "key": key}));
            let held = held.unwrap();
            let records: Vec<&Json> = records.iter().collect();
            let latest = held.latest("t", &source, &records).unwrap();
            let (part, cells) = telling(&latest, held.columns.len());
            (source.rows.columns[held.columns[part]].name.clone(), cells)
        };
        let record = |region: &str, id: Json| json!({"region": region, "id": id});
        let one = [record("r", json!(1)), record("r", json!(2)), record("q", json!(3))];
        for key in [json!(["region", "id"]), json!(["id", "region"])] {
            assert_eq!(cells(key, &one), ("id".into(), vec![1.into(), 2.into(), 3.into()]));
        }
        // The same cell in other words is the same to the host.
        let both = [record("a", json!(1)), record("b", json!(1.0)), record("a", json!(1))];
        let found = cells(json!(["id", "region"]), &both);
        assert_eq!(found, ("region".into(), vec!["a".into(), "b".into()]));
        let same = [record("a", json!(7)), record("a", json!(7))];
        assert_eq!(cells(json!(["region", "id"]), &same), ("region".into(), vec!["a".into()]));
        assert_eq!(cells(json!(["id"]), &both).1.len(), 1);
        assert_eq!(cells(json!(["id"]), &[]).1, []);
    }

    #[test]
    fn cells_are_told_apart_as_the_host_does() {
        let text = |cells: &[Value]| text(cells.iter());
        assert_eq!(text(&[true.into(), (-0.0).into()]), text(&[1.0.into(), 0.into()]));
        assert_ne!(text(&["1".into()]), text(&[1.into()]));
        assert_ne!(text(&["a\",\"b".into()]), text(&["a".into(), "b".into()]));
        assert_ne!(text(&[1.5.into()]), text(&[1.into()]));
    }
}
