//! The clients that people use, against a running server: `openstack congress …` of
//! python-congressclient and the scenarios of congress-tempest-plugin, from PyPI in virtual
//! environments made here; and our own `congress`.
#![expect(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod actions;
mod files;
mod login;
mod own;
mod python;
mod tempest;
mod terminal;
mod tls;
mod watch;

use std::process::{Command, Output};

use congress_tests::{SOON, Server, ServerOptions, drivers_folder};
use serde_json::Value;

/// A server with the drivers that are for tests: the datasource driver `hostile` takes pushed rows and has
/// actions, and `template` polls.
async fn server() -> Server {
    let drivers = Some(drivers_folder().join("testing"));
    let server =
        Server::start(ServerOptions { drivers, ..ServerOptions::default() }).await.unwrap();
    for driver in ["hostile", "template"] {
        let path = format!("/v1/system/drivers/{driver}");
        server.eventually(&path, SOON, |body| body["id"] == driver).await.unwrap();
    }
    server
}

/// Whether a server has simulation, the library, changes and streams. Without them what needs them is
/// skipped.
async fn is_complete(server: &Server) -> bool {
    let complete = server.get("/v1/openapi.json").await.unwrap().status == 200;
    if !complete {
        println!("skipped: what needs simulation, library, changes or streams");
    }
    complete
}

/// Our own client, asking a server of one's own machine.
struct Congress<'a> {
    url: &'a str,
}

/// What it did.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("Unicode");
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

impl Congress<'_> {
    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = own();
        command.args(["--url", self.url]).args(arguments);
        command
    }

    /// Runs it, whatever comes of it.
    fn ran(&self, arguments: &[&str]) -> Ran {
        self.command(arguments).output().expect("the client").into()
    }

    /// Runs it well; what it prints.
    #[track_caller]
    fn text(&self, arguments: &[&str]) -> String {
        let ran = self.ran(arguments);
        assert_eq!(ran.code, Some(0), "{arguments:?}: {ran:?}");
        ran.out
    }

    /// Runs it well; the JSON that it prints.
    #[track_caller]
    fn json(&self, arguments: &[&str]) -> Value {
        let text = self.text(&[arguments, &["-f", "json"]].concat());
        serde_json::from_str(&text).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {text}"))
    }

    /// Runs it badly; what it says.
    #[track_caller]
    fn fails(&self, arguments: &[&str]) -> String {
        let ran = self.ran(arguments);
        assert_eq!(ran.code, Some(1), "{arguments:?}: {ran:?}");
        ran.err
    }
}

/// Our own client in an environment that says nothing.
fn own() -> Command {
    let mut command = Command::new(congress_tests::client_binary().unwrap());
    command.env_clear().env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command
}

/// The members of a list.
fn results(list: &Value) -> &[Value] {
    list["results"].as_array().expect("a list")
}
