//! Who asks: what Keystone says of a token.

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};
use serde_json::{Map, Value, json};

/// Somebody with a good token.
#[derive(Debug, PartialEq)]
pub(crate) struct Caller {
    /// The user.
    pub(crate) user_id: String,
    /// The project that the token is for, if it is for one.
    pub(crate) project_id: Option<String>,
    roles: Vec<String>,
    /// All that checks may ask for, by the names that policy files have for it.
    pub(crate) attributes: Value,
}

/// A token as Keystone describes it.
#[derive(Debug, Deserialize)]
pub(super) struct TokenBody {
    #[serde(deserialize_with = "time")]
    pub(super) expires_at: Timestamp,
    user: Named,
    project: Option<Named>,
    domain: Option<Named>,
    system: Option<Value>,
    #[serde(default)]
    roles: Vec<Named>,
    is_admin_project: Option<bool>,
    /// Where services are, if it was asked for.
    #[serde(default)]
    pub(super) catalog: Vec<CatalogService>,
}

#[derive(Debug, Deserialize)]
struct Named {
    #[serde(default)]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
    domain: Option<Box<Named>>,
}

/// A service in the catalogue.
#[derive(Debug, Deserialize)]
pub(super) struct CatalogService {
    #[serde(rename = "type", default)]
    pub(super) kind: String,
    #[serde(default)]
    pub(super) endpoints: Vec<CatalogEndpoint>,
}

/// One of its addresses.
#[derive(Debug, Deserialize)]
pub(super) struct CatalogEndpoint {
    #[serde(default)]
    pub(super) interface: String,
    pub(super) region_id: Option<String>,
    pub(super) url: String,
}

impl Caller {
    /// Somebody with these attributes, of which ids are taken, and these roles.
    pub(super) fn new(attributes: Value, roles: Vec<String>) -> Self {
        let text = |key: &str| attributes[key].as_str().map(str::to_owned);
        Self {
            user_id: text("user_id").unwrap_or_default(),
            project_id: text("project_id"),
            roles,
            attributes,
        }
    }

    /// Whether one of the roles has this name, whatever its case.
    pub(crate) fn has_role(&self, name: &str) -> bool {
        self.roles.iter().any(|role| role.eq_ignore_ascii_case(name) || same(role, name))
    }
}

fn same(a: &str, b: &str) -> bool {
    !(a.is_ascii() && b.is_ascii()) && a.to_lowercase() == b.to_lowercase()
}

impl From<TokenBody> for Caller {
    fn from(token: TokenBody) -> Self {
        let roles: Vec<_> = token.roles.into_iter().filter_map(|role| role.name).collect();
        let mut attributes = Map::new();
        let mut add = |names: &[&str], value: Option<String>| {
            for name in names {
                attributes.insert((*name).to_owned(), json!(value));
            }
        };
        let (user, user_domain) = token.user.parts();
        add(&["user_id", "user"], user.0);
        add(&["user_name", "username"], user.1);
        add(&["user_domain_id", "user_domain"], user_domain.0);
        add(&["user_domain_name"], user_domain.1);
        let (project, project_domain) = token.project.map(Named::parts).unwrap_or_default();
        add(&["project_id", "tenant_id", "tenant", "project"], project.0);
        add(&["project_name", "tenant_name"], project.1);
        add(&["project_domain_id", "project_domain"], project_domain.0);
        add(&["project_domain_name"], project_domain.1);
        let (domain, _) = token.domain.map(Named::parts).unwrap_or_default();
        add(&["domain_id", "domain"], domain.0);
        add(&["domain_name"], domain.1);
        let whole_system = token.system.is_some_and(|system| system["all"] == true);
        add(&["system_scope"], whole_system.then(|| "all".to_owned()));
        attributes.insert("roles".to_owned(), json!(roles));
        // Keystone leaves it out where there is no such project, and then all are of it.
        let is_admin_project = token.is_admin_project.unwrap_or(true);
        attributes.insert("is_admin_project".to_owned(), json!(is_admin_project));
        Self::new(attributes.into(), roles)
    }
}

fn time<'de, D: Deserializer<'de>>(from: D) -> Result<Timestamp, D::Error> {
    String::deserialize(from)?.parse().map_err(D::Error::custom)
}

/// An id and a name.
type IdAndName = (Option<String>, Option<String>);

impl Named {
    /// Its id and name, and those of its domain.
    fn parts(self) -> (IdAndName, IdAndName) {
        let domain = self.domain.map(|domain| (domain.id, domain.name)).unwrap_or_default();
        ((self.id, self.name), domain)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_becomes_a_caller() {
        let body = json!({
            "methods": ["password"], "expires_at": "2026-11-27T19:14:58.000000Z",
            "user": {"id": "u1", "name": "ada", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p1", "name": "demo", "domain": {"id": "d2", "name": "Two"}},
            "roles": [{"id": "r", "name": "Reader"}, {"id": "s", "name": "Größe"}],
        });
        let token: TokenBody = serde_json::from_value(body).unwrap();
        assert_eq!(token.expires_at.to_string(), "2026-11-27T19:14:58Z");
        let caller = Caller::from(token);
        assert_eq!((caller.user_id.as_str(), caller.project_id.as_deref()), ("u1", Some("p1")));
        assert!(
            caller.has_role("reader") && caller.has_role("GRÖSSE") == caller.has_role("grösse")
        );
        assert!(caller.has_role("GRÖßE") && !caller.has_role("admin"));
        assert_eq!(caller.attributes["project_domain_name"], "Two");
        assert_eq!(caller.attributes["tenant"], "p1");
        assert_eq!(caller.attributes["system_scope"], Value::Null);

        let system = json!({
            "expires_at": "2026-11-27T19:14:58Z", "user": {"id": "u1"}, "system": {"all": true},
        });
        let caller = Caller::from(serde_json::from_value::<TokenBody>(system).unwrap());
        assert_eq!(caller.project_id, None);
        assert_eq!(caller.attributes["system_scope"], "all");
    }
}
