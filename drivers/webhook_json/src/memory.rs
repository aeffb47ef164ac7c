//! The records of a table with a key, kept between calls so that their rows can go again.
//!
//! The host holds no times, and finds rows only by what is in a column. So this is for tables with a
//! `ttl`, and for keys that are in no column. What is remembered has all rows, and counts against the
//! datasource's `state_bytes`.

use std::collections::{BTreeMap, BTreeSet};

use congress_driver::translate::Output;
use congress_driver::{Error, Result, Row, Value, json, rows, state};
use serde::{Deserialize, Serialize};
use serde_json::{Number, Value as Json};

/// Rows by table, as JSON texts, which can be compared and stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Records(BTreeMap<String, BTreeSet<String>>);

/// What is remembered of one table: its records now, and the rows that the host holds.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    before: Records,
    records: BTreeMap<String, Record>,
}

/// A record's end, in seconds since 1970, and its rows.
#[derive(Debug, Serialize, Deserialize)]
struct Record(Option<u64>, Records);

/// A table's name, the rows that come, and those that go.
type Change = (String, Vec<Row>, Vec<Row>);

impl Output for Records {
    fn row(&mut self, table: &str, row: Row) -> Result<()> {
        let row: Json = row.iter().map(to_json).collect();
        self.0.entry(table.to_owned()).or_default().insert(row.to_string());
        Ok(())
    }
}

impl Memory {
    /// Reads what [`store`](Self::store) wrote.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let records: BTreeMap<String, Record> = serde_json::from_str(text)
            .map_err(|error| Error::Protocol(format!("the state cannot be read: {error}")))?;
        Ok(Self { before: all(&records), records })
    }

    /// Without any record.
    #[must_use]
    pub(crate) fn emptied(mut self) -> Self {
        self.records.clear();
        self
    }

    /// Without the records whose time has run out.
    #[must_use]
    pub(crate) fn expire(mut self, now: u64) -> Self {
        self.records.retain(|_, Record(end, _)| end.is_none_or(|end| end > now));
        self
    }

    /// Puts a record in the place of that with the same key.
    pub(crate) fn put(&mut self, key: String, end: Option<u64>, rows: Records) {
        self.records.insert(key, Record(end, rows));
    }

    /// Removes a record.
    pub(crate) fn forget(&mut self, key: &str) {
        self.records.remove(key);
    }

    /// Tells the host which rows come and go, and keeps the records for the next call.
    pub(crate) fn store(self, table: &str) -> Result<()> {
        for (table, added, removed) in self.changes()? {
            rows::patch(&table, &added, &removed)?;
        }
        let key = crate::remembered(table);
        if self.records.is_empty() {
            return state::remove(&key);
        }
        let text = serde_json::to_string(&self.records)
            .map_err(|error| Error::Protocol(format!("the records cannot be kept: {error}")))?;
        state::set(&key, text)
    }

    /// What changes, for each table where anything does.
    fn changes(&self) -> Result<Vec<Change>> {
        let (before, after) = (&self.before.0, all(&self.records).0);
        let none = BTreeSet::new();
        let names: BTreeSet<&String> = before.keys().chain(after.keys()).collect();
        let mut changes = Vec::new();
        for name in names {
            // A row that another record gives as well stays.
            let (old, new) = (before.get(name).unwrap_or(&none), after.get(name).unwrap_or(&none));
            let added: Vec<Row> =
                new.difference(old).map(|row| to_row(row)).collect::<Result<_>>()?;
            let removed: Vec<Row> =
                old.difference(new).map(|row| to_row(row)).collect::<Result<_>>()?;
            if !added.is_empty() || !removed.is_empty() {
                changes.push((name.clone(), added, removed));
            }
        }
        Ok(changes)
    }
}

fn all(records: &BTreeMap<String, Record>) -> Records {
    let mut union = Records::default();
    for Record(_, rows) in records.values() {
        for (table, rows) in &rows.0 {
            union.0.entry(table.clone()).or_default().extend(rows.iter().cloned());
        }
    }
    union
}

fn to_json(value: &Value) -> Json {
    match value {
        Value::Null => Json::Null,
        Value::Boolean(b) => (*b).into(),
        Value::Integer(i) => (*i).into(),
        // Infinity, which JSON lacks, becomes null, on its way to the host as well.
        Value::Float(f) => Number::from_f64(*f).map_or(Json::Null, Json::Number),
        Value::Text(text) => text.clone().into(),
    }
}

fn to_row(text: &str) -> Result<Row> {
    let cells: Vec<Json> = serde_json::from_str(text)
        .map_err(|error| Error::Protocol(format!("the state cannot be read: {error}")))?;
    Ok(cells.iter().map(json::cell).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(table: &str, list: &[&[Value]]) -> Records {
        let mut records = Records::default();
        for row in list {
            records.row(table, row.to_vec()).unwrap();
        }
        records
    }

    /// What the next call finds.
    fn kept(memory: &Memory) -> Memory {
        Memory::parse(&serde_json::to_string(&memory.records).unwrap()).unwrap()
    }

    #[test]
    fn a_record_takes_the_place_of_the_one_before() {
        let mut memory = Memory::default();
        memory.put("a".into(), None, rows("t", &[&[1.into(), 1.5.into(), Value::Null]]));
        memory.put("b".into(), None, rows("t", &[&[2.into(), 2.0.into(), true.into()]]));
        let changes = memory.changes().unwrap();
        assert_eq!((changes[0].1.len(), changes[0].2.len()), (2, 0));

        let mut memory = kept(&memory);
        assert!(memory.changes().unwrap().is_empty());
        memory.put("b".into(), None, rows("t", &[&[2.into(), 2.into(), true.into()]]));
        let changes = memory.changes().unwrap();
        assert_eq!(changes[0].1, [vec![2.into(), 2.into(), true.into()]]);
        assert_eq!(changes[0].2, [vec![2.into(), 2.0.into(), true.into()]]);
    }

    #[test]
    fn a_row_stays_while_any_record_gives_it() {
        let shared = || rows("t", &[&["x".into()]]);
        let mut memory = Memory::default();
        memory.put("a".into(), Some(10), shared());
        memory.put("b".into(), Some(20), shared());
        let memory = kept(&memory).expire(10);
        assert!(memory.changes().unwrap().is_empty());
        let memory = kept(&memory).expire(20);
        assert_eq!(memory.changes().unwrap(), [("t".into(), vec![], vec![vec!["x".into()]])]);
    }

    #[test]
    fn what_is_forgotten_or_emptied_goes() {
        let mut memory = Memory::default();
        memory.put("a".into(), None, rows("t", &[&["x".into()]]));
        let mut gone = kept(&memory);
        gone.forget("a");
        assert_eq!(gone.changes().unwrap()[0].2.len(), 1);
        assert_eq!(kept(&memory).emptied().changes().unwrap()[0].2.len(), 1);
        assert!(Memory::parse("[").is_err());
    }
}
