//! The store: its handle, and the operations that concern it as a whole.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::remote::Remote;
use crate::backend::sqlite::Sqlite;
use crate::backend::{Backend, Transaction, args};
use crate::location::Location;
use crate::{At, Error, OpenError, Result, Revision, Snapshot};

/// How to use a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many connections may be open (SQLite: for reading).
    pub max_connections: u32,
    /// How long an operation waits for a connection, or for a lock of another process, before it
    /// fails with [`Error::Unavailable`]. With a database server it is the bound of the whole
    /// operation, whatever happens to the server meanwhile.
    pub wait: Duration,
    /// How long a database server may take to answer before it is taken for dead, when an
    /// operation begins. So much does a dead one cost each caller.
    pub connect_timeout: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            max_connections: 4,
            wait: Duration::from_secs(10),
            connect_timeout: Duration::from_millis(2500),
        }
    }
}

/// The shared database. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) backend: Arc<Backend>,
}

impl Store {
    /// Opens a database.
    ///
    /// An SQLite database is made if it is missing, and its schema is brought to this version;
    /// several processes may do so at once. A database on a server must have its tables already,
    /// those of the original or of any version of ours; what is missing of ours is added.
    pub async fn open(location: &Location, options: &Options) -> Result<Self, OpenError> {
        let backend = match location {
            Location::SqliteMemory => Backend::Sqlite(Sqlite::open_memory(options).await?),
            Location::SqliteFile(path) => Backend::Sqlite(Sqlite::open_file(path, options).await?),
            Location::MySql(server) => Backend::MySql(Remote::open(server, options).await?),
            Location::Postgres(server) => Backend::Postgres(Remote::open(server, options).await?),
        };
        Ok(Self { backend: Arc::new(backend) })
    }

    /// Opens a database to look at it: nothing is made or brought up to date. What its version does
    /// not have yet fails with [`Error::Unexpected`]. [`OpenError::NoSchema`] if there is nothing.
    pub async fn open_as_is(location: &Location, options: &Options) -> Result<Self, OpenError> {
        let backend = match location {
            Location::SqliteMemory => {
                return Err(OpenError::NoSchema { place: location.to_string() });
            }
            Location::SqliteFile(path) => Backend::Sqlite(Sqlite::open_as_is(path, options).await?),
            Location::MySql(server) => Backend::MySql(Remote::open_as_is(server, options).await?),
            Location::Postgres(server) => {
                Backend::Postgres(Remote::open_as_is(server, options).await?)
            }
        };
        Ok(Self { backend: Arc::new(backend) })
    }

    /// Waits for running operations and closes all connections. Later ones fail with
    /// [`Error::Unavailable`].
    pub async fn close(&self) {
        self.backend.close().await;
    }

    /// The current revision. Cheap enough to be asked for often; also the way to find out whether
    /// the database answers.
    pub async fn revision(&self) -> Result<Revision> {
        let rows = self.backend.rows(REVISION, args![]).await?;
        let row = rows.first().ok_or_else(no_revision)?;
        row.int(0).map(Revision)
    }

    /// Policies, rules and datasources at one revision.
    pub async fn snapshot(&self) -> Result<Snapshot> {
        in_transaction!(self, read, |tx| {
            let revision = current(tx).await?;
            let policies = crate::policies::list(tx).await?;
            let rules = crate::rules::list_all(tx).await?;
            let datasources = crate::datasources::list(tx).await?;
            Ok(Snapshot { revision, policies, rules, datasources })
        })
    }
}

const REVISION: &str = "SELECT revision FROM congress_revision WHERE id = 1";

/// Makes a change in one transaction: `in_transaction!(store, |tx| { … Ok(value) })`. If it fails
/// nothing has changed, unless the error says that this is not known. The block is run again if
/// others were in the way, or the connection was lost before the end.
///
/// A macro, for the compiler cannot see yet that a function taking such a closure is `Send`.
macro_rules! in_transaction {
    ($store:expr, |$tx:ident| $work:block) => {
        $crate::store::in_transaction!($store, write, |$tx| $work)
    };
    ($store:expr, $begin:ident, |$tx:ident| $work:block) => {{
        let backend = &$store.backend;
        let mut attempts = backend.attempts(stringify!($begin) == "write");
        loop {
            let attempt = async {
                let mut transaction = backend.$begin().await?;
                let outcome = {
                    let $tx = &mut transaction;
                    $crate::store::outcome(async { $work }).await
                };
                transaction.end(outcome).await
            };
            if let Some(outcome) = attempts.run(attempt).await {
                break outcome;
            }
        }
    }};
}
pub(crate) use in_transaction;

/// Tells the compiler which error a block ends with.
pub(crate) async fn outcome<T>(work: impl Future<Output = Result<T>>) -> Result<T> {
    work.await
}

/// The revision that a transaction sees.
pub(crate) async fn current(tx: &mut Transaction) -> Result<Revision> {
    let row = tx.row(REVISION, args![]).await?.ok_or_else(no_revision)?;
    row.int(0).map(Revision)
}

/// Raises the revision, if the database is at the one wanted. To be called before the changes that
/// it covers: the row it locks is what serialises writers on all nodes.
pub(crate) async fn advance(tx: &mut Transaction, at: At) -> Result<Revision> {
    match at {
        At::Any => {
            const ADVANCE: &str =
                "UPDATE congress_revision SET revision = revision + 1 WHERE id = 1";
            tx.execute(ADVANCE, args![]).await?;
            current(tx).await
        }
        At::Revision(expected) => {
            const ADVANCE: &str = "UPDATE congress_revision SET revision = revision + 1 WHERE id = 1 AND revision = ?";
            match tx.execute(ADVANCE, args![expected.0]).await? {
                0 => Err(Error::Stale { expected }),
                _ => Ok(Revision(expected.0 + 1)),
            }
        }
    }
}

/// Of the things found by id or name, the one that is meant: an id wins over an equal name. Tables
/// that the original made on MySQL compare without regard to case; here names are exact.
pub(crate) fn exactly<T>(
    found: Vec<T>,
    id_or_name: &str,
    names: impl Fn(&T) -> [&String; 2],
) -> Option<T> {
    let rank = |thing: &T| names(thing).iter().position(|name| *name == id_or_name);
    let (_, best) = found
        .into_iter()
        .filter_map(|thing| Some((rank(&thing)?, thing)))
        .min_by_key(|(rank, _)| *rank)?;
    Some(best)
}

fn no_revision() -> Error {
    Error::Corrupt { what: "table congress_revision has no row".into() }
}

/// Checks that a value fits its column. SQLite would take any length; other systems cut or refuse.
pub(crate) fn fits(column: &'static str, value: &str, limit: usize) -> Result<()> {
    // No text has more characters than bytes: most need no counting.
    if value.len() <= limit {
        return Ok(());
    }
    match value.chars().count() {
        length if length > limit => Err(Error::TooLong { column, length, limit }),
        _ => Ok(()),
    }
}
