//! What is around the cluster: database, broker, a node with API and engine, and data that changes.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use congress_test_services::{Cluster, Mariadb, Process, RabbitMq, SERVICES};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};

/// How long anything may take that is not measured.
pub(crate) const PATIENCE: Duration = Duration::from_secs(240);

/// A port of the services' address that leads to a server on loopback.
pub(crate) async fn forward(port: u16, to: u16) {
    let listener = TcpListener::bind((SERVICES, port)).await.unwrap();
    tokio::spawn(async move {
        while let Ok((mut inbound, _)) = listener.accept().await {
            tokio::spawn(async move {
                if let Ok(mut outbound) = TcpStream::connect(("127.0.0.1", to)).await {
                    // An error is the end of a connection.
                    let _ = tokio::io::copy_bidirectional(&mut inbound, &mut outbound).await;
                }
            });
        }
    });
}

/// Runs commands here, outside the nodes, that must succeed; gives what they print.
pub(crate) fn here(commands: &str) -> String {
    let output = Command::new("bash")
        .args(["-euo", "pipefail", "-c", commands])
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let out = String::from_utf8_lossy(&output.stdout).into_owned();
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{commands}\n{out}{error}");
    out
}

/// The node with API and engine.
pub(crate) struct Api {
    process: Process,
    client: reqwest::Client,
    url: String,
}

impl Api {
    /// Starts it as the guide says, as the user that its unit names, and waits until it is ready.
    pub(crate) async fn start(commands: &str, folder: &Path) -> Self {
        let mut command = Command::new("setpriv");
        command
            .args(["--reuid=congress", "--regid=congress", "--init-groups", "bash", "-c"])
            .arg(format!("exec {commands}"))
            .env("HOME", "/var/lib/congress");
        let process = Process::start(command, &folder.join("pe1.log")).unwrap();
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = reqwest::Client::builder().no_proxy().timeout(PATIENCE).build().unwrap();
        let api = Self { process, client, url: "http://127.0.0.1:1789".to_owned() };
        let ready = async || (api.get("/readyz").await.ok()?.0 == 200).then_some(());
        let waited = congress_test_services::eventually("pe1 is ready", PATIENCE, ready).await;
        assert!(waited.is_ok(), "{}", api.process.log());
        api
    }

    /// The log of the process.
    pub(crate) fn log(&self) -> String {
        self.process.log()
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Result<(u16, Value)> {
        let answer = self.client.get(format!("{}{path}", self.url)).send().await?;
        let status = answer.status().as_u16();
        Ok((status, answer.json().await?))
    }

    /// Sends something until it succeeds: a driver may still be compiled, for instance.
    pub(crate) async fn post(&self, path: &str, body: Value) {
        let url = format!("{}{path}", self.url);
        let mut last = String::new();
        let send = async || {
            let answer = self.client.post(&url).json(&body).send().await.ok()?;
            let good = answer.status().is_success();
            last = answer.text().await.unwrap_or_default();
            good.then_some(())
        };
        let sent = congress_test_services::eventually(path, PATIENCE, send).await;
        assert!(sent.is_ok(), "{path}: {last}");
    }

    /// The rows of a table, each with its cells joined by a space.
    pub(crate) async fn rows(&self, path: &str) -> Option<BTreeSet<String>> {
        let (status, body) = self.get(path).await.ok()?;
        if status != 200 {
            return None;
        }
        let rows = body["results"].as_array()?.iter().map(|row| {
            let cells = row["data"].as_array().into_iter().flatten();
            let cells: Vec<String> = cells
                .map(|cell| cell.as_str().map_or_else(|| cell.to_string(), str::to_owned))
                .collect();
            cells.join(" ")
        });
        Some(rows.collect())
    }
}

/// Data on the nodes: each has a file of its own, which tells which node has read it.
pub(crate) struct Data {
    generation: u32,
}

impl Data {
    pub(crate) fn new() -> Self {
        Self { generation: 0 }
    }

    /// Replaces all rows, on all nodes that run. What was there before is stale from now on.
    pub(crate) fn change(&mut self, cluster: &Cluster) {
        self.generation += 1;
        for node in 0..2 {
            let lines: String = (0..3)
                .map(|row| format!("{}-{row}:node{}\\n", self.generation, node + 1))
                .collect();
            // A node without power has no file.
            let write = format!(
                "mkdir -p /run/data && printf '{lines}' >/run/data/state.new && \
                 mv /run/data/state.new /run/data/state"
            );
            let _ = cluster.run(node, &write);
        }
    }

    /// The rows that a node publishes.
    pub(crate) fn of(&self, node: usize) -> BTreeSet<String> {
        (0..3).map(|row| format!("{}-{row} node{}", self.generation, node + 1)).collect()
    }
}

/// Waits until the engine has the rows of a node, through a rule, and gives how long that took.
/// None stands for whichever node; the one that it was is given.
pub(crate) async fn published(
    api: &Api,
    data: &Data,
    node: Option<usize>,
    since: Instant,
) -> (usize, Duration) {
    let nodes = node.map_or(0..2, |node| node..node + 1);
    let look = async || {
        let rows = api.rows("/v1/policies/ha/tables/seen/rows").await?;
        nodes.clone().find(|node| rows == data.of(*node))
    };
    let found = congress_test_services::eventually("current rows", PATIENCE, look).await;
    let Ok(node) = found else {
        let rows = api.rows("/v1/policies/ha/tables/seen/rows").await;
        panic!("{:?} are not {rows:?}\n{}", data.generation, api.log());
    };
    (node, since.elapsed())
}

/// The services, ended with the handle.
pub(crate) struct Services {
    pub(crate) mariadb: Mariadb,
    pub(crate) rabbitmq: RabbitMq,
}

impl Services {
    pub(crate) async fn start() -> Self {
        let (mariadb, rabbitmq) = tokio::try_join!(Mariadb::start(), RabbitMq::start()).unwrap();
        // The guide makes that user.
        mariadb.sql("DROP USER 'congress'@'%'").await.unwrap();
        Self { mariadb, rabbitmq }
    }

    /// Runs commands for the database's host.
    pub(crate) fn at_database(&self, commands: &str) {
        // Where Debian's client looks for it.
        let socket = self.mariadb.socket();
        let link =
            format!("mkdir -p /run/mysqld; ln -sf '{}' /run/mysqld/mysqld.sock", socket.display());
        here(&format!("{link}\n{commands}"));
    }

    /// Runs commands for the broker's host: those of `rabbitmqctl`, a line each.
    pub(crate) async fn at_broker(&self, commands: &str) {
        for line in commands.lines() {
            let words: Vec<&str> =
                line.split_whitespace().map(|word| word.trim_matches('\'')).collect();
            let [first, arguments @ ..] = &words[..] else { continue };
            assert_eq!(*first, "rabbitmqctl", "{line}");
            self.rabbitmq.ctl(arguments).await.unwrap();
        }
    }
}
