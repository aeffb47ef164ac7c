//! Where a guest's rows go: checked, counted, converted, staged.
//!
//! A batch is taken whole or not at all. Widths, lengths and sizes are checked before anything is
//! converted. Reaching a limit spoils the whole call, also when the guest does not care: a table
//! that ends where a limit stood must not be published as if it were complete.

mod columns;
mod find;

use std::collections::HashMap;
use std::mem::size_of;
use std::sync::Arc;

use congress_table::{Cell, MAX_ROW_BYTES, NewContent, Row, Table, TableDelta, TableSchema, Value};

use crate::bindings::sink::{ColumnData, SinkError, Test};
use crate::bindings::types;
use crate::text::clean;
use crate::{DriverError, HeldRows, Limits, TableOperation};

/// A datasource's tables by name.
pub(crate) struct Tables {
    list: Vec<Arc<TableSchema>>,
    by_name: HashMap<String, usize>,
}

impl Tables {
    pub(crate) fn new(list: Vec<TableSchema>) -> Self {
        let by_name = list.iter().enumerate().map(|(i, t)| (t.name.clone(), i)).collect();
        Self { list: list.into_iter().map(Arc::new).collect(), by_name }
    }

    pub(crate) fn all(&self) -> &[Arc<TableSchema>] {
        &self.list
    }

    pub(crate) fn get(&self, name: &str) -> Option<&Arc<TableSchema>> {
        self.by_name.get(name).and_then(|i| self.list.get(*i))
    }
}

/// All that one call puts in.
pub(crate) struct Sink {
    tables: Arc<Tables>,
    held: Option<Arc<dyn HeldRows>>,
    staged: Vec<(Arc<TableSchema>, Staged)>,
    failed: Vec<(String, DriverError)>,
    /// Rows so far, and roughly their bytes.
    rows: usize,
    bytes: usize,
    limits: Limits,
    /// How many batches were refused, and why the first was.
    refused: usize,
    first_refusal: Option<String>,
    spoilt: Option<String>,
}

enum Staged {
    Replace(NewContent),
    /// Rows to remove, then rows to add.
    Patch {
        removed: Table,
        added: NewContent,
    },
}

/// What a call put in, ready for its outcome.
pub(crate) struct Content {
    pub(crate) tables: Vec<(Arc<str>, TableOperation)>,
    pub(crate) failed: Vec<(Arc<str>, DriverError)>,
    /// What was refused, if anything was.
    pub(crate) refused: Option<String>,
}

type Result<T> = std::result::Result<T, SinkError>;

impl Sink {
    /// `held`: where rows may be shared with.
    pub(crate) fn new(
        tables: Arc<Tables>,
        limits: &Limits,
        held: Option<Arc<dyn HeldRows>>,
    ) -> Self {
        Self {
            tables,
            held,
            staged: Vec::new(),
            failed: Vec::new(),
            rows: 0,
            bytes: 0,
            limits: limits.clone(),
            refused: 0,
            first_refusal: None,
            spoilt: None,
        }
    }

    pub(crate) fn rows(&self) -> usize {
        self.rows
    }

    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    pub(crate) fn replace(&mut self, table: &str, rows: Vec<types::Row>) -> Result<()> {
        let schema = self.schema(table)?;
        self.admit_rows(&schema, &rows)?;
        insert(self.staged_table(&schema), &rows);
        Ok(())
    }

    pub(crate) fn replace_columns(&mut self, table: &str, data: Vec<ColumnData>) -> Result<()> {
        let schema = self.schema(table)?;
        let limit = self.limits.columns_per_table;
        let batch = columns::Batch::new(&schema, data, limit).map_err(SinkError::BadRow)?;
        self.admit(batch.rows(), batch.cells(), batch.text_bytes())?;
        let content = self.staged_table(&schema);
        content.reserve(batch.rows());
        batch.for_each(|row| content.insert_cells(row));
        Ok(())
    }

    pub(crate) fn patch(
        &mut self,
        table: &str,
        added: Vec<types::Row>,
        removed: Vec<types::Row>,
    ) -> Result<()> {
        let schema = self.schema(table)?;
        self.admit_rows(&schema, &removed)?;
        self.admit_rows(&schema, &added)?;
        match self
            .staged(&schema, || Staged::Patch { removed: Table::new(), added: NewContent::new() })
        {
            Staged::Replace(rows) => {
                for row in removed {
                    rows.remove(&convert(&row));
                }
                insert(rows, &added);
            }
            // Removing comes before adding when the whole is applied, so what this patch removes
            // must not be among what earlier ones added.
            Staged::Patch { removed: all_removed, added: all_added } => {
                for row in removed {
                    let row = convert(&row);
                    all_added.remove(&row);
                    all_removed.insert(row);
                }
                insert(all_added, &added);
            }
        }
        Ok(())
    }

    /// The rows that the caller holds whose cell in a column passes a test.
    pub(crate) fn find(
        &mut self,
        table: &str,
        column: &str,
        test: &Test,
    ) -> Result<Vec<types::Row>> {
        let schema = self.schema(table)?;
        let at = schema.columns.iter().position(|c| c.name == column).ok_or_else(|| {
            let column = clean(column, 255);
            SinkError::BadRow(format!("table '{}' has no column '{column}'", schema.name))
        })?;
        let Some(held) = self.held_table(&schema) else { return Ok(Vec::new()) };
        let passes = find::test(test);
        let rows = held.rows().filter(|row| row.get(at).is_some_and(&passes));
        // One more than may be found, so that the limit below shows.
        let found: Vec<_> = rows.take(self.limits.rows_per_call + 1).collect();
        let cells = found.iter().map(|row| row.len()).sum();
        let texts = found.iter().flat_map(|row| row.iter()).map(find::text_bytes).sum();
        self.admit(found.len(), cells, texts)?;
        Ok(found.iter().map(|row| row.iter().map(find::lower).collect()).collect())
    }

    /// Counts a refused batch. The limit, once the driver has been refused too often.
    pub(crate) fn refused(&mut self, error: &SinkError) -> Option<String> {
        self.refused += 1;
        let limit = self.limits.refused_batches;
        let (SinkError::UnknownTable(text) | SinkError::BadRow(text) | SinkError::Limit(text)) =
            error;
        self.first_refusal.get_or_insert_with(|| text.clone());
        (self.refused > limit).then(|| {
            format!(
                "the driver went on although more than {limit} of its batches were refused, the \
                 limit `refused_batches`; the last one: {text}"
            )
        })
    }

    /// Notes that a root table could not be read. False if there is no such root table.
    pub(crate) fn fail(&mut self, table: &str, error: DriverError) -> bool {
        let is_root = self.tables.get(table).is_some_and(|schema| schema.root.is_none());
        if is_root && self.failed.iter().all(|(name, _)| name != table) {
            self.failed.push((table.to_owned(), error));
        }
        is_root
    }

    /// The limit that was reached, if one was.
    pub(crate) fn spoilt(&self) -> Option<&str> {
        self.spoilt.as_deref()
    }

    pub(crate) fn finish(self) -> Content {
        let refused = self.first_refusal.map(|first| match self.refused {
            1 => format!("a batch of rows was refused, and is missing: {first}"),
            n => format!("{n} batches of rows were refused, and are missing; the first: {first}"),
        });
        let failed = self.failed;
        let is_kept = |schema: &TableSchema| failed.iter().all(|(t, _)| t != schema.root_name());
        let tables = self
            .staged
            .into_iter()
            .filter(|(schema, _)| is_kept(schema))
            .map(|(schema, staged)| {
                let operation = match staged {
                    Staged::Replace(table) => TableOperation::Replace(table),
                    Staged::Patch { removed, added } => TableOperation::Patch(TableDelta {
                        removed: removed.rows().cloned().collect(),
                        added: added.rows().cloned().collect(),
                    }),
                };
                (Arc::from(schema.name.as_str()), operation)
            })
            .collect();
        let failed = failed.into_iter().map(|(table, error)| (table.into(), error)).collect();
        Content { tables, failed, refused }
    }

    fn schema(&self, table: &str) -> Result<Arc<TableSchema>> {
        self.tables.get(table).cloned().ok_or_else(|| {
            SinkError::UnknownTable(format!("this datasource has no table '{}'", clean(table, 255)))
        })
    }

    fn admit_rows(&mut self, schema: &TableSchema, rows: &[types::Row]) -> Result<()> {
        let (mut cells, mut texts) = (0usize, 0usize);
        for (index, row) in rows.iter().enumerate() {
            if let Some(width) = schema.width().filter(|width| *width != row.len()) {
                return Err(SinkError::BadRow(format!(
                    "row {index} of the batch for table '{}' has {} cells, but the table has \
                     {width} columns",
                    schema.name,
                    row.len()
                )));
            }
            // Where the schema has no bound, the one for columns is that of cells.
            if row.len() > self.limits.columns_per_table {
                return Err(SinkError::BadRow(format!(
                    "row {index} of the batch for table '{}' has {} cells, the limit \
                     `columns_per_table` is {}",
                    schema.name,
                    row.len(),
                    self.limits.columns_per_table
                )));
            }
            let bytes = row.iter().map(|value| text_length(&cell(value))).sum::<usize>();
            if bytes > MAX_ROW_BYTES {
                return Err(SinkError::BadRow(too_long(index, &schema.name, bytes)));
            }
            cells += row.len();
            texts += row.iter().map(text_bytes).sum::<usize>();
        }
        self.admit(rows.len(), cells, texts)
    }

    /// Counts a batch in, or refuses it.
    fn admit(&mut self, rows: usize, cells: usize, text_bytes: usize) -> Result<()> {
        // A row: its slot in the table, the head of the shared slice, the cells, the texts.
        let row = size_of::<Row>() + 2 * size_of::<usize>();
        let bytes =
            [rows.saturating_mul(row), cells.saturating_mul(size_of::<Value>()), text_bytes]
                .into_iter()
                .fold(self.bytes, usize::saturating_add);
        let rows = self.rows.saturating_add(rows);
        let limit = if rows > self.limits.rows_per_call {
            Some(format!(
                "the call put in more than {} rows, the limit `rows_per_call`",
                self.limits.rows_per_call
            ))
        } else if bytes > self.limits.row_bytes_per_call {
            Some(format!(
                "the rows of the call take more than {} bytes, the limit `row_bytes_per_call`",
                self.limits.row_bytes_per_call
            ))
        } else {
            None
        };
        if let Some(text) = limit {
            self.spoilt.get_or_insert_with(|| text.clone());
            return Err(SinkError::Limit(text));
        }
        (self.rows, self.bytes) = (rows, bytes);
        Ok(())
    }

    fn staged(&mut self, schema: &Arc<TableSchema>, new: impl FnOnce() -> Staged) -> &mut Staged {
        let known = self.staged.iter().position(|(s, _)| s.name == schema.name);
        let index = known.unwrap_or_else(|| {
            self.staged.push((schema.clone(), new()));
            self.staged.len() - 1
        });
        &mut self.staged[index].1
    }

    /// What the caller holds of a table.
    fn held_table(&self, schema: &TableSchema) -> Option<Arc<Table>> {
        self.held.as_ref()?.table(&schema.name)
    }

    /// The new content of a table; a patch that came before is obsolete.
    fn staged_table(&mut self, schema: &Arc<TableSchema>) -> &mut NewContent {
        let known = self.staged.iter().position(|(s, _)| s.name == schema.name);
        let is_new = known.is_none_or(|at| matches!(self.staged[at].1, Staged::Patch { .. }));
        let held = if is_new { self.held_table(schema) } else { None };
        let staged = self.staged(schema, || Staged::Replace(NewContent::new()));
        if is_new {
            *staged = Staged::Replace(NewContent::beside(held.unwrap_or_default()));
        }
        match staged {
            Staged::Replace(content) | Staged::Patch { added: content, .. } => content,
        }
    }
}

/// What a driver's author is told of such a row.
fn too_long(index: usize, table: &str, bytes: usize) -> String {
    format!(
        "row {index} of the batch for table '{table}' has {bytes} bytes of text, a row can have \
         {MAX_ROW_BYTES}"
    )
}

/// How many bytes of text a cell adds to its row.
fn text_length(cell: &Cell<'_>) -> usize {
    match cell {
        Cell::Text(text) => text.len(),
        _ => 0,
    }
}

fn text_bytes(value: &types::Value) -> usize {
    match value {
        types::Value::Text(text) => text.len() + 2 * size_of::<usize>(),
        _ => 0,
    }
}

fn insert(content: &mut NewContent, rows: &[types::Row]) {
    let mut cells = Vec::new();
    for row in rows {
        cells.clear();
        cells.extend(row.iter().map(cell));
        content.insert_cells(&cells);
    }
}

fn convert(row: &types::Row) -> Row {
    row.iter().map(|value| Value::from(cell(value))).collect()
}

fn cell(value: &types::Value) -> Cell<'_> {
    match value {
        types::Value::Null => Cell::Null,
        types::Value::Boolean(b) => Cell::Bool(*b),
        types::Value::Integer(i) => Cell::Int(*i),
        types::Value::Float(x) => Cell::Float(*x),
        types::Value::Text(text) => Cell::Text(text),
    }
}

#[cfg(test)]
mod tests;
