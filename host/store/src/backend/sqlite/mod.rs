//! SQLite: one file, for a single process or several on one host, or memory for tests.
//!
//! The journal is a write-ahead log, so that readers never wait for the writer, with
//! `synchronous = NORMAL`: a crash of the process loses nothing; a power failure may lose the last
//! commits, but never half of one and never the file. In return a commit does not wait for the
//! disk. One connection writes, so that writers of this process queue up in order instead of
//! colliding.

mod schema;

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Executor};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

pub(crate) use self::schema::STEPS;
use self::schema::prepare;
use super::{Arg, Failure, Row, Sql, bind};
use crate::{Error, OpenError, Options, Result};

/// As the original's library writes times into SQLite.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");

/// Milliseconds since 1970. SQLite's clock is that of the host.
pub(super) const CLOCK: &str = "CAST((julianday('now') - 2440587.5) * 86400000 AS INTEGER)";

/// How long an idle connection for reading is kept.
const IDLE: Duration = Duration::from_secs(300);

/// How often a busy file is tried again while it is being opened.
const RETRY: Duration = Duration::from_millis(50);

// Primary result codes, <https://www.sqlite.org/rescode.html>.
const BUSY: i32 = 5;
const LOCKED: i32 = 6;
const READ_ONLY: i32 = 8;
const IO_ERROR: i32 = 10;
const CORRUPT: i32 = 11;
const FULL: i32 = 13;
const CANNOT_OPEN: i32 = 14;
const NOT_A_DATABASE: i32 = 26;

/// The pools of one file, or the one connection of a database in memory.
#[derive(Debug)]
pub(crate) struct Sqlite {
    writer: SqlitePool,
    readers: SqlitePool,
}

impl Sqlite {
    /// A database in memory. It lives in one connection, which must therefore never be dropped.
    pub(crate) async fn open_memory(options: &Options) -> Result<Self, OpenError> {
        let failed = |source| OpenError::Failed { place: "in memory".into(), source };
        let connect = base_options(options).in_memory(true);
        let pool =
            single(options).connect_with(connect).await.map_err(|error| failed(sort(error)))?;
        let mut connection = pool.acquire().await.map_err(|error| failed(sort(error)))?;
        match prepare(&mut connection, crate::schema::HEAD).await {
            Ok(Ok(_)) => {}
            // A new database gives no reason to refuse it.
            Ok(Err(_)) => return Err(failed(Error::Unexpected { reason: "not empty".into() })),
            Err(error) => return Err(failed(sort(error))),
        }
        drop(connection);
        Ok(Self { writer: pool.clone(), readers: pool })
    }

    /// A database file; made if it is missing.
    pub(crate) async fn open_file(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let folder = match path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        match tokio::fs::metadata(folder).await {
            Ok(metadata) if metadata.is_dir() => {}
            Ok(_) => {
                let reason = format!("{} is not a folder", folder.display());
                return Err(OpenError::CannotOpen { path: path.into(), reason });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                return Err(OpenError::NoFolder { path: path.into(), folder: folder.into() });
            }
            Err(error) => {
                let reason = error.to_string();
                return Err(OpenError::CannotOpen { path: path.into(), reason });
            }
        }
        if tokio::fs::metadata(path).await.is_ok_and(|metadata| metadata.is_dir()) {
            let reason = "it is a folder".into();
            return Err(OpenError::CannotOpen { path: path.into(), reason });
        }

        // Two processes that open a new file at the same moment can find it busy in places where
        // SQLite does not wait by itself (the change to the write-ahead log is one).
        let deadline = Instant::now() + options.wait;
        loop {
            match Self::try_open_file(path, options).await {
                Err(OpenError::Locked { .. }) if Instant::now() < deadline => {
                    tokio::time::sleep(RETRY).await;
                }
                outcome => return outcome,
            }
        }
    }

    async fn try_open_file(path: &Path, options: &Options) -> Result<Self, OpenError> {
        // The schema is checked before the journal's mode is touched: a database that is not ours
        // must stay as it is.
        Self::upgrade(path, options, crate::schema::HEAD).await?;

        Self::connect(path, options).await
    }

    /// A file that is there, to look at: nothing is changed.
    pub(crate) async fn open_as_is(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let found = Self::look(path, options).await?;
        if found.is_none_or(|found| found.tables.is_empty()) {
            return Err(OpenError::NoSchema { place: path.display().to_string() });
        }
        let connect = base_options(options).filename(path).read_only(true);
        let pool = single(options).connect_with(connect).await;
        let pool = pool.map_err(|error| refuse(path, error))?;
        Ok(Self { writer: pool.clone(), readers: pool })
    }

    async fn connect(path: &Path, options: &Options) -> Result<Self, OpenError> {
        let refused = |error| refuse(path, error);
        let connect = base_options(options)
            .filename(path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Normal);
        let writer = single(options).connect_with(connect.clone()).await.map_err(refused)?;
        let readers = SqlitePoolOptions::new()
            .max_connections(options.max_connections.max(1))
            .acquire_timeout(options.wait)
            .idle_timeout(IDLE)
            .max_lifetime(None)
            .test_before_acquire(false)
            .connect_lazy_with(connect.pragma("query_only", "ON"));
        Ok(Self { writer, readers })
    }

    pub(crate) async fn rows(&self, sql: Sql, args: &[Arg<'_>]) -> Result<Vec<Row>> {
        rows(&self.readers, sql, args).await
    }

    pub(crate) async fn read(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>> {
        self.readers.begin().await.map_err(sort)
    }

    /// Takes the write lock at once: a transaction that first reads could not wait for it later.
    pub(crate) async fn write(&self) -> Result<sqlx::Transaction<'static, sqlx::Sqlite>> {
        self.writer.begin_with("BEGIN IMMEDIATE").await.map_err(sort)
    }

    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

fn base_options(options: &Options) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .busy_timeout(options.wait)
        .foreign_keys(false)
        .disable_statement_logging()
}

/// A pool of one connection that stays open.
fn single(options: &Options) -> SqlitePoolOptions {
    SqlitePoolOptions::new()
        .max_connections(1)
        .min_connections(1)
        .acquire_timeout(options.wait)
        .idle_timeout(None)
        .max_lifetime(None)
        .test_before_acquire(false)
}

/// Runs a statement; how many rows it touched.
pub(super) async fn execute(
    connection: &mut SqliteConnection,
    sql: Sql,
    args: &[Arg<'_>],
) -> Result<u64, Failure> {
    let arguments = bound(args).map_err(Failure::Other)?;
    match query(sql, arguments).execute(connection).await {
        Ok(done) => Ok(done.rows_affected()),
        Err(sqlx::Error::Database(error)) if error.is_unique_violation() => Err(Failure::Taken),
        Err(error) => Err(Failure::Other(sort(error))),
    }
}

/// Runs a query.
pub(super) async fn rows<'c>(
    executor: impl Executor<'c, Database = sqlx::Sqlite>,
    sql: Sql,
    args: &[Arg<'_>],
) -> Result<Vec<Row>> {
    let rows = query(sql, bound(args)?).fetch_all(executor).await.map_err(sort)?;
    Ok(rows.into_iter().map(Row::Sqlite).collect())
}

/// Makes the changes of a transaction last.
pub(super) async fn commit(tx: sqlx::Transaction<'static, sqlx::Sqlite>) -> Result<()> {
    tx.commit().await.map_err(sort)
}

fn query(sql: Sql, arguments: SqliteArguments) -> Query<'static, sqlx::Sqlite, SqliteArguments> {
    match sql {
        Sql::Borrowed(sql) => sqlx::query_with(sql, arguments),
        // Of those there are many variants: they are not worth being kept prepared.
        Sql::Owned(sql) => sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false),
    }
}

fn bound(args: &[Arg<'_>]) -> Result<SqliteArguments> {
    let time = |bound: &mut SqliteArguments, time| bound.add(time_text(time));
    bind(args, time).map_err(sort)
}

fn time_text(time: OffsetDateTime) -> String {
    // Formatting fails only for years beyond 9999.
    time.format(TIME).unwrap_or_default()
}

/// The primary result code of an error, if SQLite made it.
fn result_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|extended| extended & 0xff)
}

/// Sorts an error of a running database.
fn sort(error: sqlx::Error) -> Error {
    let reason = error.to_string();
    match (result_code(&error), &error) {
        (Some(BUSY | LOCKED), _) => {
            Error::Unavailable { reason: "another process keeps it locked".into() }
        }
        (Some(READ_ONLY | IO_ERROR | FULL | CANNOT_OPEN), _)
        | (
            _,
            sqlx::Error::Io(_)
            | sqlx::Error::PoolTimedOut
            | sqlx::Error::PoolClosed
            | sqlx::Error::WorkerCrashed,
        ) => Error::Unavailable { reason },
        (Some(CORRUPT | NOT_A_DATABASE), _) => Error::Corrupt { what: reason },
        _ => Error::Unexpected { reason },
    }
}

/// Sorts an error of a file that is being opened.
fn refuse(path: &Path, error: sqlx::Error) -> OpenError {
    let path = path.to_owned();
    match (result_code(&error), &error) {
        (Some(BUSY | LOCKED), _) => OpenError::Locked { path },
        (Some(NOT_A_DATABASE), _) => {
            OpenError::NotOurs { path, reason: "it is not an SQLite file".into() }
        }
        (Some(CORRUPT), _) => OpenError::Damaged { path, reason: error.to_string() },
        (Some(CANNOT_OPEN | READ_ONLY | FULL | IO_ERROR), _) | (None, sqlx::Error::Io(_)) => {
            OpenError::CannotOpen { path, reason: error.to_string() }
        }
        _ => OpenError::Failed { place: path.display().to_string(), source: sort(error) },
    }
}
