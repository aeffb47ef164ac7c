//! Namespaces for tests that need a machine of their own.
//!
//! A test runs itself once more, as the first process of private mount, network and process
//! namespaces, with overlays over the folders that it may change. Whatever it mounts, installs or
//! starts there goes with it, and nothing of the host is touched.

use std::env;
use std::ffi::OsStr;
use std::fs;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use anyhow::{Context as _, bail};

/// Set for the process within.
const INSIDE: &str = "CONGRESS_TEST_ISOLATED";

/// The folders that may be written to, each under an overlay in memory.
const WRITABLE: [&str; 5] = ["/etc", "/opt", "/srv", "/usr", "/var"];

/// Folders that are new and empty.
const EMPTY: [&str; 2] = ["/run", "/dev/shm"];

/// Where a test finds itself.
#[derive(Debug)]
pub enum Isolation {
    /// Within: it does its work.
    Inside,
    /// Outside, and all has been done by the process within, whose output has been passed on.
    Done,
    /// Outside, where there are no such namespaces: why not.
    Impossible(String),
}

/// Runs the test of this name isolated: it calls this first and does its work when it is
/// [`Isolation::Inside`]. Fails if the test within fails. Blocks.
pub fn isolated(test: &str) -> anyhow::Result<Isolation> {
    if env::var_os(INSIDE).is_some_and(|name| name == OsStr::new(test)) {
        enter()?;
        return Ok(Isolation::Inside);
    }
    if let Some(reason) = impossible() {
        return Ok(Isolation::Impossible(reason));
    }
    // Killed with us, and all of its namespace with it.
    let status = unshare()
        .arg(env::current_exe()?)
        .args(["--exact", test, "--nocapture", "--include-ignored"])
        .env(INSIDE, test)
        .stdin(Stdio::null())
        .status()
        .context("cannot run unshare (package util-linux)")?;
    if !status.success() {
        bail!("the isolated test {test} has failed ({status}); its output is above");
    }
    Ok(Isolation::Done)
}

fn unshare() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--net", "--pid", "--ipc", "--uts", "--fork", "--kill-child"]);
    command.args(["--mount-proc", "--"]);
    command
}

/// Why there can be no namespaces here, if so.
fn impossible() -> Option<String> {
    if !rustix::process::geteuid().is_root() {
        return Some("needs root, for namespaces and mounts".to_owned());
    }
    let script = "set -e; t=$(mktemp -d); trap 'umount -l \"$t\"; rmdir \"$t\"' EXIT; \
                  mount -t tmpfs tmpfs \"$t\"; mkdir \"$t/u\" \"$t/w\" \"$t/m\"; \
                  mount -t overlay overlay -o \"lowerdir=/etc,upperdir=$t/u,workdir=$t/w\" \"$t/m\"; \
                  umount \"$t/m\"; ip link add v1 type veth peer name v2";
    match unshare().args(["sh", "-c", script]).stdin(Stdio::null()).output() {
        Err(error) => Some(format!("there is no unshare (package util-linux): {error}")),
        Ok(Output { status, stderr, .. }) if !status.success() => Some(format!(
            "this machine allows no namespaces with overlays and veth links: {}",
            String::from_utf8_lossy(&stderr).trim()
        )),
        Ok(_) => None,
    }
}

/// Makes the machine's folders private.
fn enter() -> anyhow::Result<()> {
    run("mount", &["--make-rprivate", "/"])?;
    let store = "/mnt";
    run("mount", &["-t", "tmpfs", "tmpfs", store])?;
    for folder in WRITABLE {
        if !Path::new(folder).is_dir() {
            continue;
        }
        let (upper, work) = (format!("{store}{folder}/upper"), format!("{store}{folder}/work"));
        fs::create_dir_all(&upper)?;
        fs::create_dir_all(&work)?;
        let layers = format!("lowerdir={folder},upperdir={upper},workdir={work}");
        run("mount", &["-t", "overlay", "overlay", "-o", &layers, folder])?;
    }
    for folder in EMPTY {
        run("mount", &["-t", "tmpfs", "tmpfs", folder])?;
    }
    fs::create_dir_all("/run/lock")?;
    run("ip", &["link", "set", "lo", "up"])
}

/// Runs a command that must succeed.
pub(crate) fn run(program: &str, args: &[&str]) -> anyhow::Result<()> {
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot run {program}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{program} {}: {}: {}", args.join(" "), output.status, said.trim());
    }
    Ok(())
}
