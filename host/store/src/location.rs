//! Where a database is: what its URL says.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

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
    MySql(Box<MySql>),
}

/// A database of a MySQL or MariaDB server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MySql {
    /// Name or address of the server.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// A socket to use instead.
    pub socket: Option<PathBuf>,
    /// Whom to log in as.
    pub user: String,
    /// With which password.
    pub password: Password,
    /// The database's name.
    pub database: String,
    /// Encryption of the connection.
    pub tls: Tls,
    /// How long a connection may take to come up, if the URL says so.
    pub connect_timeout: Option<Duration>,
}

impl fmt::Display for MySql {
    /// Everything but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.socket {
            Some(socket) => {
                write!(f, "'{}' of the MySQL server at {}", self.database, socket.display())
            }
            None => {
                write!(f, "'{}' of the MySQL server {}:{}", self.database, self.host, self.port)
            }
        }
    }
}

/// A password. Its [`fmt::Debug`] does not show it.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Password(pub String);

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<hidden>")
    }
}

/// Encryption of a connection.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tls {
    /// Whether, and what is checked.
    pub mode: TlsMode,
    /// A file of certificates to trust besides the system's.
    pub ca: Option<PathBuf>,
    /// A file with this side's certificate.
    pub cert: Option<PathBuf>,
    /// A file with its key.
    pub key: Option<PathBuf>,
}

/// Whether a connection is encrypted, and what is checked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsMode {
    /// It is not.
    Disabled,
    /// If the server can. Nothing is checked.
    #[default]
    Preferred,
    /// It is. Nothing is checked.
    Required,
    /// It is, and somebody trusted has signed the server's certificate.
    VerifyCa,
    /// As before, and the certificate is for the host's name.
    VerifyIdentity,
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
            "mysql" | "mariadb" => mysql(rest),
            "postgresql" | "postgres" => Err(format!(
                "names a {dialect} database, but this version has MySQL, MariaDB and SQLite only; \
                 an example is mysql+pymysql://congress:password@controller/congress"
            )),
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

/// Splits `[user[:password]@][host[:port]]/database[?options]`.
fn mysql(rest: &str) -> Result<(Location, Vec<String>), String> {
    let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
    // A password that should have been escaped may hold any sign: the last `@` divides.
    let (login, place) = place.rsplit_once('@').unwrap_or(("", place));
    let (user, password) = login.split_once(':').unwrap_or((login, ""));
    let (server, database) = place.split_once('/').unwrap_or((place, ""));
    let database = decode(database)?;
    if database.is_empty() {
        return Err("names no database; an example is \
                    mysql+pymysql://congress:password@controller/congress"
            .into());
    }
    let (host, port) = host_and_port(server)?;
    let mut mysql = MySql {
        host: if host.is_empty() { "localhost".into() } else { decode(host)? },
        port: port.unwrap_or(3306),
        socket: None,
        user: decode(user)?,
        password: Password(decode(password)?),
        database,
        tls: Tls::default(),
        connect_timeout: None,
    };
    let mut ignored = Vec::new();
    for (name, value) in options.split('&').filter_map(|option| option.split_once('=')) {
        if !option(&mut mysql, name, &decode(value)?)? {
            ignored.push(format!("has an option '{name}' that has no effect here"));
        }
    }
    Ok((Location::MySql(Box::new(mysql)), ignored))
}

fn host_and_port(server: &str) -> Result<(&str, Option<u16>), String> {
    let (host, port) = match server.strip_prefix('[') {
        Some(rest) => {
            let (host, after) =
                rest.split_once(']').ok_or("has a '[' without a ']' around its address")?;
            (host, after.strip_prefix(':'))
        }
        None => match server.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (server, None),
        },
    };
    // Not shown: after a password that is not escaped well it may be a part of that.
    let port = port.map(str::parse).transpose().map_err(|_| {
        "has something after its host's ':' that is no port (0-65535); signs like : / @ in a \
         password must be escaped (%3A %2F %40)"
    })?;
    Ok((host, port))
}

/// Takes one option in; false if it is not known.
fn option(mysql: &mut MySql, name: &str, value: &str) -> Result<bool, String> {
    let tls = &mut mysql.tls;
    match name {
        // Connections always talk utf8mb4, which includes utf8 and ASCII; columns stay as they are.
        "charset" | "use_unicode" => {}
        "unix_socket" => mysql.socket = Some(value.into()),
        "connect_timeout" => {
            let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
            let seconds = seconds.ok_or("has a connect_timeout that is no number of seconds")?;
            mysql.connect_timeout = Some(Duration::from_secs(seconds));
        }
        "ssl_ca" => {
            tls.ca = Some(value.into());
            tls.mode = tls.mode.at_least(TlsMode::VerifyCa);
        }
        "ssl_cert" => {
            tls.cert = Some(value.into());
            tls.mode = tls.mode.at_least(TlsMode::Required);
        }
        "ssl_key" => tls.key = Some(value.into()),
        "ssl" if truth(value) == Some(true) => tls.mode = tls.mode.at_least(TlsMode::Required),
        "ssl" if truth(value) == Some(false) => tls.mode = TlsMode::Disabled,
        "ssl_verify_cert" if truth(value) == Some(true) => {
            tls.mode = tls.mode.at_least(TlsMode::VerifyCa);
        }
        "ssl_verify_cert" if truth(value) == Some(false) => tls.mode = TlsMode::Required,
        "ssl_verify_identity" | "ssl_check_hostname" if truth(value) == Some(true) => {
            tls.mode = TlsMode::VerifyIdentity;
        }
        "ssl_verify_identity" | "ssl_check_hostname" if truth(value) == Some(false) => {}
        "ssl_mode" => {
            tls.mode = match value.to_ascii_uppercase().as_str() {
                "DISABLED" => TlsMode::Disabled,
                "PREFERRED" => TlsMode::Preferred,
                "REQUIRED" => TlsMode::Required,
                "VERIFY_CA" => TlsMode::VerifyCa,
                "VERIFY_IDENTITY" => TlsMode::VerifyIdentity,
                _ => return Err(format!("has an ssl_mode '{value}' that is not known")),
            };
        }
        "ssl" | "ssl_verify_cert" | "ssl_verify_identity" | "ssl_check_hostname" => {
            return Err(format!("has an option '{name}' that is neither true nor false"));
        }
        _ => return Ok(false),
    }
    Ok(true)
}

impl TlsMode {
    /// The stricter of two.
    fn at_least(self, other: Self) -> Self {
        let rank = |mode| match mode {
            Self::Disabled => 0,
            Self::Preferred => 1,
            Self::Required => 2,
            Self::VerifyCa => 3,
            Self::VerifyIdentity => 4,
        };
        if rank(self) >= rank(other) { self } else { other }
    }
}

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
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

    fn mysql(url: &str) -> MySql {
        match Location::parse(url).unwrap() {
            (Location::MySql(mysql), ignored) if ignored.is_empty() => *mysql,
            other => panic!("{other:?}"),
        }
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
    fn mysql_urls_as_operators_have_them() {
        let plain = mysql("mysql+pymysql://congress:pw@controller/congress?charset=utf8");
        assert_eq!(
            (plain.host.as_str(), plain.port, plain.user.as_str(), plain.database.as_str()),
            ("controller", 3306, "congress", "congress")
        );
        assert_eq!(plain.password, Password("pw".into()));
        assert_eq!(plain.tls, Tls::default());
        for scheme in ["mysql", "mysql+mysqldb", "mysql+mysqlconnector", "mariadb+pymysql"] {
            assert_eq!(mysql(&format!("{scheme}://congress:pw@controller/congress")), plain);
        }
        let escaped = mysql("mysql://c%40d:s3cr%3At%2F%40%C3%BC+@[::1]:3307/a%20b");
        assert_eq!((escaped.host.as_str(), escaped.port), ("::1", 3307));
        assert_eq!((escaped.user.as_str(), escaped.database.as_str()), ("c@d", "a b"));
        assert_eq!(escaped.password.0, "s3cr:t/@ü+");
        let local = mysql("mysql:///congress?unix_socket=/run/mysqld/mysqld.sock");
        assert_eq!(local.socket, Some("/run/mysqld/mysqld.sock".into()));
        assert_eq!((local.user.as_str(), local.host.as_str()), ("", "localhost"));
        let quick = mysql("mysql://u@h/d?connect_timeout=5");
        assert_eq!(quick.connect_timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_is_checked_of_a_certificate() {
        let mode = |options: &str| mysql(&format!("mysql://u:p@h/d?{options}")).tls.mode;
        assert_eq!(mode("charset=utf8"), TlsMode::Preferred);
        assert_eq!(mode("ssl_ca=/ca.pem"), TlsMode::VerifyCa);
        assert_eq!(mode("ssl_ca=/ca.pem&ssl_verify_cert=false"), TlsMode::Required);
        assert_eq!(mode("ssl_verify_identity=true&ssl_ca=/ca.pem"), TlsMode::VerifyIdentity);
        assert_eq!(mode("ssl_ca=/ca.pem&ssl_check_hostname=false"), TlsMode::VerifyCa);
        assert_eq!(mode("ssl_mode=disabled"), TlsMode::Disabled);
        assert_eq!(mode("ssl=true"), TlsMode::Required);
        let both = mysql("mysql://u:p@h/d?ssl_cert=/c.pem&ssl_key=/k.pem").tls;
        assert_eq!((both.cert, both.key), (Some("/c.pem".into()), Some("/k.pem".into())));
        assert_eq!(both.mode, TlsMode::Required);
    }

    #[test]
    fn passwords_are_never_shown() {
        let whole = mysql("mysql://u:hunter2@h/d");
        assert!(!format!("{whole:?} {whole}").contains("hunter2"));
        for url in [
            "mysql://u:hunter2@h",
            "mysql://u:hunter2@h:x/d",
            "mysql://u:hun/ter2@h:1/d?ssl_mode=x",
            "mysql://u:%ff%fehunter2@h/d",
            "postgresql://u:hunter2@h/db",
            "oracle://u:hunter2@h/db",
        ] {
            let error = Location::parse(url).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
        assert!(Location::parse("oracle://u:p@h/d").unwrap_err().contains("'oracle'"));
        assert!(Location::parse("postgresql+psycopg2://h/d").unwrap_err().contains("postgresql"));
        assert!(Location::parse("congress.sqlite").unwrap_err().contains("no database URL"));
    }

    #[test]
    fn options_without_effect_are_named() {
        let (_, ignored) = Location::parse("mysql://u:p@h/d?charset=utf8&local_infile=1").unwrap();
        assert_eq!(ignored, ["has an option 'local_infile' that has no effect here"]);
    }
}
