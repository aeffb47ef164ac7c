//! Files of records: fields between delimiters, or whole lines.

use std::collections::BTreeMap;
use std::io::Read;

use congress_driver::files::File;
use congress_driver::types::DataType;
use congress_driver::{Error, Result, Row, Value};
use csv::{ByteRecord, ReaderBuilder};
use serde::Deserialize;

use crate::mapping::FileColumn;

/// How a file is cut into records and fields.
#[derive(Clone, Debug)]
pub(crate) struct Delimited {
    /// None: a line is a field.
    pub(crate) delimiter: Option<u8>,
    /// Whether `"` encloses fields that hold delimiters.
    pub(crate) quoting: bool,
    /// Lines that begin so are no records.
    pub(crate) comment: Option<u8>,
    /// The first record names the columns.
    pub(crate) header: bool,
    /// The columns; null for a field that is no column. None: those of the header.
    pub(crate) columns: Option<Vec<Option<FileColumn>>>,
    pub(crate) lists: BTreeMap<String, SplitList>,
}

/// A table made of a column whose texts are lists.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SplitList {
    /// The column that holds the list.
    pub(crate) column: String,
    /// What stands between the list's elements.
    #[serde(default = "comma")]
    split: String,
    /// The column that the first column of the list's table repeats.
    pub(crate) parent: String,
    /// The name of that column there.
    #[serde(rename = "as")]
    pub(crate) parent_column: Option<String>,
    /// The name of the column of elements.
    pub(crate) value: String,
}

fn comma() -> String {
    ",".into()
}

/// Bytes read at once.
const BUFFER: usize = 128 << 10;

impl Delimited {
    /// The columns that a file's header names.
    pub(crate) fn header_of(&self, path: &str) -> Result<Vec<Option<FileColumn>>> {
        let mut header = ByteRecord::new();
        self.records(File::at(path))
            .read_byte_record(&mut header)
            .map_err(|error| at(path, error))?;
        let columns: Vec<_> = header.iter().map(|name| Some(column_of(&text(name)))).collect();
        if columns.is_empty() {
            return Err(Error::Config(format!(
                "{path} is empty: it has no header to name columns"
            )));
        }
        Ok(columns)
    }

    /// Reads the records of what is at that path or address as rows of those columns.
    pub(crate) fn read(
        &self,
        file: impl Read,
        path: &str,
        columns: &[Option<FileColumn>],
        mut row: impl FnMut(Row) -> Result<()>,
    ) -> Result<()> {
        let mut records = self.records(file);
        let mut record = ByteRecord::new();
        let mut next = |record: &mut ByteRecord| {
            records.read_byte_record(record).map_err(|error| at(path, error))
        };
        let mut places: Vec<(usize, &FileColumn)> = columns
            .iter()
            .enumerate()
            .filter_map(|(place, column)| Some((place, column.as_ref()?)))
            .collect();
        if self.header {
            next(&mut record)?;
            let names: Vec<String> =
                record.iter().map(|name| text(name).trim().to_owned()).collect();
            for (place, column) in &mut places {
                let name = column.from.as_ref().unwrap_or(&column.name);
                *place = names.iter().position(|n| n == name).ok_or_else(|| {
                    Error::Protocol(format!(
                        "{path}: the header has no '{name}'; it has: {}",
                        names.join(", ")
                    ))
                })?;
            }
        }
        while next(&mut record)? {
            let cells = places.iter().map(|(place, column)| match record.get(*place) {
                Some(field) => cell(text(field), column.data_type),
                None => Value::Null,
            });
            row(cells.collect())?;
        }
        Ok(())
    }

    fn records<R: Read>(&self, file: R) -> csv::Reader<R> {
        let mut builder = ReaderBuilder::new();
        builder
            .has_headers(false)
            .flexible(true)
            .quoting(self.quoting)
            .comment(self.comment)
            .buffer_capacity(BUFFER)
            // NUL stands for "no delimiter": text files have none.
            .delimiter(self.delimiter.unwrap_or(0));
        builder.from_reader(file)
    }
}

impl SplitList {
    /// The rows of the list's table for one row.
    pub(crate) fn split(&self, columns: &[Option<FileColumn>], row: &Row) -> Vec<Row> {
        let cell = |name: &str| {
            let place = columns.iter().flatten().position(|column| column.name == name)?;
            row.get(place)
        };
        let (Some(parent), Some(Value::Text(list))) = (cell(&self.parent), cell(&self.column))
        else {
            return Vec::new();
        };
        let elements = list.split(&self.split).map(str::trim).filter(|element| !element.is_empty());
        elements.map(|element| vec![parent.clone(), element.into()]).collect()
    }
}

/// A column named by a header: characters that policies cannot write become `_`.
fn column_of(name: &str) -> FileColumn {
    let name = name.trim();
    let plain = |c: char| if c.is_alphanumeric() { c } else { '_' };
    FileColumn::named(name.chars().map(plain).collect(), Some(name.to_owned()))
}

fn text(field: &[u8]) -> String {
    let field = field.strip_prefix(b"\xef\xbb\xbf").unwrap_or(field); // byte order mark
    String::from_utf8_lossy(field).into_owned()
}

/// A field as a cell. One that does not read as its column's type stays text; an empty one is
/// null where text is not what the column holds.
fn cell(field: String, data_type: Option<DataType>) -> Value {
    let trimmed = field.trim();
    let parsed = match data_type.unwrap_or(DataType::Str) {
        DataType::Str | DataType::Scalar => return Value::Text(field),
        _ if trimmed.is_empty() => return Value::Null,
        DataType::Int => trimmed.parse().ok().map(Value::Integer),
        DataType::Float => trimmed.parse().ok().map(Value::Float),
        DataType::Bool => match trimmed.to_ascii_lowercase().as_str() {
            "true" | "yes" => Some(Value::Boolean(true)),
            "false" | "no" => Some(Value::Boolean(false)),
            _ => None,
        },
        other => other.marshal(trimmed.into()).ok(),
    };
    parsed.unwrap_or(Value::Text(field))
}

fn at(path: &str, error: csv::Error) -> Error {
    let text = format!("{path}: {error}");
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error.into(),
        _ => Error::Protocol(text),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(mapping: &str, content: &str) -> Result<Vec<Row>> {
        let source: crate::Source = serde_json::from_str(mapping).unwrap();
        let crate::Form::Delimited(delimited) = source.form else { panic!("{mapping}") };
        let columns = delimited.columns.clone().unwrap();
        let mut rows = Vec::new();
        delimited.read(content.as_bytes(), "/f", &columns, |row| {
            rows.push(row);
            Ok(())
        })?;
        Ok(rows)
    }

    #[test]
    fn colons_skip_comments_and_columns() {
        let rows = rows(
            r##"{"format": "colon", "path": "/f", "comment": "#",
                "columns": ["name", null, {"name": "uid", "type": "integer"}, "gecos"]}"##,
            "root:x:0:\"The\" root\n# no user\n\n+::::\nbob:x:many",
        )
        .unwrap();
        assert_eq!(rows[0], ["root".into(), 0.into(), "\"The\" root".into()]);
        assert_eq!(rows[1], ["+".into(), Value::Null, "".into()]);
        assert_eq!(rows[2], ["bob".into(), "many".into(), Value::Null]);
    }

    #[test]
    fn headers_find_columns() {
        let mapping = r#"{"format": "csv", "path": "/f", "header": true, "columns": [
            {"name": "cost", "from": "Cost (€)", "type": "float"}, "name",
            {"name": "on", "type": "boolean"}]}"#;
        let content =
            "\u{feff}name,Cost (€),on\r\n\"a, \"\"b\"\"\",1.5,yes\r\n\"two\nlines\",,no\r\n";
        let found = rows(mapping, content).unwrap();
        assert_eq!(found[0], [1.5.into(), "a, \"b\"".into(), true.into()]);
        assert_eq!(found[1], [Value::Null, "two\nlines".into(), false.into()]);
        let Err(Error::Protocol(text)) = rows(mapping, "name,on\n") else { panic!("no column") };
        assert_eq!(text, "/f: the header has no 'Cost (€)'; it has: name, on");
    }

    #[test]
    fn lines_are_whole() {
        let mapping = r##"{"format": "lines", "path": "/f", "comment": "#", "columns": ["path"]}"##;
        let rows = rows(mapping, "# shells\n/bin/sh\n/a:b,\"c\"\n").unwrap();
        assert_eq!(rows, [vec!["/bin/sh".into()], vec!["/a:b,\"c\"".into()]]);
    }

    #[test]
    fn lists_are_split() {
        let list: SplitList =
            serde_json::from_str(r#"{"column": "m", "parent": "g", "value": "u"}"#).unwrap();
        let columns = ["g", "m"].map(|name| Some(FileColumn::named(name.into(), None)));
        let rows = list.split(&columns, &vec!["adm".into(), "a, b,".into()]);
        assert_eq!(rows, [["adm".into(), "a".into()], ["adm".into(), "b".into()]]);
        assert!(list.split(&columns, &vec!["adm".into(), Value::Null]).is_empty());
    }

    #[test]
    fn a_header_names_columns_that_policies_can_write() {
        let column = column_of(" Cost (EUR)");
        assert_eq!(
            (column.name.as_str(), column.from.as_deref()),
            ("Cost__EUR_", Some("Cost (EUR)"))
        );
    }
}
