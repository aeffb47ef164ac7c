//! Python programs from PyPI, in virtual environments beside what Cargo builds.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, ensure};

/// The folder of a virtual environment with these requirements (`name==version`), made if it is not
/// there. A change of requirements makes another one. Blocks for as long as `pip` takes.
pub fn python_environment(requirements: &[&str]) -> anyhow::Result<PathBuf> {
    let program = std::env::current_exe()?;
    let target = program.ancestors().nth(3).context("this program is not in a target folder")?;
    let name = requirements.join("_").replace(['=', '.'], "-");
    let folder = target.join("test-environments");
    fs::create_dir_all(&folder)?;
    let environment = folder.join(&name);
    // Other tests may want the same at the same time.
    let lock = File::create(folder.join(format!("{name}.lock")))?;
    lock.lock()?;
    let complete = environment.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&environment);
        run("python3", [OsStr::new("-m"), "venv".as_ref(), environment.as_ref()])?;
        let arguments = ["install", "--quiet", "--disable-pip-version-check"];
        run(environment.join("bin/pip"), arguments.iter().chain(requirements))?;
        fs::write(complete, "")?;
    }
    Ok(environment)
}

fn run(
    program: impl AsRef<Path>,
    arguments: impl IntoIterator<Item = impl AsRef<OsStr>>,
) -> anyhow::Result<()> {
    let program = program.as_ref();
    let output = Command::new(program)
        .args(arguments)
        .output()
        .with_context(|| format!("cannot run {}", program.display()))?;
    ensure!(
        output.status.success(),
        "{}: {}\n{}",
        program.display(),
        output.status,
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(())
}
