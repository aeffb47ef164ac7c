//! MySQL and MariaDB, Galera clusters included.
//!
//! Nothing here locks tables, or relies on a lock that another node of a cluster would have to
//! know: writers are told apart by updates of rows, and a change that loses is made again from the
//! start (`attempts`). Every statement is prepared; values never become part of a text.

mod errors;
mod open;
mod pool;

use std::sync::Arc;
use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnection, MySqlRow};
use sqlx::query::Query;
use sqlx::{Arguments, AssertSqlSafe, Row as _};
use time::OffsetDateTime;
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use tokio::time::Instant;

use self::errors::{is_taken, sort};
pub(crate) use self::open::{Database, STEPS};
use self::pool::{Leased, Pool};
use super::{Arg, Failure, Row, Sql};
use crate::attempts::{Attempts, Cause, Failed};
use crate::{Error, Result};

/// As a literal of a time, in UTC like the session.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");

/// Milliseconds since 1970, when the statement began. The session's time zone is UTC: others have
/// an hour that comes twice.
pub(super) const CLOCK: &str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";

/// The connections to one database.
#[derive(Debug)]
pub(crate) struct MySqlServer {
    pool: Arc<Pool>,
    wait: Duration,
    /// What fits into one packet to the server. It ends a connection that brings more.
    packet: usize,
}

impl MySqlServer {
    pub(crate) fn attempts(&self, changes: bool) -> Attempts {
        Attempts::within(self.wait, changes)
    }

    /// Runs one query outside any transaction.
    pub(crate) async fn rows(&self, sql: Sql, args: &[Arg<'_>]) -> Result<Vec<Row>> {
        let mut attempts = self.attempts(false);
        loop {
            let attempt = async {
                let mut leased = self.pool.acquire(Instant::now() + self.wait).await?;
                match rows(&mut leased.connection, sql.clone(), args).await {
                    Ok(rows) => {
                        leased.give_back();
                        Ok(rows)
                    }
                    Err((cause, error)) => {
                        leased.give_up(cause);
                        Err(Failed { error, cause })
                    }
                }
            };
            if let Some(outcome) = attempts.run(attempt).await {
                return outcome;
            }
        }
    }

    /// Begins a transaction.
    pub(crate) async fn begin(&self, writes: bool) -> Result<Open, Failed> {
        // The isolation is REPEATABLE READ: all reads of a transaction see one state.
        let begin = if writes { "START TRANSACTION" } else { "START TRANSACTION READ ONLY" };
        let mut leased = self.pool.acquire(Instant::now() + self.wait).await?;
        match sqlx::raw_sql(begin).execute(&mut leased.connection).await {
            Ok(_) => Ok(Open { leased, packet: self.packet, trouble: None }),
            Err(error) => {
                let (cause, error) = sort(error);
                leased.give_up(cause);
                Err(Failed { error, cause })
            }
        }
    }

    pub(crate) async fn close(&self) {
        self.pool.close().await;
    }
}

/// An open transaction. Dropping it closes its connection, and so undoes it.
pub(crate) struct Open {
    leased: Leased,
    packet: usize,
    /// What went wrong in it.
    trouble: Option<Cause>,
}

impl Open {
    pub(super) async fn execute(&mut self, sql: Sql, args: Vec<Arg<'_>>) -> Result<u64, Failure> {
        let size: usize = args.iter().map(size).sum();
        if size > self.packet {
            let reason =
                format!("it is larger than the server's max_allowed_packet ({size} bytes)");
            return Err(Failure::Other(Error::Unfit { reason }));
        }
        let arguments = bind(&args).map_err(Failure::Other)?;
        match query(sql, arguments).execute(&mut self.leased.connection).await {
            Ok(done) => Ok(done.rows_affected()),
            Err(error) if is_taken(&error) => Err(Failure::Taken),
            Err(error) => Err(Failure::Other(self.note(sort(error)))),
        }
    }

    pub(super) async fn rows(&mut self, sql: Sql, args: Vec<Arg<'_>>) -> Result<Vec<Row>> {
        rows(&mut self.leased.connection, sql, &args).await.map_err(|failed| self.note(failed))
    }

    /// Notes that the whole has to be done again: it met a change of somebody else.
    pub(super) fn collided(&mut self) {
        self.trouble = Some(Cause::Collision);
    }

    /// Makes the changes last.
    pub(super) async fn commit(mut self) -> Result<(), Failed> {
        match sqlx::raw_sql("COMMIT").execute(&mut self.leased.connection).await {
            Ok(_) => {
                self.leased.give_back();
                Ok(())
            }
            Err(error) => {
                let (cause, error) = sort(error);
                self.leased.give_up(cause);
                Err(match cause {
                    // A cluster refuses at the commit what collides: nothing was changed.
                    Cause::Collision | Cause::Final => Failed { error, cause },
                    Cause::Lost => Error::Unavailable {
                        reason: format!(
                            "it was lost while a change was being committed, so that whether it \
                             was made is not known: {error}"
                        ),
                    }
                    .into(),
                })
            }
        }
    }

    /// Undoes the changes; what went wrong.
    pub(super) async fn undo(mut self) -> Cause {
        let cause = self.trouble.unwrap_or(Cause::Final);
        if cause == Cause::Lost {
            self.leased.give_up(cause);
            return cause;
        }
        match sqlx::raw_sql("ROLLBACK").execute(&mut self.leased.connection).await {
            Ok(_) => self.leased.give_back(),
            Err(_) => self.leased.give_up(Cause::Lost),
        }
        cause
    }

    fn note(&mut self, (cause, error): (Cause, Error)) -> Error {
        self.trouble = Some(cause);
        error
    }
}

async fn rows(
    connection: &mut MySqlConnection,
    sql: Sql,
    args: &[Arg<'_>],
) -> Result<Vec<Row>, (Cause, Error)> {
    let arguments = bind(args).map_err(|error| (Cause::Final, error))?;
    let rows = query(sql, arguments).fetch_all(connection).await.map_err(sort)?;
    Ok(rows.into_iter().map(Row::MySql).collect())
}

/// Reads a column.
pub(super) fn column<'r, T>(row: &'r MySqlRow, column: usize) -> Result<T>
where
    T: sqlx::Decode<'r, sqlx::MySql> + sqlx::Type<sqlx::MySql>,
{
    row.try_get(column).map_err(|error| Error::Corrupt { what: error.to_string() })
}

fn query(sql: Sql, arguments: MySqlArguments) -> Query<'static, sqlx::MySql, MySqlArguments> {
    match sql {
        Sql::Borrowed(sql) => sqlx::query_with(sql, arguments),
        // Of those there are many variants: they are not worth being kept prepared.
        Sql::Owned(sql) => sqlx::query_with(AssertSqlSafe(sql), arguments).persistent(false),
    }
}

/// The bytes of an argument, those around it included.
fn size(arg: &Arg<'_>) -> usize {
    const AROUND: usize = 16;
    AROUND
        + match arg {
            Arg::Text(text) => text.len(),
            Arg::OptionalText(text) => text.as_ref().map_or(0, |text| text.len()),
            Arg::Bytes(bytes) => bytes.len(),
            Arg::Int(_) | Arg::Bool(_) | Arg::Time(_) => 32,
        }
}

fn bind(args: &[Arg<'_>]) -> Result<MySqlArguments> {
    let mut bound = MySqlArguments::default();
    for arg in args {
        match arg {
            Arg::Text(text) => bound.add(text.as_ref()),
            Arg::OptionalText(text) => bound.add(text.as_deref()),
            Arg::Int(int) => bound.add(*int),
            Arg::Bool(bool) => bound.add(*bool),
            Arg::Bytes(bytes) => bound.add(*bytes),
            Arg::Time(time) => bound.add(time_text(*time)),
        }
        .map_err(|error| Error::Unexpected { reason: error.to_string() })?;
    }
    Ok(bound)
}

fn time_text(time: OffsetDateTime) -> String {
    // Formatting fails only for years beyond 9999.
    time.format(TIME).unwrap_or_default()
}
