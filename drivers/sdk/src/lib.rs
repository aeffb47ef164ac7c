//! Writes Congress datasource drivers in Rust.
//!
//! A driver reads a service and gives its content as tables of plain values; see
//! `drivers/README.md` for a first one in ten lines and `wit/datasource.wit` for the contract.
//! This crate makes the rest declaration:
//!
//! * [`Driver`] and [`export_driver!`]: the component itself; [`describe`]: what it is;
//! * [`Config`], [`state`], [`schedule`], [`logging`], [`files`], [`session`]: what the host offers;
//! * [`rows`], [`tables`]: rows on their way to the host, in batches;
//! * [`push`], [`alarms`], [`clock`]: bodies that are pushed, the rows that they replace, and how old
//!   those are;
//! * [`paging`], [`path`], [`url`], [`conditional`]: reading lists from JSON services, long ones,
//!   and only what has changed;
//! * [`translate`] with [`types`], [`json`], [`pytext`] and [`hash`]: rows from JSON objects, as the
//!   original's drivers make them;
//! * [`mapping`]: tables declared by the configuration;
//! * [`actions`]: requests made from arguments; [`rest`]: lists and actions of a JSON service, and
//!   [`openstack`] the same for OpenStack's.
//!
//! Everything that needs no host also compiles and is tested natively.

pub mod actions;
pub mod alarms;
pub mod bindings;
mod call;
pub mod clock;
pub mod conditional;
mod config;
pub mod describe;
#[doc(hidden)]
pub mod driver;
pub mod files;
pub mod hash;
pub mod json;
pub mod logging;
pub mod mapping;
pub mod openstack;
pub mod paging;
pub mod path;
pub mod push;
pub mod pytext;
pub mod rest;
pub mod rows;
pub mod schedule;
mod services;
pub mod session;
pub mod state;
pub mod tables;
pub mod translate;
pub mod types;
pub mod url;
mod value;
mod wanted;

pub use bindings::congress::datasource::types::{
    Column, ColumnType, DriverError as Error, Row, Table, Value,
};
pub use bindings::exports::congress::datasource::driver::{
    Action, ConfigField, Feed, FieldType, Metadata, Push, SessionKind,
};
pub use call::Call;
pub use config::Config;
pub use driver::Driver;
pub use wanted::Wanted;

/// The result of everything that can fail.
pub type Result<T> = std::result::Result<T, Error>;

/// What most drivers use.
pub mod prelude {
    pub use crate::describe::*;
    pub use crate::{
        Action, Call, Column, ColumnType, Config, ConfigField, Driver, Error, Feed, FieldType,
        Metadata, Push, Result, Row, SessionKind, Table, Value, Wanted, export_driver, rows,
    };
}
