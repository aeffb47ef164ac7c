//! `congress`: the command-line client, and the tool of drivers' authors.
//!
//! The client covers what the server's API has so far; see `congress --help`. The tool
//! (`congress driver new`, `check`, `run`, …) is in `driver`.

mod commands;
mod driver;
mod http;
mod output;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use output::Format;

/// Asks a Congress server; writes, checks and runs drivers.
#[derive(Parser)]
#[command(name = "congress", version, about)]
struct Arguments {
    /// Where the server is.
    #[arg(long, env = "CONGRESS_URL", default_value = "http://127.0.0.1:1789", global = true)]
    url: String,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    format: Format,
    #[command(subcommand)]
    command: Command,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { url, format, command } = Arguments::parse();
    let answer = match http::Server::new(&url) {
        Ok(server) => commands::run(&server, command, format).await,
        Err(error) => Err(error),
    };
    answer.and_then(|answer| output::print(&answer, format)).unwrap_or_else(|error| {
        output::note(&format!("congress: {error:#}"));
        ExitCode::FAILURE
    })
}
