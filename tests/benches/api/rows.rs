//! Rows of derived tables, read by eight connections at once.

use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

use crate::{expect, resident};

/// How long anything may take to show.
const SOON: Duration = Duration::from_secs(60);

pub(crate) async fn derived() -> Result<()> {
    if std::process::Command::new("wrk").arg("--version").output().is_err() {
        println!("rows: skipped, for there is no `wrk` (apt-get install wrk)");
        return Ok(());
    }
    let folder = tempfile::tempdir()?;
    std::fs::copy(drivers_folder().join("testing/gen.wasm"), folder.path().join("gen.wasm"))
        .context("gen.wasm: run scripts/build-drivers")?;
    let promises = [
        (1_000, "5,000 requests/s, p99 5 ms; the original: 3.1/s, 4.85 s"),
        (10_000, "100 MB/s; the original: 0.4 requests/s, 22 s"),
    ];
    for (rows, promise) in promises {
        let server = joined(folder.path(), rows).await?;
        println!("a join of {rows} rows   [{promise}]");
        measure(&server, "asked for again", "/v1/policies/j/tables/j/rows", &[]).await?;
        // Any parameter makes it a page: evaluated, digested and written for each request.
        measure(&server, "made anew", "/v1/policies/j/tables/j/rows?limit=1000000", &[]).await?;
        let tag = server.get("/v1/policies/j/tables/j/rows").await?.headers["etag"].clone();
        let known = format!("If-None-Match: {}", tag.to_str()?);
        measure(&server, "known to the client", "/v1/policies/j/tables/j/rows", &["-H", &known])
            .await?;
        println!("  {:.1} MiB resident", resident(server.pid())?);
    }
    Ok(())
}

/// A server with a rule that joins two tables of so many rows.
async fn joined(drivers: &Path, rows: usize) -> Result<Server> {
    let options = ServerOptions { drivers: Some(drivers.to_owned()), ..ServerOptions::default() };
    let server = Server::start(options).await?;
    let ready = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/gen?detail=true", SOON, ready).await?;
    let config = json!({"poll_time": "0", "join_rows": rows.to_string()});
    let datasource = json!({"name": "gen", "driver": "gen", "config": config});
    expect(server.post("/v1/data-sources", &datasource).await?, 201)?;
    expect(server.post("/v1/policies", &json!({"name": "j"})).await?, 201)?;
    let rule = json!({"rule": "j(a, b) :- gen:left(k, a), gen:right(k, b)"});
    expect(server.post("/v1/policies/j/rules", &rule).await?, 201)?;
    let action = json!({"name": "setjoin", "args": {"positional": [rows]}});
    expect(server.post("/v1/data-sources/gen?action=execute", &action).await?, 200)?;
    let all = |body: &Value| body["results"].as_array().is_some_and(|found| found.len() == rows);
    server.eventually("/v1/policies/j/tables/j/rows", SOON, all).await?;
    Ok(server)
}

async fn measure(server: &Server, what: &str, path: &str, arguments: &[&str]) -> Result<()> {
    let output = tokio::process::Command::new("wrk")
        .args(["-t1", "-c8", "-d8s", "--latency"])
        .args(arguments)
        .arg(format!("{}{path}", server.url()))
        .kill_on_drop(true)
        .output()
        .await?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(output.status.success(), "wrk: {}\n{text}", output.status);
    let after = |name: &str| {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        line.map(str::trim).unwrap_or("-").to_owned()
    };
    println!(
        "  {what}: {} requests/s, {}/s, p50 {}, p99 {}{}",
        after("Requests/sec:"),
        after("Transfer/sec:"),
        after("50%"),
        after("99%"),
        match after("Non-2xx or 3xx responses:").as_str() {
            "-" => String::new(),
            failed => format!(", {failed} FAILED"),
        }
    );
    Ok(())
}
