//! What the tests of the host share: guests, hosts, and a small HTTP service.

use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::body::{Body, to_bytes};
use axum::extract::Request;
use axum::http::{HeaderMap, Response};
use congress_plugins::{
    CallError, CallOutcome, ConfigError, ConfigValues, Datasource, Driver, Host, HostConfig,
    Limits, State, TableOperation,
};
use congress_table::{NewContent, Row, Value};
use serde_json::{Value as Json, json};

/// Where `scripts/build-drivers` puts what it builds.
pub(crate) fn drivers() -> PathBuf {
    std::env::var_os("CONGRESS_DRIVERS_OUT").map_or_else(
        || PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../drivers/out")),
        PathBuf::from,
    )
}

/// A guest that `scripts/build-drivers` made for tests.
pub(crate) fn guest(name: &str) -> PathBuf {
    let path = drivers().join("testing").join(format!("{name}.wasm"));
    assert!(path.is_file(), "{} is missing: run scripts/build-drivers", path.display());
    path
}

/// Limits that make misbehaviour show soon.
pub(crate) fn short_limits() -> Limits {
    Limits {
        call_timeout: Duration::from_secs(10),
        request_timeout: Duration::from_secs(5),
        ..Limits::default()
    }
}

/// A host that lets datasources reach this machine.
pub(crate) fn local_config() -> HostConfig {
    HostConfig {
        allowed_hosts: vec!["127.0.0.1".parse().unwrap(), "localhost".parse().unwrap()],
        limits: short_limits(),
        guest_threads: 2,
        // Guests are compiled once for all tests.
        cache_folder: Some(concat!(env!("CARGO_TARGET_TMPDIR"), "/compiled").into()),
        ..HostConfig::default()
    }
}

pub(crate) fn values(config: Json) -> ConfigValues {
    config.as_object().cloned().unwrap()
}

pub(crate) async fn hostile(host: &Host) -> Driver {
    host.load(guest("hostile")).await.unwrap()
}

/// A datasource of the test guest.
pub(crate) async fn source(config: HostConfig, settings: Json) -> Result<Datasource, ConfigError> {
    let host = Host::new(config).unwrap();
    hostile(&host).await.datasource("d", &values(settings), State::default()).await
}

/// Polls the test guest in one of its modes.
pub(crate) async fn poll(config: HostConfig, settings: Json) -> Result<CallOutcome, CallError> {
    source(config, settings).await.unwrap().poll(&["numbers", "report"]).await
}

pub(crate) async fn poll_mode(mode: &str) -> Result<CallOutcome, CallError> {
    poll(local_config(), json!({"mode": mode})).await
}

/// The new content of a table that was replaced.
pub(crate) fn replaced<'a>(outcome: &'a CallOutcome, table: &str) -> &'a NewContent {
    match outcome.tables.iter().find(|(name, _)| &**name == table) {
        Some((_, TableOperation::Replace(content))) => content,
        other => panic!("table {table}: {other:?}"),
    }
}

/// What the test guest reports under a key.
pub(crate) fn reported(outcome: &CallOutcome, key: &str) -> Value {
    let key = Value::text(key);
    let rows = replaced(outcome, "report").rows();
    rows.filter(|row| row[0] == key).map(|row| row[1].clone()).next().unwrap()
}

pub(crate) fn row(cells: &[Value]) -> Row {
    cells.iter().cloned().collect()
}

/// A request that the service saw.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) method: String,
    /// With its query.
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Seen {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }
}

/// A service on a free port of this machine, gone when it is dropped.
pub(crate) struct Service {
    pub(crate) port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
    task: tokio::task::JoinHandle<()>,
}

impl Service {
    pub(crate) async fn start<A>(answer: A) -> Self
    where
        A: Fn(&Seen) -> Response<Body> + Clone + Send + Sync + 'static,
    {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let record = seen.clone();
        let app = axum::Router::new().fallback(move |request: Request| {
            let (record, answer) = (record.clone(), answer.clone());
            async move {
                let (parts, body) = request.into_parts();
                let body = to_bytes(body, 1 << 20).await.unwrap();
                let seen = Seen {
                    method: parts.method.to_string(),
                    path: parts.uri.path_and_query().map_or(String::new(), ToString::to_string),
                    headers: parts.headers,
                    body: String::from_utf8_lossy(&body).into_owned(),
                };
                record.lock().unwrap().push(seen.clone());
                answer(&seen)
            }
        });
        let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
        Self { port, seen, task }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(crate) fn answer(status: u16, body: impl Into<Body>) -> Response<Body> {
    Response::builder().status(status).body(body.into()).unwrap()
}

/// Whether this process runs one test alone, because what it looks at is the process's. If not,
/// such a process is started, and must succeed; what it prints is printed here.
pub(crate) async fn alone(test: &str) -> bool {
    const ALONE: &str = "CONGRESS_TEST_ALONE";
    if std::env::var_os(ALONE).is_some() {
        return true;
    }
    let mut child = std::process::Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", test, "--nocapture"]).env(ALONE, "1");
    let output = tokio::task::spawn_blocking(move || child.output()).await.unwrap().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    println!("{said}");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && said.contains("1 passed"), "{said}{errors}");
    false
}
