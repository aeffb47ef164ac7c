//! The bus URL: `driver://[user[:password]@]host[:port][,…]/[virtual_host][?query]`.

use std::fmt;

use percent_encoding::percent_decode_str;

/// The port of RabbitMQ, and of RabbitMQ over TLS.
const PORT: u16 = 5672;
const TLS_PORT: u16 = 5671;

/// How nodes reach each other. Neither [`fmt::Debug`] nor [`fmt::Display`] shows passwords.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportUrl {
    /// What carries messages.
    pub transport: Transport,
    /// The brokers, in the order in which they are to be tried; at least one for RabbitMQ.
    pub hosts: Vec<BrokerHost>,
    /// The broker's virtual host.
    pub virtual_host: String,
    /// Options after `?`, in order.
    pub query: Vec<(String, String)>,
}

/// What carries messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    /// Memory: all roles run in one process.
    InProcess,
    /// RabbitMQ.
    Rabbit {
        /// Whether the URL itself asks for TLS.
        tls: bool,
    },
}

/// One broker.
#[derive(Clone, PartialEq, Eq)]
pub struct BrokerHost {
    /// A name or address; IPv6 addresses without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The user.
    pub user: String,
    /// The password.
    pub password: String,
}

impl TransportUrl {
    /// Reads a URL. The error ends a sentence about the option and never holds a password.
    ///
    /// Credentials are those of each host, not inherited; a host without any gets `guest`, as the
    /// original's library has it.
    pub(super) fn parse(url: &str) -> Result<Self, String> {
        let (scheme, rest) = match url {
            "" => ("rabbit", ""),
            _ => url.split_once("://").ok_or(
                "is no bus URL; examples are rabbit://user:password@host:5672/ and memory://",
            )?,
        };
        let (transport, default_port) = match scheme {
            "memory" | "kombu+memory" | "fake" => (Transport::InProcess, PORT),
            "rabbit" | "amqp" | "kombu+amqp" | "kombu+rabbit" => {
                (Transport::Rabbit { tls: false }, PORT)
            }
            "amqps" | "kombu+amqps" => (Transport::Rabbit { tls: true }, TLS_PORT),
            _ => return Err(format!("names a transport '{scheme}' that is not known")),
        };
        let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));

        let mut hosts = Vec::new();
        if transport != Transport::InProcess {
            // A URL without hosts means the one on this machine.
            for host in authority.split(',').filter(|host| !host.is_empty()) {
                hosts.push(BrokerHost::parse(host, default_port)?);
            }
            if hosts.is_empty() {
                hosts.push(BrokerHost::parse("localhost", default_port)?);
            }
        }
        let virtual_host = match decode(path)?.as_str() {
            "" => "/".to_owned(),
            path => path.to_owned(),
        };
        let query = query
            .split('&')
            .filter(|pair| !pair.is_empty())
            .map(|pair| {
                let (key, value) = pair.split_once('=').unwrap_or((pair, ""));
                Ok((decode(key)?, decode(value)?))
            })
            .collect::<Result<_, String>>()?;
        Ok(Self { transport, hosts, virtual_host, query })
    }

    /// That of one process alone.
    pub(super) fn in_process() -> Self {
        Self {
            transport: Transport::InProcess,
            hosts: Vec::new(),
            virtual_host: "/".into(),
            query: Vec::new(),
        }
    }

    /// Whether messages stay in this process.
    pub fn is_in_process(&self) -> bool {
        self.transport == Transport::InProcess
    }
}

impl BrokerHost {
    fn parse(text: &str, default_port: u16) -> Result<Self, String> {
        let (credentials, address) = text.rsplit_once('@').unwrap_or(("", text));
        let (user, password) = match credentials {
            "" => ("guest".to_owned(), "guest".to_owned()),
            credentials => {
                let (user, password) = credentials.split_once(':').unwrap_or((credentials, ""));
                (decode(user)?, decode(password)?)
            }
        };
        let (host, port) = match address.strip_prefix('[') {
            Some(bracketed) => {
                let (host, after) =
                    bracketed.split_once(']').ok_or("has a host with '[' and without ']'")?;
                (host, after.strip_prefix(':').unwrap_or(after))
            }
            None => address.split_once(':').unwrap_or((address, "")),
        };
        let port = match port {
            "" => default_port,
            port => port
                .parse()
                .map_err(|_| format!("has the port '{port}', which is not a number up to 65535"))?,
        };
        let host = if host.is_empty() { "localhost" } else { host };
        Ok(Self { host: host.to_owned(), port, user, password })
    }
}

fn decode(text: &str) -> Result<String, String> {
    let decoded = percent_decode_str(text).decode_utf8();
    Ok(decoded.map_err(|_| "has percent signs that do not decode to UTF-8")?.into_owned())
}

impl fmt::Debug for BrokerHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { host, port, user, .. } = self;
        write!(f, "{user}:***@{host}:{port}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Hosts as `user:password@host:port`, and the virtual host.
    fn read(url: &str) -> (Vec<String>, String) {
        let url = TransportUrl::parse(url).unwrap();
        let show = |h: &BrokerHost| format!("{}:{}@{}:{}", h.user, h.password, h.host, h.port);
        (url.hosts.iter().map(show).collect(), url.virtual_host)
    }

    fn check(url: &str, hosts: &[&str], virtual_host: &str) {
        let (found, found_virtual_host) = read(url);
        assert_eq!(found, hosts, "{url}");
        assert_eq!(found_virtual_host, virtual_host, "{url}");
    }

    #[test]
    fn rabbit() {
        check("rabbit://u:p@h1:5672,u:p@h2:5673/vhost", &["u:p@h1:5672", "u:p@h2:5673"], "vhost");
        check("rabbit://u:p@h1:5672,h2:5673/", &["u:p@h1:5672", "guest:guest@h2:5673"], "/");
        check("rabbit://u:p%40ss%2F@h1/%2Fvh", &["u:p@ss/@h1:5672"], "/vh");
        check("rabbit://u:p@h1", &["u:p@h1:5672"], "/");
        for url in ["rabbit://", "", "rabbit:///"] {
            check(url, &["guest:guest@localhost:5672"], "/");
        }
        check("rabbit://u:p@h/", &["u:p@h:5672"], "/");
        check("rabbit://u:p@h//", &["u:p@h:5672"], "/");
        check("rabbit://h/a/b", &["guest:guest@h:5672"], "a/b");
        check("rabbit://u:p@[::1]:5672/v", &["u:p@::1:5672"], "v");
        check("rabbit://[::1]", &["guest:guest@::1:5672"], "/");
        check("amqps://u:p@h/", &["u:p@h:5671"], "/");
    }

    #[test]
    fn schemes() {
        for (url, transport) in [
            ("rabbit://", Transport::Rabbit { tls: false }),
            ("amqp://", Transport::Rabbit { tls: false }),
            ("kombu+amqp://", Transport::Rabbit { tls: false }),
            ("amqps://", Transport::Rabbit { tls: true }),
            ("memory://", Transport::InProcess),
            ("kombu+memory://", Transport::InProcess),
            ("fake://", Transport::InProcess),
        ] {
            assert_eq!(TransportUrl::parse(url).unwrap().transport, transport, "{url}");
        }
        assert!(TransportUrl::parse("zmq://").unwrap_err().contains("'zmq'"));
        assert!(TransportUrl::parse("u:secret@h").unwrap_err().starts_with("is no bus URL"));
    }

    #[test]
    fn query() {
        let url = TransportUrl::parse("rabbit://h/v?ssl=1&heartbeat_rate=5&x=%20").unwrap();
        let query: Vec<_> = url.query.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(query, [("ssl", "1"), ("heartbeat_rate", "5"), ("x", " ")]);
    }

    #[test]
    fn errors_and_debug_hide_passwords() {
        for url in
            ["rabbit://u:secret@h:abc/", "rabbit://u:secret@h:99999/", "rabbit://u:secret@[::1"]
        {
            assert!(!TransportUrl::parse(url).unwrap_err().contains("secret"), "{url}");
        }
        let url = TransportUrl::parse("rabbit://u:secret@h/").unwrap();
        assert!(!format!("{url:?}").contains("secret"));
    }
}
