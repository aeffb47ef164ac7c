//! The author's tool: `congress driver new`, `inspect`, `check`, `run`, `record`, `replay`.
//!
//! It loads a component into the same plugin host as the server does, in this process, and asks
//! no server. What the author passes on the command line is what an operator would write into
//! `congress.conf`.

mod check;
mod hosting;
mod inspect;
mod new;
mod options;
mod print;
mod record;
mod replay;
mod run;
mod templates;
mod watch;

use std::process::ExitCode;

use clap::Subcommand;

use crate::output::Format;

/// Commands for the authors of drivers.
#[derive(Subcommand)]
pub(crate) enum Tool {
    /// Writes a new driver: a folder with everything that building it needs.
    New(new::Arguments),
    /// Shows what a component is and what it wants.
    Inspect(inspect::Arguments),
    /// Looks for mistakes: loads a component as a server does and tries to upset it.
    Check(check::Arguments),
    /// Polls a component once and prints its tables.
    Run(run::Arguments),
    /// Polls once and writes what went over HTTP into a fixture, without secrets.
    Record(record::Arguments),
    /// Polls once with the answers of a fixture, and compares the tables with it.
    Replay(replay::Arguments),
}

/// Runs a command. The exit code is 1 where a check fails or tables differ.
pub(crate) async fn run(tool: Tool, format: Format) -> anyhow::Result<ExitCode> {
    match tool {
        Tool::New(arguments) => new::run(&arguments).map(|()| ExitCode::SUCCESS),
        Tool::Inspect(arguments) => inspect::run(&arguments, format).await,
        Tool::Check(arguments) => check::run(&arguments, format).await,
        Tool::Run(arguments) => run::run(&arguments, format).await,
        Tool::Record(arguments) => record::run(&arguments).await,
        Tool::Replay(arguments) => replay::run(&arguments).await,
    }
}
