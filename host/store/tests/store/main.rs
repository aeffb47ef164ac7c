//! The store on real files and a real MariaDB and PostgreSQL: the same tests on all.
#![expect(
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests, which may"
)]

mod adoption;
mod concurrency;
mod galera;
mod leases;
mod ledger;
mod managing;
mod mysql;
mod opening;
mod operations;
mod place;
mod postgres;

use std::path::{Path, PathBuf};
use std::time::Duration;

use congress_store::{
    DatasourceConfig, Error, Fence, Location, NewDatasource, NewPolicy, NewRule, Options,
    PushedTable, Store,
};
use congress_table::Row;
use sqlx::ConnectOptions;
use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use tempfile::TempDir;

use place::{Place, on_all_systems};

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

fn file(folder: &TempDir) -> PathBuf {
    folder.path().join("congress.sqlite")
}

async fn open(path: &Path) -> Store {
    Store::open(&Location::SqliteFile(path.into()), &Options::default()).await.unwrap()
}

/// For tests that want to see an operation fail for a lock.
fn impatient() -> Options {
    Options { wait: Duration::from_secs(1), ..Options::default() }
}

fn policy(name: &str) -> NewPolicy {
    NewPolicy {
        name: name.into(),
        abbreviation: name.chars().take(5).collect(),
        description: "naïve ☕".into(),
        owner: "user".into(),
        kind: "nonrecursive".into(),
    }
}

fn rule(text: &str) -> NewRule {
    NewRule { rule: text.into(), name: None, comment: String::new() }
}

fn datasource(name: &str) -> NewDatasource {
    NewDatasource {
        id: None,
        name: name.into(),
        driver: "files".into(),
        description: None,
        enabled: true,
        config: DatasourceConfig::absent(),
    }
}

/// Stores the rows of one table.
async fn put(
    store: &Store,
    datasource: &str,
    table: &str,
    rows: &[Row],
    fence: Option<&Fence>,
) -> Result<(), Error> {
    let table = PushedTable::new(table, rows)?;
    store.put_pushed_tables(datasource, &[table], fence).await
}

/// The stored rows of one table; none if it was never stored.
async fn pushed(store: &Store, datasource: &str, table: &str) -> Result<Vec<Row>, Error> {
    let tables = store.pushed_tables(datasource).await?;
    Ok(tables.into_iter().find(|(name, _)| name == table).map(|(_, rows)| rows).unwrap_or_default())
}

/// The file as any other program opens it.
async fn raw(path: &Path) -> SqliteConnection {
    SqliteConnectOptions::new().filename(path).create_if_missing(true).connect().await.unwrap()
}
