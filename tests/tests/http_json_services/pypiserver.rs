//! A package index: pypiserver, from PyPI, in a virtual environment made here.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use congress_test_services::{Process, eventually, free_port};

use crate::{SOON, datasource, poll};

/// What is installed. A change makes a new environment.
const REQUIREMENT: &str = "pypiserver==2.4.2";

/// `pypi-server`, installed.
fn program() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let name = REQUIREMENT.replace(['=', '.'], "-");
    let environment = target.join("test-environments").join(name);
    let complete = environment.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&environment);
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let mut pip = Command::new(environment.join("bin/pip"));
        run(pip.args(["install", "--quiet", REQUIREMENT]));
        fs::write(complete, "").unwrap();
    }
    environment.join("bin/pypi-server")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pypiserver() {
    let folder = tempfile::tempdir().unwrap();
    let packages = folder.path().join("packages");
    fs::create_dir(&packages).unwrap();
    // An index looks at names only.
    for file in ["moons-1.0.tar.gz", "moons-1.1.tar.gz", "moons-1.1-py3-none-any.whl"] {
        fs::write(packages.join(file), "").unwrap();
    }
    let port = free_port().unwrap();
    let mut command = Command::new(program());
    command.args(["run", "-i", "127.0.0.1", "-p", &port.to_string(), "-a", ".", "-P", "."]);
    command.arg(&packages);
    let _server = Process::start(command, &folder.path().join("log")).unwrap();

    let base = format!("http://127.0.0.1:{port}");
    let source = datasource("pypiserver", &[("url", &format!("{base}/moons"))]).await;
    let answered = async || poll(&source).await.ok();
    let tables = eventually("the index answers", SOON, answered).await.unwrap();
    assert_eq!(tables["project"][0][0], "1.1");
    let files: Vec<String> = tables["project.files"]
        .iter()
        .map(|row| format!("{} {}", row[1].as_str().unwrap(), row[2].as_str().unwrap()))
        .collect();
    let expected = [
        format!("1.0 {base}/packages/moons-1.0.tar.gz"),
        format!("1.1 {base}/packages/moons-1.1-py3-none-any.whl"),
        format!("1.1 {base}/packages/moons-1.1.tar.gz"),
    ];
    assert_eq!(files, expected);
}
