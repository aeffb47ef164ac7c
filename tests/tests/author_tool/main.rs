//! The author's tool as its users run it: the real program, real components, a local service.
#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on fails; clippy knows tests by their attribute only"
)]

mod check;
mod new;
mod record;
mod run;

use std::path::PathBuf;
use std::process::{Command, Output};

use congress_tests::{client_binary, drivers_folder};

/// A component made from `drivers/`.
fn component(name: &str) -> String {
    let path = drivers_folder().join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run scripts/build-drivers", path.display());
    path.display().to_string()
}

/// The tool, with compiled code kept for all tests.
fn tool() -> Command {
    let mut command = Command::new(client_binary().unwrap());
    let caches = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("author-tool");
    command.arg("driver").env("XDG_CACHE_HOME", caches);
    command
}

/// What a run of the tool gave.
#[derive(Debug)]
struct Ran {
    code: Option<i32>,
    out: String,
    err: String,
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        Self { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) }
    }
}

/// Runs the tool with these arguments; beside the runtime, for services run there.
async fn ran<S: AsRef<str>>(arguments: &[S]) -> Ran {
    let mut command = tool();
    command.args(arguments.iter().map(AsRef::as_ref));
    tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap()
}
