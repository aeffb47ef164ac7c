//! The mapping: which file is which table, and how it is read.

use std::collections::BTreeMap;

use congress_driver::describe::{boolean, column, table, text};
use congress_driver::mapping::{self, Child, Rows, Type, check_name};
use congress_driver::path::Path;
use congress_driver::types::DataType;
use congress_driver::{Config, Error, Result, Table, url};
use serde::Deserialize;

use crate::Sources;
use crate::delimited::{Delimited, SplitList};

/// A root table.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Flat")]
pub(crate) struct Source {
    place: Place,
    pub(crate) form: Form,
}

/// Where a source's content is.
#[derive(Clone, Debug)]
enum Place {
    /// A file: its path, absolute or in the folder.
    File(String),
    /// An address, below that of the datasource.
    Url(String),
    /// Nowhere: it is made of another table.
    None,
}

/// Where a source's content is, with what the configuration adds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Location {
    /// The absolute path of a file.
    File(String),
    /// An address.
    Url(String),
}

/// What kind of file it is.
#[derive(Clone, Debug)]
pub(crate) enum Form {
    Delimited(Delimited),
    Json(Rows),
    Yaml(Rows),
    Exists(Existence),
}

/// Whether the paths in another table's column exist.
#[derive(Clone, Debug)]
pub(crate) struct Existence {
    pub(crate) table: String,
    pub(crate) column: String,
}

/// A column of a file: its name alone, or an object.
#[derive(Clone, Debug, Deserialize, PartialEq)]
#[serde(from = "NameOrColumn")]
pub(crate) struct FileColumn {
    pub(crate) name: String,
    /// In a file with a header: the name there, if it is another.
    pub(crate) from: Option<String>,
    pub(crate) data_type: Option<DataType>,
    pub(crate) description: Option<String>,
    path: Option<Path>,
}

#[derive(Deserialize)]
#[serde(untagged, expecting = "a column is its name, null to skip it, or an object with its name")]
enum NameOrColumn {
    Name(String),
    Column(FullColumn),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FullColumn {
    name: String,
    from: Option<String>,
    path: Option<Path>,
    #[serde(rename = "type")]
    data_type: Option<Type>,
    description: Option<String>,
}

/// A source as it is written: what the format does not know is refused.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat {
    format: Format,
    path: Option<String>,
    url: Option<String>,
    columns: Option<Vec<Option<FileColumn>>>,
    header: Option<bool>,
    delimiter: Option<char>,
    comment: Option<char>,
    #[serde(default)]
    lists: BTreeMap<String, SplitList>,
    rows: Option<Path>,
    #[serde(default)]
    children: BTreeMap<String, Child>,
    table: Option<String>,
    column: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "lowercase")]
enum Format {
    Csv,
    Tsv,
    Colon,
    Lines,
    Json,
    Yaml,
    Exists,
}

impl From<NameOrColumn> for FileColumn {
    fn from(column: NameOrColumn) -> Self {
        match column {
            NameOrColumn::Name(name) => Self::named(name, None),
            NameOrColumn::Column(FullColumn { name, from, path, data_type, description }) => {
                Self { name, from, data_type: data_type.map(DataType::from), description, path }
            }
        }
    }
}

impl FileColumn {
    /// A column that is only named.
    pub(crate) fn named(name: String, from: Option<String>) -> Self {
        Self { name, from, data_type: None, description: None, path: None }
    }

    fn declared(&self) -> congress_driver::Column {
        let column = column(&self.name, self.data_type.unwrap_or(DataType::Str).column_type());
        congress_driver::Column { description: self.description.clone(), ..column }
    }
}

impl TryFrom<Flat> for Source {
    type Error = String;

    fn try_from(flat: Flat) -> std::result::Result<Self, String> {
        let Flat {
            format,
            path,
            url,
            columns,
            header,
            delimiter,
            comment,
            lists,
            rows,
            children,
            table,
            column,
        } = flat;
        let is_tree = matches!(format, Format::Json | Format::Yaml);
        let is_text = !is_tree && format != Format::Exists;
        let is_csv = matches!(format, Format::Csv | Format::Tsv);
        let refuse = [
            (path.is_some() && format == Format::Exists, "path"),
            (url.is_some() && format == Format::Exists, "url"),
            (columns.is_some() && format == Format::Exists, "columns"),
            (header.is_some() && !is_csv, "header"),
            (delimiter.is_some() && !is_csv, "delimiter"),
            (comment.is_some() && !is_text, "comment"),
            (!lists.is_empty() && !is_text, "lists"),
            (rows.is_some() && !is_tree, "rows"),
            (!children.is_empty() && !is_tree, "children"),
            (table.is_some() && format != Format::Exists, "table"),
            (column.is_some() && format != Format::Exists, "column"),
        ];
        if let Some((_, name)) = refuse.iter().find(|(refused, _)| *refused) {
            return Err(format!("the format {format:?} knows no '{name}'").to_lowercase());
        }
        let missing = |name: &str| format!("'{name}' is missing");
        let ascii = |c: char| u8::try_from(c).map_err(|_| format!("'{c}' is no ASCII character"));
        let delimiter = match (format, delimiter) {
            (_, Some(delimiter)) => ascii(delimiter)?,
            (Format::Tsv, None) => b'\t',
            (Format::Colon, None) => b':',
            _ => b',',
        };
        let form = match format {
            Format::Json | Format::Yaml => {
                let columns = columns.ok_or_else(|| missing("columns"))?;
                let columns =
                    columns.into_iter().map(json_column).collect::<std::result::Result<_, _>>()?;
                let rows = Rows { rows: rows.unwrap_or_default(), columns, children };
                if format == Format::Json { Form::Json(rows) } else { Form::Yaml(rows) }
            }
            Format::Exists => Form::Exists(Existence {
                table: table.ok_or_else(|| missing("table"))?,
                column: column.ok_or_else(|| missing("column"))?,
            }),
            Format::Csv | Format::Tsv | Format::Colon | Format::Lines => {
                let columns = match (format, columns) {
                    (Format::Lines, None) => {
                        Some(vec![Some(FileColumn::named("line".into(), None))])
                    }
                    (_, columns) => columns,
                };
                let header = header.unwrap_or(is_csv && columns.is_none());
                if columns.is_none() && (!header || url.is_some()) {
                    // What a datasource's tables are must be known before anything is fetched.
                    return Err(missing("columns"));
                }
                if let Some(columns) = &columns {
                    check_columns(columns, header)?;
                }
                Form::Delimited(Delimited {
                    delimiter: (format != Format::Lines).then_some(delimiter),
                    quoting: is_csv,
                    comment: comment.map(ascii).transpose()?,
                    header,
                    columns,
                    lists,
                })
            }
        };
        let place = match (path.filter(|path| !path.is_empty()), url) {
            (Some(_), Some(_)) => return Err("give either 'path' or 'url'".to_owned()),
            (_, Some(url)) if url.contains("://") => {
                return Err(format!("url '{url}' is whole; give what stands below field 'url'"));
            }
            (Some(path), None) => Place::File(path),
            (None, Some(url)) => Place::Url(url),
            (None, None) if format == Format::Exists => Place::None,
            (None, None) => return Err("'path' is missing, or 'url'".to_owned()),
        };
        Ok(Self { place, form })
    }
}

fn json_column(column: Option<FileColumn>) -> std::result::Result<mapping::Column, String> {
    let FileColumn { name, from, data_type, description, path } =
        column.ok_or("null skips a column only where columns are counted")?;
    if from.is_some() {
        return Err(format!("column '{name}' has a 'from'; in JSON it has a 'path'"));
    }
    let path = path.unwrap_or_else(|| Path::member(&name));
    let data_type = data_type.unwrap_or_default();
    Ok(mapping::Column { name, path, data_type, description })
}

fn check_columns(columns: &[Option<FileColumn>], header: bool) -> std::result::Result<(), String> {
    for column in columns.iter().flatten() {
        if column.path.is_some() {
            return Err(format!("column '{}' has a 'path'; only JSON has paths", column.name));
        }
        if column.from.is_some() && !header {
            return Err(format!("column '{}' has a 'from', but there is no header", column.name));
        }
    }
    if header && columns.contains(&None) {
        return Err("null skips a column where there is no header".to_owned());
    }
    Ok(())
}

impl Source {
    /// Where its content is.
    pub(crate) fn location(&self, config: &Config) -> Result<Location> {
        match &self.place {
            Place::File(path) if path.starts_with('/') => Ok(Location::File(path.clone())),
            Place::File(path) => match config.get("folder") {
                Some(folder) if folder.starts_with('/') => {
                    Ok(Location::File(format!("{}/{path}", folder.trim_end_matches('/'))))
                }
                Some(folder) => Err(Error::Config(format!(
                    "field 'folder' must be an absolute path, not '{folder}'"
                ))),
                None => Err(Error::Config(format!(
                    "path '{path}' is relative, and field 'folder' is not set"
                ))),
            },
            Place::Url(below) => match config.get("url").filter(|url| !url.is_empty()) {
                Some(url) => Ok(Location::Url(url::join(url, below))),
                None => Err(Error::Config(format!(
                    "url '{below}' is below an address, and field 'url' is not set"
                ))),
            },
            Place::None => Err(Error::Config("there is nothing to read".into())),
        }
    }

    /// The columns of a table of records; those of a file may be read from its header.
    pub(crate) fn columns(
        &self,
        delimited: &Delimited,
        config: &Config,
    ) -> Result<Vec<Option<FileColumn>>> {
        match (&delimited.columns, self.location(config)?) {
            (Some(columns), _) => Ok(columns.clone()),
            (None, Location::File(path)) => delimited.header_of(&path),
            (None, Location::Url(url)) => {
                Err(Error::Config(format!("{url}: 'columns' is missing")))
            }
        }
    }

    /// The tables that it makes. Reads the file's header where that names the columns.
    pub(crate) fn tables(
        &self,
        name: &str,
        sources: &Sources,
        config: &Config,
    ) -> Result<Vec<Table>> {
        check_name(name)?;
        match &self.form {
            Form::Delimited(delimited) => {
                let columns = self.columns(delimited, config)?;
                let named: Vec<&FileColumn> = columns.iter().flatten().collect();
                let mut tables = Vec::new();
                for (list_name, list) in &delimited.lists {
                    check_name(list_name)?;
                    for column in [&list.column, &list.parent] {
                        if !named.iter().any(|c| &c.name == column) {
                            let what =
                                format!("table '{list_name}': '{name}' has no column '{column}'");
                            return Err(Error::Config(what));
                        }
                    }
                    let key = list.parent_column.as_ref().unwrap_or(&list.parent);
                    tables
                        .push(table(list_name, [text(key), text(&list.value)]).fetched_with(name));
                }
                tables.push(table(name, named.into_iter().map(FileColumn::declared)));
                Ok(tables)
            }
            Form::Json(mapping) | Form::Yaml(mapping) => {
                self.location(config)?;
                Ok(mapping.translator(name)?.tables())
            }
            Form::Exists(existence) => {
                let (source, delimited) = existence.source(sources)?;
                let columns = source.columns(delimited, config)?;
                if !columns.iter().flatten().any(|column| column.name == existence.column) {
                    return Err(Error::Config(format!(
                        "table '{name}': '{}' has no column '{}'",
                        existence.table, existence.column
                    )));
                }
                Ok(vec![table(
                    name,
                    [
                        text("path"),
                        boolean("exists").describe("Null where it is not granted to look."),
                    ],
                )])
            }
        }
    }
}

impl Location {
    /// The path or address, for messages.
    pub(crate) fn text(&self) -> &str {
        match self {
            Self::File(text) | Self::Url(text) => text,
        }
    }
}

impl Existence {
    /// The table that holds the paths.
    pub(crate) fn source<'a>(&self, sources: &'a Sources) -> Result<(&'a Source, &'a Delimited)> {
        match sources.get(&self.table) {
            Some(source @ Source { form: Form::Delimited(delimited), .. }) => {
                Ok((source, delimited))
            }
            Some(_) => Err(Error::Config(format!(
                "paths can be checked from csv, tsv, colon and lines; '{}' is none of them",
                self.table
            ))),
            None => Err(Error::Config(format!("there is no table '{}' to check", self.table))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sources(json: &str) -> Result<Sources> {
        mapping::read(&config(json), "tables")
    }

    fn config(json: &str) -> Config {
        Config::new(vec![("tables".into(), json.into()), ("folder".into(), "/data/".into())])
    }

    fn tables(json: &str) -> Result<Vec<(String, Vec<String>)>> {
        let sources = sources(json)?;
        let mut found = Vec::new();
        for (name, source) in &sources {
            for table in source.tables(name, &sources, &config(json))? {
                found.push((table.name, table.columns.into_iter().map(|c| c.name).collect()));
            }
        }
        Ok(found)
    }

    #[test]
    fn the_example_declares_accounts() {
        let example: serde_json::Value =
            serde_json::from_str(include_str!("../examples/accounts.json")).unwrap();
        let tables = tables(&example["config"]["tables"].to_string()).unwrap();
        let tables: Vec<String> = tables
            .into_iter()
            .map(|(table, columns)| format!("{table}({})", columns.join(",")))
            .collect();
        assert_eq!(
            tables,
            [
                "groups.members(group,user)",
                "groups(name,gid,members)",
                "homes(path,exists)",
                "shells(path)",
                "users(name,uid,gid,gecos,home,shell)",
            ]
        );
    }

    #[test]
    fn relative_paths_start_at_the_folder() {
        let json = r#"{"t": {"format": "lines", "path": "a/b"}}"#;
        let sources = sources(json).unwrap();
        let location = sources["t"].location(&config(json)).unwrap();
        assert_eq!(location, Location::File("/data/a/b".into()));
        let without = sources["t"].location(&Config::default()).unwrap_err();
        assert!(matches!(without, Error::Config(text) if text.contains("'folder' is not set")));
    }

    #[test]
    fn addresses_are_below_that_of_the_datasource() {
        let json = r#"{"t": {"format": "yaml", "url": "a.yaml", "rows": "x", "columns": ["n"]}}"#;
        let sources = sources(json).unwrap();
        let config = Config::new(vec![("url".into(), "https://h/data/".into())]);
        let location = sources["t"].location(&config).unwrap();
        assert_eq!(location, Location::Url("https://h/data/a.yaml".into()));
        let without = sources["t"].location(&Config::default()).unwrap_err();
        assert!(matches!(without, Error::Config(text) if text.contains("'url' is not set")));
    }

    #[test]
    fn errors_name_the_place() {
        for (json, message) in [
            (r#"{"t": {"format": "xml"}}"#, "at t.format: unknown variant `xml`"),
            (r#"{"t": {"format": "colon", "path": "/x"}}"#, "'columns' is missing"),
            (r#"{"t": {"format": "lines"}}"#, "'path' is missing, or 'url'"),
            (r#"{"t": {"format": "csv", "url": "x.csv"}}"#, "'columns' is missing"),
            (r#"{"t": {"format": "lines", "url": "x", "path": "y"}}"#, "either 'path' or 'url'"),
            (r#"{"t": {"format": "lines", "url": "http://x/"}}"#, "below field 'url'"),
            (
                r#"{"t": {"format": "lines", "path": "/x", "header": true}}"#,
                "lines knows no 'header'",
            ),
            (r#"{"t": {"format": "exists", "table": "u"}}"#, "'column' is missing"),
            (
                r#"{"t": {"format": "exists", "table": "u", "column": "c"}}"#,
                "no table 'u' to check",
            ),
            (
                r#"{"t": {"format": "csv", "path": "/x", "columns": [{"name": "a", "from": "A"}]}}"#,
                "has a 'from', but there is no header",
            ),
            (
                r#"{"t": {"format": "colon", "path": "/x", "columns": ["a"],
                   "lists": {"l": {"column": "b", "parent": "a", "value": "v"}}}}"#,
                "table 'l': 't' has no column 'b'",
            ),
            (
                r#"{"t": {"format": "csv", "path": "/x", "columns": [{"nam": "a"}]}}"#,
                "at t.columns[0]: a column is its name",
            ),
        ] {
            let Err(Error::Config(text)) = tables(json) else { panic!("{json}") };
            assert!(text.contains(message), "{text}");
        }
    }
}
