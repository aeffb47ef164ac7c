//! What operators see and do about actions: the ledger, as the API shows it.

use congress_store::{ActionFilter, ActionRecord, ActionState, Error, Store};
use serde::Serialize;
use serde_json::value::RawValue;
use time::format_description::well_known::Rfc3339;

use crate::datasources::failure;
use crate::failure::{Answer, Failure, Status};

/// The most entries in one answer.
pub(super) const MOST: u32 = 1000;

/// Which actions to list.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Wanted {
    /// In this state.
    pub state: Option<String>,
    /// Of this datasource, by name.
    pub datasource: Option<String>,
    /// Of this policy, by name.
    pub policy: Option<String>,
    /// Of this name.
    pub action: Option<String>,
    /// Whether their row is there.
    pub present: Option<bool>,
    /// At most so many; [`MOST`] is the most.
    pub limit: Option<u32>,
    /// Those after the one of this id.
    pub marker: Option<String>,
}

/// An action as the API shows it.
#[derive(Clone, Debug, Serialize)]
pub struct ActionView {
    /// Its id.
    pub id: String,
    policy: String,
    datasource: String,
    action: String,
    /// The row, as its rule gives it.
    arguments: Box<RawValue>,
    state: &'static str,
    /// Whether the row is there.
    present: bool,
    attempts: u64,
    /// When it was last begun, RFC 3339 in UTC by the database's clock.
    begun_at: Option<String>,
    /// When it ended, or was found abandoned.
    ended_at: Option<String>,
    /// Why it failed, or what is not known.
    error: Option<String>,
}

/// The operators' way to the ledger.
#[derive(Clone)]
pub struct Desk {
    store: Store,
}

impl Desk {
    /// The ledger of this database.
    pub fn new(store: Store) -> Self {
        Self { store }
    }

    /// Actions, those begun last first.
    pub async fn list(&self, wanted: Wanted) -> Answer<Vec<ActionView>> {
        let bad = |text: String| Failure::plain(Status::BadRequest, text);
        let state = match &wanted.state {
            None => None,
            Some(name) => Some(ActionState::of(name).ok_or_else(|| {
                bad(format!("unknown state '{name}': running, done, failed or unknown"))
            })?),
        };
        let filter = ActionFilter {
            policy: wanted.policy,
            service: wanted.datasource,
            action: wanted.action,
            state,
            present: wanted.present,
        };
        let limit = wanted.limit.unwrap_or(MOST).min(MOST);
        let records = self.store.actions(&filter, limit, wanted.marker.as_deref());
        let records = records.await.map_err(|error| match error {
            Error::NotFound { key, .. } => bad(format!("there is no action '{key}' to go on from")),
            other => failure(other),
        })?;
        Ok(records.into_iter().map(view).collect())
    }

    /// An action.
    pub async fn get(&self, id: &str) -> Answer<ActionView> {
        self.record(id).await.map(view)
    }

    /// Records that an operator has seen to an action that failed, or whose outcome was not known.
    pub async fn settle(&self, id: &str) -> Answer<ActionView> {
        let settled = self.store.settle_action(id).await.map_err(|error| missing(error, id))?;
        let record = self.record(id).await?;
        if settled {
            return Ok(view(record));
        }
        let text = format!("Action {id} is {}: there is nothing to settle", record.state.name());
        Err(Failure::verbatim(Status::Conflict, text))
    }

    async fn record(&self, id: &str) -> Answer<ActionRecord> {
        self.store.action(id).await.map_err(|error| missing(error, id))
    }
}

fn missing(error: Error, id: &str) -> Failure {
    match error {
        Error::NotFound { .. } => {
            Failure::verbatim(Status::NotFound, format!("Action not found {id}"))
        }
        other => failure(other),
    }
}

fn view(record: ActionRecord) -> ActionView {
    let time = |time: time::OffsetDateTime| time.format(&Rfc3339).ok();
    let quoted = |text: &str| serde_json::value::to_raw_value(text).unwrap_or_default();
    let args = &record.key.args;
    ActionView {
        arguments: RawValue::from_string(args.clone()).unwrap_or_else(|_| quoted(args)),
        id: record.id,
        policy: record.key.policy,
        datasource: record.key.service,
        action: record.key.action,
        state: record.state.name(),
        present: record.present,
        attempts: record.attempts,
        begun_at: time(record.requested_at),
        ended_at: record.finished_at.and_then(time),
        error: record.error,
    }
}
