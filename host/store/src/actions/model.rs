//! What the ledger holds.

use congress_table::Row as Values;
use sha2::{Digest, Sha256};
use time::OffsetDateTime;

use crate::backend::{Row, Sql};
use crate::store::fits;
use crate::{Error, Result};

/// Longest reason of a failure that is kept, in characters; the rest is cut.
pub const MAX_REASON: usize = 1000;

/// The longest arguments that are kept, in characters: with four bytes each they are still well below
/// the longest statement that database servers take by default.
const MAX_ARGS: usize = 2 << 20;

/// Which action: a row of an `execute[…]` table.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ActionKey {
    /// The policy whose rule asks for it; at most 255 characters.
    pub policy: String,
    /// The name of the datasource that is to do it; at most 255 characters.
    pub service: String,
    /// The action's name; at most 255 characters.
    pub action: String,
    /// The arguments: a JSON array without spaces, as [`Self::new`] writes it.
    pub args: String,
}

impl ActionKey {
    /// The key of a row. The arguments are written in the one way that makes equal rows equal
    /// texts.
    pub fn new(policy: &str, service: &str, action: &str, row: &Values) -> Result<Self> {
        let args = serde_json::to_string(row).map_err(|error| Error::Unexpected {
            reason: format!("arguments of an action to be recorded: {error}"),
        })?;
        Ok(Self {
            policy: policy.to_owned(),
            service: service.to_owned(),
            action: action.to_owned(),
            args,
        })
    }

    /// Whether the ledger can have it. If not, such an action can never be begun.
    ///
    /// # Errors
    ///
    /// [`Error::TooLong`] says what is too long.
    pub fn check(&self) -> Result<()> {
        fits("congress_actions.policy", &self.policy, 255)?;
        fits("congress_actions.service", &self.service, 255)?;
        fits("congress_actions.action", &self.action, 255)?;
        fits("congress_actions.args", &self.args, MAX_ARGS)
    }

    /// The id under which the ledger has it: SHA-256, in lower-case hexadecimal digits.
    pub fn id(&self) -> String {
        digest(&[&self.policy, &self.service, &self.action, &self.args])
    }

    pub(super) fn table_key(&self) -> String {
        table_key(&self.policy, &self.service, &self.action)
    }
}

/// The digest of the table that an action's row is in.
pub(super) fn table_key(policy: &str, service: &str, action: &str) -> String {
    digest(&[policy, service, action])
}

/// A digest of texts that keeps them apart.
fn digest(parts: &[&str]) -> String {
    let mut hasher = Sha256::new();
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}

/// How far an action has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ActionState {
    /// It was begun.
    Running,
    /// It was carried out.
    Done,
    /// It was not: its datasource refused it, or could not do it.
    Failed,
    /// Whether it was carried out cannot be known: who began it ended before it did.
    Unknown,
}

impl ActionState {
    /// Its name, as it is stored and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Done => "done",
            Self::Failed => "failed",
            Self::Unknown => "unknown",
        }
    }

    /// The state of a name.
    pub fn of(name: &str) -> Option<Self> {
        [Self::Running, Self::Done, Self::Failed, Self::Unknown]
            .into_iter()
            .find(|state| state.name() == name)
    }
}

/// An entry of the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ActionRecord {
    /// See [`ActionKey::id`].
    pub id: String,
    /// Which action.
    pub key: ActionKey,
    /// Whether the row was in the table that was last followed.
    pub present: bool,
    /// How far it has come.
    pub state: ActionState,
    /// How often it was begun.
    pub attempts: u64,
    /// In which term of the active datasource node it was last begun.
    pub term: u64,
    /// Which process did.
    pub instance: String,
    /// When, by the database's clock.
    pub requested_at: OffsetDateTime,
    /// When it ended, or was found abandoned.
    pub finished_at: Option<OffsetDateTime>,
    /// Why it failed.
    pub error: Option<String>,
}

/// The outcome of beginning an action.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Begin {
    /// It is recorded as running: carry it out.
    Begun {
        /// See [`ActionKey::id`].
        id: String,
    },
    /// It must not be carried out (again), with one exception: if it is running in the caller's
    /// own term and the caller has not begun it, a call has whose answer was lost.
    ///
    /// If it is running and not present, its row went away and came back while it runs: its
    /// return is not recorded yet, so begin it again when it has ended.
    Known(ActionRecord),
}

/// How an action ended.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// It was carried out.
    Done,
    /// It was not; why. Cut to [`MAX_REASON`] characters.
    Failed(String),
    /// Whether it was cannot be known, for instance because the answer did not come in time; how
    /// that came. Cut to [`MAX_REASON`] characters.
    Unknown(String),
}

impl Outcome {
    pub(super) fn state(&self) -> ActionState {
        match self {
            Self::Done => ActionState::Done,
            Self::Failed(_) => ActionState::Failed,
            Self::Unknown(_) => ActionState::Unknown,
        }
    }

    pub(super) fn reason(&self) -> Option<String> {
        match self {
            Self::Done => None,
            Self::Failed(reason) | Self::Unknown(reason) => {
                Some(reason.chars().take(MAX_REASON).collect())
            }
        }
    }
}

/// Which entries to list: those that fit everything that is given.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ActionFilter {
    /// Of this policy.
    pub policy: Option<String>,
    /// Of this datasource (by name).
    pub service: Option<String>,
    /// Of this name.
    pub action: Option<String>,
    /// In this state.
    pub state: Option<ActionState>,
    /// Whether their row is there.
    pub present: Option<bool>,
}

const COLUMNS: &str = "id, policy, service, action, args, present, state, attempts, term, \
     instance, requested_at, finished_at, error";

/// A query for entries; `rest` begins with its `WHERE`.
pub(super) fn select(rest: &str) -> Sql {
    format!("SELECT {COLUMNS} FROM congress_actions {rest}").into()
}

/// Reads a row of [`select`].
pub(super) fn read(row: &Row) -> Result<ActionRecord> {
    let id = row.text(0)?;
    let broken =
        |what: &str| Error::Corrupt { what: format!("action {id} in the ledger: its {what}") };
    let state = ActionState::of(&row.text(6)?).ok_or_else(|| broken("state"))?;
    let time = |millis: i64| {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(millis) * 1_000_000)
            .map_err(|_| broken("time"))
    };
    Ok(ActionRecord {
        key: ActionKey {
            policy: row.text(1)?,
            service: row.text(2)?,
            action: row.text(3)?,
            args: row.text(4)?,
        },
        present: row.bool(5)?,
        state,
        attempts: u64::try_from(row.int(7)?).map_err(|_| broken("attempts"))?,
        term: u64::try_from(row.int(8)?).map_err(|_| broken("term"))?,
        instance: row.text(9)?,
        requested_at: time(row.int(10)?)?,
        finished_at: row.optional_int(11)?.map(time).transpose()?,
        error: row.optional_text(12)?,
        id,
    })
}
