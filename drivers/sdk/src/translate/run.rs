//! From JSON to rows.

use std::collections::BTreeMap;

use serde_json::Value as Json;

use super::{Field, Item, Key, Shape, Translator, ValueRule};
use crate::{Error, Result, Row, Value, hash, json};

/// Where rows go.
pub trait Output {
    /// Takes a row of a table.
    fn row(&mut self, table: &str, row: Row) -> Result<()>;

    /// Hears of a value that does not fit the declared type of its column. It stays as it is.
    fn misfit(&mut self, table: &str, column: &str, value: &Value) {
        let _ = (table, column, value);
    }
}

/// Rows by table, all in memory.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Collected(pub BTreeMap<String, Vec<Row>>);

impl Output for Collected {
    fn row(&mut self, table: &str, row: Row) -> Result<()> {
        match self.0.get_mut(table) {
            Some(rows) => rows.push(row),
            None => drop(self.0.insert(table.to_owned(), vec![row])),
        }
        Ok(())
    }
}

/// The columns of a row that nested tables may repeat.
type Parent<'a> = &'a [(&'a str, &'a Value)];

const NULL: &Json = &Json::Null;

impl Translator {
    /// Translates a list of objects of this kind.
    pub fn translate<'a>(
        &self,
        objects: impl IntoIterator<Item = &'a Json>,
        output: &mut dyn Output,
    ) -> Result<()> {
        let Some(extract) = &self.extract_objects else {
            return objects.into_iter().try_for_each(|object| {
                self.one(object, &[], output)?;
                Ok(())
            });
        };
        let objects = (extract.0)(&Json::Array(objects.into_iter().cloned().collect()));
        for object in self.elements(&objects)? {
            self.one(object, &[], output)?;
        }
        Ok(())
    }

    /// Translates a member of an object: null makes no rows, but an id nonetheless.
    fn member(&self, json: &Json, parent: Parent<'_>, output: &mut dyn Output) -> Result<Value> {
        let extracted;
        let json = match &self.extract_objects {
            Some(extract) if !json.is_null() => {
                extracted = (extract.0)(json);
                &extracted
            }
            _ => json,
        };
        if json.is_null() {
            return Ok(self.id(|| hash::of_values(&[])));
        }
        self.one(json, parent, output)
    }

    /// Translates one object and answers its id, or null if it has none.
    fn one(&self, json: &Json, parent: Parent<'_>, output: &mut dyn Output) -> Result<Value> {
        match &self.shape {
            Shape::Hdict { fields, in_list: false } => self.row(fields, json, parent, output),
            Shape::Hdict { fields, in_list: true } => {
                // A list of objects with ids has no id of its own; the last one's stands for it.
                let mut id = self.id(|| hash::of_values(&[]));
                for item in self.elements(json)? {
                    id = self.row(fields, item, parent, output)?;
                }
                Ok(id)
            }
            Shape::List { val_col, item, .. } => {
                let mut values = Vec::new();
                for element in self.elements(json)? {
                    values.push(self.element(item, val_col, element, output)?);
                }
                let id = self.id(|| hash::of_values(&values));
                let first = self.first(&id, parent);
                for value in values {
                    output.row(&self.table, first.iter().cloned().chain([value]).collect())?;
                }
                Ok(id)
            }
            Shape::Vdict { key_col, val_col, item } => {
                let members = json.as_object().ok_or_else(|| self.unlike("an object", json))?;
                if let Item::Table(inner) = &**item
                    && inner.has_parent_key()
                {
                    return self.keys(inner, key_col, members, parent, output);
                }
                let mut pairs = Vec::new();
                for (key, member) in members {
                    let value = self.element(item, val_col, member, output)?;
                    pairs.push((Value::Text(key.clone()), value));
                }
                let id = self.id(|| hash::of_pairs(pairs.iter().map(|(k, v)| (k, v))));
                let first = self.first(&id, parent);
                for (key, value) in pairs {
                    output.row(&self.table, first.iter().cloned().chain([key, value]).collect())?;
                }
                Ok(id)
            }
        }
    }

    /// An object as a row.
    fn row(
        &self,
        fields: &[Field],
        object: &Json,
        parent: Parent<'_>,
        output: &mut dyn Output,
    ) -> Result<Value> {
        if !fields.iter().all(|field| field.path.starts_at(object)) {
            return Err(self.unlike("an object", object));
        }
        // Cells come first, whatever their place: nested tables may repeat any of them.
        let mut cells: Vec<Option<Value>> = vec![None; fields.len()];
        for (field, cell) in fields.iter().zip(&mut cells) {
            if !field.needs_parent_key() {
                let value = self.field(field, object, &[], output)?;
                *cell = field.makes_column().then_some(value);
            }
        }
        if fields.iter().any(Field::needs_parent_key) {
            let repeated = self.first(&Value::Null, parent);
            let mut own: Vec<(&str, &Value)> = Vec::with_capacity(fields.len() + 1);
            if let (Key::Parent { column, .. }, Some(value)) = (&self.key, repeated.as_ref()) {
                own.push((column, value));
            }
            for (field, cell) in fields.iter().zip(&cells) {
                own.extend(cell.as_ref().map(|cell| (field.column.as_str(), cell)));
            }
            for field in fields.iter().filter(|field| field.needs_parent_key()) {
                self.field(field, object, &own, output)?;
            }
        }
        let cells: Vec<Value> = cells.into_iter().flatten().collect();
        let id = match &self.key {
            // A repeated column counts as a cell; but a table has either that or an id.
            Key::Id(_) => Value::Text(hash::of_values(&cells)),
            Key::None | Key::Parent { .. } => Value::Null,
        };
        let first = self.first(&id, parent);
        output.row(&self.table, first.into_iter().chain(cells).collect())?;
        Ok(id)
    }

    fn field(
        &self,
        field: &Field,
        object: &Json,
        own: Parent<'_>,
        output: &mut dyn Output,
    ) -> Result<Value> {
        let found = field.path.get(object);
        let json = found.or(field.absent.as_ref()).unwrap_or(NULL);
        match &field.item {
            Item::Value(rule) => Ok(rule.cell(json, &self.table, &field.column, output)),
            Item::Table(inner) => inner.member(json, own, output),
        }
    }

    /// An element of a list or a mapping: its cell, or the id of what it became.
    fn element(
        &self,
        item: &Item,
        column: &str,
        json: &Json,
        output: &mut dyn Output,
    ) -> Result<Value> {
        match item {
            Item::Value(rule) => Ok(rule.cell(json, &self.table, column, output)),
            Item::Table(inner) => inner.member(json, &[], output),
        }
    }

    /// A mapping whose values are rows that repeat its keys.
    fn keys(
        &self,
        inner: &Self,
        key_col: &str,
        members: &serde_json::Map<String, Json>,
        parent: Parent<'_>,
        output: &mut dyn Output,
    ) -> Result<Value> {
        let keys: Vec<Value> = members.keys().map(|key| Value::Text(key.clone())).collect();
        for (key, member) in keys.iter().zip(members.values()) {
            inner.member(member, &[(key_col, key)], output)?;
        }
        let id = self.id(|| hash::of_values(&keys));
        let first = self.first(&id, parent);
        for key in keys {
            output.row(&self.table, first.iter().cloned().chain([key]).collect())?;
        }
        Ok(id)
    }

    fn id(&self, make: impl FnOnce() -> String) -> Value {
        if self.has_id() { Value::Text(make()) } else { Value::Null }
    }

    /// The value of the first column, if it is an id or repeats the parent's.
    fn first(&self, id: &Value, parent: Parent<'_>) -> Option<Value> {
        match &self.key {
            Key::None => None,
            Key::Id(_) => Some(id.clone()),
            Key::Parent { key, .. } => {
                let value = parent.iter().find(|(column, _)| column == key);
                Some(value.map_or(Value::Null, |(_, value)| (*value).clone()))
            }
        }
    }

    fn elements<'a>(&self, json: &'a Json) -> Result<&'a [Json]> {
        json.as_array().map(Vec::as_slice).ok_or_else(|| self.unlike("a list", json))
    }

    fn unlike(&self, expected: &str, found: &Json) -> Error {
        let found = json::kind(found);
        Error::Protocol(format!("table '{}': expected {expected}, found {found}", self.table))
    }
}

impl ValueRule {
    fn cell(&self, json: &Json, table: &str, column: &str, output: &mut dyn Output) -> Value {
        let value = match &self.extract {
            Some(extract) => json::cell(&(extract.0)(json)),
            None => json::cell(json),
        };
        self.data_type.marshal(value).unwrap_or_else(|value| {
            output.misfit(table, column, &value);
            value
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::translate::{hdict, list, nested, value, vdict};
    use crate::types::DataType;

    use super::*;

    fn run(translator: &Translator, objects: &[Json]) -> BTreeMap<String, Vec<Row>> {
        translator.check().unwrap();
        let mut output = Collected::default();
        translator.translate(objects, &mut output).unwrap();
        output.0
    }

    fn row<const N: usize>(cells: [Json; N]) -> Row {
        cells.iter().map(json::cell).collect()
    }

    #[test]
    fn objects_with_ids() {
        let translator = hdict("t").id_col("id").fields([value("a"), value("b").col("bb")]);
        let tables = run(&translator, &[json!({"a": 123, "b": 456}), json!({"a": 1})]);
        assert_eq!(
            tables["t"],
            [
                row([json!("6855e6e2e6a1c9488b85739deca0a8fa"), json!(123), json!(456)]),
                row([json!("f6fdc2ca88156d0a9f9c0e7ca798f8fa"), json!(1), json!(null)]),
            ]
        );
    }

    #[test]
    fn a_missing_list_has_the_id_of_the_empty_one() {
        let translator =
            hdict("t").fields([value("n"), nested("l", list("t.l", "v").id_col("id"))]);
        let objects = [json!({"n": "y", "l": []}), json!({"n": "z", "l": null}), json!({"n": "w"})];
        let tables = run(&translator, &objects);
        for row in &tables["t"] {
            assert_eq!(row[1], "d751713988987e9331980363e24189ce".into());
        }
        assert!(!tables.contains_key("t.l"));
    }

    #[test]
    fn lists_in_lists() {
        let inner = list("i", "v").id_col("id");
        let translator = list("o", "v").id_col("id").each(inner);
        let tables = run(&translator, &[json!([[1, 2], [3]])]);
        assert_eq!(tables["i"].len(), 3);
        assert_eq!(tables["o"][0][0], "d34b962ec6888f71fd884bfff0560c03".into());
        assert_eq!(tables["o"][0][1], "04cd0e0151f352e7fd414d694a604136".into());
    }

    #[test]
    fn parent_keys_name_columns_also_those_declared_later() {
        let things = hdict("th").parent_key("tid").in_list().fields([value("type")]);
        let pairs = vdict("t.d", "k", "v").parent_key("tid").parent_col("t_id");
        let translator = hdict("t").fields([
            nested("things", things),
            nested("d", pairs),
            value("id").col("tid"),
        ]);
        let objects = [json!({"id": 7, "things": [{"type": 1}, {}], "d": {"p": 1, "q": null}})];
        let tables = run(&translator, &objects);
        assert_eq!(tables["t"], [row([json!(7)])]);
        assert_eq!(tables["th"], [row([json!(7), json!(1)]), row([json!(7), json!(null)])]);
        assert_eq!(
            tables["t.d"],
            [row([json!(7), json!("p"), json!(1)]), row([json!(7), json!("q"), json!(null)])]
        );
    }

    #[test]
    fn a_mapping_of_objects_that_repeat_its_keys() {
        let inner = hdict("i").parent_key("k").fields([value("x")]);
        let tables = run(&vdict("o", "k", "v").each(inner), &[json!({"a": {"x": 1}})]);
        assert_eq!(tables["o"], [row([json!("a")])]);
        assert_eq!(tables["i"], [row([json!("a"), json!(1)])]);
    }

    #[test]
    fn extraction_absence_and_types() {
        let translator = hdict("t").fields([
            value("a").extract(|a| a["b"].clone()),
            value("c").typed(DataType::Float),
            value("d").absent("N/A"),
            value("e").at("x.y[1]".parse().unwrap()),
            nested("l", list("t.l", "v").parent_key("d").extract_objects(|l| l["deep"].clone())),
        ]);
        let objects = [json!({
            "a": {"b": 1}, "c": 2, "x": {"y": [0, [1, "two"]]}, "l": {"deep": [5]}
        })];
        let tables = run(&translator, &objects);
        assert_eq!(tables["t"], [vec![1.into(), 2.0.into(), "N/A".into(), "[1, 'two']".into()]]);
        assert_eq!(tables["t.l"], [row([json!("N/A"), json!(5)])]);
    }

    #[test]
    fn misfits_are_told_and_stay() {
        struct Misfits(Vec<String>);
        impl Output for Misfits {
            fn row(&mut self, _: &str, row: Row) -> Result<()> {
                assert_eq!(row, ["x".into()]);
                Ok(())
            }
            fn misfit(&mut self, table: &str, column: &str, value: &Value) {
                assert_eq!(value, &"x".into());
                self.0.push(format!("{table}.{column}"));
            }
        }
        let mut output = Misfits(Vec::new());
        let translator = hdict("t").fields([value("n").typed(DataType::Int)]);
        translator.translate(&[json!({"n": "x"})], &mut output).unwrap();
        assert_eq!(output.0, ["t.n"]);
    }

    #[test]
    fn the_wrong_shape_is_an_error() {
        let translator = hdict("t").fields([nested("l", list("t.l", "v"))]);
        let error = |object: Json| {
            translator.translate(&[object], &mut Collected::default()).unwrap_err().to_string()
        };
        assert!(error(json!({"l": 5})).contains("table 't.l': expected a list, found a number"));
        assert!(error(json!([])).contains("table 't': expected an object, found a list"));
    }
}
