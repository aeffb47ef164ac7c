//! The Congress server: configuration, the three roles, the REST API and the binaries.
//!
//! A node runs up to three roles ([`node`]): the REST API ([`api`]), the policy engine
//! ([`engine`]) and the datasources ([`datasources`]). Roles reach each other over the bus and
//! share the database, so that they may live in one process or in many.
#![forbid(unsafe_code)]

pub mod actions;
pub mod api;
mod ask;
pub mod auth;
pub mod config;
pub mod datasources;
pub mod engine;
pub mod failure;
pub mod fixture;
pub mod health;
pub mod huge_pages;
pub mod keys;
pub mod lease;
pub mod library;
pub mod log;
pub mod maintenance;
pub mod node;
mod python;
mod yaml;

pub use ask::ask;
