//! SQLite: one file, for a single process or several on one host, or memory for tests.
//!
//! The journal is a write-ahead log, so that readers never wait for the writer, with
//! `synchronous = NORMAL`: a crash of the process loses nothing; a power failure may lose the last
//! commits, but never half of one and never the file. In return a commit does not wait for the
//! disk. One connection writes, so that writers of this process queue up in order instead of
//! colliding.

use std::path::Path;
use std::time::{Duration, Instant};

use sqlx::query::Query;
use sqlx::sqlite::{
    SqliteArguments, SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqlitePool,
    SqlitePoolOptions, SqliteSynchronous,
};
use sqlx::{Arguments, AssertSqlSafe, ConnectOptions, Connection, Executor};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::{Arg, Failure, Row, Sql, bind};
use crate::manage::{Stamp, Undo};
use crate::schema::{self, Found, Plan, Refusal, Step};
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

/// The steps of the schema for this system: see [`schema`].
pub(crate) const STEPS: [&str; schema::STEPS.len()] = [
    include_str!("../../migrations/sqlite/0001_ussuri.sql"),
    include_str!("../../migrations/sqlite/0002_congress.sql"),
    include_str!("../../migrations/sqlite/0003_high_availability.sql"),
];

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
        match prepare(&mut connection, schema::HEAD).await {
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
        let refused = |error| refuse(path, error);

        // The schema is checked before the journal's mode is touched: a database that is not ours
        // must stay as it is.
        Self::upgrade(path, options, schema::HEAD).await?;

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

    /// Brings the schema of a file, which is made if it is missing, to a version; the steps taken.
    pub(crate) async fn upgrade(
        path: &Path,
        options: &Options,
        to: i64,
    ) -> Result<Vec<Step>, OpenError> {
        let refused = |error| refuse(path, error);
        let connect = base_options(options).filename(path).create_if_missing(true);
        let mut connection = connect.connect().await.map_err(refused)?;
        let prepared = prepare(&mut connection, to).await;
        connection.close().await.map_err(refused)?;
        prepared.map_err(refused)?.map_err(|refusal| match refusal {
            Refusal::Foreign { table } => OpenError::NotOurs {
                path: path.into(),
                reason: format!("it is a database with a table '{table}', but not one of ours"),
            },
            refusal => refusal.of(&path.display().to_string()),
        })
    }

    /// What a file holds, if there is one.
    pub(crate) async fn look(path: &Path, options: &Options) -> Result<Option<Found>, OpenError> {
        let refused = |error| refuse(path, error);
        if !tokio::fs::try_exists(path).await.unwrap_or(true) {
            return Ok(None);
        }
        let connect = base_options(options).filename(path).read_only(true);
        let mut connection = connect.connect().await.map_err(refused)?;
        let found = found(&mut connection).await;
        connection.close().await.map_err(refused)?;
        found.map(Some).map_err(refused)
    }

    /// Records what a file is said to be.
    pub(crate) async fn stamp(
        path: &Path,
        options: &Options,
        stamp: Stamp,
    ) -> Result<(), OpenError> {
        let connect = base_options(options).filename(path).create_if_missing(true);
        let stamping = async {
            let mut connection = connect.connect().await?;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            tx.execute(schema::CREATE_VERSION_TABLE).await?;
            tx.execute(schema::CREATE_ORIGINAL_TABLE).await?;
            tx.execute("DELETE FROM congress_schema").await?;
            tx.execute("DELETE FROM alembic_version").await?;
            sqlx::query("INSERT INTO alembic_version (version_num) VALUES (?)")
                .bind(stamp.original)
                .execute(&mut *tx)
                .await?;
            for step in &stamp.steps.steps {
                record(&mut tx, step).await?;
            }
            tx.commit().await?;
            connection.close().await
        };
        stamping.await.map_err(|error| refuse(path, error))
    }

    /// Undoes steps of a file's schema.
    pub(crate) async fn undo(path: &Path, options: &Options, undo: Undo) -> Result<(), OpenError> {
        let connect = base_options(options).filename(path);
        let undoing = async {
            let mut connection = connect.connect().await?;
            let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
            for sql in undo.statements {
                tx.execute(sql).await?;
            }
            match undo.version {
                Some(version) => {
                    sqlx::query(schema::FORGET_STEPS).bind(version).execute(&mut *tx).await?;
                }
                None => _ = tx.execute(schema::DROP_VERSION_TABLE).await?,
            }
            // A file that was made here has no such table while it has ours.
            if undo.version.is_none() && undo.original {
                tx.execute(schema::CREATE_ORIGINAL_TABLE).await?;
                sqlx::query("INSERT OR IGNORE INTO alembic_version (version_num) VALUES (?)")
                    .bind(schema::ORIGINAL_HEAD)
                    .execute(&mut *tx)
                    .await?;
            }
            tx.commit().await?;
            connection.close().await
        };
        undoing.await.map_err(|error| refuse(path, error))
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

/// Brings the schema to a version, in one transaction; the steps taken.
async fn prepare(
    connection: &mut SqliteConnection,
    to: i64,
) -> sqlx::Result<Result<Vec<Step>, Refusal>> {
    let mut tx = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found = found(&mut tx).await?;
    let steps = match schema::plan(&found, to) {
        Ok(Plan { steps }) if steps.is_empty() => return Ok(Ok(steps)),
        Ok(Plan { steps }) => steps,
        Err(refusal) => return Ok(Err(refusal)),
    };
    tx.execute(schema::CREATE_VERSION_TABLE).await?;
    for step in &steps {
        if let Some(sql) = STEPS.get(step.index).filter(|_| !step.adopted) {
            tx.execute(sqlx::raw_sql(*sql)).await?;
        }
        record(&mut tx, step).await?;
    }
    tx.commit().await?;
    Ok(Ok(steps))
}

async fn found(connection: &mut SqliteConnection) -> sqlx::Result<Found> {
    let tables: Vec<String> = sqlx::query_scalar(
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite\\_%' \
         ESCAPE '\\' ORDER BY name",
    )
    .fetch_all(&mut *connection)
    .await?;
    let found = Found { tables, version: None, original: None };
    let version = match found.has(schema::VERSION_TABLE) {
        true => sqlx::query_scalar(schema::VERSION).fetch_one(&mut *connection).await?,
        false => None,
    };
    let original = match found.has(schema::ORIGINAL_TABLE) {
        true => sqlx::query_scalar(schema::ORIGINAL).fetch_optional(connection).await?,
        false => None,
    };
    Ok(Found { version, original, ..found })
}

async fn record(connection: &mut SqliteConnection, step: &Step) -> sqlx::Result<()> {
    sqlx::query(schema::RECORD_STEP)
        .bind(step.version())
        .bind(step.name())
        .bind(time_text(OffsetDateTime::now_utc()))
        .execute(connection)
        .await?;
    Ok(())
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
