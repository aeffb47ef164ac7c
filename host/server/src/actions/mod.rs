//! Actions that rules ask for: `execute[…]` tables of the engines, carried out once by the active
//! datasource node.
//!
//! Every engine publishes what its rules ask for (`engine/executes.rs`, [`stream`]). The active node
//! follows one of them ([`mirror`]), compares it with the ledger in the database, and decides step
//! by step what to begin, to enter and to run ([`agenda`]); the [`Executor`] does that. Operators
//! see the ledger through a [`Desk`].

pub mod agenda;
mod desk;
mod executor;
#[cfg(test)]
mod executor_tests;
mod lapses;
pub mod mirror;
#[cfg(test)]
mod simulation;
pub mod stream;
pub mod wire;

pub use agenda::Options;
pub use desk::{ActionView, Desk, Wanted};
pub use executor::{Ended, Executor, Hands, LAST_RUNS, MayAct};

impl MayAct for crate::lease::Lease {
    fn fence(&self) -> Result<congress_store::Fence, crate::failure::Failure> {
        Self::fence(self)
    }
}
