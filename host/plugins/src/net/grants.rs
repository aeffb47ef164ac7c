//! Which origins a datasource may ask, and where its credentials may go.

use std::fmt;

use reqwest::Url;

use super::SendError;
use crate::settings::Settings;

/// Scheme, host and port of a URL, as the URL parser normalises them: lower case, international
/// names in ASCII, every spelling of an IPv4 address as four decimal numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    pub(crate) is_https: bool,
    pub(crate) host: String,
    pub(crate) port: u16,
}

impl Origin {
    /// The origin of a URL that requests may go to: http or https, without user information.
    pub(crate) fn of(url: &Url) -> Result<Self, SendError> {
        let refuse = |problem: &str| Err(SendError::Refused(problem.to_owned()));
        let is_https = match url.scheme() {
            "http" => false,
            "https" => true,
            _ => return refuse("only http and https URLs can be used"),
        };
        if !url.username().is_empty() || url.password().is_some() {
            return refuse("URLs with user information are not allowed");
        }
        match (url.host_str(), url.port_or_known_default()) {
            (Some(host), Some(port)) if !host.is_empty() => {
                Ok(Self { is_https, host: host.to_owned(), port })
            }
            _ => refuse("the URL has no host"),
        }
    }

    /// Parses a URL and takes its origin.
    pub(crate) fn parse(url: &str) -> Result<Self, SendError> {
        Self::of(&parse_url(url)?)
    }
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_https { "https" } else { "http" };
        write!(f, "{scheme}://{}:{}", self.host, self.port)
    }
}

/// Parses an absolute URL. The error does not repeat it: it may hold a secret.
pub(crate) fn parse_url(url: &str) -> Result<Url, SendError> {
    Url::parse(url.trim()).map_err(|e| SendError::Refused(format!("the URL cannot be used: {e}")))
}

/// The origins that a datasource's configuration grants.
#[derive(Clone, Debug, Default)]
pub(crate) struct Grants {
    origins: Vec<(Origin, Trust)>,
}

/// Who named an origin, by which it is decided whether credentials of a cloud may go there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Trust {
    /// The configuration, whose author owns the credentials.
    Configured,
    /// The driver.
    Driver,
}

impl Grants {
    /// Expands a driver's patterns over a configuration. Patterns with fields that are not set,
    /// and those that give no URL, grant nothing.
    pub(crate) fn new(patterns: &[String], settings: &Settings) -> Self {
        let origins = patterns
            .iter()
            .filter_map(|pattern| {
                let url = expand(pattern, settings)?;
                let origin = Origin::parse(&url).ok()?;
                Some((origin, if names_host(pattern) { Trust::Configured } else { Trust::Driver }))
            })
            .collect();
        Self { origins }
    }

    /// Grants one more origin, named by the configuration.
    pub(crate) fn add(&mut self, origin: Origin) {
        self.origins.push((origin, Trust::Configured));
    }

    /// Who granted an origin; none if nobody did.
    pub(crate) fn get(&self, origin: &Origin) -> Option<Trust> {
        let mut trusts = self.origins.iter().filter(|(o, _)| o == origin).map(|(_, trust)| *trust);
        let first = trusts.next()?;
        Some(if trusts.any(|t| t == Trust::Configured) { Trust::Configured } else { first })
    }

    /// Whether a password or token of the configuration may go to an origin: to those that the
    /// configuration names. Where it names none (a driver for one service in the world), they are
    /// meant for the driver's.
    pub(crate) fn may_see_credentials(&self, origin: &Origin) -> bool {
        match self.get(origin) {
            Some(Trust::Configured) => true,
            Some(Trust::Driver) => self.origins.iter().all(|(_, trust)| *trust == Trust::Driver),
            None => false,
        }
    }
}

/// A pattern with its fields replaced by their values; none if one of them is not set.
pub(crate) fn expand(pattern: &str, settings: &Settings) -> Option<String> {
    let mut text = String::with_capacity(pattern.len());
    let mut rest = pattern;
    while let Some((head, tail)) = rest.split_once('{') {
        let (field, tail) = tail.split_once('}')?;
        text.push_str(head);
        text.push_str(settings.filled(field)?);
        rest = tail;
    }
    text.push_str(rest);
    Some(text)
}

/// Whether a pattern's host is wholly the configuration's: `{url}/…`, `https://{host}:{port}/…`.
/// `https://{user}.example` is not, for the driver could send a cloud's token home that way.
fn names_host(pattern: &str) -> bool {
    let authority = pattern.split_once("://").map_or(pattern, |(_, rest)| rest);
    let authority = authority.split('/').next().unwrap_or_default();
    let is_field = |text: &str| {
        text.strip_prefix('{')
            .and_then(|text| text.strip_suffix('}'))
            .is_some_and(|field| !field.contains(['{', '}']))
    };
    match authority.split_once(':') {
        None => is_field(authority),
        Some((host, port)) => {
            is_field(host) && (is_field(port) || port.bytes().all(|b| b.is_ascii_digit()))
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{ConfigField, Feed, FieldType, Metadata, SessionKind};

    fn settings(config: serde_json::Value) -> Settings {
        let config = config.as_object().cloned().unwrap();
        let fields = config.keys().map(|name| ConfigField {
            name: name.clone(),
            description: String::new(),
            field_type: FieldType::Text,
            required: false,
            secret: false,
            default: None,
        });
        let metadata = Metadata {
            id: "d".into(),
            version: String::new(),
            description: String::new(),
            config: fields.collect(),
            tables: vec![],
            actions: vec![],
            feed: Feed::Poll,
            session: SessionKind::None,
            hosts: vec![],
            files: vec![],
        };
        metadata.check(&config).unwrap()
    }

    fn origin(url: &str) -> Origin {
        Origin::parse(url).unwrap()
    }

    #[test]
    fn patterns_grant_origins() {
        let settings = settings(json!({
            "auth_url": "http://Keystone.example:5000/v3", "host": "vc.example", "empty": " ",
            "words": "no url"
        }));
        let patterns = [
            "{auth_url}",
            "https://{host}:8443/x",
            "https://fixed.example",
            "{empty}",
            "{unset}",
            "{words}",
        ]
        .map(String::from);
        let grants = Grants::new(&patterns, &settings);
        assert_eq!(
            grants.get(&origin("http://keystone.example:5000/a?b")),
            Some(Trust::Configured)
        );
        assert_eq!(grants.get(&origin("https://vc.example:8443")), Some(Trust::Configured));
        assert_eq!(grants.get(&origin("https://fixed.example/")), Some(Trust::Driver));
        for denied in [
            "https://keystone.example:5000/",
            "http://keystone.example/",
            "http://keystone.example.evil:5000/",
            "https://vc.example/",
        ] {
            assert_eq!(grants.get(&origin(denied)), None, "{denied}");
        }
        assert_eq!(grants.origins.len(), 3);
    }

    #[test]
    fn credentials_go_where_the_configuration_says() {
        let settings = settings(json!({"url": "https://own.example"}));
        let grants = |patterns: &[&str]| {
            Grants::new(&patterns.iter().map(ToString::to_string).collect::<Vec<_>>(), &settings)
        };
        let (own, fixed) = (origin("https://own.example"), origin("https://fixed.example"));
        let both = grants(&["{url}", "https://fixed.example"]);
        assert!(both.may_see_credentials(&own) && !both.may_see_credentials(&fixed));
        let one = grants(&["https://fixed.example"]);
        assert!(one.may_see_credentials(&fixed) && !one.may_see_credentials(&own));
    }

    #[test]
    fn origins_are_normal_and_plain() {
        assert_eq!(origin("http://2130706433/").host, "127.0.0.1");
        assert_eq!(origin("http://0x7f.1/").host, "127.0.0.1");
        assert_eq!(origin("http://0177.0.0.1/").host, "127.0.0.1");
        assert_eq!(origin("http://[::FFFF:127.0.0.1]/").host, "[::ffff:7f00:1]");
        for url in ["http://good.example@evil.example/", "ftp://x/", "file:///etc/passwd", "x"] {
            assert!(Origin::parse(url).is_err(), "{url}");
        }
    }

    #[test]
    fn only_whole_hosts_are_the_configurations() {
        for pattern in ["{url}", "{url}/v3", "https://{host}", "https://{host}:443/", "{a}:{b}"] {
            assert!(names_host(pattern), "{pattern}");
        }
        for pattern in ["https://x.example", "https://{a}.example", "https://x/{a}", "{a}{b}", ""] {
            assert!(!names_host(pattern), "{pattern}");
        }
    }
}
