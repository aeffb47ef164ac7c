//! Policies as YAML files: `congress policy apply` and `export`.
//!
//! A file has one document for each policy, in the form in which the API and the library take
//! them. `document` reads and writes them, `folder` all of a folder; `plan` finds what differs from a
//! server, and `changes` makes the difference: `rules` that of one policy's rules, for which `clash`
//! finds those that cannot be there together.

mod apply;
mod changes;
mod clash;
mod document;
mod export;
mod folder;
mod plan;
mod rules;
mod server;
mod widths;

pub(crate) use apply::Apply;
pub(crate) use document::{Document, to_yaml, yaml};
pub(crate) use export::Export;
