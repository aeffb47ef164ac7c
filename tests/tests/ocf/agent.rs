//! The agent as Pacemaker calls it.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use congress_test_services::free_port;
use congress_tests::{root, server_binary};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};
use tempfile::TempDir;

/// What an action may return.
pub(crate) const SUCCESS: i32 = 0;
pub(crate) const GENERIC: i32 = 1;
pub(crate) const ARGS: i32 = 2;
pub(crate) const UNIMPLEMENTED: i32 = 3;
pub(crate) const PERM: i32 = 4;
pub(crate) const INSTALLED: i32 = 5;
pub(crate) const CONFIGURED: i32 = 6;
pub(crate) const NOT_RUNNING: i32 = 7;

/// A resource on this machine: its folder, its parameters. The server ends with it.
pub(crate) struct Resource {
    pub(crate) folder: TempDir,
    pub(crate) environment: Vec<(String, String)>,
    pub(crate) port: u16,
}

/// What an action did.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: i32,
    /// What it printed, with its messages.
    pub(crate) said: String,
    pub(crate) took: Duration,
}

impl Resource {
    /// A resource whose server waits for a broker and a database that are not there: neither is
    /// needed for it to be well.
    pub(crate) fn new() -> Self {
        let folder = tempfile::Builder::new().prefix("ocf ").tempdir().unwrap();
        // Whichever user the server runs as.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        let port = free_port().unwrap();
        let resource = Self { folder, environment: Vec::new(), port };
        fs::create_dir(resource.path("run")).unwrap();
        fs::create_dir(resource.path("keys")).unwrap();
        fs::write(resource.path("keys/aes_key"), format!("{}=\n", "k".repeat(43))).unwrap();
        let text = resource.config_text(&free_port().unwrap().to_string());
        fs::write(resource.path("congress.conf"), text).unwrap();
        let config = resource.path("congress.conf");
        let mut resource = resource.with("binary", server_binary().unwrap().to_str().unwrap());
        resource.set("config", config.to_str().unwrap());
        resource.limit(60).interval(10)
    }

    /// The configuration, with a database and a broker at a port where nobody listens.
    pub(crate) fn config_text(&self, nobody: &str) -> String {
        format!(
            "[DEFAULT]\n\
             auth_strategy = noauth\n\
             admin_bind_host = 127.0.0.1\n\
             admin_bind_port = {port}\n\
             transport_url = rabbit://guest:guest@127.0.0.1:{nobody}/\n\
             encryption_key_path = {folder}/keys\n\
             driver_path = {folder}/drivers\n\
             [database]\n\
             connection = mysql+pymysql://congress:secret@127.0.0.1:{nobody}/congress\n\
             [plugins]\n\
             cache_path = {folder}/cache\n",
            port = self.port,
            folder = self.folder.path().display(),
        )
    }

    /// A file or folder of the resource.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// With a parameter.
    pub(crate) fn with(mut self, parameter: &str, value: &str) -> Self {
        self.set(parameter, value);
        self
    }

    /// Sets a parameter.
    pub(crate) fn set(&mut self, parameter: &str, value: &str) {
        let name = format!("OCF_RESKEY_{parameter}");
        self.environment.retain(|(other, _)| *other != name);
        self.environment.push((name, value.to_owned()));
    }

    /// With the time limit of an action, in seconds.
    pub(crate) fn limit(self, seconds: u32) -> Self {
        self.with("CRM_meta_timeout", &(seconds * 1000).to_string())
    }

    /// With the interval of a monitor, in seconds; 0 for a probe.
    pub(crate) fn interval(self, seconds: u32) -> Self {
        self.with("CRM_meta_interval", &(seconds * 1000).to_string())
    }

    /// With a program in place of the server: a shell script, in which `"$SERVER" "$@"` is the real one.
    /// The real one answers what the agent asks before it starts it.
    pub(crate) fn program(self, script: &str) -> Self {
        let server = server_binary().unwrap();
        self.stand_in(&format!(
            "SERVER='{}'\ncase \"$*\" in\n\
             *--health*|*--check-config*|*--print-config*) exec \"$SERVER\" \"$@\" ;;\nesac\n{script}",
            server.display()
        ))
    }

    /// With a shell script in place of the server for all that the agent wants of it.
    pub(crate) fn stand_in(self, script: &str) -> Self {
        let path = self.path("pro gram");
        let text = format!("#!/bin/sh\n{script}\n");
        // Closed before it runs: a file open for writing cannot.
        let mut file = fs::File::create(&path).unwrap();
        file.write_all(text.as_bytes()).unwrap();
        drop(file);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        let path = path.to_str().unwrap().to_owned();
        self.with("binary", &path)
    }

    /// What runs the agent.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command
            .envs(self.environment.iter().map(|(name, value)| (name, value)))
            .env("OCF_ROOT", "/usr/lib/ocf")
            .env("OCF_RA_VERSION_MAJOR", "1")
            .env("OCF_RA_VERSION_MINOR", "1")
            .env("OCF_RESOURCE_INSTANCE", "ds-node")
            .env("HA_RSCTMP", self.path("run"))
            .stdin(Stdio::null());
        command
    }

    /// Runs an action.
    pub(crate) fn run(&self, action: &str) -> Outcome {
        self.run_at(action, None)
    }

    /// Runs an action at a level of checks.
    pub(crate) fn run_at(&self, action: &str, level: Option<u32>) -> Outcome {
        let mut command = self.command(&agent());
        command.arg(action).env("__OCF_ACTION", action);
        if let Some(level) = level {
            command.env("OCF_CHECK_LEVEL", level.to_string());
        }
        let begun = Instant::now();
        let output = command.output().unwrap();
        Outcome { code: output.status.code().unwrap(), said: said(&output), took: begun.elapsed() }
    }

    /// Runs an action that must return this.
    #[track_caller]
    pub(crate) fn must(&self, action: &str, code: i32) -> Outcome {
        let outcome = self.run(action);
        assert_eq!(outcome.code, code, "{action}: {}\n{}", outcome.said, self.log());
        outcome
    }

    /// Runs a probe: whether the resource is active here, asked before anything else.
    pub(crate) fn probe(&self) -> Outcome {
        let mut probe = self.command(&agent());
        probe
            .arg("monitor")
            .env("__OCF_ACTION", "monitor")
            .env("OCF_RESKEY_CRM_meta_interval", "0");
        let begun = Instant::now();
        let output = probe.output().unwrap();
        Outcome { code: output.status.code().unwrap(), said: said(&output), took: begun.elapsed() }
    }

    pub(crate) fn pid_file(&self) -> PathBuf {
        self.path("run/ds-node.pid")
    }

    /// The server's process.
    pub(crate) fn pid(&self) -> Pid {
        let text = fs::read_to_string(self.pid_file()).unwrap();
        Pid::from_raw(text.lines().next().unwrap().parse().unwrap()).unwrap()
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).unwrap();
    }

    /// What the server printed.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(self.path("run/ds-node.log")).unwrap_or_default()
    }
}

impl Drop for Resource {
    fn drop(&mut self) {
        // Whatever the test has done to parameters and files: stop needs none of them.
        let outcome = self.run("stop");
        if !std::thread::panicking() {
            assert_eq!(outcome.code, SUCCESS, "{}", outcome.said);
        }
    }
}

/// The agent.
pub(crate) fn agent() -> PathBuf {
    root().join("ocf/congress-datasource")
}

/// Both outputs of a program.
pub(crate) fn said(output: &Output) -> String {
    let (out, error) = (&output.stdout, &output.stderr);
    format!("{}{}", String::from_utf8_lossy(out), String::from_utf8_lossy(error))
}

/// Whether a process is there, and not only waits for its parent to notice its end.
pub(crate) fn is_alive(pid: Pid) -> bool {
    if test_kill_process(pid).is_err() {
        return false;
    }
    let stat =
        fs::read_to_string(format!("/proc/{}/stat", pid.as_raw_nonzero())).unwrap_or_default();
    stat.rsplit(')')
        .next()
        .is_some_and(|rest| !matches!(rest.trim_start().chars().next(), Some('Z' | 'X') | None))
}

/// Repeats `look` until it holds.
#[track_caller]
pub(crate) fn soon(what: &str, mut look: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !look() {
        assert!(Instant::now() < deadline, "{what}: not within 20 s");
        std::thread::sleep(congress_test_services::POLL);
    }
}
