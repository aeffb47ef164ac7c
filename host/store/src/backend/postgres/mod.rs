//! PostgreSQL. Every statement is prepared.

mod errors;

use std::time::Duration;

use sqlx::postgres::{PgArguments, PgConnectOptions, PgConnection, PgSslMode};
use sqlx::query::Query;
use sqlx::{Arguments as _, AssertSqlSafe, ConnectOptions as _, Connection as _, Executor as _};
use time::PrimitiveDateTime;

use super::remote::System;
use super::{Arg, Row, Sql, bind};
use crate::attempts::Cause;
use crate::location::{Server, TlsMode};
use crate::{Error, schema};

/// The system.
#[derive(Debug)]
pub(crate) enum Postgres {}

impl System for Postgres {
    type Connection = PgConnection;
    type Connect = PgConnectOptions;

    // A writer takes the lock of a row first (`advance`). In READ COMMITTED it then sees what the
    // one before it has committed; with one picture for all reads, made when the transaction began,
    // it would have to fail and begin again.
    const BEGIN_WRITE: &'static str = "BEGIN ISOLATION LEVEL READ COMMITTED";
    const BEGIN_READ: &'static str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";
    const CLOCK: &'static str =
        "CAST(FLOOR(EXTRACT(EPOCH FROM statement_timestamp()) * 1000) AS BIGINT)";
    const PACKET: &'static str = "a message to the server may be";

    const TABLES: &'static str = "SELECT tablename::text FROM pg_catalog.pg_tables \
         WHERE schemaname = current_schema() ORDER BY tablename";
    const STEPS: [&'static str; schema::STEPS.len()] = [
        include_str!("../../../migrations/postgresql/0001_ussuri.sql"),
        include_str!("../../../migrations/postgresql/0002_congress.sql"),
        include_str!("../../../migrations/postgresql/0003_high_availability.sql"),
    ];
    const CREATE_VERSION_TABLE: &'static str = "CREATE TABLE IF NOT EXISTS congress_schema \
         (version BIGINT NOT NULL PRIMARY KEY, name VARCHAR(255) NOT NULL, \
         applied_at TIMESTAMP NOT NULL)";
    const RECORD_STEP: &'static str = "INSERT INTO congress_schema (version, name, applied_at) \
         VALUES (?, ?, ?) ON CONFLICT DO NOTHING";
    // Nodes that start together would make the same tables at once. The number is anyone's guess.
    const CHANGE: Option<[&'static str; 2]> =
        Some(["BEGIN; SELECT pg_advisory_xact_lock(7163391170)", "COMMIT"]);

    fn connect_options(server: &Server) -> PgConnectOptions {
        let mut options = PgConnectOptions::new_without_pgpass()
            .host(&server.host)
            .port(server.port)
            .username(&server.user)
            .password(&server.password.0)
            .database(&server.database)
            .application_name("congress")
            .ssl_mode(match server.tls.mode {
                TlsMode::Disabled => PgSslMode::Disable,
                TlsMode::Preferred => PgSslMode::Prefer,
                TlsMode::Required => PgSslMode::Require,
                TlsMode::VerifyCa => PgSslMode::VerifyCa,
                TlsMode::VerifyIdentity => PgSslMode::VerifyFull,
            })
            .disable_statement_logging();
        if let Some(socket) = &server.socket {
            options = options.socket(socket).ssl_mode(PgSslMode::Disable);
        }
        if let Some(ca) = &server.tls.ca {
            options = options.ssl_root_cert(ca);
        }
        if let Some(cert) = &server.tls.cert {
            options = options.ssl_client_cert(cert);
        }
        if let Some(key) = &server.tls.key {
            options = options.ssl_client_key(key);
        }
        options
    }

    /// A host that died in the middle of a transaction keeps nobody waiting for its locks.
    fn setup(wait: Duration) -> String {
        let millis = wait.as_millis().max(1);
        format!(
            "SET lock_timeout = {millis}; SET idle_in_transaction_session_timeout = {millis}; \
             SET standard_conforming_strings = on; SET timezone = 'UTC'"
        )
    }

    async fn connect(options: &PgConnectOptions, setup: &str) -> sqlx::Result<PgConnection> {
        let mut connection = options.connect().await?;
        connection.execute(sqlx::raw_sql(AssertSqlSafe(setup.to_owned()))).await?;
        Ok(connection)
    }

    async fn ping(connection: &mut PgConnection) -> sqlx::Result<()> {
        connection.ping().await
    }

    async fn close(connection: PgConnection) -> sqlx::Result<()> {
        connection.close().await
    }

    /// It takes messages of a gibibyte, and nothing says so but the server's source.
    async fn packet(_: &mut PgConnection) -> sqlx::Result<usize> {
        Ok((1 << 30) - (1 << 20))
    }

    async fn run(connection: &mut PgConnection, sql: &'static str) -> sqlx::Result<()> {
        connection.execute(sqlx::raw_sql(sql)).await?;
        Ok(())
    }

    async fn execute(
        connection: &mut PgConnection,
        sql: Sql,
        args: &[Arg<'_>],
    ) -> sqlx::Result<u64> {
        Ok(query(sql, args)?.execute(connection).await?.rows_affected())
    }

    async fn rows(
        connection: &mut PgConnection,
        sql: Sql,
        args: &[Arg<'_>],
    ) -> sqlx::Result<Vec<Row>> {
        let rows = query(sql, args)?.fetch_all(connection).await?;
        Ok(rows.into_iter().map(Row::Postgres).collect())
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
        errors::is_denied(error)
    }
}

fn query(sql: Sql, args: &[Arg<'_>]) -> sqlx::Result<Query<'static, sqlx::Postgres, PgArguments>> {
    let bound = bind(args, |bound: &mut PgArguments, time| {
        bound.add(PrimitiveDateTime::new(time.date(), time.time()))
    })?;
    // Those that are made for one call have many variants, not worth being kept prepared.
    let keep = matches!(sql, Sql::Borrowed(_));
    Ok(sqlx::query_with(AssertSqlSafe(numbered(&sql)), bound).persistent(keep))
}

/// The text with `$1`, `$2`, … in place of each `?`. No text of ours has one in quotes.
fn numbered(sql: &str) -> String {
    let mut numbered = String::with_capacity(sql.len() + 16);
    for (number, piece) in sql.split('?').enumerate() {
        if number > 0 {
            numbered.push('$');
            numbered.push_str(&number.to_string());
        }
        numbered.push_str(piece);
    }
    numbered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_numbered() {
        assert_eq!(numbered("SELECT 1"), "SELECT 1");
        assert_eq!(numbered("a = ? AND (b = ?)"), "a = $1 AND (b = $2)");
        let many = "?, ".repeat(12);
        assert!(numbered(&many).ends_with("$11, $12, "));
    }
}
