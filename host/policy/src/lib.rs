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
//! What would a query answer if …? [`Snapshot::simulate`] tells, and nothing changes:
//!
//! ```
//! # use std::sync::Arc;
//! # use congress_policy::{Engine, Limits, NewPolicy, Options, PolicyKind, Simulation};
//! # use time::macros::datetime;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
//! # let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
//! engine.create_policy(NewPolicy::new("zoo", PolicyKind::Nonrecursive))?;
//! engine.create_policy(NewPolicy::new("action", PolicyKind::Action))?;
//! engine.insert("lives(\"ape\", 1) lives(\"bat\", 2)", Some("zoo"))?;
//! engine.insert(
//!     "action(\"move\")
//!      lives+(x, c) :- move(x, c)
//!      lives-(x, old) :- move(x, c), lives(x, old)",
//!     Some("action"),
//! )?;
//! let simulation = Simulation {
//!     query: "lives(x, c)",
//!     policy: Some("zoo"),
//!     sequence: "move(\"ape\", 2)",
//!     action_policy: Some("action"),
//!     delta: true,
//!     trace: false,
//!     fresh: &|| unreachable!("this action creates nothing"),
//! };
//! let result = engine.snapshot().simulate(&simulation, Limits::default())?;
//! let printed: Vec<String> = result.answers.statements().iter().map(ToString::to_string).collect();
//! assert_eq!(printed, ["lives+(\"ape\", 2)", "lives-(\"ape\", 1)"]);
//! # Ok(())
//! # }
//! ```
//!
//! Why is a row there, and why is another not? [`Snapshot::explain`] gives the derivation, or what
//! each rule lacks, as data and as text.
//!
//! Which rules make use of some tables and keep away from others? [`Snapshot::find_subpolicy`]:
//!
//! ```
//! # use std::sync::Arc;
//! # use congress_policy::{Engine, NewPolicy, Options, PolicyKind, SubpolicyQuery};
//! # use time::macros::datetime;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
//! # let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
//! # engine.create_policy(NewPolicy::new("zoo", PolicyKind::Nonrecursive))?;
//! engine.insert("warn(x) :- ill(x)  ill(x) :- vet:notes(x)  warn(x) :- diary(x)", Some("zoo"))?;
//! let query = SubpolicyQuery { required: &["vet:notes"], prohibited: &["diary"], output: &["warn"] };
//! let rules = engine.snapshot().find_subpolicy(query, Some("zoo"))?;
//! let printed: Vec<String> = rules.iter().map(ToString::to_string).collect();
//! assert_eq!(printed, ["warn(x) :- ill(x)", "ill(x) :- vet:notes(x)"]);
//! # Ok(())
//! # }
//! ```
//!
//! Not in this build yet: derived tables that are kept up to date between queries.

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
mod explain;
mod introspect;
mod lexer;
pub mod names;
pub mod parser;
mod policy;
pub mod print;
mod program;
mod schema;
mod simulate;
mod snapshot;
mod state;
mod store;
mod subpolicy;
mod syntax_error;
mod topdown;
pub mod warnings;

pub use engine::{
    Applied, Engine, Event, Execution, Fired, Options, Outcome, References, Subscription, Waiting,
};
pub use error::{Error, ErrorKind, Errors, Place};
pub use explain::{
    Absence, Attempt, Derivation, Detail, Explanation, Failure, NearMiss, Obstacle, Reason, Step,
};
pub use introspect::TableFilter;
pub use policy::{NewPolicy, PolicyInfo, PolicyKind};
pub use simulate::{MAX_SEQUENCE, Simulation, SimulationAnswers, SimulationResult};
pub use snapshot::{Answers, Latest, Limits, Snapshot, ValueRef};
pub use state::Clock;
pub use subpolicy::SubpolicyQuery;
