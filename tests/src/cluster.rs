//! Nodes that share a broker and a database: the same for all tests of a process, each of which has
//! a bus and a database of its own there. For tests of single parts; [`Deployment`] is the whole
//! system, whose broker and links a test may break.
//!
//! [`Deployment`]: crate::Deployment

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::bail;
use congress_test_services::{Mariadb, Postgresql, RabbitMq};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{Reply, Server, ServerOptions};

/// The header that says which revision of the database an answer is of.
const REVISION: &str = "x-congress-revision";

/// What nodes share.
pub struct Cluster {
    /// Where the broker is for nodes; a test may put a proxy there.
    pub transport_url: String,
    /// Where the database is for nodes.
    pub connection: String,
    name: String,
    keys: TempDir,
    drivers: PathBuf,
}

impl Cluster {
    /// A cluster on the broker and the database server of this test process, with a bus and a
    /// database of its own. Nodes find drivers in this folder.
    pub async fn start(drivers: &Path) -> anyhow::Result<Self> {
        let (broker, server) = tokio::try_join!(RabbitMq::shared(), Mariadb::shared())?;
        let name = unused_name();
        let connection = server.database(&name).await?;
        Self::on(broker, connection, name, drivers).await
    }

    /// The same on PostgreSQL.
    pub async fn start_on_postgresql(drivers: &Path) -> anyhow::Result<Self> {
        let (broker, server) = tokio::try_join!(RabbitMq::shared(), Postgresql::shared())?;
        let name = unused_name();
        let connection = server.database(&name).await?;
        Self::on(broker, connection, name, drivers).await
    }

    async fn on(
        broker: &RabbitMq,
        connection: String,
        name: String,
        drivers: &Path,
    ) -> anyhow::Result<Self> {
        Ok(Self {
            transport_url: format!("rabbit://guest:guest@127.0.0.1:{}/", broker.port()),
            connection: crate::database::with_tables(connection).await?,
            name,
            keys: tempfile::tempdir()?,
            drivers: drivers.to_owned(),
        })
    }

    /// Options of a node of this cluster. The node has a state folder of its own.
    pub fn node(&self, node_id: &str, roles: &[&str]) -> ServerOptions {
        let mut options =
            ServerOptions { drivers: Some(self.drivers.clone()), ..Default::default() }
                .with("DEFAULT", "transport_url", &self.transport_url)
                .with("DEFAULT", "replicated_policy_engine", true)
                .with("DEFAULT", "encryption_key_path", self.keys.path().display())
                .with("dse", "bus_id", &self.name)
                .with("database", "connection", &self.connection)
                .arg(format!("--node-id={node_id}"));
        for role in roles {
            options = options.arg(format!("--{role}"));
        }
        options
    }

    /// Options of a node with API and policy engine, as the deployment guide has it.
    pub fn engine(&self, node_id: &str) -> ServerOptions {
        self.node(node_id, &["api", "policy-engine"])
    }

    /// Options of a datasource node, as the deployment guide has it: all of them have one id.
    pub fn datasources(&self) -> ServerOptions {
        self.node("datasource-node", &["datasources"])
    }

    /// Starts that many nodes with API and policy engine, all at once.
    pub async fn engines(&self, count: usize) -> anyhow::Result<Vec<Server>> {
        let nodes = (1..=count).map(|number| Server::start(self.engine(&format!("pe{number}"))));
        futures_util::future::try_join_all(nodes).await
    }

    /// Starts a datasource node and waits until it is the active one.
    pub async fn active(&self) -> anyhow::Result<Server> {
        let server = Server::start(self.datasources()).await?;
        is_active(&server).await?;
        Ok(server)
    }
}

/// The name of a bus and a database that no other cluster has.
fn unused_name() -> String {
    static CLUSTERS: AtomicUsize = AtomicUsize::new(0);
    format!("congress{}", CLUSTERS.fetch_add(1, Ordering::Relaxed))
}

/// Waits until a datasource node is the active one; its term.
pub async fn is_active(server: &Server) -> anyhow::Result<u64> {
    let active = |body: &Value| {
        body["roles"]["datasources"]
            .as_str()
            .is_some_and(|role| role.starts_with("active in term "))
    };
    let said = server.eventually("/readyz?detail", Duration::from_secs(30), active).await?;
    Ok(said["lease"]["term"].as_u64().unwrap_or_default())
}

/// The revision that an answer is of.
pub fn revision(reply: &Reply) -> Option<u64> {
    reply.headers.get(REVISION)?.to_str().ok()?.parse().ok()
}

/// `GET` of a state that has at least this revision.
pub async fn get_at(server: &Server, path: &str, revision: u64) -> anyhow::Result<Reply> {
    let mut headers = HeaderMap::new();
    headers.insert(REVISION, revision.into());
    server.request(Method::GET, path, headers, None).await
}

/// Creates a datasource once its driver is known; what the API says of it.
pub async fn create_datasource(
    server: &Server,
    driver: &str,
    name: &str,
    config: Value,
) -> anyhow::Result<Reply> {
    let path = format!("/v1/system/drivers/{driver}?detail=true");
    server.eventually(&path, Duration::from_secs(60), |body| body["id"] == driver).await?;
    let body = json!({ "name": name, "driver": driver, "config": config });
    let reply = server.post("/v1/data-sources", &body).await?;
    if reply.status != 201 {
        bail!("{}: {}", reply.status, String::from_utf8_lossy(&reply.body));
    }
    Ok(reply)
}

/// The rows of an answer, each as JSON, sorted.
pub fn rows(body: &Value) -> Option<Vec<String>> {
    let rows = body["results"].as_array()?;
    let mut rows: Vec<_> = rows.iter().map(|row| row["data"].to_string()).collect();
    rows.sort();
    Some(rows)
}
