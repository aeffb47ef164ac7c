//! With what this service itself logs in to Keystone.

use std::fmt;

use serde_json::{Value, json};

/// A text that does not show in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for where it must go.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        Self(text)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// How this service logs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    /// `auth_type = password`
    Password {
        /// Who it is.
        user: Account,
        /// Their password.
        password: Secret,
        /// For what the token is to be.
        scope: Scope,
    },
    /// `auth_type = v3applicationcredential`
    ApplicationCredential {
        /// The credential's id, or its name.
        credential: IdOrName,
        /// Whose it is; needed with a name.
        user: Option<Account>,
        /// Its secret.
        secret: Secret,
    },
}

/// An id, or a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IdOrName {
    /// An id.
    Id(String),
    /// A name.
    Name(String),
}

/// A user or a project: an id, or a name in a domain.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Which one.
    pub account: IdOrName,
    /// The domain, which matters for a name.
    pub domain: IdOrName,
}

/// What a token is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Nothing in particular.
    Unscoped,
    /// A project.
    Project(Account),
    /// A domain.
    Domain(IdOrName),
    /// The whole system.
    System,
}

impl Credentials {
    /// The body of `POST /v3/auth/tokens`.
    pub(super) fn request(&self) -> Value {
        let auth = match self {
            Self::Password { user, password, scope } => {
                let mut user = user.json();
                user["password"] = password.expose().into();
                let password = json!({ "user": user });
                let mut auth =
                    json!({ "identity": { "methods": ["password"], "password": password } });
                match scope {
                    Scope::Unscoped => {}
                    Scope::Project(project) => auth["scope"] = json!({ "project": project.json() }),
                    Scope::Domain(domain) => auth["scope"] = json!({ "domain": domain.json() }),
                    Scope::System => auth["scope"] = json!({ "system": { "all": true } }),
                }
                auth
            }
            Self::ApplicationCredential { credential, user, secret } => {
                let mut credential = credential.json();
                credential["secret"] = secret.expose().into();
                if let Some(user) = user {
                    credential["user"] = user.json();
                }
                let methods = ["application_credential"];
                json!({ "identity": { "methods": methods, "application_credential": credential } })
            }
        };
        json!({ "auth": auth })
    }

    /// Who logs in, for people.
    pub(super) fn who(&self) -> String {
        let name = |which: &IdOrName| match which {
            IdOrName::Id(text) | IdOrName::Name(text) => text.clone(),
        };
        match self {
            Self::Password { user, .. } => format!("the user {}", name(&user.account)),
            Self::ApplicationCredential { credential, .. } => {
                format!("the application credential {}", name(credential))
            }
        }
    }
}

impl IdOrName {
    fn json(&self) -> Value {
        match self {
            Self::Id(id) => json!({ "id": id }),
            Self::Name(name) => json!({ "name": name }),
        }
    }
}

impl Account {
    fn json(&self) -> Value {
        let mut json = self.account.json();
        if matches!(self.account, IdOrName::Name(_)) {
            json["domain"] = self.domain.json();
        }
        json
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(name: &str) -> Account {
        Account {
            account: IdOrName::Name(name.to_owned()),
            domain: IdOrName::Id("default".to_owned()),
        }
    }

    #[test]
    fn requests() {
        let password = Credentials::Password {
            user: named("congress"),
            password: Secret::from("pw".to_owned()),
            scope: Scope::Project(named("service")),
        };
        assert_eq!(
            password.request(),
            json!({"auth": {
                "identity": {"methods": ["password"], "password": {"user": {
                    "name": "congress", "domain": {"id": "default"}, "password": "pw",
                }}},
                "scope": {"project": {"name": "service", "domain": {"id": "default"}}},
            }})
        );
        assert!(!format!("{password:?}").contains("pw"));
        let credential = Credentials::ApplicationCredential {
            credential: IdOrName::Id("c".to_owned()),
            user: None,
            secret: Secret::from("s".to_owned()),
        };
        assert_eq!(
            credential.request()["auth"]["identity"]["application_credential"],
            json!({"id": "c", "secret": "s"})
        );
    }
}
