//! A private HAProxy.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;

use crate::{Process, eventually, free_port};

/// How long it may take to come up, and what it is asked to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// An HAProxy that runs a configuration written for real use, with its addresses exchanged.
#[derive(Debug)]
pub struct Haproxy {
    process: Process,
    port: u16,
    folder: TempDir,
}

impl Haproxy {
    /// Runs a configuration: it listens on a free port of loopback in place of `*:1789`, knows the
    /// servers of these names at these addresses, and has its socket in a temporary folder.
    pub async fn start(config: &str, servers: &[(&str, SocketAddr)]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("haproxy-").tempdir()?;
        // It gives up its privileges where it is told to.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755))?;
        let port = free_port()?;
        let socket = folder.path().join("admin.sock");
        let mut text = String::new();
        let mut found = 0;
        for line in config.lines() {
            let words: Vec<&str> = line.split_whitespace().collect();
            let line = match words[..] {
                ["bind", "*:1789"] => format!("    bind 127.0.0.1:{port}"),
                ["stats", "socket", ..] => {
                    format!("    stats socket {} mode 600 level admin", socket.display())
                }
                // Nobody reads the system's log here.
                ["log", "/dev/log", facility] => format!("    log stderr format raw {facility}"),
                ["server", name, _, ref rest @ ..] => {
                    let (_, address) = servers
                        .iter()
                        .find(|(server, _)| *server == name)
                        .with_context(|| format!("the configuration has a server {name}"))?;
                    found += 1;
                    format!("    server {name} {address} {}", rest.join(" "))
                }
                _ => line.to_owned(),
            };
            writeln!(text, "{line}")?;
        }
        ensure!(found == servers.len(), "the configuration lacks some of {servers:?}");
        ensure!(text.contains(&port.to_string()), "the configuration has no line 'bind *:1789'");
        let file = folder.path().join("haproxy.cfg");
        std::fs::write(&file, text)?;
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file);
        let process = Process::start(command, &folder.path().join("log"))
            .context("on Debian: apt-get install haproxy")?;
        let mut haproxy = Self { process, port, folder };
        let answers = async || {
            if let Ok(Some(status)) = haproxy.process.has_ended() {
                return Some(Err(status));
            }
            haproxy.states().await.ok().map(Ok)
        };
        match eventually("HAProxy answers", PATIENCE, answers).await? {
            Ok(_) => Ok(haproxy),
            Err(status) => bail!("haproxy ended with {status}:\n{}", haproxy.process.log()),
        }
    }

    /// Where it listens, without a slash at the end.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// What it has logged: a line for each request, with the server that it went to.
    pub fn log(&self) -> String {
        self.process.log()
    }

    /// What it holds of each server: `UP`, `DOWN` and others, as its statistics name them.
    pub async fn states(&self) -> anyhow::Result<BTreeMap<String, String>> {
        let text = self.ask("show stat").await?;
        let mut lines = text.lines();
        let columns: Vec<&str> = lines.next().unwrap_or_default().split(',').collect();
        let column = |name: &str| {
            columns.iter().position(|column| *column == name).context("no such column")
        };
        let (server, state) = (column("svname")?, column("status")?);
        let mut states = BTreeMap::new();
        for line in lines.filter(|line| !line.is_empty()) {
            let cells: Vec<&str> = line.split(',').collect();
            let (Some(server), Some(state)) = (cells.get(server), cells.get(state)) else {
                continue;
            };
            if !matches!(*server, "FRONTEND" | "BACKEND") {
                states.insert((*server).to_owned(), (*state).to_owned());
            }
        }
        Ok(states)
    }

    /// Waits until it holds that of a server.
    pub async fn holds(&self, server: &str, state: &str) -> anyhow::Result<()> {
        let look = async || {
            let states = self.states().await.ok()?;
            states.get(server)?.starts_with(state).then_some(())
        };
        eventually(&format!("HAProxy holds {server} {state}"), PATIENCE, look).await
    }

    /// Sends a command to its socket.
    pub async fn ask(&self, command: &str) -> anyhow::Result<String> {
        let mut stream = UnixStream::connect(self.socket()).await?;
        stream.write_all(format!("{command}\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }

    fn socket(&self) -> PathBuf {
        self.folder.path().join("admin.sock")
    }
}
