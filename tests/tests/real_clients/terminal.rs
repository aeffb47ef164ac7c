//! What reaches a terminal, and what does not.

use std::process::{Command, Stdio};

use crate::{Congress, server};

/// What a program prints on a terminal (of util-linux's `script`).
fn on_a_terminal(command: &Command) -> String {
    let quoted =
        |text: &std::ffi::OsStr| format!("'{}'", text.to_str().unwrap().replace('\'', "'\\''"));
    let line: Vec<_> =
        std::iter::once(command.get_program()).chain(command.get_args()).map(quoted).collect();
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &line.join(" "), "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .env("PAGER", "")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn colours_are_for_terminals_and_rows_have_none() {
    let server = server().await;
    let congress = Congress { url: server.url() };
    congress.text(&["policy", "create", "p"]);
    congress.text(&["policy", "rule", "create", "p", "q(\"a\u{202e}b\u{1b}]0;x\u{7}\")"]);
    let list = ["policy", "row", "list", "p", "q"];
    assert!(!congress.text(&list).contains('\u{1b}'));
    for format in ["table", "csv", "value", "yaml", "json"] {
        let command = congress.command(&[&list[..], &["-f", format]].concat());
        let seen = on_a_terminal(&command);
        assert!(seen.contains('a') && seen.contains('b'), "{format}: {seen:?}");
        let plain = seen.replace("\u{1b}[1m", "").replace("\u{1b}[0m", "");
        assert!(!plain.contains(['\u{1b}', '\u{202e}', '\u{7}']), "{format}: {seen:?}");
        assert_eq!(seen.contains("\u{1b}[1m"), format == "table", "{format}: {seen:?}");
    }
    // Errors hold what others wrote, too.
    let error = congress.fails(&["policy", "show", "no\u{202e}\u{1b}[2Jne"]);
    assert!(!error.contains(['\u{1b}', '\u{202e}']), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn logs_that_are_redirected_have_no_colours() {
    let server = server().await;
    assert!(server.get("/v1/policies").await.unwrap().status == 200);
    let log = server.log();
    assert!(!log.is_empty() && !log.contains('\u{1b}'), "{log:?}");
}
