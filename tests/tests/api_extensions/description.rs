//! The OpenAPI description, held against the server by schemathesis (from PyPI).

use std::path::{Path, PathBuf};
use std::process::Command;

use congress_tests::{Server, ServerOptions};

use crate::{json_of, policy, server};

/// What is installed. A change makes a new environment.
const REQUIREMENT: &str = "schemathesis==4.32.5";

/// What it may take for an answer: everything but 500 and the like. 501 is what the API has always
/// said to what it does not do, and 503 is a promise to do it later.
const CONFIG: &str = r#"
[checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", 501, 503]
"#;

/// Operations that it does not try: streams do not end.
const LEFT_OUT: &str = "/events$";

#[tokio::test(flavor = "multi_thread")]
async fn it_is_served_as_it_is_in_the_golden_file() {
    let server = server().await;
    let served = json_of(server.get("/v1/openapi.json").await, 200);
    let golden = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/openapi.json");
    let golden: serde_json::Value =
        serde_json::from_slice(&std::fs::read(golden).unwrap()).unwrap();
    assert_eq!(served, golden);
    assert_eq!(served["openapi"], "3.1.0");
}

/// What the description promises is what the server does, whatever it is sent: no 5xx, no other
/// type or shape of answers.
#[tokio::test(flavor = "multi_thread")]
async fn schemathesis_finds_no_fault() {
    let schemathesis = tokio::task::spawn_blocking(schemathesis).await.unwrap();
    // Revisions that it makes up are waited for.
    let options = ServerOptions::default().with("ha", "revision_timeout", "0.01");
    let server = Server::start(options).await.unwrap();
    policy(&server, "p", &["q(1)", "r(x) :- q(x)"]).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("schemathesis.toml"), CONFIG).unwrap();
    let log = tempfile::NamedTempFile::new().unwrap();
    let mut command = Command::new(schemathesis);
    command
        // It reads its configuration, and leaves its traces, where it runs.
        .current_dir(folder.path())
        .arg("run")
        .arg(format!("{}/v1/openapi.json", server.url()))
        .args(["--url", server.url()])
        .args([
            "--checks",
            "not_a_server_error,content_type_conformance,response_schema_conformance",
        ])
        .args(["--exclude-path-regex", LEFT_OUT])
        .args(["--max-examples", "12", "--seed", "1", "--phases", "examples,fuzzing"])
        .args(["--workers", "2", "--request-timeout", "30", "--max-time", "60"])
        .env("NO_COLOR", "1")
        .stdout(log.reopen().unwrap())
        .stderr(log.reopen().unwrap());
    let status = tokio::task::spawn_blocking(move || command.status()).await.unwrap().unwrap();
    let said = std::fs::read_to_string(log.path()).unwrap();
    println!("{}", said.split("SUMMARY").last().unwrap_or_default());
    assert!(status.success(), "{said}");
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

/// `schemathesis`, installed.
fn schemathesis() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let environment = target.join("test-environments").join(REQUIREMENT.replace(['=', '.'], "-"));
    let complete = environment.join("complete");
    if !complete.exists() {
        let _ = std::fs::remove_dir_all(&environment);
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        run(Command::new(environment.join("bin/pip")).args(["install", "--quiet", REQUIREMENT]));
        std::fs::write(complete, "").unwrap();
    }
    environment.join("bin/schemathesis")
}

fn run(command: &mut Command) {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}\n{said}");
}
