//! Requests with credentials that the guest never sees.

mod budget;
mod busy;
pub(crate) mod fields;
mod keystone;

use std::sync::Arc;
use std::time::Duration;

use http::header::{AUTHORIZATION, HeaderName, HeaderValue, LOCATION};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use tokio::sync::OwnedSemaphorePermit;

pub(crate) use self::budget::Budget;
use self::budget::UnderWay;
use self::busy::Busy;
pub(crate) use self::keystone::Interface;
use self::keystone::{ApplicationCredential, Credentials, Keystone, Scope, Token, User};
use crate::net::{
    Answer, GrantTrust, Grants, Network, Origin, Request, SendError, Sender, TlsTrust, only_reads,
    parse_url,
};
use crate::secret::Secret;
use crate::settings::{Settings, basic};
use crate::{ConfigError, ConfigField, DriverError, Limits, Metadata, SessionKind};

/// A datasource's way to its service; kept across calls, and with it the Keystone token.
pub(crate) struct Session {
    login: Login,
    grants: Grants,
    sender: Sender,
    busy: Busy,
    /// The fields that hold addresses, and what they hold.
    addresses: Vec<(String, String)>,
}

enum Login {
    None,
    /// Always the same header.
    Fixed(HeaderName, HeaderValue),
    Keystone(Box<Keystone>),
}

/// Headers that belong to the connection, or say whom the request is for: never a guest's.
const FORBIDDEN: [&str; 12] = [
    "host",
    "connection",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "transfer-encoding",
    "content-length",
    "te",
    "trailer",
    "upgrade",
    "http2-settings",
];

impl Session {
    /// Sets a session up; uses no network.
    pub(crate) fn new(
        metadata: &Metadata,
        settings: &Settings,
        network: Arc<Network>,
        trust: TlsTrust,
    ) -> Result<Self, ConfigError> {
        let mut grants = Grants::new(&metadata.hosts, settings);
        let login = match metadata.session {
            SessionKind::None => Login::None,
            SessionKind::Keystone => Login::keystone(metadata, settings, &mut grants)?,
            SessionKind::Configured => Login::configured(metadata, settings, &mut grants)?,
        };
        let named = |field: &&ConfigField| {
            metadata.hosts.iter().any(|pattern| pattern.contains(&format!("{{{}}}", field.name)))
        };
        let held = |field: &ConfigField| {
            Some((field.name.clone(), settings.filled(&field.name)?.to_owned()))
        };
        let addresses = metadata.config.iter().filter(named).filter_map(held).collect();
        let sender = Sender::new(network, trust);
        Ok(Self { login, grants, sender, busy: Busy::default(), addresses })
    }

    /// A session that reaches nothing, for calls that have no configuration.
    pub(crate) fn closed(network: Arc<Network>) -> Self {
        Self {
            login: Login::None,
            grants: Grants::default(),
            sender: Sender::new(network, TlsTrust::System),
            busy: Busy::default(),
            addresses: Vec::new(),
        }
    }

    pub(crate) fn limits(&self) -> &Limits {
        &self.sender.network().limits
    }

    /// How long a service that was too busy wants to be left alone.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.busy.rest()
    }

    /// The base URL of a service, without a trailing slash.
    pub(crate) async fn endpoint(
        &self,
        service_type: &str,
        interface: Interface,
        budget: &Budget,
    ) -> Result<String, SessionError> {
        let Login::Keystone(keystone) = &self.login else {
            return Err(SessionError::Unsupported(
                "a service's endpoint is known only to Keystone sessions".to_owned(),
            ));
        };
        let token = keystone.token(&self.sender, budget).await?;
        token.endpoint(service_type, keystone.interface(interface), keystone.region())
    }

    /// Sends a request with the datasource's credentials; after a 401 once more with new ones, and
    /// again after a while if the service is too busy.
    pub(crate) async fn send(
        &self,
        method: &str,
        url: &str,
        headers: HeaderMap,
        body: Vec<u8>,
        budget: &Budget,
    ) -> Result<Answer, SessionError> {
        let url = parse_url(url)
            .and_then(|parsed| Origin::of(&parsed).map(|_| parsed))
            .map_err(|error| self.unusable(url, error))?;
        let method = Method::from_bytes(method.as_bytes())
            .ok()
            .filter(|method| method != Method::CONNECT)
            .ok_or_else(|| SendError::Refused("the method cannot be used".to_owned()))?;
        if let Some(name) = headers.keys().find(|name| FORBIDDEN.contains(&name.as_str())) {
            return Err(SendError::Refused(format!("the header '{name}' may not be set")).into());
        }
        let limit = self.sender.network().limits.request_bytes;
        if body.len() > limit {
            return Err(SendError::Limit(format!(
                "the request's body is longer than {limit} bytes, the limit `request_bytes`"
            ))
            .into());
        }

        let mut request = Request { method, url, headers, body: body.into() };
        let limit = self.limits().redirects;
        let mut left = limit;
        loop {
            let answer =
                self.send_until_done(&request, budget).await.map_err(|error| match error {
                    SessionError::Send(SendError::Denied(text)) if left < limit => {
                        SendError::Denied(format!("the service redirects elsewhere: {text}")).into()
                    }
                    other => other,
                })?;
            match redirect(&request, &answer).filter(|_| left > 0) {
                Some(url) => request.url = url,
                None => return Ok(answer),
            }
            left -= 1;
        }
    }

    /// Why a URL cannot be used: because of the configuration if it begins with what a field holds.
    fn unusable(&self, url: &str, error: SendError) -> SessionError {
        match self.addresses.iter().find(|(_, value)| url.trim_start().starts_with(value)) {
            Some((field, _)) => SessionError::Config(format!(
                "the field '{field}' must hold an address that begins with http:// or https:// \
                 ({error})"
            )),
            None => error.into(),
        }
    }

    /// Sends a request, again if the service is too busy and the call has the time to wait.
    async fn send_until_done(
        &self,
        request: &Request,
        budget: &Budget,
    ) -> Result<Answer, SessionError> {
        let origin = Origin::of(&request.url)?;
        let mut answer = self.send_once(request.clone(), budget).await?;
        for again in 0.. {
            let pause = busy::pause(&request.method, &answer, again, busy::random());
            // What is replayed is as it was recorded, and nobody waits for it.
            let in_time = |pause: &Duration| budget.can_wait(*pause) && !self.sender.is_watched();
            let Some(pause) = pause.filter(in_time) else { break };
            tokio::time::sleep(pause).await;
            match self.send_once(request.clone(), budget).await {
                Ok(next) => answer = next,
                // The answer that there is says more.
                Err(SessionError::Send(SendError::Limit(_))) => break,
                Err(error) => return Err(error),
            }
        }
        self.busy.note(origin, &answer);
        Ok(answer)
    }

    /// Sends a request, or the next one that a redirect leads to: each is judged by itself.
    async fn send_once(&self, request: Request, budget: &Budget) -> Result<Answer, SessionError> {
        let origin = Origin::of(&request.url)?;
        match &self.login {
            Login::None => {
                self.granted(&origin)?;
                self.fetch(request, budget).await
            }
            Login::Fixed(name, value) => {
                self.granted(&origin)?;
                let mut request = request;
                if self.grants.may_see_credentials(&origin) {
                    request.headers.insert(name.clone(), value.clone());
                }
                self.fetch(request, budget).await
            }
            Login::Keystone(keystone) => {
                self.send_with_token(keystone, &origin, request, budget).await
            }
        }
    }

    async fn send_with_token(
        &self,
        keystone: &Keystone,
        origin: &Origin,
        request: Request,
        budget: &Budget,
    ) -> Result<Answer, SessionError> {
        let token = keystone.token(&self.sender, budget).await?;
        if self.grants.get(origin) == Some(GrantTrust::Driver) && !token.grants(origin) {
            // An address that the driver brought along must not learn the cloud's token.
            return self.fetch(request, budget).await;
        }
        if !token.grants(origin) {
            self.granted(origin)?;
        }
        let with = |token: &Token| {
            let mut headers = request.headers.clone();
            headers.insert("x-auth-token", token.header());
            Request {
                method: request.method.clone(),
                url: request.url.clone(),
                headers,
                body: request.body.clone(),
            }
        };
        let answer = self.fetch(with(&token), budget).await?;
        if answer.status != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        keystone.forget(&token);
        let token = keystone.token(&self.sender, budget).await?;
        self.fetch(with(&token), budget).await
    }

    async fn fetch(&self, request: Request, budget: &Budget) -> Result<Answer, SessionError> {
        let _under_way = budget.begin(&request.url)?;
        let is_read = only_reads(&request.method);
        let answer = self.sender.fetch(request, &|| budget.patience()).await;
        let mut answer = answer.map_err(|error| match error {
            // It was sent, and nobody knows whether it was done.
            SendError::TooLong(text) if !is_read => SendError::Connection(text),
            other => other,
        })?;
        // A service that hands out tokens hands them to the host.
        answer.headers.remove("x-subject-token");
        Ok(answer)
    }

    /// For `wasi:http`: the same grants and limits, no credentials, the body unread.
    pub(crate) async fn open(
        &self,
        request: Request,
        budget: &Budget,
    ) -> Result<(reqwest::Response, (OwnedSemaphorePermit, UnderWay), Duration), SendError> {
        let origin = Origin::of(&request.url)?;
        self.granted(&origin)?;
        let under_way = budget.begin(&request.url)?;
        let (response, turn, timeout) = self.sender.open(request, &|| budget.patience()).await?;
        Ok((response, (turn, under_way), timeout))
    }

    fn granted(&self, origin: &Origin) -> Result<(), SendError> {
        let from_catalogue = match &self.login {
            Login::Keystone(keystone) => keystone.cached().is_some_and(|t| t.grants(origin)),
            _ => false,
        };
        if from_catalogue || self.grants.get(origin).is_some() {
            return Ok(());
        }
        Err(SendError::Denied(format!(
            "{origin} is not granted: neither the datasource's configuration nor the service \
             catalogue names it"
        )))
    }
}

/// Where an answer redirects a request that may be repeated elsewhere.
fn redirect(request: &Request, answer: &Answer) -> Option<Url> {
    let is_redirect = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location =
        answer.headers.get(LOCATION).filter(|_| is_redirect && only_reads(&request.method))?;
    request.url.join(location.to_str().ok()?).ok()
}

impl Login {
    fn configured(
        metadata: &Metadata,
        settings: &Settings,
        grants: &mut Grants,
    ) -> Result<Self, ConfigError> {
        let need = |field: &str| need(metadata, settings, field);
        let fixed = |name: HeaderName, value: String, field: &str| {
            let mut value = HeaderValue::from_str(&value)
                .map_err(|_| metadata.invalid(field, "has characters that no header can hold"))?;
            value.set_sensitive(true);
            Ok(Self::Fixed(name, value))
        };
        match settings.filled("auth").unwrap_or("none") {
            "none" => Ok(Self::None),
            "basic" => {
                let password = settings.get("password").unwrap_or_default();
                let pair = basic(need("username")?, password);
                fixed(AUTHORIZATION, format!("Basic {pair}"), "password")
            }
            "bearer" => fixed(AUTHORIZATION, format!("Bearer {}", need("token")?), "token"),
            "header" => {
                let name = need("auth_header")?;
                let name = HeaderName::from_bytes(name.as_bytes())
                    .ok()
                    .filter(|name| !FORBIDDEN.contains(&name.as_str()))
                    .ok_or_else(|| metadata.invalid("auth_header", "is not a usable header"))?;
                fixed(name, need("token")?.to_owned(), "token")
            }
            "keystone" => Self::keystone(metadata, settings, grants),
            _ => Err(metadata.invalid("auth", "must be none, basic, bearer, header or keystone")),
        }
    }

    fn keystone(
        metadata: &Metadata,
        settings: &Settings,
        grants: &mut Grants,
    ) -> Result<Self, ConfigError> {
        let need = |field: &str| need(metadata, settings, field);
        let auth_url = need("auth_url")?;
        let url = parse_url(auth_url)
            .and_then(|url| Origin::of(&url).map(|origin| (url, origin)))
            .map_err(|e| metadata.invalid("auth_url", format!("cannot be used: {e}")));
        let (url, origin) = url?;
        grants.add(origin);
        let interface = match settings.filled("interface") {
            None => None,
            Some(name) => Some(Interface::named(name).ok_or_else(|| {
                metadata.invalid("interface", "must be public, internal or admin")
            })?),
        };
        Ok(Self::Keystone(Box::new(Keystone::new(
            url,
            credentials(metadata, settings)?,
            settings.filled("region").map(str::to_owned),
            interface,
        ))))
    }
}

/// What to log in at Keystone with, as `auth_type` says.
fn credentials(metadata: &Metadata, settings: &Settings) -> Result<Credentials, ConfigError> {
    let need = |field: &str| need(metadata, settings, field).map(str::to_owned);
    let secret = |field: &str| need(field).map(Secret::new);
    let domain = |field: &str| settings.filled(field).unwrap_or("Default").to_owned();
    let user = || -> Result<User, ConfigError> {
        Ok(User { name: need("username")?, domain: domain("user_domain_name") })
    };
    let scope = || -> Result<Scope, ConfigError> {
        let project = match settings.filled("project_name").or(settings.filled("tenant_name")) {
            Some(project) => project.to_owned(),
            None => need("project_name")?,
        };
        Ok(Scope { project, domain: domain("project_domain_name") })
    };
    match settings.filled("auth_type").unwrap_or(fields::PASSWORD) {
        fields::PASSWORD => Ok(Credentials::Password {
            user: user()?,
            // An empty one is for Keystone to refuse.
            password: Secret::new(settings.get("password").unwrap_or_default()),
            scope: scope()?,
        }),
        fields::APPLICATION_CREDENTIAL => {
            let which = match settings.filled("application_credential_id") {
                Some(id) => ApplicationCredential::Id(id.to_owned()),
                None if settings.filled("application_credential_name").is_some() => {
                    ApplicationCredential::Name(need("application_credential_name")?, user()?)
                }
                None => {
                    return Err(metadata.invalid(
                        "auth_type",
                        "is v3applicationcredential, which needs application_credential_id, or \
                         application_credential_name with username",
                    ));
                }
            };
            let secret = secret("application_credential_secret")?;
            Ok(Credentials::ApplicationCredential { which, secret })
        }
        fields::TOKEN => Ok(Credentials::Token { token: secret("token")?, scope: scope()? }),
        _ => {
            Err(metadata
                .invalid("auth_type", "must be password, v3applicationcredential or v3token"))
        }
    }
}

fn need<'a>(
    metadata: &Metadata,
    settings: &'a Settings,
    field: &str,
) -> Result<&'a str, ConfigError> {
    settings.filled(field).ok_or_else(|| ConfigError::Missing {
        driver: metadata.id.clone(),
        fields: vec![field.to_owned()],
    })
}

/// Why a session did not answer.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum SessionError {
    #[error(transparent)]
    Send(#[from] SendError),
    #[error("{0}")]
    Auth(String),
    #[error("{0}")]
    Missing(String),
    #[error("{0}")]
    Protocol(String),
    #[error("{0}")]
    Unsupported(String),
    #[error("{0}")]
    Config(String),
}

impl From<SessionError> for DriverError {
    fn from(error: SessionError) -> Self {
        let text = error.to_string();
        match error {
            SessionError::Auth(_) => Self::Auth(text),
            // None of these is about a service that cannot be reached: another request may pass.
            SessionError::Protocol(_)
            | SessionError::Send(
                SendError::Refused(_)
                | SendError::Denied(_)
                | SendError::Limit(_)
                | SendError::TooLong(_),
            ) => Self::Protocol(text),
            SessionError::Unsupported(_) => Self::Unsupported(text),
            SessionError::Config(_) => Self::Config(text),
            // Catalogues can change without the configuration, so this is not final.
            SessionError::Missing(_) | SessionError::Send(_) => Self::Connection(text),
        }
    }
}
