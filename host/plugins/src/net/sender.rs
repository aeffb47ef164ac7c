//! The one place from which requests leave.
//!
//! No proxies, no redirects and no retries (see `session` for both), no cookies; every request has its
//! turn and a deadline, every answer a largest size. Connections and name resolution run on the host's
//! I/O threads, so that a busy guest thread delays nobody's answers.

use std::collections::HashMap;
use std::error::Error;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::{HeaderMap, Method, StatusCode};
use reqwest::Url;
use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use tokio::sync::OwnedSemaphorePermit;
use tokio_util::task::AbortOnDropHandle;

use super::pace::Pace;
use super::tls::Trust;
use super::{Network, Origin, SendError};

/// Whether requests of a method only read, so that sending one twice does no more than sending it once.
pub(crate) fn only_reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// A request that has passed the grants.
#[derive(Clone)]
pub(crate) struct Request {
    pub(crate) method: Method,
    pub(crate) url: Url,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Request {
    /// The same in the words that a [`Wire`](super::wire::Wire) takes.
    fn for_wire(&self) -> Result<http::Request<Bytes>, SendError> {
        let refused = |e| SendError::Refused(format!("the request cannot be used: {e}"));
        let mut request = http::Request::builder()
            .method(self.method.clone())
            .uri(self.url.as_str())
            .body(self.body.clone())
            .map_err(refused)?;
        *request.headers_mut() = self.headers.clone();
        Ok(request)
    }
}

/// An answer, read to its end.
#[derive(Clone)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl From<http::Response<Bytes>> for Answer {
    fn from(response: http::Response<Bytes>) -> Self {
        let (parts, body) = response.into_parts();
        Self { status: parts.status, headers: parts.headers, body }
    }
}

impl From<Answer> for http::Response<Bytes> {
    fn from(answer: Answer) -> Self {
        let mut response = Self::new(answer.body);
        *response.status_mut() = answer.status;
        *response.headers_mut() = answer.headers;
        response
    }
}

/// The sender of one datasource, with connections of its own: pooled ones carry no credentials of
/// others, and one datasource's certificates are not another's.
pub(crate) struct Sender {
    network: Arc<Network>,
    trust: Trust,
    pace: Pace,
    /// One client for each origin, for the client's resolver is not told the port that it
    /// resolves for.
    clients: Mutex<HashMap<Origin, reqwest::Client>>,
}

/// How long a request may take that begins now, if it may begin at all.
pub(crate) type Patience<'p> = dyn Fn() -> Result<Duration, SendError> + Send + Sync + 'p;

/// Origins with open connections; beyond, all are closed and made anew.
const CLIENTS: usize = 64;

impl Sender {
    pub(crate) fn new(network: Arc<Network>, trust: Trust) -> Self {
        let pace = Pace::new(&network.limits);
        Self { network, trust, pace, clients: Mutex::default() }
    }

    pub(crate) fn network(&self) -> &Network {
        &self.network
    }

    /// Whether a tool listens in, which may answer itself.
    pub(crate) fn is_watched(&self) -> bool {
        self.network.wire.is_some()
    }

    /// Sends a request and reads the whole answer, within what `patience` says when it has its turn.
    pub(crate) async fn fetch(
        &self,
        request: Request,
        patience: &Patience<'_>,
    ) -> Result<Answer, SendError> {
        let Some(wire) = &self.network.wire else {
            return self.fetch_from_network(request, patience).await;
        };
        let seen = request.for_wire()?;
        if let Some(answer) = wire.answer(&seen) {
            return answer.map(Answer::from).map_err(SendError::Connection);
        }
        let answer = self.fetch_from_network(request, patience).await?;
        wire.saw(&seen, &answer.clone().into());
        Ok(answer)
    }

    async fn fetch_from_network(
        &self,
        request: Request,
        patience: &Patience<'_>,
    ) -> Result<Answer, SendError> {
        let origin = Origin::of(&request.url)?;
        let client = self.client(&origin)?;
        let _turn = self.pace.turn().await?;
        let limit = self.network.limits.response_bytes;
        let timeout = self.network.limits.request_timeout.min(patience()?);
        self.on_io(async move {
            let mut response = start(client, request, &origin, timeout).await?;
            let (status, headers) = (response.status(), std::mem::take(response.headers_mut()));
            let mut body = BytesMut::new();
            while let Some(chunk) =
                response.chunk().await.map_err(|e| describe(&e, &origin, timeout))?
            {
                if body.len() + chunk.len() > limit {
                    return Err(too_large(&origin, limit));
                }
                body.extend_from_slice(&chunk);
            }
            Ok(Answer { status, headers, body: body.freeze() })
        })
        .await
    }

    /// Sends a request and answers as soon as the headers are there; the body is the caller's to
    /// bound in length, and to keep together with its turn. Errors of the body are described by
    /// [`describe`]. Also how long it may take with its body.
    pub(crate) async fn open(
        &self,
        request: Request,
        patience: &Patience<'_>,
    ) -> Result<(reqwest::Response, OwnedSemaphorePermit, Duration), SendError> {
        let timeout = self.network.limits.request_timeout;
        if self.network.wire.is_some() {
            let answer = self.fetch(request, patience).await?;
            return Ok((http::Response::from(answer).into(), self.pace.turn().await?, timeout));
        }
        let origin = Origin::of(&request.url)?;
        let client = self.client(&origin)?;
        let turn = self.pace.turn().await?;
        let timeout = timeout.min(patience()?);
        let started = self.on_io(async move { start(client, request, &origin, timeout).await });
        Ok((started.await?, turn, timeout))
    }

    async fn on_io<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, SendError>> + Send + 'static,
    ) -> Result<T, SendError> {
        let task = AbortOnDropHandle::new(self.network.io.spawn(work));
        task.await.unwrap_or_else(|_| Err(SendError::Connection("the request was stopped".into())))
    }

    fn client(&self, origin: &Origin) -> Result<reqwest::Client, SendError> {
        // A literal address never reaches the resolver, so it is judged here.
        let literal = origin.host.trim_start_matches('[').trim_end_matches(']');
        if let Ok(address) = literal.parse() {
            self.network.judge(&origin.host, origin.port, address)?;
        }
        let mut clients = self.clients.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = clients.get(origin) {
            return Ok(client.clone());
        }
        let limits = &self.network.limits;
        let tls = match origin.is_https {
            true => self.network.tls.config(&self.trust),
            false => self.network.tls.unused(),
        };
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(tls.map_err(SendError::Connection)?)
            .no_proxy()
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .referer(false)
            .connect_timeout(limits.connect_timeout)
            .pool_max_idle_per_host(limits.concurrent_requests)
            .pool_idle_timeout(Duration::from_secs(90))
            .user_agent(concat!("congress/", env!("CARGO_PKG_VERSION")))
            .dns_resolver(Arc::new(JudgingResolver {
                network: self.network.clone(),
                port: origin.port,
            }))
            .build()
            .map_err(|e| SendError::Connection(format!("cannot set up a client: {e}")))?;
        if clients.len() >= CLIENTS {
            clients.clear();
        }
        clients.insert(origin.clone(), client.clone());
        Ok(client)
    }
}

async fn start(
    client: reqwest::Client,
    request: Request,
    origin: &Origin,
    timeout: Duration,
) -> Result<reqwest::Response, SendError> {
    client
        .request(request.method, request.url)
        .headers(request.headers)
        .body(request.body)
        .timeout(timeout)
        .send()
        .await
        .map_err(|e| describe(&e, origin, timeout))
}

pub(crate) fn too_large(origin: &Origin, limit: usize) -> SendError {
    SendError::TooLong(format!(
        "the answer of {origin} is longer than {limit} bytes, the limit `response_bytes`"
    ))
}

/// Says what went wrong without the URL, whose path and query are nobody's business.
pub(crate) fn describe(error: &reqwest::Error, origin: &Origin, limit: Duration) -> SendError {
    let mut cause: &(dyn Error + 'static) = error;
    while let Some(source) = cause.source() {
        if let Some(denied) = source.downcast_ref::<SendError>() {
            return denied.clone();
        }
        cause = source;
    }
    if error.is_timeout() && !error.is_connect() {
        return SendError::Timeout { origin: origin.to_string(), limit };
    }
    let doing = if error.is_connect() {
        "cannot connect to"
    } else if error.is_body() || error.is_decode() {
        "the answer broke off from"
    } else {
        "no valid answer from"
    };
    // Only the innermost cause: the outer ones repeat the URL.
    if std::ptr::eq(cause, error as &(dyn Error + 'static)) {
        return SendError::Connection(format!("{doing} {origin}"));
    }
    SendError::Connection(format!("{doing} {origin}: {cause}"))
}

/// Resolves a name by the system and lets only those addresses through that pass the judgement.
struct JudgingResolver {
    network: Arc<Network>,
    port: u16,
}

impl Resolve for JudgingResolver {
    fn resolve(&self, name: Name) -> Resolving {
        let (network, port) = (self.network.clone(), self.port);
        Box::pin(async move {
            let found = tokio::net::lookup_host((name.as_str(), port)).await.map_err(|e| {
                SendError::Connection(format!("the name {} cannot be resolved: {e}", name.as_str()))
            })?;
            let passed = judged(&network, name.as_str(), port, found)?;
            Ok(Box::new(passed.into_iter()) as Addrs)
        })
    }
}

/// Those of a name's addresses that may be connected to; an error if that is none of them.
fn judged(
    network: &Network,
    name: &str,
    port: u16,
    found: impl Iterator<Item = SocketAddr>,
) -> Result<Vec<SocketAddr>, SendError> {
    let mut denied = None;
    let mut passed = Vec::new();
    for address in found {
        match network.judge(name, port, address.ip()) {
            Ok(()) => passed.push(address),
            Err(error) => denied = Some(error),
        }
    }
    match denied {
        Some(denied) if passed.is_empty() => Err(denied),
        _ => Ok(passed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::HostConfig;

    /// A name server that gives another answer each time: what was judged once is judged again,
    /// and only what was judged is connected to.
    #[tokio::test]
    async fn a_name_that_changes_its_address_gains_nothing() {
        let network = Network::new(&HostConfig::default(), tokio::runtime::Handle::current());
        let ask = |answer: &[&str]| {
            let found = answer.iter().map(|a| SocketAddr::new(a.parse().unwrap(), 80));
            judged(&network, "rebound.example", 80, found.collect::<Vec<_>>().into_iter())
                .map(|passed| passed.iter().map(|a| a.ip().to_string()).collect::<Vec<_>>())
        };
        assert_eq!(ask(&["192.0.2.1"]).unwrap(), ["192.0.2.1"]);
        for second in ["127.0.0.1", "::1", "169.254.169.254", "::ffff:127.0.0.1", "64:ff9b::7f00:1"]
        {
            let error = ask(&[second]).unwrap_err();
            assert!(matches!(&error, SendError::Denied(text) if text.contains("rebound.example")));
            assert_eq!(ask(&[second, "192.0.2.1", second]).unwrap(), ["192.0.2.1"], "{second}");
        }
    }
}
