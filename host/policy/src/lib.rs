//! The Congress policy language and its engine: Datalog over tables, as a pure library.
//!
//! ```
//! use std::sync::Arc;
//!
//! use congress_policy::{Engine, NewPolicy, Options, PolicyKind};
//! use time::macros::datetime;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
//! let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
//! engine.create_policy(NewPolicy::new("zoo", PolicyKind::Nonrecursive))?;
//! engine.insert(
//!     "animal(\"ape\") animal(\"bat\") flies(\"bat\")
//!      walks(x) :- animal(x), not flies(x)",
//!     Some("zoo"),
//! )?;
//! let answers = engine.snapshot().select("walks(x)", Some("zoo"))?;
//! let printed: Vec<String> = answers.statements().map(|answer| answer.to_string()).collect();
//! assert_eq!(printed, ["walks(\"ape\")"]);
//! # Ok(())
//! # }
//! ```
//!
//! Not in this build yet: policies of kind `materialized` and `z3`, simulation, explanation, and
//! derived tables that are kept up to date between queries.

mod aggregates;
pub mod analysis;
pub mod ast;
pub mod builtins;
mod check;
mod depgraph;
pub mod diagnostics;
mod engine;
mod error;
mod eval;
mod introspect;
mod lexer;
pub mod names;
pub mod parser;
mod policy;
pub mod print;
mod program;
mod schema;
mod snapshot;
mod state;
mod store;
mod syntax_error;
mod topdown;
pub mod warnings;

pub use engine::{
    Applied, Engine, Event, Execution, Fired, Options, Outcome, References, Subscription, Waiting,
};
pub use error::{Error, ErrorKind, Errors, Place};
pub use introspect::TableFilter;
pub use policy::{NewPolicy, PolicyInfo, PolicyKind};
pub use snapshot::{Answers, Latest, Limits, Snapshot};
pub use state::Clock;
