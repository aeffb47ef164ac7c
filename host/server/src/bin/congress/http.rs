//! Requests to the server.

use std::time::Duration;

use anyhow::{Context as _, anyhow};
use reqwest::{Client, Method};
use serde_json::Value;

/// Longer than any answer the server gives, which are bounded at 120 s.
const TIMEOUT: Duration = Duration::from_secs(150);

/// A server.
pub(crate) struct Server {
    client: Client,
    url: String,
}

/// A refusal, as the server worded it.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub(crate) struct Refusal {
    /// The number of the error.
    pub(crate) code: u64,
    /// The text.
    pub(crate) message: String,
}

impl Server {
    pub(crate) fn new(url: &str) -> anyhow::Result<Self> {
        // Fails only if it is installed already.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::builder().timeout(TIMEOUT).build().context("cannot set up TLS")?;
        Ok(Self { client, url: url.trim_end_matches('/').to_owned() })
    }

    pub(crate) async fn get(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.send(Method::GET, path, None).await
    }

    pub(crate) async fn post(&self, path: &[&str], body: Value) -> anyhow::Result<Value> {
        self.send(Method::POST, path, Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &[&str]) -> anyhow::Result<Value> {
        self.send(Method::DELETE, path, None).await
    }

    /// An element's action: `POST …?action=`.
    pub(crate) async fn act(&self, path: &[&str], action: &str) -> anyhow::Result<Value> {
        let mut url = self.url(path)?;
        url.query_pairs_mut().append_pair("action", action);
        self.request(self.client.post(url).json(&serde_json::json!({}))).await
    }

    async fn send(
        &self,
        method: Method,
        path: &[&str],
        body: Option<Value>,
    ) -> anyhow::Result<Value> {
        let mut request = self.client.request(method, self.url(path)?);
        if let Some(body) = body {
            request = request.json(&body);
        }
        self.request(request).await
    }

    /// The address of a path below `/v1`; segments may contain anything.
    fn url(&self, path: &[&str]) -> anyhow::Result<reqwest::Url> {
        let mut url: reqwest::Url =
            self.url.parse().with_context(|| format!("'{}' is not an address", self.url))?;
        url.path_segments_mut()
            .map_err(|()| anyhow!("'{}' is not an address of a server", self.url))?
            .pop_if_empty()
            .push("v1")
            .extend(path);
        Ok(url)
    }

    async fn request(&self, request: reqwest::RequestBuilder) -> anyhow::Result<Value> {
        let response = request
            .send()
            .await
            .with_context(|| format!("no answer from {}; is the server running?", self.url))?;
        let status = response.status();
        let text = response.text().await.context("the answer broke off")?;
        if text.trim().is_empty() && status.is_success() {
            return Ok(Value::Null);
        }
        let body: Value = serde_json::from_str(&text).with_context(|| {
            format!("{} does not answer as a Congress server does (status {status})", self.url)
        })?;
        if status.is_success() {
            return Ok(body);
        }
        let error = &body["error"];
        let message = error["message"].as_str().map_or_else(|| status.to_string(), str::to_owned);
        Err(Refusal { code: error["error_code"].as_u64().unwrap_or_default(), message }.into())
    }
}
