//! What goes from one node to the others: writes, datasources, snapshots.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use congress_tests::{Database, Deployment, DeploymentOptions};
use serde_json::json;

use crate::figures;
use crate::files::{PATIENCE, Source};

/// Three engines and a datasource node.
async fn three() -> Result<(Deployment, tempfile::TempDir)> {
    let folder = tempfile::tempdir()?;
    let options =
        DeploymentOptions { engines: 3, database: Database::Mariadb, ..Default::default() };
    let options = options.with("plugins", "allowed_files", folder.path().display());
    Ok((Deployment::start(options).await?, folder))
}

/// A rule inserted through one node shows on the others.
pub(crate) async fn write() -> Result<()> {
    const WRITES: usize = 200;
    let (deployment, _folder) = three().await?;
    deployment.policy("written", ["p(\"first\")"]).await?;
    let mut times = Vec::new();
    for number in 0..WRITES {
        let writer = deployment.engine(number % 3)?.server()?;
        let rule = json!({ "rule": format!("p(\"w{number}\")") });
        let reply = writer.post("/v1/policies/written/rules", &rule).await?;
        ensure!(reply.status == 201, "{}", String::from_utf8_lossy(&reply.body));
        let answered = Instant::now();
        for other in [number + 1, number + 2] {
            let node = deployment.engine(other % 3)?.server()?;
            loop {
                let body = node.get("/v1/policies/written/tables/p/rows").await?.json()?;
                if body["results"].as_array().is_some_and(|rows| rows.len() == number + 2) {
                    break;
                }
                ensure!(answered.elapsed() < PATIENCE, "w{number} is not there: {body}");
            }
            times.push(answered.elapsed());
        }
    }
    figures::print("write on one node, readable on two others", times, "p99 < 200 ms");
    Ok(())
}

/// A datasource created through one node can be used in rules on all.
pub(crate) async fn create() -> Result<()> {
    const DATASOURCES: usize = 20;
    let (deployment, folder) = three().await?;
    deployment.policy("usage", []).await?;
    let mut times = Vec::new();
    for number in 0..DATASOURCES {
        let name = format!("d{number}");
        let path = folder.path().join(format!("{name}.csv"));
        std::fs::write(&path, "k,v\na,b\n")?;
        let tables = json!({ "items": { "format": "csv", "path": path, "header": true } });
        let config = json!({ "poll_time": "60", "folder": folder.path(), "tables": tables });
        deployment.create("files", &name, config).await?;
        let answered = Instant::now();
        // Each node on its own, all at the same time.
        let uses = (0..3).map(|place| used(&deployment, place, &name, answered));
        times.extend(futures_util::future::try_join_all(uses).await?);
    }
    let what =
        "datasource created through one node, rule with its columns accepted by each of three";
    figures::print(what, times, "< 200 ms");
    Ok(())
}

async fn used(
    deployment: &Deployment,
    place: usize,
    datasource: &str,
    since: Instant,
) -> Result<Duration> {
    let server = deployment.engine(place)?.server()?;
    // A rule that would be refused as long as the columns are not known.
    let rule = json!({ "rule": format!("use{place}_{datasource}(k) :- {datasource}:items(k=k)") });
    loop {
        let reply = server.post("/v1/policies/usage/rules", &rule).await?;
        if reply.status == 201 {
            return Ok(since.elapsed());
        }
        let text = String::from_utf8_lossy(&reply.body).into_owned();
        ensure!(since.elapsed() < PATIENCE, "{}: {text}", reply.status);
    }
}

/// A table that nobody has followed comes to three nodes as a snapshot.
pub(crate) async fn snapshot() -> Result<()> {
    const ROWS: usize = 100_000;
    const TIMES: usize = 5;
    let (deployment, folder) = three().await?;
    let mut times = Vec::new();
    for turn in 0..TIMES {
        let source =
            Source::create(&deployment, folder.path(), &format!("large{turn}"), 3600).await?;
        source.is_everywhere(&deployment, "first").await?;
        // Nobody follows it while it grows.
        let server = deployment.engine(0)?.server()?;
        let policy = format!("/v1/policies/{}", source.policy());
        let rules = server.get(&format!("{policy}/rules")).await?.json()?;
        let id = rules["results"][0]["id"].as_str().unwrap_or_default().to_owned();
        let reply = server.delete(&format!("{policy}/rules/{id}")).await?;
        ensure!(reply.status == 200, "{}", String::from_utf8_lossy(&reply.body));
        source.write(ROWS, "s", "large")?;
        source.refresh(server).await?;
        let path = format!("/v1/data-sources/{}/tables/items/rows", source.name);
        let grown = |body: &serde_json::Value| {
            body["results"].as_array().is_some_and(|rows| rows.len() > ROWS)
        };
        server.eventually(&path, PATIENCE, grown).await?;
        let begin = Instant::now();
        let rule = json!({ "rule": rules["results"][0]["rule"] });
        let reply = server.post(&format!("{policy}/rules"), &rule).await?;
        ensure!(reply.status == 201, "{}", String::from_utf8_lossy(&reply.body));
        source.is_everywhere(&deployment, "large").await?;
        times.push(begin.elapsed());
    }
    let what =
        "snapshot of 100,000 rows to three nodes, from the POST of a rule to a row of it on all";
    figures::print(what, times, "< 2000 ms");
    Ok(())
}
