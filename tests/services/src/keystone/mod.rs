//! A private Keystone.

mod installation;

use std::fs;
use std::process::Command;
use std::sync::Once;
use std::time::Duration;

use anyhow::{Context as _, ensure};
use reqwest::Method;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use self::installation::Installation;
use crate::{Process, eventually, free_port, python_environment};

/// What is installed from PyPI. A change makes a new environment.
const REQUIREMENTS: [&str; 2] = ["keystone==28.0.0", "waitress==3.0.2"];

/// Serves Keystone, and ends with the process that started it; its folder too, which nobody else
/// would remove then.
const SERVE: &str = r"
import os, shutil, sys, threading
def watch():
    sys.stdin.read()
    shutil.rmtree(os.environ['KEYSTONE_TEST_FOLDER'], ignore_errors=True)
    os._exit(0)
threading.Thread(target=watch, daemon=True).start()
from keystone.server.wsgi import initialize_public_application
from waitress import serve
serve(initialize_public_application(), host='127.0.0.1', port=int(os.environ['KEYSTONE_TEST_PORT']), threads=8)
";

/// How long it may take to start or to answer, on a machine that has much else to do.
const PATIENCE: Duration = Duration::from_secs(90);

/// Keystone on a free port of 127.0.0.1: from PyPI with its data in SQLite, or Debian's with its data
/// in a database that is given.
///
/// It has the domain `Default` (id `default`), the project `admin`, the user `admin` with
/// [`Keystone::ADMIN_PASSWORD`], the roles `admin`, `manager`, `member`, `reader` and `service`, and
/// the region `RegionOne` with its own endpoints. Its tokens are Fernet tokens; a revoked one is
/// refused at once.
#[derive(Debug)]
pub struct Keystone {
    folder: TempDir,
    installation: Installation,
    port: u16,
    client: reqwest::Client,
    process: Option<Process>,
}

impl Keystone {
    /// The password of the user `admin`.
    pub const ADMIN_PASSWORD: &str = "s3cret of the admin";

    /// Makes one and waits until it answers. Installs it first if need be, which takes a minute.
    pub async fn start() -> anyhow::Result<Self> {
        let environment =
            tokio::task::spawn_blocking(|| python_environment(&REQUIREMENTS)).await??;
        Self::start_of(Installation::Environment(environment)).await
    }

    /// Makes one of Debian's package `python3-keystone`, with its data in an empty database, whose
    /// URL is as Keystone takes it.
    pub async fn start_of_debian(database: &str) -> anyhow::Result<Self> {
        Self::start_of(Installation::Debian { database: database.to_owned() }).await
    }

    async fn start_of(installation: Installation) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("congress-keystone-").tempdir()?;
        let mut keystone =
            Self { folder, installation, port: free_port()?, client: client()?, process: None };
        let (installation, url) = (keystone.installation.clone(), keystone.url());
        let folder = keystone.folder.path().to_owned();
        tokio::task::spawn_blocking(move || installation.prepare(&folder, &url)).await??;
        keystone.run().await?;
        Ok(keystone)
    }

    /// One for all tests of a binary. They keep apart by users and projects.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Keystone> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// What `auth_url` is: with the version at its end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/v3", self.port)
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What it has printed and logged.
    pub fn log(&self) -> String {
        self.process.as_ref().map(Process::log).unwrap_or_default()
    }

    /// Starts it again after [`Keystone::stop`], with all that it had.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        let mut command = Command::new(self.installation.python());
        command
            .args(["-W", "ignore", "-c", SERVE])
            .current_dir(self.folder.path())
            .env("OS_KEYSTONE_CONFIG_FILES", self.folder.path().join("keystone.conf"))
            .env("KEYSTONE_TEST_FOLDER", self.folder.path())
            .env("KEYSTONE_TEST_PORT", self.port.to_string());
        let log = self.folder.path().join("server.log");
        let process = self.process.insert(Process::start_guarded(command, &log)?);
        let (url, client) = (format!("http://127.0.0.1:{}/v3", self.port), &self.client);
        eventually("Keystone answers", PATIENCE, async || {
            if let Ok(Some(status)) = process.has_ended() {
                return Some(Err(anyhow::anyhow!("Keystone ended: {status}\n{}", process.log())));
            }
            client.get(&url).send().await.is_ok_and(|r| r.status().is_success()).then_some(Ok(()))
        })
        .await?
    }

    /// Sets an option, to have an effect when it is started again.
    pub fn configure(&self, section: &str, name: &str, value: &str) -> anyhow::Result<()> {
        let path = self.folder.path().join("keystone.conf");
        let config = fs::read_to_string(&path)?;
        Ok(fs::write(path, format!("{config}[{section}]\n{name} = {value}\n"))?)
    }

    /// Ends it: nobody answers on its port any more.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Lets it stand still, so that it takes requests and does not answer, or go on.
    pub fn pause(&self, still: bool) -> anyhow::Result<()> {
        use rustix::process::Signal;
        let process = self.process.as_ref().context("Keystone is stopped")?;
        process.signal_group(if still { Signal::STOP } else { Signal::CONT })
    }

    /// A token of the user `admin` for the project `admin`.
    pub async fn admin_token(&self) -> anyhow::Result<String> {
        self.token("admin", Self::ADMIN_PASSWORD, Some("admin")).await
    }

    /// A token for a project of the domain `Default`; without a project one without scope.
    pub async fn token(
        &self,
        user: &str,
        password: &str,
        project: Option<&str>,
    ) -> anyhow::Result<String> {
        let domain = json!({ "id": "default" });
        let user = json!({ "name": user, "domain": domain, "password": password });
        let identity = json!({ "methods": ["password"], "password": { "user": user } });
        let mut auth = json!({ "identity": identity });
        if let Some(project) = project {
            auth["scope"] = json!({ "project": { "name": project, "domain": domain } });
        }
        self.log_in(auth).await
    }

    /// A token for what the body of `POST /v3/auth/tokens` has under `auth`.
    pub async fn log_in(&self, auth: Value) -> anyhow::Result<String> {
        let url = format!("{}/auth/tokens", self.url());
        let answer = self.client.post(url).json(&json!({ "auth": auth })).send().await?;
        let token = answer.headers().get("x-subject-token").cloned();
        let (status, body) = (answer.status(), answer.text().await?);
        let token = token.with_context(|| format!("no token: {status} {body}"))?;
        Ok(token.to_str()?.to_owned())
    }

    /// Makes a project in the domain `Default`; its id.
    pub async fn add_project(&self, name: &str) -> anyhow::Result<String> {
        let project = json!({ "project": { "name": name, "domain_id": "default" } });
        self.add("projects", "project", project).await
    }

    /// Makes a role; its id.
    pub async fn add_role(&self, name: &str) -> anyhow::Result<String> {
        self.add("roles", "role", json!({ "role": { "name": name } })).await
    }

    /// Makes a user of the domain `Default` with a role in a project; its id. Project and role are
    /// made if they are not there.
    pub async fn add_user(
        &self,
        name: &str,
        password: &str,
        project: &str,
        role: &str,
    ) -> anyhow::Result<String> {
        let project_id = match self.find("projects", project).await? {
            Some(id) => id,
            None => self.add_project(project).await?,
        };
        let role_id = match self.find("roles", role).await? {
            Some(id) => id,
            None => self.add_role(role).await?,
        };
        let user = json!({ "user": {
            "name": name, "password": password, "domain_id": "default",
            "default_project_id": project_id,
        } });
        let id = self.add("users", "user", user).await?;
        let path = format!("projects/{project_id}/users/{id}/roles/{role_id}");
        self.ask(Method::PUT, &path, None).await?;
        Ok(id)
    }

    /// Makes a service in the catalogue, with the same URL for all interfaces in `RegionOne`.
    pub async fn add_endpoint(&self, kind: &str, name: &str, url: &str) -> anyhow::Result<()> {
        let service = json!({ "service": { "type": kind, "name": name } });
        let service = self.add("services", "service", service).await?;
        for interface in ["public", "internal", "admin"] {
            let endpoint = json!({ "endpoint": {
                "service_id": service, "region_id": "RegionOne", "interface": interface, "url": url,
            } });
            self.add("endpoints", "endpoint", endpoint).await?;
        }
        Ok(())
    }

    /// Revokes a token.
    pub async fn revoke(&self, token: &str) -> anyhow::Result<()> {
        let url = format!("{}/auth/tokens", self.url());
        let request = self.client.delete(url).header("x-auth-token", self.admin_token().await?);
        let answer = request.header("x-subject-token", token).send().await?;
        ensure!(answer.status().is_success(), "a token is not revoked: {}", answer.status());
        Ok(())
    }

    /// Sends a request as the administrator. `path` is what follows `/v3/`.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let token = self.admin_token().await?;
        let url = format!("{}/{path}", self.url());
        let mut request = self.client.request(method, url).header("x-auth-token", token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await?;
        let (status, body) = (answer.status(), answer.text().await?);
        ensure!(status.is_success(), "Keystone, {path}: {status} {body}");
        Ok(serde_json::from_str(&body).unwrap_or_default())
    }

    async fn add(&self, collection: &str, key: &str, body: Value) -> anyhow::Result<String> {
        let made = self.ask(Method::POST, collection, Some(body)).await?;
        Ok(made[key]["id"].as_str().context("no id")?.to_owned())
    }

    async fn find(&self, collection: &str, name: &str) -> anyhow::Result<Option<String>> {
        let found = self.ask(Method::GET, &format!("{collection}?name={name}"), None).await?;
        Ok(found[collection][0]["id"].as_str().map(str::to_owned))
    }
}

pub(crate) fn client() -> anyhow::Result<reqwest::Client> {
    static TLS: Once = Once::new();
    // The client asks for a provider even where it speaks no TLS.
    TLS.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    // Each test has a runtime of its own, and a connection ends with the one that opened it.
    let builder = reqwest::Client::builder().no_proxy().pool_max_idle_per_host(0);
    Ok(builder.timeout(PATIENCE).build()?)
}
