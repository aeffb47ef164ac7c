//! What operators do to a deployment besides running it: look whether it can be upgraded, and
//! rotate the keys of its secrets.

mod checks;
mod secrets;

pub use checks::{Check, CheckResult, check_upgrade};
pub use secrets::{Resealed, reseal};
