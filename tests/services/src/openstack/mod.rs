//! A private cloud: Keystone, Glance, Placement, Neutron and Nova as Debian packages them.

mod config;
mod schema;
mod service;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use futures_util::future::try_join_all;
use reqwest::Method;
use serde_json::Value;
use tempfile::TempDir;
use tokio::sync::OnceCell;

pub use self::service::CloudService;

use self::config::Config;
use self::schema::manage;
use crate::{Keystone, Mariadb, Process, RabbitMq, eventually, free_port};

/// How long a service may take to start or to answer, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(180);

/// The user that all services have, in the database and in Keystone, and its password.
const SERVICE_USER: &str = "service";

/// The version of Nova's API that requests are sent with: the newest of Debian 12's release.
const COMPUTE_VERSION: &str = "compute 2.93";

/// A cloud of one host without hypervisor: Nova's compute service has the driver for tests that
/// comes with Nova, which keeps its servers in memory, and Neutron has no agents.
///
/// All services keep their data in one MariaDB and talk over one RabbitMQ, both private too. The
/// catalogue has their endpoints in `RegionOne`.
#[derive(Debug)]
pub struct OpenStack {
    // Ended in this order.
    services: BTreeMap<CloudService, Process>,
    keystone: Keystone,
    broker: RabbitMq,
    database: Mariadb,
    config: Config,
    client: reqwest::Client,
    /// Of the administrator, who asks.
    token: OnceCell<String>,
    folder: TempDir,
}

impl OpenStack {
    /// Makes one and waits until it is of use, which takes minutes. `packages` is a folder with the
    /// unpacked Debian packages of the services' programs (`scripts/test-openstack` says which);
    /// their modules (`python3-nova` and so on) are installed.
    pub async fn start(packages: &Path) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("congress-openstack-").tempdir()?;
        // Nothing here must outlive a power failure; the services make hundreds of tables.
        let quick = ["--innodb-flush-method=nosync"];
        let (database, broker) = tokio::try_join!(Mariadb::start_with(&quick), RabbitMq::start())?;
        database
            .sql(&format!(
                "CREATE USER '{SERVICE_USER}'@'%' IDENTIFIED BY '{SERVICE_USER}'; \
                 GRANT ALL PRIVILEGES ON *.* TO '{SERVICE_USER}'@'%'"
            ))
            .await?;
        let mut config = Config {
            packages: packages.to_owned(),
            folder: folder.path().to_owned(),
            database_port: database.port(),
            broker_port: broker.port(),
            keystone_url: String::new(),
            ports: BTreeMap::new(),
        };
        for service in CloudService::ALL.into_iter().filter(|service| service.kind().is_some()) {
            config.ports.insert(service, free_port()?);
        }
        for name in schema::DATABASES {
            database.sql(&format!("CREATE DATABASE {name}")).await?;
        }
        let keystone = Keystone::start_of_debian(&config.database_url("keystone")).await?;
        config.keystone_url = keystone.url();
        keystone.add_user(SERVICE_USER, SERVICE_USER, "service", "admin").await?;
        for service in CloudService::ALL {
            if let Some(kind) = service.kind() {
                keystone.add_endpoint(kind, service.name(), &config.url(service)).await?;
            }
        }
        config.write()?;
        schema::make(&config).await?;
        let client = crate::keystone::client()?;
        let services = BTreeMap::new();
        let token = OnceCell::new();
        let mut cloud =
            Self { services, keystone, broker, database, config, client, token, folder };
        cloud.begin().await?;
        Ok(cloud)
    }

    /// Its identity service.
    pub fn keystone(&self) -> &Keystone {
        &self.keystone
    }

    /// The same, to stop and start it.
    pub fn keystone_mut(&mut self) -> &mut Keystone {
        &mut self.keystone
    }

    /// The database of all services; each has one of its name.
    pub fn database(&self) -> &Mariadb {
        &self.database
    }

    /// Where a service with an API is, as the catalogue says.
    pub fn url(&self, service: CloudService) -> String {
        self.config.url(service)
    }

    /// What a service has printed and logged.
    pub fn log(&self, service: CloudService) -> String {
        self.services.get(&service).map(Process::log).unwrap_or_default()
    }

    /// Ends a service without warning.
    pub async fn stop(&mut self, service: CloudService) -> anyhow::Result<()> {
        if let Some(mut process) = self.services.remove(&service) {
            process.kill().await?;
        }
        Ok(())
    }

    /// Starts a service again, and waits until its API answers if it has one.
    pub async fn run(&mut self, service: CloudService) -> anyhow::Result<()> {
        self.spawn(service)?;
        self.answers(service).await
    }

    /// Sends a request as the administrator to a service's API and gives the answer's body, or null
    /// where it is not JSON. `path` is what follows the service's address and a slash.
    pub async fn ask(
        &self,
        service: CloudService,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let body = body.map(|body| ("application/json", body.to_string().into_bytes()));
        self.send(service, method, path, body).await
    }

    /// The same with a body of any type.
    pub async fn send(
        &self,
        service: CloudService,
        method: Method,
        path: &str,
        body: Option<(&str, Vec<u8>)>,
    ) -> anyhow::Result<Value> {
        let url = format!("{}/{path}", self.url(service));
        let mut request = self.client.request(method, url);
        if service == CloudService::NovaApi {
            request = request.header("openstack-api-version", COMPUTE_VERSION);
        }
        if let Some((kind, body)) = body {
            request = request.header("content-type", kind).body(body);
        }
        let token = self.token.get_or_try_init(|| self.keystone.admin_token()).await?;
        let answer = request.header("x-auth-token", token).send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "{}, {path}: {status} {body}", service.name());
        Ok(serde_json::from_str(&body).unwrap_or_default())
    }

    /// Starts all services and waits until a server could be created.
    async fn begin(&mut self) -> anyhow::Result<()> {
        for service in CloudService::ALL {
            self.spawn(service)?;
        }
        let with_api = CloudService::ALL.into_iter().filter(|service| service.kind().is_some());
        try_join_all(with_api.map(|service| self.answers(service))).await?;
        let is_up = |service: &Value| service["state"] == "up";
        self.until("all of Nova's services are up", "os-services", |body| {
            let services = body["services"].as_array().map_or(&[][..], Vec::as_slice);
            services.len() == 3 && services.iter().all(is_up)
        })
        .await?;
        // Maps the host to its cell, which the scheduler wants.
        let config = self.config.clone();
        let discover = move || manage(&config, "nova-manage", &["cell_v2", "discover_hosts"]);
        tokio::task::spawn_blocking(discover).await??;
        self.until("Nova has a hypervisor", "os-hypervisors", |body| {
            body["hypervisors"].as_array().is_some_and(|found| !found.is_empty())
        })
        .await
    }

    async fn until(
        &self,
        what: &str,
        path: &str,
        condition: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<()> {
        let api = CloudService::NovaApi;
        eventually(what, PATIENCE, async || {
            let body = self.ask(api, Method::GET, path, None).await;
            body.is_ok_and(|body| condition(&body)).then_some(())
        })
        .await
        .with_context(|| self.logs())
    }

    fn spawn(&mut self, service: CloudService) -> anyhow::Result<()> {
        let command = service.command(&self.config);
        let log = self.folder.path().join(format!("{}.log", service.name()));
        self.services.insert(service, Process::start(command, &log)?);
        Ok(())
    }

    /// Waits until a service says which versions of its API it has.
    async fn answers(&self, service: CloudService) -> anyhow::Result<()> {
        let Some(port) = self.config.ports.get(&service) else { return Ok(()) };
        let url = format!("http://127.0.0.1:{port}/");
        eventually(&format!("{} answers", service.name()), PATIENCE, async || {
            let answer = self.client.get(&url).send().await;
            answer.is_ok_and(|answer| !answer.status().is_server_error()).then_some(())
        })
        .await
        .with_context(|| self.log(service))
    }

    /// The end of every service's log, for a message.
    fn logs(&self) -> String {
        const LINES: usize = 15;
        let tail = |service: &CloudService| {
            let log = self.log(*service);
            let lines: Vec<&str> = log.lines().collect();
            let tail = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
            format!("-- {}\n{}\n", service.name(), tail.join("\n"))
        };
        format!(
            "{}-- broker\n{}",
            self.services.keys().map(tail).collect::<String>(),
            self.broker.log()
        )
    }
}
