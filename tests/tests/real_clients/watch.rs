//! Rows as they come and go.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use crate::{Congress, is_complete, server};

/// Ends with the test.
struct Watching(Child);

impl Drop for Watching {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_shown_as_they_change() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    congress.text(&["policy", "create", "p"]);
    congress.text(&["policy", "rule", "create", "p", "q(1)", "--name", "one"]);
    let mut command = congress.command(&["policy", "row", "watch", "p", "q", "--changes", "2"]);
    let mut watching = Watching(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let mut next = || lines.next().unwrap().unwrap();
    // The first row tells that the connection is made.
    assert_eq!(next(), "  1");
    congress.text(&["policy", "rule", "create", "p", "q(\"a\u{202e}\")"]);
    assert_eq!(next(), "+ a\\u{202e}");
    congress.text(&["policy", "rule", "delete", "p", "one"]);
    assert_eq!(next(), "- 1");
    assert!(watching.0.wait().unwrap().success());
    let error = congress.fails(&["policy", "row", "watch", "none", "q"]);
    assert!(!error.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn pushed_rows_are_shown_as_they_change() {
    let server = server().await;
    if !is_complete(&server).await {
        return;
    }
    let congress = Congress { url: server.url() };
    let options = ["--config", "mode=ok", "--config", "poll_time=0"];
    congress.text(&[&["datasource", "create", "hostile", "pushy"][..], &options].concat());
    // What was pushed, and for which table, is what the driver puts into the table `report`.
    let push =
        |rows: &str| congress.text(&["datasource", "row", "update", "pushy", "numbers", rows]);
    push("[[1,\"one\"]]");
    let watch = ["datasource", "row", "watch", "pushy", "report", "--changes", "2"];
    let mut command = congress.command(&watch);
    let mut watching = Watching(command.stdout(Stdio::piped()).spawn().unwrap());
    let mut lines = BufReader::new(watching.0.stdout.take().unwrap()).lines();
    let mut two = || {
        let mut two = [(); 2].map(|()| lines.next().unwrap().unwrap());
        two.sort();
        two
    };
    assert_eq!(two(), ["  json  [[1,\"one\"]]", "  table  numbers"]);
    push("[[2,\"two\"]]");
    assert_eq!(two(), ["+ json  [[2,\"two\"]]", "- json  [[1,\"one\"]]"]);
    assert!(watching.0.wait().unwrap().success());
    let error = congress.fails(&["datasource", "row", "watch", "pushy", "none"]);
    assert!(error.contains("none"), "{error}");
}
