//! Rows that come by columns.

use std::iter::Peekable;
use std::slice::Iter;

use congress_table::{Cell, MAX_ROW_BYTES, TableSchema};

use crate::bindings::sink::{Cells, ColumnData, TextCells};
use crate::bindings::types;

/// A checked batch.
pub(super) struct Batch {
    columns: Vec<ColumnData>,
    rows: usize,
    text_bytes: usize,
}

/// A column, and how far it was read.
struct Cursor<'a> {
    cells: Rest<'a>,
    nulls: Peekable<Iter<'a, u32>>,
}

enum Rest<'a> {
    Booleans(Iter<'a, bool>),
    Integers(Iter<'a, i64>),
    Floats(Iter<'a, f64>),
    Texts { heap: &'a str, start: usize, ends: Iter<'a, u32> },
    Values(Iter<'a, types::Value>),
}

impl Batch {
    /// Checks a batch of at most so many columns. The error is a sentence for the driver's author.
    pub(super) fn new(
        schema: &TableSchema,
        data: Vec<ColumnData>,
        most: usize,
    ) -> Result<Self, String> {
        if let Some(width) = schema.width().filter(|width| *width != data.len()) {
            return Err(format!(
                "a batch for table '{}' has {} columns, but the table has {width}",
                schema.name,
                data.len(),
            ));
        }
        if data.len() > most {
            return Err(format!(
                "a batch for table '{}' has {} columns, the limit `columns_per_table` is {most}",
                schema.name,
                data.len(),
            ));
        }
        let rows = data.first().map_or(0, |column| length(&column.cells));
        let mut text_bytes = 0;
        for (position, column) in data.iter().enumerate() {
            text_bytes += check(column, rows).map_err(|problem| {
                let name = match schema.columns.get(position) {
                    Some(declared) => format!("'{}'", declared.name),
                    None => position.to_string(),
                };
                format!("column {name} of a batch for table '{}' {problem}", schema.name)
            })?;
        }
        let batch = Self { columns: data, rows, text_bytes };
        // Seldom is even the whole batch as long as one row may be.
        if text_bytes > MAX_ROW_BYTES {
            batch.check_rows(schema)?;
        }
        Ok(batch)
    }

    fn check_rows(&self, schema: &TableSchema) -> Result<(), String> {
        let (mut index, mut wrong) = (0, None);
        self.for_each(|row| {
            let bytes = row.iter().map(super::text_length).sum();
            if bytes > MAX_ROW_BYTES {
                wrong.get_or_insert_with(|| super::too_long(index, &schema.name, bytes));
            }
            index += 1;
        });
        wrong.map_or(Ok(()), Err)
    }

    pub(super) fn rows(&self) -> usize {
        self.rows
    }

    pub(super) fn cells(&self) -> usize {
        self.rows * self.columns.len()
    }

    pub(super) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// Hands out its rows, one after the other; their texts stay where they are.
    pub(super) fn for_each(&self, mut take: impl FnMut(&[Cell<'_>])) {
        let mut columns: Vec<_> = self.columns.iter().map(Cursor::new).collect();
        let mut row = Vec::with_capacity(columns.len());
        for index in 0..self.rows {
            row.clear();
            row.extend(columns.iter_mut().map(|column| column.next(index)));
            take(&row);
        }
    }
}

impl<'a> Cursor<'a> {
    fn new(column: &'a ColumnData) -> Self {
        let cells = match &column.cells {
            Cells::Booleans(list) => Rest::Booleans(list.iter()),
            Cells::Integers(list) => Rest::Integers(list.iter()),
            Cells::Floats(list) => Rest::Floats(list.iter()),
            Cells::Texts(TextCells { heap, ends }) => {
                Rest::Texts { heap, start: 0, ends: ends.iter() }
            }
            Cells::Values(list) => Rest::Values(list.iter()),
        };
        Self { cells, nulls: column.nulls.iter().peekable() }
    }

    fn next(&mut self, index: usize) -> Cell<'a> {
        let cell = self.cells.next();
        match self.nulls.next_if(|null| **null as usize == index) {
            Some(_) => Cell::Null,
            None => cell,
        }
    }
}

impl<'a> Rest<'a> {
    /// The next cell; the batch was checked to have as many as it has rows.
    fn next(&mut self) -> Cell<'a> {
        let cell = match self {
            Self::Booleans(list) => list.next().map(|b| Cell::Bool(*b)),
            Self::Integers(list) => list.next().map(|i| Cell::Int(*i)),
            Self::Floats(list) => list.next().map(|x| Cell::Float(*x)),
            Self::Texts { heap, start, ends } => ends.next().and_then(|end| {
                let text = heap.get(*start..*end as usize)?;
                *start = *end as usize;
                Some(Cell::Text(text))
            }),
            Self::Values(list) => list.next().map(super::cell),
        };
        cell.unwrap_or(Cell::Null)
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
