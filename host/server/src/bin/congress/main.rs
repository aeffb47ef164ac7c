//! `congress`: the command-line client.
//!
//! Covers what the server's API has so far; see `congress --help`.

mod commands;
mod http;
mod output;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use output::Format;

/// Asks a Congress server.
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
    let arguments = Arguments::parse();
    let answer = match http::Server::new(&arguments.url) {
        Ok(server) => commands::run(&server, arguments.command).await,
        Err(error) => Err(error),
    };
    match answer.and_then(|answer| output::print(&answer, arguments.format)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            #[expect(clippy::print_stderr, reason = "that is where a command reports errors")]
            {
                eprintln!("congress: {error:#}");
            }
            ExitCode::FAILURE
        }
    }
}
