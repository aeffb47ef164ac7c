//! Sources that are files.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use congress_tests::{Deployment, Node, Server};
use serde_json::json;

/// How long anything may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

/// How often a node is asked whether it shows something.
pub(crate) const LOOK: Duration = Duration::from_millis(1);

/// A file with rows `k<i>, v<i>-<salt>` and a marker, and the datasource that reads it.
pub(crate) struct Source {
    pub(crate) name: String,
    path: PathBuf,
}

impl Source {
    /// Creates the datasource, and a policy of the same name with `m` with the marker's value.
    pub(crate) async fn create(
        deployment: &Deployment,
        folder: &Path,
        name: &str,
        poll_time: u32,
    ) -> Result<Self> {
        let source = Self { name: name.to_owned(), path: folder.join(format!("{name}.csv")) };
        source.write(0, "", "first")?;
        deployment.create("files", name, source.config(poll_time)).await?;
        let rule = format!("m(g) :- {name}:items(\"marker\", g)");
        deployment.policy(&source.policy(), [rule.as_str()]).await?;
        Ok(source)
    }

    /// The name of the policy that shows it.
    pub(crate) fn policy(&self) -> String {
        format!("of_{}", self.name)
    }

    fn config(&self, poll_time: u32) -> serde_json::Value {
        let tables = json!({ "items": { "format": "csv", "path": self.path, "header": true } });
        json!({
            "poll_time": poll_time.to_string(), "folder": self.path.parent(), "tables": tables,
        })
    }

    /// Replaces the file.
    pub(crate) fn write(&self, rows: usize, salt: &str, marker: &str) -> Result<()> {
        let mut text = format!("k,v\nmarker,{marker}\n");
        for row in 0..rows {
            writeln!(text, "k{row},v{row}-{salt}")?;
        }
        let beside = self.path.with_extension("new");
        std::fs::write(&beside, text)?;
        Ok(std::fs::rename(&beside, &self.path)?)
    }

    /// Has it polled now.
    pub(crate) async fn refresh(&self, server: &Server) -> Result<()> {
        let path = format!("/v1/data-sources/{}?action=request-refresh", self.name);
        let reply = server.post(&path, &json!({})).await?;
        match reply.status {
            200 => Ok(()),
            status => bail!("{path}: {status} {}", String::from_utf8_lossy(&reply.body)),
        }
    }

    /// Waits until a node shows a marker.
    pub(crate) async fn shows(&self, node: &Node, marker: &str) -> Result<()> {
        let path = format!("/v1/policies/{}/tables/m/rows", self.policy());
        let begin = Instant::now();
        loop {
            // A node that is being started, or whose broker is away, may not answer.
            let reply = node.server()?.get(&path).await;
            let body = reply.ok().and_then(|reply| reply.json().ok()).unwrap_or_default();
            if body["results"][0]["data"][0] == marker {
                return Ok(());
            }
            if begin.elapsed() > PATIENCE {
                bail!("{} does not show {marker}: {body}", node.name());
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Waits until all engines show a marker.
    pub(crate) async fn is_everywhere(&self, deployment: &Deployment, marker: &str) -> Result<()> {
        for node in &deployment.engines {
            self.shows(node, marker).await?;
        }
        Ok(())
    }
}
