//! What the operations need of a database system, whichever it is.
//!
//! An operation is a portable SQL text with `?` for its arguments. Each system's module binds the
//! arguments, reads the columns and sorts the errors. This is less general than sqlx's own `Any`
//! driver, and on purpose: every type that crosses it is listed here, times included, and each
//! system keeps its own connection options and pool.

pub(crate) mod sqlite;

use std::borrow::Cow;

use time::OffsetDateTime;

use crate::{Error, Kind, Result};

/// The text of a statement, with `?` for its arguments. Never made of anything but constants.
pub(crate) type Sql = Cow<'static, str>;

/// A value for a `?`.
pub(crate) enum Arg<'a> {
    Text(Cow<'a, str>),
    OptionalText(Option<Cow<'a, str>>),
    Int(i64),
    Bool(bool),
    Bytes(&'a [u8]),
    Time(OffsetDateTime),
}

impl<'a> From<&'a str> for Arg<'a> {
    fn from(text: &'a str) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a String> for Arg<'a> {
    fn from(text: &'a String) -> Self {
        Self::Text(text.into())
    }
}

impl From<String> for Arg<'_> {
    fn from(text: String) -> Self {
        Self::Text(text.into())
    }
}

impl<'a> From<&'a Option<String>> for Arg<'a> {
    fn from(text: &'a Option<String>) -> Self {
        Self::OptionalText(text.as_deref().map(Cow::from))
    }
}

impl From<i64> for Arg<'_> {
    fn from(int: i64) -> Self {
        Self::Int(int)
    }
}

impl From<u64> for Arg<'_> {
    fn from(int: u64) -> Self {
        Self::Int(i64::try_from(int).unwrap_or(i64::MAX))
    }
}

impl From<bool> for Arg<'_> {
    fn from(bool: bool) -> Self {
        Self::Bool(bool)
    }
}

impl<'a> From<&'a [u8]> for Arg<'a> {
    fn from(bytes: &'a [u8]) -> Self {
        Self::Bytes(bytes)
    }
}

impl From<OffsetDateTime> for Arg<'_> {
    fn from(time: OffsetDateTime) -> Self {
        Self::Time(time)
    }
}

/// Arguments of mixed types, in the order of the `?`.
macro_rules! args {
    ($($arg:expr),* $(,)?) => {
        vec![$($crate::backend::Arg::from($arg)),*]
    };
}
pub(crate) use args;

/// Why a statement failed.
#[derive(Debug)]
pub(crate) enum Failure {
    /// A unique name or id is taken.
    Taken,
    /// Anything else.
    Other(Error),
}

impl Failure {
    /// The error for an insertion of a `kind` called `name`.
    pub(crate) fn inserting(self, kind: Kind, name: &str) -> Error {
        match self {
            Self::Taken => Error::Conflict { kind, name: name.to_owned() },
            Self::Other(error) => error,
        }
    }
}

impl From<Failure> for Error {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Taken => Self::Unexpected { reason: "a unique value is taken".into() },
            Failure::Other(error) => error,
        }
    }
}

/// The pools of one database.
#[derive(Debug)]
pub(crate) enum Backend {
    Sqlite(sqlite::Sqlite),
}

impl Backend {
    /// Runs one query outside any transaction.
    pub(crate) async fn rows(&self, sql: impl Into<Sql>, args: Vec<Arg<'_>>) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(db) => db.rows(sql.into(), args).await,
        }
    }

    /// Begins a transaction that sees one state of the database and changes nothing.
    pub(crate) async fn read(&self) -> Result<Transaction> {
        match self {
            Self::Sqlite(db) => db.read().await.map(Connected::Sqlite).map(Transaction::new),
        }
    }

    /// Begins a transaction that changes something. Dropping it undoes it.
    pub(crate) async fn write(&self) -> Result<Transaction> {
        match self {
            Self::Sqlite(db) => db.write().await.map(Connected::Sqlite).map(Transaction::new),
        }
    }

    /// An expression for the database's clock: milliseconds since 1970.
    pub(crate) fn clock(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite::CLOCK,
        }
    }

    /// Waits for running operations and closes all connections.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(db) => db.close().await,
        }
    }
}

/// A transaction on one connection.
pub(crate) struct Transaction {
    connected: Connected,
    /// Whether its end is to undo it.
    abandoned: bool,
}

enum Connected {
    Sqlite(sqlx::Transaction<'static, sqlx::Sqlite>),
}

impl Transaction {
    fn new(connected: Connected) -> Self {
        Self { connected, abandoned: false }
    }

    /// Runs a statement; how many rows it touched.
    pub(crate) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg<'_>>,
    ) -> Result<u64, Failure> {
        match &mut self.connected {
            Connected::Sqlite(tx) => sqlite::execute(tx, sql.into(), args).await,
        }
    }

    /// Runs a query.
    pub(crate) async fn rows(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg<'_>>,
    ) -> Result<Vec<Row>> {
        match &mut self.connected {
            Connected::Sqlite(tx) => sqlite::rows(&mut **tx, sql.into(), args).await,
        }
    }

    /// Runs a query for at most one row.
    pub(crate) async fn row(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg<'_>>,
    ) -> Result<Option<Row>> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// An expression for the database's clock: milliseconds since 1970.
    pub(crate) fn clock(&self) -> &'static str {
        match &self.connected {
            Connected::Sqlite(_) => sqlite::CLOCK,
        }
    }

    /// Has [`Self::commit`] undo the changes: they turned out not to be wanted.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// Makes the changes last.
    pub(crate) async fn commit(self) -> Result<()> {
        if self.abandoned {
            return Ok(());
        }
        match self.connected {
            Connected::Sqlite(tx) => sqlite::commit(tx).await,
        }
    }
}

/// One row of an answer. Columns are counted from 0; a value of another type is
/// [`Error::Corrupt`], for the database lets a column hold what its declaration does not say.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
}

/// Reads columns by position.
macro_rules! getter {
    ($($name:ident -> $type:ty;)*) => {
        impl Row {
            $(pub(crate) fn $name(&self, column: usize) -> Result<$type> {
                match self {
                    Self::Sqlite(row) => sqlite::column(row, column),
                }
            })*
        }
    };
}

getter! {
    text -> String;
    optional_text -> Option<String>;
    int -> i64;
    optional_int -> Option<i64>;
    bool -> bool;
    optional_bool -> Option<bool>;
    bytes -> Vec<u8>;
}
