//! What many datasources cost: a real server, the template driver, and the processor time that the
//! whole process takes while all of them poll.
//!
//!     cargo bench --package congress-tests --bench datasources [-- DATASOURCES SECONDS]
//!
//! By default 1,000 datasources, each polled every 10 s, watched for 60 s. No time is asserted.

#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::fs;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, ensure};
use congress_tests::{Server, ServerOptions, drivers_folder};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};

/// Seconds between two polls of a datasource.
const POLL_TIME: u64 = 10;

#[tokio::main]
async fn main() -> Result<()> {
    // Cargo adds `--bench`.
    let mut numbers = std::env::args().skip(1).filter(|argument| !argument.starts_with("--"));
    let mut number = |default: u64| numbers.next().map_or(Ok(default), |text| text.parse());
    let (datasources, seconds) = (number(1000)?, number(60)?);

    let folder = tempfile::tempdir()?;
    let template = drivers_folder().join("testing/template.wasm");
    fs::copy(&template, folder.path().join("template.wasm"))
        .with_context(|| format!("{}: run scripts/build-drivers", template.display()))?;
    let options = ServerOptions { drivers: Some(folder.path().to_owned()), ..Default::default() };
    let server = Server::start(options).await?;
    let ready = |driver: &Value| driver["state"] == "ready";
    server
        .eventually("/v1/system/drivers/template?detail=true", Duration::from_secs(60), ready)
        .await?;
    let idle = Sample::of(server.pid())?;

    let begun = Instant::now();
    stream::iter(0..datasources)
        .map(|number| create(&server, number))
        .buffer_unordered(4)
        .try_collect::<Vec<()>>()
        .await?;
    println!("{datasources} datasources created in {:.1} s", begun.elapsed().as_secs_f64());
    for number in 0..datasources {
        let polled = |status: &Value| status["last_updated"].is_string();
        let path = format!("/v1/data-sources/ds{number}/status");
        server.eventually(&path, Duration::from_secs(60), polled).await?;
    }

    let before = Sample::of(server.pid())?;
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    let after = Sample::of(server.pid())?;
    let (took, used) = (after.at - before.at, after.processor - before.processor);
    let polls = datasources as f64 * took.as_secs_f64() / POLL_TIME as f64;
    println!("load average (1 minute): {}", load()?);
    println!("polled every {POLL_TIME} s for {:.0} s: about {polls:.0} polls", took.as_secs_f64());
    println!(
        "processor: {:.1} % of one core, {:.0} µs for each poll, the guest's own work included",
        100.0 * used.as_secs_f64() / took.as_secs_f64(),
        used.as_secs_f64() * 1e6 / polls,
    );
    println!(
        "resident: {} MiB, {:.0} KiB for each datasource",
        after.resident >> 20,
        (after.resident.saturating_sub(idle.resident)) as f64 / 1024.0 / datasources as f64
    );
    server.stop().await?;
    Ok(())
}

async fn create(server: &Server, number: u64) -> Result<()> {
    let body = json!({
        "name": format!("ds{number}"),
        "driver": "template",
        "enabled": true,
        "config": {"names": "Ada, Grace, Barbara", "poll_time": POLL_TIME.to_string()},
    });
    let reply = server.post("/v1/data-sources", &body).await?;
    ensure!(reply.status == 201, "{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    Ok(())
}

/// What a process has used so far.
struct Sample {
    at: Instant,
    processor: Duration,
    /// In bytes.
    resident: u64,
}

impl Sample {
    fn of(pid: u32) -> Result<Self> {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat"))?;
        // Behind the name, which may hold anything: fields 14 and 15 of proc(5).
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has no name")?;
        let fields: Vec<&str> = fields.split_whitespace().collect();
        let field = |number: usize| -> Result<u64> {
            Ok(fields.get(number - 3).context("/proc/PID/stat is short")?.parse()?)
        };
        let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
        let (_, resident) = status.split_once("VmRSS:").context("/proc/PID/status has no VmRSS")?;
        let kilobytes = resident.split_whitespace().next().unwrap_or_default();
        Ok(Self {
            at: Instant::now(),
            // Linux shows programs a hundred ticks a second, whatever it has itself.
            processor: Duration::from_millis((field(14)? + field(15)?) * 10),
            resident: kilobytes.parse::<u64>()? << 10,
        })
    }
}

fn load() -> Result<String> {
    let text = fs::read_to_string("/proc/loadavg")?;
    Ok(text.split_whitespace().next().unwrap_or_default().to_owned())
}
