//! With a stand-in for Keystone that counts what it is asked.

use std::sync::Mutex;
use std::sync::atomic::AtomicUsize;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use axum::routing::post;
use futures_util::future::join_all;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use super::*;
use crate::auth::{Account, Credentials, IdOrName, KeystoneOptions, Scope, Secret};

/// Users' tokens are `good…`; its own are `service-<n>`, of which the last is good.
#[derive(Default)]
struct Fake {
    logins: AtomicUsize,
    questions: AtomicUsize,
    /// Whether it takes its time.
    gate: Mutex<Option<Arc<Semaphore>>>,
}

impl Fake {
    fn questions(&self) -> usize {
        self.questions.load(Ordering::SeqCst)
    }
}

fn body() -> String {
    let until = Timestamp::now() + jiff::SignedDuration::from_secs(3600);
    let body = json!({"token": {
        "expires_at": until.to_string(), "user": {"id": "u1", "name": "ada"},
        "roles": [{"id": "r", "name": "reader"}],
    }});
    body.to_string()
}

async fn log_in(State(fake): State<Arc<Fake>>, sent: String) -> impl IntoResponse {
    let sent: Value = serde_json::from_str(&sent).unwrap();
    let password = &sent["auth"]["identity"]["password"]["user"]["password"];
    assert_eq!(password, "pw");
    let number = fake.logins.fetch_add(1, Ordering::SeqCst) + 1;
    (StatusCode::CREATED, [("x-subject-token", format!("service-{number}"))], body())
}

async fn validate(State(fake): State<Arc<Fake>>, headers: HeaderMap) -> impl IntoResponse {
    let gate = fake.gate.lock().unwrap().clone();
    if let Some(gate) = gate {
        drop(gate.acquire().await);
    }
    if headers["x-auth-token"] != format!("service-{}", fake.logins.load(Ordering::SeqCst)) {
        return StatusCode::UNAUTHORIZED.into_response();
    }
    fake.questions.fetch_add(1, Ordering::SeqCst);
    match headers["x-subject-token"].to_str().unwrap() {
        token if token.starts_with("good") => body().into_response(),
        _ => StatusCode::NOT_FOUND.into_response(),
    }
}

async fn start(keep: Duration, most: usize) -> (Arc<Fake>, Arc<Tokens>) {
    let fake = Arc::new(Fake::default());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let router = Router::new()
        .route("/v3/auth/tokens", post(log_in).get(validate))
        .with_state(Arc::clone(&fake));
    tokio::spawn(async move { axum::serve(listener, router).await });
    let account = |name: &str| Account {
        account: IdOrName::Name(name.to_owned()),
        domain: IdOrName::Id("default".to_owned()),
    };
    let keystone = Keystone::new(KeystoneOptions {
        auth_url: format!("http://{address}").parse().unwrap(),
        credentials: Credentials::Password {
            user: account("congress"),
            password: Secret::from("pw".to_owned()),
            scope: Scope::Project(account("service")),
        },
        endpoint: None,
        ca_file: None,
        certificate: None,
        insecure: false,
        timeout: Duration::from_secs(10),
        retries: 0,
    });
    (fake, Arc::new(Tokens::new(keystone.unwrap(), keep, most, Readiness::default())))
}

const LONG: Duration = Duration::from_secs(300);

fn token(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).unwrap()
}

#[tokio::test]
async fn a_token_is_asked_about_once() {
    let (fake, tokens) = start(LONG, 100).await;
    let gate = Arc::new(Semaphore::new(0));
    *fake.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let asking = join_all((0..100).map(|_| {
        let tokens = Arc::clone(&tokens);
        tokio::spawn(async move { tokens.look_up(&token("good"), false).await.unwrap() })
    }));
    let opening = async {
        // The question is under way; whoever asks now or later gets its answer.
        while tokens.queue.available_permits() > WAITING - 100 {
            tokio::task::yield_now().await;
        }
        gate.add_permits(1000);
    };
    let (found, ()) = tokio::join!(asking, opening);
    for caller in found {
        let (caller, _) = caller.unwrap().unwrap();
        assert!(caller.has_role("READER"));
    }
    assert_eq!((fake.questions(), fake.logins.load(Ordering::SeqCst)), (1, 1));
    for _ in 0..2 {
        assert!(tokens.look_up(&token("bad"), false).await.unwrap().is_none());
    }
    assert_eq!(fake.questions(), 2);
    // With leave to have expired it is another question.
    assert!(tokens.look_up(&token("good"), true).await.unwrap().is_some());
    assert_eq!(fake.questions(), 3);
    // What no token can be is not asked at all.
    assert!(tokens.look_up(&token(""), false).await.unwrap().is_none());
    assert!(tokens.look_up(&token(&"x".repeat(9000)), false).await.unwrap().is_none());
    assert_eq!(fake.questions(), 3);
    assert!(!format!("{tokens:?}").contains("good"), "tokens do not show");
}

#[tokio::test]
async fn memory_is_bounded() {
    let (_fake, tokens) = start(LONG, 10).await;
    for number in 0..200 {
        let known = tokens.look_up(&token(&format!("good-{number}")), false).await.unwrap();
        assert!(known.is_some());
    }
    tokens.seen.run_pending_tasks().await;
    assert!(tokens.seen.entry_count() <= 10, "{}", tokens.seen.entry_count());
}

#[tokio::test]
async fn without_a_time_nothing_is_remembered() {
    let (fake, tokens) = start(Duration::ZERO, 100).await;
    for _ in 0..3 {
        assert!(tokens.look_up(&token("good"), false).await.unwrap().is_some());
    }
    assert_eq!(fake.questions(), 3);
}

#[tokio::test]
async fn a_login_that_is_no_good_any_more_is_renewed() {
    let (fake, tokens) = start(LONG, 100).await;
    assert!(tokens.look_up(&token("good-1"), false).await.unwrap().is_some());
    // As if all tokens had been revoked.
    fake.logins.store(5, Ordering::SeqCst);
    assert!(tokens.look_up(&token("good-2"), false).await.unwrap().is_some());
    assert_eq!(fake.logins.load(Ordering::SeqCst), 6);
}

#[tokio::test]
async fn a_crowd_is_turned_away_and_an_outage_is_not_remembered() {
    let (fake, tokens) = start(LONG, 100).await;
    assert!(tokens.look_up(&token("good-known"), false).await.unwrap().is_some());
    let gate = Arc::new(Semaphore::new(0));
    *fake.gate.lock().unwrap() = Some(Arc::clone(&gate));
    let asking: Vec<_> = (0..WAITING)
        .map(|number| {
            let tokens = Arc::clone(&tokens);
            let token = token(&format!("good-{number}"));
            tokio::spawn(async move { tokens.look_up(&token, false).await })
        })
        .collect();
    while tokens.queue.available_permits() > 0 {
        tokio::task::yield_now().await;
    }
    let one_more = tokens.look_up(&token("good-more"), false).await.unwrap_err();
    assert!(one_more.to_string().contains("256 requests"), "{one_more}");
    assert!(tokens.look_up(&token("good-known"), false).await.unwrap().is_some());
    gate.add_permits(10_000);
    for answer in join_all(asking).await {
        assert!(answer.unwrap().unwrap().is_some());
    }
    assert!(tokens.look_up(&token("good-more"), false).await.unwrap().is_some());
}
