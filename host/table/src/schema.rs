//! What tables look like.

use serde::{Deserialize, Serialize};

use crate::Value;

/// What a column holds. Declared by the driver, for readers and for type inference.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ColumnType {
    /// Any scalar.
    #[default]
    Any,
    /// True or false.
    Boolean,
    /// 64-bit integers.
    Integer,
    /// Doubles; integers pass.
    Float,
    /// Text.
    Text,
    /// Text that is a UUID.
    Uuid,
    /// Text that is an IPv4 or IPv6 address.
    IpAddress,
    /// Text that is a network in prefix notation.
    IpNetwork,
}

/// One column.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Column {
    /// The column's name, unique in its table.
    pub name: String,
    /// What it holds, for people.
    pub description: Option<String>,
    /// What it holds, for programs. Declared, not enforced: a service that sends a text where
    /// its documentation says number must not lose the row.
    #[serde(default)]
    pub column_type: ColumnType,
    /// Whether null may occur.
    #[serde(default)]
    pub nullable: bool,
}

/// One table of a datasource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TableSchema {
    /// The table's name, unique in its datasource.
    pub name: String,
    /// Its columns, in the order of the cells of a row. A table without columns takes rows of any
    /// width.
    pub columns: Vec<Column>,
    /// The root table together with which this one is fetched; none for a root table.
    #[serde(default)]
    pub root: Option<String>,
}

impl TableSchema {
    /// How many cells a row has; none if rows of any width are taken.
    pub fn width(&self) -> Option<usize> {
        Some(self.columns.len()).filter(|columns| *columns > 0)
    }

    /// The root table with which this one is fetched: its own name for a root table.
    pub fn root_name(&self) -> &str {
        self.root.as_deref().unwrap_or(&self.name)
    }

    /// Checks a row's width. The error is a sentence for the driver's author.
    pub fn check(&self, row: &[Value]) -> Result<(), String> {
        match self.width() {
            Some(width) if width != row.len() => Err(format!(
                "a row of table '{}' has {} cells, but the table has {width} columns",
                self.name,
                row.len(),
            )),
            _ => Ok(()),
        }
    }
}
