//! MySQL and MariaDB, Galera clusters included. Every statement is prepared.

mod errors;

use std::time::Duration;

use sqlx::mysql::{MySqlArguments, MySqlConnectOptions, MySqlConnection, MySqlSslMode};
use sqlx::query::Query;
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;

use super::remote::System;
use super::{Arg, Row, Sql, bind};
use crate::attempts::Cause;
use crate::location::{Server, TlsMode};
use crate::{Error, schema};

/// As a literal of a time, in UTC like the session.
const TIME: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day] [hour]:[minute]:[second].[subsecond digits:6]");

/// The system.
#[derive(Debug)]
pub(crate) enum MySql {}

impl System for MySql {
    type Connection = MySqlConnection;
    type Connect = MySqlConnectOptions;

    // The isolation is REPEATABLE READ: all reads of a transaction see one state, which is taken at
    // the first of them.
    const BEGIN_WRITE: &'static str = "START TRANSACTION";
    const BEGIN_READ: &'static str = "START TRANSACTION READ ONLY";
    // The session's time zone is UTC: others have an hour that comes twice.
    const CLOCK: &'static str = "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED)";
    const PACKET: &'static str = "the server's max_allowed_packet";

    const TABLES: &'static str = "SELECT table_name FROM information_schema.tables \
         WHERE table_schema = DATABASE() ORDER BY table_name";
    const STEPS: [&'static str; schema::STEPS.len()] = [
        include_str!("../../../migrations/mysql/0001_ussuri.sql"),
        include_str!("../../../migrations/mysql/0002_congress.sql"),
        include_str!("../../../migrations/mysql/0003_high_availability.sql"),
    ];
    const CREATE_VERSION_TABLE: &'static str = schema::CREATE_VERSION_TABLE;
    const RECORD_STEP: &'static str =
        "INSERT IGNORE INTO congress_schema (version, name, applied_at) VALUES (?, ?, ?)";
    // Every change of a table ends the transaction.
    const CHANGE: Option<[&'static str; 2]> = None;

    fn connect_options(server: &Server) -> MySqlConnectOptions {
        let mut options = MySqlConnectOptions::new()
            .host(&server.host)
            .port(server.port)
            .username(&server.user)
            .password(&server.password.0)
            .database(&server.database)
            .charset("utf8mb4")
            // Replaced as a whole: see `setup`.
            .pipes_as_concat(false)
            .no_engine_substitution(false)
            .timezone(Some("+00:00".to_owned()))
            .ssl_mode(match server.tls.mode {
                TlsMode::Disabled => MySqlSslMode::Disabled,
                TlsMode::Preferred => MySqlSslMode::Preferred,
                TlsMode::Required => MySqlSslMode::Required,
                TlsMode::VerifyCa => MySqlSslMode::VerifyCa,
                TlsMode::VerifyIdentity => MySqlSslMode::VerifyIdentity,
            })
            .disable_statement_logging();
        if let Some(socket) = &server.socket {
            options = options.socket(socket).ssl_mode(MySqlSslMode::Disabled);
        }
        if let Some(ca) = &server.tls.ca {
            options = options.ssl_ca(ca);
        }
        if let Some(cert) = &server.tls.cert {
            options = options.ssl_client_cert(cert);
        }
        if let Some(key) = &server.tls.key {
            options = options.ssl_client_key(key);
        }
        options
    }

    /// Whatever the server's defaults are. TRADITIONAL, as the original has it: values that do not
    /// fit are refused, not cut.
    fn setup(wait: Duration) -> String {
        let seconds = wait.as_secs().max(1);
        format!(
            "SET SESSION sql_mode = 'TRADITIONAL', SESSION autocommit = 1, \
             SESSION innodb_lock_wait_timeout = {seconds}, SESSION lock_wait_timeout = {seconds}; \
             SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"
        )
    }

    async fn connect(options: &MySqlConnectOptions, setup: &str) -> sqlx::Result<MySqlConnection> {
        let mut connection = options.connect().await?;
        connection.execute(sqlx::raw_sql(AssertSqlSafe(setup.to_owned()))).await?;
        Ok(connection)
    }

    async fn ping(connection: &mut MySqlConnection) -> sqlx::Result<()> {
        connection.ping().await
    }

    async fn close(connection: MySqlConnection) -> sqlx::Result<()> {
        connection.close().await
    }

    async fn packet(connection: &mut MySqlConnection) -> sqlx::Result<usize> {
        const PACKET: &str = "SELECT CAST(@@max_allowed_packet AS SIGNED)";
        let packet: i64 = sqlx::query_scalar(PACKET).fetch_one(connection).await?;
        Ok(usize::try_from(packet).unwrap_or(usize::MAX))
    }

    async fn run(connection: &mut MySqlConnection, sql: &'static str) -> sqlx::Result<()> {
        connection.execute(sqlx::raw_sql(sql)).await?;
        Ok(())
    }

    async fn execute(
        connection: &mut MySqlConnection,
        sql: Sql,
        args: &[Arg<'_>],
    ) -> sqlx::Result<u64> {
        Ok(query(sql, args)?.execute(connection).await?.rows_affected())
    }

    async fn rows(
        connection: &mut MySqlConnection,
        sql: Sql,
        args: &[Arg<'_>],
    ) -> sqlx::Result<Vec<Row>> {
        let rows = query(sql, args)?.fetch_all(connection).await?;
        Ok(rows.into_iter().map(Row::MySql).collect())
    }

    fn sort(error: sqlx::Error) -> (Cause, Error) {
        errors::sort(error)
    }

    fn is_taken(error: &sqlx::Error) -> bool {
        errors::is_taken(error)
    }

    fn is_refusal(error: &sqlx::Error) -> bool {
        errors::is_refusal(error)
    }

    fn is_denied(error: &sqlx::Error) -> bool {
        matches!(errors::number(error), Some(errors::DENIED | errors::NO_TABLE))
    }
}

fn query(sql: Sql, args: &[Arg<'_>]) -> sqlx::Result<Query<'static, sqlx::MySql, MySqlArguments>> {
    // Formatting fails only for years beyond 9999.
    let bound = bind(args, |bound: &mut MySqlArguments, time| {
        bound.add(time.format(TIME).unwrap_or_default())
    })?;
    Ok(match sql {
        Sql::Borrowed(sql) => sqlx::query_with(sql, bound),
        // Of those there are many variants: they are not worth being kept prepared.
        Sql::Owned(sql) => sqlx::query_with(AssertSqlSafe(sql), bound).persistent(false),
    })
}
