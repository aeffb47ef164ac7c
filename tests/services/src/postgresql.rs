//! A private PostgreSQL.

use std::fs;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::process::guarded;
use crate::{Process, eventually, free_port};

/// The user that tests connect as.
const USER: &str = "congress";
/// Its password: with characters that an URL must escape.
const PASSWORD: &str = "s3cr:t/@ü%";
/// The same in an URL.
const ENCODED: &str = "s3cr%3At%2F%40%C3%BC%25";

/// How long the server may take to come up or to go down.
const PATIENCE: Duration = Duration::from_secs(60);

/// Where Debian keeps servers, one folder per version.
const VERSIONS: &str = "/usr/lib/postgresql";

/// Debian's ids of `nobody` and `nogroup`: the server refuses to run as root.
const NOBODY: u32 = 65534;

/// A PostgreSQL server of its own, on a free port of 127.0.0.1 and on a socket.
#[derive(Debug)]
pub struct Postgresql {
    folder: TempDir,
    programs: PathBuf,
    port: u16,
    options: Vec<String>,
    process: Option<Process>,
}

impl Postgresql {
    /// Makes an empty server and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with more settings, such as `max_connections=5`.
    pub async fn start_with(settings: &[&str]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("postgresql-").tempdir()?;
        if rustix::process::getuid().is_root() {
            chown(folder.path(), Some(NOBODY), Some(NOBODY))?;
        }
        let options = settings.iter().flat_map(|setting| ["-c".to_owned(), (*setting).to_owned()]);
        let mut server = Self {
            folder,
            programs: programs()?,
            port: free_port()?,
            options: options.collect(),
            process: None,
        };
        let mut install = Command::new("sh");
        install
            .args(["-c", r#"cd "$0" && exec "$@""#])
            .arg(server.folder.path())
            .args(server.program("initdb"))
            .args(["--username=postgres", "--auth-local=trust", "--auth-host=scram-sha-256"])
            .args(["--encoding=UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"])
            .arg("--pgdata")
            .arg(server.data())
            .stdin(Stdio::null());
        let made = install.output().context("cannot run initdb")?;
        ensure!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.run().await?;
        server.sql(&format!("CREATE ROLE {USER} LOGIN PASSWORD '{PASSWORD}'")).await?;
        Ok(server)
    }

    /// The one server that all tests of this process share. It ends with the process.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Postgresql> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Makes an empty database; its URL, as the original's operators write it.
    pub async fn database(&self, name: &str) -> anyhow::Result<String> {
        self.sql(&format!("CREATE DATABASE {name} OWNER {USER}")).await?;
        Ok(self.url(name))
    }

    /// The URL of a database.
    pub fn url(&self, name: &str) -> String {
        self.url_at(self.port, name)
    }

    /// The URL of a database behind another port, of a proxy for instance.
    pub fn url_at(&self, port: u16, name: &str) -> String {
        format!("postgresql+psycopg2://{USER}:{ENCODED}@127.0.0.1:{port}/{name}")
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The folder of its socket.
    pub fn socket(&self) -> &Path {
        self.folder.path()
    }

    /// Runs statements as the administrator; what they print, one row a line, columns divided by
    /// tabulators.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<String> {
        self.sql_in("postgres", sql).await
    }

    /// The same in a database.
    pub async fn sql_in(&self, database: &str, sql: &str) -> anyhow::Result<String> {
        use tokio::io::AsyncWriteExt as _;
        let mut child = tokio::process::Command::new(self.programs.join("psql"))
            .args(["--no-psqlrc", "--quiet", "--no-align", "--tuples-only", "--field-separator=\t"])
            .args(["--set=ON_ERROR_STOP=1", "--username=postgres", "--dbname", database])
            .arg("--host")
            .arg(self.socket())
            .args(["--port", &self.port.to_string()])
            .env("PGCLIENTENCODING", "UTF8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run psql; on Debian: apt-get install postgresql")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let write = async {
            // The client's answer says more than a pipe that it closed.
            let _ = stdin.write_all(sql.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output?;
        ensure!(output.status.success(), "psql: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Makes the server read-only for new transactions, or writable again.
    pub async fn set_read_only(&self, on: bool) -> anyhow::Result<()> {
        let value = if on { "on" } else { "off" };
        self.sql(&format!(
            "SET default_transaction_read_only = off; \
             ALTER SYSTEM SET default_transaction_read_only = {value}; SELECT pg_reload_conf()"
        ))
        .await?;
        let set = async || {
            let now = self.sql("SHOW default_transaction_read_only").await.ok()?;
            (now.trim() == value).then_some(())
        };
        eventually("the server has the setting", PATIENCE, set).await
    }

    /// Ends the server without warning, and its sessions, which would serve on until they notice.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            self.signal_all(Signal::KILL)?;
            process.kill().await?;
        }
        Ok(())
    }

    /// Has the server end by itself, and waits for it.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            // Its sessions are ended.
            kill_process(self.pid()?, Signal::INT)?;
            process.ended(PATIENCE).await?;
        }
        Ok(())
    }

    /// Starts the server again, with its data, on the same port.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.run().await
    }

    /// Sends a signal to all processes of the server: each session has one.
    pub fn signal_all(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = self.pid()?;
        let path = format!("/proc/{0}/task/{0}/children", pid.as_raw_nonzero());
        let children = fs::read_to_string(&path).with_context(|| path)?;
        kill_process(pid, signal)?;
        for child in children.split_whitespace() {
            // A session may have ended meanwhile.
            let child = child.parse().ok().and_then(Pid::from_raw).context("a process id")?;
            let _ = kill_process(child, signal);
        }
        Ok(())
    }

    /// Puts a file that only the server may read into the folder of its socket.
    pub fn provide(&self, name: &str, content: &str) -> anyhow::Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        let path = self.folder.path().join(name);
        fs::write(&path, content)?;
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600))?;
        if rustix::process::getuid().is_root() {
            chown(&path, Some(NOBODY), Some(NOBODY))?;
        }
        Ok(())
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The server's main process, which is the guard's child.
    fn pid(&self) -> anyhow::Result<Pid> {
        let file = fs::read_to_string(self.data().join("postmaster.pid"))?;
        let pid = file.lines().next().and_then(|line| line.trim().parse().ok());
        pid.and_then(Pid::from_raw).context("postmaster.pid has no process id")
    }

    /// A program of the server, as a user that is not root.
    fn program(&self, name: &str) -> Vec<String> {
        let mut words = Vec::new();
        if rustix::process::getuid().is_root() {
            let nobody = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];
            words.push("setpriv".to_owned());
            words.extend(nobody.map(str::to_owned));
        }
        words.push(self.programs.join(name).display().to_string());
        words
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let log = self.folder.path().join("log");
        // One that was killed leaves sessions that end when they notice, and a process id that
        // goes when somebody has asked for its status: nobody may start before.
        let soon = ["still in use", "postmaster.pid\" already exists"];
        eventually("PostgreSQL starts", PATIENCE, async || match self.try_run(&log).await {
            Ok(process) => Some(Ok(process)),
            Err(error) if soon.iter().any(|text| error.to_string().contains(text)) => None,
            Err(error) => Some(Err(error)),
        })
        .await?
        .map(|process| self.process = Some(process))
    }

    async fn try_run(&self, log: &Path) -> anyhow::Result<Process> {
        let _ = fs::remove_file(log);
        let mut command = guarded(self.folder.path());
        command
            .args(self.program("postgres"))
            .arg("-D")
            .arg(self.data())
            .args(["-p", &self.port.to_string(), "-h", "127.0.0.1", "-k"])
            .arg(self.socket())
            // Fast: nothing here must outlive a power failure.
            .args(["-c", "fsync=off", "-c", "full_page_writes=off"])
            .args(["-c", "shared_buffers=32MB", "-c", "max_wal_size=64MB"])
            .args(["-c", "max_connections=100", "-c", "log_min_messages=warning"])
            .args(&self.options)
            .current_dir(self.folder.path());
        let mut process = Process::start(command, log)?;
        let answers = eventually("PostgreSQL answers", PATIENCE, async || {
            if let Ok(Some(status)) = process.has_ended() {
                return Some(Err(status));
            }
            self.sql("SELECT 1").await.is_ok().then_some(Ok(()))
        })
        .await;
        match answers {
            Ok(Ok(())) => Ok(process),
            Ok(Err(status)) => bail!("postgres ended with {status}:\n{}", process.log()),
            Err(error) => Err(error.context(process.log())),
        }
    }
}

/// The folder of the newest version's programs.
fn programs() -> anyhow::Result<PathBuf> {
    const MISSING: &str = "there is no PostgreSQL server; on Debian: apt-get install postgresql";
    let mut versions: Vec<(u32, PathBuf)> = fs::read_dir(VERSIONS)
        .context(MISSING)?
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let version = entry.file_name().to_str()?.parse().ok()?;
            Some((version, entry.path().join("bin")))
        })
        .filter(|(_, programs)| programs.join("postgres").exists())
        .collect();
    versions.sort_unstable();
    Ok(versions.pop().context(MISSING)?.1)
}
