//! A database of a test, on either system.

use std::sync::atomic::{AtomicU32, Ordering};

use congress_store::{Location, Options, Store, upgrade_schema};
use congress_test_services::Mariadb;
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
}

impl Place {
    /// A file in a folder of its own, not made yet.
    pub(super) fn sqlite() -> Self {
        let folder = folder();
        Self { location: Location::SqliteFile(file(&folder)), system: System::Sqlite(folder) }
    }

    /// A database with its tables, on the server that all tests of this binary share.
    pub(super) async fn mariadb() -> Self {
        let place = Self::empty_mariadb().await;
        let head = congress_store::SCHEMA_HISTORY.len() - 1;
        upgrade_schema(&place.location, &Options::default(), head).await.unwrap();
        place
    }

    /// An empty database.
    pub(super) async fn empty_mariadb() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let server = Mariadb::shared().await.unwrap();
        let database = format!("t{}", COUNT.fetch_add(1, Ordering::Relaxed));
        let url = server.database(&database).await.unwrap();
        Self { location: location(&url), system: System::Mariadb { server, database } }
    }

    /// The name of the database on its server; nothing for a file.
    pub(super) fn name(&self) -> &str {
        match &self.system {
            System::Sqlite(_) => "",
            System::Mariadb { database, .. } => database,
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
        }
    }
}

pub(super) fn location(url: &str) -> Location {
    let (location, ignored) = Location::parse(url).unwrap();
    assert!(ignored.is_empty(), "{ignored:?}");
    location
}
