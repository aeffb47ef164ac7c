//! A private RabbitMQ.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, bail};
use rustix::process::Signal;
use tempfile::TempDir;
use tokio::sync::OnceCell;

use crate::{Process, eventually, free_port};

/// How long it may take to start, on a machine that has much else to do.
const START: Duration = Duration::from_secs(90);
/// How long it may take to stop.
const STOP: Duration = Duration::from_secs(30);

/// The files that a broker needs to speak TLS.
#[derive(Clone, Debug)]
pub struct RabbitTlsFiles {
    /// Authorities of clients.
    pub ca: PathBuf,
    /// The broker's certificate.
    pub cert: PathBuf,
    /// Its key.
    pub key: PathBuf,
    /// Whether clients must show a certificate.
    pub verify_peer: bool,
}

/// A queue as the broker sees it.
#[derive(Clone, Debug)]
pub struct RabbitQueue {
    /// Its name.
    pub name: String,
    /// Messages in it, sent and not acknowledged ones included.
    pub messages: u64,
    /// Bytes of their bodies.
    pub bytes: u64,
}

/// A broker with one user, `guest`. Ends with its handle, or with this process.
#[derive(Debug)]
pub struct RabbitMq {
    folder: TempDir,
    node: String,
    epmd_port: u16,
    port: u16,
    tls_port: Option<u16>,
    management_port: Option<u16>,
    _epmd: Guarded,
    server: Option<Guarded>,
}

/// A process that is ended also if this one ends without dropping anything, as a test binary does
/// with what its tests share.
#[derive(Debug)]
struct Guarded {
    process: Process,
    guard: Child,
    _alive: Option<ChildStdin>,
}

impl Guarded {
    fn start(command: Command, folder: &Path, log: &str) -> anyhow::Result<Self> {
        let process = Process::start(command, &folder.join(log))?;
        // It reads until this process has ended.
        let script = "read _; kill -s KILL -- \"-$0\"; sleep 1; rm -rf -- \"$1\"";
        let mut guard = Command::new("sh")
            .args(["-c", script])
            .arg(process.pid().to_string())
            .arg(folder)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()
            .context("cannot start sh")?;
        let alive = guard.stdin.take();
        Ok(Self { process, guard, _alive: alive })
    }
}

impl Drop for Guarded {
    fn drop(&mut self) {
        // The guard first: the number of a process that has ended may be given to another.
        let _ = self.guard.kill();
        let _ = self.guard.wait();
    }
}

impl RabbitMq {
    /// Starts one.
    pub async fn start() -> anyhow::Result<Self> {
        Self::start_with(None).await
    }

    /// One for all tests of a binary. They keep apart by bus ids or virtual hosts.
    pub async fn shared() -> anyhow::Result<&'static Self> {
        static SHARED: OnceCell<RabbitMq> = OnceCell::const_new();
        SHARED.get_or_try_init(Self::start).await
    }

    /// Starts one that also speaks TLS.
    pub async fn start_with(tls: Option<RabbitTlsFiles>) -> anyhow::Result<Self> {
        Self::start_as(tls, false).await
    }

    /// Starts one with the plugin for its management over HTTP.
    pub async fn start_with_management() -> anyhow::Result<Self> {
        Self::start_as(None, true).await
    }

    async fn start_as(tls: Option<RabbitTlsFiles>, management: bool) -> anyhow::Result<Self> {
        // Before anything is started.
        program("rabbitmq-server")?;
        let folder = tempfile::Builder::new().prefix("congress-rabbitmq-").tempdir()?;
        let epmd_port = free_port()?;
        let port = free_port()?;
        let tls_port = tls.as_ref().map(|_| free_port()).transpose()?;
        let mut config = format!(
            "listeners.tcp.default = 127.0.0.1:{port}\n\
             loopback_users = none\n\
             disk_free_limit.absolute = 1MB\n\
             vm_memory_high_watermark.relative = 0.8\n\
             log.file = false\n\
             log.console = true\n\
             log.console.level = warning\n"
        );
        if let (Some(files), Some(tls_port)) = (&tls, tls_port) {
            let verify = if files.verify_peer { "verify_peer" } else { "verify_none" };
            write!(
                config,
                "listeners.ssl.default = 127.0.0.1:{tls_port}\n\
                 ssl_options.cacertfile = {}\n\
                 ssl_options.certfile = {}\n\
                 ssl_options.keyfile = {}\n\
                 ssl_options.verify = {verify}\n\
                 ssl_options.fail_if_no_peer_cert = {}\n",
                files.ca.display(),
                files.cert.display(),
                files.key.display(),
                files.verify_peer
            )?;
        }
        let management_port = management.then(free_port).transpose()?;
        if let Some(port) = management_port {
            write!(
                config,
                "management.tcp.ip = 127.0.0.1\n\
                 management.tcp.port = {port}\n"
            )?;
        }
        std::fs::write(folder.path().join("rabbitmq.conf"), config)?;
        let plugins = if management { "[rabbitmq_management].\n" } else { "[].\n" };
        std::fs::write(folder.path().join("plugins"), plugins)?;
        let mut epmd = Command::new("epmd");
        epmd.args(["-port", &epmd_port.to_string(), "-address", "127.0.0.1"]);
        let epmd = Guarded::start(epmd, folder.path(), "epmd.log")?;
        let node = format!("congress-test-{port}@localhost");
        let mut broker = Self {
            folder,
            node,
            epmd_port,
            port,
            tls_port,
            management_port,
            _epmd: epmd,
            server: None,
        };
        broker.run().await?;
        Ok(broker)
    }

    /// The port of AMQP, on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The port of AMQP over TLS.
    pub fn tls_port(&self) -> Option<u16> {
        self.tls_port
    }

    /// The port of its management over HTTP, on 127.0.0.1. It answers some time after AMQP does.
    pub fn management_port(&self) -> Option<u16> {
        self.management_port
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        let log = std::fs::read(self.folder.path().join("server.log")).unwrap_or_default();
        String::from_utf8_lossy(&log).into_owned()
    }

    fn command(&self, program: PathBuf) -> Command {
        let folder = self.folder.path();
        let mut command = Command::new(program);
        command
            .current_dir(folder)
            .env("HOME", folder)
            .env("ERL_EPMD_PORT", self.epmd_port.to_string())
            .env("ERL_EPMD_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_NODENAME", &self.node)
            .env("RABBITMQ_NODE_IP_ADDRESS", "127.0.0.1")
            .env("RABBITMQ_CONF_ENV_FILE", folder.join("none"))
            .env("RABBITMQ_CONFIG_FILE", folder.join("rabbitmq.conf"))
            .env("RABBITMQ_ENABLED_PLUGINS_FILE", folder.join("plugins"))
            .env("RABBITMQ_MNESIA_BASE", folder.join("data"))
            .env("RABBITMQ_LOG_BASE", folder.join("log"))
            .env("RABBITMQ_PID_FILE", folder.join("pid"))
            // Idle schedulers that spin would take time from what is tested.
            .env("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS", "+sbwt none +sbwtdcpu none +sbwtdio none")
            .env_remove("RABBITMQ_CTL_ERL_ARGS");
        command
    }

    /// Starts the broker again after [`RabbitMq::kill`] or [`RabbitMq::stop`], with the data that
    /// it had.
    pub async fn run(&mut self) -> anyhow::Result<()> {
        let mut command = self.command(program("rabbitmq-server")?);
        command.env("RABBITMQ_DIST_PORT", free_port()?.to_string());
        let server = self.server.insert(Guarded::start(command, self.folder.path(), "server.log")?);
        let port = self.port;
        let process = &mut server.process;
        eventually("RabbitMQ answers", START, async || {
            if let Ok(Some(status)) = process.has_ended() {
                return Some(Err(anyhow::anyhow!("RabbitMQ ended: {status}\n{}", process.log())));
            }
            answers(port).then_some(Ok(()))
        })
        .await?
    }

    /// Ends it without warning.
    pub async fn kill(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.process.kill().await?;
        }
        Ok(())
    }

    /// Ends it gracefully.
    pub async fn stop(&mut self) -> anyhow::Result<()> {
        if let Some(mut server) = self.server.take() {
            server.process.signal(Signal::TERM)?;
            server.process.ended(STOP).await?;
        }
        Ok(())
    }

    /// Stops it in the middle of whatever it does (SIGSTOP).
    pub fn pause(&self) -> anyhow::Result<()> {
        self.signal(Signal::STOP)
    }

    /// Lets it go on.
    pub fn resume(&self) -> anyhow::Result<()> {
        self.signal(Signal::CONT)
    }

    fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        self.server.as_ref().context("RabbitMQ is stopped")?.process.signal_group(signal)
    }

    /// Runs `rabbitmqctl` and gives what it prints.
    pub async fn ctl(&self, arguments: &[&str]) -> anyhow::Result<String> {
        let mut command = self.command(program("rabbitmqctl")?);
        command.args(["-q", "-n", &self.node]).args(arguments).stdin(Stdio::null());
        let output = tokio::task::spawn_blocking(move || command.output()).await??;
        if !output.status.success() {
            bail!(
                "rabbitmqctl {arguments:?}: {}\n{}{}",
                output.status,
                String::from_utf8_lossy(&output.stdout),
                String::from_utf8_lossy(&output.stderr)
            );
        }
        Ok(String::from_utf8_lossy(&output.stdout).into_owned())
    }

    /// Makes it believe that it is short of memory: it takes no messages any more.
    pub async fn raise_memory_alarm(&self) -> anyhow::Result<()> {
        self.ctl(&["set_vm_memory_high_watermark", "0.0000001"]).await.map(drop)
    }

    /// There is enough memory again.
    pub async fn clear_memory_alarm(&self) -> anyhow::Result<()> {
        self.ctl(&["set_vm_memory_high_watermark", "0.8"]).await.map(drop)
    }

    /// Makes it believe that the disk is full: it takes no messages any more.
    pub async fn raise_disk_alarm(&self) -> anyhow::Result<()> {
        self.ctl(&["set_disk_free_limit", "1000000GB"]).await.map(drop)
    }

    /// There is enough room again.
    pub async fn clear_disk_alarm(&self) -> anyhow::Result<()> {
        self.ctl(&["set_disk_free_limit", "1MB"]).await.map(drop)
    }

    /// Adds a virtual host that `guest` may use.
    pub async fn add_vhost(&self, name: &str) -> anyhow::Result<()> {
        let all = "<<\".*\">>";
        let program = format!(
            "rabbit_vhost:add(<<\"{name}\">>, <<\"test\">>), \
             rabbit_auth_backend_internal:set_permissions(<<\"guest\">>, <<\"{name}\">>, \
             {all}, {all}, {all}, <<\"test\">>)."
        );
        self.ctl(&["eval", &program]).await.map(drop)
    }

    /// The queues of a virtual host.
    pub async fn queues(&self, vhost: &str) -> anyhow::Result<Vec<RabbitQueue>> {
        let columns =
            ["list_queues", "-p", vhost, "--no-table-headers", "name", "messages", "message_bytes"];
        let listing = self.ctl(&columns).await?;
        let queue = |line: &str| {
            let mut cells = line.split('\t');
            Some(RabbitQueue {
                name: cells.next()?.to_owned(),
                messages: cells.next()?.trim().parse().ok()?,
                bytes: cells.next()?.trim().parse().ok()?,
            })
        };
        Ok(listing.lines().filter_map(queue).collect())
    }

    /// How much memory it uses, in bytes.
    pub async fn memory(&self) -> anyhow::Result<u64> {
        let text = self.ctl(&["eval", "erlang:memory(total)."]).await?;
        text.trim().parse().with_context(|| format!("not a number: {text}"))
    }
}

/// A program of RabbitMQ itself: those in PATH are wrappers that insist on a user of their own.
fn program(name: &str) -> anyhow::Result<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/rabbitmq/lib").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions
        .map(|version| version.path().join("sbin").join(name))
        .filter(|path| path.exists())
        .collect();
    found.sort();
    found.pop().with_context(|| {
        format!("{name} is missing: install the Debian package rabbitmq-server (scripts/test does)")
    })
}

/// Whether an AMQP server answers there.
fn answers(port: u16) -> bool {
    let try_it = || -> std::io::Result<()> {
        let address = ([127, 0, 0, 1], port).into();
        let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
        stream.set_read_timeout(Some(Duration::from_millis(500)))?;
        stream.write_all(b"AMQP\x00\x00\x09\x01")?;
        stream.read_exact(&mut [0; 1])
    };
    try_it().is_ok()
}
