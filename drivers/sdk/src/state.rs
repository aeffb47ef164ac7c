//! The small store that the host keeps between calls: an ETag, a cursor, a time.
//!
//! Changes are kept when the call succeeds. Keys and values share one limit (64 KiB). It lasts as
//! long as the rows that were put in last: a datasource that starts anew begins with an empty one.

use std::fmt::Display;
use std::str::FromStr;

use crate::bindings::congress::datasource::state;
use crate::{Error, Result};

/// What was stored under a key.
pub fn get(key: &str) -> Option<String> {
    state::get(key)
}

/// What was stored under a key, if it still reads as a `T`.
pub fn get_as<T: FromStr>(key: &str) -> Option<T> {
    get(key)?.parse().ok()
}

/// Stores a value under a key.
pub fn set(key: &str, value: impl Display) -> Result<()> {
    state::set(key, Some(&value.to_string())).map_err(refused)
}

/// Removes a key.
pub fn remove(key: &str) -> Result<()> {
    state::set(key, None).map_err(refused)
}

fn refused(reason: String) -> Error {
    Error::Protocol(format!("the host refused to store state: {reason}"))
}
