//! What can go wrong with the database.

use std::fmt;
use std::path::PathBuf;

use crate::{Lease, Revision};

/// The outcome of an operation on the database.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// A kind of stored thing, for messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A policy.
    Policy,
    /// A rule of a policy.
    Rule,
    /// A datasource.
    Datasource,
    /// A policy in the library.
    LibraryPolicy,
    /// A driver in the catalogue.
    Driver,
    /// The bytes of a driver.
    DriverBytes,
    /// An action in the ledger.
    Action,
    /// The persisted rows of a table.
    PushedTable,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Policy => "policy",
            Self::Rule => "rule",
            Self::Datasource => "datasource",
            Self::LibraryPolicy => "library policy",
            Self::Driver => "driver",
            Self::DriverBytes => "driver component",
            Self::Action => "action",
            Self::PushedTable => "table of persisted rows",
        })
    }
}

/// Why an operation failed. Nothing was changed, whichever it is, with one exception: if the
/// database server is lost while a change is being committed, [`Error::Unavailable`] says that
/// whether it was made is not known.
///
/// Messages name rows and columns and never hold values of a datasource's configuration. Those of
/// `Unavailable`, `Corrupt` and `Unexpected` are for the log, not for a client.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no such thing.
    #[error("there is no {kind} '{key}'")]
    NotFound {
        /// What was looked for.
        kind: Kind,
        /// The name or id it was looked for by.
        key: String,
    },
    /// The name (or the id chosen by the client) is taken.
    #[error("a {kind} '{name}' exists already")]
    Conflict {
        /// What was to be made.
        kind: Kind,
        /// The name that is taken.
        name: String,
    },
    /// Somebody else changed the database since the caller looked: read again, check again, try
    /// again.
    #[error("the database was changed meanwhile: it is no longer at revision {expected}")]
    Stale {
        /// The revision that the caller knows.
        expected: Revision,
    },
    /// The caller does not hold the lease any more that allows this write.
    #[error("the lease '{lease}' is not held any more: {}", taken(held_by.as_deref()))]
    Fenced {
        /// The name of the lease.
        lease: String,
        /// Who has it, or had it last; none if there is no such lease at all.
        held_by: Option<Box<Lease>>,
    },
    /// A value does not fit its column.
    #[error("{column} has {length} characters, but at most {limit} fit")]
    TooLong {
        /// Table and column.
        column: &'static str,
        /// How many characters the value has.
        length: usize,
        /// How many fit.
        limit: usize,
    },
    /// The database cannot store a value as it is.
    #[error("the database cannot store a value: {reason}")]
    Unfit {
        /// Why; without the value.
        reason: String,
    },
    /// The database cannot be used now; trying again later makes sense.
    #[error("the database is not available: {reason}")]
    Unavailable {
        /// Why, as the database or the system says.
        reason: String,
    },
    /// What is stored makes no sense.
    #[error("the database holds something unusable: {what}")]
    Corrupt {
        /// Which row, and what is wrong with it.
        what: String,
    },
    /// The database refused in a way this program does not expect.
    #[error("the database refused an operation: {reason}")]
    Unexpected {
        /// What it says.
        reason: String,
    },
}

/// Who has a lease, to end a sentence.
fn taken(by: Option<&Lease>) -> String {
    match by {
        Some(lease) if lease.instance.is_empty() => "it was given back".into(),
        Some(lease) => format!("node '{}' took it in term {}", lease.node_id, lease.term),
        None => "it does not exist".into(),
    }
}

/// Why the database could not be opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The folder in which the file is to be is not there.
    #[error(
        "cannot open the database file {path}: its folder {folder} does not exist; create it, or set [database] connection to another path", path = path.display(), folder = folder.display()
    )]
    NoFolder {
        /// The database file.
        path: PathBuf,
        /// The missing folder.
        folder: PathBuf,
    },
    /// The file cannot be opened or made.
    #[error(
        "cannot open the database file {path}: {reason}; the file and its folder must be writable by the user that runs the server", path = path.display()
    )]
    CannotOpen {
        /// The database file.
        path: PathBuf,
        /// Why, as the system says.
        reason: String,
    },
    /// The file is something else.
    #[error(
        "{path} is not a database of this system: {reason}; it was left as it is. Set [database] connection to another path", path = path.display()
    )]
    NotOurs {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// The file was a database once.
    #[error(
        "the database file {path} is damaged: {reason}; it was left as it is. Restore a backup of \
         it, or set [database] connection to another path", path = path.display()
    )]
    Damaged {
        /// The file.
        path: PathBuf,
        /// How that shows.
        reason: String,
    },
    /// Another process keeps the file to itself.
    #[error(
        "the database file {path} is locked by another process; stop that one, or set [database] connection to another path", path = path.display()
    )]
    Locked {
        /// The database file.
        path: PathBuf,
    },
    /// A newer version of this program has been here.
    #[error(
        "the database {place} has schema version {found}, but this program knows only versions up to {known}; run the newer program, or restore a backup made before the upgrade"
    )]
    Newer {
        /// Where the database is, without credentials.
        place: String,
        /// The version found.
        found: i64,
        /// The newest version that this program can use.
        known: i64,
    },
    /// The original system left this database in an old version.
    #[error(
        "the database {place} was made by the original system at its revision '{found}'; bring it to 'c0125080d572' with the original's congress-db-manage first"
    )]
    OldOriginal {
        /// Where the database is, without credentials.
        place: String,
        /// The revision found.
        found: String,
    },
    /// There are no tables.
    #[error("the database {place} is empty: make its tables with congress-db-manage upgrade head")]
    NoSchema {
        /// Where the database is, without credentials.
        place: String,
    },
    /// The database belongs to something else.
    #[error(
        "the database {place} is not one of this system: it has a table '{table}', but none of ours; it was left as it is. Set [database] connection to another one"
    )]
    Foreign {
        /// Where the database is, without credentials.
        place: String,
        /// One of its tables.
        table: String,
    },
    /// The tables cannot be looked at or changed.
    #[error(
        "cannot bring the tables of the database {place} up to date: {reason}; run congress-db-manage upgrade head with a [database] connection of a user who may"
    )]
    Denied {
        /// Where the database is, without credentials.
        place: String,
        /// What the server says.
        reason: String,
    },
    /// Anything else.
    #[error("cannot open the database {place}: {source}")]
    Failed {
        /// Where the database is, without credentials.
        place: String,
        /// Why.
        #[source]
        source: Error,
    },
}
