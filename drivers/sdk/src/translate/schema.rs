//! Which tables a translator makes, and whether it can work.

use std::collections::BTreeSet;

use super::{Field, Item, Key, Shape, Translator};
use crate::{Column, ColumnType, Error, Result, Table};

impl Translator {
    /// The tables, nested ones before the one they are nested in.
    pub fn tables(&self) -> Vec<Table> {
        let mut tables = Vec::new();
        self.add_tables(&[], &mut tables);
        for table in &mut tables {
            if table.name != self.table {
                table.root = Some(self.table.clone());
            }
        }
        tables
    }

    /// Checks what the types of this module cannot: that table names differ, that parent keys are
    /// columns of the parent, that elements of lists and mappings can be told apart.
    pub fn check(&self) -> Result<()> {
        let mut names = BTreeSet::new();
        for table in self.tables() {
            let mut columns = BTreeSet::new();
            if let Some(twice) = table.columns.iter().find(|column| !columns.insert(&column.name)) {
                return Err(wrong(&table.name, &format!("has two columns '{}'", twice.name)));
            }
            if names.contains(&table.name) {
                return Err(wrong(&table.name, "is declared twice"));
            }
            names.insert(table.name);
        }
        if self.has_parent_key() {
            return Err(wrong(&self.table, "has a parent key, but no parent"));
        }
        self.check_nested()
    }

    fn check_nested(&self) -> Result<()> {
        let own = self.columns(&[]);
        match &self.shape {
            Shape::Hdict { fields, .. } => {
                for field in fields {
                    let Item::Table(translator) = &field.item else { continue };
                    if let Key::Parent { key, .. } = &translator.key {
                        let id = matches!(&self.key, Key::Id(id) if id == key);
                        if id || !own.iter().any(|column| &column.name == key) {
                            return Err(wrong(
                                &translator.table,
                                &format!(
                                    "has parent key '{key}', which is no column of its parent"
                                ),
                            ));
                        }
                    }
                    translator.check_nested()?;
                }
            }
            Shape::Vdict { item, key_col, .. } => {
                let Item::Table(translator) = &**item else { return Ok(()) };
                match &translator.key {
                    Key::Id(_) => {}
                    Key::Parent { key, .. } if key == key_col => {}
                    _ => {
                        return Err(wrong(
                            &translator.table,
                            "needs an id, or the key column above it as parent key",
                        ));
                    }
                }
                translator.check_nested()?;
            }
            Shape::List { item, .. } => {
                let Item::Table(translator) = &**item else { return Ok(()) };
                if !translator.has_id() {
                    return Err(wrong(&translator.table, "is nested in a list and needs an id"));
                }
                translator.check_nested()?;
            }
        }
        Ok(())
    }

    fn add_tables(&self, parent: &[Column], tables: &mut Vec<Table>) {
        let columns = self.columns(parent);
        let nested: Vec<&Translator> = match &self.shape {
            Shape::Hdict { fields, .. } => fields.iter().filter_map(Field::nested).collect(),
            Shape::Vdict { item, .. } | Shape::List { item, .. } => {
                item.nested().into_iter().collect()
            }
        };
        for translator in nested {
            translator.add_tables(&columns, tables);
        }
        tables.push(Table { name: self.table.clone(), columns, root: None });
    }

    fn columns(&self, parent: &[Column]) -> Vec<Column> {
        let mut columns = Vec::new();
        match &self.key {
            Key::None => {}
            Key::Id(name) => columns.push(column(name, None, ColumnType::Text, false)),
            Key::Parent { key, column: name, description } => {
                let repeated = parent.iter().find(|column| &column.name == key);
                columns.push(column(
                    name,
                    description.clone(),
                    repeated.map_or(ColumnType::Any, |column| column.type_),
                    repeated.is_none_or(|column| column.nullable),
                ));
            }
        }
        match &self.shape {
            Shape::Hdict { fields, .. } => {
                for field in fields.iter().filter(|field| field.makes_column()) {
                    let (column_type, nullable) = field.item.column();
                    let description = field.description.clone();
                    columns.push(column(&field.column, description, column_type, nullable));
                }
            }
            // The original shows the text "None" where such tables have no description.
            Shape::Vdict { key_col, val_col, item } => {
                let none = || Some("None".to_owned());
                if let Some(first) = columns.first_mut() {
                    first.description = none();
                }
                columns.push(column(key_col, none(), ColumnType::Text, false));
                if !item.nested().is_some_and(Self::has_parent_key) {
                    let (column_type, nullable) = item.column();
                    columns.push(column(val_col, none(), column_type, nullable));
                }
            }
            Shape::List { val_col, description, item } => {
                let (column_type, nullable) = item.column();
                columns.push(column(val_col, description.clone(), column_type, nullable));
            }
        }
        columns
    }
}

impl Field {
    fn nested(&self) -> Option<&Translator> {
        self.item.nested()
    }
}

impl Item {
    fn nested(&self) -> Option<&Translator> {
        match self {
            Self::Value(_) => None,
            Self::Table(translator) => Some(translator),
        }
    }

    fn column(&self) -> (ColumnType, bool) {
        match self {
            Self::Value(rule) => (rule.data_type.column_type(), !rule.not_nullable),
            Self::Table(_) => (ColumnType::Text, false),
        }
    }
}

fn column(name: &str, description: Option<String>, type_: ColumnType, nullable: bool) -> Column {
    Column { name: name.into(), description, type_, nullable }
}

fn wrong(table: &str, what: &str) -> Error {
    Error::Config(format!("table '{table}' {what}"))
}

#[cfg(test)]
mod tests {
    use crate::translate::{hdict, list, nested, value, vdict};
    use crate::types::DataType;

    use super::*;

    fn names(translator: &Translator) -> Vec<(String, Vec<String>)> {
        let columns = |table: &Table| table.columns.iter().map(|c| c.name.clone()).collect();
        translator.tables().iter().map(|table| (table.name.clone(), columns(table))).collect()
    }

    #[test]
    fn nested_tables_come_first_and_columns_keep_their_order() {
        let translator = hdict("t").fields([
            value("a").col("aa").typed(DataType::Str),
            nested("l", list("t.l", "v").id_col("l_id")),
            nested("d", vdict("t.d", "k", "v").parent_key("aa").parent_col("t_aa")),
            value("b"),
        ]);
        let expected = [
            ("t.l", vec!["l_id", "v"]),
            ("t.d", vec!["t_aa", "k", "v"]),
            ("t", vec!["aa", "l", "b"]),
        ];
        let expected = expected.map(|(table, columns)| {
            (table.to_owned(), columns.into_iter().map(String::from).collect::<Vec<_>>())
        });
        assert_eq!(names(&translator), expected);
        translator.check().unwrap();

        let tables = translator.tables();
        assert_eq!(tables[1].columns[0].type_, ColumnType::Text, "that of the parent's column");
        assert_eq!(tables[1].root.as_deref(), Some("t"));
        assert_eq!(tables[2].root, None);
    }

    #[test]
    fn a_mapping_whose_values_know_its_key_has_no_value_column() {
        let inner = hdict("i").parent_key("k").fields([value("x")]);
        let translator = vdict("o", "k", "v").each(inner);
        translator.check().unwrap();
        assert_eq!(names(&translator)[1], ("o".into(), vec!["k".into()]));
    }

    #[test]
    fn what_cannot_work_is_refused() {
        let cases = [
            (
                hdict("t").fields([value("a"), nested("b", list("t", "v"))]),
                "table 't' is declared twice",
            ),
            (
                hdict("t").fields([value("a"), nested("b", list("u", "v").parent_key("b"))]),
                "table 'u' has parent key 'b', which is no column of its parent",
            ),
            (hdict("t").fields([value("a"), value("b").col("a")]), "table 't' has two columns 'a'"),
            (list("t", "v").each(hdict("u")), "table 'u' is nested in a list and needs an id"),
            (
                vdict("t", "k", "v").each(hdict("u").parent_key("v")),
                "table 'u' needs an id, or the key column above it as parent key",
            ),
            (list("t", "v").parent_key("x"), "table 't' has a parent key, but no parent"),
        ];
        for (translator, message) in cases {
            assert_eq!(translator.check().unwrap_err(), Error::Config(message.into()));
        }
    }
}
