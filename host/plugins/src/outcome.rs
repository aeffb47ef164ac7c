//! What a call answers.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use congress_table::{NewContent, Table, TableDelta};

/// Everything that one successful call put in. The caller applies all of it, or nothing.
#[derive(Clone, Debug, Default)]
pub struct CallOutcome {
    /// What to do with which table; each table once, in the order of their first mention. Tables
    /// that are not mentioned keep their rows.
    pub tables: Vec<(Arc<str>, TableOperation)>,
    /// Root tables that could not be read this time. They and those fetched with them keep their
    /// rows, and are not among `tables`.
    pub failed: Vec<(Arc<str>, DriverError)>,
    /// Says that batches of rows were refused, how many, and why the first was, if the driver has
    /// gone on as if nothing had happened: what was in them is missing in `tables`.
    pub refused: Option<String>,
    /// What the driver keeps for its next call, if this call changed it. The [`Datasource`] has
    /// taken it over already; it is here for whoever wants to save it.
    ///
    /// [`Datasource`]: crate::Datasource
    pub state: Option<State>,
    /// Takes that back, in [`Datasource::undo`]: for a caller that does not use what the call put in.
    ///
    /// [`Datasource::undo`]: crate::Datasource::undo
    pub undo: Undo,
    /// After how long the driver wants a call of [`Datasource::upkeep_beside`], if it asked for one.
    ///
    /// [`Datasource::upkeep_beside`]: crate::Datasource::upkeep_beside
    pub upkeep_after: Option<Duration>,
    /// What the call cost.
    pub figures: Figures,
}

/// What to do with a table.
#[derive(Clone, Debug, PartialEq)]
pub enum TableOperation {
    /// These are all its rows.
    Replace(NewContent),
    /// Remove rows, then add rows. Rows to remove may be missing and rows to add may be there.
    Patch(TableDelta),
}

/// Tables that the caller holds already. Rows of a call that equal theirs are not made anew, and what
/// differs is known as it comes: most rows are the same from poll to poll.
pub trait HeldRows: Send + Sync {
    /// A table as it is now, if there is one. It is kept for as long as the call lasts.
    fn table(&self, name: &str) -> Option<Arc<Table>>;
}

/// What a call cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Figures {
    /// Rows that the guest put into the sink.
    pub rows: usize,
    /// Memory of those rows, in bytes, roughly.
    pub row_bytes: usize,
    /// Requests that the host sent for it, logins included.
    pub requests: usize,
    /// From the call to its answer.
    pub duration: Duration,
    /// How much of that went into making the fresh instance and into undoing it.
    pub instance: Duration,
}

/// What a driver keeps between two calls: keys and values.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
#[serde(transparent)]
pub struct State(pub BTreeMap<String, String>);

/// What a call changed of what its driver keeps: keys with what they held before and after.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Undo(pub(crate) BTreeMap<String, (Option<String>, Option<String>)>);

/// Why a driver gave up, in its own words, cut to a bounded length and freed of control characters
/// and of the datasource's secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DriverError {
    /// The configuration cannot work: nothing will change until somebody changes it.
    Config(String),
    /// The service refused the credentials.
    Auth(String),
    /// The service could not be reached, or did not answer in time.
    Connection(String),
    /// The service did not answer what the driver needs: an error, or something that makes no sense;
    /// or what was pushed makes none. Also a request that is not granted, or that reached a limit.
    Protocol(String),
    /// The call asks for something that the driver does not do.
    Unsupported(String),
}

impl DriverError {
    /// The driver's words alone.
    pub fn text(&self) -> &str {
        match self {
            Self::Config(text)
            | Self::Auth(text)
            | Self::Connection(text)
            | Self::Protocol(text)
            | Self::Unsupported(text) => text,
        }
    }
}

impl fmt::Display for DriverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (lead, text) = match self {
            Self::Config(text) => ("the configuration cannot work", text),
            Self::Auth(text) => ("the credentials were refused", text),
            Self::Connection(text) => ("the service cannot be reached", text),
            // Says by itself who answered what, or what was pushed.
            Self::Protocol(text) if !text.is_empty() => return f.write_str(text),
            Self::Protocol(text) => ("what the service answered makes no sense", text),
            Self::Unsupported(text) => ("not supported by the driver", text),
        };
        if text.is_empty() { f.write_str(lead) } else { write!(f, "{lead}: {text}") }
    }
}
