//! Translators written as JSON, in the original's form: for drivers that carry their declarations
//! in a file. Functions have no place in it.

use serde_json::{Map, Value as Json};

use super::{Field, Item, Translator, ValueRule, hdict, list, nested, value, vdict};
use crate::types::DataType;
use crate::{Error, Result};

/// What the kinds know, besides `translation-type`.
const HDICT: &[&str] = &[
    "table-name",
    "selector-type",
    "field-translators",
    "id-col",
    "parent-key",
    "parent-col-name",
    "parent-key-desc",
    "in-list",
];
const VDICT: &[&str] =
    &["table-name", "key-col", "val-col", "translator", "id-col", "parent-key", "parent-col-name"];
const LIST: &[&str] = &[
    "table-name",
    "val-col",
    "translator",
    "id-col",
    "parent-key",
    "parent-col-name",
    "parent-key-desc",
    "val-col-desc",
];
const VALUE: &[&str] = &["data-type", "nullable"];
const FIELD: &[&str] = &["fieldname", "translator", "col", "desc"];

impl Translator {
    /// Reads a translator and checks it.
    pub fn from_json(json: &Json) -> Result<Self> {
        let translator = table(json)?;
        translator.check()?;
        Ok(translator)
    }
}

fn table(json: &Json) -> Result<Translator> {
    match item(json)? {
        Item::Table(translator) => Ok(translator),
        Item::Value(_) => Err(wrong("a translator of kind VALUE has no table".into())),
    }
}

fn item(json: &Json) -> Result<Item> {
    let object = json.as_object().ok_or_else(|| wrong("a translator is an object".into()))?;
    match text(object, "translation-type")? {
        "HDICT" => {
            let object = Parameters::of(object, HDICT)?;
            object.text("selector-type")?;
            let fields = object.required("field-translators")?;
            let fields = fields.as_array().ok_or_else(|| object.wrong("field-translators"))?;
            let mut translator = hdict(object.text("table-name")?)
                .fields(fields.iter().map(field).collect::<Result<Vec<_>>>()?);
            if object.flag("in-list")?.unwrap_or(false) {
                translator = translator.in_list();
            }
            Ok(Item::Table(object.key(translator)?))
        }
        "VDICT" => {
            let object = Parameters::of(object, VDICT)?;
            let translator =
                vdict(object.text("table-name")?, object.text("key-col")?, object.text("val-col")?);
            Ok(Item::Table(object.key(object.elements(translator)?)?))
        }
        "LIST" => {
            let object = Parameters::of(object, LIST)?;
            let mut translator = list(object.text("table-name")?, object.text("val-col")?);
            if let Some(text) = object.optional_text("val-col-desc")? {
                translator = translator.val_desc(text);
            }
            Ok(Item::Table(object.key(object.elements(translator)?)?))
        }
        "VALUE" => {
            let object = Parameters::of(object, VALUE)?;
            let data_type = match object.optional_text("data-type")? {
                Some(name) => data_type(name)?,
                None => DataType::Scalar,
            };
            let not_nullable = object.flag("nullable")? == Some(false);
            Ok(Item::Value(ValueRule { extract: None, data_type, not_nullable }))
        }
        other => Err(wrong(format!("there is no kind '{other}'"))),
    }
}

fn field(json: &Json) -> Result<Field> {
    let object = json.as_object().ok_or_else(|| wrong("a field is an object".into()))?;
    let object = Parameters::of(object, FIELD)?;
    let name = object.text("fieldname")?;
    let mut field = match item(object.required("translator")?)? {
        Item::Table(translator) => nested(name, translator),
        item @ Item::Value(_) => Field { item, ..value(name) },
    };
    if let Some(column) = object.optional_text("col")? {
        field = field.col(column);
    }
    if let Some(text) = object.optional_text("desc")? {
        field = field.desc(text);
    }
    Ok(field)
}

fn data_type(name: &str) -> Result<DataType> {
    Ok(match name {
        "Scalar" => DataType::Scalar,
        "Str" => DataType::Str,
        "Bool" => DataType::Bool,
        "Int" => DataType::Int,
        "Float" => DataType::Float,
        "UUID" => DataType::Uuid,
        "IPAddress" => DataType::IpAddress,
        "IPNetwork" => DataType::IpNetwork,
        other => return Err(wrong(format!("there is no type '{other}'"))),
    })
}

/// The parameters of one translator or field.
struct Parameters<'a>(&'a Map<String, Json>);

impl<'a> Parameters<'a> {
    fn of(object: &'a Map<String, Json>, known: &[&str]) -> Result<Self> {
        match object.keys().find(|key| *key != "translation-type" && !known.contains(&key.as_str()))
        {
            None => Ok(Self(object)),
            Some(unknown) => Err(Self(object).error(&format!("unknown parameter '{unknown}'"))),
        }
    }

    fn required(&self, name: &str) -> Result<&'a Json> {
        self.0.get(name).ok_or_else(|| self.error(&format!("'{name}' is missing")))
    }

    fn text(&self, name: &str) -> Result<&'a str> {
        self.required(name)?.as_str().ok_or_else(|| self.wrong(name))
    }

    fn optional_text(&self, name: &str) -> Result<Option<&'a str>> {
        self.0.get(name).map(|value| value.as_str().ok_or_else(|| self.wrong(name))).transpose()
    }

    fn flag(&self, name: &str) -> Result<Option<bool>> {
        self.0.get(name).map(|value| value.as_bool().ok_or_else(|| self.wrong(name))).transpose()
    }

    fn key(&self, translator: Translator) -> Result<Translator> {
        match (self.optional_text("id-col")?, self.optional_text("parent-key")?) {
            (None, None) => Ok(translator),
            (Some(id), None) => Ok(translator.id_col(id)),
            (None, Some(key)) => {
                let mut translator = translator.parent_key(key);
                if let Some(column) = self.optional_text("parent-col-name")? {
                    translator = translator.parent_col(column);
                }
                if let Some(text) = self.optional_text("parent-key-desc")? {
                    translator = translator.parent_desc(text);
                }
                Ok(translator)
            }
            _ => Err(self.error("specify at most one of 'id-col' and 'parent-key'")),
        }
    }

    fn elements(&self, mut translator: Translator) -> Result<Translator> {
        let each = item(self.required("translator")?)?;
        if let Some(item) = translator.item_mut() {
            *item = each;
        }
        Ok(translator)
    }

    fn wrong(&self, name: &str) -> Error {
        self.error(&format!("'{name}' has the wrong type"))
    }

    /// An error that names the table or the field.
    fn error(&self, what: &str) -> Error {
        let name = self.0.get("table-name").or_else(|| self.0.get("fieldname"));
        match name.and_then(Json::as_str) {
            Some(name) => wrong(format!("'{name}': {what}")),
            None => wrong(what.to_owned()),
        }
    }
}

fn text<'a>(object: &'a Map<String, Json>, name: &str) -> Result<&'a str> {
    Parameters(object).text(name)
}

fn wrong(what: String) -> Error {
    Error::Config(format!("translator: {what}"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads() {
        let translator = Translator::from_json(&json!({
            "translation-type": "HDICT", "table-name": "t", "selector-type": "DICT_SELECTOR",
            "field-translators": [
                {"fieldname": "n", "col": "number", "desc": "A number.",
                 "translator": {"translation-type": "VALUE", "data-type": "Int", "nullable": false}},
                {"fieldname": "l", "translator": {
                    "translation-type": "LIST", "table-name": "t.l", "val-col": "v",
                    "parent-key": "number", "parent-key-desc": "That number.",
                    "translator": {"translation-type": "VALUE"}}},
            ],
        }))
        .unwrap();
        let tables = translator.tables();
        assert_eq!(tables[0].columns[0].name, "parent_key");
        assert_eq!(tables[0].columns[0].description.as_deref(), Some("That number."));
        assert_eq!(tables[1].columns[0].name, "number");
        assert!(!tables[1].columns[0].nullable);
    }

    #[test]
    fn refuses_and_names_the_place() {
        let value = json!({"translation-type": "VALUE"});
        let cases = [
            (json!([]), "translator: a translator is an object"),
            (json!({"translation-type": "TREE"}), "translator: there is no kind 'TREE'"),
            (value.clone(), "translator: a translator of kind VALUE has no table"),
            (
                json!({"translation-type": "LIST", "table-name": "t", "translator": value}),
                "translator: 't': 'val-col' is missing",
            ),
            (
                json!({"translation-type": "LIST", "table-name": "t", "val-col": "v", "id-col": "i",
                       "parent-key": "p", "translator": value}),
                "translator: 't': specify at most one of 'id-col' and 'parent-key'",
            ),
            (
                json!({"translation-type": "LIST", "table-name": "t", "odd": 1}),
                "translator: 't': unknown parameter 'odd'",
            ),
        ];
        for (json, message) in cases {
            assert_eq!(Translator::from_json(&json).unwrap_err(), Error::Config(message.into()));
        }
    }
}
