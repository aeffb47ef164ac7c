//! What errors of a PostgreSQL server mean.

use crate::Error;
use crate::attempts::Cause;

// Codes, <https://www.postgresql.org/docs/current/errcodes-appendix.html>.
const DUPLICATE: &str = "23505";

const SERIALIZATION: &str = "40001";
const DEADLOCK: &str = "40P01";
const LOCK_WAIT: &str = "55P03";

const TOO_MANY_CONNECTIONS: &str = "53300";
const READ_ONLY: &str = "25006";
const IDLE_IN_TRANSACTION: &str = "25P03";
const CACHED_PLAN: &str = "0A000";
const CANCELED: &str = "57014";

const WRONG_LOGIN: &str = "28000";
const WRONG_PASSWORD: &str = "28P01";
const UNKNOWN_DATABASE: &str = "3D000";
const DENIED: &str = "42501";
const NO_TABLE: &str = "42P01";

const DATA_TOO_LONG: &str = "22001";
const WRONG_CHARACTER: &str = "22021";
const NO_SUCH_CHARACTER: &str = "22P05";
const LIMIT: &str = "54000";

/// The code of an error, if the server made it.
fn code(error: &sqlx::Error) -> Option<String> {
    Some(error.as_database_error()?.code()?.into_owned())
}

/// Whether a unique value is taken.
pub(super) fn is_taken(error: &sqlx::Error) -> bool {
    code(error).as_deref() == Some(DUPLICATE)
}

/// Whether the server knows neither user nor database.
pub(super) fn is_refusal(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some(WRONG_LOGIN | WRONG_PASSWORD | UNKNOWN_DATABASE))
}

/// Whether the user may not look at tables or change them.
pub(super) fn is_denied(error: &sqlx::Error) -> bool {
    matches!(code(error).as_deref(), Some(DENIED | NO_TABLE))
}

/// Sorts an error: whether trying again helps, and what to say.
pub(super) fn sort(error: sqlx::Error) -> (Cause, Error) {
    // The server's first line has names of columns and tables, never credentials; what values it
    // refused it says in another.
    let reason = error.to_string();
    match code(&error) {
        Some(code) => sort_code(&code, &reason),
        None => match error {
            sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_) => (
                Cause::Lost,
                Error::Unavailable { reason: format!("the connection failed: {reason}") },
            ),
            sqlx::Error::PoolTimedOut | sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => {
                (Cause::Lost, Error::Unavailable { reason })
            }
            _ => (Cause::Final, Error::Unexpected { reason }),
        },
    }
}

fn sort_code(code: &str, reason: &str) -> (Cause, Error) {
    let unavailable = |text: String| Error::Unavailable { reason: text };
    let class = code.get(..2).unwrap_or_default();
    match (code, class) {
        (DEADLOCK | SERIALIZATION, _) => (Cause::Collision, unavailable(reason.into())),
        (LOCK_WAIT, _) => (
            Cause::Final,
            unavailable(format!("another session keeps rows of it locked: {reason}")),
        ),
        (TOO_MANY_CONNECTIONS, _) => {
            (Cause::Final, unavailable(format!("it takes no more connections: {reason}")))
        }
        // The next connection may lead to another node.
        (READ_ONLY, _) => (Cause::Lost, unavailable(format!("its server is read-only: {reason}"))),
        // Tables were changed under a prepared statement: a new connection prepares it anew.
        (CACHED_PLAN, _) if reason.contains("cached plan") => {
            (Cause::Lost, unavailable(reason.into()))
        }
        (WRONG_LOGIN | WRONG_PASSWORD | UNKNOWN_DATABASE | CANCELED, _) => {
            (Cause::Final, unavailable(reason.into()))
        }
        // Connections that failed; a server that stops, starts, or ended the session.
        (IDLE_IN_TRANSACTION, _) | (_, "08" | "57") => (Cause::Lost, unavailable(reason.into())),
        // Full disks, too little memory, failing files.
        (_, "53" | "58") => (Cause::Final, unavailable(reason.into())),
        (DATA_TOO_LONG | WRONG_CHARACTER | NO_SUCH_CHARACTER | LIMIT, _) => {
            (Cause::Final, Error::Unfit { reason: unfit(code, reason) })
        }
        _ => (Cause::Final, Error::Unexpected { reason: reason.into() }),
    }
}

/// Why a value cannot be stored. The server's text names the type or the byte, never the value.
fn unfit(code: &str, reason: &str) -> String {
    match code {
        WRONG_CHARACTER => format!("it has a character that no text may have (NUL): {reason}"),
        NO_SUCH_CHARACTER => {
            format!("the database's encoding cannot hold it (it is not UTF8): {reason}")
        }
        _ => reason.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cause(code: &str) -> (Cause, bool) {
        let (cause, error) = sort_code(code, "the server says so");
        (cause, matches!(error, Error::Unavailable { .. }))
    }

    #[test]
    fn what_is_tried_again() {
        for code in ["40001", "40P01"] {
            assert_eq!(cause(code), (Cause::Collision, true), "{code}");
        }
        for code in ["25006", "25P03", "08006", "57P01", "57P02", "57P03"] {
            assert_eq!(cause(code), (Cause::Lost, true), "{code}");
        }
        for code in ["55P03", "53300", "53100", "58030", "57014", "28P01", "3D000"] {
            assert_eq!(cause(code), (Cause::Final, true), "{code}");
        }
        assert!(matches!(sort_code("22001", "x"), (Cause::Final, Error::Unfit { .. })));
        assert!(matches!(sort_code("42703", "x"), (Cause::Final, Error::Unexpected { .. })));
    }
}
