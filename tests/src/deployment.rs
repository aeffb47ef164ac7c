//! A whole deployment on one machine: nodes as processes, with their broker, database and balancer.
//!
//! All nodes share a state folder, as hosts share the key folder that an operator copies: keys,
//! compiled drivers and, without MariaDB, the SQLite file. Each has a configuration and a log of
//! its own there. Every node can reach broker and database through proxies of its own, so that its
//! links can be cut, delayed or frozen without the others noticing.

mod clients;
mod node;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail, ensure};
use congress_test_services::{Haproxy, Mariadb, POLL, Proxy, RabbitMq};
use futures_util::future::try_join_all;
use serde_json::{Value, json};
use tempfile::TempDir;

pub use self::clients::{Attempt, Client, Outage};
pub use self::node::Node;
use crate::{ServerOptions, drivers_folder, root};

/// How long anything may take that usually takes a moment, on a machine that does much else.
const PATIENCE: Duration = Duration::from_secs(300);

/// The name of the database on a server.
const DATABASE: &str = "congress";

/// What a deployment consists of.
#[derive(Clone, Debug)]
pub struct DeploymentOptions {
    /// How many nodes with API and policy engine: `pe1`, `pe2` and so on.
    pub engines: usize,
    /// How many datasource nodes, of which one is active: `ds1`, `ds2` and so on.
    pub datasources: usize,
    /// What holds policies, rules and datasources.
    pub database: Database,
    /// Whether an HAProxy with the configuration in `ocf/` stands before the engines.
    pub balancer: bool,
    /// Whether nodes reach broker and database through a [`Proxy`] each.
    pub links: bool,
    /// The folder with drivers.
    pub drivers: PathBuf,
    /// Options of all nodes: section, name, value.
    pub config: Vec<(String, String, String)>,
    /// Environment variables of all nodes.
    pub environment: Vec<(String, String)>,
}

/// A kind of database.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Database {
    /// A file that all processes of this machine share.
    SqliteFile,
    /// A MariaDB server of its own.
    Mariadb,
}

impl Default for DeploymentOptions {
    /// Two engines and a datasource node on an SQLite file, with the drivers that are shipped.
    fn default() -> Self {
        Self {
            engines: 2,
            datasources: 1,
            database: Database::SqliteFile,
            balancer: false,
            links: false,
            drivers: drivers_folder(),
            config: Vec::new(),
            environment: Vec::new(),
        }
    }
}

impl DeploymentOptions {
    /// Adds an option of all nodes.
    #[must_use]
    pub fn with(mut self, section: &str, name: &str, value: impl ToString) -> Self {
        self.config.push((section.to_owned(), name.to_owned(), value.to_string()));
        self
    }

    /// Adds an environment variable of all nodes.
    #[must_use]
    pub fn environment(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }
}

/// A running deployment. Everything ends with it.
#[derive(Debug)]
pub struct Deployment {
    /// The nodes with API and policy engine.
    pub engines: Vec<Node>,
    /// The datasource nodes.
    pub datasources: Vec<Node>,
    /// The balancer, if there is one.
    pub balancer: Option<Haproxy>,
    /// The broker.
    pub broker: RabbitMq,
    /// The database server, if there is one.
    pub database: Option<Mariadb>,
    state: Arc<TempDir>,
}

impl Deployment {
    /// Starts everything and waits until all nodes are ready, a datasource node is active, and all
    /// engines list its drivers.
    pub async fn start(options: DeploymentOptions) -> anyhow::Result<Self> {
        let state = Arc::new(tempfile::Builder::new().prefix("congress-deployment-").tempdir()?);
        let (broker, database) = tokio::try_join!(RabbitMq::start(), async {
            match options.database {
                Database::SqliteFile => Ok(None),
                Database::Mariadb => {
                    let server = Mariadb::start().await?;
                    crate::database(&server, DATABASE).await?;
                    Ok(Some(server))
                }
            }
        })?;
        let services = Services { broker: &broker, database: database.as_ref() };
        let mut engines = Vec::new();
        for number in 1..=options.engines {
            let name = format!("pe{number}");
            let node = ServerOptions::default().arg("--api").arg("--policy-engine");
            let node = node.with("DEFAULT", "bind_port", steady_port()?);
            engines.push(services.prepare(&options, &state, &name, node).await?);
        }
        let mut datasources = Vec::new();
        for number in 1..=options.datasources {
            let name = format!("ds{number}");
            let node = ServerOptions::default().arg("--datasources");
            datasources.push(services.prepare(&options, &state, &name, node).await?);
        }
        let mut deployment = Self { engines, datasources, balancer: None, broker, database, state };
        // The first makes the keys that all others use, and the tables of the database.
        let (first, others) = deployment.datasources.split_first_mut().context("no node")?;
        first.start().await?;
        try_join_all(others.iter_mut().chain(&mut deployment.engines).map(Node::start)).await?;
        if options.balancer {
            deployment.balancer = Some(deployment.balance().await?);
        }
        deployment.has_drivers().await?;
        Ok(deployment)
    }

    /// The folder that all nodes share.
    pub fn state(&self) -> Arc<TempDir> {
        Arc::clone(&self.state)
    }

    /// Where clients go: the balancer, or the first engine.
    pub fn url(&self) -> anyhow::Result<String> {
        match &self.balancer {
            Some(balancer) => Ok(balancer.url()),
            None => Ok(self.engine(0)?.server()?.url().to_owned()),
        }
    }

    /// The engine of this place, from 0.
    pub fn engine(&self, place: usize) -> anyhow::Result<&Node> {
        self.engines.get(place).with_context(|| format!("there is no engine {place}"))
    }

    /// All nodes, running or not.
    pub fn nodes(&self) -> impl Iterator<Item = &Node> {
        self.engines.iter().chain(&self.datasources)
    }

    /// All nodes, to do something to them.
    pub fn nodes_mut(&mut self) -> impl Iterator<Item = &mut Node> {
        self.engines.iter_mut().chain(&mut self.datasources)
    }

    /// The node of this name.
    pub fn node_mut(&mut self, name: &str) -> anyhow::Result<&mut Node> {
        let found = self.nodes_mut().find(|node| node.name() == name);
        found.with_context(|| format!("there is no node {name}"))
    }

    /// The place of the datasource node that says it is active, if one does.
    pub async fn active(&self) -> Option<usize> {
        for (place, node) in self.datasources.iter().enumerate() {
            if node.role("datasources").await.is_some_and(|role| role.starts_with("active")) {
                return Some(place);
            }
        }
        None
    }

    /// Waits until a datasource node says that it is active; its place.
    pub async fn has_active(&self, within: Duration) -> anyhow::Result<usize> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(place) = self.active().await {
                return Ok(place);
            }
            if Instant::now() > deadline {
                bail!("no datasource node is active after {within:?}\n{}", self.logs());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts nodes again that have ended by themselves, as a service manager does. How they ended.
    pub async fn revive(&mut self) -> anyhow::Result<Vec<String>> {
        let mut ended = Vec::new();
        for node in self.nodes_mut() {
            if let Some(status) = node.has_ended()? {
                ended.push(format!("{} ended with {status}", node.name()));
                node.start().await?;
            }
        }
        Ok(ended)
    }

    /// Waits until each running engine answers a path with just these rows, in whatever order.
    /// `rows` is asked again for every look, for sources that change meanwhile.
    pub async fn eventually_equal(
        &self,
        path: &str,
        within: Duration,
        rows: impl Fn() -> BTreeSet<String>,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        for node in self.engines.iter().filter(|node| node.is_running()) {
            loop {
                let reply = node.server()?.get(path).await;
                let found = match &reply {
                    Ok(reply) if reply.status == 200 => rows_of(&reply.json()?)?,
                    _ => BTreeSet::new(),
                };
                let expected = rows();
                if found == expected {
                    break;
                }
                if Instant::now() > deadline {
                    let lacks: Vec<_> = expected.difference(&found).take(5).collect();
                    let extra: Vec<_> = found.difference(&expected).take(5).collect();
                    bail!(
                        "{path} on {} after {within:?}: {} rows, not {}; it lacks {lacks:?}, and \
                         has {extra:?}\n{}",
                        node.name(),
                        found.len(),
                        expected.len(),
                        self.logs()
                    );
                }
                tokio::time::sleep(POLL).await;
            }
        }
        Ok(())
    }

    /// Creates a datasource through the first engine.
    pub async fn create(&self, driver: &str, name: &str, config: Value) -> anyhow::Result<()> {
        let body = json!({ "name": name, "driver": driver, "config": config });
        self.post("/v1/data-sources", &body).await
    }

    /// Creates a policy with rules through the first engine.
    pub async fn policy<'a>(
        &self,
        name: &str,
        rules: impl IntoIterator<Item = &'a str>,
    ) -> anyhow::Result<()> {
        self.post("/v1/policies", &json!({ "name": name })).await?;
        for rule in rules {
            let path = format!("/v1/policies/{name}/rules");
            self.post(&path, &json!({ "rule": rule })).await.context(rule.to_owned())?;
        }
        Ok(())
    }

    /// The end of every node's log, for a message.
    pub fn logs(&self) -> String {
        const LINES: usize = 25;
        let mut text = String::new();
        for node in self.nodes() {
            let log = node.log();
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
            let _ = writeln!(text, "-- {}\n{}", node.name(), tail.join("\n"));
        }
        text
    }

    async fn post(&self, path: &str, body: &Value) -> anyhow::Result<()> {
        let reply = self.engine(0)?.server()?.post(path, body).await?;
        let text = String::from_utf8_lossy(&reply.body);
        ensure!(reply.status == 201, "{path}: {} {text}", reply.status);
        Ok(())
    }

    async fn balance(&self) -> anyhow::Result<Haproxy> {
        let example = std::fs::read_to_string(root().join("ocf/haproxy.cfg"))?;
        let mut config = String::new();
        for line in example.lines().filter(|line| !line.trim_start().starts_with("server ")) {
            writeln!(config, "{line}")?;
        }
        let mut servers = Vec::new();
        for node in &self.engines {
            writeln!(config, "    server {} 192.0.2.1:1789 check", node.name())?;
            let address: SocketAddr = node.server()?.authority().parse()?;
            servers.push((node.name(), address));
        }
        let balancer = Haproxy::start(&config, &servers).await?;
        for node in &self.engines {
            balancer.holds(node.name(), "UP").await?;
        }
        Ok(balancer)
    }

    /// Waits until the drivers of the active datasource node can be used through every engine.
    async fn has_drivers(&self) -> anyhow::Result<()> {
        self.has_active(PATIENCE).await?;
        let settled = |body: &Value| {
            let states = body["results"].as_array().map_or(&[][..], Vec::as_slice);
            let is = |state: &'static str| move |driver: &Value| driver["state"] == state;
            states.iter().any(is("ready"))
                && states.iter().all(|driver| is("ready")(driver) || is("failed")(driver))
        };
        for node in &self.engines {
            node.server()?.eventually("/v1/system/drivers", PATIENCE, settled).await?;
        }
        Ok(())
    }
}

/// The rows of an answer, each as the text of its JSON.
pub fn rows_of(body: &Value) -> anyhow::Result<BTreeSet<String>> {
    let rows = body["results"].as_array().with_context(|| format!("no rows: {body}"))?;
    Ok(rows.iter().map(|row| row["data"].to_string()).collect())
}

/// What nodes are connected to.
struct Services<'a> {
    broker: &'a RabbitMq,
    database: Option<&'a Mariadb>,
}

impl Services<'_> {
    /// A node that has not been started.
    async fn prepare(
        &self,
        options: &DeploymentOptions,
        state: &Arc<TempDir>,
        name: &str,
        mut node: ServerOptions,
    ) -> anyhow::Result<Node> {
        let broker_link = link(options, self.broker.port()).await?;
        let port = broker_link.as_ref().map_or(self.broker.port(), Proxy::port);
        node = node
            .with("DEFAULT", "transport_url", format!("rabbit://guest:guest@127.0.0.1:{port}/"))
            .arg(format!("--node-id={name}"));
        let mut database_link = None;
        if let Some(server) = self.database {
            database_link = link(options, server.port()).await?;
            let port = database_link.as_ref().map_or(server.port(), Proxy::port);
            // A `$` would begin a substitution.
            let url = server.url_at(port, DATABASE).replace('$', "$$");
            node = node.with("database", "connection", url);
        }
        node.config.extend(options.config.iter().cloned());
        node.environment.extend(options.environment.iter().cloned());
        node.name = name.to_owned();
        node.state = Some(Arc::clone(state));
        node.drivers = Some(options.drivers.clone());
        Ok(Node::new(node, broker_link, database_link))
    }
}

/// The way to a port, if nodes have links of their own.
async fn link(options: &DeploymentOptions, port: u16) -> anyhow::Result<Option<Proxy>> {
    match options.links {
        true => Ok(Some(Proxy::to_port(port).await?)),
        false => Ok(None),
    }
}

/// A port that stays free while its node is down: outside of the range from which the system
/// takes the ports of outgoing connections.
fn steady_port() -> anyhow::Result<u16> {
    use std::sync::atomic::{AtomicU16, Ordering};
    const FIRST: u16 = 20_000;
    const COUNT: u16 = 10_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Other processes of the tests do the same: they begin elsewhere.
    let begin = std::process::id().wrapping_mul(37);
    for _ in 0..COUNT {
        let step = u32::from(NEXT.fetch_add(1, Ordering::Relaxed));
        let offset = u16::try_from(begin.wrapping_add(step) % u32::from(COUNT))?;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, FIRST + offset)).is_ok() {
            return Ok(FIRST + offset);
        }
    }
    bail!("no port of 127.0.0.1 from {FIRST} on is free");
}
