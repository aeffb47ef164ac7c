use congress_table::Column;

use super::*;
use crate::bindings::sink::{Cells, TextCells};

fn tables() -> Arc<Tables> {
    let table = |name: &str, columns: &[&str], root: Option<&str>| TableSchema {
        name: name.into(),
        columns: columns
            .iter()
            .map(|name| Column {
                name: (*name).into(),
                description: None,
                column_type: Default::default(),
                nullable: true,
            })
            .collect(),
        root: root.map(Into::into),
    };
    Arc::new(Tables::new(vec![
        table("t", &["a", "b"], None),
        table("t.child", &["a"], Some("t")),
        table("u", &["a"], None),
    ]))
}

fn sink() -> Sink {
    Sink::new(tables(), &Limits::default(), None)
}

fn text(s: &str) -> types::Value {
    types::Value::Text(s.into())
}

fn int(i: i64) -> types::Value {
    types::Value::Integer(i)
}

fn row(cells: &[Value]) -> Row {
    cells.iter().cloned().collect()
}

fn operation(sink: Sink, table: &str) -> TableOperation {
    sink.finish().tables.into_iter().find(|(name, _)| &**name == table).unwrap().1
}

fn texts(items: &[&str]) -> Cells {
    let mut end = 0;
    let ends = items.iter().map(|s| {
        end += s.len() as u32;
        end
    });
    Cells::Texts(TextCells { ends: ends.collect(), heap: items.concat() })
}

#[test]
fn batches_add_up() {
    let mut sink = sink();
    sink.replace("t", vec![vec![int(1), text("x")]]).unwrap();
    sink.replace("t", vec![vec![int(2), types::Value::Null], vec![int(1), text("x")]]).unwrap();
    sink.replace("u", vec![]).unwrap();
    assert_eq!(sink.rows(), 3);
    let content = sink.finish();
    let rows = [row(&[1.into(), "x".into()]), row(&[2.into(), Value::Null])];
    assert_eq!(content.tables[0].1, TableOperation::Replace(rows.into_iter().collect()));
    assert_eq!(content.tables[1].1, TableOperation::Replace(Table::new().into()));
    assert_eq!(content.tables.len(), 2);
}

#[test]
fn columns_equal_rows() {
    let mut sink = sink();
    let column = |cells, nulls: &[u32]| ColumnData { cells, nulls: nulls.to_vec() };
    sink.replace_columns(
        "t",
        vec![
            column(texts(&["ä", "", "zz"]), &[1]),
            column(Cells::Values(vec![int(1), text("b"), types::Value::Boolean(true)]), &[]),
        ],
    )
    .unwrap();
    sink.replace_columns(
        "t",
        vec![column(Cells::Floats(vec![0.5]), &[]), column(Cells::Integers(vec![7]), &[0])],
    )
    .unwrap();
    let rows = [
        row(&["ä".into(), 1.into()]),
        row(&[Value::Null, "b".into()]),
        row(&["zz".into(), true.into()]),
        row(&[0.5.into(), Value::Null]),
    ];
    assert_eq!(operation(sink, "t"), TableOperation::Replace(rows.into_iter().collect()));
}

#[test]
fn bad_columns_are_refused_whole() {
    let mut sink = sink();
    let column = |cells, nulls: &[u32]| ColumnData { cells, nulls: nulls.to_vec() };
    let good = || column(Cells::Booleans(vec![true, false]), &[]);
    let heap = |heap: &str, ends: &[u32]| {
        Cells::Texts(TextCells { heap: heap.into(), ends: ends.to_vec() })
    };
    for (bad, problem) in [
        (column(Cells::Booleans(vec![true]), &[]), "has 1 cells"),
        (column(Cells::Integers(vec![1, 2]), &[1, 0]), "do not ascend"),
        (column(Cells::Integers(vec![1, 2]), &[1, 1]), "do not ascend"),
        (column(Cells::Integers(vec![1, 2]), &[2]), "nulls beyond"),
        (column(heap("abc", &[2, 1]), &[]), "ends at byte 1"),
        (column(heap("abc", &[2, 4]), &[]), "ends at byte 4"),
        (column(heap("äb", &[1, 3]), &[]), "inside a character"),
        (column(heap("abc", &[1, 2]), &[]), "1 bytes of text after"),
    ] {
        match sink.replace_columns("t", vec![good(), bad]) {
            Err(SinkError::BadRow(text)) => {
                assert!(text.contains(problem) && text.contains("'b'"), "{text}");
            }
            other => panic!("{problem}: {other:?}"),
        }
    }
    assert!(matches!(sink.replace_columns("t", vec![good()]), Err(SinkError::BadRow(_))));
    assert_eq!(sink.rows(), 0);
    assert!(sink.finish().tables.is_empty());
}

#[test]
fn bad_rows_and_tables_are_refused_whole() {
    let mut sink = sink();
    let rows = vec![vec![int(1), int(2)], vec![int(1)]];
    match sink.replace("t", rows) {
        Err(SinkError::BadRow(text)) => assert_eq!(
            text,
            "row 1 of the batch for table 't' has 1 cells, but the table has 2 columns"
        ),
        other => panic!("{other:?}"),
    }
    assert!(matches!(sink.replace("nope", vec![]), Err(SinkError::UnknownTable(_))));
    assert!(sink.spoilt().is_none());
    assert!(sink.finish().tables.is_empty());
}

#[test]
fn a_reached_limit_spoils_the_call() {
    let limits = Limits { rows_per_call: 2, ..Limits::default() };
    let mut sink = Sink::new(tables(), &limits, None);
    sink.replace("u", vec![vec![int(1)], vec![int(2)]]).unwrap();
    assert!(matches!(sink.replace("u", vec![vec![int(3)]]), Err(SinkError::Limit(_))));
    assert!(sink.spoilt().unwrap().contains("`rows_per_call`"));

    let limits = Limits { row_bytes_per_call: 1000, ..Limits::default() };
    let mut sink = Sink::new(tables(), &limits, None);
    let long = "x".repeat(1000);
    assert!(matches!(sink.replace("u", vec![vec![text(&long)]]), Err(SinkError::Limit(_))));
    assert!(sink.spoilt().unwrap().contains("`row_bytes_per_call`"));
}

/// Whatever the order of patches, the sum of them does what they do one by one.
#[test]
fn patches_compose() {
    let r = |i: i64| vec![int(i)];
    let value = |i: i64| row(&[i.into()]);
    let steps: [(&[i64], &[i64]); 4] =
        [(&[1, 2], &[9]), (&[3], &[2]), (&[2, 9], &[]), (&[], &[1, 3])];
    let mut sink = sink();
    let mut expected: Table = [value(9), value(3), value(5)].into_iter().collect();
    let mut actual = expected.clone();
    for (added, removed) in steps {
        let rows = |list: &[i64]| list.iter().map(|i| r(*i)).collect::<Vec<_>>();
        sink.patch("u", rows(added), rows(removed)).unwrap();
        removed.iter().for_each(|i| _ = expected.remove(&value(*i)));
        added.iter().for_each(|i| _ = expected.insert(value(*i)));
    }
    let TableOperation::Patch(delta) = operation(sink, "u") else { panic!("not a patch") };
    actual.apply(&delta);
    assert_eq!(actual, expected);
}

#[test]
fn patches_and_replacements_mix() {
    let mut sink = sink();
    sink.patch("u", vec![vec![int(1)]], vec![]).unwrap();
    sink.replace("u", vec![vec![int(2)], vec![int(3)]]).unwrap();
    sink.patch("u", vec![vec![int(4)]], vec![vec![int(3)]]).unwrap();
    let rows = [row(&[2.into()]), row(&[4.into()])];
    assert_eq!(operation(sink, "u"), TableOperation::Replace(rows.into_iter().collect()));
}

#[test]
fn failed_roots_take_their_children_along() {
    let mut sink = sink();
    sink.replace("t.child", vec![vec![int(1)]]).unwrap();
    sink.replace("u", vec![vec![int(1)]]).unwrap();
    assert!(sink.fail("t", DriverError::Protocol("404".into())));
    assert!(!sink.fail("t.child", DriverError::Protocol("404".into())));
    assert!(!sink.fail("nope", DriverError::Protocol("404".into())));
    sink.replace("t", vec![vec![int(1), int(2)]]).unwrap();
    let content = sink.finish();
    assert_eq!(content.tables.iter().map(|(t, _)| &**t).collect::<Vec<_>>(), ["u"]);
    assert_eq!(content.failed, [("t".into(), DriverError::Protocol("404".into()))]);
}

#[test]
fn a_row_that_no_message_could_carry_is_refused() {
    let mut sink = sink();
    let half = "x".repeat(MAX_ROW_BYTES / 2);
    let most = half.get(..MAX_ROW_BYTES / 2 - 64).unwrap();
    let too_long = |error: SinkError| match error {
        SinkError::BadRow(text) => assert!(text.contains("row 1 of the batch"), "{text}"),
        other => panic!("{other:?}"),
    };
    let longer = format!("{half}x");
    let rows = |b: &str| vec![vec![text(most), text(most)], vec![text(&half), text(b)]];
    too_long(sink.replace("t", rows(&longer)).unwrap_err());
    too_long(sink.patch("t", rows(&longer), vec![]).unwrap_err());
    let columns = |b: &str| {
        [&[most, &half], &[most, b]]
            .map(|items| ColumnData { cells: texts(items), nulls: vec![] })
            .into_iter()
            .collect()
    };
    too_long(sink.replace_columns("t", columns(&longer)).unwrap_err());
    sink.replace_columns("t", columns(most)).unwrap();
    sink.replace("t", rows(most)).unwrap();
}
