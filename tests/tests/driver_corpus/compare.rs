//! Comparing tables with recorded ones, as sets of rows; 1 and 1.0 differ.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

/// How many rows of a difference are shown.
const SHOWN: usize = 5;

/// Compares the names of tables.
pub(crate) fn names(actual: &BTreeSet<String>, expected: &BTreeSet<String>) -> Result<(), String> {
    if actual == expected {
        return Ok(());
    }
    Err(format!(
        "tables missing: {:?}\ntables too many: {:?}",
        expected.difference(actual).collect::<Vec<_>>(),
        actual.difference(expected).collect::<Vec<_>>()
    ))
}

/// Compares rows, given as JSON texts.
pub(crate) fn rows(
    what: &str,
    actual: &BTreeMap<String, BTreeSet<String>>,
    expected: &BTreeMap<String, Vec<Vec<Value>>>,
) -> Result<(), String> {
    let nothing = BTreeSet::new();
    for (table, rows) in expected {
        let expected: BTreeSet<String> =
            rows.iter().map(|row| Value::from(row.clone()).to_string()).collect();
        let actual = actual.get(table).unwrap_or(&nothing);
        if *actual != expected {
            let missing: Vec<_> = expected.difference(actual).take(SHOWN).collect();
            let extra: Vec<_> = actual.difference(&expected).take(SHOWN).collect();
            return Err(format!(
                "{what}, table {table}:\n  missing {missing:#?}\n  extra {extra:#?}"
            ));
        }
    }
    Ok(())
}
