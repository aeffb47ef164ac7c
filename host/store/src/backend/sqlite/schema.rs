//! The schema of an SQLite file.

use std::path::Path;

use sqlx::sqlite::SqliteConnection;
use sqlx::{ConnectOptions, Connection, Executor};
use time::OffsetDateTime;

use super::{Sqlite, base_options, refuse, time_text};
use crate::manage::{Stamp, Undo};
use crate::schema::{self, Found, Plan, Refusal, Step};
use crate::{OpenError, Options};

/// The steps of the schema for this system: see [`schema`].
pub(crate) const STEPS: [&str; schema::STEPS.len()] = [
    include_str!("../../../migrations/sqlite/0001_ussuri.sql"),
    include_str!("../../../migrations/sqlite/0002_congress.sql"),
    include_str!("../../../migrations/sqlite/0003_high_availability.sql"),
];

impl Sqlite {
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
}

/// Brings the schema to a version, in one transaction; the steps taken.
pub(super) async fn prepare(
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
