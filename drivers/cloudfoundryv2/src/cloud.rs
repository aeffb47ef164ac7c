//! Reading the API: lists of resources, most of them below another resource.

use std::cell::OnceCell;

use congress_driver::paging::{Pages, Paging};
use congress_driver::path::Path;
use congress_driver::session::Request;
use congress_driver::{Config, Error, Result, json, url};
use serde_json::{Map, Value as Json};

use crate::login::Login;

/// The API with a token, its organizations, and its spaces once they are needed.
pub(crate) struct Cloud {
    base: String,
    token: String,
    organizations: Vec<Json>,
    spaces: OnceCell<Result<Vec<Json>>>,
}

impl Cloud {
    /// Logs in, with the token of an earlier poll where that is still good, and reads the
    /// organizations, which everything else belongs to.
    pub(crate) fn open(config: &Config) -> Result<Self> {
        let login = Login::of(config)?;
        if let Some(token) = login.remembered() {
            match Self::with(login.base(), token) {
                Err(Error::Auth(_)) => {} // it has been revoked
                other => return other,
            }
        }
        Self::with(login.base(), login.log_in()?)
    }

    fn with(base: &str, token: String) -> Result<Self> {
        let mut cloud =
            Self { base: base.into(), token, organizations: Vec::new(), spaces: OnceCell::new() };
        cloud.organizations = cloud.resources("v2/organizations")?;
        Ok(cloud)
    }

    pub(crate) fn organizations(&self) -> &[Json] {
        &self.organizations
    }

    pub(crate) fn spaces(&self) -> Result<&[Json]> {
        let spaces = self.spaces.get_or_init(|| {
            let mut spaces = Vec::new();
            for organization in &self.organizations {
                let guid = guid(organization)?;
                spaces.append(&mut self.resources(&format!("v2/organizations/{guid}/spaces"))?);
            }
            Ok(spaces)
        });
        spaces.as_deref().map_err(Clone::clone)
    }

    /// The apps of a space; each has the ids of the service instances that it is bound to.
    pub(crate) fn apps(&self, space: &Json) -> Result<Vec<Json>> {
        let mut apps = self.resources(&format!("v2/spaces/{}/apps", guid(space)?))?;
        for app in &mut apps {
            let bindings = self.resources(&format!("v2/apps/{}/service_bindings", guid(app)?))?;
            let services = bindings.iter().map(|binding| binding["service_instance_guid"].clone());
            app["service_bindings"] = services.collect();
        }
        Ok(apps)
    }

    /// The service instances of a space; each knows its space.
    pub(crate) fn services(&self, space: &Json) -> Result<Vec<Json>> {
        let path = format!("v2/spaces/{}/summary", guid(space)?);
        let mut services = self.list(&path, "services", Paging::None)?;
        for service in &mut services {
            if let Json::Object(members) = service {
                members.insert("space_guid".into(), space["guid"].clone());
            }
        }
        Ok(services)
    }

    fn resources(&self, path: &str) -> Result<Vec<Json>> {
        let resources = self.list(path, "resources", Paging::Link(Path::member("next_url")))?;
        Ok(resources.iter().map(flat).collect())
    }

    /// The items of a list on all its pages; of one that has gone since its owner was read, none.
    fn list(&self, path: &str, list: &str, paging: Paging) -> Result<Vec<Json>> {
        let request = Request::get(&url::join(&self.base, path))
            .header("authorization", &format!("Bearer {}", self.token));
        let mut pages = Pages::new(request, paging, Path::member(list)).same_address();
        if path.matches('/').count() > 1 {
            pages = pages.may_be_gone();
        }
        let mut items = Vec::new();
        for page in pages {
            items.extend_from_slice(page?.list()?);
        }
        Ok(items)
    }
}

/// A resource as one object: what is said about it, and over that what it is.
fn flat(resource: &Json) -> Json {
    let mut flat = Map::new();
    for part in ["metadata", "entity"] {
        flat.extend(resource[part].as_object().cloned().unwrap_or_default());
    }
    Json::Object(flat)
}

/// A resource's id, for a path.
fn guid(resource: &Json) -> Result<String> {
    match &resource["guid"] {
        Json::String(guid) if !guid.is_empty() => Ok(url::encode(guid)),
        other => Err(Error::Protocol(format!("a resource's guid is {}", json::kind(other)))),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_become_one_object() {
        let resource = json!({
            "metadata": {"guid": "g", "created_at": "t", "name": "m"}, "entity": {"name": "e"},
        });
        assert_eq!(flat(&resource), json!({"guid": "g", "created_at": "t", "name": "e"}));
        assert_eq!(flat(&json!({"metadata": null})), json!({}));
        assert_eq!(guid(&json!({"guid": "a/b"})).unwrap(), "a%2Fb");
        assert!(guid(&json!({"guid": ""})).is_err() && guid(&json!({})).is_err());
    }
}
