//! Tables declared by configuration: the part of a mapping that says what becomes of a JSON list.
//!
//! ```json
//! {
//!   "rows": "$.items[*]",
//!   "columns": [
//!     "name",
//!     {"name": "uid", "path": "metadata.uid", "type": "text", "description": "Its id."}
//!   ],
//!   "children": {
//!     "pods.labels": {"rows": "metadata.labels", "parent": "uid", "key": "label", "value": "value"},
//!     "pods.ports": {"rows": "spec.ports", "parent": "uid", "as": "pod", "columns": ["port"]},
//!     "pods.ips": {"rows": "status.ips", "parent": "uid", "value": "ip"}
//!   }
//! }
//! ```

use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::Value as Json;

use crate::path::Path;
use crate::translate::{Field, Translator, hdict, list, nested, value, vdict};
use crate::types::DataType;
use crate::{Config, Error, Result};

/// What becomes of a list of JSON values.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rows {
    /// Where the list is; the whole value by default. A single object counts as a list of one.
    #[serde(default)]
    pub rows: Path,
    /// The columns, in order.
    pub columns: Vec<Column>,
    /// Tables made of lists and objects inside of each item.
    #[serde(default)]
    pub children: BTreeMap<String, Child>,
}

/// A column: its name alone, or an object.
#[derive(Clone, Debug, PartialEq)]
pub struct Column {
    /// The column's name.
    pub name: String,
    /// Where the cell is, in the item; the member of that name by default.
    pub path: Path,
    /// What it holds.
    pub data_type: DataType,
    /// What it holds, for people.
    pub description: Option<String>,
}

/// A table inside of another table's items.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Child {
    /// Where its list, or its object, is in the parent's item.
    rows: Path,
    /// The column of the parent that its first column repeats.
    parent: String,
    /// The name of that column here; the same by default.
    #[serde(rename = "as")]
    parent_column: Option<String>,
    /// For a list of objects, or an object of objects or of lists of them.
    columns: Option<Vec<Column>>,
    /// For an object: the column of its keys.
    key: Option<String>,
    /// For an object, or a list of plain values: the column of the values.
    value: Option<String>,
    #[serde(default)]
    children: BTreeMap<String, Self>,
}

impl Rows {
    /// The translator that makes a table, and its children, of the items.
    pub fn translator(&self, table: &str) -> Result<Translator> {
        check_name(table)?;
        let fields = fields(table, &self.columns, &self.children)?;
        let translator = hdict(table).fields(fields);
        translator.check()?;
        Ok(translator)
    }

    /// The items in a JSON value, or what is there instead of a list.
    pub fn items<'a>(&self, json: &'a Json) -> std::result::Result<Vec<&'a Json>, &'static str> {
        let found = if self.rows.is_single() {
            match self.rows.get(json) {
                Some(Json::Array(items)) => Ok(items.iter().collect()),
                Some(object @ Json::Object(_)) => Ok(vec![object]),
                other => Err(other),
            }
        } else {
            self.rows.all_of_list(json)
        };
        found.map_err(|other| other.map_or("missing", crate::json::kind))
    }

    /// The same, for an answer of a service that may write null for an empty list, as those in Go do.
    pub fn items_or_null<'a>(
        &self,
        json: &'a Json,
    ) -> std::result::Result<Vec<&'a Json>, &'static str> {
        match self.items(json) {
            Err(found) if found == crate::json::kind(&Json::Null) => Ok(Vec::new()),
            other => other,
        }
    }
}

/// Reads a configuration field that holds a mapping. The error names the place in it.
pub fn read<T: DeserializeOwned>(config: &Config, field: &str) -> Result<T> {
    let mut text = serde_json::Deserializer::from_str(config.text(field)?);
    let read = serde_path_to_error::deserialize(&mut text);
    let read = read.map_err(|error| match error.path().to_string().as_str() {
        "." | "?" => Error::Config(format!("field '{field}': {}", error.inner())),
        place => Error::Config(format!("field '{field}', at {place}: {}", error.inner())),
    })?;
    text.end().map_err(|error| Error::Config(format!("field '{field}': {error}")))?;
    Ok(read)
}

/// Refuses what cannot be a table's name.
pub fn check_name(table: &str) -> Result<()> {
    let allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.');
    if !table.is_empty() && table.chars().all(allowed) {
        return Ok(());
    }
    Err(Error::Config(format!(
        "'{table}' is no name for a table: use letters, digits, '_' and '.'"
    )))
}

fn fields(
    table: &str,
    columns: &[Column],
    children: &BTreeMap<String, Child>,
) -> Result<Vec<Field>> {
    let mut fields = Vec::new();
    for column in columns {
        if !column.path.is_single() {
            return Err(Error::Config(format!(
                "table '{table}', column '{}': the path {} selects many values; make it a child",
                column.name, column.path
            )));
        }
        fields.push(column.field());
    }
    for (name, child) in children {
        fields.push(child.field(name)?);
    }
    Ok(fields)
}

impl Column {
    fn field(&self) -> Field {
        let field = value(&self.name).at(self.path.clone()).typed(self.data_type);
        match &self.description {
            Some(text) => field.desc(text),
            None => field,
        }
    }
}

impl Child {
    fn field(&self, table: &str) -> Result<Field> {
        check_name(table)?;
        let wrong = |what: &str| Error::Config(format!("table '{table}': {what}"));
        let translator = match (&self.columns, &self.key, &self.value) {
            (Some(columns), None, None) => {
                hdict(table).in_list().fields(fields(table, columns, &self.children)?)
            }
            (Some(columns), Some(key), None) => {
                let key = value(key).at(Path::member(KEY));
                let fields = fields(table, columns, &self.children)?;
                hdict(table).in_list().extract_objects(members).fields([key]).fields(fields)
            }
            (None, Some(key), Some(value)) => vdict(table, key, value),
            (None, None, Some(value)) => list(table, value),
            _ => {
                return Err(wrong(
                    "give either 'columns', or 'value', or 'key' and one of these two",
                ));
            }
        };
        if self.columns.is_none() && !self.children.is_empty() {
            return Err(wrong("only a table with 'columns' has children"));
        }
        let column = self.parent_column.as_ref().unwrap_or(&self.parent);
        let translator = translator.parent_key(&self.parent).parent_col(column);
        if self.rows.is_single() {
            return Ok(nested(table, translator).at(self.rows.clone()));
        }
        if self.key.is_some() {
            return Err(wrong("with 'key', the path selects one object; it has a [*]"));
        }
        let rows = self.rows.clone();
        let all = move |item: &Json| Json::Array(rows.all(item).into_iter().cloned().collect());
        Ok(nested(table, translator.extract_objects(all)).at(Path::default()))
    }
}

/// A name that no member of a service's objects has.
const KEY: &str = "\0key";

/// The members of an object, or the elements of those that are lists, each with the member's name.
fn members(object: &Json) -> Json {
    let Some(object) = object.as_object() else { return object.clone() };
    let named = object.iter().flat_map(|(name, member)| {
        let items = member.as_array().map_or(std::slice::from_ref(member), Vec::as_slice);
        items.iter().map(move |item| match item {
            Json::Object(item) => {
                let mut item = item.clone();
                item.insert(KEY.to_owned(), name.as_str().into());
                Json::Object(item)
            }
            other => other.clone(), // the translator says that it is no object
        })
    });
    named.collect()
}

impl<'de> Deserialize<'de> for Column {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Full {
            name: String,
            path: Option<Path>,
            #[serde(default, rename = "type")]
            data_type: Type,
            description: Option<String>,
        }

        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = Column;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("a column's name, or an object with its name")
            }

            fn visit_str<E>(self, name: &str) -> std::result::Result<Column, E> {
                Ok(Column {
                    name: name.to_owned(),
                    path: Path::member(name),
                    data_type: DataType::Scalar,
                    description: None,
                })
            }

            fn visit_map<A: serde::de::MapAccess<'de>>(
                self,
                map: A,
            ) -> std::result::Result<Column, A::Error> {
                let map = serde::de::value::MapAccessDeserializer::new(map);
                let Full { name, path, data_type, description } = Full::deserialize(map)?;
                let path = path.unwrap_or_else(|| Path::member(&name));
                Ok(Column { name, path, data_type: data_type.into(), description })
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

/// The type of a column, in the contract's words.
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Type {
    /// Any of the others.
    #[default]
    Any,
    /// True or false.
    Boolean,
    /// A 64-bit integer.
    Integer,
    /// A double.
    Float,
    /// Text.
    Text,
    /// Text that is a UUID.
    Uuid,
    /// An IPv4 or IPv6 address.
    IpAddress,
    /// An IPv4 or IPv6 network.
    IpNetwork,
}

impl From<Type> for DataType {
    fn from(of: Type) -> Self {
        match of {
            Type::Any => Self::Scalar,
            Type::Boolean => Self::Bool,
            Type::Integer => Self::Int,
            Type::Float => Self::Float,
            Type::Text => Self::Str,
            Type::Uuid => Self::Uuid,
            Type::IpAddress => Self::IpAddress,
            Type::IpNetwork => Self::IpNetwork,
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Row;
    use crate::translate::Collected;

    use super::*;

    fn mapping(json: Json) -> Result<Rows> {
        read(&Config::new(vec![("tables".into(), json.to_string())]), "tables")
    }

    fn cells<const N: usize>(cells: [Json; N]) -> Row {
        cells.iter().map(crate::json::cell).collect()
    }

    #[test]
    fn lists_objects_and_what_is_inside() {
        let mapping = mapping(json!({
            "rows": "$.items[*]",
            "columns": ["name", {"name": "uid", "path": "meta.uid", "type": "integer"}],
            "children": {
                "p.labels": {"rows": "meta.labels", "parent": "uid", "key": "label", "value": "v"},
                "p.ips": {"rows": "ips", "parent": "uid", "as": "pod", "value": "ip"},
                "p.ports": {
                    "rows": "boxes[*].ports[*]", "parent": "uid",
                    "columns": ["number", {"name": "all", "path": "$"}],
                },
            },
        }))
        .unwrap();
        let translator = mapping.translator("p").unwrap();
        let body = json!({"items": [
            {"name": "a", "meta": {"uid": 1, "labels": {"x": "y"}}, "ips": ["i", "j"],
             "boxes": [{"ports": [{"number": 80}]}, {"ports": [{"number": 81}]}]},
            {"name": "b", "meta": {"uid": 2}},
        ]});
        let mut output = Collected::default();
        translator.translate(mapping.items(&body).unwrap(), &mut output).unwrap();
        let tables = output.0;
        assert_eq!(tables["p"], [cells([json!("a"), json!(1)]), cells([json!("b"), json!(2)])]);
        assert_eq!(tables["p.labels"], [cells([json!(1), json!("x"), json!("y")])]);
        assert_eq!(tables["p.ips"], [cells([json!(1), json!("i")]), cells([json!(1), json!("j")])]);
        assert_eq!(tables["p.ports"][1], cells([json!(1), json!(81), json!({"number": 81})]));
        let ips = translator.tables().into_iter().find(|table| table.name == "p.ips").unwrap();
        assert_eq!(ips.columns[0].name, "pod");
        assert_eq!(ips.root.as_deref(), Some("p"));
    }

    #[test]
    fn objects_by_name_are_rows() {
        let mapping = mapping(json!({
            "columns": ["name"],
            "children": {"p.files": {"rows": "files", "parent": "name", "key": "release",
                                     "columns": ["url"]}},
        }))
        .unwrap();
        let translator = mapping.translator("p").unwrap();
        let body = json!([{"name": "a", "files": {
            "1.0": [{"url": "x"}, {"url": "y"}], "1.1": {"url": "z"}, "2.0": [],
        }}]);
        let mut output = Collected::default();
        translator.translate(mapping.items(&body).unwrap(), &mut output).unwrap();
        let row = |release: &str, url: &str| cells([json!("a"), json!(release), json!(url)]);
        assert_eq!(output.0["p.files"], [row("1.0", "x"), row("1.0", "y"), row("1.1", "z")]);
    }

    #[test]
    fn items_are_a_list_or_one_object() {
        let rows = |path: &str| Rows {
            rows: path.parse().unwrap(),
            columns: Vec::new(),
            children: BTreeMap::new(),
        };
        let body = json!({"list": [1, 2], "one": {"a": 1}, "text": "x"});
        assert_eq!(rows("list").items(&body).unwrap().len(), 2);
        assert_eq!(rows("one").items(&body).unwrap().len(), 1);
        assert_eq!(rows("text").items(&body), Err("a text"));
        assert_eq!(rows("none").items(&body), Err("missing"));
        assert_eq!(rows("none[*]").items(&body), Err("missing"));
        assert_eq!(rows("one[*]").items(&body), Err("an object"));
        assert_eq!(rows("list[*].none[*]").items(&body).unwrap().len(), 0);
    }

    #[test]
    fn null_may_be_an_empty_list_and_nothing_else() {
        let items = |path: &str, body: Json| {
            let rows = path.parse().unwrap();
            let rows = Rows { rows, columns: Vec::new(), children: BTreeMap::new() };
            let count = |items: Vec<&Json>| items.len();
            (rows.items(&body).map(count), rows.items_or_null(&body).map(count))
        };
        for path in ["a.b", "a.b[*]", "a.b[*].c[*]"] {
            assert_eq!(items(path, json!({"a": {"b": null}})), (Err("null"), Ok(0)));
            assert_eq!(items(path, json!({"a": {"b": []}})).1, Ok(0));
            assert_eq!(items(path, json!({"a": {"b": "x"}})).1, Err("a text"));
            for body in [json!({"a": {}}), json!({"a": null}), json!({})] {
                assert_eq!(items(path, body).1, Err("missing"));
            }
        }
        assert_eq!(items("", json!(null)), (Err("null"), Ok(0)));
    }

    #[test]
    fn errors_name_the_place() {
        let message = |json: Json| match mapping(json).and_then(|rows| rows.translator("t")) {
            Err(Error::Config(text)) => text,
            other => panic!("{other:?}"),
        };
        let text = message(json!({"columns": ["a", {"name": "b", "type": "number"}]}));
        assert!(text.starts_with("field 'tables', at columns[1]"), "{text}");
        assert!(text.contains("unknown variant `number`"), "{text}");
        let text = message(json!({"columns": ["a"], "colums": []}));
        assert!(text.contains("unknown field `colums`"), "{text}");
        let text = message(json!({"columns": [{"name": "b", "path": "a["}]}));
        assert!(text.contains("'a[' is no path"), "{text}");
        let text = message(json!({"columns": [{"name": "b", "path": "a[*]"}]}));
        assert!(text.contains("column 'b': the path $.a[*] selects many values"), "{text}");
        let child = json!({"t.c": {"rows": "x", "parent": "z", "value": "v"}});
        let text = message(json!({"columns": ["a"], "children": child}));
        assert!(text.contains("table 't.c' has parent key 'z', which is no column"), "{text}");
        let child = json!({"t.c": {"rows": "x", "parent": "a", "key": "k"}});
        let text = message(json!({"columns": ["a"], "children": child}));
        assert!(text.contains("give either 'columns'"), "{text}");
        let child = json!({"t c": {"rows": "x", "parent": "a", "value": "v"}});
        let text = message(json!({"columns": ["a"], "children": child}));
        assert!(text.contains("'t c' is no name for a table"), "{text}");
    }
}
