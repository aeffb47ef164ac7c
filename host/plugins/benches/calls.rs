//! What the boundary between host and guests costs.
//!
//!     scripts/build-drivers && scripts/build-language-drivers
//!     cargo bench -p congress-plugins --bench calls
//!
//! * `instance/<guest>`: a call of `tables`, which does next to nothing, in a fresh instance: with
//!   the way to a guest thread and back, the check of the configuration, and the instance's end.
//! * `instance/<guest>/alone`: no benchmark of Criterion: what the host itself measures of polls of one
//!   row, the making and the end of the instance, beside the whole poll.
//! * `rows/<way>`: a poll of 100,000 rows of 8 columns. What they cost beyond the guest's own work
//!   is the difference between `columns` and `encoded`, which makes the same rows, puts them into
//!   the same columns and sends none; or between `rows` and `nothing`, which only makes them (of
//!   that difference the generated code of the guest that lays the rows out has its part).
//!   `<way>-again` polls for a caller that holds the same rows already, as a datasource does.
//! * `rows/host-columns`: no benchmark of Criterion: the same difference, of polls in turns, so that
//!   both see the same machine.
//! * `start/25`: a host made, and 25 drivers (copies of one in Rust) loaded from its cache.
//!
//! Guests that have not been built are left out.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    reason = "figures are for the terminal, and a benchmark that cannot go on ends"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use congress_plugins::{
    CallOutcome, ConfigValues, Datasource, Driver, HeldRows, Host, HostConfig, State,
    TableOperation,
};
use congress_table::Table;
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// How many polls show what an instance takes.
const POLLS: usize = 1000;

/// How often polls that send rows and polls that do not take turns.
const PAIRS: usize = 31;

/// Drivers of the benchmark of starting.
const DRIVERS: usize = 25;

fn built(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../drivers/out").join(path)
}

fn cached(folder: &Path) -> HostConfig {
    HostConfig { cache_folder: Some(folder.to_owned()), ..HostConfig::default() }
}

/// A host whose compiled code outlives it, in the target directory.
fn host() -> Host {
    Host::new(cached(Path::new(concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled")))).unwrap()
}

fn values(config: Json) -> ConfigValues {
    config.as_object().cloned().unwrap()
}

fn load(runtime: &Runtime, host: &Host, path: &str) -> Option<Driver> {
    let path = built(path);
    path.is_file().then(|| runtime.block_on(host.load(path)).unwrap())
}

fn instances(c: &mut Criterion) {
    let (runtime, host) = (Runtime::new().unwrap(), host());
    let mut group = c.benchmark_group("instance");
    for (language, path, config) in [
        ("rust", "testing/template.wasm", json!({"names": "Ada"})),
        ("python", "languages/template-python.wasm", json!({"names": "Ada"})),
        ("javascript", "languages/template-javascript.wasm", json!({"names": "Ada"})),
    ] {
        let Some(driver) = load(&runtime, &host, path) else { continue };
        let config = values(config);
        group.bench_function(language, |b| {
            b.iter(|| runtime.block_on(driver.datasource("d", &config, State::default())).unwrap())
        });
        let source = runtime.block_on(driver.datasource("d", &config, State::default())).unwrap();
        let polls =
            (0..POLLS).map(|_| runtime.block_on(source.poll(&["greetings"])).unwrap().figures);
        let (mut instance, mut whole): (Vec<_>, Vec<_>) =
            polls.map(|figures| (figures.instance, figures.duration)).unzip();
        instance.sort();
        whole.sort();
        println!(
            "instance/{language}/alone: p50 {:?}, p99 {:?}; the polls p50 {:?}",
            instance[POLLS / 2],
            instance[POLLS * 99 / 100],
            whole[POLLS / 2]
        );
    }
}

fn rows(c: &mut Criterion) {
    let (runtime, host) = (Runtime::new().unwrap(), host());
    let Some(driver) = load(&runtime, &host, "testing/rows.wasm") else { return };
    let mut group = c.benchmark_group("rows");
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    let source = |way: &str| {
        let config = values(json!({ "by": way }));
        runtime.block_on(driver.datasource("d", &config, State::default())).unwrap()
    };
    for way in ["nothing", "encoded", "rows", "columns"] {
        let source = source(way);
        group.bench_function(way, |b| {
            b.iter_with_large_drop(|| runtime.block_on(source.poll(&["wide"])).unwrap())
        });
    }
    for way in ["rows", "columns"] {
        let source = source(way);
        let first = runtime.block_on(source.poll(&["wide"])).unwrap();
        let held = Arc::new(Held::of("wide", first));
        group.bench_function(format!("{way}-again"), |b| {
            b.iter_with_large_drop(|| {
                runtime.block_on(source.poll_beside(&["wide"], Some(held.clone()))).unwrap()
            })
        });
    }
    group.finish();
    for (way, without, again) in [
        ("columns", "encoded", false),
        ("columns", "encoded", true),
        ("rows", "nothing", false),
        ("rows", "nothing", true),
    ] {
        let (with, without) = (source(way), source(without));
        let first = runtime.block_on(with.poll(&["wide"])).unwrap();
        let held: Option<Arc<dyn HeldRows>> =
            if again { Some(Arc::new(Held::of("wide", first))) } else { None };
        let time = |source: &Datasource| {
            let start = Instant::now();
            let outcome = runtime.block_on(source.poll_beside(&["wide"], held.clone())).unwrap();
            let time = start.elapsed();
            drop(outcome);
            time.as_secs_f64() * 1000.0
        };
        let mut pairs: Vec<_> = (0..PAIRS).map(|_| (time(&with), time(&without))).collect();
        let best = |of: fn(&(f64, f64)) -> f64| pairs.iter().map(of).fold(f64::MAX, f64::min);
        let (best_with, best_without) = (best(|pair| pair.0), best(|pair| pair.1));
        pairs.sort_by(|a, b| (a.0 - a.1).total_cmp(&(b.0 - b.1)));
        let median = pairs.get(PAIRS / 2).map_or(0.0, |pair| pair.0 - pair.1);
        println!(
            "rows/host-{way}{}: best {:.1} ms ({best_with:.1} with, {best_without:.1} without), \
             median of the differences {median:.1} ms",
            if again { "-again" } else { "" },
            best_with - best_without,
        );
    }
}

/// Rows that a caller holds.
struct Held(&'static str, Arc<Table>);

impl Held {
    fn of(name: &'static str, outcome: CallOutcome) -> Self {
        let mut tables = outcome.tables.into_iter();
        let table = tables.find_map(|(table, operation)| match operation {
            TableOperation::Replace(content) if *table == *name => Some(content.into()),
            _ => None,
        });
        Self(name, Arc::new(table.unwrap_or_default()))
    }
}

impl HeldRows for Held {
    fn table(&self, name: &str) -> Option<Arc<Table>> {
        (name == self.0).then(|| self.1.clone())
    }
}

fn start(c: &mut Criterion) {
    let runtime = Runtime::new().unwrap();
    let Ok(component) = fs::read(built("testing/template.wasm")) else { return };
    let folder = tempfile::tempdir().unwrap();
    // A custom section at the end makes each another component, for the cache too.
    let drivers: Vec<PathBuf> = (0..DRIVERS)
        .map(|n| {
            let path = folder.path().join(format!("{n}.wasm"));
            let name = format!("n{n:02}");
            let mut bytes = component.clone();
            bytes.extend([0, 4, 3]);
            bytes.extend(name.as_bytes());
            fs::write(&path, bytes).unwrap();
            path
        })
        .collect();
    let cache = folder.path().join("compiled");
    let start = || {
        let host = Host::new(cached(&cache)).unwrap();
        runtime.block_on(async {
            for driver in &drivers {
                host.load(driver).await.unwrap();
            }
        });
    };
    start();
    let mut group = c.benchmark_group("start");
    group.sample_size(20).bench_function(DRIVERS.to_string(), |b| b.iter(start));
}

criterion_group!(benches, instances, rows, start);
criterion_main!(benches);
