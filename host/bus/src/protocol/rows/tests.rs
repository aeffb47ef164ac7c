use super::*;

fn row(cells: &[Value]) -> Row {
    cells.into()
}

/// The chunks that `write` makes.
fn chunks<'a>(write: impl FnOnce(&mut ChunkWriter<'a>)) -> Vec<Vec<u8>> {
    let chunks = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let all = chunks.clone();
    let mut writer = ChunkWriter::new(move |chunk, _, _| all.borrow_mut().push(chunk.to_vec()));
    write(&mut writer);
    writer.finish();
    chunks.take()
}

fn merge(chunks: &[Vec<u8>]) -> Vec<Part> {
    let mut parts: Vec<Part> = Vec::new();
    for chunk in chunks {
        for part in read(chunk).unwrap().parts {
            match parts.last_mut() {
                Some(last) if last.name == part.name => {
                    last.added.extend(part.added);
                    last.removed.extend(part.removed);
                    last.digest = last.digest.or(part.digest);
                }
                _ => parts.push(part),
            }
        }
    }
    parts
}

#[test]
fn every_kind_of_cell_comes_back_as_it_was() {
    let text = "ü".repeat(300);
    let rows = [
        row(&[Value::Null, Value::Bool(true), Value::Bool(false)]),
        row(&[Value::Int(0), Value::Int(i64::MAX), Value::Int(i64::MIN)]),
        row(&[Value::Float(-0.5), Value::Float(f64::INFINITY), Value::text("")]),
        row(&[Value::text("a"), Value::text("a"), Value::text(&*text), Value::text(&*text)]),
        row(&[Value::Int(1)]),
        row(&[]),
    ];
    let name = "t".into();
    let chunks = chunks(|writer| {
        writer.table(&name);
        writer.added(&rows);
        writer.removed(&rows[3..4]);
        writer.digest(Digest::from_bits(7));
    });
    assert_eq!(chunks.len(), 1);
    let content = read(&chunks[0]).unwrap();
    let part = &content.parts[0];
    // Value's own equality would let 1 pass for true.
    assert_eq!(format!("{:?}", part.added), format!("{rows:?}"));
    assert_eq!(part.removed, rows[3..4]);
    assert_eq!(part.digest, Some(Digest::from_bits(7)));
    let mut sum = Digest::default();
    rows.iter().for_each(|row| sum.add(Digest::of(row)));
    sum.remove(Digest::of(&rows[3]));
    assert_eq!(content.sums, [sum]);
    let Value::Text(first) = &part.added[3][2] else { panic!() };
    let Value::Text(second) = &part.added[3][3] else { panic!() };
    assert_eq!(first.as_ptr(), second.as_ptr(), "a repeated long text is shared");
}

#[test]
fn large_content_is_cut_and_each_chunk_stands_alone() {
    let rows: Vec<Row> = (0..200_000)
        .map(|i| row(&[Value::Int(i), Value::text(format!("name-{i}")), Value::text("ACTIVE")]))
        .collect();
    let (t, u) = ("t".into(), "u".into());
    let chunks = chunks(|writer| {
        writer.table(&t);
        writer.added(&rows);
        writer.table(&u);
        writer.omitted();
    });
    assert!(chunks.len() > 4);
    assert!(chunks.iter().all(|chunk| chunk.len() < CHUNK + 1024));
    let parts = merge(&chunks);
    assert_eq!(parts[0].added, rows);
    assert!(parts[1].omitted);
}

#[test]
fn a_schema_comes_back() {
    let column = |name: &str, column_type| Column {
        name: name.into(),
        description: Some("what it is".into()),
        column_type,
        nullable: true,
    };
    let columns = TYPES.iter().map(|t| column("c", *t)).collect();
    let table = TableSchema { name: "t".into(), columns, root: Some("r".into()) };
    let chunks = chunks(|writer| writer.schema(&table));
    assert_eq!(*read(&chunks[0]).unwrap().schema[0], table);
}

#[test]
fn unknown_sections_are_skipped() {
    let (name, rows) = ("t".into(), [row(&[Value::Int(1)])]);
    let chunks = chunks(|writer| {
        writer.section(200, |w| w.str("from the future"));
        writer.table(&name);
        writer.section(201, |w| w.str("likewise"));
        writer.added(&rows);
    });
    assert_eq!(read(&chunks[0]).unwrap().parts[0].added.len(), 1);
}

#[test]
fn broken_content_is_an_error_and_nothing_worse() {
    let name = "t".into();
    let rows = [row(&[Value::text("abc"), Value::Int(7), Value::text("abc")])];
    let mut chunks = chunks(|writer| {
        writer.table(&name);
        writer.added(&rows);
    });
    let good = chunks.remove(0);
    for cut in 1..good.len() {
        let _ = read(&good[..cut]);
    }
    for at in 0..good.len() {
        for bits in [0x01, 0x80, 0xff] {
            let mut bad = good.clone();
            bad[at] ^= bits;
            let _ = read(&bad);
        }
    }
    assert!(read(&[ADDED, 1, 0, 0, 0, 0]).is_err(), "no table");
}

#[test]
fn small_chunks_that_would_be_large_are_malformed() {
    let name: TableName = "t".into();
    let with_rows = |section: &[u8]| {
        let mut chunk = chunks(|writer| writer.table(&name)).concat();
        chunk.push(ADDED);
        chunk.extend((section.len() as u32).to_le_bytes());
        chunk.extend(section);
        read(&chunk)
    };
    // A row of nulls: a byte each here, 24 in memory.
    let mut wide = Writer::default();
    let width = MAX_CONTENT / size_of::<Value>();
    wide.varint(width as u64);
    wide.bytes.extend(std::iter::repeat_n(NULL, width));
    assert_eq!(with_rows(&wide.bytes), Err(Malformed("its content takes too much memory")));
    // A row that repeats a long text.
    let repeated = |times: usize| {
        let mut long = Writer::default();
        long.varint(times as u64 + 1);
        long.u8(NEW_TEXT);
        long.str(&"x".repeat(1 << 20));
        long.bytes.extend(std::iter::repeat_n(SHORT_REFERENCE, times));
        long.bytes
    };
    assert_eq!(with_rows(&repeated(300)), Err(Malformed("a row is too long")));
    let content = with_rows(&repeated(3)).unwrap();
    let bytes = ROW_BYTES + 4 * size_of::<Value>() + TEXT_BYTES + (1 << 20);
    let bytes = bytes + PART_BYTES + name.len();
    assert_eq!(content.size, Size { rows: 1, bytes });
}
