//! Drivers of JSON services: collections, which become tables, and actions.

pub use crate::openstack::{Collection, Service, tables};
