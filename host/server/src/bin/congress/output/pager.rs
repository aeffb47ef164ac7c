//! Answers longer than the terminal go through a pager.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _, Write as _};
use std::process::{Command, Stdio};

/// What `less` does without options of one's own: ends if all fits, keeps colours, leaves the text
/// on the screen.
const LESS: &str = "FRX";

/// Writes a text that is fit for a terminal to standard output.
pub(super) fn show(text: &str) -> anyhow::Result<()> {
    if is_long(text)
        && let Some(pager) = pager()
        && let Ok(()) = through(&pager, text)
    {
        return Ok(());
    }
    super::write(text)
}

/// Whether somebody looks at it, and it does not fit.
fn is_long(text: &str) -> bool {
    let out = io::stdout();
    let height = match out.is_terminal() && io::stdin().is_terminal() {
        true => rustix::termios::tcgetwinsize(&out).map_or(0, |size| usize::from(size.ws_row)),
        false => 0,
    };
    height > 0 && text.lines().count() >= height
}

/// The pager; none if the variable is empty.
fn pager() -> Option<OsString> {
    let named = std::env::var_os("CONGRESS_PAGER").or_else(|| std::env::var_os("PAGER"));
    let pager = named.unwrap_or_else(|| "less".into());
    (!pager.is_empty() && pager != *"cat").then_some(pager)
}

/// # Errors
///
/// There is no such program: nothing has been shown.
fn through(pager: &OsString, text: &str) -> io::Result<()> {
    let mut command = Command::new("sh");
    // As other programs do: the variable may hold options.
    command.arg("-c").arg(pager).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", LESS);
    }
    let mut child = command.spawn()?;
    if let Some(mut stdin) = child.stdin.take() {
        // Whoever reads may end before all is read.
        let _ = stdin.write_all(text.as_bytes());
    }
    // What a shell says of a program that is not there.
    match child.wait()?.code() {
        Some(126 | 127) => Err(io::ErrorKind::NotFound.into()),
        _ => Ok(()),
    }
}
