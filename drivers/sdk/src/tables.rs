//! A root table, those nested in it, and where their rows go.

use std::collections::{BTreeMap, BTreeSet};

use crate::rows::TableWriter;
use crate::translate::{Output, Translator};
use crate::{Result, Row, Value, logging};

/// Writers for all tables of one translator. Their old rows go when [`finish`](Self::finish) is
/// reached; a poll that fails before that leaves them to the host to drop.
#[must_use = "rows are complete only after `finish`"]
#[derive(Debug)]
pub struct TableSet {
    writers: BTreeMap<String, TableWriter>,
    misfits: BTreeSet<String>,
}

impl TableSet {
    /// Writers for the tables of a translator.
    pub fn of(translator: &Translator) -> Self {
        let writers = translator
            .tables()
            .into_iter()
            .map(|table| (table.name.clone(), TableWriter::new(&table.name)))
            .collect();
        Self { writers, misfits: BTreeSet::new() }
    }

    /// Sends what is left; tables that got no row become empty.
    pub fn finish(self) -> Result<()> {
        self.writers.into_values().try_for_each(TableWriter::finish)
    }
}

impl Output for TableSet {
    fn row(&mut self, table: &str, row: Row) -> Result<()> {
        match self.writers.get_mut(table) {
            Some(writer) => writer.push(row),
            None => Ok(()), // a translator only makes rows of its own tables
        }
    }

    /// Says it once per column: some services always answer another type than they document.
    fn misfit(&mut self, table: &str, column: &str, value: &Value) {
        if self.misfits.insert(format!("{table}.{column}")) {
            let message =
                format!("{table}.{column}: a value does not fit the declared type: {value:?}");
            logging::debug(&message);
        }
    }
}
