//! The service: jobs as a test sets them, and what was done.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Instant;

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use congress_tests::SOON;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;

/// A service that answers until the test ends.
#[derive(Clone)]
pub(crate) struct Service {
    address: String,
    world: Arc<World>,
}

struct World {
    jobs: Mutex<Vec<String>>,
    /// None: the list cannot be read.
    spared: Mutex<Option<Vec<String>>>,
    /// How often each job was asked for, whatever came of it.
    asked: Mutex<BTreeMap<String, usize>>,
    /// What is answered for a job; 200 if nothing is said.
    answers: Mutex<BTreeMap<String, u16>>,
    /// How many answers were given.
    answered: AtomicUsize,
    /// Whether answers are given at all, or held back.
    open: watch::Sender<bool>,
}

impl Service {
    pub(crate) async fn start(jobs: &[&str]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let world = Arc::new(World {
            jobs: Mutex::default(),
            spared: Mutex::new(Some(Vec::new())),
            asked: Mutex::default(),
            answers: Mutex::default(),
            answered: AtomicUsize::new(0),
            open: watch::Sender::new(true),
        });
        let service = Self { address, world: world.clone() };
        service.jobs(jobs);
        let router = Router::new()
            .route("/jobs", get(list_jobs))
            .route("/spared", get(list_spared))
            .route("/do", post(act))
            .with_state(world);
        // Ends with the test's runtime.
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        service
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub(crate) fn jobs(&self, jobs: &[&str]) {
        *self.world.jobs.lock().unwrap() = jobs.iter().map(|job| (*job).to_owned()).collect();
    }

    pub(crate) fn spared(&self, jobs: Option<&[&str]>) {
        let owned = |jobs: &[&str]| jobs.iter().map(|job| (*job).to_owned()).collect();
        *self.world.spared.lock().unwrap() = jobs.map(owned);
    }

    pub(crate) fn answers(&self, job: &str, status: u16) {
        self.world.answers.lock().unwrap().insert(job.to_owned(), status);
    }

    /// Holds answers back, or lets them go.
    pub(crate) fn open(&self, open: bool) {
        self.world.open.send_replace(open);
    }

    /// How often each job was asked for.
    pub(crate) fn asked(&self) -> BTreeMap<String, usize> {
        self.world.asked.lock().unwrap().clone()
    }

    /// How many answers were given to those who waited for them.
    pub(crate) fn answered(&self) -> usize {
        self.world.answered.load(Ordering::SeqCst)
    }

    /// Waits until just these jobs were asked for, so often.
    pub(crate) async fn was_asked(&self, expected: &[(&str, usize)]) {
        let expected: BTreeMap<String, usize> =
            expected.iter().map(|(job, count)| ((*job).to_owned(), *count)).collect();
        self.until(|asked| *asked == expected).await;
    }

    /// Waits until a condition holds for what was asked.
    pub(crate) async fn until(&self, condition: impl Fn(&BTreeMap<String, usize>) -> bool) {
        let deadline = Instant::now() + SOON;
        while !condition(&self.asked()) {
            assert!(Instant::now() < deadline, "{:?}", self.asked());
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
}

async fn list_jobs(State(world): State<Arc<World>>) -> String {
    let jobs = world.jobs.lock().unwrap().clone();
    json!(jobs).to_string()
}

async fn list_spared(State(world): State<Arc<World>>) -> Response {
    let spared = world.spared.lock().unwrap().clone();
    match spared {
        Some(jobs) => json!(jobs).to_string().into_response(),
        None => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

async fn act(State(world): State<Arc<World>>, body: String) -> StatusCode {
    let arguments: Value = serde_json::from_str(&body).unwrap();
    let job = arguments[0].as_str().unwrap_or_default().to_owned();
    *world.asked.lock().unwrap().entry(job.clone()).or_default() += 1;
    let mut open = world.open.subscribe();
    let _ = open.wait_for(|open| *open).await;
    world.answered.fetch_add(1, Ordering::SeqCst);
    let status = world.answers.lock().unwrap().get(&job).copied().unwrap_or(200);
    StatusCode::from_u16(status).unwrap()
}
