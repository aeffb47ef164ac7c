//! What this service asks of Keystone: to know who it is itself, and whom tokens belong to.

use std::fs;
use std::path::PathBuf;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use reqwest::{Certificate, Client, Identity, RequestBuilder, Response, StatusCode, Url};
use serde::Deserialize;
use tokio::sync::Mutex;

use super::caller::{CatalogService, TokenBody};
use super::credentials::Credentials;

/// The largest answer that is read, catalogues included.
const MAX_ANSWER: usize = 4 << 20;

/// How long before its end our own token is renewed.
const RENEW_BEFORE: SignedDuration = SignedDuration::from_secs(60);

/// The pause before Keystone is tried again, which doubles.
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How to reach Keystone.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeystoneOptions {
    /// Where it is, with or without `/v3`.
    pub auth_url: Url,
    /// With what this service logs in.
    pub credentials: Credentials,
    /// Which of its endpoints in the catalogue to ask about tokens. None: `auth_url`.
    pub endpoint: Option<EndpointChoice>,
    /// PEM file of authorities that its certificate may come from, beside the system's.
    pub ca_file: Option<PathBuf>,
    /// PEM files of our certificate and its key.
    pub certificate: Option<(PathBuf, PathBuf)>,
    /// Whether its certificate does not matter.
    pub insecure: bool,
    /// How long a request may take.
    pub timeout: Duration,
    /// How often it is tried again when Keystone cannot be reached.
    pub retries: usize,
}

/// An endpoint in the catalogue.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointChoice {
    /// `public`, `internal` or `admin`.
    pub interface: String,
    /// Its region; any if none is given.
    pub region: Option<String>,
}

/// Keystone does not tell whether a token is good. The text is for the log.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(super) struct Outage(String);

impl Outage {
    /// Too many wait for it already.
    pub(super) fn crowd(waiting: usize) -> Self {
        Self(format!("{waiting} requests wait for Keystone already"))
    }

    /// It took too long in all.
    pub(super) fn late(deadline: Duration) -> Self {
        Self(format!("Keystone does not answer within {} s", deadline.as_secs()))
    }
}

/// A session with Keystone.
#[derive(Debug)]
pub(super) struct Keystone {
    client: Client,
    options: KeystoneOptions,
    session: Mutex<Option<Session>>,
}

/// Our own login.
#[derive(Clone)]
struct Session {
    token: http::HeaderValue,
    renew_at: Timestamp,
    /// Where tokens are asked about: ends in `/v3`.
    base: String,
}

impl std::fmt::Debug for Session {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Session").field("base", &self.base).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Envelope {
    token: TokenBody,
}

impl Keystone {
    /// Reads certificates; asks nothing yet. The error ends a sentence about Keystone.
    pub(super) fn new(options: KeystoneOptions) -> Result<Self, String> {
        // Fails if there is one already, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let read = |path: &PathBuf| {
            fs::read(path).map_err(|error| format!("cannot read {}: {error}", path.display()))
        };
        let mut builder = Client::builder()
            .timeout(options.timeout)
            // Our token must not go where it was not meant for.
            .redirect(reqwest::redirect::Policy::none())
            .tls_danger_accept_invalid_certs(options.insecure);
        if let Some(path) = &options.ca_file {
            let certificates = Certificate::from_pem_bundle(&read(path)?)
                .map_err(|error| format!("{} is no PEM file: {error}", path.display()))?;
            builder = builder.tls_certs_merge(certificates);
        }
        if let Some((certificate, key)) = &options.certificate {
            let mut pem = read(certificate)?;
            pem.push(b'\n');
            pem.extend(read(key)?);
            let identity = Identity::from_pem(&pem).map_err(|error| {
                format!("{} and {}: {error}", certificate.display(), key.display())
            })?;
            builder = builder.identity(identity);
        }
        let client = builder.build().map_err(|error| format!("cannot prepare TLS: {error}"))?;
        Ok(Self { client, options, session: Mutex::new(None) })
    }

    /// Logs in, to see whether that works.
    pub(super) async fn try_out(&self) -> Result<(), Outage> {
        self.session().await.map(drop)
    }

    /// Whom a token belongs to; none if it is no good. With `expired` a token may be past its time.
    pub(super) async fn validate(
        &self,
        token: &http::HeaderValue,
        expired: bool,
    ) -> Result<Option<TokenBody>, Outage> {
        let mut last = false;
        loop {
            let session = self.session().await?;
            // Nobody here asks where services are.
            let allow_expired = if expired { "&allow_expired=1" } else { "" };
            let url = format!("{}/auth/tokens?nocatalog{allow_expired}", session.base);
            let request = self
                .client
                .get(url)
                .header("x-auth-token", session.token.clone())
                .header("x-subject-token", token.clone());
            let response = self.send(request).await?;
            match response.status() {
                StatusCode::OK => {
                    return parse(&read(response).await?).map(Some);
                }
                StatusCode::NOT_FOUND | StatusCode::BAD_REQUEST => return Ok(None),
                // Our own token has been revoked, or Keystone has new keys.
                StatusCode::UNAUTHORIZED if !last => {
                    self.forget(&session).await;
                    last = true;
                }
                StatusCode::FORBIDDEN => {
                    let who = self.options.credentials.who();
                    return Err(Outage(format!(
                        "Keystone does not let {who} look at tokens: give it the role admin, or \
                         service, in its project"
                    )));
                }
                status => {
                    return Err(Outage(format!("Keystone answered {status} about a token")));
                }
            }
        }
    }

    /// Our login, renewed if need be. Others wait meanwhile.
    async fn session(&self) -> Result<Session, Outage> {
        let mut current = self.session.lock().await;
        if let Some(session) = current.as_ref().filter(|s| s.renew_at > Timestamp::now()) {
            return Ok(session.clone());
        }
        let session = self.log_in().await?;
        *current = Some(session.clone());
        Ok(session)
    }

    /// Gives up a login that Keystone refuses, unless somebody has made another one meanwhile.
    async fn forget(&self, refused: &Session) {
        let mut current = self.session.lock().await;
        if current.as_ref().is_some_and(|session| session.token == refused.token) {
            *current = None;
        }
    }

    async fn log_in(&self) -> Result<Session, Outage> {
        let base = versioned(&self.options.auth_url);
        let url = format!("{base}/auth/tokens");
        let body = self.options.credentials.request();
        let response = self.send(self.client.post(&url).json(&body)).await?;
        let status = response.status();
        let who = self.options.credentials.who();
        if status == StatusCode::UNAUTHORIZED {
            return Err(Outage(format!(
                "Keystone refuses to log in {who}: look at [keystone_authtoken]"
            )));
        }
        let token = response.headers().get("x-subject-token").cloned();
        let (StatusCode::CREATED, Some(mut token)) = (status, token) else {
            return Err(Outage(format!("{url} answered {status} to the login of {who}")));
        };
        token.set_sensitive(true);
        let body = parse(&read(response).await?)?;
        let base = match &self.options.endpoint {
            None => base,
            Some(choice) => endpoint(&body.catalog, choice)?,
        };
        let renew_at = body.expires_at.checked_sub(RENEW_BEFORE).unwrap_or(body.expires_at);
        tracing::debug!(%base, "logged in to Keystone");
        Ok(Session { token, renew_at, base })
    }

    /// Sends a request, again if Keystone cannot be reached.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Outage> {
        let mut pause = FIRST_PAUSE;
        for _ in 0..self.options.retries {
            let Some(again) = request.try_clone() else { break };
            match again.send().await {
                Err(error) if error.is_connect() => {}
                outcome => return outcome.map_err(unreached),
            }
            tokio::time::sleep(pause).await;
            pause *= 2;
        }
        request.send().await.map_err(unreached)
    }
}

fn unreached(error: reqwest::Error) -> Outage {
    let cause = std::iter::successors(std::error::Error::source(&error), |cause| cause.source());
    let cause = cause.last().map(|cause| format!(": {cause}")).unwrap_or_default();
    // The address alone: what follows a question mark is none of the log's business.
    let url = error.url().map(|url| url.origin().ascii_serialization()).unwrap_or_default();
    let what = if error.is_timeout() { "does not answer in time" } else { "cannot be reached" };
    Outage(format!("Keystone at {url} {what}{cause}"))
}

/// An answer's body, within bounds.
async fn read(mut response: Response) -> Result<Vec<u8>, Outage> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreached)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(Outage(format!("Keystone's answer is longer than {MAX_ANSWER} bytes")));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

fn parse(body: &[u8]) -> Result<TokenBody, Outage> {
    let envelope: Envelope = serde_json::from_slice(body)
        .map_err(|error| Outage(format!("what answers is not Keystone, or broken: {error}")))?;
    Ok(envelope.token)
}

/// An address with the version at its end, and no slash after it.
fn versioned(url: &Url) -> String {
    let text = url.as_str().trim_end_matches('/');
    match text.strip_suffix("/v3").or_else(|| text.strip_suffix("/v2.0")) {
        Some(rest) => format!("{rest}/v3"),
        None => format!("{text}/v3"),
    }
}

fn endpoint(catalog: &[CatalogService], choice: &EndpointChoice) -> Result<String, Outage> {
    let endpoints = catalog.iter().filter(|service| service.kind == "identity");
    let mut endpoints = endpoints.flat_map(|service| &service.endpoints);
    let interface = choice.interface.trim_end_matches("URL");
    let found = endpoints.find(|endpoint| {
        endpoint.interface == interface
            && (choice.region.is_none() || choice.region == endpoint.region_id)
    });
    let missing = || {
        let region = choice.region.as_deref().unwrap_or("any");
        Outage(format!(
            "the catalogue has no identity endpoint with interface {interface} and region \
             {region}: look at interface and region_name in [keystone_authtoken]"
        ))
    };
    let url = Url::parse(&found.ok_or_else(missing)?.url)
        .map_err(|error| Outage(format!("the identity endpoint in the catalogue: {error}")))?;
    Ok(versioned(&url))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_get_a_version() {
        for (given, base) in [
            ("http://k:5000", "http://k:5000/v3"),
            ("http://k:5000/", "http://k:5000/v3"),
            ("http://k:5000/v3/", "http://k:5000/v3"),
            ("https://k/identity", "https://k/identity/v3"),
            ("https://k/identity/v2.0", "https://k/identity/v3"),
        ] {
            assert_eq!(versioned(&Url::parse(given).unwrap()), base);
        }
    }

    #[test]
    fn endpoints_are_chosen() {
        let catalog = serde_json::json!([
            {"type": "compute", "endpoints": [{"interface": "public", "url": "http://n"}]},
            {"type": "identity", "endpoints": [
                {"interface": "public", "region_id": "a", "region": "a", "url": "http://pa"},
                {"interface": "internal", "region_id": "a", "region": "a", "url": "http://ia/v3"},
                {"interface": "internal", "region_id": "b", "region": "b", "url": "http://ib"},
            ]},
        ]);
        let catalog: Vec<CatalogService> = serde_json::from_value(catalog).unwrap();
        let choose = |interface: &str, region: Option<&str>| {
            let region = region.map(str::to_owned);
            endpoint(&catalog, &EndpointChoice { interface: interface.to_owned(), region })
        };
        assert_eq!(choose("internal", None).unwrap(), "http://ia/v3");
        assert_eq!(choose("internalURL", Some("b")).unwrap(), "http://ib/v3");
        assert_eq!(choose("public", Some("a")).unwrap(), "http://pa/v3");
        assert!(choose("admin", None).unwrap_err().to_string().contains("interface admin"));
    }
}
