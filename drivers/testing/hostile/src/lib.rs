//! One guest whose behaviour its configuration chooses, for the tests of the plugin host.
//!
//! Field `mode` says what `poll` does; see [`MODES`]. The modes `tables-error`, `tables-trap` and
//! `spin-in-tables` act in `tables` already. Every datasource has the root tables `numbers`
//! (`n`, `text`), with its child `numbers.squares` (`n`, `square`), and `report` (`key`, `value`),
//! where modes leave what they found.

use std::hint::black_box;

use congress_driver::bindings::congress::datasource::{files, sink};
use congress_driver::prelude::*;
use congress_driver::session::Request;
use congress_driver::{logging, state};

mod wasi;

struct Hostile;

/// Name and purpose of each mode. `count` is the number of rows, bytes or lines where one is used.
const MODES: &[(&str, &str)] = &[
    ("ok", "`count` rows (default 3) in `numbers` and `numbers.squares`"),
    ("columns", "the same, explicitly by columns, with nulls and mixed types"),
    ("patch", "adds row `count` to `numbers` and removes the row before it"),
    ("trap", "stages rows, then executes `unreachable`"),
    ("spin", "loops for ever"),
    ("spin-in-tables", "loops for ever in `tables`"),
    ("tables-error", "`tables` answers a configuration error"),
    ("tables-trap", "`tables` executes `unreachable`"),
    ("sleep", "sleeps for `count` seconds (default an hour)"),
    ("busy", "computes `count` rounds (default 100000), then as `ok`"),
    ("memory", "asks for 4 GiB, a MiB at a time, and touches it"),
    ("recurse", "calls itself without end"),
    ("bad-rows", "sends a row of the wrong width and returns the host's error"),
    ("ignore-bad-rows", "the same, but goes on as if nothing had happened"),
    ("bad-columns", "columns of unequal length, ends out of order, nulls out of range"),
    (
        "malformed-rows",
        "`count` rows (default 1000000) too wide, in batches, whatever the host says",
    ),
    ("unknown-table", "sends rows to a table that it does not have"),
    ("many-rows", "`count` rows (default 1000000) in batches"),
    ("huge-text", "one text of `count` bytes (default 64 MiB)"),
    ("huge-text-error", "answers an error of `count` bytes (default 1 MiB)"),
    ("many-tables", "`tables` answers `count` tables (default 100000)"),
    ("wide-table", "`tables` answers a table of `count` columns (default 100000)"),
    ("flood-log", "`count` log lines (default 100000), some of them long"),
    ("error", "stages rows, then answers the error of field `error`"),
    ("failed", "reads `numbers`, but fails `report` with the error of field `error`"),
    ("fetch", "GET of field `target`; its status and size in `report`"),
    ("wasi-fetch", "the same through wasi:http, past the session"),
    ("requests", "GET of `target` `count` times (default 1000), one after another"),
    ("stubborn", "the same (default 3) whatever comes of it; how many failed, in `report`"),
    (
        "connections",
        "`count` requests (default 1000) at once through wasi:http, answers held unread",
    ),
    ("never-read", "GET of `target` through wasi:http, then never reads the answer"),
    ("spy", "all that the guest can find out, a GET of `target` included, in `report`"),
    ("endpoint", "the endpoint of service type `target`, in `report`"),
    ("read-file", "info and content of the path `target`, in `report`"),
    ("list-folder", "names in the folder `target`, in `report`"),
    ("std-fs", "opens `target`, /etc/passwd by default, through WASI; the outcome in `report`"),
    ("environment", "number of environment variables and arguments, in `report`"),
    ("clock", "seconds since 1970 and a random-seeded hash, in `report`"),
    ("state-count", "counts its polls in the state, in `report`"),
    ("state-flood", "stores `count` bytes (default 1 MiB) in the state; the refusal in `report`"),
    ("config", "the configuration as it arrived, in `report`"),
    ("wanted", "the wanted tables, in `report`"),
];

impl Driver for Hostile {
    fn metadata() -> Metadata {
        let modes: Vec<&str> = MODES.iter().map(|(name, _)| *name).collect();
        metadata("hostile", env!("CARGO_PKG_VERSION"), "Misbehaves on request; for tests only.")
            .with_config([
                field("mode", &format!("One of: {}.", modes.join(", "))).or("ok"),
                field("count", "How many rows, bytes or lines.").of(FieldType::Integer),
                field("target", "A URL, a service type or a path."),
                field("error", "config, auth, connection, protocol or unsupported.").or("protocol"),
                field("auth", "As the session wants it."),
                field("auth_type", "As the session wants it."),
                field("username", "As the session wants it."),
                field("password", "As the session wants it.").secret(),
                field("token", "As the session wants it.").secret(),
                field("auth_header", "As the session wants it."),
                field("auth_url", "As the session wants it."),
                field("project_name", "As the session wants it."),
                field(
                    "cacert",
                    "Certificates, or a file of them, to trust instead of the system's.",
                ),
                field("insecure", "Trusts anybody.").of(FieldType::Boolean),
                field("persist_data", "Whether pushed rows outlive the node.")
                    .of(FieldType::Boolean),
                poll_time(),
                lazy_tables(),
            ])
            .with_tables([
                table("numbers", [integer("n").describe("The number."), text("text")]),
                table("numbers.squares", [integer("n"), integer("square")]).fetched_with("numbers"),
                table("report", [text("key"), column("value", ColumnType::Any)]),
            ])
            .with_actions([
                action("note", "Logs its arguments.").optional("text", "What to log."),
                action("trap", "Executes `unreachable`."),
            ])
            .with_feed(Feed::PollAndPush)
            .with_session(SessionKind::Configured)
            .with_hosts(["{target}", "{auth_url}"])
            .with_files(["{target}"])
    }

    fn tables(config: &Config) -> Result<Vec<Table>> {
        match mode(config) {
            "spin-in-tables" => spin(),
            "tables-trap" => trap(),
            "tables-error" => Err(Error::Config("the mode asked for this error".into())),
            "many-tables" => {
                let name = |n: i64| table(&format!("t{n}"), [integer("n")]);
                Ok((0..count(config, 100_000)?).map(name).collect())
            }
            "wide-table" => {
                let columns = (0..count(config, 100_000)?).map(|n| integer(&format!("c{n}")));
                let mut wide = table("wide", [integer("n")]);
                wide.columns = columns.collect();
                Ok(vec![wide])
            }
            known if MODES.iter().any(|(name, _)| *name == known) => Ok(Self::metadata().tables),
            unknown => Err(Error::Config(format!("field 'mode': unknown mode '{unknown}'"))),
        }
    }

    fn poll(config: &Config, wanted: &Wanted) -> Result<()> {
        match mode(config) {
            "ok" => numbers(count(config, 3)?),
            "columns" => by_columns(),
            "patch" => patch(count(config, 0)?),
            "trap" => {
                numbers(3)?;
                trap()
            }
            "spin" => spin(),
            "sleep" => {
                let seconds = count(config, 3600)?.unsigned_abs();
                std::thread::sleep(std::time::Duration::from_secs(seconds));
                numbers(3)
            }
            "busy" => {
                black_box((0..count(config, 100_000)?).fold(0, |sum, n| black_box(sum ^ n)));
                numbers(3)
            }
            "memory" => memory(),
            "recurse" => report([("depth", (recurse(0) as i64).into())]),
            "bad-rows" => bad_rows(),
            "ignore-bad-rows" => {
                numbers(3)?;
                let _ = bad_rows();
                Ok(())
            }
            "bad-columns" => bad_columns(config),
            "malformed-rows" => {
                malformed_rows(count(config, 1_000_000)?);
                Ok(())
            }
            "unknown-table" => rows::replace("elsewhere", [vec![Value::Null]]),
            "many-rows" => {
                let numbers = (0..count(config, 1_000_000)?).map(|n| vec![n.into(), text_of(n)]);
                rows::replace("numbers", numbers)
            }
            "huge-text" => report([("text", "x".repeat(count(config, 64 << 20)? as usize).into())]),
            "huge-text-error" => {
                Err(Error::Protocol("x".repeat(count(config, 1 << 20)?.unsigned_abs() as usize)))
            }
            "flood-log" => {
                flood_log(count(config, 100_000)?);
                Ok(())
            }
            "error" => {
                numbers(3)?;
                Err(error(config)?)
            }
            "failed" => {
                report([("staged", "then dropped".into())])?;
                sink::failed("report", &error(config)?);
                numbers(count(config, 3)?)
            }
            "fetch" => fetch(config.text("target")?),
            "wasi-fetch" => wasi::fetch(config.text("target")?),
            "requests" => {
                let request = Request::get(config.text("target")?);
                for _ in 0..count(config, 1000)? {
                    congress_driver::session::send(&request)?;
                }
                report([("done", true.into())])
            }
            "stubborn" => {
                let request = Request::get(config.text("target")?);
                let send = |_: &i64| congress_driver::session::send(&request).is_err();
                let failed = (0..count(config, 3)?).filter(send).count();
                report([("failed", (failed as i64).into())])
            }
            "connections" => wasi::connections(config.text("target")?, count(config, 1000)?),
            "never-read" => wasi::never_read(config.text("target")?),
            "spy" => spy(config),
            "endpoint" => {
                use congress_driver::session::{EndpointInterface, endpoint};
                let url = endpoint(config.text("target")?, EndpointInterface::Public)?;
                report([("endpoint", url.into())])
            }
            "read-file" => read_file(config.text("target")?),
            "list-folder" => list_folder(config.text("target")?),
            "std-fs" => std_fs(config.get("target").unwrap_or("/etc/passwd")),
            "environment" => report([
                ("variables", (std::env::vars_os().count() as i64).into()),
                ("arguments", (std::env::args_os().count() as i64).into()),
            ]),
            "clock" => clock(),
            "state-count" => {
                let polls = state::get_as::<i64>("polls").unwrap_or(0) + 1;
                state::set("polls", polls)?;
                report([("polls", polls.into())])
            }
            "state-flood" => {
                let outcome = state::set("flood", "x".repeat(count(config, 1 << 20)? as usize));
                report([("refusal", outcome.err().map(|error| error.to_string()).into())])
            }
            "config" => {
                let fields = Self::metadata().config;
                rows::replace(
                    "report",
                    fields.iter().filter_map(|field| {
                        config.get(&field.name).map(|v| vec![field.name.as_str().into(), v.into()])
                    }),
                )
            }
            "wanted" => rows::replace(
                "report",
                ["numbers", "report"].map(|t| vec![t.into(), wanted.contains(t).into()]),
            ),
            unknown => Err(Error::Config(format!("field 'mode': unknown mode '{unknown}'"))),
        }
    }

    fn receive(_: &Config, push: Push) -> Result<()> {
        match push {
            Push::Rows((table, json)) => report([("table", table.into()), ("json", json.into())]),
            Push::Webhook(json) => report([("webhook", json.into())]),
        }
    }

    fn execute(_: &Config, call: &Call) -> Result<()> {
        match call.action.as_str() {
            "note" => {
                logging::info(&format!("note {:?} {:?}", call.positional, call.named));
                Ok(())
            }
            "trap" => trap(),
            other => Err(Error::Unsupported(format!("there is no action '{other}'"))),
        }
    }
}

fn mode(config: &Config) -> &str {
    config.get("mode").unwrap_or("ok")
}

fn count(config: &Config, default: i64) -> Result<i64> {
    Ok(config.integer("count")?.unwrap_or(default).max(0))
}

fn text_of(n: i64) -> Value {
    format!("number {n}").into()
}

fn numbers(count: i64) -> Result<()> {
    rows::replace("numbers", (0..count).map(|n| vec![n.into(), text_of(n)]))?;
    rows::replace("numbers.squares", (0..count).map(|n| vec![n.into(), n.wrapping_mul(n).into()]))
}

fn report<const N: usize>(facts: [(&str, Value); N]) -> Result<()> {
    rows::replace("report", facts.map(|(key, value)| vec![key.into(), value]))
}

fn by_columns() -> Result<()> {
    use sink::{Cells, ColumnData, TextCells};
    let texts = TextCells { heap: "onetwöfour".into(), ends: vec![3, 7, 7, 11] };
    let columns = [
        ColumnData { cells: Cells::Integers(vec![1, 2, 3, 4]), nulls: vec![] },
        ColumnData { cells: Cells::Texts(texts), nulls: vec![2] },
    ];
    sink::replace_columns("numbers", &columns)?;
    let keys = TextCells { heap: "bftn".into(), ends: vec![1, 2, 3, 4] };
    let mixed = vec![true.into(), 0.5.into(), "text".into(), Value::Null];
    sink::replace_columns(
        "report",
        &[
            ColumnData { cells: Cells::Texts(keys), nulls: vec![] },
            ColumnData { cells: Cells::Values(mixed), nulls: vec![] },
        ],
    )?;
    Ok(())
}

fn patch(n: i64) -> Result<()> {
    rows::patch("numbers", &[vec![n.into(), text_of(n)]], &[vec![(n - 1).into(), text_of(n - 1)]])
}

fn bad_rows() -> Result<()> {
    let rows = [vec![1.into(), "fits".into()], vec![2.into(), "too".into(), "wide".into()]];
    Ok(sink::replace("numbers", &rows.map(Vec::from))?)
}

/// Each kind of broken column in turn; what the host says about it goes into `report`.
fn bad_columns(config: &Config) -> Result<()> {
    use sink::{Cells, ColumnData, TextCells};
    let integers = |n: i64| ColumnData { cells: Cells::Integers((0..n).collect()), nulls: vec![] };
    let texts = |heap: &str, ends: &[u32], nulls: &[u32]| ColumnData {
        cells: Cells::Texts(TextCells { heap: heap.into(), ends: ends.into() }),
        nulls: nulls.into(),
    };
    let cases = [
        ("unequal lengths", integers(2), texts("abc", &[1, 2, 3], &[])),
        ("ends descend", integers(2), texts("abc", &[3, 1], &[])),
        ("ends beyond the heap", integers(2), texts("abc", &[1, 99], &[])),
        ("ends inside a character", integers(2), texts("é", &[1, 2], &[])),
        ("nulls out of range", integers(2), texts("ab", &[1, 2], &[7])),
        ("nulls descend", integers(2), texts("ab", &[1, 2], &[1, 0])),
    ];
    let mut found = Vec::new();
    for (case, first, second) in cases {
        let said = match sink::replace_columns("numbers", &[first, second]) {
            Ok(()) => "accepted".to_owned(),
            Err(error) => Error::from(error).to_string(),
        };
        found.push(vec![case.into(), said.into()]);
    }
    found.truncate(count(config, found.len() as i64)? as usize);
    rows::replace("report", found)
}

fn malformed_rows(rows: i64) {
    let batch = vec![vec![Value::Null; 7]; 1000];
    for _ in 0..rows / 1000 {
        let _ = rows::replace("numbers", batch.clone());
    }
}

/// What a guest that wants to know everything finds.
fn spy(config: &Config) -> Result<()> {
    let mut found: Vec<(String, String)> = Vec::new();
    for field in Hostile::metadata().config {
        if let Some(value) = config.get(&field.name) {
            found.push((format!("config {}", field.name), value.to_owned()));
        }
    }
    found.extend(std::env::vars().map(|(name, value)| (format!("variable {name}"), value)));
    found.extend(std::env::args().map(|value| ("argument".to_owned(), value)));
    let response = congress_driver::session::send(&Request::get(config.text("target")?))?;
    for (name, value) in &response.headers {
        found.push((format!("header {name}"), value.clone()));
    }
    found.push(("body".to_owned(), String::from_utf8_lossy(&response.body).into_owned()));
    for (key, value) in &found {
        logging::info(&format!("{key}: {value}"));
    }
    rows::replace("report", found.into_iter().map(|(key, value)| vec![key.into(), value.into()]))
}

fn error(config: &Config) -> Result<Error> {
    let text = "the mode asked for this error".to_owned();
    Ok(match config.get("error").unwrap_or("protocol") {
        "config" => Error::Config(text),
        "auth" => Error::Auth(text),
        "connection" => Error::Connection(text),
        "protocol" => Error::Protocol(text),
        "unsupported" => Error::Unsupported(text),
        other => return Err(Error::Config(format!("field 'error': unknown error '{other}'"))),
    })
}

fn trap() -> ! {
    #[cfg(target_arch = "wasm32")]
    core::arch::wasm32::unreachable();
    #[cfg(not(target_arch = "wasm32"))]
    std::process::abort()
}

fn spin() -> ! {
    let mut n = 0u64;
    loop {
        n = black_box(n.wrapping_add(1));
    }
}

fn memory() -> Result<()> {
    let mut hoard: Vec<Vec<u8>> = Vec::new();
    for _ in 0..4096 {
        hoard.push(black_box(vec![1u8; 1 << 20]));
    }
    report([("mebibytes", (hoard.len() as i64).into())])
}

#[expect(unconditional_recursion, reason = "the purpose of the mode")]
fn recurse(depth: u64) -> u64 {
    let frame = black_box([depth; 64]);
    recurse(depth + 1) + frame[(depth % 64) as usize]
}

fn flood_log(lines: i64) {
    let long = "long ".repeat(20_000);
    for n in 0..lines {
        if n % 1000 == 0 {
            logging::warn(&long);
        } else {
            logging::info(&format!("line {n}"));
        }
    }
}

fn fetch(url: &str) -> Result<()> {
    let response = congress_driver::session::send(&Request::get(url))?;
    report([
        ("status", i64::from(response.status).into()),
        ("bytes", (response.body.len() as i64).into()),
        (
            "text",
            String::from_utf8_lossy(&response.body).chars().take(1000).collect::<String>().into(),
        ),
        ("location", response.header("location").into()),
    ])
}

fn read_file(path: &str) -> Result<()> {
    let info = files::info(path).map_err(|error| Error::Config(format!("{error:?}")))?;
    let bytes =
        files::read(path, 0, 1 << 20).map_err(|error| Error::Config(format!("{error:?}")))?;
    report([
        ("size", (info.size as i64).into()),
        ("modified", (info.modified as i64).into()),
        ("folder", info.is_folder.into()),
        ("text", String::from_utf8_lossy(&bytes).into_owned().into()),
    ])
}

fn list_folder(path: &str) -> Result<()> {
    let names = files::list(path).map_err(|error| Error::Config(format!("{error:?}")))?;
    rows::replace("report", names.into_iter().map(|name| vec!["name".into(), name.into()]))
}

fn std_fs(path: &str) -> Result<()> {
    let outcome = match std::fs::read(path) {
        Ok(bytes) => format!("read {} bytes", bytes.len()),
        Err(error) => format!("refused: {}", error.kind()),
    };
    report([("outcome", outcome.into())])
}

fn clock() -> Result<()> {
    use std::hash::{BuildHasher, RandomState};
    use std::time::{SystemTime, UNIX_EPOCH};
    let seconds = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |d| d.as_secs());
    let random = RandomState::new().hash_one("seed");
    report([("seconds", (seconds as i64).into()), ("random", format!("{random:016x}").into())])
}

congress_driver::export_driver!(Hostile);
