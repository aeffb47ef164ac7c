//! What whole-system tests share: the real server as a process, and where things are.

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
