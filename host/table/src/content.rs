//! The next content of a table, gathered beside what is held of it.

use std::sync::Arc;

use crate::{Cell, Row, Table, TableDelta, Value};

/// All rows that a table shall have, gathered one by one beside those that it has.
///
/// Rows that come again are only marked; what is new is kept apart. Most tables change little from
/// poll to poll: then this costs no copy of the table, and the difference is known at the end
/// without comparing.
#[derive(Clone, Debug, Default)]
pub struct NewContent {
    held: Arc<Table>,
    again: Places,
    new: Table,
}

/// Some of the places of a table.
#[derive(Clone, Debug, Default)]
struct Places {
    words: Vec<u64>,
    count: usize,
}

impl Places {
    fn of(table: &Table) -> Self {
        Self { words: vec![0; table.places().div_ceil(64)], count: 0 }
    }

    fn set(&mut self, place: usize, is_in: bool) {
        let Some(word) = self.words.get_mut(place / 64) else { return };
        let bit = 1 << (place % 64);
        match (*word & bit != 0, is_in) {
            (false, true) => self.count += 1,
            (true, false) => self.count -= 1,
            _ => return,
        }
        *word ^= bit;
    }

    fn has(&self, place: usize) -> bool {
        self.words.get(place / 64).is_some_and(|word| word & (1 << (place % 64)) != 0)
    }
}

impl NewContent {
    /// No rows yet, beside an empty table.
    pub fn new() -> Self {
        Self::default()
    }

    /// No rows yet, beside what is held of the table.
    pub fn beside(held: Arc<Table>) -> Self {
        Self { again: Places::of(&held), held, new: Table::new() }
    }

    /// How many rows there are.
    pub fn len(&self) -> usize {
        self.again.count + self.new.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All rows, in no order.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.marked(true).chain(self.new.rows())
    }

    /// The rows that are held and have come again, or those that have not.
    fn marked(&self, again: bool) -> impl Iterator<Item = &Row> {
        let count = if again { self.again.count } else { self.held.len() - self.again.count };
        let places = (0..self.held.places()).filter(move |place| self.again.has(*place) == again);
        places.filter_map(|place| self.held.at(place)).take(count)
    }

    /// Whether a row is there.
    pub fn contains(&self, row: &[Value]) -> bool {
        self.held.place_of(row).is_some_and(|place| self.again.has(place)) || self.new.contains(row)
    }

    /// Makes room for so many rows, unless they may be those that are held.
    pub fn reserve(&mut self, rows: usize) {
        if self.held.is_empty() {
            self.new.reserve(rows);
        }
    }

    /// Puts a row in. It is made only if it is new.
    pub fn insert_cells(&mut self, cells: &[Cell<'_>]) {
        if let Some(place) = self.new.insert_beside(cells, &self.held) {
            self.again.set(place, true);
        }
    }

    /// Takes a row out.
    pub fn remove(&mut self, row: &[Value]) {
        match self.held.place_of(row) {
            Some(place) => self.again.set(place, false),
            None => drop(self.new.remove(row)),
        }
    }

    /// What turns a table into one with this content. Costs the size of the difference and a look
    /// at each place if the table is the one that the rows were gathered beside, else the size of
    /// both. Nothing holds the table afterwards.
    pub fn difference_from(self, table: &Arc<Table>) -> TableDelta {
        if Arc::ptr_eq(&self.held, table) {
            let removed = self.marked(false).cloned().collect();
            return TableDelta { added: self.new.into_rows(), removed };
        }
        TableDelta {
            added: self.rows().filter(|row| !table.contains(row)).cloned().collect(),
            removed: table.rows().filter(|row| !self.contains(row)).cloned().collect(),
        }
    }
}

impl From<NewContent> for Table {
    fn from(content: NewContent) -> Self {
        content.rows().cloned().collect()
    }
}

impl From<Table> for NewContent {
    fn from(new: Table) -> Self {
        Self { new, ..Self::default() }
    }
}

impl FromIterator<Row> for NewContent {
    fn from_iter<I: IntoIterator<Item = Row>>(rows: I) -> Self {
        Table::from_iter(rows).into()
    }
}

impl PartialEq for NewContent {
    fn eq(&self, other: &Self) -> bool {
        self.len() == other.len() && self.rows().all(|row| other.contains(row))
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
    fn what_is_marked_is_what_comparing_finds() {
        let mut seed = 1u64;
        let mut next = move || {
            seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            seed >> 33
        };
        for round in 0..500 {
            let mut held = Table::new();
            for _ in 0..next() % 40 {
                held.insert_cells(&cells(next()));
            }
            let mut held = Arc::new(held);
            let mut content = NewContent::beside(held.clone());
            let mut expected = Table::new();
            for _ in 0..next() % 40 {
                let row = cells(next());
                let values = row.map(Value::from);
                if round % 3 == 0 && next() % 5 == 0 {
                    content.remove(&values);
                    expected.remove(&values);
                    assert!(!content.contains(&values));
                } else {
                    content.insert_cells(&row);
                    expected.insert_cells(&row);
                    assert!(content.contains(&values));
                }
                assert_eq!(content.len(), expected.len());
            }
            assert_eq!(content.rows().cloned().collect::<Table>(), expected);
            assert_eq!(content, expected.clone().into());
            // Sometimes the table changes meanwhile.
            if round % 4 == 0 {
                Arc::make_mut(&mut held).remove(&cells(next()).map(Value::from));
                Arc::make_mut(&mut held).insert_cells(&cells(next()));
            }
            let compared = held.difference_to(&expected);
            let difference = content.difference_from(&held);
            assert_eq!(sorted(&difference.added), sorted(&compared.added));
            assert_eq!(sorted(&difference.removed), sorted(&compared.removed));
            assert_eq!(difference.added.len(), compared.added.len());
            // Nobody else holds it: the difference is applied in place.
            assert!(Arc::get_mut(&mut held).is_some());
            Arc::make_mut(&mut held).apply(&difference);
            assert_eq!(*held, expected);
            assert_eq!(held.digest(), expected.digest());
        }
    }
}
