//! Connecting to a MySQL server, and its schema.

use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::{ConnectOptions as _, Connection as _, Executor as _};
use time::OffsetDateTime;
use tokio::time::timeout;

use super::errors::{DENIED, NO_TABLE, is_refusal, number, sort};
use super::{MySqlServer, Pool, time_text};
use crate::location::{MySql, TlsMode};
use crate::manage::Stamp;
use crate::schema::{self, Found, Plan, Step};
use crate::{Error, OpenError, Options};

/// The steps of the schema for this system: see [`schema`]. Changes of tables end a transaction
/// here, so every statement can be repeated instead.
pub(crate) const STEPS: [&str; schema::STEPS.len()] = [
    include_str!("../../../migrations/mysql/0001_ussuri.sql"),
    include_str!("../../../migrations/mysql/0002_congress.sql"),
    include_str!("../../../migrations/mysql/0003_high_availability.sql"),
];

/// How long a change of tables may take.
const CHANGE: Duration = Duration::from_secs(600);

/// A connection for looking at the schema and changing it.
pub(crate) struct Database {
    connection: MySqlConnection,
    place: String,
    wait: Duration,
}

impl MySqlServer {
    /// Opens a database that has its tables. One that the original left gets ours beside them, and
    /// one of an older version of this program those that are new; an empty one is refused.
    pub(crate) async fn open(location: &MySql, options: &Options) -> Result<Self, OpenError> {
        let mut database = Database::connect(location, options).await?;
        let found = database.found().await?;
        if found.tables.is_empty() {
            return Err(OpenError::NoSchema { place: location.to_string() });
        }
        let plan = schema::plan(&found, schema::HEAD)
            .map_err(|refusal| refusal.of(&location.to_string()))?;
        database.apply(plan).await?;
        let packet = database.packet().await?;
        database.close().await;
        let options = Options {
            connect_timeout: location.connect_timeout.unwrap_or(options.connect_timeout),
            ..options.clone()
        };
        let pool = Pool::new(connect_options(location), setup(options.wait), &options);
        Ok(Self { pool, wait: options.wait, packet })
    }
}

impl Database {
    pub(crate) async fn connect(location: &MySql, options: &Options) -> Result<Self, OpenError> {
        let place = location.to_string();
        let failed = |source| OpenError::Failed { place: place.clone(), source };
        let limit = location.connect_timeout.unwrap_or(options.connect_timeout);
        let connecting = async {
            let mut connection = connect_options(location).connect().await?;
            connection.execute(sqlx::raw_sql(sqlx::AssertSqlSafe(setup(options.wait)))).await?;
            Ok(connection)
        };
        match timeout(limit, connecting).await {
            Ok(Ok(connection)) => Ok(Self { connection, place, wait: options.wait }),
            // Waiting does not help here.
            Ok(Err(error)) if is_refusal(&error) => {
                Err(failed(Error::Unexpected { reason: error.to_string() }))
            }
            Ok(Err(error)) => Err(failed(sort(error).1)),
            Err(_) => Err(failed(Error::Unavailable {
                reason: format!("the server does not answer within {limit:?}"),
            })),
        }
    }

    pub(crate) async fn found(&mut self) -> Result<Found, OpenError> {
        let wait = self.wait;
        let looking = async {
            let connection = &mut self.connection;
            let tables: Vec<String> = sqlx::query_scalar(
                "SELECT table_name FROM information_schema.tables \
                 WHERE table_schema = DATABASE() ORDER BY table_name",
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
        };
        let outcome = timeout(wait, looking).await;
        self.judge(outcome)
    }

    /// The largest packet that the server takes.
    async fn packet(&mut self) -> Result<usize, OpenError> {
        let asking = async {
            sqlx::query_scalar("SELECT CAST(@@max_allowed_packet AS SIGNED)")
                .fetch_one(&mut self.connection)
                .await
        };
        let outcome: Result<sqlx::Result<i64>, _> = timeout(self.wait, asking).await;
        Ok(usize::try_from(self.judge(outcome)?).unwrap_or(usize::MAX))
    }

    /// Takes the steps of a plan.
    pub(crate) async fn apply(&mut self, plan: Plan) -> Result<(), OpenError> {
        if plan.steps.is_empty() {
            return Ok(());
        }
        let connection = &mut self.connection;
        let applying = async {
            connection.execute(sqlx::raw_sql(schema::CREATE_VERSION_TABLE)).await?;
            for step in plan.steps {
                if let Some(sql) = STEPS.get(step.index).filter(|_| !step.adopted) {
                    connection.execute(sqlx::raw_sql(*sql)).await?;
                }
                record(connection, &step).await?;
            }
            Ok(())
        };
        let outcome = timeout(CHANGE, applying).await;
        self.judge(outcome)
    }

    /// Records what the database is said to be.
    pub(crate) async fn stamp(&mut self, stamp: Stamp) -> Result<(), OpenError> {
        let connection = &mut self.connection;
        let stamping = async {
            connection.execute(sqlx::raw_sql(schema::CREATE_VERSION_TABLE)).await?;
            connection.execute(sqlx::raw_sql(schema::CREATE_ORIGINAL_TABLE)).await?;
            let mut tx = connection.begin().await?;
            tx.execute(sqlx::raw_sql("DELETE FROM congress_schema")).await?;
            tx.execute(sqlx::raw_sql("DELETE FROM alembic_version")).await?;
            sqlx::query("INSERT INTO alembic_version (version_num) VALUES (?)")
                .bind(stamp.original)
                .execute(&mut *tx)
                .await?;
            for step in stamp.steps.steps {
                record(&mut tx, &step).await?;
            }
            tx.commit().await
        };
        let outcome = timeout(self.wait, stamping).await;
        self.judge(outcome)
    }

    pub(crate) async fn close(self) {
        let _ = timeout(self.wait, self.connection.close()).await;
    }

    fn judge<T>(
        &self,
        outcome: Result<sqlx::Result<T>, tokio::time::error::Elapsed>,
    ) -> Result<T, OpenError> {
        let place = self.place.clone();
        match outcome {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) if matches!(number(&error), Some(DENIED | NO_TABLE)) => {
                Err(OpenError::Denied { place, reason: error.to_string() })
            }
            Ok(Err(error)) => Err(OpenError::Failed { place, source: sort(error).1 }),
            Err(_) => {
                let reason = "the server does not answer in time".into();
                Err(OpenError::Failed { place, source: Error::Unavailable { reason } })
            }
        }
    }
}

async fn record(connection: &mut MySqlConnection, step: &Step) -> sqlx::Result<()> {
    // Another process may have taken the step at the same time.
    sqlx::query("INSERT IGNORE INTO congress_schema (version, name, applied_at) VALUES (?, ?, ?)")
        .bind(step.version())
        .bind(step.name())
        .bind(time_text(OffsetDateTime::now_utc()))
        .execute(connection)
        .await?;
    Ok(())
}

fn connect_options(location: &MySql) -> MySqlConnectOptions {
    let mut options = MySqlConnectOptions::new()
        .host(&location.host)
        .port(location.port)
        .username(&location.user)
        .password(&location.password.0)
        .database(&location.database)
        .charset("utf8mb4")
        // Replaced as a whole: see `setup`.
        .pipes_as_concat(false)
        .no_engine_substitution(false)
        .timezone(Some("+00:00".to_owned()))
        .ssl_mode(match location.tls.mode {
            TlsMode::Disabled => MySqlSslMode::Disabled,
            TlsMode::Preferred => MySqlSslMode::Preferred,
            TlsMode::Required => MySqlSslMode::Required,
            TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
            TlsMode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
        })
        .disable_statement_logging();
    if let Some(socket) = &location.socket {
        options = options.socket(socket).ssl_mode(MySqlSslMode::Disabled);
    }
    if let Some(ca) = &location.tls.ca {
        options = options.ssl_ca(ca);
    }
    if let Some(cert) = &location.tls.cert {
        options = options.ssl_client_cert(cert);
    }
    if let Some(key) = &location.tls.key {
        options = options.ssl_client_key(key);
    }
    options
}

/// What a session runs first, whatever the server's defaults are. TRADITIONAL, as the original has
/// it: values that do not fit are refused, not cut.
fn setup(wait: Duration) -> String {
    let seconds = wait.as_secs().max(1);
    format!(
        "SET SESSION sql_mode = 'TRADITIONAL', SESSION autocommit = 1, \
         SESSION innodb_lock_wait_timeout = {seconds}, SESSION lock_wait_timeout = {seconds}; \
         SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
    )
}
