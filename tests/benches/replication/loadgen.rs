//! Workload d of the original's figures, by the program that made them (`bench/loadgen.py` of the
//! folder with the original's recorded behaviour), unchanged: two engines and a datasource node.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use congress_tests::{Database, Deployment, DeploymentOptions, drivers_folder, shared};

/// How many rows change, and how often.
const CASES: [(&str, &str); 3] = [("1000", "5"), ("10000", "2"), ("100000", "1")];

/// How long one of them may take.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) async fn publish() -> Result<()> {
    let program = shared().map(|folder| folder.join("bench/loadgen.py"));
    let Some(program) = program.filter(|program| program.exists()) else {
        println!("skipped: the folder with the original's recorded behaviour is not here");
        return Ok(());
    };
    let folder = tempfile::tempdir()?;
    std::fs::copy(drivers_folder().join("testing/gen.wasm"), folder.path().join("gen.wasm"))
        .context("gen.wasm: run scripts/build-drivers")?;
    let drivers = folder.path();
    for (rows, times) in CASES {
        let options = DeploymentOptions {
            database: Database::Mariadb,
            drivers: drivers.to_owned(),
            ..DeploymentOptions::default()
        };
        let deployment = Deployment::start(options).await?;
        let mut urls = Vec::new();
        let mut pids = Vec::new();
        for node in deployment.nodes() {
            pids.push(node.server()?.pid().to_string());
        }
        for node in &deployment.engines {
            urls.push(node.server()?.url().to_owned());
        }
        println!("loadgen.py publish {rows} {times}; processes {} (ds1 last)", pids.join(" "));
        let child = tokio::process::Command::new("python3")
            .arg(&program)
            .args([&urls.join(","), "publish", rows, times])
            .env("SERVER_PIDS", pids.join(" "))
            .stdin(Stdio::null())
            .kill_on_drop(true)
            .status();
        let status = tokio::time::timeout(PATIENCE, child).await.context("it does not end")??;
        ensure!(status.success(), "loadgen.py: {status}\n{}", deployment.logs());
    }
    Ok(())
}
