//! Where a database is: what its URL says.

mod mysql;
mod postgres;
mod server;

use std::fmt;
use std::path::PathBuf;

pub use self::server::{Password, Server, Tls, TlsMode};

use percent_encoding::percent_decode_str;

/// Where a database is.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Location {
    /// In memory, gone with the [`crate::Store`].
    SqliteMemory,
    /// A file, made if it is missing. Its folder must exist.
    SqliteFile(PathBuf),
    /// A database of a MySQL or MariaDB server, a Galera cluster included.
    MySql(Box<Server>),
    /// A database of a PostgreSQL server.
    Postgres(Box<Server>),
}

impl fmt::Display for Location {
    /// Everything but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SqliteMemory => f.write_str("in memory"),
            Self::SqliteFile(path) => path.display().fmt(f),
            Self::MySql(server) | Self::Postgres(server) => server.fmt(f),
        }
    }
}

impl Location {
    /// The database that a URL means, `dialect[+driver]://user:password@host[:port]/db[?k=v&…]`,
    /// as the original's configuration has it, and what of it is ignored. Otherwise what is wrong
    /// with it, to end a sentence about the option; neither shows a password.
    pub fn parse(url: &str) -> Result<(Self, Vec<String>), String> {
        let (scheme, rest) = url.split_once("://").ok_or(
            "is no database URL; an example is sqlite:////var/lib/congress/congress.sqlite",
        )?;
        // The Python driver after the plus sign makes no difference here.
        let dialect = scheme.split('+').next().unwrap_or_default();
        match dialect {
            "sqlite" => Ok((sqlite(rest)?, Vec::new())),
            "mysql" | "mariadb" => mysql::parse(rest),
            "postgresql" | "postgres" => postgres::parse(rest),
            _ => Err(format!("names a database system '{dialect}' that is not known")),
        }
    }
}

fn sqlite(rest: &str) -> Result<Location, String> {
    match rest.strip_prefix('/') {
        // As the original's library has it, both forms without a path.
        None if rest.is_empty() => Ok(Location::SqliteMemory),
        Some("" | ":memory:") => Ok(Location::SqliteMemory),
        Some(path) if path.contains('?') => {
            Err("has options after '?', of which SQLite has none here".into())
        }
        Some(path) => Ok(Location::SqliteFile(path.into())),
        None => Err("names a host; a path has three slashes if it is relative \
                     (sqlite:///congress.sqlite), four if absolute"
            .into()),
    }
}

fn decode(text: &str) -> Result<String, String> {
    // A plus sign stays one: passwords were never forms.
    match percent_decode_str(text).decode_utf8() {
        Ok(text) => Ok(text.into_owned()),
        Err(_) => Err("has escaped bytes (%XX) that are not UTF-8".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sqlite(url: &str) -> Result<Location, String> {
        Location::parse(url).map(|(location, _)| location)
    }

    #[test]
    fn sqlite_urls() {
        assert_eq!(sqlite("sqlite://"), Ok(Location::SqliteMemory));
        assert_eq!(sqlite("sqlite:///:memory:"), Ok(Location::SqliteMemory));
        assert_eq!(sqlite("sqlite:///rel.db"), Ok(Location::SqliteFile("rel.db".into())));
        assert_eq!(sqlite("sqlite:////abs/x.db"), Ok(Location::SqliteFile("/abs/x.db".into())));
        assert_eq!(sqlite("sqlite+pysqlite:////a b"), Ok(Location::SqliteFile("/a b".into())));
        assert!(sqlite("sqlite://x.db").unwrap_err().contains("three slashes"));
        assert!(sqlite("sqlite:///x.db?mode=ro").is_err());
    }

    #[test]
    fn passwords_are_never_shown() {
        let (whole, _) = Location::parse("mysql://u:hunter2@h/d").unwrap();
        assert!(!format!("{whole:?} {whole}").contains("hunter2"));
        for url in [
            "mysql://u:hunter2@h",
            "mysql://u:hunter2@h:x/d",
            "mysql://u:hun/ter2@h:1/d?ssl_mode=x",
            "mysql://u:%ff%fehunter2@h/d",
            "postgresql://u:hunter2@h:x/db",
            "oracle://u:hunter2@h/db",
        ] {
            let error = Location::parse(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Location::parse("oracle://u:p@h/d").unwrap_err().contains("'oracle'"));
        assert!(Location::parse("congress.sqlite").unwrap_err().contains("no database URL"));
    }
}
