//! What the boundary between host and guests costs.
//!
//!     scripts/build-drivers && scripts/build-language-drivers
//!     cargo bench -p congress-plugins --bench calls
//!
//! * `instance/<guest>`: a call of `tables`, which does next to nothing, in a fresh instance: with
//!   the way to a guest thread and back, the check of the configuration, and the instance's end.
//! * `rows/<way>`: a poll of 100,000 rows of 8 columns; what they cost beyond the guest's own work
//!   is the difference to `rows/nothing`, which makes the same rows and sends none.
//! * `start/25`: a host made, and 25 drivers (copies of one in Rust) loaded from its cache.
//!
//! Guests that have not been built are left out.

#![expect(clippy::unwrap_used, reason = "a benchmark that cannot go on ends")]

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use congress_plugins::{ConfigValues, Driver, Host, HostConfig, State};
use criterion::{Criterion, criterion_group, criterion_main};
use serde_json::{Value as Json, json};
use tokio::runtime::Runtime;

/// As the server has it.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

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
    }
}

fn rows(c: &mut Criterion) {
    let (runtime, host) = (Runtime::new().unwrap(), host());
    let Some(driver) = load(&runtime, &host, "testing/rows.wasm") else { return };
    let mut group = c.benchmark_group("rows");
    group.sample_size(20).measurement_time(Duration::from_secs(8));
    for way in ["nothing", "rows", "columns"] {
        let config = values(json!({ "by": way }));
        let source = runtime.block_on(driver.datasource("d", &config, State::default())).unwrap();
        group.bench_function(way, |b| {
            b.iter_with_large_drop(|| runtime.block_on(source.poll(&["wide"])).unwrap())
        });
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
