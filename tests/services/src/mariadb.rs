//! A private MariaDB.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail, ensure};
use rustix::process::Signal;
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

/// A MariaDB server of its own, on a free port of 127.0.0.1 and on a socket.
#[derive(Debug)]
pub struct Mariadb {
    folder: TempDir,
    port: u16,
    options: Vec<String>,
    process: Option<Process>,
}

impl Mariadb {
    /// Makes an empty server and waits until it answers.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(&[]).await
    }

    /// The same with more options for the server, such as `--max-connections=5`.
    pub async fn start_with(options: &[&str]) -> anyhow::Result<Self> {
        let options: Vec<_> = options.iter().map(|&option| option.to_owned()).collect();
        let mut server = Self::unmade(&options)?;
        let mut install = Command::new("mariadb-install-db");
        install
            .args(["--no-defaults", "--skip-test-db", "--skip-name-resolve"])
            .args(["--auth-root-authentication-method=normal", "--user=root"])
            .arg(argument("--datadir", &server.data()))
            // Others may make one at the same time, with the same names for what is temporary.
            .env("TMPDIR", server.folder.path())
            .stdin(Stdio::null());
        let made = install.output().context(
            "cannot run mariadb-install-db; on Debian: \
             apt-get install mariadb-server-core mariadb-client-core",
        )?;
        ensure!(
            made.status.success(),
            "mariadb-install-db: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        server.run().await?;
        server
            .sql(&format!(
                "CREATE USER '{USER}'@'%' IDENTIFIED BY '{PASSWORD}'; \
                 GRANT ALL PRIVILEGES ON *.* TO '{USER}'@'%'"
            ))
            .await?;
        // Privileges of an administrator would make it deaf to `read_only`.
        server
            .sql(&format!(
                "REVOKE SUPER, READ_ONLY ADMIN, CONNECTION ADMIN ON *.* FROM '{USER}'@'%'"
            ))
            .await?;
        Ok(server)
    }

    /// A server without data, which is not started.
    pub(crate) fn unmade(options: &[String]) -> anyhow::Result<Self> {
        let folder = tempfile::Builder::new().prefix("mariadb-").tempdir()?;
        Ok(Self { folder, port: free_port()?, options: options.to_vec(), process: None })
    }

    /// The folder of its data.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// The one server that all tests of this process share. It ends with the process.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<Mariadb> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Makes an empty database; its URL, as the original's operators write it.
    pub async fn database(&self, name: &str) -> anyhow::Result<String> {
        self.sql(&format!("CREATE DATABASE {name}")).await?;
        Ok(self.url(name))
    }

    /// The URL of a database.
    pub fn url(&self, name: &str) -> String {
        self.url_at(self.port, name)
    }

    /// The URL of a database behind another port, of a proxy for instance.
    pub fn url_at(&self, port: u16, name: &str) -> String {
        format!("mysql+pymysql://{USER}:{ENCODED}@127.0.0.1:{port}/{name}?charset=utf8")
    }

    /// The port, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The socket.
    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("socket")
    }

    /// The server's process; its group is what to send signals to.
    pub fn process(&self) -> Option<&Process> {
        self.process.as_ref()
    }

    /// Runs statements as the administrator; what they print, one row a line, columns divided by
    /// tabulators.
    pub async fn sql(&self, sql: &str) -> anyhow::Result<String> {
        self.client(&[], sql).await
    }

    /// Runs a file of statements, such as a dump, in a database.
    pub async fn load(&self, database: &str, file: &Path) -> anyhow::Result<()> {
        let sql = tokio::fs::read_to_string(file).await?;
        self.client(&["--database", database], &sql).await?;
        Ok(())
    }

    /// Makes the server read-only for everybody but its administrator, or writable again.
    pub async fn set_read_only(&self, on: bool) -> anyhow::Result<()> {
        self.sql(&format!("SET GLOBAL read_only = {}", u8::from(on))).await?;
        Ok(())
    }

    /// Ends the server without warning.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.kill().await?;
        }
        Ok(())
    }

    /// Has the server end by itself, and waits for it.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut process) = self.process.take() {
            process.signal_group(Signal::TERM)?;
            process.ended(PATIENCE).await?;
        }
        Ok(())
    }

    /// Starts the server again, with its data, on the same port.
    pub async fn restart(&mut self) -> anyhow::Result<()> {
        self.stop().await?;
        self.run().await
    }

    async fn run(&mut self) -> anyhow::Result<()> {
        let folder = self.folder.path();
        let log = folder.join("log");
        let mut command = guarded(folder);
        command
            .args(["mariadbd", "--no-defaults", "--user=root"])
            .arg(argument("--datadir", &self.data()))
            .arg(argument("--socket", &self.socket()))
            .arg(argument("--pid-file", &folder.join("pid")))
            .arg(format!("--port={}", self.port))
            .args(["--bind-address=127.0.0.1", "--skip-name-resolve", "--skip-log-bin"])
            // Fast: nothing here must outlive a power failure.
            .args(["--innodb-flush-log-at-trx-commit=2", "--innodb-doublewrite=0"])
            .args(["--innodb-buffer-pool-size=32M", "--innodb-log-file-size=32M"])
            .args(["--performance-schema=OFF", "--innodb-use-native-aio=0"])
            .args(&self.options);
        let mut process = Process::start(command, &log)?;
        let answers = eventually("MariaDB answers", PATIENCE, async || {
            if let Ok(Some(status)) = process.has_ended() {
                return Some(Err(status));
            }
            self.sql("SELECT 1").await.is_ok().then_some(Ok(()))
        })
        .await;
        match answers {
            Ok(Ok(())) => {}
            Ok(Err(status)) => bail!("mariadbd ended with {status}:\n{}", process.log()),
            Err(error) => return Err(error.context(process.log())),
        }
        self.process = Some(process);
        Ok(())
    }

    async fn client(&self, arguments: &[&str], sql: &str) -> anyhow::Result<String> {
        use tokio::io::AsyncWriteExt as _;
        let mut child = tokio::process::Command::new("mariadb")
            .args(["--no-defaults", "--batch", "--skip-column-names", "--user=root"])
            .arg("--default-character-set=utf8mb4")
            .arg(argument("--socket", &self.socket()))
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .context("cannot run mariadb; on Debian: apt-get install mariadb-client-core")?;
        let mut stdin = child.stdin.take().context("no standard input")?;
        let write = async {
            // The client's answer says more than a pipe that it closed.
            let _ = stdin.write_all(sql.as_bytes()).await;
            drop(stdin);
        };
        let (output, ()) = tokio::join!(child.wait_with_output(), write);
        let output = output?;
        ensure!(output.status.success(), "mariadb: {}", String::from_utf8_lossy(&output.stderr));
        Ok(String::from_utf8(output.stdout)?)
    }
}

fn argument(name: &str, path: &Path) -> String {
    format!("{name}={}", path.display())
}
