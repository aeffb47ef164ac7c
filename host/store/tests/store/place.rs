//! A database of a test, on each of the systems.

use std::sync::atomic::{AtomicU32, Ordering};

use congress_store::{Location, Options, Store, upgrade_schema};
use congress_test_services::{Mariadb, Postgresql};
use sqlx::{AssertSqlSafe, Connection};
use tempfile::TempDir;

use super::{file, folder, raw};

/// Makes a test for each system of functions that take a [`Place`].
macro_rules! on_all_systems {
    ($($test:ident),* $(,)?) => {
        mod sqlite {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test($crate::place::Place::sqlite()).await;
            })*
        }

        mod mariadb {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test($crate::place::Place::mariadb().await).await;
            })*
        }

        mod postgresql {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $test() {
                super::$test($crate::place::Place::postgresql().await).await;
            })*
        }
    };
}
pub(super) use on_all_systems;

/// Where a test keeps its database.
pub(super) struct Place {
    pub(super) location: Location,
    system: System,
}

enum System {
    Sqlite(TempDir),
    Mariadb { server: &'static Mariadb, database: String },
    Postgresql { server: &'static Postgresql, database: String },
}

impl Place {
    /// A file in a folder of its own, not made yet.
    pub(super) fn sqlite() -> Self {
        let folder = folder();
        Self { location: Location::SqliteFile(file(&folder)), system: System::Sqlite(folder) }
    }

    /// A database with its tables, on the server that all tests of this binary share.
    pub(super) async fn mariadb() -> Self {
        Self::empty_mariadb().await.with_tables().await
    }

    /// The same on PostgreSQL.
    pub(super) async fn postgresql() -> Self {
        Self::empty_postgresql().await.with_tables().await
    }

    /// An empty database.
    pub(super) async fn empty_mariadb() -> Self {
        let server = Mariadb::shared().await.unwrap();
        let database = unused_name();
        let url = server.database(&database).await.unwrap();
        Self { location: location(&url), system: System::Mariadb { server, database } }
    }

    /// An empty database on PostgreSQL.
    pub(super) async fn empty_postgresql() -> Self {
        let server = Postgresql::shared().await.unwrap();
        let database = unused_name();
        let url = server.database(&database).await.unwrap();
        Self { location: location(&url), system: System::Postgresql { server, database } }
    }

    /// A database of the same system without any table, which for a server is not what tests
    /// usually get.
    pub(super) async fn emptied(self) -> Self {
        match self.system {
            System::Sqlite(_) => self,
            System::Mariadb { .. } => Self::empty_mariadb().await,
            System::Postgresql { .. } => Self::empty_postgresql().await,
        }
    }

    async fn with_tables(self) -> Self {
        let head = congress_store::SCHEMA_HISTORY.len() - 1;
        upgrade_schema(&self.location, &Options::default(), head).await.unwrap();
        self
    }

    /// The name of the database on its server; nothing for a file.
    pub(super) fn name(&self) -> &str {
        match &self.system {
            System::Sqlite(_) => "",
            System::Mariadb { database, .. } | System::Postgresql { database, .. } => database,
        }
    }

    pub(super) async fn open(&self) -> Store {
        Store::open(&self.location, &Options::default()).await.unwrap()
    }

    /// Runs a statement as another program would.
    pub(super) async fn run(&self, sql: &str) {
        match &self.system {
            System::Sqlite(folder) => {
                let mut connection = raw(&file(folder)).await;
                sqlx::raw_sql(AssertSqlSafe(sql.to_owned()))
                    .execute(&mut connection)
                    .await
                    .unwrap();
                connection.close().await.unwrap();
            }
            System::Mariadb { server, database } => {
                server.sql(&format!("USE {database}; {sql}")).await.unwrap();
            }
            System::Postgresql { server, database } => {
                server.sql_in(database, sql).await.unwrap();
            }
        }
    }

    /// The one text that a query gives.
    pub(super) async fn text(&self, sql: &str) -> String {
        match &self.system {
            System::Sqlite(folder) => {
                let mut connection = raw(&file(folder)).await;
                sqlx::query_scalar(AssertSqlSafe(sql.to_owned()))
                    .fetch_one(&mut connection)
                    .await
                    .unwrap()
            }
            System::Mariadb { server, database } => {
                let output = server.sql(&format!("USE {database}; {sql}")).await.unwrap();
                output.trim_end_matches('\n').to_owned()
            }
            System::Postgresql { server, database } => {
                let output = server.sql_in(database, sql).await.unwrap();
                output.trim_end_matches('\n').to_owned()
            }
        }
    }
}

/// The name of a database that no other test has.
fn unused_name() -> String {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

pub(super) fn location(url: &str) -> Location {
    let (location, ignored) = Location::parse(url).unwrap();
    assert!(ignored.is_empty(), "{ignored:?}");
    location
}
