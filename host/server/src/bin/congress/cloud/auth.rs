//! Who asks.

use std::fmt;

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

use super::settings::Settings;

/// Who asks, and how that is shown.
pub(crate) enum Auth {
    /// Nobody: a server without Keystone.
    None,
    /// Whoever has this token, which is taken as it is.
    Token(String),
    /// Whoever Keystone gives a token for this.
    Keystone {
        /// Keystone's address, with its version.
        url: String,
        /// What is sent to it.
        request: Value,
    },
}

// Neither tokens nor passwords.
impl fmt::Debug for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "None",
            Self::Token(_) => "Token",
            Self::Keystone { .. } => "Keystone",
        })
    }
}

impl Auth {
    /// What the settings say.
    ///
    /// # Errors
    ///
    /// The kind is unknown, or something that it needs is missing.
    pub(super) fn new<F>(settings: &Settings<F>) -> anyhow::Result<Self>
    where
        F: Fn(&str) -> Option<String>,
    {
        let kind = settings.get("auth_type").unwrap_or_else(|| match settings.get("auth_url") {
            Some(_) => "password".to_owned(),
            None => "none".to_owned(),
        });
        let identity = match kind.as_str() {
            "none" | "noauth" => return Ok(Self::None),
            "password" | "v3password" => json!({
                "methods": ["password"],
                "password": {"user": user(settings, true)?},
            }),
            "token" | "v3token" | "admin_token" => {
                let token = wanted(settings, &["token"], &kind)?;
                // With the server's address there is nothing that Keystone could add.
                let is_known = settings.first(&["policy_endpoint_override", "endpoint", "url"]);
                if is_known.is_some() || settings.get("auth_url").is_none() {
                    return Ok(Self::Token(token));
                }
                json!({"methods": ["token"], "token": {"id": token}})
            }
            "v3applicationcredential" => json!({
                "methods": ["application_credential"],
                "application_credential": credential(settings)?,
            }),
            other => bail!(
                "the auth type '{other}' is not known here; there are none, password, token and \
                 v3applicationcredential"
            ),
        };
        let mut auth = json!({ "identity": identity });
        // An application credential has its project.
        if kind != "v3applicationcredential"
            && let Some(scope) = scope(settings)
        {
            auth["scope"] = scope;
        }
        let url = wanted(settings, &["auth_url"], &kind)?;
        Ok(Self::Keystone { url: versioned(&url), request: json!({ "auth": auth }) })
    }

    pub(super) fn is_keystone(&self) -> bool {
        matches!(self, Self::Keystone { .. })
    }
}

/// Keystone's address with `/v3`.
fn versioned(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let bare = url.strip_suffix("/v3").or_else(|| url.strip_suffix("/v2.0")).unwrap_or(url);
    format!("{bare}/v3")
}

fn wanted<F>(settings: &Settings<F>, names: &[&str], kind: &str) -> anyhow::Result<String>
where
    F: Fn(&str) -> Option<String>,
{
    settings.first(names).with_context(|| {
        let name = names.first().copied().unwrap_or_default();
        format!(
            "{name} is missing for the auth type '{kind}': set OS_{}, or {name} of the cloud in \
             clouds.yaml",
            name.to_uppercase()
        )
    })
}

fn user<F: Fn(&str) -> Option<String>>(
    settings: &Settings<F>,
    with_password: bool,
) -> anyhow::Result<Value> {
    let mut user = match settings.get("user_id") {
        Some(id) => json!({ "id": id }),
        None => json!({
            "name": wanted(settings, &["username", "user_name"], "password")?,
            "domain": domain(settings, "user_domain"),
        }),
    };
    if with_password {
        user["password"] = wanted(settings, &["password"], "password")?.into();
    }
    Ok(user)
}

fn credential<F: Fn(&str) -> Option<String>>(settings: &Settings<F>) -> anyhow::Result<Value> {
    let kind = "v3applicationcredential";
    let secret = wanted(settings, &["application_credential_secret"], kind)?;
    Ok(match settings.get("application_credential_name") {
        Some(name) if settings.get("application_credential_id").is_none() => {
            json!({"name": name, "secret": secret, "user": user(settings, false)?})
        }
        _ => json!({
            "id": wanted(settings, &["application_credential_id"], kind)?,
            "secret": secret,
        }),
    })
}

/// The project, domain or system that the token is for.
fn scope<F: Fn(&str) -> Option<String>>(settings: &Settings<F>) -> Option<Value> {
    if let Some(id) = settings.first(&["project_id", "tenant_id"]) {
        return Some(json!({"project": {"id": id}}));
    }
    if let Some(name) = settings.first(&["project_name", "tenant_name"]) {
        let domain = domain(settings, "project_domain");
        return Some(json!({"project": {"name": name, "domain": domain}}));
    }
    if settings.get("system_scope").is_some() {
        return Some(json!({"system": {"all": true}}));
    }
    let id = settings.get("domain_id").map(|id| json!({"domain": {"id": id}}));
    id.or_else(|| settings.get("domain_name").map(|name| json!({"domain": {"name": name}})))
}

fn domain<F: Fn(&str) -> Option<String>>(settings: &Settings<F>, of: &str) -> Value {
    let named = |prefix: &str| {
        let id = settings.get(&format!("{prefix}_id")).map(|id| json!({ "id": id }));
        id.or_else(|| settings.get(&format!("{prefix}_name")).map(|name| json!({ "name": name })))
    };
    named(of)
        .or_else(|| named("default_domain"))
        .or_else(|| settings.get("default_domain").map(|id| json!({ "id": id })))
        .unwrap_or_else(|| json!({"id": "default"}))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn auth(variables: &[(&str, &str)]) -> anyhow::Result<Auth> {
        let variable = |name: &str| {
            variables.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned())
        };
        Auth::new(&Settings::new(None, variable)?)
    }

    fn request(variables: &[(&str, &str)]) -> Value {
        match auth(variables).unwrap() {
            Auth::Keystone { url, request } => {
                assert_eq!(url, "http://k:5000/v3");
                request["auth"].clone()
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn passwords_are_for_a_project() {
        let auth = request(&[
            ("OS_AUTH_URL", "http://k:5000/"),
            ("OS_USERNAME", "ada"),
            ("OS_PASSWORD", "hush"),
            ("OS_PROJECT_NAME", "research"),
            ("OS_PROJECT_DOMAIN_NAME", "Default"),
        ]);
        let user = &auth["identity"]["password"]["user"];
        assert_eq!(*user, json!({"name": "ada", "domain": {"id": "default"}, "password": "hush"}));
        let project = json!({"name": "research", "domain": {"name": "Default"}});
        assert_eq!(auth["scope"], json!({ "project": project }));
    }

    #[test]
    fn a_credential_has_its_project_already() {
        let auth = request(&[
            ("OS_AUTH_TYPE", "v3applicationcredential"),
            ("OS_AUTH_URL", "http://k:5000/v3"),
            ("OS_APPLICATION_CREDENTIAL_ID", "c"),
            ("OS_APPLICATION_CREDENTIAL_SECRET", "hush"),
            ("OS_PROJECT_NAME", "another"),
        ]);
        let credential = json!({"id": "c", "secret": "hush"});
        assert_eq!(auth["identity"]["application_credential"], credential);
        assert!(auth["scope"].is_null());
    }

    #[test]
    fn a_token_is_taken_as_it_is_where_the_server_is_known() {
        let known = [("OS_AUTH_TYPE", "token"), ("OS_TOKEN", "t"), ("OS_ENDPOINT", "http://c")];
        assert!(matches!(auth(&known).unwrap(), Auth::Token(token) if token == "t"));
        let asked =
            [("OS_AUTH_TYPE", "token"), ("OS_TOKEN", "t"), ("OS_AUTH_URL", "http://k:5000")];
        assert_eq!(request(&asked)["identity"]["token"]["id"], "t");
    }

    #[test]
    fn what_is_missing_is_named() {
        assert!(matches!(auth(&[]).unwrap(), Auth::None));
        let bare = auth(&[("OS_AUTH_URL", "http://k:5000"), ("OS_USERNAME", "ada")]);
        let error = bare.unwrap_err().to_string();
        assert!(error.contains("set OS_PASSWORD"), "{error}");
        let error = auth(&[("OS_AUTH_TYPE", "v3kerberos")]).unwrap_err().to_string();
        assert!(error.contains("'v3kerberos' is not known here"), "{error}");
    }
}
