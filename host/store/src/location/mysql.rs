//! URLs of MySQL and MariaDB.

use super::server::{Server, TlsMode};
use super::{Location, decode};

const EXAMPLE: &str = "mysql+pymysql://congress:password@controller/congress";

/// The database that a URL means, after its `://`, and what of it is ignored.
pub(super) fn parse(rest: &str) -> Result<(Location, Vec<String>), String> {
    let (mut server, options) = Server::split(rest, "MySQL", 3306, EXAMPLE)?;
    let mut ignored = Vec::new();
    for (name, value) in options {
        if !option(&mut server, name, &decode(value)?)? {
            ignored.push(format!("has an option '{name}' that has no effect here"));
        }
    }
    Ok((Location::MySql(Box::new(server)), ignored))
}

/// Takes one option in; false if it is not known.
fn option(mysql: &mut Server, name: &str, value: &str) -> Result<bool, String> {
    let tls = &mut mysql.tls;
    match name {
        // Connections always talk utf8mb4, which includes utf8 and ASCII; columns stay as they are.
        "charset" | "use_unicode" => {}
        "unix_socket" => mysql.socket = Some(value.into()),
        "connect_timeout" => mysql.set_connect_timeout(value)?,
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

fn truth(value: &str) -> Option<bool> {
    match value.to_ascii_lowercase().as_str() {
        "true" | "1" | "yes" | "on" => Some(true),
        "false" | "0" | "no" | "off" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::{Password, Tls};
    use super::*;

    fn mysql(url: &str) -> Server {
        match Location::parse(url).unwrap() {
            (Location::MySql(mysql), ignored) if ignored.is_empty() => *mysql,
            other => panic!("{other:?}"),
        }
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
    fn options_without_effect_are_named() {
        let (_, ignored) = Location::parse("mysql://u:p@h/d?charset=utf8&local_infile=1").unwrap();
        assert_eq!(ignored, ["has an option 'local_infile' that has no effect here"]);
    }
}
