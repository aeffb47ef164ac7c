//! Bounded fuzzing of the host's side of the boundary: arbitrary descriptions, rows and columns,
//! as a guest could hand them over. What the sink makes of them is compared with a model that
//! decodes cell by cell.

use std::sync::Arc;

use congress_table::{Column, ColumnType, NewContent, Row, Table, TableSchema, Value};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

use crate::bindings::sink::{Cells, ColumnData, TextCells};
use crate::bindings::{driver as wit, types};
use crate::sink::{Sink, Tables};
use crate::{Limits, TableOperation, describe};

fn config() -> ProptestConfig {
    ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() }
}

// --- descriptions ---------------------------------------------------------------------------

/// Names that are sound, odd, empty or long.
fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => "[a-c]{1,2}",
        1 => "[a-z_.{}-]{0,12}",
        1 => any::<String>(),
        1 => Just("x".repeat(300)),
    ]
}

fn table() -> impl Strategy<Value = types::Table> {
    let column = (name(), option::of(any::<String>()), any::<bool>()).prop_map(
        |(name, description, nullable)| types::Column {
            name,
            description,
            type_: types::ColumnType::Text,
            nullable,
        },
    );
    (name(), vec(column, 0..4), option::of(name())).prop_map(|(name, columns, root)| types::Table {
        name,
        columns,
        root,
    })
}

fn field() -> impl Strategy<Value = wit::ConfigField> {
    let type_ = prop_oneof![
        Just(wit::FieldType::Text),
        Just(wit::FieldType::Integer),
        Just(wit::FieldType::Float),
        Just(wit::FieldType::Boolean),
        Just(wit::FieldType::Json),
    ];
    (name(), any::<String>(), type_, any::<(bool, bool)>(), option::of(name())).prop_map(
        |(name, description, type_, (required, secret), default)| wit::ConfigField {
            name,
            description,
            type_,
            required,
            secret,
            default,
        },
    )
}

fn action() -> impl Strategy<Value = wit::Action> {
    let argument = (name(), any::<String>(), any::<bool>())
        .prop_map(|(name, description, required)| wit::Argument { name, description, required });
    (name(), any::<String>(), vec(argument, 0..3), any::<bool>()).prop_map(
        |(name, description, arguments, takes_others)| wit::Action {
            name,
            description,
            arguments,
            takes_others,
        },
    )
}

fn description() -> impl Strategy<Value = wit::Metadata> {
    let session = prop_oneof![
        Just(wit::SessionKind::None),
        Just(wit::SessionKind::Keystone),
        Just(wit::SessionKind::Configured),
    ];
    let pattern = prop_oneof![name(), Just("{a}".to_owned()), Just("https://{b}:{a}/".to_owned())];
    (
        (name(), any::<String>(), any::<String>()),
        vec(field(), 0..5),
        vec(table(), 0..4),
        vec(action(), 0..3),
        session,
        vec(pattern.clone(), 0..3),
        vec(pattern, 0..3),
    )
        .prop_map(
            |((id, version, description), config, tables, actions, session, hosts, files)| {
                wit::Metadata {
                    id,
                    version,
                    description,
                    config,
                    tables,
                    actions,
                    feed: wit::Feed::Poll,
                    session,
                    hosts,
                    files,
                }
            },
        )
}

proptest! {
    #![proptest_config(config())]

    /// Whatever passes is consistent, and whatever does not has a sentence of bounded length.
    #[test]
    fn arbitrary_descriptions(raw in description()) {
        match describe::metadata(raw, &Limits::default()) {
            Err(error) => {
                let text = error.to_string();
                prop_assert!(text.len() < 2048 && !text.contains('\n'), "{}", text);
            }
            Ok(metadata) => {
                for table in &metadata.tables {
                    prop_assert!(!table.columns.is_empty());
                    let root = metadata.tables.iter().find(|t| t.name == table.root_name());
                    prop_assert!(root.is_some_and(|root| root.root.is_none()));
                }
                // A configuration can be checked against it, whatever it says.
                let mut values = crate::ConfigValues::new();
                for field in &metadata.config {
                    values.insert(field.name.clone(), "1".into());
                }
                if let Ok(settings) = metadata.check(&values) {
                    let _ = crate::net::Grants::new(&metadata.hosts, &settings);
                    let _ = settings.for_guest(metadata.session);
                }
            }
        }
    }
}

// --- rows -----------------------------------------------------------------------------------

/// Something that a guest does with its sink.
#[derive(Clone, Debug)]
enum Step {
    Replace(usize, Vec<types::Row>),
    Columns(usize, Vec<ColumnData>),
    Patch(usize, Vec<types::Row>, Vec<types::Row>),
}

/// The tables' widths; one more name is nobody's.
const WIDTHS: [usize; 2] = [2, 1];

fn table_name(index: usize) -> String {
    format!("t{index}")
}

fn cell() -> impl Strategy<Value = types::Value> {
    prop_oneof![
        Just(types::Value::Null),
        any::<bool>().prop_map(types::Value::Boolean),
        (0..3i64).prop_map(types::Value::Integer),
        any::<f64>().prop_map(types::Value::Float),
        "[aé]{0,2}".prop_map(types::Value::Text),
    ]
}

fn rows() -> impl Strategy<Value = Vec<types::Row>> {
    // Mostly of one width, so that many batches fit.
    let of = |width: usize| vec(vec(cell(), width), 0..4);
    prop_oneof![4 => of(2), 4 => of(1), 1 => vec(vec(cell(), 0..4), 0..4)]
}

/// Texts laid end to end, mostly well.
fn texts() -> impl Strategy<Value = Cells> {
    let sound = vec("[aé]{0,2}", 0..4).prop_map(|texts| {
        let ends = texts.iter().scan(0, |end, text| {
            *end += text.len() as u32;
            Some(*end)
        });
        TextCells { ends: ends.collect(), heap: texts.concat() }
    });
    let odd = ("[aé]{0,4}", vec(0..6u32, 0..4)).prop_map(|(heap, ends)| TextCells { heap, ends });
    let huge = Just(TextCells { heap: "a".into(), ends: vec![1, u32::MAX] });
    prop_oneof![5 => sound, 2 => odd, 1 => huge].prop_map(Cells::Texts)
}

fn column() -> impl Strategy<Value = ColumnData> {
    let cells = prop_oneof![
        vec(any::<bool>(), 0..4).prop_map(Cells::Booleans),
        vec(any::<i64>(), 0..4).prop_map(Cells::Integers),
        vec(any::<f64>(), 0..4).prop_map(Cells::Floats),
        texts(),
        vec(cell(), 0..4).prop_map(Cells::Values),
    ];
    let nulls = prop_oneof![4 => Just(vec![]), 2 => vec(0..4u32, 0..3), 1 => Just(vec![u32::MAX])];
    (cells, nulls).prop_map(|(cells, nulls)| ColumnData { cells, nulls })
}

fn step() -> impl Strategy<Value = Step> {
    let index = || 0..WIDTHS.len() + 1;
    prop_oneof![
        (index(), rows()).prop_map(|(index, rows)| Step::Replace(index, rows)),
        (index(), vec(column(), 0..3)).prop_map(|(index, data)| Step::Columns(index, data)),
        (index(), rows(), rows()).prop_map(|(index, added, gone)| Step::Patch(index, added, gone)),
    ]
}

fn value(value: &types::Value) -> Value {
    match value {
        types::Value::Null => Value::Null,
        types::Value::Boolean(b) => Value::Bool(*b),
        types::Value::Integer(i) => Value::Int(*i),
        types::Value::Float(x) => Value::Float(*x),
        types::Value::Text(text) => Value::text(text.as_str()),
    }
}

/// The cells of one column, decoded by the letter of the contract; none if they break it.
fn decode(column: &ColumnData) -> Option<Vec<Value>> {
    let mut cells: Vec<Value> = match &column.cells {
        Cells::Booleans(list) => list.iter().map(|b| Value::Bool(*b)).collect(),
        Cells::Integers(list) => list.iter().map(|i| Value::Int(*i)).collect(),
        Cells::Floats(list) => list.iter().map(|x| Value::Float(*x)).collect(),
        Cells::Values(list) => list.iter().map(value).collect(),
        Cells::Texts(TextCells { heap, ends }) => {
            let mut start = 0;
            let mut texts = Vec::new();
            for end in ends {
                texts.push(Value::text(heap.get(start..*end as usize)?));
                start = *end as usize;
            }
            (start == heap.len()).then_some(texts)?
        }
    };
    let mut before = None;
    for null in &column.nulls {
        if before.is_some_and(|before| before >= *null) {
            return None;
        }
        before = Some(*null);
        *cells.get_mut(*null as usize)? = Value::Null;
    }
    Some(cells)
}

/// The rows of a batch; none if it is to be refused.
fn by_rows(index: usize, rows: &[types::Row]) -> Option<Vec<Vec<Value>>> {
    let width = *WIDTHS.get(index)?;
    rows.iter().map(|r| (r.len() == width).then(|| r.iter().map(value).collect())).collect()
}

fn by_columns(index: usize, data: &[ColumnData]) -> Option<Vec<Vec<Value>>> {
    if data.len() != *WIDTHS.get(index)? {
        return None;
    }
    let columns: Vec<Vec<Value>> = data.iter().map(decode).collect::<Option<_>>()?;
    let length = columns.first()?.len();
    if columns.iter().any(|column| column.len() != length) {
        return None;
    }
    Some((0..length).map(|i| columns.iter().map(|column| column[i].clone()).collect()).collect())
}

fn insert(table: &mut Table, rows: Vec<Vec<Value>>) {
    for row in rows {
        table.insert(row.into_iter().collect());
    }
}

/// What the sink ought to hold for a table: whether it replaces, the rows to go, the rows to come.
#[derive(Default)]
struct Model {
    replaces: bool,
    removed: Table,
    added: Table,
}

impl Model {
    fn replace(&mut self, rows: Vec<Vec<Value>>) {
        if !std::mem::replace(&mut self.replaces, true) {
            self.added = Table::new();
        }
        insert(&mut self.added, rows);
    }

    fn patch(&mut self, added: Vec<Vec<Value>>, removed: Vec<Vec<Value>>) {
        for row in removed {
            let row: Row = row.into_iter().collect();
            self.added.remove(&row);
            if !self.replaces {
                self.removed.insert(row);
            }
        }
        insert(&mut self.added, added);
    }
}

fn tables() -> Arc<Tables> {
    let schema = |index: usize| TableSchema {
        name: table_name(index),
        columns: (0..WIDTHS[index])
            .map(|i| Column {
                name: format!("c{i}"),
                description: None,
                column_type: ColumnType::Any,
                nullable: true,
            })
            .collect(),
        root: None,
    };
    Arc::new(Tables::new((0..WIDTHS.len()).map(schema).collect()))
}

proptest! {
    #![proptest_config(config())]

    /// Each batch is taken whole or refused whole, as the contract says, and what the sink holds
    /// in the end is what the batches that it took gave.
    #[test]
    fn arbitrary_rows_and_columns(steps in vec(step(), 0..8)) {
        let mut sink = Sink::new(tables(), &Limits::default(), None);
        let mut models: Vec<Option<Model>> = WIDTHS.iter().map(|_| None).collect();
        for step in steps {
            let shown = format!("{step:?}");
            let taken = match step {
                Step::Replace(index, rows) => {
                    let expected = by_rows(index, &rows);
                    let taken = expected.is_some();
                    if let Some(rows) = expected {
                        models[index].get_or_insert_default().replace(rows);
                    }
                    (taken, sink.replace(&table_name(index), rows))
                }
                Step::Columns(index, data) => {
                    let expected = by_columns(index, &data);
                    let taken = expected.is_some();
                    if let Some(rows) = expected {
                        models[index].get_or_insert_default().replace(rows);
                    }
                    (taken, sink.replace_columns(&table_name(index), data))
                }
                Step::Patch(index, added, removed) => {
                    let expected = by_rows(index, &added).zip(by_rows(index, &removed));
                    let taken = expected.is_some();
                    if let Some((added, removed)) = expected {
                        models[index].get_or_insert_default().patch(added, removed);
                    }
                    (taken, sink.patch(&table_name(index), added, removed))
                }
            };
            prop_assert_eq!(taken.0, taken.1.is_ok(), "{}: {:?}", shown, taken.1);
        }
        prop_assert!(sink.spoilt().is_none());
        let content = sink.finish();
        for (index, model) in models.into_iter().enumerate() {
            let name = table_name(index);
            let found = content.tables.iter().find(|(table, _)| **table == *name);
            match (model, found.map(|(_, operation)| operation)) {
                (None, None) => {}
                (Some(model), Some(TableOperation::Replace(table))) if model.replaces => {
                    prop_assert_eq!(&NewContent::from(model.added), table);
                }
                (Some(model), Some(TableOperation::Patch(delta))) if !model.replaces => {
                    prop_assert_eq!(&model.added, &delta.added.iter().cloned().collect::<Table>());
                    let removed: Table = delta.removed.iter().cloned().collect();
                    prop_assert_eq!(&model.removed, &removed);
                }
                (_, found) => prop_assert!(false, "table {}: {:?}", name, found),
            }
        }
    }
}
