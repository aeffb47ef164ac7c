//! The database URL: `dialect[+driver]://user:password@host[:port]/db[?k=v&…]`.

use congress_store::Location;

/// The database that a URL means; or what is wrong, to end a sentence about the option.
pub(super) fn location(url: &str) -> Result<Location, String> {
    let (scheme, rest) = url
        .split_once("://")
        .ok_or("is no database URL; an example is sqlite:////var/lib/congress/congress.sqlite")?;
    // The Python driver after the plus sign makes no difference here.
    let dialect = scheme.split('+').next().unwrap_or_default();
    match dialect {
        "sqlite" => sqlite(rest),
        "mysql" | "mariadb" | "postgresql" | "postgres" => Err(format!(
            "names a {dialect} database, but this version has SQLite only, as \
             sqlite:////var/lib/congress/congress.sqlite"
        )),
        _ => Err(format!("names a database system '{dialect}' that is not known")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sqlite_urls() {
        assert_eq!(location("sqlite://"), Ok(Location::SqliteMemory));
        assert_eq!(location("sqlite:///:memory:"), Ok(Location::SqliteMemory));
        assert_eq!(location("sqlite:///rel.db"), Ok(Location::SqliteFile("rel.db".into())));
        assert_eq!(location("sqlite:////abs/x.db"), Ok(Location::SqliteFile("/abs/x.db".into())));
        assert_eq!(location("sqlite+pysqlite:////a b"), Ok(Location::SqliteFile("/a b".into())));
        assert!(location("sqlite://x.db").unwrap_err().contains("three slashes"));
        assert!(location("sqlite:///x.db?mode=ro").is_err());
    }

    #[test]
    fn other_systems_are_judged_by_what_stands_before_the_plus_sign() {
        for (scheme, dialect) in [
            ("mysql", "mysql"),
            ("mysql+pymysql", "mysql"),
            ("mysql+mysqldb", "mysql"),
            ("mysql+mysqlconnector", "mysql"),
            ("mariadb+pymysql", "mariadb"),
            ("postgresql", "postgresql"),
            ("postgresql+psycopg2", "postgresql"),
            ("postgres", "postgres"),
        ] {
            let error = location(&format!("{scheme}://u:secret@h/db")).unwrap_err();
            assert!(error.starts_with(&format!("names a {dialect} database")), "{error}");
            assert!(!error.contains("secret"));
        }
        assert!(location("oracle://u:secret@h/db").unwrap_err().contains("'oracle'"));
        assert!(location("congress.sqlite").unwrap_err().contains("no database URL"));
    }
}
