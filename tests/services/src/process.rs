//! A server's process.

use std::fs::{self, File};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use rustix::process::{Pid, Signal, kill_process, kill_process_group};

use crate::POLL;

/// A port that nobody listened on a moment ago.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Runs the server, and ends it and removes its folder when the process that owns it is gone: a
/// server for a whole test binary has nobody who would drop it.
const GUARD: &str = r#"
owner=$1 folder=$2; shift 2
"$@" & server=$!
( tail --pid="$owner" -f /dev/null; : >"$folder/orphaned"; kill -KILL $server ) & guard=$!
# A signal to stop is for the server; this waits until that has ended.
trap : TERM
while kill -0 $server 2>/dev/null; do wait $server; status=$?; done
if [ -e "$folder/orphaned" ]; then rm -rf "$folder"; fi
kill $guard 2>/dev/null
exit $status
"#;

/// A command that runs the program given by further arguments under the guard, for a server with
/// its data in `folder`.
pub(crate) fn guarded(folder: &Path) -> Command {
    let mut command = Command::new("sh");
    command.args(["-c", GUARD, "guard"]).arg(std::process::id().to_string()).arg(folder);
    command
}

/// A process in a group of its own, with its output in a file. Dropping it ends the whole group.
#[derive(Debug)]
pub struct Process {
    child: Child,
    log: PathBuf,
    /// What a guarded process reads until this one has ended.
    _alive: Option<ChildStdin>,
}

impl Process {
    /// Starts it; what it prints is appended to `log`.
    pub fn start(command: Command, log: &Path) -> anyhow::Result<Self> {
        Self::start_reading(command, log, Stdio::null())
    }

    /// The same for a program that ends by itself when its standard input does: it does so too if
    /// this process ends without dropping anything, as a test binary does with what its tests share.
    pub fn start_guarded(command: Command, log: &Path) -> anyhow::Result<Self> {
        Self::start_reading(command, log, Stdio::piped())
    }

    fn start_reading(mut command: Command, log: &Path, input: Stdio) -> anyhow::Result<Self> {
        let file = File::options().create(true).append(true).open(log)?;
        let mut child = command
            .stdin(input)
            .stdout(file.try_clone()?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let alive = child.stdin.take();
        Ok(Self { child, log: log.to_owned(), _alive: alive })
    }

    /// Its id, which is its group's too.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// What it has printed.
    pub fn log(&self) -> String {
        fs::read(&self.log)
            .map(|log| String::from_utf8_lossy(&log).into_owned())
            .unwrap_or_else(|error| format!("(the log cannot be read: {error})"))
    }

    /// Sends a signal to the process alone.
    pub fn signal(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).with_context(|| format!("cannot signal process {pid:?}"))
    }

    /// Sends a signal to the process and all that it has started.
    pub fn signal_group(&self, signal: Signal) -> anyhow::Result<()> {
        let pid = Pid::from_child(&self.child);
        kill_process_group(pid, signal).with_context(|| format!("cannot signal group {pid:?}"))
    }

    /// How it ended, if it has.
    pub fn has_ended(&mut self) -> anyhow::Result<Option<ExitStatus>> {
        Ok(self.child.try_wait()?)
    }

    /// Waits until it ends.
    pub async fn ended(&mut self, within: Duration) -> anyhow::Result<ExitStatus> {
        let deadline = Instant::now() + within;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > deadline {
                bail!("process {} has not ended after {within:?}:\n{}", self.pid(), self.log());
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends it and all that it has started without warning, and waits for it.
    pub async fn kill(&mut self) -> anyhow::Result<ExitStatus> {
        let _ = self.signal_group(Signal::KILL);
        self.ended(Duration::from_secs(10)).await
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // What it started may outlive it; an error means that all have ended already.
        if !matches!(self.child.try_wait(), Ok(Some(_))) {
            let _ = self.signal_group(Signal::KILL);
        }
        let _ = self.child.wait();
    }
}
