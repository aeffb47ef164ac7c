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
//! each rule lacks, as data and as text. [`Snapshot::trace`] follows the proof step by step, and
//! [`Snapshot::abduce`] says what would have to hold.
//!
//! What did a change do? A watched table is kept up to date, at a cost that follows the change:
//!
//! ```
//! # use std::sync::Arc;
//! # use congress_policy::{Engine, NewPolicy, Options, PolicyKind};
//! # use time::macros::datetime;
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
//! # let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
//! # engine.create_policy(NewPolicy::new("zoo", PolicyKind::Nonrecursive))?;
//! engine.insert("full(cage, count(x)) :- lives(x, cage)", Some("zoo"))?;
//! engine.watch("cages", Some("zoo"), "full", None)?;
//! let outcome = engine.insert("lives(\"ape\", 1) lives(\"bat\", 1)", Some("zoo"))?;
//! let added: Vec<String> = outcome.fired[0].added[0].iter().map(ToString::to_string).collect();
//! assert_eq!(added, ["1", "2"]);
//! # Ok(())
//! # }
//! ```
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
//! # The main types
//!
//! * [`Engine`]: the one writer. Policies ([`NewPolicy`], [`PolicyKind`]), batches of statements
//!   ([`Engine::insert`], [`Engine::update`], [`Engine::check`]), tables and changes of datasources
//!   ([`Engine::initialize_datasource`], [`Engine::apply_change`]), watches. A change gives an
//!   [`Outcome`]: what was applied, what watched tables gained and lost ([`Fired`]), and which
//!   actions rules with `execute[…]` ask for ([`Execution`]); to execute them is the caller's.
//! * [`Snapshot`]: one immutable state, for queries ([`Answers`]), listings, simulation and
//!   explanation on any thread. [`Latest`] gives readers the newest without waiting for the writer.
//! * [`Limits`]: how much a query may cost, and a flag that stops it.
//! * [`Error`], [`Errors`]: the catalogue's message and kind, and [`Error::render`] with the source,
//!   carets under the place and often advice. [`warnings::warnings`]: what is accepted, and was
//!   perhaps not meant.
//! * [`parser`], [`ast`], [`print`](mod@print), [`analysis`], [`names`], [`builtins`]: the language
//!   without an engine.
//!
//! The language is described in `docs/policy-language.md`, how the parts work together in
//! `ARCHITECTURE.md`, and why views and aggregates are as they are in `docs/adr`.
//!
//! # What it is not
//!
//! * A database: nothing is stored on disk. Whoever embeds it keeps the statements.
//! * A type checker: a column may hold texts and numbers. Declared column types are not looked at.
//! * A cache: a table is kept between queries while it is watched or asks for actions, or while one
//!   that does depends on it. A query that is repeated is evaluated again.
//! * Bounded by itself: results of builtins, texts, traces and explanations are, but a query has the
//!   limits that it is given, and a view has none. A recursion that makes new values for ever (with
//!   `builtin:plus`, say) must not be watched.
//! * Open to new schemas: a datasource's tables are declared once. If it is removed and comes again
//!   with others, rules that read it stay as they were expanded and are not checked again.
//! * Aware of time: rows of tables that ask for `now` are told anew when something that they depend
//!   on changes, not when time passes.

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
    Applied, Engine, Event, ExecuteTable, Execution, Fired, Options, Outcome, References,
    Subscription, Told, Waiting,
};
pub use error::{Error, ErrorKind, Errors, Place};
pub use explain::{
    Absence, Attempt, Derivation, Detail, Explanation, Failure, NearMiss, Obstacle, Reason, Step,
};
pub use introspect::TableFilter;
pub use policy::{NewPolicy, PolicyInfo, PolicyKind};
pub use simulate::{MAX_SEQUENCE, Simulation, SimulationAnswers, SimulationResult};
pub use snapshot::{Answers, Latest, Limits, Snapshot, StateId, TableRows, ValueRef};
pub use state::Clock;
pub use subpolicy::SubpolicyQuery;
