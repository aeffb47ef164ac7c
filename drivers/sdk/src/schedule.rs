//! When the host shall call the driver, besides its polls.

pub use crate::bindings::congress::datasource::schedule::upkeep_after;
