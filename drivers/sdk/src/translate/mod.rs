//! Translators: declarations of how one kind of JSON object becomes rows of tables.
//!
//! The words are those of the original system, where every driver is written in them:
//!
//! * [`hdict`]: an object becomes a row, its fields columns ("horizontal");
//! * [`vdict`]: an object becomes rows of key and value ("vertical");
//! * [`list`]: a list becomes rows of one value;
//! * [`value`]: a member that becomes a cell, and [`nested`]: one that becomes rows of another
//!   table.
//!
//! A nested table is tied to its parent either by the parent's column that it repeats
//! ([`Translator::parent_key`]), or by an id made from its content ([`Translator::id_col`]), which
//! then stands in a column of the parent.
//!
//! ```
//! use congress_driver::translate::{hdict, list, nested, value};
//! use congress_driver::types::DataType::{Int, Str};
//!
//! let servers = hdict("servers").fields([
//!     value("id").typed(Str).desc("UUID of the server"),
//!     value("OS-EXT:cpus").col("cpus").typed(Int),
//!     nested("tags", list("servers.tags", "tag").parent_key("id").parent_col("server_id")),
//! ]);
//! let tables: Vec<String> = servers.tables().into_iter().map(|table| table.name).collect();
//! assert_eq!(tables, ["servers.tags", "servers"]);
//! ```

mod json;
mod run;
mod schema;

use serde_json::Value as Json;

use crate::path::Path;
use crate::types::DataType;

pub use run::{Collected, Output};

/// A rule that makes rows of one table, and of those nested in it.
#[derive(Debug)]
pub struct Translator {
    table: String,
    key: Key,
    extract_objects: Option<Extract>,
    shape: Shape,
}

/// What the first column is for.
#[derive(Debug)]
enum Key {
    None,
    /// An id made from the content.
    Id(String),
    /// A column of the parent's row, repeated.
    Parent {
        key: String,
        column: String,
        description: Option<String>,
    },
}

#[derive(Debug)]
enum Shape {
    Hdict { fields: Vec<Field>, in_list: bool },
    Vdict { key_col: String, val_col: String, item: Box<Item> },
    List { val_col: String, description: Option<String>, item: Box<Item> },
}

/// A member of an object, and what becomes of it.
#[derive(Debug)]
pub struct Field {
    path: Path,
    column: String,
    description: Option<String>,
    /// Stands in for a member that is missing.
    absent: Option<Json>,
    item: Item,
}

#[derive(Debug)]
enum Item {
    Value(ValueRule),
    Table(Translator),
}

/// How a JSON value becomes a cell.
#[derive(Debug, Default)]
struct ValueRule {
    extract: Option<Extract>,
    data_type: DataType,
    not_nullable: bool,
}

/// A function from JSON to JSON.
struct Extract(Box<dyn Fn(&Json) -> Json>);

impl std::fmt::Debug for Extract {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Extract")
    }
}

const PARENT_COLUMN: &str = "parent_key";

fn translator(table: &str, shape: Shape) -> Translator {
    Translator { table: table.into(), key: Key::None, extract_objects: None, shape }
}

/// An object becomes a row of `table`; add its columns with [`Translator::fields`].
pub fn hdict(table: &str) -> Translator {
    translator(table, Shape::Hdict { fields: Vec::new(), in_list: false })
}

/// An object becomes rows of `table`, each with a key and its value. The values are cells, unless
/// [`Translator::each`] says otherwise.
pub fn vdict(table: &str, key_col: &str, val_col: &str) -> Translator {
    let item = Box::new(Item::Value(ValueRule::default()));
    translator(table, Shape::Vdict { key_col: key_col.into(), val_col: val_col.into(), item })
}

/// A list becomes rows of `table`, each with one element. The elements are cells, unless
/// [`Translator::each`] says otherwise.
pub fn list(table: &str, val_col: &str) -> Translator {
    let item = Box::new(Item::Value(ValueRule::default()));
    translator(table, Shape::List { val_col: val_col.into(), description: None, item })
}

/// A member that becomes a cell, in a column of the same name.
pub fn value(member: &str) -> Field {
    Field {
        path: Path::member(member),
        column: member.into(),
        description: None,
        absent: None,
        item: Item::Value(ValueRule::default()),
    }
}

/// A member that becomes rows of another table. If that has an id, the id stands in a column of
/// the same name as the member.
pub fn nested(member: &str, translator: Translator) -> Field {
    Field { item: Item::Table(translator), ..value(member) }
}

impl Translator {
    /// The table's name.
    pub fn table(&self) -> &str {
        &self.table
    }

    /// Adds fields to an `hdict`; other shapes have none.
    #[must_use]
    pub fn fields(mut self, more: impl IntoIterator<Item = Field>) -> Self {
        if let Shape::Hdict { fields, .. } = &mut self.shape {
            fields.extend(more);
        }
        self
    }

    /// For an `hdict`: the JSON is a list of such objects, each of which becomes a row.
    #[must_use]
    pub fn in_list(mut self) -> Self {
        if let Shape::Hdict { in_list, .. } = &mut self.shape {
            *in_list = true;
        }
        self
    }

    /// The first column is an id made from the content. In the place of a parent key.
    #[must_use]
    pub fn id_col(mut self, column: &str) -> Self {
        self.key = Key::Id(column.into());
        self
    }

    /// The first column repeats that column of the parent's row; it is named `parent_key` unless
    /// [`parent_col`](Self::parent_col) says otherwise. In the place of an id.
    #[must_use]
    pub fn parent_key(mut self, key: &str) -> Self {
        let column = PARENT_COLUMN.into();
        self.key = Key::Parent { key: key.into(), column, description: None };
        self
    }

    /// Names the column that repeats the parent's.
    #[must_use]
    pub fn parent_col(mut self, name: &str) -> Self {
        if let Key::Parent { column, .. } = &mut self.key {
            *column = name.into();
        }
        self
    }

    /// Describes the column that repeats the parent's.
    #[must_use]
    pub fn parent_desc(mut self, text: &str) -> Self {
        if let Key::Parent { description, .. } = &mut self.key {
            *description = Some(text.into());
        }
        self
    }

    /// Describes the value column of a `list`.
    #[must_use]
    pub fn val_desc(mut self, text: &str) -> Self {
        if let Shape::List { description, .. } = &mut self.shape {
            *description = Some(text.into());
        }
        self
    }

    /// Declares the type of the cells of a `list` or `vdict`.
    #[must_use]
    pub fn typed(mut self, data_type: DataType) -> Self {
        if let Some(Item::Value(rule)) = self.item_mut() {
            rule.data_type = data_type;
        }
        self
    }

    /// Makes each element of a `list`, or value of a `vdict`, a row of another table. That one has
    /// an id; or, in a `vdict`, the key column as parent key, and then the `vdict` has no value
    /// column.
    #[must_use]
    pub fn each(mut self, translator: Translator) -> Self {
        if let Some(item) = self.item_mut() {
            *item = Item::Table(translator);
        }
        self
    }

    /// Changes the JSON before it is translated; for a root translator the whole list of objects.
    #[must_use]
    pub fn extract_objects(mut self, extract: impl Fn(&Json) -> Json + 'static) -> Self {
        self.extract_objects = Some(Extract(Box::new(extract)));
        self
    }

    fn item_mut(&mut self) -> Option<&mut Item> {
        match &mut self.shape {
            Shape::Hdict { .. } => None,
            Shape::Vdict { item, .. } | Shape::List { item, .. } => Some(item),
        }
    }

    fn has_id(&self) -> bool {
        matches!(self.key, Key::Id(_))
    }

    fn has_parent_key(&self) -> bool {
        matches!(self.key, Key::Parent { .. })
    }
}

impl Field {
    /// Names the column.
    #[must_use]
    pub fn col(mut self, name: &str) -> Self {
        self.column = name.into();
        self
    }

    /// Describes the column.
    #[must_use]
    pub fn desc(mut self, text: &str) -> Self {
        self.description = Some(text.into());
        self
    }

    /// Takes the member from deeper in the object.
    #[must_use]
    pub fn at(mut self, path: Path) -> Self {
        self.path = path;
        self
    }

    /// Declares the type of a cell.
    #[must_use]
    pub fn typed(mut self, data_type: DataType) -> Self {
        if let Item::Value(rule) = &mut self.item {
            rule.data_type = data_type;
        }
        self
    }

    /// Changes the JSON before it becomes a cell. A missing member is null.
    #[must_use]
    pub fn extract(mut self, extract: impl Fn(&Json) -> Json + 'static) -> Self {
        if let Item::Value(rule) = &mut self.item {
            rule.extract = Some(Extract(Box::new(extract)));
        }
        self
    }

    /// What stands in for a member that is missing; null otherwise.
    #[must_use]
    pub fn absent(mut self, json: impl Into<Json>) -> Self {
        self.absent = Some(json.into());
        self
    }

    /// Whether it makes a column in its object's row.
    fn makes_column(&self) -> bool {
        match &self.item {
            Item::Value(_) => true,
            Item::Table(translator) => translator.has_id(),
        }
    }

    fn needs_parent_key(&self) -> bool {
        matches!(&self.item, Item::Table(translator) if translator.has_parent_key())
    }
}
