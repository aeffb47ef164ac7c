//! Rows on their way to the host, in batches.
//!
//! Small batches go as rows, large ones as columns with a text heap, which cost the host half.
//! Everything that one call sends is published together when the call succeeds.

use crate::bindings::congress::datasource::sink::{self, Cells, ColumnData, SinkError, TextCells};
use crate::{Error, Result, Row, Value};

/// Rows in one call to the host: enough that the cost of the call vanishes.
const BATCH_ROWS: usize = 2_000;
/// Bytes of text in one call: far below what the host takes at once.
const BATCH_BYTES: usize = 1 << 20;
/// From this many rows on, a batch goes by columns.
const COLUMNS_FROM: usize = 64;

/// Replaces a table's rows.
pub fn replace(table: &str, rows: impl IntoIterator<Item = Row>) -> Result<()> {
    let mut writer = TableWriter::new(table);
    for row in rows {
        writer.push(row)?;
    }
    writer.finish()
}

/// Changes a table against the rows that the host holds: `removed` go, `added` come. It counts as
/// published also if there are none.
pub fn patch(table: &str, added: &[Row], removed: &[Row]) -> Result<()> {
    if added.is_empty() && removed.is_empty() {
        sink::patch(table, &[], &[])?;
    }
    // In this order: a later batch takes out again what an earlier one has added.
    for rows in removed.chunks(BATCH_ROWS) {
        sink::patch(table, &[], rows)?;
    }
    for rows in added.chunks(BATCH_ROWS) {
        sink::patch(table, rows, &[])?;
    }
    Ok(())
}

/// Replaces a table's rows, for rows that come one by one: at most one batch is kept in memory.
#[must_use = "rows are complete only after `finish`"]
#[derive(Debug)]
pub struct TableWriter {
    table: String,
    batch: Vec<Row>,
    bytes: usize,
    sent: bool,
}

impl TableWriter {
    /// A writer for a table. Nothing happens to the table before [`finish`](Self::finish) or a
    /// first full batch.
    pub fn new(table: &str) -> Self {
        Self { table: table.into(), batch: Vec::new(), bytes: 0, sent: false }
    }

    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Adds a row, as many values as the table has columns.
    pub fn push(&mut self, row: Row) -> Result<()> {
        self.bytes += row.iter().map(text_bytes).sum::<usize>();
        self.batch.push(row);
        if self.batch.len() >= BATCH_ROWS || self.bytes >= BATCH_BYTES {
            self.send()?;
        }
        Ok(())
    }

    /// Sends what is left. A writer that got no row empties the table.
    pub fn finish(mut self) -> Result<()> {
        if !self.sent || !self.batch.is_empty() {
            self.send()?;
        }
        Ok(())
    }

    fn send(&mut self) -> Result<()> {
        let batch = std::mem::take(&mut self.batch);
        self.bytes = 0;
        self.sent = true;
        match columns(batch) {
            Ok(columns) => sink::replace_columns(&self.table, &columns)?,
            Err(rows) => sink::replace(&self.table, &rows)?,
        }
        Ok(())
    }
}

fn text_bytes(value: &Value) -> usize {
    match value {
        Value::Text(text) => text.len(),
        _ => 0,
    }
}

/// The same rows by columns, as [`replace`] sends them, or the rows again if that is not worth it.
/// Rows of unequal width stay rows as well: the host's error then names the row.
pub fn columns(rows: Vec<Row>) -> std::result::Result<Vec<ColumnData>, Vec<Row>> {
    let width = rows.first().map_or(0, Vec::len);
    if rows.len() < COLUMNS_FROM || rows.iter().any(|row| row.len() != width) {
        return Err(rows);
    }
    let mut columns: Vec<Vec<Value>> = (0..width).map(|_| Vec::with_capacity(rows.len())).collect();
    for row in rows {
        for (column, value) in columns.iter_mut().zip(row) {
            column.push(value);
        }
    }
    Ok(columns.into_iter().map(column).collect())
}

/// Encodes one column by the narrowest form that holds all its values.
fn column(values: Vec<Value>) -> ColumnData {
    let mut kinds = Kinds::default();
    for value in &values {
        kinds.see(value);
    }
    let cells = match kinds {
        Kinds { other: true, .. } => {
            return ColumnData { cells: Cells::Values(values), nulls: Vec::new() };
        }
        Kinds { kind: Some(Kind::Boolean), .. } => {
            Cells::Booleans(values.iter().map(|v| matches!(v, Value::Boolean(true))).collect())
        }
        Kinds { kind: Some(Kind::Integer), .. } => Cells::Integers(
            values.iter().map(|v| if let Value::Integer(i) = v { *i } else { 0 }).collect(),
        ),
        Kinds { kind: Some(Kind::Float), .. } => Cells::Floats(
            values.iter().map(|v| if let Value::Float(f) = v { *f } else { 0.0 }).collect(),
        ),
        Kinds { kind: Some(Kind::Text) | None, .. } => Cells::Texts(texts(&values)),
    };
    let nulls = (0u32..)
        .zip(&values)
        .filter_map(|(i, value)| matches!(value, Value::Null).then_some(i))
        .collect();
    ColumnData { cells, nulls }
}

fn texts(values: &[Value]) -> TextCells {
    let mut heap = String::with_capacity(values.iter().map(text_bytes).sum());
    let ends = values
        .iter()
        .map(|value| {
            if let Value::Text(text) = value {
                heap.push_str(text);
            }
            heap.len() as u32 // a batch is a few MiB at most, for memory is 32 bits wide
        })
        .collect();
    TextCells { heap, ends }
}

#[derive(Clone, Copy, PartialEq)]
enum Kind {
    Boolean,
    Integer,
    Float,
    Text,
}

/// The kinds of values in a column, besides null.
#[derive(Default)]
struct Kinds {
    kind: Option<Kind>,
    /// There is more than one.
    other: bool,
}

impl Kinds {
    fn see(&mut self, value: &Value) {
        let kind = match value {
            Value::Null => return,
            Value::Boolean(_) => Kind::Boolean,
            Value::Integer(_) => Kind::Integer,
            Value::Float(_) => Kind::Float,
            Value::Text(_) => Kind::Text,
        };
        self.other |= self.kind.is_some_and(|seen| seen != kind);
        self.kind = Some(kind);
    }
}

impl From<SinkError> for Error {
    fn from(error: SinkError) -> Self {
        Self::Protocol(match error {
            SinkError::UnknownTable(text) | SinkError::BadRow(text) | SinkError::Limit(text) => {
                text
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(n: usize, row: impl Fn(usize) -> Row) -> Vec<Row> {
        (0..n).map(row).collect()
    }

    #[test]
    fn columns_take_the_narrowest_form() {
        let columns = columns(rows(COLUMNS_FROM, |i| {
            let i64 = i as i64;
            vec![
                if i == 1 { Value::Null } else { i64.into() },
                format!("é{i}").into(),
                if i % 2 == 0 { Value::Null } else { true.into() },
                if i == 3 { 1.5.into() } else { i64.into() },
                Value::Null,
                0.5.into(),
            ]
        }))
        .unwrap();
        assert!(matches!(&columns[0].cells, Cells::Integers(v) if v[5] == 5));
        assert_eq!(columns[0].nulls, [1]);
        let Cells::Texts(texts) = &columns[1].cells else { panic!("{:?}", columns[1]) };
        assert_eq!(&texts.heap[..6], "é0é1");
        assert_eq!(texts.ends[..3], [3, 6, 9]);
        assert_eq!(texts.ends.len(), COLUMNS_FROM);
        assert!(matches!(&columns[2].cells, Cells::Booleans(v) if v[1] && !v[2]));
        assert_eq!(columns[2].nulls[..2], [0, 2]);
        assert!(matches!(&columns[3].cells, Cells::Values(v) if v[3] == Value::Float(1.5)));
        assert!(columns[3].nulls.is_empty());
        assert_eq!(columns[4].nulls.len(), COLUMNS_FROM);
        assert!(matches!(&columns[5].cells, Cells::Floats(v) if v[0] == 0.5));
    }

    #[test]
    fn few_rows_and_ragged_rows_stay_rows() {
        assert_eq!(columns(rows(2, |_| vec![true.into()])).unwrap_err().len(), 2);
        let ragged = rows(100, |i| vec![Value::Null; if i == 50 { 2 } else { 1 }]);
        assert_eq!(columns(ragged.clone()).unwrap_err(), ragged);
    }
}
