//! A datasource's configuration, checked against what its driver declares.

use std::collections::BTreeMap;
use std::fmt;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde_json::Value as Json;

use crate::net::{expand, parse_url};
use crate::secret::{Scrubber, Secret};
use crate::session::fields::{APPLICATION_CREDENTIAL, TOKEN};
use crate::{ConfigError, ConfigField, ConfigValues, FieldType, Metadata, SessionKind};

/// A checked configuration: values in the form in which drivers take them, defaults filled in.
/// `Debug` shows the names of its fields only.
#[derive(Clone)]
pub struct Settings {
    values: BTreeMap<String, String>,
    secrets: Vec<String>,
    /// The fields that the host's session takes and the driver does not know.
    unknown_to_driver: Vec<String>,
}

impl Settings {
    /// A field's value: its own, or the driver's default.
    pub fn get(&self, field: &str) -> Option<&str> {
        self.values.get(field).map(String::as_str)
    }

    /// A field's value, unless it is empty.
    pub(crate) fn filled(&self, field: &str) -> Option<&str> {
        self.get(field).map(str::trim).filter(|value| !value.is_empty())
    }

    /// What the guest gets: everything but what the host's session uses up.
    pub(crate) fn for_guest(&self, session: SessionKind) -> Vec<(String, String)> {
        let kept = |name: &str| {
            !session.uses_up(name) && self.unknown_to_driver.iter().all(|other| other != name)
        };
        self.values.iter().filter(|(k, _)| kept(k)).map(|(k, v)| (k.clone(), v.clone())).collect()
    }

    /// Takes the values of secret fields, and of those that are `hidden` besides, out of texts,
    /// also where they stand in the header of basic authentication.
    pub(crate) fn scrubber(&self, hidden: &[String]) -> Scrubber {
        let names = self.secrets.iter().chain(hidden);
        let secrets = names.filter_map(|f| self.get(f)).map(Secret::new);
        let pair = self.get("username").zip(self.get("password"));
        let basic = pair.map(|(user, password)| Secret::new(basic(user, password)));
        Scrubber::new(secrets.chain(basic))
    }
}

/// What stands behind `Basic` in a header.
pub(crate) fn basic(user: &str, password: &str) -> String {
    BASE64_STANDARD.encode(format!("{user}:{password}"))
}

impl fmt::Debug for Settings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.values.keys()).finish()
    }
}

impl SessionKind {
    /// Whether the host keeps this field for itself.
    pub(crate) fn uses_up(self, field: &str) -> bool {
        match self {
            Self::None => false,
            Self::Keystone => {
                ["password", "token", "application_credential_secret"].contains(&field)
            }
            Self::Configured => field == "password" || field == "token",
        }
    }
}

impl Metadata {
    /// Checks a configuration: unknown fields, then missing ones (`tenant_name` stands in for
    /// `project_name`), then types. Null counts as not set.
    ///
    /// The driver has a say as well, when the datasource is made.
    pub fn check(&self, config: &ConfigValues) -> Result<Settings, ConfigError> {
        let is_set = |name: &str| config.get(name).is_some_and(|value| !value.is_null());

        let mut unknown: Vec<String> = config
            .keys()
            .filter(|key| self.fields().all(|field| field.name != **key))
            .cloned()
            .collect();
        if !unknown.is_empty() {
            unknown.sort_unstable();
            return Err(ConfigError::Unknown { driver: self.id.clone(), fields: unknown });
        }

        let missing: Vec<String> = self
            .config
            .iter()
            .filter(|field| field.required && field.default.is_none() && !is_set(&field.name))
            .filter(|field| !(field.name == "project_name" && is_set("tenant_name")))
            .filter(|field| !self.is_replaced(&field.name, config))
            .map(|field| field.name.clone())
            .collect();
        if !missing.is_empty() {
            return Err(ConfigError::Missing { driver: self.id.clone(), fields: missing });
        }

        let mut values = BTreeMap::new();
        for field in self.fields() {
            let value = match config.get(&field.name) {
                Some(value) if !value.is_null() => self.convert(field, value)?,
                _ => match &field.default {
                    Some(default) => default.clone(),
                    None => continue,
                },
            };
            values.insert(field.name.clone(), value);
        }
        let secrets = self.fields().filter(|f| f.secret).map(|f| f.name.clone()).collect();
        let unknown_to_driver = self.session_fields().map(|f| f.name.clone()).collect();
        let settings = Settings { values, secrets, unknown_to_driver };
        self.check_addresses(&settings)?;
        Ok(settings)
    }

    /// Whether another way to log in makes a field of a password's login needless.
    fn is_replaced(&self, field: &str, config: &ConfigValues) -> bool {
        let way = config.get("auth_type").and_then(Json::as_str).map(str::trim);
        self.session == SessionKind::Keystone
            && match way {
                Some(APPLICATION_CREDENTIAL) => {
                    ["username", "password", "project_name"].contains(&field)
                }
                Some(TOKEN) => ["username", "password"].contains(&field),
                _ => false,
            }
    }

    /// Refuses passwords in addresses. No request would ever go there, and an address is shown to
    /// everybody.
    fn check_addresses(&self, settings: &Settings) -> Result<(), ConfigError> {
        let login = (self.session == SessionKind::Keystone).then_some("{auth_url}");
        for pattern in self.hosts.iter().map(String::as_str).chain(login) {
            let url = expand(pattern, settings).and_then(|url| parse_url(&url).ok());
            if url.is_none_or(|url| url.username().is_empty() && url.password().is_none()) {
                continue;
            }
            let guilty = self.config.iter().find(|field| {
                pattern.contains(&format!("{{{}}}", field.name))
                    && settings.get(&field.name).is_some_and(|value| value.contains('@'))
            });
            if let Some(field) = guilty {
                return Err(self.invalid(
                    &field.name,
                    "must not contain a user name or password (what stands before `@`): an \
                     address is no secret; use the fields that are made for them",
                ));
            }
        }
        Ok(())
    }

    fn convert(&self, field: &ConfigField, value: &Json) -> Result<String, ConfigError> {
        convert(field.field_type, value).ok_or_else(|| {
            self.invalid(
                &field.name,
                match field.field_type {
                    FieldType::Text => "must be a text",
                    FieldType::Integer => "must be an integer",
                    FieldType::Float => "must be a number",
                    FieldType::Boolean => "must be true or false",
                    FieldType::Json => "must be JSON",
                },
            )
        })
    }

    pub(crate) fn invalid(&self, field: &str, problem: impl Into<String>) -> ConfigError {
        ConfigError::Invalid {
            driver: self.id.clone(),
            field: field.to_owned(),
            problem: problem.into(),
        }
    }
}

/// A value in the form in which drivers take it. Clients have always sent numbers and booleans as
/// texts, so those pass for what they say.
pub(crate) fn convert(field_type: FieldType, value: &Json) -> Option<String> {
    let text = match value {
        Json::String(text) => text.trim(),
        _ => "",
    };
    match (field_type, value) {
        (FieldType::Text, Json::String(text)) => Some(text.clone()),
        (FieldType::Text, other) => Some(other.to_string()),
        (FieldType::Integer, Json::Number(number)) => {
            let integer = number.as_i64();
            integer.or_else(|| number.as_f64().and_then(exact_integer)).map(|i| i.to_string())
        }
        (FieldType::Integer, Json::String(_)) => text.parse::<i64>().ok().map(|i| i.to_string()),
        (FieldType::Float, Json::Number(number)) => Some(number.to_string()),
        (FieldType::Float, Json::String(_)) => {
            text.parse::<f64>().ok().filter(|x| x.is_finite()).map(|x| x.to_string())
        }
        (FieldType::Boolean, Json::Bool(value)) => Some(value.to_string()),
        (FieldType::Boolean, Json::String(_)) => match text.to_ascii_lowercase().as_str() {
            "true" | "1" | "yes" | "on" => Some("true".to_owned()),
            "false" | "0" | "no" | "off" => Some("false".to_owned()),
            _ => None,
        },
        (FieldType::Json, Json::String(_)) => {
            serde_json::from_str::<serde::de::IgnoredAny>(text).ok().map(|_| text.to_owned())
        }
        (FieldType::Json, other) => Some(other.to_string()),
        _ => None,
    }
}

fn exact_integer(x: f64) -> Option<i64> {
    (x.fract() == 0.0 && x.abs() < 2f64.powi(53)).then_some(x as i64)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::Feed;

    fn field(name: &str, field_type: FieldType) -> ConfigField {
        ConfigField {
            name: name.into(),
            description: String::new(),
            field_type,
            required: false,
            secret: false,
            default: None,
        }
    }

    fn driver(config: Vec<ConfigField>) -> Metadata {
        Metadata {
            id: "d".into(),
            version: "1".into(),
            description: String::new(),
            config,
            tables: vec![],
            actions: vec![],
            feed: Feed::Poll,
            session: SessionKind::Keystone,
            hosts: vec![],
            files: vec![],
        }
    }

    fn values(json: Json) -> ConfigValues {
        json.as_object().cloned().unwrap()
    }

    #[test]
    fn unknown_and_missing_fields_are_named() {
        let mut a = field("a", FieldType::Text);
        a.required = true;
        let mut project = field("project_name", FieldType::Text);
        project.required = true;
        let d = driver(vec![a, project, field("tenant_name", FieldType::Text)]);
        let text = |json| d.check(&values(json)).unwrap_err().to_string();
        assert_eq!(text(json!({"z": 1, "y": 2})), "driver 'd' has no configuration field 'y', 'z'");
        assert_eq!(
            text(json!({"a": null})),
            "driver 'd' requires the configuration field 'a', 'project_name'"
        );
        assert!(d.check(&values(json!({"a": "", "tenant_name": "t"}))).is_ok());
    }

    #[test]
    fn types_and_defaults() {
        let mut with_default = field("dflt", FieldType::Integer);
        with_default.default = Some("10".into());
        let d = driver(vec![
            with_default,
            field("i", FieldType::Integer),
            field("f", FieldType::Float),
            field("b", FieldType::Boolean),
            field("j", FieldType::Json),
            field("t", FieldType::Text),
        ]);
        let s = d
            .check(&values(json!({"i": " 7 ", "f": 1, "b": "True", "j": {"k": [1]}, "t": 5})))
            .unwrap();
        assert_eq!(s.get("dflt"), Some("10"));
        assert_eq!(s.get("i"), Some("7"));
        assert_eq!(s.get("f"), Some("1"));
        assert_eq!(s.get("b"), Some("true"));
        assert_eq!(s.get("j"), Some(r#"{"k":[1]}"#));
        assert_eq!(s.get("t"), Some("5"));
        for bad in
            [json!({"i": "x"}), json!({"f": "inf"}), json!({"b": "maybe"}), json!({"j": "{"})]
        {
            let error = d.check(&values(bad)).unwrap_err();
            assert!(matches!(error, ConfigError::Invalid { .. }), "{error}");
        }
        assert_eq!(
            d.check(&values(json!({"i": "secret-x"}))).unwrap_err().to_string(),
            "configuration field 'i' of driver 'd' must be an integer"
        );
    }

    #[test]
    fn addresses_hold_no_passwords() {
        let mut d = driver(vec![field("url", FieldType::Text), field("mail", FieldType::Text)]);
        d.hosts = vec!["{url}/v1".into(), "https://example.org".into()];
        let check = |json| d.check(&values(json));
        let error = check(json!({"url": "https://me:canary@x.example"})).unwrap_err().to_string();
        assert!(
            error.starts_with("configuration field 'url' of driver 'd' must not contain a user")
        );
        assert!(!error.contains("canary"));
        assert!(check(json!({"url": "https://me@x.example"})).is_err());
        assert!(check(json!({"url": "https://x.example/@", "mail": "me@x.example"})).is_ok());
        assert!(check(json!({"url": "no address"})).is_ok());
    }

    #[test]
    fn what_the_session_uses_up_stays_with_the_host() {
        let mut password = field("password", FieldType::Text);
        password.secret = true;
        let d = driver(vec![field("username", FieldType::Text), password]);
        let s = d.check(&values(json!({"username": "u", "password": "canary"}))).unwrap();
        assert_eq!(s.for_guest(d.session), [("username".to_owned(), "u".to_owned())]);
        assert_eq!(s.for_guest(SessionKind::None).len(), 2);
        assert_eq!(s.scrubber(&[]).scrub("a canary sang"), "a <hidden> sang");
        assert_eq!(s.scrubber(&[]).scrub("Basic dTpjYW5hcnk="), "Basic <hidden>");
        assert!(!format!("{s:?}").contains("canary"));
        // What another build called secret.
        let s = d.check(&values(json!({"username": "spy007", "password": "canary"}))).unwrap();
        assert_eq!(s.scrubber(&["username".to_owned()]).scrub("spy007"), "<hidden>");
    }
}
