//! What the host's session takes besides the fields that drivers declare.
//!
//! How to log in and whom to trust is the host's business: drivers neither see nor use these
//! fields, and those of one session have them alike, whenever they were built.

use std::sync::LazyLock;

use crate::{ConfigField, FieldType, Metadata, SessionKind};

/// Where `auth_type` says so, what a datasource must set in place of a password.
pub(crate) const PASSWORD: &str = "password";
pub(crate) const APPLICATION_CREDENTIAL: &str = "v3applicationcredential";
pub(crate) const TOKEN: &str = "v3token";

static KEYSTONE: LazyLock<Vec<ConfigField>> = LazyLock::new(|| {
    vec![
        field("auth_type", "How to log in: password, v3applicationcredential or v3token.")
            .or(PASSWORD),
        field("application_credential_id", "The application credential to log in with."),
        field("application_credential_name", "Its name, in place of its id; needs username."),
        field("application_credential_secret", "Its secret.").secret(),
        field("token", "A token to log in with.").secret(),
        field(
            "interface",
            "Which endpoint to use, whatever the driver asks for: public, internal or admin.",
        ),
        cacert(),
        insecure(),
    ]
});

static CONFIGURED: LazyLock<Vec<ConfigField>> = LazyLock::new(|| vec![cacert(), insecure()]);

fn cacert() -> ConfigField {
    field("cacert", "Certificates to trust (PEM, or the path of a granted file of them).")
}

fn insecure() -> ConfigField {
    ConfigField {
        field_type: FieldType::Boolean,
        ..field("insecure", "True to trust any certificate.")
    }
}

fn field(name: &str, description: &str) -> ConfigField {
    ConfigField {
        name: name.to_owned(),
        description: description.to_owned(),
        field_type: FieldType::Text,
        required: false,
        secret: false,
        default: None,
    }
}

impl ConfigField {
    fn or(self, default: &str) -> Self {
        Self { default: Some(default.to_owned()), ..self }
    }

    fn secret(self) -> Self {
        Self { secret: true, ..self }
    }
}

impl Metadata {
    /// The fields that the host's session takes and that this driver does not declare itself.
    pub fn session_fields(&self) -> impl Iterator<Item = &ConfigField> {
        let fields: &[ConfigField] = match self.session {
            SessionKind::None => &[],
            SessionKind::Keystone => &KEYSTONE,
            SessionKind::Configured => &CONFIGURED,
        };
        fields.iter().filter(|field| self.config.iter().all(|own| own.name != field.name))
    }

    /// All fields that a datasource's configuration can have.
    pub fn fields(&self) -> impl Iterator<Item = &ConfigField> {
        self.config.iter().chain(self.session_fields())
    }
}
