//! Evaluation: from a query to its rows.
//!
//! Demand-driven and set at a time. A body is a pipeline of steps over batches of variable
//! bindings; a step over a derived table first asks that table for just the rows that the batch
//! can use (a *call*: table, bound columns, and the keys wanted), and each call's rows are kept in
//! a memo for the rest of the query, so nothing is computed twice. Tables that depend on
//! themselves are evaluated together, in rounds: each round joins only what came with the last one
//! ([`recursion`]). A rule with aggregates has its solutions collected before it gives a row
//! ([`groups`]). Tables with a view are read like stored ones. Pending bodies and calls are
//! kept in a list, not on the stack, so depth of rules and number of rows are bounded by memory
//! alone. Batches are bounded, so a join is never laid out as a whole between two steps.

mod cache;
mod groups;
mod memo;
mod order;
pub(crate) mod plan;
mod probe;
mod ready;
mod recursion;
pub(crate) mod rows;
mod run;
mod steps;

pub(crate) use cache::{Origin, PlanCache};
pub(crate) use ready::Given;
pub(crate) use run::Evaluation;
