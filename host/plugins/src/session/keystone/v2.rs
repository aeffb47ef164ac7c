//! Version 2.0 of Keystone's API: no domains, the token in the body, and a catalogue of another
//! shape.

use http::header::HeaderValue;
use serde::Deserialize;
use serde_json::json;

use super::{Credentials, Endpoint, Interface, Service, Token, protocol};
use crate::net::Answer;
use crate::session::SessionError;

#[derive(Deserialize)]
struct AccessDocument {
    access: Access,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Access {
    token: AccessToken,
    #[serde(default)]
    service_catalog: Vec<AccessService>,
}

#[derive(Deserialize)]
struct AccessToken {
    id: String,
    expires: Option<String>,
    issued_at: Option<String>,
}

#[derive(Deserialize)]
struct AccessService {
    #[serde(rename = "type")]
    service_type: String,
    #[serde(default)]
    endpoints: Vec<AccessEndpoint>,
}

/// The addresses of a service in one region.
#[derive(Deserialize)]
struct AccessEndpoint {
    region: Option<String>,
    #[serde(rename = "publicURL")]
    public: Option<String>,
    #[serde(rename = "internalURL")]
    internal: Option<String>,
    #[serde(rename = "adminURL")]
    admin: Option<String>,
}

/// The body of a login.
pub(super) fn login(credentials: &Credentials) -> Result<serde_json::Value, SessionError> {
    let (name, content, scope) = match credentials {
        Credentials::Password { user, password, scope } => {
            let content = json!({"username": user.name, "password": password.expose()});
            ("passwordCredentials", content, scope)
        }
        Credentials::Token { token, scope } => ("token", json!({ "id": token.expose() }), scope),
        Credentials::ApplicationCredential { .. } => {
            return Err(SessionError::Auth(
                "this Keystone has version 2.0 of its API alone, which knows no application \
                 credentials"
                    .to_owned(),
            ));
        }
    };
    Ok(json!({"auth": {"tenantName": scope.project, name: content}}))
}

/// The token that a login gave.
pub(super) fn token(answer: &Answer) -> Result<Token, SessionError> {
    let AccessDocument { access } = serde_json::from_slice(&answer.body)
        .map_err(|_| protocol("gave a document that cannot be read"))?;
    let mut value = HeaderValue::from_str(&access.token.id)
        .map_err(|_| protocol("gave a token that no header can hold"))?;
    value.set_sensitive(true);
    let catalogue = access.service_catalog.into_iter().map(AccessService::into_service).collect();
    Token::new(value, access.token.expires, access.token.issued_at, catalogue)
}

impl AccessService {
    fn into_service(self) -> Service {
        let endpoints = self.endpoints.into_iter().flat_map(AccessEndpoint::into_endpoints);
        Service { service_type: self.service_type, endpoints: endpoints.collect() }
    }
}

impl AccessEndpoint {
    fn into_endpoints(self) -> impl Iterator<Item = Endpoint> {
        let Self { region, public, internal, admin } = self;
        let urls = [
            (Interface::Public, public),
            (Interface::Internal, internal),
            (Interface::Admin, admin),
        ];
        urls.into_iter().filter_map(move |(interface, url)| {
            Some(Endpoint {
                interface: interface.name().to_owned(),
                url: url?,
                region_id: None,
                region: region.clone(),
            })
        })
    }
}
