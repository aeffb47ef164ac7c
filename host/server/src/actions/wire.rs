//! What is said over the bus about actions.

use serde::{Deserialize, Serialize};

/// The service of the active datasource node that carries out what rules ask for.
pub const SERVICE: &str = "__actions";

/// What it is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActionsCall {
    /// Run an action again that has failed, or whose outcome is not known. Answers once it waits
    /// for its turn.
    Repeat {
        /// Its id in the ledger.
        id: String,
    },
}
