//! The store: its handle, and the operations that concern it as a whole.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::backend::sqlite::Sqlite;
use crate::backend::{Backend, Transaction, args};
use crate::{At, Error, OpenError, Result, Revision, Snapshot};

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// In memory, gone with the [`Store`].
    SqliteMemory,
    /// A file, made if it is missing. Its folder must exist.
    SqliteFile(PathBuf),
}

/// How to use a database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// How many connections may be open for reading.
    pub max_connections: u32,
    /// How long an operation waits for a connection, or for a lock of another process, before it
    /// fails with [`Error::Unavailable`].
    pub wait: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self { max_connections: 4, wait: Duration::from_secs(10) }
    }
}

/// The shared database. Cheap to clone; all clones are one.
#[derive(Clone, Debug)]
pub struct Store {
    pub(crate) backend: Arc<Backend>,
}

impl Store {
    /// Opens a database, makes it if it is missing, and brings its schema to this version.
    /// Several processes may do so at once.
    pub async fn open(location: &Location, options: &Options) -> Result<Self, OpenError> {
        let backend = match location {
            Location::SqliteMemory => Sqlite::open_memory(options).await?,
            Location::SqliteFile(path) => Sqlite::open_file(path, options).await?,
        };
        Ok(Self { backend: Arc::new(Backend::Sqlite(backend)) })
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
        let mut tx = self.backend.read().await?;
        let revision = current(&mut tx).await?;
        let policies = crate::policies::list(&mut tx).await?;
        let rules = crate::rules::list_all(&mut tx).await?;
        let datasources = crate::datasources::list(&mut tx).await?;
        tx.commit().await?;
        Ok(Snapshot { revision, policies, rules, datasources })
    }
}

const REVISION: &str = "SELECT revision FROM congress_revision WHERE id = 1";

/// Makes a change in one transaction: `in_transaction!(store, |tx| { … Ok(value) })`. If it fails
/// nothing has changed.
///
/// A macro, for the compiler cannot see yet that a function taking such a closure is `Send`.
macro_rules! in_transaction {
    ($store:expr, |$tx:ident| $work:block) => {{
        let work = async {
            let mut transaction = $store.backend.write().await?;
            let $tx = &mut transaction;
            let value = $crate::store::outcome(async { $work }).await?;
            transaction.commit().await?;
            Ok(value)
        };
        $crate::store::outcome(work).await
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
                _ => current(tx).await,
            }
        }
    }
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
