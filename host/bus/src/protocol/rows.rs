//! Rows in messages: sections of a chunk, each with its kind and length, so that a reader skips
//! kinds that it does not know.
//!
//! A text is written once per chunk and referred to by number afterwards: rows of one table repeat
//! states, ids and names, and the reader shares them as the publisher does.

use std::sync::Arc;

use congress_table::{Column, ColumnType, Digest, Row, SmolStr, TableSchema, Value};
use hashbrown::HashMap;

use super::Size;
use super::wire::{Malformed, Reader, Writer};
use crate::TableName;

/// A chunk is closed once it is this long, uncompressed, in bytes. Compressed it is far below every
/// broker's limit (RabbitMQ 4: 16 MiB); only a single huge row can make it longer.
pub const CHUNK: usize = 512 * 1024;

/// The most memory that the content of one chunk may take, in bytes. A byte can make a cell of 24, a
/// few make a row, and LZ4 makes 255 of one; chunks of ours are far below.
const MAX_CONTENT: usize = 256 << 20;
/// How long the texts of a chunk's rows may be together, each as often as a row has it: so much is
/// hashed. A reference of a byte can stand for a text of 64 MiB.
const MAX_SPELLED: usize = 4 << 30;

/// Section kinds.
const TABLE: u8 = 1;
const ADDED: u8 = 2;
const REMOVED: u8 = 3;
const SCHEMA: u8 = 4;
const DIGEST: u8 = 5;
const OMITTED: u8 = 6;

/// Cell kinds.
const NULL: u8 = 0;
const FALSE: u8 = 1;
const TRUE: u8 = 2;
const INT: u8 = 3;
const NEGATIVE: u8 = 4;
const FLOAT: u8 = 5;
const NEW_TEXT: u8 = 6;
const OLD_TEXT: u8 = 7;
/// Kinds from here on are short references: kind minus this is the text's number.
const SHORT_REFERENCE: u8 = 16;

/// What one chunk tells about one table.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Part {
    /// The table.
    pub name: TableName,
    /// Its rows in a snapshot; in a change those that are new.
    pub added: Vec<Row>,
    /// In a change, those that are gone.
    pub removed: Vec<Row>,
    /// The digest of the whole table at the message's position, in its last chunk.
    pub digest: Option<Digest>,
    /// The table has changed, but its rows are not in the message: nobody was known to want them.
    pub omitted: bool,
}

/// The content of one chunk.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Content {
    /// Tables of the schema, in a snapshot.
    pub schema: Vec<Arc<TableSchema>>,
    /// Tables with rows.
    pub parts: Vec<Part>,
    /// The digests of the added rows of each part, in the parts' order; computed by the reader.
    pub sums: Vec<Digest>,
    /// How many rows there are and what all takes in memory; computed by the reader.
    pub size: Size,
}

impl Content {
    /// Counts what takes `bytes`, before it is kept.
    fn count(&mut self, rows: usize, bytes: usize) -> Result<(), Malformed> {
        self.size.add(Size { rows, bytes });
        if self.size.bytes > MAX_CONTENT {
            return Err(Malformed("its content takes too much memory"));
        }
        Ok(())
    }

    /// The table that what follows is about, and the digest of its rows.
    fn last(&mut self) -> Result<(&mut Part, &mut Digest), Malformed> {
        let last = self.parts.last_mut().zip(self.sums.last_mut());
        last.ok_or(Malformed("rows come before their table"))
    }
}

/// What a table's part takes, but for its name.
const PART_BYTES: usize = size_of::<Part>() + size_of::<Digest>();
/// What a row takes, but for its cells: its place in the table, and the head of what it points to.
const ROW_BYTES: usize = size_of::<Row>() + 2 * size_of::<usize>();
/// What a text takes that does not stand in its cell, but for its bytes.
const TEXT_BYTES: usize = 2 * size_of::<usize>();

/// Takes a chunk, its number, and whether it is the last.
type Emit<'a> = Box<dyn FnMut(&[u8], u32, bool) + 'a>;

/// Writes chunks, and hands each over as soon as it is complete.
pub(crate) struct ChunkWriter<'a> {
    emit: Emit<'a>,
    /// The number of this chunk.
    index: u32,
    out: Writer,
    /// The numbers of this chunk's texts.
    texts: HashMap<&'a str, u32>,
    table: Option<&'a TableName>,
}

impl<'a> ChunkWriter<'a> {
    pub(crate) fn new(emit: impl FnMut(&[u8], u32, bool) + 'a) -> Self {
        let (out, texts) = (Writer::default(), HashMap::new());
        Self { emit: Box::new(emit), index: 0, out, texts, table: None }
    }

    fn section(&mut self, kind: u8, content: impl FnOnce(&mut Writer)) {
        let at = self.open(kind);
        content(&mut self.out);
        self.close(at);
    }

    fn open(&mut self, kind: u8) -> usize {
        self.out.u8(kind);
        self.out.bytes.extend_from_slice(&[0; 4]);
        self.out.bytes.len()
    }

    fn close(&mut self, at: usize) {
        let length = (self.out.bytes.len() - at) as u32;
        self.out.bytes[at - 4..at].copy_from_slice(&length.to_le_bytes());
    }

    /// Ends the chunk if it is long enough; the next one begins within the same table.
    fn cut(&mut self) {
        if self.out.bytes.len() >= CHUNK {
            (self.emit)(&self.out.bytes, self.index, false);
            self.index += 1;
            self.out.bytes.clear();
            self.texts.clear();
            if let Some(name) = self.table {
                self.section(TABLE, |w| w.str(name));
            }
        }
    }

    pub(crate) fn schema(&mut self, table: &TableSchema) {
        self.section(SCHEMA, |w| {
            w.str_field(1, &table.name);
            if let Some(root) = &table.root {
                w.str_field(2, root);
            }
            for column in &table.columns {
                w.field(3, |w| {
                    w.str_field(1, &column.name);
                    if let Some(description) = &column.description {
                        w.str_field(2, description);
                    }
                    w.number_field(3, number_of(column.column_type));
                    w.number_field(4, u64::from(column.nullable));
                });
            }
        });
        self.cut();
    }

    pub(crate) fn table(&mut self, name: &'a TableName) {
        self.table = Some(name);
        self.section(TABLE, |w| w.str(name));
    }

    pub(crate) fn digest(&mut self, digest: Digest) {
        self.section(DIGEST, |w| w.u64(digest.to_bits()));
    }

    pub(crate) fn omitted(&mut self) {
        self.section(OMITTED, |_| ());
    }

    pub(crate) fn added(&mut self, rows: impl IntoIterator<Item = &'a Row>) {
        self.rows(ADDED, rows);
    }

    pub(crate) fn removed(&mut self, rows: impl IntoIterator<Item = &'a Row>) {
        self.rows(REMOVED, rows);
    }

    /// Rows of equal width form a section: the width, then cells to the section's end.
    fn rows(&mut self, kind: u8, rows: impl IntoIterator<Item = &'a Row>) {
        let mut open: Option<(usize, usize)> = None;
        for row in rows {
            if let Some((at, width)) = open
                && (width != row.len() || width == 0 || self.out.bytes.len() >= CHUNK)
            {
                self.close(at);
                open = None;
            }
            if open.is_none() {
                self.cut();
                let at = self.open(kind);
                self.out.varint(row.len() as u64);
                open = Some((at, row.len()));
            }
            for cell in row.iter() {
                self.cell(cell);
            }
        }
        if let Some((at, _)) = open {
            self.close(at);
        }
        self.cut();
    }

    fn cell(&mut self, cell: &'a Value) {
        match cell {
            Value::Null => self.out.u8(NULL),
            Value::Bool(false) => self.out.u8(FALSE),
            Value::Bool(true) => self.out.u8(TRUE),
            Value::Int(i) if *i >= 0 => {
                self.out.u8(INT);
                self.out.varint(*i as u64);
            }
            Value::Int(i) => {
                self.out.u8(NEGATIVE);
                self.out.varint(!*i as u64);
            }
            Value::Float(f) => {
                self.out.u8(FLOAT);
                self.out.u64(f.to_bits());
            }
            Value::Text(text) => match self.texts.get(&**text) {
                Some(number) if *number < u32::from(u8::MAX - SHORT_REFERENCE) => {
                    self.out.u8(SHORT_REFERENCE + *number as u8);
                }
                Some(number) => {
                    self.out.u8(OLD_TEXT);
                    self.out.varint(u64::from(*number));
                }
                None => {
                    let number = self.texts.len() as u32;
                    self.texts.insert(text, number);
                    self.out.u8(NEW_TEXT);
                    self.out.str(text);
                }
            },
        }
    }

    /// Hands over the last chunk; there is one at least.
    pub(crate) fn finish(mut self) {
        (self.emit)(&self.out.bytes, self.index, true);
    }
}

/// Reads a chunk.
pub(crate) fn read(bytes: &[u8]) -> Result<Content, Malformed> {
    let mut reader = Reader::new(bytes);
    let mut content = Content::default();
    let mut rows = RowReader::default();
    while !reader.is_empty() {
        let kind = reader.u8()?;
        let length = reader.take(4)?.try_into().map(u32::from_le_bytes);
        let length = length.map_err(|_| Malformed("a section's length"))?;
        let mut section = Reader::new(reader.take(length as usize)?);
        match kind {
            SCHEMA => {
                let table = read_schema(section, &mut content)?;
                content.schema.push(Arc::new(table));
            }
            TABLE => {
                let name = section.name()?;
                content.count(0, PART_BYTES + name.len())?;
                content.parts.push(Part { name, ..Part::default() });
                content.sums.push(Digest::default());
            }
            DIGEST => {
                let digest = Digest::from_bits(section.u64()?);
                content.last()?.0.digest = Some(digest);
            }
            OMITTED => content.last()?.0.omitted = true,
            ADDED | REMOVED => rows.read(section, kind == ADDED, &mut content)?,
            _ => {}
        }
    }
    Ok(content)
}

/// Reads the rows of one chunk.
#[derive(Default)]
struct RowReader {
    /// The chunk's texts, by their number.
    texts: Vec<SmolStr>,
    /// How long the texts of all its rows are, repeated ones included.
    spelled: usize,
    cells: Vec<Value>,
    buffer: Vec<u8>,
}

impl RowReader {
    /// Reads a section of rows.
    fn read(
        &mut self,
        mut section: Reader<'_>,
        added: bool,
        content: &mut Content,
    ) -> Result<(), Malformed> {
        content.last()?;
        let width = section.varint()?;
        // A cell takes one byte at least.
        if width > section.rest.len() as u64 {
            return Err(Malformed("a row is wider than its section"));
        }
        let width = width as usize;
        loop {
            content.count(1, ROW_BYTES + width * size_of::<Value>())?;
            self.cells(&mut section, width, content)?;
            let digest = Digest::with(&self.cells, &mut self.buffer);
            let row: Row = self.cells.drain(..).collect();
            let (part, sum) = content.last()?;
            if added {
                sum.add(digest);
                part.added.push(row);
            } else {
                sum.remove(digest);
                part.removed.push(row);
            }
            if section.is_empty() {
                return Ok(());
            }
            if width == 0 {
                return Err(Malformed("a row without cells has content"));
            }
        }
    }

    /// Reads the cells of one row.
    fn cells(
        &mut self,
        section: &mut Reader<'_>,
        width: usize,
        content: &mut Content,
    ) -> Result<(), Malformed> {
        self.cells.clear();
        let mut length = 0usize;
        for _ in 0..width {
            let known = self.texts.len();
            let cell = read_cell(section, &mut self.texts)?;
            if let Value::Text(text) = &cell {
                if self.texts.len() > known && text.is_heap_allocated() {
                    content.count(0, TEXT_BYTES + text.len())?;
                }
                length = length.saturating_add(text.len());
            }
            self.cells.push(cell);
            // The row's digest needs it in one piece.
            if length > MAX_CONTENT {
                return Err(Malformed("a row is too long"));
            }
        }
        self.spelled = self.spelled.saturating_add(length);
        if self.spelled > MAX_SPELLED {
            return Err(Malformed("its rows are too long"));
        }
        Ok(())
    }
}

fn read_cell(from: &mut Reader<'_>, texts: &mut Vec<SmolStr>) -> Result<Value, Malformed> {
    let known = |texts: &[SmolStr], number: u64| {
        let text = usize::try_from(number).ok().and_then(|number| texts.get(number));
        text.cloned().map(Value::Text).ok_or(Malformed("a text that was not given"))
    };
    Ok(match from.u8()? {
        NULL => Value::Null,
        FALSE => Value::Bool(false),
        TRUE => Value::Bool(true),
        kind @ (INT | NEGATIVE) => {
            let value = i64::try_from(from.varint()?).map_err(|_| Malformed("an integer"))?;
            Value::Int(if kind == INT { value } else { !value })
        }
        FLOAT => Value::Float(f64::from_bits(from.u64()?)),
        NEW_TEXT => {
            let text: SmolStr = from.str()?.into();
            texts.push(text.clone());
            Value::Text(text)
        }
        OLD_TEXT => known(texts, from.varint()?)?,
        kind if kind >= SHORT_REFERENCE => known(texts, u64::from(kind - SHORT_REFERENCE))?,
        _ => return Err(Malformed("a kind of cell that is not known")),
    })
}

fn read_schema(mut from: Reader<'_>, content: &mut Content) -> Result<TableSchema, Malformed> {
    content.count(0, size_of::<TableSchema>() + from.rest.len())?;
    let mut table = TableSchema { name: String::new(), columns: Vec::new(), root: None };
    while let Some((number, mut field)) = from.field()? {
        match number {
            1 => field.str_all(&mut table.name)?,
            2 => {
                let mut root = String::new();
                field.str_all(&mut root)?;
                table.root = Some(root);
            }
            3 => {
                content.count(0, size_of::<Column>())?;
                table.columns.push(read_column(field)?);
            }
            _ => {}
        }
    }
    Ok(table)
}

fn read_column(mut from: Reader<'_>) -> Result<Column, Malformed> {
    let mut column = Column {
        name: String::new(),
        description: None,
        column_type: ColumnType::Any,
        nullable: false,
    };
    while let Some((number, mut field)) = from.field()? {
        match number {
            1 => field.str_all(&mut column.name)?,
            2 => {
                let mut description = String::new();
                field.str_all(&mut description)?;
                column.description = Some(description);
            }
            3 => column.column_type = type_of(field.varint()?),
            4 => column.nullable = field.varint()? != 0,
            _ => {}
        }
    }
    Ok(column)
}

impl Reader<'_> {
    /// The rest as text.
    fn str_all(&mut self, into: &mut String) -> Result<(), Malformed> {
        let text = std::str::from_utf8(self.rest).map_err(|_| Malformed("a text is not UTF-8"))?;
        into.clear();
        into.push_str(text);
        Ok(())
    }
}

const TYPES: [ColumnType; 8] = [
    ColumnType::Any,
    ColumnType::Boolean,
    ColumnType::Integer,
    ColumnType::Float,
    ColumnType::Text,
    ColumnType::Uuid,
    ColumnType::IpAddress,
    ColumnType::IpNetwork,
];

fn number_of(column_type: ColumnType) -> u64 {
    TYPES.iter().position(|known| *known == column_type).unwrap_or_default() as u64
}

/// A type that a newer node has is any type to this one.
fn type_of(number: u64) -> ColumnType {
    usize::try_from(number).ok().and_then(|n| TYPES.get(n)).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
