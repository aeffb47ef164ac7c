//! Rows made on demand, for benchmarks of the whole system: actions say how many there are and what
//! is in them, and what they change is published at once.
//!
//! `left` and `right` have one row for each key, to be joined; `bench` has `n` rows whose values
//! hold a salt, and one row `("marker", generation)` by which a reader sees that a change is there.

use congress_driver::actions::{Arguments, unknown, wrong};
use congress_driver::prelude::*;
use congress_driver::{pytext, state};

struct Gen;

impl Driver for Gen {
    fn metadata() -> Metadata {
        let pairs = |name| table(name, ["k", "v"].map(|name| column(name, ColumnType::Any)));
        metadata("gen", env!("CARGO_PKG_VERSION"), "Rows made on demand; for benchmarks.")
            .with_config([
                field("join_rows", "How many rows left and right have at first.")
                    .of(FieldType::Integer)
                    .or("0"),
                poll_time(),
            ])
            .with_tables(["left", "right", "bench"].map(pairs))
            .with_actions([
                action("set", "Replaces the rows of bench.")
                    .argument("n", "how many, besides the marker")
                    .argument("gen", "the marker's value")
                    .argument("salt", "goes into every other value"),
                action("setjoin", "Replaces the rows of left and right.").argument("n", "how many"),
            ])
    }

    fn poll(config: &Config, _: &Wanted) -> Result<()> {
        join(state::get_as("join_rows").or(config.integer("join_rows")?).unwrap_or(0))?;
        let generation = state::get("gen").unwrap_or_else(|| "g0".to_owned());
        let salt = state::get("salt").unwrap_or_default();
        bench(state::get_as("n").unwrap_or(0), &generation, &salt)
    }

    fn execute(_: &Config, call: &Call) -> Result<()> {
        match call.action.as_str() {
            "set" => {
                let arguments = Arguments::of(call, "n gen salt")?;
                let n = integer(call, &arguments)?;
                let [generation, salt] =
                    ["gen", "salt"].map(|name| arguments.get(name).map(pytext::text));
                let (generation, salt) = (generation.unwrap_or_default(), salt.unwrap_or_default());
                state::set("n", n)?;
                state::set("gen", &generation)?;
                state::set("salt", &salt)?;
                bench(n, &generation, &salt)
            }
            "setjoin" => {
                let n = integer(call, &Arguments::of(call, "n")?)?;
                state::set("join_rows", n)?;
                join(n)
            }
            _ => Err(unknown(call)),
        }
    }
}

/// The argument `n`.
fn integer(call: &Call, arguments: &Arguments<'_>) -> Result<i64> {
    let n = arguments.get("n").and_then(|n| pytext::text(n).parse().ok());
    n.ok_or_else(|| wrong(call, "argument 'n' is not a whole number"))
}

fn bench(n: i64, generation: &str, salt: &str) -> Result<()> {
    let marker: Row = vec!["marker".into(), generation.into()];
    let rows = (0..n).map(|i| vec![format!("k{i}").into(), format!("v{salt}{i}").into()]);
    rows::replace("bench", rows.chain([marker]))
}

fn join(n: i64) -> Result<()> {
    let side = |letter: char| {
        (0..n).map(move |i| vec![format!("k{i}").into(), format!("{letter}{i}").into()])
    };
    rows::replace("left", side('l'))?;
    rows::replace("right", side('r'))
}

export_driver!(Gen);
