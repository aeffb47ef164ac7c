//! A database on a server: what systems with servers have in common.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use super::decode;

/// A database on a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// The system, for people.
    pub(crate) system: &'static str,
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

impl fmt::Display for Server {
    /// Everything but the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { system, database, host, port, .. } = self;
        match &self.socket {
            Some(socket) => {
                write!(f, "'{database}' of the {system} server at {}", socket.display())
            }
            None => write!(f, "'{database}' of the {system} server {host}:{port}"),
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

impl Server {
    /// Splits `[user[:password]@][host[:port]]/database[?options]`: the place, and the options.
    pub(super) fn split<'a>(
        rest: &'a str,
        system: &'static str,
        default_port: u16,
        example: &str,
    ) -> Result<(Self, impl Iterator<Item = (&'a str, &'a str)> + use<'a>), String> {
        let (place, options) = rest.split_once('?').unwrap_or((rest, ""));
        // A password that should have been escaped may hold any sign: the last `@` divides.
        let (login, place) = place.rsplit_once('@').unwrap_or(("", place));
        let (user, password) = login.split_once(':').unwrap_or((login, ""));
        let (server, database) = place.split_once('/').unwrap_or((place, ""));
        let database = decode(database)?;
        if database.is_empty() {
            return Err(format!("names no database; an example is {example}"));
        }
        let (host, port) = host_and_port(server)?;
        let server = Self {
            system,
            host: if host.is_empty() { "localhost".into() } else { decode(host)? },
            port: port.unwrap_or(default_port),
            socket: None,
            user: decode(user)?,
            password: Password(decode(password)?),
            database,
            tls: Tls::default(),
            connect_timeout: None,
        };
        Ok((server, options.split('&').filter_map(|option| option.split_once('='))))
    }

    /// Takes the option `connect_timeout` in.
    pub(super) fn set_connect_timeout(&mut self, value: &str) -> Result<(), String> {
        let seconds = value.parse().ok().filter(|seconds| *seconds > 0);
        let seconds = seconds.ok_or("has a connect_timeout that is no number of seconds")?;
        self.connect_timeout = Some(Duration::from_secs(seconds));
        Ok(())
    }
}

impl TlsMode {
    /// The stricter of two.
    pub(super) fn at_least(self, other: Self) -> Self {
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
