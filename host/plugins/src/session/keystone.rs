//! Logging in at Keystone, and the catalogue that comes with the token: at version 3 of its API, or at
//! 2.0 where a configuration names that and nothing later is there.

mod v2;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use http::header::{CONTENT_TYPE, HeaderValue};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use serde::Deserialize;
use serde_json::json;
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

use super::{Budget, SessionError};
use crate::net::{Answer, Origin, Request, Sender};
use crate::secret::Secret;
use crate::text::clean;

/// A token is renewed this long before it expires, so that no request goes out with one that
/// expires on the way.
const MARGIN: Duration = Duration::from_secs(60);

/// A login at Keystone and what came of it.
pub(super) struct Keystone {
    auth_url: Url,
    credentials: Credentials,
    region: Option<String>,
    /// Which endpoints to use, whatever drivers ask for.
    interface: Option<Interface>,
    /// Where tokens are made; found out with the first login.
    tokens_url: Mutex<Option<TokensUrl>>,
    token: Mutex<Option<Arc<Token>>>,
}

/// A project by its name and its domain's.
pub(super) struct Scope {
    pub(super) project: String,
    pub(super) domain: String,
}

/// A user by name and domain's name.
pub(super) struct User {
    pub(super) name: String,
    pub(super) domain: String,
}

pub(super) enum Credentials {
    Password {
        user: User,
        password: Secret,
        scope: Scope,
    },
    /// It knows its project itself.
    ApplicationCredential {
        which: ApplicationCredential,
        secret: Secret,
    },
    Token {
        token: Secret,
        scope: Scope,
    },
}

pub(super) enum ApplicationCredential {
    Id(String),
    Name(String, User),
}

impl Credentials {
    /// The body of a login.
    fn request(&self) -> serde_json::Value {
        let user = |user: &User| json!({"name": user.name, "domain": {"name": user.domain}});
        let (method, content, scope) = match self {
            Self::Password { user: who, password, scope } => {
                let mut user = user(who);
                user["password"] = password.expose().into();
                ("password", json!({ "user": user }), Some(scope))
            }
            Self::ApplicationCredential { which, secret } => {
                let mut content = match which {
                    ApplicationCredential::Id(id) => json!({ "id": id }),
                    ApplicationCredential::Name(name, owner) => {
                        json!({ "name": name, "user": user(owner) })
                    }
                };
                content["secret"] = secret.expose().into();
                ("application_credential", content, None)
            }
            Self::Token { token, scope } => ("token", json!({ "id": token.expose() }), Some(scope)),
        };
        let mut auth = json!({ "identity": { "methods": [method], method: content } });
        if let Some(Scope { project, domain }) = scope {
            auth["scope"] = json!({"project": {"name": project, "domain": {"name": domain}}});
        }
        json!({ "auth": auth })
    }

    /// Who logs in, for messages.
    fn who(&self) -> String {
        match self {
            Self::Password { user, scope, .. } => {
                format!("user '{}' for project '{}'", user.name, scope.project)
            }
            Self::ApplicationCredential { which: ApplicationCredential::Id(id), .. } => {
                format!("application credential '{id}'")
            }
            Self::ApplicationCredential {
                which: ApplicationCredential::Name(name, user), ..
            } => format!("application credential '{name}' of user '{}'", user.name),
            Self::Token { scope, .. } => format!("the token for project '{}'", scope.project),
        }
    }
}

/// Where tokens are made, and by which version of the API.
#[derive(Clone)]
struct TokensUrl {
    url: Url,
    version: Version,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Version {
    V2,
    V3,
}

/// Which of a service's endpoints.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Interface {
    Public,
    Internal,
    Admin,
}

impl Interface {
    /// The interface of that name; old clients say `publicURL` and the like.
    pub(super) fn named(name: &str) -> Option<Self> {
        let name = name.strip_suffix("URL").unwrap_or(name);
        [Self::Public, Self::Internal, Self::Admin].into_iter().find(|i| i.name() == name)
    }

    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Internal => "internal",
            Self::Admin => "admin",
        }
    }
}

/// A token with its catalogue.
pub(super) struct Token {
    value: HeaderValue,
    renew_at: Instant,
    catalogue: Vec<Service>,
    origins: HashSet<Origin>,
}

#[derive(Deserialize)]
struct TokenDocument {
    token: TokenBody,
}

#[derive(Deserialize)]
struct TokenBody {
    expires_at: Option<String>,
    issued_at: Option<String>,
    #[serde(default)]
    catalog: Vec<Service>,
}

#[derive(Deserialize)]
struct Service {
    #[serde(rename = "type")]
    service_type: String,
    #[serde(default)]
    endpoints: Vec<Endpoint>,
}

#[derive(Deserialize)]
struct Endpoint {
    interface: String,
    url: String,
    region_id: Option<String>,
    region: Option<String>,
}

impl Keystone {
    pub(super) fn new(
        auth_url: Url,
        credentials: Credentials,
        region: Option<String>,
        interface: Option<Interface>,
    ) -> Self {
        Self {
            auth_url,
            credentials,
            region,
            interface,
            tokens_url: Mutex::default(),
            token: Mutex::default(),
        }
    }

    pub(super) fn region(&self) -> Option<&str> {
        self.region.as_deref()
    }

    /// The interface that the configuration asks for, else the driver's.
    pub(super) fn interface(&self, asked: Interface) -> Interface {
        self.interface.unwrap_or(asked)
    }

    /// The token at hand, also an expired one: its catalogue still says what is granted.
    pub(super) fn cached(&self) -> Option<Arc<Token>> {
        self.token.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Drops a token that a service refused, unless it has been replaced already.
    pub(super) fn forget(&self, refused: &Arc<Token>) {
        let mut token = self.token.lock().unwrap_or_else(PoisonError::into_inner);
        if token.as_ref().is_some_and(|token| Arc::ptr_eq(token, refused)) {
            *token = None;
        }
    }

    /// A token that is good for a while; logs in if there is none, unless that has failed in this
    /// call. Calls of one datasource that overlap may each log in, which is harmless.
    pub(super) async fn token(
        &self,
        sender: &Sender,
        budget: &Budget,
    ) -> Result<Arc<Token>, SessionError> {
        if let Some(token) = self.cached().filter(|token| Instant::now() < token.renew_at) {
            return Ok(token);
        }
        if let Some(error) = budget.failed_login() {
            return Err(error);
        }
        let login = self.log_in(sender, budget).await;
        let token = Arc::new(login.inspect_err(|error| budget.login_failed(error.clone()))?);
        *self.token.lock().unwrap_or_else(PoisonError::into_inner) = Some(token.clone());
        Ok(token)
    }

    async fn log_in(&self, sender: &Sender, budget: &Budget) -> Result<Token, SessionError> {
        let TokensUrl { url, version } = self.tokens_url(sender, budget).await?;
        let body = match version {
            Version::V2 => v2::login(&self.credentials)?,
            Version::V3 => self.credentials.request(),
        };
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        let _under_way = budget.begin(&url)?;
        let body = body.to_string().into();
        let request = Request { method: Method::POST, url, headers, body };
        let answer = sender.fetch(request, &|| budget.patience()).await?;
        if !matches!(answer.status.as_u16(), 200 | 201 | 401 | 403) {
            // The next login asks again where to log in: Keystone may have moved.
            *self.tokens_url.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        match answer.status {
            StatusCode::OK | StatusCode::CREATED => match version {
                Version::V2 => v2::token(&answer),
                Version::V3 => Token::read(&answer),
            },
            status if self.is_refusal(status) => Err(SessionError::Auth(format!(
                "Keystone refused {} with status {}{}",
                self.credentials.who(),
                answer.status.as_u16(),
                message(&answer)
            ))),
            status => Err(SessionError::Protocol(format!(
                "Keystone answered the login with status {}{}",
                status.as_u16(),
                message(&answer)
            ))),
        }
    }

    /// Whether Keystone has refused the credentials. A token that has expired is none that it knows.
    fn is_refusal(&self, status: StatusCode) -> bool {
        let is_token = matches!(self.credentials, Credentials::Token { .. });
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN)
            || is_token && status == StatusCode::NOT_FOUND
    }

    /// Where to log in: `auth_url` itself if it names version 3, else what Keystone says.
    async fn tokens_url(
        &self,
        sender: &Sender,
        budget: &Budget,
    ) -> Result<TokensUrl, SessionError> {
        let known = self.tokens_url.lock().unwrap_or_else(PoisonError::into_inner).clone();
        if let Some(known) = known {
            return Ok(known);
        }
        let mut given = self.auth_url.clone();
        given.set_query(None);
        given.set_fragment(None);
        let version = given.path().trim_end_matches('/').rsplit('/').next().unwrap_or_default();
        let found = if version == "v3" {
            TokensUrl::v3(given)
        } else if version.starts_with("v2") {
            // Version 2 is gone nearly everywhere, but stands in many a configuration.
            let mut root = given.clone();
            pop_segment(&mut root);
            match discover(&root, sender, budget).await? {
                Some(v3) => TokensUrl::v3(v3),
                None => TokensUrl::v2(given),
            }
        } else {
            TokensUrl::v3(match discover(&given, sender, budget).await? {
                Some(v3) => v3,
                None => {
                    push_segments(&mut given, &["v3"]);
                    given
                }
            })
        };
        *self.tokens_url.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }
}

impl TokensUrl {
    fn v2(mut url: Url) -> Self {
        push_segments(&mut url, &["tokens"]);
        Self { url, version: Version::V2 }
    }

    fn v3(mut url: Url) -> Self {
        push_segments(&mut url, &["auth", "tokens"]);
        Self { url, version: Version::V3 }
    }
}

/// Asks an unversioned URL for its version 3. What it answers counts only if it stays on the
/// same origin, for behind proxies services often know no address of theirs that works.
async fn discover(
    base: &Url,
    sender: &Sender,
    budget: &Budget,
) -> Result<Option<Url>, SessionError> {
    let _under_way = budget.begin(base)?;
    let request = Request {
        method: Method::GET,
        url: base.clone(),
        headers: HeaderMap::new(),
        body: bytes::Bytes::new(),
    };
    let answer = sender.fetch(request, &|| budget.patience()).await?;
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    let versions = [
        document.pointer("/versions/values"),
        document.pointer("/versions"),
        document.pointer("/version"),
    ];
    let mut v3 = versions
        .into_iter()
        .flatten()
        .flat_map(|v| v.as_array().map_or(std::slice::from_ref(v), Vec::as_slice))
        .filter(|v| v["id"].as_str().is_some_and(|id| id.starts_with("v3")))
        .peekable();
    if v3.peek().is_none() {
        return Ok(None);
    }
    let named = v3
        .flat_map(|v| v["links"].as_array().map_or(&[][..], Vec::as_slice))
        .filter(|link| link["rel"] == "self")
        .filter_map(|link| base.join(link["href"].as_str()?).ok())
        .find(|url| url.origin() == base.origin());
    Ok(Some(named.unwrap_or_else(|| {
        let mut url = base.clone();
        push_segments(&mut url, &["v3"]);
        url
    })))
}

fn push_segments(url: &mut Url, segments: &[&str]) {
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
}

fn pop_segment(url: &mut Url) {
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().pop();
    }
}

/// What Keystone says about an error, if it says something.
fn message(answer: &Answer) -> String {
    let document: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match document.pointer("/error/message").and_then(|message| message.as_str()) {
        Some(message) => format!(": {}", clean(message, 300)),
        None => String::new(),
    }
}

fn protocol(what: &str) -> SessionError {
    SessionError::Protocol(format!("Keystone's login {what}"))
}

impl Token {
    fn read(answer: &Answer) -> Result<Self, SessionError> {
        let mut value = answer
            .headers
            .get("x-subject-token")
            .cloned()
            .ok_or_else(|| protocol("gave no token"))?;
        value.set_sensitive(true);
        let document: TokenDocument = serde_json::from_slice(&answer.body)
            .map_err(|_| protocol("gave a document that cannot be read"))?;
        let body = document.token;

        Self::new(value, body.expires_at, body.issued_at, body.catalog)
    }

    fn new(
        value: HeaderValue,
        expires_at: Option<String>,
        issued_at: Option<String>,
        catalogue: Vec<Service>,
    ) -> Result<Self, SessionError> {
        // Keystone's two times are compared with each other, so that its clock need not agree
        // with ours.
        let parse = |text: Option<String>| OffsetDateTime::parse(&text?, &Rfc3339).ok();
        let expires = parse(expires_at).ok_or_else(|| protocol("gave no time of expiry"))?;
        let issued = parse(issued_at).unwrap_or_else(OffsetDateTime::now_utc);
        let lifetime = Duration::try_from(expires - issued).unwrap_or_default();
        let lifetime = lifetime.saturating_sub(MARGIN.min(lifetime / 2));

        let origins = catalogue
            .iter()
            .flat_map(|service| &service.endpoints)
            .filter_map(|endpoint| Origin::parse(&endpoint.url).ok())
            .collect();
        let now = Instant::now();
        Ok(Self { value, renew_at: now.checked_add(lifetime).unwrap_or(now), catalogue, origins })
    }

    /// The value of `X-Auth-Token`.
    pub(super) fn header(&self) -> HeaderValue {
        self.value.clone()
    }

    /// Whether the catalogue names an origin.
    pub(super) fn grants(&self, origin: &Origin) -> bool {
        self.origins.contains(origin)
    }

    pub(super) fn endpoint(
        &self,
        service_type: &str,
        interface: Interface,
        region: Option<&str>,
    ) -> Result<String, SessionError> {
        let in_region = |endpoint: &&Endpoint| {
            region.is_none_or(|region| {
                endpoint.region_id.as_deref().or(endpoint.region.as_deref()) == Some(region)
            })
        };
        self.catalogue
            .iter()
            .filter(|service| service.service_type == service_type)
            .flat_map(|service| &service.endpoints)
            .filter(|endpoint| endpoint.interface == interface.name())
            .find(in_region)
            .map(|endpoint| endpoint.url.trim_end_matches('/').to_owned())
            .ok_or_else(|| {
                let place = region.map_or(String::new(), |r| format!(" in {r} region"));
                SessionError::Missing(format!(
                    "{} endpoint for {} service{place} not found",
                    interface.name(),
                    clean(service_type, 100)
                ))
            })
    }
}
