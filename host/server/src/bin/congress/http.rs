//! Requests to the server.

use std::time::Duration;

use anyhow::{Context as _, anyhow, bail};
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;
use tokio::sync::Mutex;

use crate::cloud::{Connection, Session};
use crate::output::note;

/// Longer than any answer the server gives, which are bounded at 120 s.
const TIMEOUT: Duration = Duration::from_secs(150);

/// How many members of a list are asked for at once. Servers without pages send all.
const PAGE: usize = 10_000;

/// What state a server answers from; sent back, so that no other node answers from an earlier one.
const REVISION: &str = "X-Congress-Revision";

/// What is given changes, down to the fields of a configuration, and null takes away (RFC 7396).
const MERGE_PATCH: &str = "application/merge-patch+json";

/// What the server took and thinks was perhaps not meant.
const WARNING: &str = "Warning";

/// The code of what is not there.
const MISSING: u64 = 404;

/// A server.
pub(crate) struct Server {
    connection: Connection,
    /// Logged in at the first request, and then once more if a token is refused.
    session: Mutex<Option<Session>>,
    revision: std::sync::Mutex<Option<HeaderValue>>,
}

/// A refusal, as the server worded it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The number of the error.
    pub(crate) code: u64,
    /// The text.
    pub(crate) message: String,
    /// Particulars, or null.
    pub(crate) data: Value,
}

impl Refusal {
    /// Whether it is an error that says that there is no such thing.
    pub(crate) fn is_missing(error: &anyhow::Error) -> bool {
        error.downcast_ref::<Self>().is_some_and(|refusal| refusal.code == MISSING)
    }
}

impl Server {
    pub(crate) fn new(connection: Connection) -> anyhow::Result<Self> {
        if let Some(endpoint) = &connection.endpoint {
            endpoint.parse::<Url>().with_context(|| format!("'{endpoint}' is not an address"))?;
        }
        Ok(Self { connection, session: Mutex::default(), revision: std::sync::Mutex::default() })
    }

    pub(crate) async fn get(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.send(Method::GET, path, &[], None).await
    }

    pub(crate) async fn get_with(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        self.send(Method::GET, path, query, None).await
    }

    /// The document of versions, outside `/v1`.
    pub(crate) async fn versions(&self) -> anyhow::Result<Value> {
        let response = self.response(&Method::GET, None, &[], None, true).await?;
        answer(response).await
    }

    /// All members of a list, page by page.
    pub(crate) async fn list(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.list_with(path, &[]).await
    }

    /// The same with parameters.
    pub(crate) async fn list_with(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
    ) -> anyhow::Result<Value> {
        let limit = PAGE.to_string();
        let first = [query, &[("limit", limit.as_str())]].concat();
        let mut whole = self.get_with(path, &first).await?;
        let mut last = None;
        loop {
            let next = whole.as_object_mut().and_then(|list| list.remove("next_marker"));
            let Some(Value::String(marker)) = next else { return Ok(whole) };
            if last.as_ref() == Some(&marker) {
                bail!("the server goes round in circles: '{marker}' follows itself");
            }
            let query = [&first[..], &[("marker", marker.as_str())]].concat();
            let mut page = self.get_with(path, &query).await?;
            let more = match page["results"].take() {
                Value::Array(more) if !more.is_empty() => more,
                _ => return Ok(whole),
            };
            match whole["results"].as_array_mut() {
                Some(results) => results.extend(more),
                None => bail!("a list without results was answered"),
            }
            whole["next_marker"] = page["next_marker"].take();
            last = Some(marker);
        }
    }

    pub(crate) async fn post(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, &[], Some(&body)).await
    }

    pub(crate) async fn post_with(
        &self,
        path: &[&str],
        query: &[(&str, &str)],
        body: Value,
    ) -> anyhow::Result<Value> {
        self.send(Method::POST, path, query, Some(&body)).await
    }

    pub(crate) async fn put(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.send(Method::PUT, path, &[], Some(&body)).await
    }

    pub(crate) async fn patch(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.send(Method::PATCH, path, &[], Some(&body)).await
    }

    pub(crate) async fn delete(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, &[], None).await
    }

    /// A stream that the server does not end.
    pub(crate) async fn stream(&self, path: &[&str]) -> anyhow::Result<Response> {
        let response = self.response(&Method::GET, Some(path), &[], None, false).await?;
        if response.status().is_success() { Ok(response) } else { Err(refusal(response).await) }
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        query: &[(&str, &str)],
        body: Option<&Value>,
    ) -> anyhow::Result<Value> {
        answer(self.response(&method, Some(path), query, body, true).await?).await
    }

    /// Sends it, and logs in anew where the token is refused: once.
    async fn response(
        &self,
        method: &Method,
        path: Option<&[&str]>,
        query: &[(&str, &str)],
        body: Option<&Value>,
        bounded: bool,
    ) -> anyhow::Result<Response> {
        let mut session = self.session(None).await?;
        let mut again = self.connection.can_log_in();
        loop {
            let url = address(&session.endpoint, path, query)?;
            let mut request = self.connection.client.request(method.clone(), url);
            if bounded {
                request = request.timeout(TIMEOUT);
            }
            if *method == Method::PATCH {
                request = request.header(CONTENT_TYPE, MERGE_PATCH);
            }
            if let Some(body) = body {
                // The type stays, if there is one.
                request = request.json(body);
            }
            let response = self.sent(request, &session).await?;
            if response.status() == StatusCode::UNAUTHORIZED && again {
                again = false;
                session = self.session(session.token.as_deref()).await?;
                continue;
            }
            return Ok(response);
        }
    }

    async fn sent(&self, request: RequestBuilder, session: &Session) -> anyhow::Result<Response> {
        let mut request = request;
        if let Some(token) = &session.token {
            let mut token = HeaderValue::try_from(token).context("the token has odd characters")?;
            token.set_sensitive(true);
            request = request.header("X-Auth-Token", token);
        }
        if let Some(revision) = self.revision().clone() {
            request = request.header(REVISION, revision);
        }
        let response =
            request.send().await.map_err(reqwest::Error::without_url).with_context(|| {
                format!("no answer from {}; is the server running?", session.endpoint)
            })?;
        if let Some(revision) = response.headers().get(REVISION) {
            *self.revision() = Some(revision.clone());
        }
        for text in response.headers().get_all(WARNING).iter().filter_map(warning) {
            note(&format!("warning: {text}"));
        }
        Ok(response)
    }

    fn revision(&self) -> std::sync::MutexGuard<'_, Option<HeaderValue>> {
        self.revision.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// The session; another one if the token of the present one was refused.
    async fn session(&self, refused: Option<&str>) -> anyhow::Result<Session> {
        let mut session = self.session.lock().await;
        if let Some(session) = session.as_ref()
            && (refused.is_none() || session.token.as_deref() != refused)
        {
            return Ok(session.clone());
        }
        Ok(session.insert(self.connection.session().await?).clone())
    }
}

/// The text of a warning of the server's: `299 congress "text"`, a JSON string. Those of others, of
/// proxies for instance, are of no use to whoever runs a command.
fn warning(value: &HeaderValue) -> Option<String> {
    let text = value.to_str().ok()?.strip_prefix("299 congress ")?;
    serde_json::from_str(text).ok()
}

/// The address of a path below `/v1`, whose segments may contain anything; of the server itself
/// without one.
fn address(endpoint: &str, path: Option<&[&str]>, query: &[(&str, &str)]) -> anyhow::Result<Url> {
    let mut url: Url =
        endpoint.parse().with_context(|| format!("'{endpoint}' is not an address"))?;
    let mut segments = url
        .path_segments_mut()
        .map_err(|()| anyhow!("'{endpoint}' is not an address of a server"))?;
    segments.pop_if_empty();
    match path {
        Some(path) => segments.push("v1").extend(path),
        None => segments.push(""),
    };
    drop(segments);
    if !query.is_empty() {
        url.query_pairs_mut().extend_pairs(query);
    }
    Ok(url)
}

async fn answer(response: Response) -> anyhow::Result<Value> {
    if !response.status().is_success() {
        return Err(refusal(response).await);
    }
    let status = response.status();
    let text = response.text().await.context("the answer broke off")?;
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&text)
        .with_context(|| format!("this is no Congress server: no JSON in its answer ({status})"))
}

/// Why a request was refused.
async fn refusal(response: Response) -> anyhow::Error {
    let status = response.status();
    if status.is_redirection() {
        return anyhow!(
            "the server answers {status}: what is asked for is elsewhere, or it is none"
        );
    }
    let body: Value = response.json().await.unwrap_or_default();
    let error = &body["error"];
    let message = error["message"].as_str().map(str::to_owned).unwrap_or_else(|| match status {
        StatusCode::UNAUTHORIZED => "the server wants a login: set OS_AUTH_URL, OS_USERNAME …, or \
                                     --os-cloud, and see --help (401)"
            .to_owned(),
        _ => format!("the server answers {status}"),
    });
    let code = error["error_code"].as_u64().unwrap_or_default();
    Refusal { code, message, data: error["error_data"].clone() }.into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_may_contain_anything() {
        let path = ["policies", "p", "tables", "nova:servers/a?b", "rows"];
        let url = address("http://h:1/base/", Some(&path), &[("marker", "[\"é&\",1]")]).unwrap();
        assert_eq!(
            url.as_str(),
            "http://h:1/base/v1/policies/p/tables/nova:servers%2Fa%3Fb/rows?marker=%5B%22%C3%A9%26%22%2C1%5D"
        );
        assert_eq!(address("http://h:1", None, &[]).unwrap().as_str(), "http://h:1/");
    }

    #[test]
    fn warnings_of_the_server_and_no_others() {
        let text = |value| warning(&HeaderValue::from_static(value));
        assert_eq!(text(r#"299 congress "say \"\u00e9\"""#).as_deref(), Some("say \"é\""));
        assert_eq!(text(r#"110 proxy "Response is Stale""#), None);
        assert_eq!(text("299 congress none"), None);
    }
}
