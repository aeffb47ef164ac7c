//! What errors of a MySQL server mean.

use sqlx::mysql::MySqlDatabaseError;

use crate::Error;
use crate::attempts::Cause;

// Numbers of errors, <https://mariadb.com/docs/server/reference/error-codes>.
const DUPLICATE: u16 = 1062;

const RECORD_CHANGED: u16 = 1020;
const LOCK_WAIT: u16 = 1205;
const DEADLOCK: u16 = 1213;
const REPREPARE: u16 = 1615;

const TOO_MANY_CONNECTIONS: u16 = 1040;
const TOO_MANY_OF_USER: u16 = 1203;
const TOO_MANY_OF_USER_LIMIT: u16 = 1226;
const HOST_BLOCKED: u16 = 1129;
const SHUTTING_DOWN: u16 = 1053;
const KILLED: u16 = 1317;
const CONNECTION_KILLED: u16 = 1927;
const NOT_PREPARED: u16 = 1047;
const OPTION_PREVENTS: u16 = 1290;
const READ_ONLY_TRANSACTION: u16 = 1792;
const READ_ONLY_MODE: u16 = 1836;
const DISK_FULL: u16 = 1021;
const TABLE_FULL: u16 = 1114;

const ACCESS_DENIED_DATABASE: u16 = 1044;
const ACCESS_DENIED: u16 = 1045;
const UNKNOWN_DATABASE: u16 = 1049;
pub(super) const DENIED: u16 = 1142;
pub(super) const NO_TABLE: u16 = 1146;

const DATA_TOO_LONG: u16 = 1406;
const WRONG_STRING: u16 = 1366;
const PACKET_TOO_LARGE: u16 = 1153;

/// The number of an error, if the server made it.
pub(super) fn number(error: &sqlx::Error) -> Option<u16> {
    let error = error.as_database_error()?.try_downcast_ref::<MySqlDatabaseError>()?;
    Some(error.number())
}

/// Whether a unique value is taken.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    number(error) == Some(DUPLICATE)
}

/// Whether the server knows neither user nor database: an error of the configuration, when a
/// database is opened.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(number(error), Some(ACCESS_DENIED | ACCESS_DENIED_DATABASE | UNKNOWN_DATABASE))
}

/// Sorts an error: whether trying again helps, and what to say.
pub(super) fn sort(error: sqlx::Error) -> (Cause, Error) {
    // What the server says has names of columns and tables, sometimes a value that it refused;
    // never credentials.
    let reason = error.to_string();
    let unavailable = |reason: &str| Error::Unavailable { reason: reason.into() };
    let Some(number) = number(&error) else {
        return match error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => {
                (Cause::Lost, unavailable(&format!("the connection failed: {reason}")))
            }
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                (Cause::Lost, unavailable(&reason))
            }
            _ => (Cause::Final, Error::Unexpected { reason }),
        };
    };
    match number {
        DEADLOCK | RECORD_CHANGED | REPREPARE => (Cause::Collision, unavailable(&reason)),
        LOCK_WAIT => (
            Cause::Final,
            unavailable(&format!("another session keeps rows of it locked: {reason}")),
        ),
        TOO_MANY_CONNECTIONS | TOO_MANY_OF_USER | TOO_MANY_OF_USER_LIMIT | HOST_BLOCKED => {
            (Cause::Final, unavailable(&format!("it takes no more connections: {reason}")))
        }
        SHUTTING_DOWN | KILLED | CONNECTION_KILLED => (Cause::Lost, unavailable(&reason)),
        // The next connection may lead to another node.
        NOT_PREPARED => (
            Cause::Lost,
            unavailable(&format!("its node is not ready, or apart from its cluster: {reason}")),
        ),
        OPTION_PREVENTS | READ_ONLY_TRANSACTION | READ_ONLY_MODE => {
            (Cause::Lost, unavailable(&format!("its server is read-only: {reason}")))
        }
        DISK_FULL | TABLE_FULL => (Cause::Final, unavailable(&reason)),
        ACCESS_DENIED | ACCESS_DENIED_DATABASE | UNKNOWN_DATABASE => {
            (Cause::Final, unavailable(&reason))
        }
        DATA_TOO_LONG | WRONG_STRING | PACKET_TOO_LARGE => {
            (Cause::Final, Error::Unfit { reason: unfit(number, &reason) })
        }
        _ => (Cause::Final, Error::Unexpected { reason }),
    }
}

/// Why a value cannot be stored. Without the value, which the server may have put into its text.
fn unfit(number: u16, reason: &str) -> String {
    match number {
        PACKET_TOO_LARGE => "it is larger than the server's max_allowed_packet".into(),
        _ => {
            let column = reason.split_once("for column ").map_or("", |(_, after)| after);
            let column = column.split(" at row").next().unwrap_or_default();
            let why = match number {
                DATA_TOO_LONG => "it is too long",
                _ => "the column's character set cannot hold it (it is not utf8mb4)",
            };
            format!("{why}, for column {column}")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_values_are_not_shown() {
        let shown = unfit(
            WRONG_STRING,
            "1366: Incorrect string value: '\\xF0' for column `c`.`policies`.`description` at row 1",
        );
        assert_eq!(
            shown,
            "the column's character set cannot hold it (it is not utf8mb4), for column \
             `c`.`policies`.`description`"
        );
        assert_eq!(
            unfit(DATA_TOO_LONG, "Data too long for column 'rule' at row 1"),
            "it is too long, for column 'rule'"
        );
    }
}
