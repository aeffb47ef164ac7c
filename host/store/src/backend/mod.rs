//! What the operations need of a database system, whichever it is.
//!
//! An operation is a portable SQL text with `?` for its arguments. Each system's module binds the
//! arguments, reads the columns and sorts the errors. This is less general than sqlx's own `Any`
//! driver, and on purpose: every type that crosses it is listed here, times included, and each
//! system keeps its own connection options. What systems with servers have in common is in
//! [`remote`].

pub(crate) mod mysql;
pub(crate) mod postgres;
pub(crate) mod remote;
pub(crate) mod sqlite;

use std::borrow::Cow;

use sqlx::error::BoxDynError;
use sqlx::{Arguments, ColumnIndex, Decode, Encode, Type};
use time::OffsetDateTime;

use self::mysql::MySql;
use self::postgres::Postgres;
use self::remote::{Open, Remote, System as _};
use crate::attempts::{Attempts, Failed};
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

/// Binds arguments; times each system in its own way.
fn bind<A: Arguments>(
    args: &[Arg<'_>],
    time: impl Fn(&mut A, OffsetDateTime) -> Result<(), BoxDynError>,
) -> sqlx::Result<A>
where
    for<'t> &'t str: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> Option<&'t str>: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> &'t [u8]: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> i64: Encode<'t, A::Database> + Type<A::Database>,
    for<'t> bool: Encode<'t, A::Database> + Type<A::Database>,
{
    let mut bound = A::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text.as_ref()),
            Arg::OptionalText(text) => bound.add(text.as_deref()),
            Arg::Int(int) => bound.add(*int),
            Arg::Bool(bool) => bound.add(*bool),
            Arg::Bytes(bytes) => bound.add(*bytes),
            Arg::Time(at) => time(&mut bound, *at),
        }
        .map_err(sqlx::Error::Encode)?;
    }
    Ok(bound)
}

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
    MySql(Remote<MySql>),
    Postgres(Remote<Postgres>),
}

impl Backend {
    /// The attempts at an operation that begins now, and perhaps changes something.
    pub(crate) fn attempts(&self, changes: bool) -> Attempts {
        match self {
            // It waits for locks by itself, and nothing else can hold it up.
            Self::Sqlite(_) => Attempts::unbounded(),
            Self::MySql(db) => db.attempts(changes),
            Self::Postgres(db) => db.attempts(changes),
        }
    }

    /// Runs one query outside any transaction.
    pub(crate) async fn rows(&self, sql: impl Into<Sql>, args: Vec<Arg<'_>>) -> Result<Vec<Row>> {
        match self {
            Self::Sqlite(db) => db.rows(sql.into(), &args).await,
            Self::MySql(db) => db.rows(sql.into(), &args).await,
            Self::Postgres(db) => db.rows(sql.into(), &args).await,
        }
    }

    /// Begins a transaction that sees one state of the database and changes nothing.
    pub(crate) async fn read(&self) -> Result<Transaction, Failed> {
        let connected = match self {
            Self::Sqlite(db) => Connected::Sqlite(db.read().await?),
            Self::MySql(db) => Connected::MySql(db.begin(false).await?),
            Self::Postgres(db) => Connected::Postgres(db.begin(false).await?),
        };
        Ok(Transaction { connected, abandoned: false })
    }

    /// Begins a transaction that changes something. Dropping it undoes it.
    pub(crate) async fn write(&self) -> Result<Transaction, Failed> {
        let connected = match self {
            Self::Sqlite(db) => Connected::Sqlite(db.write().await?),
            Self::MySql(db) => Connected::MySql(db.begin(true).await?),
            Self::Postgres(db) => Connected::Postgres(db.begin(true).await?),
        };
        Ok(Transaction { connected, abandoned: false })
    }

    /// An expression for the database's clock: milliseconds since 1970.
    pub(crate) fn clock(&self) -> &'static str {
        match self {
            Self::Sqlite(_) => sqlite::CLOCK,
            Self::MySql(_) => MySql::CLOCK,
            Self::Postgres(_) => Postgres::CLOCK,
        }
    }

    /// Waits for running operations and closes all connections.
    pub(crate) async fn close(&self) {
        match self {
            Self::Sqlite(db) => db.close().await,
            Self::MySql(db) => db.close().await,
            Self::Postgres(db) => db.close().await,
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
    MySql(Open<MySql>),
    Postgres(Open<Postgres>),
}

impl Transaction {
    /// Runs a statement; how many rows it touched (those that it found, changed or not).
    pub(crate) async fn execute(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg<'_>>,
    ) -> Result<u64, Failure> {
        match &mut self.connected {
            Connected::Sqlite(tx) => sqlite::execute(tx, sql.into(), &args).await,
            Connected::MySql(tx) => tx.execute(sql.into(), args).await,
            Connected::Postgres(tx) => tx.execute(sql.into(), args).await,
        }
    }

    /// Runs a query.
    pub(crate) async fn rows(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg<'_>>,
    ) -> Result<Vec<Row>> {
        match &mut self.connected {
            Connected::Sqlite(tx) => sqlite::rows(&mut **tx, sql.into(), &args).await,
            Connected::MySql(tx) => tx.rows(sql.into(), args).await,
            Connected::Postgres(tx) => tx.rows(sql.into(), args).await,
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
            Connected::MySql(_) => MySql::CLOCK,
            Connected::Postgres(_) => Postgres::CLOCK,
        }
    }

    /// Has [`Self::end`] undo the changes: they turned out not to be wanted.
    pub(crate) fn abandon(&mut self) {
        self.abandoned = true;
    }

    /// The error for a change that met one of somebody else: it is made again from the start.
    pub(crate) fn collided(&mut self) -> Error {
        match &mut self.connected {
            // One writer at a time.
            Connected::Sqlite(_) => {}
            Connected::MySql(tx) => tx.collided(),
            Connected::Postgres(tx) => tx.collided(),
        }
        Error::Unexpected { reason: "rows changed while they were being changed".into() }
    }

    /// Makes the changes last, or undoes them if something went wrong.
    pub(crate) async fn end<T>(self, outcome: Result<T>) -> Result<T, Failed> {
        match self.connected {
            Connected::Sqlite(tx) => {
                let value = outcome?;
                if !self.abandoned {
                    sqlite::commit(tx).await?;
                }
                Ok(value)
            }
            Connected::MySql(tx) => end(tx, outcome, self.abandoned).await,
            Connected::Postgres(tx) => end(tx, outcome, self.abandoned).await,
        }
    }
}

async fn end<S: remote::System, T>(
    tx: Open<S>,
    outcome: Result<T>,
    abandoned: bool,
) -> Result<T, Failed> {
    match outcome {
        Ok(value) => {
            if abandoned {
                tx.undo().await;
            } else {
                tx.commit().await?;
            }
            Ok(value)
        }
        Err(error) => Err(Failed { error, cause: tx.undo().await }),
    }
}

/// One row of an answer. Columns are counted from 0; a value of another type is
/// [`Error::Corrupt`], for the database lets a column hold what its declaration does not say.
pub(crate) enum Row {
    Sqlite(sqlx::sqlite::SqliteRow),
    MySql(sqlx::mysql::MySqlRow),
    Postgres(sqlx::postgres::PgRow),
}

/// Reads a column.
fn column<'r, R: sqlx::Row, T>(row: &'r R, column: usize) -> Result<T>
where
    usize: ColumnIndex<R>,
    T: Decode<'r, R::Database> + Type<R::Database>,
{
    row.try_get(column).map_err(|error| Error::Corrupt { what: error.to_string() })
}

/// Reads columns by position.
macro_rules! getter {
    ($($name:ident -> $type:ty;)*) => {
        impl Row {
            $(pub(crate) fn $name(&self, column: usize) -> Result<$type> {
                match self {
                    Self::Sqlite(row) => self::column(row, column),
                    Self::MySql(row) => self::column(row, column),
                    Self::Postgres(row) => self::column(row, column),
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
