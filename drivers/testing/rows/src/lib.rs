//! Many rows, for benchmarks: what the way to the host costs is the difference between a poll that
//! sends them and one that only makes them, or makes and encodes them.
//!
//! Field `count` says how many; field `by` how they go: `rows`, `columns`, or not at all:
//! `nothing` makes them, `encoded` makes them and puts them into columns as well.
//! They have four texts of 36, 12, 6 and 32 characters, two integers, a number that is null in
//! every fifth row, and a boolean.

use std::hint::black_box;

use congress_driver::bindings::congress::datasource::sink;
use congress_driver::prelude::*;

/// Rows made and sent at a time, fewer than would make the SDK choose another encoding.
const BATCH: i64 = 2_000;

struct Rows;

impl Driver for Rows {
    fn metadata() -> Metadata {
        metadata("rows", env!("CARGO_PKG_VERSION"), "Many rows of eight columns; for benchmarks.")
            .with_config([
                field("count", "How many rows.").of(FieldType::Integer).or("100000"),
                field("by", "rows, columns, encoded or nothing.").or("rows"),
                poll_time(),
            ])
            .with_tables([table(
                "wide",
                ["id", "name", "zone", "hash", "size", "used", "load", "active"]
                    .map(|name| column(name, ColumnType::Any)),
            )])
    }

    fn poll(config: &Config, _: &Wanted) -> Result<()> {
        let count = config.integer("count")?.unwrap_or(100_000);
        let batches = (0..count).step_by(BATCH as usize).map(|n| n..count.min(n + BATCH));
        match config.text("by")? {
            "rows" => {
                for batch in batches {
                    sink::replace("wide", &batch.map(row).collect::<Vec<_>>())?;
                }
                Ok(())
            }
            // The SDK's choice for batches of this size.
            "columns" => rows::replace("wide", batches.flatten().map(row)),
            "encoded" => {
                for batch in batches {
                    black_box(rows::columns(batch.map(row).collect()).is_ok());
                }
                Ok(())
            }
            "nothing" => {
                for batch in batches {
                    black_box(batch.map(row).collect::<Vec<_>>());
                }
                Ok(())
            }
            other => Err(Error::Config(format!("'by' cannot be '{other}'"))),
        }
    }
}

fn row(n: i64) -> Row {
    vec![
        format!("00000000-0000-0000-0000-{n:012}").into(),
        format!("server{n:06}").into(),
        format!("zone-{}", n % 4).into(),
        format!("{:032x}", u128::from(n.unsigned_abs()).wrapping_mul(0x9e37_79b9_7f4a_7c15)).into(),
        n.into(),
        (n * 7 % 1_000).into(),
        if n % 5 == 0 { Value::Null } else { (n as f64 / 8.0).into() },
        (n % 2 == 0).into(),
    ]
}

export_driver!(Rows);
