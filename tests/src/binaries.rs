//! The programs to test.
//!
//! Cargo builds no binaries of other packages for a test. So each test process looks once whether
//! they are newer than their sources, and has them built if not.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::time::SystemTime;

use anyhow::{Context as _, anyhow, bail};

/// What binaries are made of, below the workspace's root.
const SOURCES: [&str; 9] = [
    "Cargo.toml",
    "Cargo.lock",
    "host",
    "wit",
    // Embedded in the author's tool.
    "drivers/sdk",
    "drivers/template",
    "drivers/template-javascript",
    "drivers/template-python",
    "scripts/lib",
];

/// The server: `CONGRESS_SERVER`, or the one of this workspace.
pub fn server() -> anyhow::Result<PathBuf> {
    program("CONGRESS_SERVER", "congress-server")
}

/// The command-line client: `CONGRESS_CLIENT`, or the one of this workspace.
pub fn client() -> anyhow::Result<PathBuf> {
    program("CONGRESS_CLIENT", "congress")
}

/// The tool for the database's tables, beside the server.
pub fn manager() -> anyhow::Result<PathBuf> {
    let tool = server()?.with_file_name("congress-db-manage");
    if !tool.exists() {
        bail!("there is no {}: build it with the server", tool.display());
    }
    Ok(tool)
}

/// The folder with what was built: `<target directory>/<profile>`, in which tests are in `deps`.
pub(crate) fn folder() -> anyhow::Result<PathBuf> {
    let test = std::env::current_exe()?;
    let folder = test.ancestors().nth(2).context("the test is not in a target directory")?;
    Ok(folder.to_owned())
}

fn program(variable: &str, name: &str) -> anyhow::Result<PathBuf> {
    static BUILT: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    if let Some(path) = std::env::var_os(variable) {
        return Ok(path.into());
    }
    let built = BUILT.get_or_init(|| up_to_date().map_err(|error| format!("{error:#}")));
    match built {
        Ok(folder) => Ok(folder.join(name)),
        Err(error) => Err(anyhow!("there is no {name} to test: {error}")),
    }
}

/// The folder with the binaries, newer than their sources.
fn up_to_date() -> anyhow::Result<PathBuf> {
    let folder = folder()?;
    let mut sources = SystemTime::UNIX_EPOCH;
    for source in SOURCES {
        sources = sources.max(newest(&crate::root().join(source))?);
    }
    let is_newer = |name: &str| {
        let made = fs::metadata(folder.join(name)).and_then(|metadata| metadata.modified());
        made.is_ok_and(|made| made > sources)
    };
    if !(is_newer("congress-server") && is_newer("congress")) {
        build(&folder)?;
    }
    Ok(folder)
}

/// When the newest file in a folder was changed.
fn newest(path: &Path) -> anyhow::Result<SystemTime> {
    let metadata = fs::metadata(path).with_context(|| path.display().to_string())?;
    let mut newest = metadata.modified()?;
    if metadata.is_dir() {
        for entry in fs::read_dir(path)? {
            newest = newest.max(self::newest(&entry?.path())?);
        }
    }
    Ok(newest)
}

fn build(folder: &Path) -> anyhow::Result<()> {
    let target = folder.parent().context("the test is not in a target directory")?;
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(name) => name,
    };
    // Together with this package, so that dependencies are those that the tests were built with.
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "congress-server", "--package", "congress-tests"])
        .args(["--bins", "--profile", profile, "--target-dir"])
        .arg(target)
        .current_dir(crate::root())
        .stdin(Stdio::null())
        .status()
        .context("cannot run cargo")?;
    if !status.success() {
        bail!("cargo cannot build it ({status})");
    }
    Ok(())
}
