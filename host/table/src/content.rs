//! The next content of a table, gathered beside what is held of it.

use crate::{Cell, Row, Table, TableDelta};

/// All rows that a table shall have, gathered one by one.
///
/// Where the rows that are held already can be looked at meanwhile, equal ones are shared with
/// them, and what is new and what is gone is noted as the rows come: most tables change little from
/// poll to poll, and comparing two whole tables afterwards costs more than gathering one.
#[derive(Clone, Debug, Default)]
pub struct NewContent {
    rows: Table,
    noted: Noted,
}

/// What the rows so far tell of the difference.
#[derive(Clone, Debug, Default)]
enum Noted {
    /// No row has come.
    #[default]
    Nothing,
    /// All rows were put in beside this state of the table.
    Beside { version: u64, met: Met, added: Vec<Row> },
    /// They were not: the tables have to be compared.
    Unknown,
}

/// Which places of a table have rows that came again.
#[derive(Clone, Debug)]
struct Met {
    words: Vec<u64>,
    count: usize,
}

impl Met {
    fn none_of(table: &Table) -> Self {
        Self { words: vec![0; table.places().div_ceil(64)], count: 0 }
    }

    fn note(&mut self, place: usize) {
        if let Some(word) = self.words.get_mut(place / 64) {
            let bit = 1 << (place % 64);
            self.count += usize::from(*word & bit == 0);
            *word |= bit;
        }
    }

    fn has(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }

    /// The rows that did not come again.
    fn left_over(&self, table: &Table) -> Vec<Row> {
        if self.count == table.len() {
            return Vec::new();
        }
        let places = (0..table.places()).filter(|place| !self.has(*place));
        places.filter_map(|place| table.at(place)).cloned().collect()
    }
}

impl NewContent {
    /// No rows yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The rows so far.
    pub fn rows(&self) -> &Table {
        &self.rows
    }

    /// The rows alone.
    pub fn into_rows(self) -> Table {
        self.rows
    }

    /// Puts a row in. `held` is what the table has now, with a version that is another whenever
    /// the table may be.
    pub fn insert_cells(&mut self, cells: &[Cell<'_>], held: Option<(&Table, u64)>) {
        match (&self.noted, held) {
            (Noted::Nothing, Some((table, version))) => {
                self.rows.reserve(table.len());
                let (met, added) = (Met::none_of(table), Vec::new());
                self.noted = Noted::Beside { version, met, added };
            }
            (Noted::Beside { version, .. }, Some((_, now))) if *version == now => {}
            _ => self.noted = Noted::Unknown,
        }
        let (Noted::Beside { met, added, .. }, Some((table, _))) = (&mut self.noted, held) else {
            self.rows.insert_cells(cells, held.map(|(table, _)| table));
            return;
        };
        match self.rows.insert_beside(cells, table) {
            Some((_, Some(place))) => met.note(place),
            Some((row, None)) => added.push(row.clone()),
            None => {}
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: &[crate::Value]) {
        self.noted = Noted::Unknown;
        self.rows.remove(row);
    }

    /// What turns a table into one with this content. Costs the size of the difference if the
    /// table has the version that all rows were put in beside, else that of both tables.
    pub fn difference_from(&self, table: &Table, version: u64) -> TableDelta {
        match &self.noted {
            Noted::Beside { version: then, met, added } if *then == version => {
                TableDelta { added: added.clone(), removed: met.left_over(table) }
            }
            _ => table.difference_to(&self.rows),
        }
    }
}

impl From<Table> for NewContent {
    fn from(rows: Table) -> Self {
        Self { rows, noted: Noted::Unknown }
    }
}

impl FromIterator<Row> for NewContent {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        Table::from_iter(rows).into()
    }
}

impl PartialEq for NewContent {
    fn eq(&self, other: &Self) -> bool {
        self.rows == other.rows
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// Few values, so that rows come twice and come again.
    fn cells(seed: u64) -> [Cell<'static>; 2] {
        [Cell::Int((seed % 7) as i64), Cell::Int((seed / 7 % 5) as i64)]
    }

    fn sorted(rows: &[Row]) -> BTreeSet<String> {
        rows.iter().map(|row| format!("{row:?}")).collect()
    }

    #[test]
    fn what_is_noted_is_what_comparing_finds() {
        let mut seed = 1u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        for round in 0..500 {
            let mut held = Table::new();
            for _ in 0..next() % 40 {
                held.insert_cells(&cells(next()), None);
            }
            let mut content = NewContent::new();
            for _ in 0..next() % 40 {
                // Sometimes the table changes meanwhile, or cannot be looked at.
                let beside = match (round % 5, next() % 10) {
                    (0, 0) => None,
                    (1, 0) => {
                        let moved = cells(next()).map(crate::Value::from);
                        held.remove(&moved);
                        Some((&held, 2))
                    }
                    _ => Some((&held, 1)),
                };
                content.insert_cells(&cells(next()), beside);
            }
            let version = if matches!(content.noted, Noted::Unknown) { 2 } else { 1 };
            let noted = content.difference_from(&held, version);
            let compared = held.difference_to(content.rows());
            assert_eq!(sorted(&noted.added), sorted(&compared.added));
            assert_eq!(sorted(&noted.removed), sorted(&compared.removed));
            assert_eq!(noted.added.len(), compared.added.len());
            held.apply(&noted);
            assert_eq!(held, *content.rows());
        }
    }

    #[test]
    fn rows_that_came_again_are_shared() {
        let mut held = Table::new();
        held.insert_cells(&cells(3), None);
        held.insert_cells(&cells(9), None);
        let mut content = NewContent::new();
        content.insert_cells(&cells(9), Some((&held, 4)));
        content.insert_cells(&cells(20), Some((&held, 4)));
        let difference = content.difference_from(&held, 4);
        assert_eq!((difference.added.len(), difference.removed.len()), (1, 1));
        let is_held = |row: &&Row| held.rows().any(|other| std::sync::Arc::ptr_eq(row, other));
        assert_eq!(content.rows().rows().filter(is_held).count(), 1);
        // Of another version nothing is known, and the tables are compared.
        assert_eq!(content.difference_from(&Table::new(), 5).added.len(), 2);
    }
}
