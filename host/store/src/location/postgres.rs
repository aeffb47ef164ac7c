//! URLs of PostgreSQL, with the options of its own client library.

use std::path::Path;

use super::server::{Server, TlsMode};
use super::{Location, decode};

const EXAMPLE: &str = "postgresql+psycopg2://congress:password@controller/congress";

/// The database that a URL means, after its `://`, and what of it is ignored.
pub(super) fn parse(rest: &str) -> Result<(Location, Vec<String>), String> {
    let (mut server, options) = Server::split(rest, "PostgreSQL", 5432, EXAMPLE)?;
    let mut ignored = Vec::new();
    for (name, value) in options {
        if !option(&mut server, name, &decode(value)?)? {
            ignored.push(format!("has an option '{name}' that has no effect here"));
        }
    }
    Ok((Location::Postgres(Box::new(server)), ignored))
}

/// Takes one option in; false if it is not known.
fn option(server: &mut Server, name: &str, value: &str) -> Result<bool, String> {
    let tls = &mut server.tls;
    match name {
        // Connections always talk UTF-8, have a name, and look for a server that can be written to.
        "client_encoding" | "application_name" | "fallback_application_name" => {}
        "target_session_attrs" if value != "read-only" && value != "standby" => {}
        "connect_timeout" => server.set_connect_timeout(value)?,
        // A path is the folder of a socket.
        "host" if Path::new(value).is_absolute() => server.socket = Some(value.into()),
        "host" if !value.contains([',', ':']) => server.host = value.to_owned(),
        "port" => {
            server.port = value.parse().map_err(|_| "has a port that is no number (0-65535)")?;
        }
        "sslmode" => {
            tls.mode = match value {
                "disable" => TlsMode::Disabled,
                "allow" | "prefer" => TlsMode::Preferred,
                "require" => TlsMode::Required,
                "verify-ca" => TlsMode::VerifyCa,
                "verify-full" => TlsMode::VerifyIdentity,
                _ => return Err(format!("has an sslmode '{value}' that is not known")),
            };
        }
        "sslrootcert" => tls.ca = Some(value.into()),
        "sslcert" => tls.cert = Some(value.into()),
        "sslkey" => tls.key = Some(value.into()),
        _ => return Ok(false),
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn postgres(url: &str) -> Server {
        match Location::parse(url).unwrap() {
            (Location::Postgres(server), ignored) if ignored.is_empty() => *server,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn urls_as_operators_have_them() {
        let plain = postgres("postgresql+psycopg2://congress:p%40w@controller/congress");
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.user.as_str(), plain.database.as_str()),
            ("controller", 5432, "congress", "congress")
        );
        assert_eq!(plain.password.0, "p@w");
        assert_eq!(plain.to_string(), "'congress' of the PostgreSQL server controller:5432");
        for scheme in ["postgresql", "postgres", "postgresql+asyncpg"] {
            assert_eq!(postgres(&format!("{scheme}://congress:p%40w@controller/congress")), plain);
        }
        let local = postgres("postgresql://u@/d?host=/run/postgresql&port=5433");
        assert_eq!((local.socket, local.port), (Some("/run/postgresql".into()), 5433));
        let other = postgres("postgresql://u@[::1]:5434/d?connect_timeout=5&host=db");
        assert_eq!((other.host.as_str(), other.port), ("db", 5434));
        assert_eq!(other.connect_timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_checked_of_a_certificate() {
        let mode = |options: &str| postgres(&format!("postgresql://u:p@h/d?{options}")).tls.mode;
        assert_eq!(mode("client_encoding=utf8"), TlsMode::Preferred);
        assert_eq!(mode("sslmode=disable"), TlsMode::Disabled);
        assert_eq!(mode("sslmode=require"), TlsMode::Required);
        assert_eq!(mode("sslmode=verify-ca&sslrootcert=/ca.pem"), TlsMode::VerifyCa);
        assert_eq!(mode("sslmode=verify-full"), TlsMode::VerifyIdentity);
        let files = postgres("postgresql://h/d?sslcert=/c.pem&sslkey=/k.pem").tls;
        assert_eq!((files.cert, files.key), (Some("/c.pem".into()), Some("/k.pem".into())));
    }

    #[test]
    fn what_is_wrong_or_without_effect() {
        for (url, text) in [
            ("postgresql://u:hunter2@h", "names no database"),
            ("postgresql://u:hunter2@h/d?sslmode=maybe", "'maybe'"),
            ("postgresql://u:hunter2@h/d?port=x", "port"),
        ] {
            let error = Location::parse(url).unwrap_err();
            assert!(error.contains(text) && !error.contains("hunter2"), "{error}");
        }
        let (_, ignored) = Location::parse("postgresql://h/d?host=a,b&keepalives=1").unwrap();
        assert_eq!(ignored.len(), 2, "{ignored:?}");
    }
}
