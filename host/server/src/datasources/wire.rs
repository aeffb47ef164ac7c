//! What is said over the bus: calls to the manager and to single datasources.
//!
//! Calls and replies are JSON. A reply is a `Result`, so that a failure arrives as it was made.

use std::time::Duration;

use bytes::Bytes;
use congress_bus::{Bus, CallError};
use congress_plugins::ConfigValues;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::failure::{Answer, Failure, Status};

/// The manager's service name.
pub const MANAGER: &str = "_ds_manager";

/// What the manager is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ManagerCall {
    /// Whether it is there.
    Ping,
    /// How the drivers stand. Answers `Vec<DriverState>`.
    Drivers,
    /// Start the datasource of this id, which is in the database now.
    Start {
        /// Its id.
        id: String,
    },
    /// Run the datasource of this id as the database has it now.
    Update {
        /// Its id.
        id: String,
    },
    /// Stop the datasource of this id, which is in the database no longer.
    Stop {
        /// Its id.
        id: String,
    },
}

/// The data of the failure that answers [`DatasourceCall::Rows`] where there are too many for a
/// message. Whoever wants them subscribes: a stream has no such bound.
pub(crate) const TOO_MANY_ROWS: &str = "too_many_rows";

/// What a datasource is asked.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DatasourceCall {
    /// Its tables. Answers `Vec<TableSchema>`.
    Schema,
    /// How it fares. Answers what the API shows.
    Status,
    /// The rows of a table, as policies see them. Answers `Vec<Vec<Value>>`, or fails with
    /// [`TOO_MANY_ROWS`].
    Rows {
        /// The table.
        table: String,
    },
    /// Poll soon.
    Refresh,
    /// Run an action. Answers once the request is accepted; it runs in the background.
    Execute(Execution),
    /// Rows pushed for one table.
    ReplaceRows {
        /// The table.
        table: String,
        /// The body of the request.
        body: Value,
    },
    /// A webhook's payload.
    Webhook {
        /// The body of the request.
        payload: Value,
    },
}

impl DatasourceCall {
    /// Whether it does what must not be done twice, or by the wrong process.
    pub(super) fn changes_something(&self) -> bool {
        match self {
            Self::Execute(_) | Self::ReplaceRows { .. } | Self::Webhook { .. } => true,
            Self::Schema | Self::Status | Self::Rows { .. } | Self::Refresh => false,
        }
    }

    /// Whether it may be carried out twice with the same outcome as once.
    pub(super) fn is_repeatable(&self) -> bool {
        match self {
            Self::Execute(_) | Self::Webhook { .. } => false,
            Self::Schema
            | Self::Status
            | Self::Rows { .. }
            | Self::Refresh
            | Self::ReplaceRows { .. } => true,
        }
    }
}

/// An action to be run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Execution {
    /// The action's name, for instance `servers.pause`.
    pub action: String,
    /// Arguments by position.
    pub positional: Vec<Value>,
    /// Arguments by name.
    pub named: ConfigValues,
}

/// Calls a service. Absence, overload and silence become failures; `absent` makes the one for a
/// service that is nowhere.
pub async fn ask<T: DeserializeOwned>(
    bus: &dyn Bus,
    service: &str,
    call: &impl Serialize,
    deadline: Duration,
    absent: impl FnOnce(&CallError) -> Failure,
) -> Answer<T> {
    let body = serde_json::to_vec(call).map_err(Failure::internal)?;
    let reply = bus.call(service, body.into(), deadline).await.map_err(|error| match error {
        CallError::NotFound(_) => absent(&error),
        other => Failure::plain(Status::Unavailable, other),
    })?;
    let reply: Answer<T> = serde_json::from_slice(&reply).map_err(Failure::internal)?;
    reply
}

/// A reply's bytes.
pub(crate) fn reply<T: Serialize>(answer: &Answer<T>) -> Bytes {
    serde_json::to_vec(answer)
        .or_else(|error| serde_json::to_vec(&Answer::<()>::Err(Failure::internal(error))))
        .unwrap_or_default()
        .into()
}
