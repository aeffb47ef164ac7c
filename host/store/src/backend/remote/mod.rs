//! Databases on a server: what is the same for all systems.
//!
//! Nothing here locks tables, or relies on a lock that another node of a cluster would have to
//! know: writers are told apart by updates of rows, and a change that loses is made again from the
//! start (`attempts`). Values never become part of a statement's text. What differs between the
//! systems is a [`System`].

mod database;
mod pool;

use std::fmt::Debug;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use tokio::time::Instant;

pub(crate) use self::database::Database;
use self::pool::{Leased, Pool};
use super::{Arg, Failure, Row, Sql};
use crate::attempts::{Attempts, Cause, Failed};
use crate::location::Server;
use crate::{Error, Result, schema};

/// A database system with servers.
pub(crate) trait System: Debug + Sized + Send + 'static {
    /// A connection.
    type Connection: Debug + Send;
    /// How to make one.
    type Connect: Clone + Debug + Send + Sync;

    /// Begins a transaction that changes something. What it reads after it has taken a row's lock
    /// must be what others have committed by then.
    const BEGIN_WRITE: &'static str;
    /// Begins a transaction whose reads all see one state.
    const BEGIN_READ: &'static str;
    /// An expression for milliseconds since 1970, when the statement began.
    const CLOCK: &'static str;
    /// What bounds the size of a statement, as the server calls it.
    const PACKET: &'static str;

    /// Asks for the names of all tables, sorted.
    const TABLES: &'static str;
    /// The steps of the schema: see [`schema`]. Every statement can be repeated.
    const STEPS: [&'static str; schema::STEPS.len()];
    /// Makes [`schema::VERSION_TABLE`].
    const CREATE_VERSION_TABLE: &'static str;
    /// Records a step, unless another process has done so.
    const RECORD_STEP: &'static str;
    /// What comes before and after a change of tables, if these can be changed in a transaction.
    const CHANGE: Option<[&'static str; 2]>;

    /// How to connect to a server.
    fn connect_options(server: &Server) -> Self::Connect;
    /// What a new connection runs first. Made of constants and numbers only.
    fn setup(wait: Duration) -> String;
    /// Connects, and runs `setup`.
    fn connect(
        options: &Self::Connect,
        setup: &str,
    ) -> impl Future<Output = sqlx::Result<Self::Connection>> + Send;
    /// Asks whether a connection lives.
    fn ping(connection: &mut Self::Connection) -> impl Future<Output = sqlx::Result<()>> + Send;
    /// Says goodbye.
    fn close(connection: Self::Connection) -> impl Future<Output = sqlx::Result<()>> + Send;
    /// The most bytes of arguments that a statement may have.
    fn packet(
        connection: &mut Self::Connection,
    ) -> impl Future<Output = sqlx::Result<usize>> + Send;
    /// Runs statements without arguments.
    fn run(
        connection: &mut Self::Connection,
        sql: &'static str,
    ) -> impl Future<Output = sqlx::Result<()>> + Send;
    /// Runs a statement; how many rows it touched (those that it found, changed or not).
    fn execute(
        connection: &mut Self::Connection,
        sql: Sql,
        args: &[Arg<'_>],
    ) -> impl Future<Output = sqlx::Result<u64>> + Send;
    /// Runs a query.
    fn rows(
        connection: &mut Self::Connection,
        sql: Sql,
        args: &[Arg<'_>],
    ) -> impl Future<Output = sqlx::Result<Vec<Row>>> + Send;

    /// Sorts an error: whether trying again helps, and what to say.
    fn sort(error: sqlx::Error) -> (Cause, Error);
    /// Whether a unique value is taken.
    fn is_taken(error: &sqlx::Error) -> bool;
    /// Whether the server knows neither user nor database: an error of the configuration, when a
    /// database is opened.
    fn is_refusal(error: &sqlx::Error) -> bool;
    /// Whether tables cannot be looked at or changed: the user may not.
    fn is_denied(error: &sqlx::Error) -> bool;
}

/// The connections to one database.
#[derive(Debug)]
pub(crate) struct Remote<S: System> {
    pool: Arc<Pool<S>>,
    wait: Duration,
    /// What fits into one packet to the server. It ends a connection that brings more.
    packet: usize,
}

impl<S: System> Remote<S> {
    pub(crate) fn attempts(&self, changes: bool) -> Attempts {
        Attempts::within(self.wait, changes)
    }

    /// Runs one query outside any transaction.
    pub(crate) async fn rows(&self, sql: Sql, args: &[Arg<'_>]) -> Result<Vec<Row>> {
        let mut attempts = self.attempts(false);
        loop {
            let attempt = async {
                let mut leased = self.pool.acquire(Instant::now() + self.wait).await?;
                match S::rows(&mut leased.connection, sql.clone(), args).await {
                    Ok(rows) => {
                        leased.give_back();
                        Ok(rows)
                    }
                    Err(error) => {
                        let (cause, error) = S::sort(error);
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
    pub(crate) async fn begin(&self, writes: bool) -> Result<Open<S>, Failed> {
        let begin = if writes { S::BEGIN_WRITE } else { S::BEGIN_READ };
        let mut leased = self.pool.acquire(Instant::now() + self.wait).await?;
        match S::run(&mut leased.connection, begin).await {
            Ok(()) => Ok(Open { leased, packet: self.packet, trouble: None }),
            Err(error) => {
                let (cause, error) = S::sort(error);
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
pub(crate) struct Open<S: System> {
    leased: Leased<S>,
    packet: usize,
    /// What went wrong in it.
    trouble: Option<Cause>,
}

impl<S: System> Open<S> {
    pub(super) async fn execute(&mut self, sql: Sql, args: Vec<Arg<'_>>) -> Result<u64, Failure> {
        let size: usize = args.iter().map(size).sum();
        if size > self.packet {
            let reason = format!("it is larger than {} ({size} bytes)", S::PACKET);
            return Err(Failure::Other(Error::Unfit { reason }));
        }
        match S::execute(&mut self.leased.connection, sql, &args).await {
            Ok(touched) => Ok(touched),
            Err(error) if S::is_taken(&error) => Err(Failure::Taken),
            Err(error) => Err(Failure::Other(self.note(error))),
        }
    }

    pub(super) async fn rows(&mut self, sql: Sql, args: Vec<Arg<'_>>) -> Result<Vec<Row>> {
        match S::rows(&mut self.leased.connection, sql, &args).await {
            Ok(rows) => Ok(rows),
            Err(error) => Err(self.note(error)),
        }
    }

    /// Notes that the whole has to be done again: it met a change of somebody else.
    pub(super) fn collided(&mut self) {
        self.trouble = Some(Cause::Collision);
    }

    /// Makes the changes last.
    pub(super) async fn commit(mut self) -> Result<(), Failed> {
        match S::run(&mut self.leased.connection, "COMMIT").await {
            Ok(()) => {
                self.leased.give_back();
                Ok(())
            }
            Err(error) => {
                let (cause, error) = S::sort(error);
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
        match S::run(&mut self.leased.connection, "ROLLBACK").await {
            Ok(()) => self.leased.give_back(),
            Err(_) => self.leased.give_up(Cause::Lost),
        }
        cause
    }

    fn note(&mut self, error: sqlx::Error) -> Error {
        let (cause, error) = S::sort(error);
        self.trouble = Some(cause);
        error
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
