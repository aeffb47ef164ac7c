//! One node of a deployment, which may be down for a while.

use std::path::{Path, PathBuf};
use std::process::ExitStatus;

use anyhow::{Context as _, bail};
use congress_test_services::Proxy;
use rustix::process::Signal;

use crate::{Server, ServerOptions};

/// A node: a process while it runs, and what it is started with.
#[derive(Debug)]
pub struct Node {
    options: ServerOptions,
    server: Option<Server>,
    broker_link: Option<Proxy>,
    database_link: Option<Proxy>,
}

impl Node {
    pub(super) fn new(
        options: ServerOptions,
        broker_link: Option<Proxy>,
        database_link: Option<Proxy>,
    ) -> Self {
        Self { options, server: None, broker_link, database_link }
    }

    /// Its id.
    pub fn name(&self) -> &str {
        &self.options.name
    }

    /// Whether it is meant to run: it was started, and nobody has ended it.
    pub fn is_running(&self) -> bool {
        self.server.is_some()
    }

    /// Its process.
    pub fn server(&self) -> anyhow::Result<&Server> {
        self.server.as_ref().with_context(|| format!("{} is not running", self.name()))
    }

    /// Starts it and waits until it is ready.
    pub async fn start(&mut self) -> anyhow::Result<()> {
        if self.server.is_some() {
            bail!("{} runs already", self.name());
        }
        let server = Server::start(self.options.clone()).await;
        self.server = Some(server.with_context(|| format!("{} does not start", self.name()))?);
        Ok(())
    }

    /// Ends it without warning (SIGKILL).
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        self.take()?.kill().await
    }

    /// Has it end by itself (SIGTERM), and waits for it.
    pub async fn stop(&mut self) -> anyhow::Result<ExitStatus> {
        self.take()?.stop().await
    }

    /// Stops it and starts it again.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.start().await
    }

    /// Lets it stand still in the middle of whatever it does (SIGSTOP).
    pub fn pause(&self) -> anyhow::Result<()> {
        self.server()?.signal(Signal::STOP)
    }

    /// Lets it go on (SIGCONT).
    pub fn resume(&self) -> anyhow::Result<()> {
        self.server()?.signal(Signal::CONT)
    }

    /// Its link to the broker.
    pub fn broker_link(&self) -> anyhow::Result<&Proxy> {
        self.broker_link.as_ref().context("the deployment was started without links")
    }

    /// Its link to the database.
    pub fn database_link(&self) -> anyhow::Result<&Proxy> {
        self.database_link.as_ref().context("the deployment was started without links")
    }

    /// Both links, as far as there are any.
    pub fn links(&self) -> impl Iterator<Item = &Proxy> {
        self.broker_link.iter().chain(&self.database_link)
    }

    /// Restarts it as a process whose wall clock can be set ([`Node::set_clock`]). The clock by
    /// which it measures how long something takes goes on as it does.
    pub async fn restart_with_clock(&mut self) -> anyhow::Result<()> {
        let library = ["x86_64-linux-gnu", "aarch64-linux-gnu"]
            .map(|machine| format!("/usr/lib/{machine}/faketime/libfaketimeMT.so.1"))
            .into_iter()
            .find(|path| Path::new(path).exists())
            .context("on Debian: apt-get install libfaketime")?;
        let file = self.file("clock")?;
        std::fs::write(&file, "+0\n")?;
        let clock = [
            ("LD_PRELOAD", library),
            ("FAKETIME_TIMESTAMP_FILE", file.display().to_string()),
            ("FAKETIME_CACHE_DURATION", "1".to_owned()),
            ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ]
        .map(|(name, value)| (name.to_owned(), value));
        self.options.environment.extend(clock);
        self.restart().await
    }

    /// Whether its wall clock can be set.
    pub fn has_clock(&self) -> bool {
        self.options.environment.iter().any(|(name, _)| name == "LD_PRELOAD")
    }

    /// Lets its wall clock go wrong by so much, within a second: `+3600`, for instance.
    pub fn set_clock(&self, offset: &str) -> anyhow::Result<()> {
        Ok(std::fs::write(self.file("clock")?, format!("{offset}\n"))?)
    }

    /// What a role of it does at present, as `/readyz` says.
    pub async fn role(&self, role: &str) -> Option<String> {
        let reply = self.server.as_ref()?.get("/readyz").await.ok()?;
        Some(reply.json().ok()?["roles"][role].as_str()?.to_owned())
    }

    /// How it has ended by itself, if it has; it can be started again then.
    pub(super) fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        let Some(server) = &mut self.server else { return Ok(None) };
        let status = server.has_ended()?;
        if status.is_some() {
            self.server = None;
        }
        Ok(status)
    }

    /// What it has logged, in all its lives.
    pub fn log(&self) -> String {
        let path = self.file("log").ok();
        let log = path.and_then(|path| std::fs::read(path).ok()).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    /// Its log, or a file beside it.
    fn file(&self, what: &str) -> anyhow::Result<PathBuf> {
        let state = self.options.state.as_ref().context("a node without a state folder")?;
        Ok(state.path().join(format!("{}-server.{what}", self.name())))
    }

    fn take(&mut self) -> anyhow::Result<Server> {
        self.server.take().with_context(|| format!("{} is not running", self.options.name))
    }
}
