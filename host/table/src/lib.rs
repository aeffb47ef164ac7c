//! Values, rows, schemas, changes and digests.
//!
//! The vocabulary that drivers, bus, store and policy engine share; the only crate that they all
//! depend on. It holds data and no behaviour beyond comparing, hashing and taking differences.
#![forbid(unsafe_code)]

mod cell;
mod change;
mod content;
mod digest;
mod schema;
mod table;
mod value;

pub use cell::Cell;
pub use change::{Change, TableDelta};
pub use content::NewContent;
pub use digest::Digest;
pub use schema::{Column, ColumnType, TableSchema};
/// What texts are.
pub use smol_str::SmolStr;
pub use table::{MAX_ROW_BYTES, Row, Table};
pub use value::Value;
