//! What whole-system tests share: the real server as a process, and where things are.

use std::time::Duration;

mod binaries;
pub mod cluster;
mod database;
mod deployment;
mod places;
mod server;

pub use binaries::{client as client_binary, manager as manager_binary, server as server_binary};
pub use database::database;
pub use deployment::{
    Attempt, Client, Database, Deployment, DeploymentOptions, Node, Outage, rows_of,
};
pub use places::{drivers_folder, root, shared};
pub use server::{Reply, Server, ServerOptions};

/// How long anything may take that usually takes milliseconds: other tests may have the machine.
pub const SOON: Duration = Duration::from_secs(120);
