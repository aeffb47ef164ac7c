//! What a guest gets of WASI 0.2: clocks, randomness and outgoing HTTP. The rest is there to link
//! against, and empty.

use std::sync::Arc;

use http_body_util::{BodyExt, Limited};
use reqwest::Url;
use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::{Error, RequestOptions, WasiBody, WasiHttpHooks};

use crate::net::{Origin, Request, SendError, describe, too_large};
use crate::session::{Budget, Session};
use crate::stderr::Stderr;

/// A context with nothing in it but a place for the guest's last words.
pub(crate) fn empty(stderr: Stderr) -> WasiCtx {
    WasiCtx::builder()
        .allow_tcp(false)
        .allow_udp(false)
        .max_random_size(1 << 20)
        .stderr(stderr)
        .build()
}

/// Sends `wasi:http` requests through the datasource's grants, without credentials.
pub(crate) struct Outgoing {
    pub(crate) session: Arc<Session>,
    pub(crate) budget: Arc<Budget>,
}

type Io = Box<dyn Future<Output = Result<(), Error>> + Send>;

impl WasiHttpHooks for Outgoing {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        _: Option<RequestOptions>,
        _: Io,
    ) -> Box<dyn Future<Output = Result<(http::Response<WasiBody>, Io), Error>> + Send> {
        let (session, budget) = (self.session.clone(), self.budget.clone());
        Box::new(async move {
            let response = send(&session, &budget, request).await?;
            Ok((response, Box::new(async { Ok(()) }) as Io))
        })
    }
}

async fn send(
    session: &Session,
    budget: &Budget,
    request: http::Request<WasiBody>,
) -> Result<http::Response<WasiBody>, Error> {
    let limits = session.limits().clone();
    let (mut parts, body) = request.into_parts();
    let url = Url::parse(&parts.uri.to_string()).map_err(|_| Error::HttpRequestUriInvalid)?;
    let origin = Origin::of(&url).map_err(convert)?;
    // The whole request first: what it costs is bounded, and a guest that is slow to write it
    // holds no connection.
    let body = Limited::new(body, limits.request_bytes);
    let body = body.collect().await.map_err(|e| match e.downcast::<Error>() {
        Ok(error) => *error,
        Err(_) => Error::HttpRequestBodySize(Some(limits.request_bytes as u64)),
    })?;
    // The client writes these itself.
    parts.headers.remove(http::header::HOST);
    parts.headers.remove(http::header::CONTENT_LENGTH);
    let request =
        Request { method: parts.method, url, headers: parts.headers, body: body.to_bytes() };
    let (response, turn, timeout) = session.open(request, budget).await.map_err(convert)?;
    let response: http::Response<reqwest::Body> = response.into();
    Ok(response.map(|body| {
        let body = Limited::new(body, limits.response_bytes);
        body.map_err(move |error| {
            // Held until the body is dropped: the answer counts as under way until then.
            let _ = &turn;
            convert(match error.downcast_ref::<reqwest::Error>() {
                Some(error) => describe(error, &origin, timeout),
                None => too_large(&origin, limits.response_bytes),
            })
        })
        .boxed_unsync()
    }))
}

/// The nearest of the codes that `wasi:http` has; those with room for words carry ours.
fn convert(error: SendError) -> Error {
    match error {
        SendError::Denied(_) => Error::HttpRequestDenied,
        SendError::Timeout { .. } => Error::HttpResponseTimeout,
        SendError::Refused(text)
        | SendError::Limit(text)
        | SendError::TooLong(text)
        | SendError::Connection(text) => Error::InternalError(Some(text)),
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use http_body_util::Full;
    use serde_json::json;

    use super::*;
    use crate::net::{Network, TlsTrust};
    use crate::{ConfigField, Feed, FieldType, HostConfig, Limits, Metadata, SessionKind};

    /// A service that repeats each request's method, headers' names and body.
    async fn echo() -> u16 {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let app = axum::Router::new().fallback(|request: axum::extract::Request| async move {
            let (parts, body) = request.into_parts();
            let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
            let names: Vec<&str> = parts.headers.keys().map(|name| name.as_str()).collect();
            format!("{} {} {}", parts.method, names.join(","), String::from_utf8_lossy(&body))
        });
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        port
    }

    fn outgoing(granted: &str, limits: Limits) -> Outgoing {
        let host = HostConfig {
            allowed_hosts: vec!["127.0.0.1".parse().unwrap()],
            limits,
            ..HostConfig::default()
        };
        let field = |name: &str, secret| ConfigField {
            name: name.into(),
            description: String::new(),
            field_type: FieldType::Text,
            required: false,
            secret,
            default: None,
        };
        let metadata = Metadata {
            id: "d".into(),
            version: String::new(),
            description: String::new(),
            config: vec![field("url", false), field("auth", false), field("token", true)],
            tables: vec![],
            actions: vec![],
            feed: Feed::Poll,
            session: SessionKind::Configured,
            hosts: vec!["{url}".into()],
            files: vec![],
        };
        let config = json!({"url": granted, "auth": "bearer", "token": "canary"});
        let settings = metadata.check(config.as_object().unwrap()).unwrap();
        let network = Arc::new(Network::new(&host, tokio::runtime::Handle::current()));
        let session = Session::new(&metadata, &settings, network, TlsTrust::System).unwrap();
        Outgoing { session: Arc::new(session), budget: Arc::new(Budget::new(3)) }
    }

    async fn post(outgoing: &mut Outgoing, url: &str, body: &str) -> Result<String, Error> {
        let body = Full::new(Bytes::from(body.to_owned())).map_err(|never| match never {});
        let request = http::Request::post(url)
            .header("host", "elsewhere.example")
            .header("x-own", "1")
            .body(body.boxed_unsync())
            .unwrap();
        let sent = outgoing.send_request(request, None, Box::new(async { Ok(()) }));
        let (response, _) = Box::into_pin(sent).await?;
        let body = response.into_body().collect().await?.to_bytes();
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    #[tokio::test]
    async fn requests_go_out_without_credentials() {
        let url = format!("http://127.0.0.1:{}/", echo().await);
        let mut outgoing = outgoing(&url, Limits::default());
        let said = post(&mut outgoing, &url, "body").await.unwrap();
        assert!(said.starts_with("POST ") && said.ends_with(" body"), "{said}");
        assert!(said.contains("x-own") && !said.contains("authorization"), "{said}");
    }

    #[tokio::test]
    async fn grants_and_limits_hold() {
        let url = format!("http://127.0.0.1:{}/", echo().await);
        let limits = Limits { request_bytes: 10, response_bytes: 100, ..Limits::default() };
        let mut outgoing = outgoing(&url, limits);
        let denied = post(&mut outgoing, "http://127.0.0.1:1/", "").await;
        assert!(matches!(denied, Err(Error::HttpRequestDenied)), "{denied:?}");
        let long = post(&mut outgoing, &url, "more than ten").await;
        assert!(matches!(long, Err(Error::HttpRequestBodySize(Some(10)))), "{long:?}");

        // Three requests are left: neither of the refused ones was sent.
        for _ in 0..3 {
            post(&mut outgoing, &url, "").await.unwrap();
        }
        let fourth = post(&mut outgoing, &url, "").await.unwrap_err();
        assert!(fourth.to_string().contains("requests_per_call"), "{fourth}");
    }

    #[tokio::test]
    async fn long_answers_break_off() {
        let url = format!("http://127.0.0.1:{}/", echo().await);
        let limits = Limits { response_bytes: 10, ..Limits::default() };
        let error = post(&mut outgoing(&url, limits), &url, "0123456789").await.unwrap_err();
        assert!(error.to_string().contains("response_bytes"), "{error}");
    }

    #[tokio::test]
    async fn the_session_denies_what_is_not_granted() {
        let outgoing = outgoing("http://127.0.0.1:1/", Limits::default());
        let send = |url: &'static str, name: &'static str| {
            let mut headers = http::HeaderMap::new();
            headers.insert(name, "x".parse().unwrap());
            let session = outgoing.session.clone();
            let budget = outgoing.budget.clone();
            async move { session.send("GET", url, headers, vec![], &budget).await }
        };
        for (url, header, problem) in [
            ("http://127.0.0.1:2/", "x-own", "is not granted"),
            ("https://127.0.0.1:1/", "x-own", "is not granted"),
            ("http://127.0.0.1.example:1/", "x-own", "is not granted"),
            ("http://u:p@127.0.0.1:1/", "x-own", "user information"),
            ("gopher://127.0.0.1:1/", "x-own", "only http and https"),
            ("http://127.0.0.1:1/", "host", "may not be set"),
            ("http://127.0.0.1:1/", "proxy-authorization", "may not be set"),
        ] {
            let error = send(url, header).await.err().unwrap().to_string();
            assert!(error.contains(problem), "{url}: {error}");
        }
        assert_eq!(outgoing.budget.sent(), 0);
    }
}
