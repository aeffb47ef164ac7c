//! Datasources: the role that runs them, and the client through which all others reach them.
//!
//! The role ([`Manager`]) keeps one task for every enabled datasource in the database. A task polls
//! its driver, publishes what changed, and answers calls under the datasource's name. The client
//! ([`Client`]) works from the database and its driver catalogue alone where it can (listing,
//! checking configurations, hiding secrets), and over the bus where a running datasource must
//! answer.

mod backoff;
#[cfg(test)]
mod bus_tests;
mod calls;
mod check;
mod client;
mod drivers;
mod errands;
mod local;
mod manager;
mod running;
mod shared;
mod start;
mod status;
mod task;
mod views;
mod wire;

pub(crate) use backoff::random;
pub use check::lazy_tables;
pub(crate) use client::failure;
pub use client::{Client, ClientOptions, ConfigChange, DatasourcePatch, DatasourceRequest};
pub use drivers::{DriverFolders, LoadState, NextBuild};
pub(crate) use manager::wrong_key;
pub use manager::{Ending, Manager, ManagerOptions, Surroundings};
pub use views::{BuildSummary, DriverSummary};
pub(crate) use wire::reply;
pub use wire::{DatasourceCall, Execution, MANAGER, ManagerCall, ask};
