//! The real server as a process of its own.
//!
//! A server gets a state folder (a temporary one, or that of an earlier server, to see what
//! survives), a configuration file in it, and a free port. Its log goes to a file there, which
//! tests may read. It ends with the [`Server`], by its process id.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Once};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;

use crate::binaries;

/// How long a server may take to start or to stop. Generous: drivers are compiled meanwhile, on
/// machines that do other things too.
const DEADLINE: Duration = Duration::from_secs(300);

/// How often a condition is looked at.
const POLL: Duration = Duration::from_millis(20);

/// What a server is started with.
#[derive(Clone, Debug, Default)]
pub struct ServerOptions {
    /// Options beyond those that the harness sets, which they override: section, name, value.
    pub config: Vec<(String, String, String)>,
    /// The folder with drivers. None: an empty one.
    pub drivers: Option<PathBuf>,
    /// The state folder of an earlier server. None: a new one.
    pub state: Option<Arc<TempDir>>,
    /// The name of the configuration and the log in the state folder, so that several servers may
    /// share one. Empty: `congress`.
    pub name: String,
    /// Arguments on the command line, beside the configuration file.
    pub args: Vec<String>,
    /// Environment variables.
    pub environment: Vec<(String, String)>,
}

impl ServerOptions {
    /// Adds an option.
    #[must_use]
    pub fn with(mut self, section: &str, name: &str, value: impl ToString) -> Self {
        self.config.push((section.to_owned(), name.to_owned(), value.to_string()));
        self
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, arg: impl Into<String>) -> Self {
        self.args.push(arg.into());
        self
    }

    fn name(&self) -> &str {
        if self.name.is_empty() { "congress" } else { &self.name }
    }
}

/// A running server that answers requests.
#[derive(Debug)]
pub struct Server {
    process: Process,
    url: String,
    client: reqwest::Client,
}

/// What a server answered.
#[derive(Debug)]
pub struct Reply {
    /// The HTTP status.
    pub status: u16,
    /// All headers.
    pub headers: HeaderMap,
    /// The body as it came.
    pub body: Vec<u8>,
}

impl Reply {
    /// The body as JSON.
    pub fn json(&self) -> anyhow::Result<Value> {
        serde_json::from_slice(&self.body).with_context(|| {
            format!("not JSON ({}): {}", self.status, String::from_utf8_lossy(&self.body))
        })
    }
}

impl Server {
    /// Starts a server and waits until it is ready.
    pub async fn start(options: ServerOptions) -> anyhow::Result<Self> {
        Self::start_until(options, "/readyz").await
    }

    /// Starts a server and waits until it answers, ready or not.
    pub async fn begin(options: ServerOptions) -> anyhow::Result<Self> {
        Self::start_until(options, "/healthcheck").await
    }

    async fn start_until(options: ServerOptions, well: &str) -> anyhow::Result<Self> {
        let mut process = Process::start(options)?;
        let client = client()?;
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = process.child.try_wait()? {
                bail!("the server ended at its start ({status}):\n{}", process.log());
            }
            if let Some(url) = process.url() {
                let answer = client.get(format!("{url}{well}")).send().await;
                if answer.is_ok_and(|answer| answer.status().is_success()) {
                    return Ok(Self { process, url, client });
                }
            }
            if Instant::now() > deadline {
                bail!("the server is not ready after {DEADLINE:?}:\n{}", process.log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Starts a server that must refuse to start, and gives what it says.
    pub async fn refused(options: ServerOptions) -> anyhow::Result<String> {
        let (status, log) = Self::ends(options).await?;
        if status.success() {
            bail!("the server ended without an error:\n{log}");
        }
        Ok(log)
    }

    /// Starts a server that ends by itself, and gives how and what it says.
    pub async fn ends(options: ServerOptions) -> anyhow::Result<(ExitStatus, String)> {
        let mut process = Process::start(options)?;
        let status = process.ended().await?;
        Ok((status, process.log()))
    }

    /// Its address without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Host and port.
    pub fn authority(&self) -> &str {
        self.url.trim_start_matches("http://")
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.child.id()
    }

    /// Its state folder, for another server to go on with.
    pub fn state(&self) -> Arc<TempDir> {
        Arc::clone(&self.process.state)
    }

    /// What it has logged, and what servers before it in the same state folder have.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// Waits until its log satisfies a condition.
    pub async fn logs(
        &self,
        within: Duration,
        condition: impl Fn(&str) -> bool,
    ) -> anyhow::Result<()> {
        let deadline = Instant::now() + within;
        loop {
            let log = self.log();
            if condition(&log) {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the log after {within:?}:\n{log}");
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Sends a request. The path begins with a slash and is sent as it is.
    pub async fn request(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Option<Vec<u8>>,
    ) -> anyhow::Result<Reply> {
        let mut request =
            self.client.request(method, format!("{}{path}", self.url)).headers(headers);
        if let Some(body) = body {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Reply { status, headers, body: response.bytes().await?.into() })
    }

    /// `GET`
    pub async fn get(&self, path: &str) -> anyhow::Result<Reply> {
        self.request(Method::GET, path, HeaderMap::new(), None).await
    }

    /// `POST` of a JSON body
    pub async fn post(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send_json(Method::POST, path, body).await
    }

    /// `PUT` of a JSON body
    pub async fn put(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send_json(Method::PUT, path, body).await
    }

    /// `PATCH` of a JSON body
    pub async fn patch(&self, path: &str, body: &Value) -> anyhow::Result<Reply> {
        self.send_json(Method::PATCH, path, body).await
    }

    /// `DELETE`
    pub async fn delete(&self, path: &str) -> anyhow::Result<Reply> {
        self.request(Method::DELETE, path, HeaderMap::new(), None).await
    }

    /// Repeats a `GET` until its JSON body satisfies a condition.
    pub async fn eventually(
        &self,
        path: &str,
        within: Duration,
        condition: impl Fn(&Value) -> bool,
    ) -> anyhow::Result<Value> {
        let deadline = Instant::now() + within;
        loop {
            let reply = self.get(path).await?;
            match reply.json() {
                Ok(body) if condition(&body) => return Ok(body),
                _ if Instant::now() > deadline => {
                    let body = String::from_utf8_lossy(&reply.body);
                    bail!("{path} after {within:?}: {} {body}\n{}", reply.status, self.log());
                }
                _ => tokio::time::sleep(POLL).await,
            }
        }
    }

    /// Sends it a signal: `STOP` and `CONT`, for instance, let it stand still for a while.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.process.signal(signal)
    }

    /// How it has ended by itself, if it has.
    pub fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.process.child.try_wait()?)
    }

    /// Waits until it has ended by itself.
    pub async fn ended(mut self) -> anyhow::Result<(ExitStatus, String)> {
        let status = self.process.ended().await?;
        Ok((status, self.process.log()))
    }

    /// Asks the server to stop, as a service manager does, and waits for it.
    pub async fn stop(mut self) -> anyhow::Result<ExitStatus> {
        self.process.signal(Signal::TERM)?;
        self.process.ended().await
    }

    /// Ends the server without warning, as a crash does, and waits for it.
    pub async fn kill(mut self) -> anyhow::Result<()> {
        self.process.child.kill()?;
        self.process.ended().await.map(drop)
    }

    async fn send_json(&self, method: Method, path: &str, body: &Value) -> anyhow::Result<Reply> {
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, "application/json".parse()?);
        self.request(method, path, headers, Some(serde_json::to_vec(body)?)).await
    }
}

/// The process and its state folder; the process ends first.
#[derive(Debug)]
struct Process {
    child: Child,
    state: Arc<TempDir>,
    log: PathBuf,
    /// Where in the log this process begins.
    log_begins: usize,
}

impl Process {
    fn start(options: ServerOptions) -> anyhow::Result<Self> {
        let binary = binaries::server()?;
        let state = match &options.state {
            Some(state) => Arc::clone(state),
            None => Arc::new(tempfile::tempdir()?),
        };
        let config = state.path().join(format!("{}.conf", options.name()));
        fs::write(&config, config_file(&options, state.path())?)?;
        let path = state.path().join(format!("{}-server.log", options.name()));
        let log = File::options().create(true).append(true).open(&path)?;
        let log_begins = usize::try_from(log.metadata()?.len())?;
        let child = Command::new(&binary)
            .arg("--config-file")
            .arg(&config)
            .args(&options.args)
            .env_clear()
            .env("HOME", state.path())
            .envs(options.environment.iter().cloned())
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        Ok(Self { child, state, log: path, log_begins })
    }

    fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
    }

    /// The address that the server says it listens on: its port is 0 in the configuration, so that
    /// no other test can take it.
    fn url(&self) -> Option<String> {
        let log = self.log();
        let (_, rest) = log.get(self.log_begins..)?.split_once(" address=")?;
        // The line is complete once something follows the address.
        let (address, _) = rest.split_once(char::is_whitespace)?;
        Some(format!("http://{address}"))
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("cannot signal process {pid:?}"))
    }

    async fn ended(&mut self) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + DEADLINE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("the server has not ended after {DEADLINE:?}:\n{}", self.log());
            }
            tokio::time::sleep(POLL).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn config_file(options: &ServerOptions, state: &Path) -> anyhow::Result<String> {
    let drivers = match &options.drivers {
        Some(drivers) => drivers.clone(),
        None => state.join("no-drivers"),
    };
    // Shared by all servers of all tests: each driver is compiled once.
    let cache = binaries::folder()?.join("tests-compiled-drivers");
    fs::create_dir_all(&cache)?;
    let mut text = format!(
        "[DEFAULT]\n\
         bind_host = 127.0.0.1\n\
         bind_port = 0\n\
         auth_strategy = noauth\n\
         admin_bind_port = 0\n\
         graceful_drain_delay = 0\n\
         transport_url = memory://\n\
         encryption_key_path = {state}/keys\n\
         driver_path = {drivers}\n\
         policy_library_path = {state}/library\n\
         [database]\n\
         connection = sqlite:///{state}/congress.sqlite\n\
         [plugins]\n\
         cache_path = {cache}\n",
        state = state.display(),
        drivers = drivers.display(),
        cache = cache.display(),
    );
    for (section, name, value) in &options.config {
        let _ = writeln!(text, "[{section}]\n{name} = {value}");
    }
    Ok(text)
}

fn client() -> anyhow::Result<reqwest::Client> {
    static TLS: Once = Once::new();
    // The client asks for a provider even where it speaks no TLS.
    TLS.call_once(|| {
        let _ = rustls::crypto::ring::default_provider().install_default();
    });
    Ok(reqwest::Client::builder()
        .no_proxy()
        .redirect(reqwest::redirect::Policy::none())
        .timeout(DEADLINE)
        .build()?)
}
