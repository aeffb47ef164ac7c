//! Keystone: a token, and where the catalogue has the server.

use std::fmt;
use std::time::Duration;

use anyhow::{Context as _, bail};
use reqwest::{Client, StatusCode};
use serde_json::Value;

use super::{Auth, Connection};

/// How the catalogue calls servers as ours.
const SERVICE: &str = "policy";

const TIMEOUT: Duration = Duration::from_secs(60);

/// A server, and what it is to be shown.
#[derive(Clone)]
pub(crate) struct Session {
    /// Without `/v1`.
    pub(crate) endpoint: String,
    pub(crate) token: Option<String>,
}

// Without the token.
impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

impl Connection {
    /// Logs in where that is needed.
    pub(crate) async fn session(&self) -> anyhow::Result<Session> {
        let (token, body) = match &self.auth {
            Auth::None => (None, Value::Null),
            Auth::Token(token) => (Some(token.clone()), Value::Null),
            Auth::Keystone { url, request } => {
                let (token, body) = login(&self.client, url, request).await?;
                (Some(token), body)
            }
        };
        let endpoint = match &self.endpoint {
            Some(endpoint) => endpoint.clone(),
            None => endpoint(&body["token"]["catalog"], self.region.as_deref(), &self.interface)?,
        };
        let endpoint = endpoint.trim_end_matches('/');
        let endpoint = endpoint.strip_suffix("/v1").unwrap_or(endpoint).to_owned();
        Ok(Session { endpoint, token })
    }

    /// Whether a token that is refused can be replaced.
    pub(crate) fn can_log_in(&self) -> bool {
        self.auth.is_keystone()
    }
}

/// A token and what Keystone says about it.
async fn login(client: &Client, url: &str, request: &Value) -> anyhow::Result<(String, Value)> {
    let response = client
        .post(format!("{url}/auth/tokens"))
        .timeout(TIMEOUT)
        .json(request)
        .send()
        .await
        .with_context(|| format!("no answer from Keystone at {url}"))?;
    let status = response.status();
    let token = response.headers().get("X-Subject-Token").and_then(|t| t.to_str().ok());
    let token = token.map(str::to_owned);
    let body = response.json::<Value>().await.unwrap_or_default();
    if !status.is_success() {
        let message = body["error"]["message"].as_str().unwrap_or_default();
        if status == StatusCode::UNAUTHORIZED {
            bail!("Keystone at {url} refuses the login: {message}");
        }
        bail!("Keystone at {url} answers {status} to the login: {message}");
    }
    let token = token.with_context(|| {
        format!("{url} does not answer as Keystone does: there is no X-Subject-Token")
    })?;
    Ok((token, body))
}

/// Where the catalogue has the server.
fn endpoint(catalogue: &Value, region: Option<&str>, interface: &str) -> anyhow::Result<String> {
    let services = catalogue.as_array().map_or(&[][..], Vec::as_slice);
    let endpoints: Vec<&Value> = services
        .iter()
        .filter(|service| service["type"] == SERVICE)
        .filter_map(|service| service["endpoints"].as_array())
        .flatten()
        .collect();
    if endpoints.is_empty() {
        bail!(
            "the catalogue has no service of the type '{SERVICE}' (is the token for a project?); \
             --url names the server"
        );
    }
    let fits = |endpoint: &&&Value| {
        endpoint["interface"] == interface
            && region.is_none_or(|r| endpoint["region_id"] == r || endpoint["region"] == r)
    };
    let Some(url) = endpoints.iter().find(fits).and_then(|endpoint| endpoint["url"].as_str())
    else {
        let name = |value: &Value| value.as_str().unwrap_or("?").to_owned();
        let there: Vec<_> = endpoints
            .iter()
            .map(|e| format!("{} in {}", name(&e["interface"]), name(&e["region_id"])))
            .collect();
        let region = region.map(|region| format!(" in {region}")).unwrap_or_default();
        bail!(
            "the catalogue has no {interface} endpoint of the type '{SERVICE}'{region}; it has: {}",
            there.join(", ")
        );
    };
    Ok(url.to_owned())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn endpoints_are_chosen_by_region_and_interface() {
        let endpoint_of = |interface: &str, region: &str| {
            json!({
                "interface": interface, "region": region, "region_id": region,
                "url": format!("http://{interface}.{region}"),
            })
        };
        let catalogue = json!([
            {"type": "identity", "endpoints": [endpoint_of("public", "north")]},
            {"type": "policy", "endpoints": [
                endpoint_of("internal", "north"), endpoint_of("public", "north"),
                endpoint_of("public", "south"),
            ]},
        ]);
        let found = |region, interface| endpoint(&catalogue, region, interface);
        assert_eq!(found(None, "public").unwrap(), "http://public.north");
        assert_eq!(found(Some("south"), "public").unwrap(), "http://public.south");
        assert_eq!(found(Some("north"), "internal").unwrap(), "http://internal.north");
        let error = found(Some("south"), "internal").unwrap_err().to_string();
        assert!(error.ends_with("internal in north, public in north, public in south"), "{error}");
        assert!(endpoint(&Value::Null, None, "public").is_err());
    }
}
