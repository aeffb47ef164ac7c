//! The configuration of a datasource as it is stored: a JSON object with its secrets sealed.

use std::fmt;

use serde_json::{Map, Value};

use crate::{Error, Result};

/// Under this key the stored object lists the fields whose values are tokens of a
/// [`crate::KeyRing`]. Rows without it are from before secrets were sealed.
pub(crate) const ENCRYPTED_FIELDS: &str = "__encrypted_fields";

/// What readers see in place of a secret.
const HIDDEN: &str = "<hidden>";

/// A stored configuration. Its [`fmt::Debug`] shows names of fields only.
#[derive(Clone, PartialEq)]
pub struct DatasourceConfig {
    pub(crate) content: Content,
}

#[derive(Clone, PartialEq)]
pub(crate) enum Content {
    /// No configuration: `null` in the database.
    Absent,
    /// Fields, some of them sealed.
    Object { fields: Map<String, Value>, sealed: Vec<String> },
    /// The stored text is no such thing; why. Kept, so that one broken row does not hide the
    /// others.
    Unreadable(String),
}

impl DatasourceConfig {
    /// A datasource without configuration.
    pub fn absent() -> Self {
        Self { content: Content::Absent }
    }

    /// The configuration for readers: `null`, or the object in which every field in `secrets`, and
    /// every sealed one, reads `<hidden>`. Needs no key.
    pub fn hiding<'a>(&self, secrets: impl IntoIterator<Item = &'a str>) -> Value {
        let Content::Object { fields, sealed } = &self.content else {
            return Value::Null;
        };
        let mut shown = fields.clone();
        let mut hide = |name: &str| {
            if let Some(value) = shown.get_mut(name) {
                *value = HIDDEN.into();
            }
        };
        secrets.into_iter().for_each(&mut hide);
        sealed.iter().for_each(|name| hide(name));
        Value::Object(shown)
    }

    /// The configuration for readers when nothing is known of its driver: every value is hidden.
    pub fn hiding_all(&self) -> Value {
        let Content::Object { fields, .. } = &self.content else {
            return Value::Null;
        };
        fields.keys().map(|name| (name.clone(), Value::from(HIDDEN))).collect::<Map<_, _>>().into()
    }

    /// Takes over fields of another configuration as they are, sealed ones sealed. Those that it does
    /// not have are left alone.
    pub fn keep<'a>(&mut self, other: &Self, names: impl IntoIterator<Item = &'a str>) {
        let (Content::Object { fields, sealed }, Content::Object { fields: from, sealed: secret }) =
            (&mut self.content, &other.content)
        else {
            return;
        };
        for name in names {
            let Some(value) = from.get(name) else { continue };
            fields.insert(name.to_owned(), value.clone());
            sealed.retain(|other| other != name);
            if secret.iter().any(|secret| secret == name) {
                sealed.push(name.to_owned());
            }
        }
    }

    /// The sealed fields: those that the driver called secret when the configuration was stored.
    pub fn sealed(&self) -> &[String] {
        match &self.content {
            Content::Object { sealed, .. } => sealed,
            Content::Absent | Content::Unreadable(_) => &[],
        }
    }

    /// Whether there are sealed fields.
    pub(crate) fn has_sealed_fields(&self) -> bool {
        !self.sealed().is_empty()
    }

    pub(crate) fn from_stored(text: &str) -> Self {
        let content = match serde_json::from_str(text) {
            Ok(Value::Null) => Content::Absent,
            Ok(Value::Object(mut fields)) => match fields.shift_remove(ENCRYPTED_FIELDS) {
                None => Content::Object { fields, sealed: Vec::new() },
                Some(sealed) => match serde_json::from_value(sealed) {
                    Ok(sealed) => Content::Object { fields, sealed },
                    Err(_) => Content::Unreadable(format!(
                        "its '{ENCRYPTED_FIELDS}' is not a list of field names"
                    )),
                },
            },
            Ok(_) => Content::Unreadable("it is not a JSON object".into()),
            // The parser's own words give a position and no content.
            Err(error) => Content::Unreadable(format!("it is not JSON: {error}")),
        };
        Self { content }
    }

    pub(crate) fn to_stored(&self) -> Result<String> {
        match &self.content {
            Content::Absent => Ok(Value::Null.to_string()),
            Content::Object { fields, sealed } => {
                let mut object = fields.clone();
                object.insert(ENCRYPTED_FIELDS.into(), sealed.as_slice().into());
                Ok(Value::Object(object).to_string())
            }
            Content::Unreadable(reason) => Err(Error::Corrupt {
                what: format!("a datasource configuration that was read before: {reason}"),
            }),
        }
    }
}

impl fmt::Debug for DatasourceConfig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.content {
            Content::Absent => f.write_str("DatasourceConfig(absent)"),
            Content::Object { fields, sealed } => f
                .debug_struct("DatasourceConfig")
                .field("fields", &fields.keys().collect::<Vec<_>>())
                .field("sealed", sealed)
                .finish(),
            Content::Unreadable(reason) => f.debug_tuple("DatasourceConfig").field(reason).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn fields_are_kept_as_they_are() {
        let old = DatasourceConfig::from_stored(
            r#"{"password": "token", "user": "u", "__encrypted_fields": ["password"]}"#,
        );
        let mut new = DatasourceConfig::from_stored(
            r#"{"user": "v", "password": "x", "__encrypted_fields": []}"#,
        );
        new.keep(&old, ["password", "absent"]);
        let expected = DatasourceConfig::from_stored(
            r#"{"user": "v", "password": "token", "__encrypted_fields": ["password"]}"#,
        );
        assert_eq!(new, expected);
    }

    #[test]
    fn secrets_are_hidden_without_a_key() {
        let stored = r#"{"url":"http://x","password":"gAAAAAB","token":"t","__encrypted_fields":["password"]}"#;
        let config = DatasourceConfig::from_stored(stored);
        assert!(config.has_sealed_fields());
        assert_eq!(
            config.hiding(["token", "absent"]),
            json!({"url": "http://x", "password": "<hidden>", "token": "<hidden>"})
        );
        assert_eq!(
            config.hiding_all(),
            json!({"url": "<hidden>", "password": "<hidden>", "token": "<hidden>"})
        );
        let debug = format!("{config:?}");
        assert!(debug.contains("password") && !debug.contains("gAAAA") && !debug.contains("http"));
        assert_eq!(config.to_stored().unwrap(), stored);
    }

    #[test]
    fn null_and_rows_from_before_sealing_are_read() {
        let absent = DatasourceConfig::from_stored("null");
        assert_eq!(absent, DatasourceConfig::absent());
        assert_eq!(absent.hiding([]), Value::Null);
        let old = DatasourceConfig::from_stored(r#"{"password":"clear"}"#);
        assert!(!old.has_sealed_fields());
        assert_eq!(old.hiding(["password"]), json!({"password": "<hidden>"}));
    }

    #[test]
    fn broken_rows_are_kept_apart_and_never_written_back() {
        for stored in ["", "{", "[1]", "7", r#"{"__encrypted_fields":"password"}"#] {
            let config = DatasourceConfig::from_stored(stored);
            assert!(matches!(config.content, Content::Unreadable(_)), "{stored}");
            assert_eq!(config.hiding_all(), Value::Null);
            assert!(matches!(config.to_stored(), Err(Error::Corrupt { .. })), "{stored}");
        }
    }
}
