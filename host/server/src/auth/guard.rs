//! What every request must pass.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::body::Body;
use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_TYPE, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use jiff::Timestamp;
use tokio_util::sync::CancellationToken;

use super::caller::Caller;
use super::keystone::{Keystone, KeystoneOptions};
use super::names;
use super::policy::{PolicyFiles, WatchedRules};
use super::tokens::Tokens;
use crate::api::is_of_the_api;
use crate::failure::{Answer, Failure, Status};
use crate::health::Readiness;

const TOKEN: HeaderName = HeaderName::from_static("x-auth-token");

/// The older name of the same.
const STORAGE_TOKEN: HeaderName = HeaderName::from_static("x-storage-token");

const SERVICE_TOKEN: HeaderName = HeaderName::from_static("x-service-token");

/// Who may see the secrets of datasources, if policy files say so; administrators otherwise. Not the
/// rule for all reading: that was never meant for secrets.
pub(super) const SECRETS: [&str; 2] = ["get_data_source_secrets", "admin_only"];

/// All that decides who may use the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuthOptions {
    /// How to reach Keystone.
    pub keystone: KeystoneOptions,
    /// What is made of tokens.
    pub tokens: TokenOptions,
    /// Where the rules are.
    pub policy: PolicyFiles,
}

/// What is made of tokens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TokenOptions {
    /// Where clients are told to get one.
    pub www_authenticate_uri: String,
    /// How long what Keystone said of one is remembered; zero: not at all.
    pub cache_time: Duration,
    /// Of how many that is remembered.
    pub cache_size: usize,
    /// The roles that a service has, so that requests which it passes on may bring tokens that were
    /// good when they came to it.
    pub service_roles: Vec<String>,
    /// Whether a service's token without any of them makes its request void.
    pub service_roles_required: bool,
}

/// Lets requests through, or does not.
#[derive(Debug)]
pub struct Guard {
    tokens: Tokens,
    rules: Arc<WatchedRules>,
    challenge: HeaderValue,
    service_roles: Vec<String>,
    service_roles_required: bool,
}

/// What a caller may do beyond the request itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Privileges {
    /// See the secrets of a datasource.
    pub(crate) secrets: bool,
}

/// Until when a request's token is good. What goes on for longer ends then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct GoodUntil(pub(crate) Timestamp);

/// Why a request does not pass.
enum Refusal {
    /// Nobody knows who it is from.
    Unknown,
    /// It is known, or cannot be found out.
    Failure(Failure),
}

impl Guard {
    /// Reads certificates and rules, and begins to follow the latter until `stop`. Fails if they
    /// cannot be used; Keystone may be away.
    pub fn start(
        options: AuthOptions,
        readiness: &Readiness,
        stop: CancellationToken,
    ) -> anyhow::Result<Arc<Self>> {
        let AuthOptions { keystone, tokens, policy } = options;
        let (rules, seen) = WatchedRules::read(policy)?;
        let rules = Arc::new(rules);
        let keystone = Keystone::new(keystone)
            .map_err(|problem| anyhow::anyhow!("[keystone_authtoken]: {problem}"))?;
        let challenge = format!("Keystone uri=\"{}\"", tokens.www_authenticate_uri);
        let challenge = HeaderValue::try_from(challenge)
            .context("[keystone_authtoken] www_authenticate_uri is no address")?;
        let guard = Arc::new(Self {
            tokens: Tokens::new(keystone, tokens.cache_time, tokens.cache_size, readiness.clone()),
            rules: Arc::clone(&rules),
            challenge,
            service_roles: tokens.service_roles,
            service_roles_required: tokens.service_roles_required,
        });
        tokio::spawn(rules.follow(seen, stop.clone()));
        let trying = Arc::clone(&guard);
        tokio::spawn(async move {
            tokio::select! {
                () = stop.cancelled() => {}
                () = trying.tokens.try_out() => {}
            }
        });
        Ok(guard)
    }

    /// Who sends a request, and for how long that is true.
    async fn identify(&self, headers: &HeaderMap) -> Result<(Arc<Caller>, GoodUntil), Refusal> {
        // The end of the token of a service that passes a request on.
        let mut vouched = None;
        if let Some(token) = headers.get(SERVICE_TOKEN) {
            let (service, until) = self.look_up(token, false).await?.ok_or(Refusal::Unknown)?;
            let is_service = self.service_roles.iter().any(|role| service.has_role(role));
            if self.service_roles_required && !is_service {
                return Err(Refusal::Unknown);
            }
            vouched = is_service.then_some(until);
        }
        let token = headers.get(TOKEN).or_else(|| headers.get(STORAGE_TOKEN));
        let found = self.look_up(token.ok_or(Refusal::Unknown)?, vouched.is_some()).await?;
        let (caller, until) = found.ok_or(Refusal::Unknown)?;
        if caller.user_id.is_empty() {
            return Err(Refusal::Unknown);
        }
        Ok((caller, GoodUntil(vouched.map_or(until, |vouched| vouched.max(until)))))
    }

    async fn look_up(
        &self,
        token: &HeaderValue,
        expired: bool,
    ) -> Result<Option<(Arc<Caller>, Timestamp)>, Refusal> {
        self.tokens.look_up(token, expired).await.map_err(|outage| {
            tracing::debug!(%outage, "a token is not validated");
            let text = "the identity service does not answer; try again later";
            Refusal::Failure(Failure::plain(Status::Unavailable, text))
        })
    }

    /// Whether the caller may do what a request wants.
    fn permit(&self, caller: &Caller, request: &Request) -> Answer<Privileges> {
        // What leads nowhere is told to whoever has a token.
        let Some(route) = request.extensions().get::<MatchedPath>() else {
            return Ok(Privileges::default());
        };
        let actions = request.uri().query().unwrap_or_default();
        let mut actions = form_urlencoded::parse(actions.as_bytes());
        let action = actions.find(|(name, _)| name == "action").map(|(_, value)| value);
        let Some(names) = names::of(request.method(), route.as_str(), action.as_deref()) else {
            return Ok(Privileges::default());
        };
        let rules = self.rules.current();
        let decision = rules.decide(caller, names.all());
        if !decision.allowed {
            tracing::info!(
                user = %caller.user_id, project = caller.project_id, rule = %decision.rule,
                asked = ?names.specific, "refused"
            );
            // The default rule is nothing that a client knows of; the original names its own.
            let specific = names.specific.iter().any(|name| **name == *decision.rule);
            let name = if specific { decision.rule.as_str() } else { names.general };
            let text = format!("Policy doesn't allow {name} to be performed.");
            return Err(Failure::verbatim(Status::Forbidden, text));
        }
        let [rule, otherwise] = SECRETS;
        Ok(Privileges { secrets: rules.allow_or(caller, rule, otherwise) })
    }

    /// The answer to who brings no good token: in the words of the original.
    fn challenge(&self) -> Response {
        let mut response = Response::new(Body::from("Authentication required"));
        *response.status_mut() = StatusCode::UNAUTHORIZED;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=UTF-8"));
        headers.insert(WWW_AUTHENTICATE, self.challenge.clone());
        response
    }
}

/// The layer around the API's routes.
pub(crate) async fn wrap(
    State(guard): State<Arc<Guard>>,
    mut request: Request,
    next: Next,
) -> Response {
    strip(request.headers_mut());
    if !is_of_the_api(request.uri().path()) {
        return next.run(request).await;
    }
    let permitted = match guard.identify(request.headers()).await {
        Ok((caller, until)) => {
            request.extensions_mut().insert(until);
            let span = tracing::Span::current();
            span.record("user", caller.user_id.as_str());
            span.record("project", caller.project_id.as_deref());
            guard.permit(&caller, &request)
        }
        Err(Refusal::Unknown) => return guard.challenge(),
        Err(Refusal::Failure(failure)) => Err(failure),
    };
    match permitted {
        Ok(privileges) => {
            request.extensions_mut().insert(privileges);
            next.run(request).await
        }
        Err(failure) => failure.into_response(),
    }
}

/// Takes away what only Keystone's middleware may say: who somebody is comes from their token.
fn strip(headers: &mut HeaderMap) {
    const NAMES: [&str; 6] = [
        "x-identity-status",
        "x-roles",
        "x-role",
        "x-is-admin-project",
        "x-service-catalog",
        "openstack-system-scope",
    ];
    const LEADS: [&str; 5] = ["x-user", "x-project", "x-tenant", "x-domain", "x-service-"];
    let forged: Vec<_> = headers
        .keys()
        .filter(|name| {
            let name = name.as_str();
            NAMES.contains(&name)
                || (name != SERVICE_TOKEN && LEADS.iter().any(|lead| name.starts_with(lead)))
        })
        .cloned()
        .collect();
    for name in forged {
        headers.remove(name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_says_who_they_are() {
        let mut headers = HeaderMap::new();
        for name in [
            "x-identity-status",
            "x-user-id",
            "x-user",
            "x-user-domain-name",
            "x-project-id",
            "x-tenant-name",
            "x-domain-id",
            "x-roles",
            "x-role",
            "x-service-catalog",
            "x-service-user-id",
            "x-service-roles",
            "x-auth-token",
            "x-service-token",
            "x-openstack-request-id",
            "content-type",
        ] {
            headers.insert(name, HeaderValue::from_static("x"));
        }
        strip(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(
            left,
            ["content-type", "x-auth-token", "x-openstack-request-id", "x-service-token"]
        );
    }
}
