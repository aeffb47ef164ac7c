//! Typed access to a datasource's configuration.

use std::str::FromStr;

use serde::de::DeserializeOwned;

use crate::{Error, Result};

/// The configuration of one datasource. Fields that are not set and have no default are absent;
/// so are those that the host's session uses up (`password`, `token`).
#[derive(Clone, Debug, Default)]
pub struct Config(Vec<(String, String)>);

impl Config {
    /// Wraps the pairs of field and value that the host hands over.
    pub fn new(fields: Vec<(String, String)>) -> Self {
        Self(fields)
    }

    /// A field as text, if it is set.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.0.iter().find(|(name, _)| name == field).map(|(_, value)| value.as_str())
    }

    /// A field that must be set.
    pub fn text(&self, field: &str) -> Result<&str> {
        self.get(field).ok_or_else(|| Error::Config(format!("field '{field}' is not set")))
    }

    /// A field as the address of a service, if it is set.
    pub fn address(&self, field: &str) -> Result<Option<&str>> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.split_once("://") {
            Some((scheme, rest))
                if ["http", "https"].iter().any(|known| scheme.eq_ignore_ascii_case(known))
                    && !rest.starts_with(['/', '?', '#'])
                    && !rest.is_empty() =>
            {
                Ok(Some(value))
            }
            _ => Err(misfit(
                field,
                value,
                "an address that begins with http:// or https:// and names a host, as \
                 https://cloud.example/api",
            )),
        }
    }

    /// A field as an integer, if it is set.
    pub fn integer(&self, field: &str) -> Result<Option<i64>> {
        self.parse(field, "an integer")
    }

    /// A field as a number, if it is set.
    pub fn float(&self, field: &str) -> Result<Option<f64>> {
        self.parse(field, "a number")
    }

    /// A field as a boolean, if it is set: `true`, `yes`, `on`, `1` and their opposites, in any case.
    pub fn boolean(&self, field: &str) -> Result<Option<bool>> {
        let Some(value) = self.get(field) else { return Ok(None) };
        match value.trim().to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" | "1" => Ok(Some(true)),
            "false" | "no" | "off" | "0" => Ok(Some(false)),
            _ => Err(misfit(field, value, "a boolean")),
        }
    }

    /// A field whose text is JSON, if it is set. The error names the line and column.
    pub fn json<T: DeserializeOwned>(&self, field: &str) -> Result<Option<T>> {
        self.get(field)
            .map(|value| {
                serde_json::from_str(value)
                    .map_err(|error| Error::Config(format!("field '{field}': {error}")))
            })
            .transpose()
    }

    fn parse<T: FromStr>(&self, field: &str, kind: &str) -> Result<Option<T>> {
        self.get(field)
            .map(|value| value.trim().parse().map_err(|_| misfit(field, value, kind)))
            .transpose()
    }
}

fn misfit(field: &str, value: &str, kind: &str) -> Error {
    Error::Config(format!("field '{field}' must be {kind}, not '{value}'"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(pairs: &[(&str, &str)]) -> Config {
        Config::new(pairs.iter().map(|(k, v)| (k.to_string(), v.to_string())).collect())
    }

    #[test]
    fn addresses_have_a_scheme_and_a_host() {
        let fits = |value: &str| config(&[("url", value)]).address("url").is_ok();
        for value in ["http://h", "HTTPS://h:1/a", "https://[::1]:1"] {
            assert!(fits(value), "{value}");
        }
        for value in ["", "h", "h:80", "//h", "ftp://h", "http:/h", "http://", "http:///a"] {
            assert!(!fits(value), "{value}");
        }
        assert_eq!(config(&[]).address("url").unwrap(), None);
    }

    #[test]
    fn values_have_types_and_errors_name_the_field() {
        let config = config(&[("n", " 12 "), ("on", "Yes"), ("bad", "x"), ("j", "{\"a\": [1]}")]);
        assert_eq!(config.integer("n").unwrap(), Some(12));
        assert_eq!(config.float("n").unwrap(), Some(12.0));
        assert_eq!(config.boolean("on").unwrap(), Some(true));
        assert_eq!(config.integer("absent").unwrap(), None);
        let json: serde_json::Value = config.json("j").unwrap().unwrap();
        assert_eq!(json["a"][0], 1);

        let error = |result: Error| result.to_string();
        assert!(error(config.integer("bad").unwrap_err()).contains("'bad' must be an integer"));
        assert!(error(config.boolean("bad").unwrap_err()).contains("'bad' must be a boolean"));
        let text = error(config.address("bad").unwrap_err());
        assert!(text.contains("'bad' must be an address that begins with http://"), "{text}");
        assert!(error(config.text("absent").unwrap_err()).contains("'absent' is not set"));
        assert!(error(config.json::<u8>("bad").unwrap_err()).contains("field 'bad': expected"));
    }
}
