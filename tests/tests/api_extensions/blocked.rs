//! A database that another process keeps locked: writers are refused within a bound, and nobody who
//! only reads waits for them.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use congress_tests::{Server, ServerOptions};
use serde_json::{Value, json};
use tokio::task::JoinHandle;

use crate::{SOON, json_of, policy};

/// `[database] pool_timeout`.
const BOUND: Duration = Duration::from_secs(10);

/// Within which a writer is refused: one bound for the connection, which a lease may have that waits
/// for the same lock, one for the lock, and time for a busy machine; far less than a bound for each
/// of [`WRITERS`].
const REFUSED: Duration = Duration::from_secs(50);

/// Writers at a time.
const WRITERS: usize = 10;

const LOCK: &str = "
import sqlite3, sys
database = sqlite3.connect(sys.argv[1], isolation_level=None)
database.execute('BEGIN EXCLUSIVE')
print('locked', flush=True)
sys.stdin.read()
";

/// Another process that keeps the database locked, until it is dropped.
struct Lock(Child);

impl Lock {
    fn of(server: &Server) -> Self {
        let mut child = Command::new("python3")
            .args(["-c", LOCK])
            .arg(server.state().path().join("congress.sqlite"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("python3");
        let mut said = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut said).unwrap();
        let lock = Self(child);
        assert_eq!(said, "locked\n");
        lock
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // An error means that it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server with a policy and a rule whose id is given.
async fn setting() -> (Arc<Server>, String) {
    let options = ServerOptions::default().with("database", "pool_timeout", BOUND.as_secs());
    let server = Server::start(options).await.unwrap();
    policy(&server, "p", &["q(1)"]).await;
    let rule = json_of(server.get("/v1/policies/p/rules").await, 200)["results"][0]["id"].clone();
    (Arc::new(server), rule.as_str().unwrap().to_owned())
}

/// A rule that is posted: the status of the answer, and when it came.
fn writer(server: &Arc<Server>, number: usize) -> JoinHandle<(u16, Duration)> {
    let server = server.clone();
    tokio::spawn(async move {
        let begin = Instant::now();
        let body = json!({ "rule": format!("w({number})") });
        let reply = server.post("/v1/policies/p/rules", &body).await.unwrap();
        (reply.status, begin.elapsed())
    })
}

/// Reads again and again for a while all that used to wait for writers.
async fn read_all(server: &Server, rule: &str) {
    let begin = Instant::now();
    while begin.elapsed() < BOUND / 3 {
        for (path, wanted) in [
            ("/v1/policies/p/rules".to_owned(), "q(1)"),
            (format!("/v1/policies/p/rules/{rule}"), "q(1)"),
            (format!("/v1/policies/p/rules/{rule}/status"), "q(1)"),
            ("/v1/policies/p/status".to_owned(), "\"name\":\"p\""),
            ("/v1/policies/p/tables/q/rows".to_owned(), "\"data\":[1]"),
            ("/".to_owned(), "\"versions\""),
        ] {
            let reply = server.get(&path).await.unwrap();
            let text: String = String::from_utf8_lossy(&reply.body).split_whitespace().collect();
            assert_eq!(reply.status, 200, "{path}: {text}");
            assert!(text.contains(wanted), "{path}: {text}");
        }
    }
}

/// Waits until writes are done again; what the policy has then, and no more.
async fn goes_on(server: &Server) {
    let begin = Instant::now();
    while server.post("/v1/policies/p/rules", &json!({ "rule": "r(1)" })).await.unwrap().status
        != 201
    {
        assert!(begin.elapsed() < SOON, "no write succeeds any more");
    }
    let rules = json_of(server.get("/v1/policies/p/rules").await, 200);
    let rules: Vec<&Value> = rules["results"].as_array().unwrap().iter().collect();
    let texts: Vec<&str> = rules.iter().map(|rule| rule["rule"].as_str().unwrap()).collect();
    assert_eq!(texts, ["q(1)", "r(1)"]);
    assert_eq!(crate::rows(server, "/v1/policies/p/tables/r/rows").await, ["[1]"]);
    // None of the rules that were refused has left even its table.
    assert_eq!(server.get("/v1/policies/p/tables/w/rows").await.unwrap().status, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn writers_are_refused_together_and_readers_do_not_wait() {
    let (server, rule) = setting().await;
    let lock = Lock::of(&server);
    let writers: Vec<_> = (0..WRITERS).map(|number| writer(&server, number)).collect();
    read_all(&server, &rule).await;
    assert!(writers.iter().all(|writer| !writer.is_finished()), "readers waited for a writer");
    for writer in writers {
        let (status, after) = writer.await.unwrap();
        assert_eq!(status, 503);
        assert!(after < REFUSED, "{after:?}");
    }
    // All that writes is refused so.
    let (body, patch) = (json!({ "name": "another" }), json!({ "description": "d" }));
    let begin = Instant::now();
    let (created, deleted, changed) = tokio::join!(
        server.post("/v1/policies", &body),
        server.delete("/v1/policies/p"),
        server.patch("/v1/policies/p", &patch),
    );
    for reply in [created, deleted, changed] {
        assert_eq!(reply.unwrap().status, 503);
    }
    assert!(begin.elapsed() < REFUSED, "{:?}", begin.elapsed());
    drop(lock);
    goes_on(&server).await;
    assert_eq!(server.get("/v1/policies/another").await.unwrap().status, 404);
    assert_eq!(server.get("/v1/policies/another/tables").await.unwrap().status, 404);
}

/// More writers than requests are worked on at a time.
#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_writers_leaves_room_for_readers() {
    let (server, rule) = setting().await;
    let lock = Lock::of(&server);
    let writers: Vec<_> = (0..1030).map(|number| writer(&server, number)).collect();
    read_all(&server, &rule).await;
    assert!(writers.iter().any(|writer| !writer.is_finished()), "readers waited for writers");
    for writer in writers {
        let (status, after) = writer.await.unwrap();
        assert_eq!(status, 503);
        assert!(after < REFUSED, "{after:?}");
    }
    drop(lock);
    goes_on(&server).await;
}
