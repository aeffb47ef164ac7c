//! The policy engine's role: policies and rules from the database, tables from the bus, answers
//! for the API.
//!
//! The database is the truth. A write is checked against the engine at the revision that it has
//! loaded, committed if the database still is at that revision, and then applied; otherwise the
//! engine catches up and checks again. So any number of engines agree without locking tables. Writes
//! of one node take turns (`turn`); reads wait for none of them.

mod cell;
mod executes;
#[cfg(test)]
mod executes_tests;
mod explain;
mod follow;
mod handle;
mod loaded;
mod observed;
mod policies;
mod published;
mod rows;
mod rules;
mod simulate;
mod sync;
mod turn;
mod update;

pub use cell::{Cell, row_of};
pub use explain::ExplainRequest;
pub use follow::Subscribed;
pub use handle::{EngineHandle, EngineOptions};
pub use observed::{Observation, RowsUpdate};
pub use policies::{PolicyRequest, PolicyStatus};
pub use published::POLICIES_PREFIX;
pub use rows::TableRows;
pub use rules::RuleStatus;
pub use simulate::{Simulated, SimulationRequest};
pub use update::{PolicyPatch, RulePatch};
