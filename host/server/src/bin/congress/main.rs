//! `congress`: the command-line client, and the tool of drivers' authors.
//!
//! * `commands`: what can be asked of a server, each a request or a few, and an [`Answer`]
//! * `cloud`: where the server is and how to log in, from flags, `OS_*` and `clouds.yaml`
//! * `http`: requests, with the token that they need
//! * `output`: answers in each format; nothing untrusted reaches a terminal as it came
//! * `files`: policies as YAML files, compared with those of a server
//! * `driver`: the author's tool, which asks no server
//! * `generate`: completions and manual pages
//!
//! [`Answer`]: output::Answer

mod cloud;
mod commands;
mod driver;
mod files;
mod generate;
mod http;
mod output;

use std::process::ExitCode;

use clap::Parser;

use commands::Command;
use output::{Answer, Format, View};

/// Asks a Congress server; writes, checks and runs drivers.
#[derive(Parser)]
#[command(name = "congress", version, after_long_help = NOTES)]
struct Arguments {
    #[command(flatten)]
    cloud: cloud::Flags,
    /// How to print the answer.
    #[arg(short, long, value_enum, default_value_t = Format::Table, global = true)]
    format: Format,
    /// Only this column or field; may be given several times.
    #[arg(short, long = "column", value_name = "COLUMN", global = true)]
    columns: Vec<String>,
    #[command(subcommand)]
    command: Command,
}

/// What belongs to no single option.
const NOTES: &str = "\
Where the server is and who asks:
  --url names the server of an installation without Keystone; by default it is on this machine.
  Otherwise the variables of OpenStack's clients (OS_AUTH_URL, OS_USERNAME, OS_PASSWORD,
  OS_PROJECT_NAME …) or, with --os-cloud, clouds.yaml and secure.yaml say how to log in to Keystone,
  and its catalogue has the server. OS_AUTH_TYPE is none, password, token or
  v3applicationcredential. A variable comes before what a file says.

Exit status:
  0  done
  1  it failed: the server refused it, cannot be reached, or a check of a driver failed
  2  the command line is wrong
  3  `policy apply --dry-run` found something to do

Environment:
  CONGRESS_PAGER, PAGER  what shows answers longer than the terminal (less); empty for none
  NO_COLOR               no colours; there are none except on a terminal";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let Arguments { cloud, format, columns, command } = Arguments::parse();
    let view = View { format, columns };
    answer(&cloud, command, &view).await.and_then(|answer| answer.print(&view)).unwrap_or_else(
        |error| {
            output::note(&format!("congress: {error:#}"));
            ExitCode::FAILURE
        },
    )
}

async fn answer(flags: &cloud::Flags, command: Command, view: &View) -> anyhow::Result<Answer> {
    let asking = match command.local(view).await? {
        Ok(answer) => return Ok(answer),
        Err(asking) => asking,
    };
    let server = http::Server::new(cloud::connection(flags)?)?;
    asking.run(&server, view).await
}
