//! Rows that come by columns.

use std::iter::Peekable;
use std::sync::Arc;
use std::vec::IntoIter;

use congress_table::{Row, TableSchema, Value};

use crate::bindings::sink::{Cells, ColumnData, TextCells};
use crate::bindings::types;

/// A checked batch; iterating makes its rows, each text copied once.
pub(super) struct Batch {
    columns: Vec<Column>,
    rows: usize,
    made: usize,
    text_bytes: usize,
}

struct Column {
    cells: Cursor,
    nulls: Peekable<IntoIter<u32>>,
}

enum Cursor {
    Booleans(IntoIter<bool>),
    Integers(IntoIter<i64>),
    Floats(IntoIter<f64>),
    Texts { heap: String, start: usize, ends: IntoIter<u32> },
    Values(IntoIter<types::Value>),
}

impl Batch {
    /// Checks a batch. The error is a sentence for the driver's author.
    pub(super) fn new(schema: &TableSchema, data: Vec<ColumnData>) -> Result<Self, String> {
        if data.len() != schema.width() {
            return Err(format!(
                "a batch for table '{}' has {} columns, but the table has {}",
                schema.name,
                data.len(),
                schema.width()
            ));
        }
        let rows = data.first().map_or(0, |column| length(&column.cells));
        let mut text_bytes = 0;
        for (column, declared) in data.iter().zip(&schema.columns) {
            text_bytes += check(column, rows).map_err(|problem| {
                format!(
                    "column '{}' of a batch for table '{}' {problem}",
                    declared.name, schema.name
                )
            })?;
        }
        let columns = data
            .into_iter()
            .map(|ColumnData { cells, nulls }| Column {
                cells: Cursor::new(cells),
                nulls: nulls.into_iter().peekable(),
            })
            .collect();
        Ok(Self { columns, rows, made: 0, text_bytes })
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }
}

impl Iterator for Batch {
    type Item = Row;

    fn next(&mut self) -> Option<Row> {
        if self.made == self.rows {
            return None;
        }
        let index = self.made;
        self.made += 1;
        Some(self.columns.iter_mut().map(|column| column.next(index)).collect::<Arc<[Value]>>())
    }
}

impl Column {
    fn next(&mut self, index: usize) -> Value {
        let cell = self.cells.next();
        match self.nulls.next_if(|null| *null as usize == index) {
            Some(_) => Value::Null,
            None => cell,
        }
    }
}

impl Cursor {
    fn new(cells: Cells) -> Self {
        match cells {
            Cells::Booleans(list) => Self::Booleans(list.into_iter()),
            Cells::Integers(list) => Self::Integers(list.into_iter()),
            Cells::Floats(list) => Self::Floats(list.into_iter()),
            Cells::Texts(TextCells { heap, ends }) => {
                Self::Texts { heap, start: 0, ends: ends.into_iter() }
            }
            Cells::Values(list) => Self::Values(list.into_iter()),
        }
    }

    /// The next cell; the batch was checked to have as many as it has rows.
    fn next(&mut self) -> Value {
        let cell = match self {
            Self::Booleans(list) => list.next().map(Value::Bool),
            Self::Integers(list) => list.next().map(Value::Int),
            Self::Floats(list) => list.next().map(Value::Float),
            Self::Texts { heap, start, ends } => ends.next().and_then(|end| {
                let text = heap.get(*start..end as usize)?;
                *start = end as usize;
                Some(Value::text(text))
            }),
            Self::Values(list) => list.next().map(super::value),
        };
        cell.unwrap_or(Value::Null)
    }
}

fn length(cells: &Cells) -> usize {
    match cells {
        Cells::Booleans(list) => list.len(),
        Cells::Integers(list) => list.len(),
        Cells::Floats(list) => list.len(),
        Cells::Texts(texts) => texts.ends.len(),
        Cells::Values(list) => list.len(),
    }
}

/// Checks one column and answers the bytes that its texts take.
fn check(column: &ColumnData, rows: usize) -> Result<usize, String> {
    let length = length(&column.cells);
    if length != rows {
        return Err(format!("has {length} cells, but the first column has {rows}"));
    }
    if !column.nulls.is_sorted_by(|a, b| a < b) {
        return Err("has positions of nulls that do not ascend".to_owned());
    }
    if column.nulls.last().is_some_and(|last| *last as usize >= rows) {
        return Err(format!("has nulls beyond its {rows} cells"));
    }
    match &column.cells {
        Cells::Booleans(_) | Cells::Integers(_) | Cells::Floats(_) => Ok(0),
        Cells::Values(list) => Ok(list.iter().map(super::text_bytes).sum()),
        Cells::Texts(TextCells { heap, ends }) => {
            let mut start = 0;
            for end in ends {
                let end = *end as usize;
                if end < start || !heap.is_char_boundary(end) {
                    return Err(format!(
                        "has a text that ends at byte {end}, which is before its start, beyond \
                         the heap of {} bytes, or inside a character",
                        heap.len()
                    ));
                }
                start = end;
            }
            if start != heap.len() {
                return Err(format!(
                    "has {} bytes of text after its last cell",
                    heap.len() - start
                ));
            }
            Ok(heap.len() + ends.len() * 2 * size_of::<usize>())
        }
    }
}
