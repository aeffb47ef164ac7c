//! How rows are kept: words, the dictionary behind them, relations and their indexes.
//!
//! Everything here is persistent in the functional sense: a clone costs next to nothing, and a
//! change to one clone copies the few chunks it touches and never the whole.

pub(crate) mod chunked;
pub(crate) mod dictionary;
pub(crate) mod ids;
pub(crate) mod index;
mod indexes;
pub(crate) mod interner;
pub(crate) mod pairs;
pub(crate) mod relation;
pub(crate) mod scratch;
mod slot;
pub(crate) mod slots;
mod texts;
pub(crate) mod word;
