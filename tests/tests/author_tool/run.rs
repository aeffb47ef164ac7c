//! `run`: its formats, its grants, and watching.

use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use axum::Router;
use serde_json::Value;

use crate::{Ran, component, ran, tool};

#[tokio::test]
async fn tables_are_printed_in_each_format() {
    let file = component("testing/template");
    let names = ["run", &file, "--config", "names=Ann, Bob"];
    let table = ran(&names).await;
    assert_eq!(table.code, Some(0), "{table:?}");
    assert!(
        table.out.contains("name  greeting\n----  -----------\nAnn   Hello, Ann!\n"),
        "{table:?}"
    );
    assert!(table.err.contains("polled in ") && table.err.contains("rows: 2"), "{}", table.err);

    let csv = ran(&[&names[..], &["--format", "csv"]].concat()).await;
    assert_eq!(csv.out, "name,greeting\nAnn,\"Hello, Ann!\"\nBob,\"Hello, Bob!\"\n");

    let json = ran(&[&names[..], &["--format", "json"]].concat()).await;
    let value: Value = serde_json::from_str(&json.out).unwrap();
    assert_eq!(value["tables"]["greetings"]["rows"][1][0], "Bob");
    let milliseconds = |name: &str| value[name].as_f64().unwrap();
    assert!(milliseconds("instance_milliseconds") <= milliseconds("milliseconds"));
}

#[tokio::test]
async fn compiling_is_told_and_rows_cannot_act() {
    let folder = tempfile::tempdir().unwrap();
    let mut command = tool();
    // Nothing is compiled yet.
    command.env("XDG_CACHE_HOME", folder.path()).args(["inspect", &component("http_json")]);
    let ran: Ran =
        tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap();
    assert!(ran.err.starts_with("compiling ") && ran.err.contains("http_json.wasm"), "{ran:?}");

    let mut command = tool();
    let file = component("testing/template");
    command.args(["run", &file, "--config", "names=A\u{202e}B\u{1b}[31m"]);
    let ran: Ran =
        tokio::task::spawn_blocking(move || command.output().unwrap().into()).await.unwrap();
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.out.contains("A\\u{202e}B\\u{1b}[31m"), "{}", ran.out);
    assert!(!(ran.out + &ran.err).contains(['\u{202e}', '\u{1b}']));
}

#[tokio::test]
async fn mistakes_are_explained() {
    let file = component("testing/template");
    let bare = ran(&["run", &file]).await;
    assert_eq!(bare.code, Some(1));
    assert!(bare.err.contains("names (required): Whom to greet"), "{}", bare.err);
    let table = ran(&["run", &file, "--config", "names=A", "--table", "greeting"]).await;
    assert!(table.err.contains("no table 'greeting'; there are: greetings"), "{}", table.err);
    let word = ran(&["run", &file, "--config", "names"]).await;
    assert!(word.err.contains("'names' is not of the form KEY=VALUE"), "{}", word.err);
}

#[tokio::test]
async fn loopback_needs_a_grant_and_the_error_says_so() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("url=http://{}", listener.local_addr().unwrap());
    let app = Router::new().fallback(|| async { r#"[{"name": "Phobos"}, {"name": null}]"# });
    let service = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    let mapping = folder.path().join("mapping.json");
    fs::write(&mapping, r#"{"moons": {"path": "moons", "columns": ["name"]}}"#).unwrap();
    let file = component("http_json");
    let mapping = format!("tables=@{}", mapping.display());
    let arguments = ["run", &file, "--config", &url, &mapping];

    let denied = ran(&arguments).await;
    assert_eq!(denied.code, Some(1), "{denied:?}");
    assert!(denied.err.contains("you are the operator: add --allow 127.0.0.1"), "{}", denied.err);
    let allowed = ran(&[&arguments[..], &["--allow", "127.0.0.1"]].concat()).await;
    assert_eq!(allowed.code, Some(0), "{allowed:?}");
    assert!(allowed.out.contains("Phobos\nnull\n"), "{}", allowed.out);
    assert!(allowed.err.contains("requests: 1"), "{}", allowed.err);
    service.abort();
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn watching_polls_anew_when_the_file_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (file, out) = (folder.path().join("driver.wasm"), folder.path().join("out"));
    fs::copy(component("testing/template"), &file).unwrap();
    let mut command = tool();
    command.arg("run").arg(&file).args(["--watch", "--config", "names=Ann"]);
    let log = fs::File::create(&out).unwrap();
    command.stdout(log.try_clone().unwrap()).stderr(log).stdin(Stdio::null());
    let _watching = Ended(command.spawn().unwrap());
    let until = |condition: &dyn Fn(&str) -> bool| {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let text = fs::read_to_string(&out).unwrap();
            if condition(&text) {
                return;
            }
            assert!(Instant::now() < deadline, "{text}");
            std::thread::sleep(Duration::from_millis(20));
        }
    };
    until(&|text| text.contains("Hello, Ann!") && text.contains("watching "));
    // Broken, then another driver: it says so, and goes on.
    fs::write(&file, "half a file").unwrap();
    until(&|text| text.contains("is not a WebAssembly file"));
    fs::copy(component("testing/template"), &file).unwrap();
    until(&|text| text.matches("Hello, Ann!").count() == 2);
}
