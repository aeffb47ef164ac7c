//! The commands, named as those of the `openstack congress` client.

mod action;
mod arguments;
mod datasource;
mod driver;
mod events;
mod explain;
mod library;
mod policy;
mod rule;
mod simulate;
mod table;
mod watch;

use clap::Subcommand;

use crate::generate;
use crate::http::Server;
use crate::output::{Answer, View};

pub(crate) use arguments::config_of;

/// What is asked.
#[derive(Subcommand)]
pub(crate) enum Command {
    /// Policies, their rules, tables and rows.
    #[command(subcommand)]
    Policy(policy::Policy),
    /// Policies to make policies from, kept by the server.
    #[command(subcommand)]
    Library(library::Library),
    /// Datasources, their tables and rows.
    #[command(subcommand)]
    Datasource(datasource::Datasource),
    /// Drivers that datasources can be made with, and what their authors need.
    #[command(subcommand)]
    Driver(driver::Driver),
    /// Actions that rules asked for.
    #[command(subcommand)]
    Action(action::Action),
    /// Versions of the API.
    #[command(subcommand)]
    Version(Version),
    /// Prints what completes commands in a shell.
    Completion(generate::Completion),
    /// Writes the manual pages of all commands.
    #[command(hide = true)]
    Man(generate::Manual),
}

/// Commands about versions.
#[derive(Subcommand)]
pub(crate) enum Version {
    /// All versions.
    List,
}

impl Command {
    /// Runs a command that asks no server; gives back one that does.
    pub(crate) async fn local(self, view: &View) -> anyhow::Result<Result<Answer, Self>> {
        Ok(Ok(match self {
            Self::Driver(driver::Driver::Tool(tool)) => {
                Answer::Printed(crate::driver::run(tool, view.format).await?)
            }
            Self::Completion(completion) => completion.run()?,
            Self::Man(manual) => manual.run()?,
            asking => return Ok(Err(asking)),
        }))
    }

    /// Runs a command that asks a server.
    pub(crate) async fn run(self, server: &Server, view: &View) -> anyhow::Result<Answer> {
        match self {
            Self::Policy(command) => command.run(server, view).await,
            Self::Library(command) => command.run(server).await,
            Self::Datasource(command) => command.run(server, view).await,
            Self::Driver(command) => command.run(server).await,
            Self::Action(command) => command.run(server).await,
            Self::Version(Version::List) => {
                let versions = server.versions().await?;
                Ok(Answer::members(versions, "versions", &["id", "status", "updated"]))
            }
            Self::Completion(_) | Self::Man(_) => Ok(Answer::Nothing),
        }
    }
}
