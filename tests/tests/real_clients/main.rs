//! The clients that people use: `openstack congress …` of python-congressclient, from PyPI, in a
//! virtual environment made here, against a running server; and our own `congress`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use congress_tests::{Server, ServerOptions, drivers_folder};
use serde_json::{Value, json};

/// What is installed. A change makes a new environment.
const REQUIREMENTS: [&str; 2] = ["python-openstackclient==10.5.0", "python-congressclient==2.0.1"];

const SOON: Duration = Duration::from_secs(30);

/// `openstack`, installed.
fn openstack() -> PathBuf {
    let target = std::env::current_exe().unwrap().ancestors().nth(3).unwrap().to_owned();
    let name = REQUIREMENTS.join("_").replace(['=', '.'], "-");
    let environment = target.join("test-environments").join(name);
    let complete = environment.join("complete");
    if !complete.exists() {
        let _ = fs::remove_dir_all(&environment);
        run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
        let mut pip = Command::new(environment.join("bin/pip"));
        run(pip.args(["install", "--quiet"]).args(REQUIREMENTS));
        fs::write(complete, "").unwrap();
    }
    environment.join("bin/openstack")
}

fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}\n{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
    output
}

/// A client and the server it talks to.
struct Client<'a> {
    program: &'a Path,
    url: &'a str,
}

impl Client<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.program);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .args(["--os-auth-type", "none", "--os-endpoint", self.url, "congress"])
            .args(arguments);
        command
    }

    /// Runs a command that prints JSON.
    fn json(&self, arguments: &[&str]) -> Value {
        let output = run(self.command(arguments).args(["-f", "json"]));
        serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
            panic!("{arguments:?}: {error}: {}", String::from_utf8_lossy(&output.stdout))
        })
    }

    /// Runs a command that has a form of its own to print in.
    fn text(&self, arguments: &[&str]) -> String {
        String::from_utf8(run(&mut self.command(arguments)).stdout).expect("Unicode")
    }

    /// Runs a command that prints nothing of interest.
    fn run(&self, arguments: &[&str]) {
        run(&mut self.command(arguments));
    }

    /// Runs a command that must fail, and gives what it says.
    fn fails(&self, arguments: &[&str]) -> String {
        let output = self.command(arguments).output().expect("the client");
        assert!(!output.status.success(), "{arguments:?}");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }
}

fn names(list: &Value, column: &str) -> Vec<String> {
    let rows = list.as_array().map_or(&[][..], Vec::as_slice);
    rows.iter().map(|row| row[column].as_str().unwrap_or_default().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn python_congressclient() {
    let program = openstack();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("people.csv");
    fs::write(&file, "name,age\nAda,36\nBob,41\n").unwrap();
    let options = ServerOptions { drivers: Some(drivers_folder()), ..ServerOptions::default() };
    let server = Server::start(options.with("plugins", "allowed_files", folder.path().display()))
        .await
        .unwrap();
    server
        .eventually("/v1/system/drivers/files?detail=true", SOON, |body| body["id"] == "files")
        .await
        .unwrap();
    let client = Client { program: &program, url: server.url() };

    assert_eq!(client.json(&["version", "list"])[0]["id"], "v1");
    assert!(names(&client.json(&["driver", "list"]), "id").contains(&"files".to_owned()));
    let shown = client.json(&["driver", "config", "show", "files"]);
    assert!(shown.to_string().contains("tables"), "{shown}");

    // Datasources
    let tables = json!({"people": {"format": "csv", "path": file}}).to_string();
    let created = client.json(&[
        "datasource",
        "create",
        "files",
        "hr",
        "--description",
        "people",
        "--config",
        &format!("folder={}", folder.path().display()),
        "--config",
        &format!("tables={tables}"),
        "--config",
        "poll_time=1",
    ]);
    assert_eq!(created["name"], "hr");
    assert_eq!(names(&client.json(&["datasource", "list"]), "name"), ["hr"]);
    assert_eq!(names(&client.json(&["datasource", "table", "list", "hr"]), "id"), ["people"]);
    let polled = |body: &Value| body["initialized"] == "True";
    server.eventually("/v1/data-sources/hr/status", SOON, polled).await.unwrap();
    client.run(&["datasource", "request-refresh", "hr"]);
    let status = client.json(&["datasource", "status", "show", "hr"]);
    assert_eq!(status["last_error"], "None");
    let rows = client.json(&["datasource", "row", "list", "hr", "people"]);
    assert!(names(&rows, "name").contains(&"Ada".to_owned()), "{rows}");
    let schema = client.json(&["datasource", "table", "schema", "show", "hr", "people"]);
    assert_eq!(names(&schema, "name"), ["name", "age"]);

    // Policies, rules, rows
    let created = client.json(&["policy", "create", "p", "--description", "mine"]);
    assert_eq!(created["kind"], "nonrecursive");
    assert!(names(&client.json(&["policy", "list"]), "name").contains(&"p".to_owned()));
    assert_eq!(client.json(&["policy", "show", "p"])["description"], "mine");
    let rule = client.json(&[
        "policy",
        "rule",
        "create",
        "p",
        "old(x) :- hr:people(name=x, age=\"41\")",
        "--name",
        "oldest",
        "--comment",
        "a comment",
    ]);
    assert_eq!(rule["name"], "oldest");
    client.run(&["policy", "rule", "create", "p", "fact(1)"]);
    let rules = client.text(&["policy", "rule", "list", "p"]);
    assert!(rules.contains("a comment") && rules.contains("fact(1)"), "{rules}");
    assert_eq!(client.json(&["policy", "rule", "show", "p", "oldest"])["comment"], "a comment");
    let tables = names(&client.json(&["policy", "table", "list", "p"]), "id");
    assert!(tables.contains(&"old".to_owned()) && tables.contains(&"hr:people".to_owned()));
    client.json(&["policy", "table", "show", "p", "old"]);
    let one = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 1);
    server.eventually("/v1/policies/p/tables/old/rows", SOON, one).await.unwrap();
    let rows = client.json(&["policy", "row", "list", "p", "old"]);
    assert!(rows.to_string().contains("Bob"), "{rows}");

    // Errors are passed on in words
    let error = client.fails(&["policy", "rule", "create", "p", "broken(x) :-"]);
    assert!(error.contains("Syntax error for rule"), "{error}");
    let error = client.fails(&["policy", "create", "p"]);
    assert!(error.contains("Policy with name p already exists"), "{error}");

    // Deletion
    client.run(&["policy", "rule", "delete", "p", "oldest"]);
    let rules = client.text(&["policy", "rule", "list", "p"]);
    assert!(!rules.contains("a comment") && rules.contains("fact(1)"), "{rules}");
    client.run(&["policy", "delete", "p"]);
    assert!(!names(&client.json(&["policy", "list"]), "name").contains(&"p".to_owned()));
    client.run(&["datasource", "delete", "hr"]);
    assert_eq!(client.json(&["datasource", "list"]), json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_client() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let program = congress_tests::client_binary().unwrap();
    let congress = |arguments: &[&str]| -> Output {
        Command::new(&program)
            .env_clear()
            .args(["--url", server.url()])
            .args(arguments)
            .output()
            .expect("the client")
    };
    let text = |output: Output| String::from_utf8(output.stdout).expect("Unicode");
    assert!(congress(&["policy", "create", "p"]).status.success());
    assert!(congress(&["policy", "rule", "create", "p", "q(1, \"one\")"]).status.success());
    assert!(congress(&["policy", "rule", "create", "p", "q(22, \"x\")"]).status.success());
    let table = text(congress(&["policy", "row", "list", "p", "q"]));
    assert_eq!(table, "0   1\n--  ---\n1   one\n22  x\n(2 rows)\n");
    let list = text(congress(&["policy", "list", "--format", "json"]));
    assert!(serde_json::from_str::<Value>(&list).unwrap()["results"].is_array());
    let refused = congress(&["policy", "rule", "create", "p", "r(x) :- s(x"]);
    let error = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && error.contains("r(x) :- s(x\n"), "{error}");
    assert!(error.contains('^'), "the place is shown: {error}");
    assert!(congress(&["policy", "delete", "p"]).status.success());
    let gone = congress(&["policy", "show", "p"]);
    assert!(String::from_utf8(gone.stderr).unwrap().contains("No policy found"));
}
