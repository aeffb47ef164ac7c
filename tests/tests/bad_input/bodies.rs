//! Bodies that are too long, too many, or do not end.

use std::time::{Duration, Instant};

use congress_tests::{Server, ServerOptions};
use reqwest::Method;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::fuzz::memory;

/// The head of a request that creates a policy.
fn head(more: &str) -> String {
    format!(
        "POST /v1/policies HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Connection: close\r\n{more}\r\n\r\n"
    )
}

/// Sends a request, and gives all that is answered.
async fn exchange(server: &Server, request: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.authority()).await.unwrap();
    // The server may have said all it has to say before it has read everything.
    let _ = stream.write_all(request).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    String::from_utf8_lossy(&answer).into_owned()
}

/// A request that creates a policy, in chunks.
fn in_chunks(name: &str, length: usize) -> Vec<u8> {
    let body = json!({ "name": name, "description": "x".repeat(length) }).to_string();
    let mut request = head("Transfer-Encoding: chunked").into_bytes();
    for chunk in body.as_bytes().chunks(60_000) {
        request.extend(format!("{:x}\r\n", chunk.len()).bytes());
        request.extend(chunk);
        request.extend(b"\r\n");
    }
    request.extend(b"0\r\n\r\n");
    request
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_need_not_say_how_long_they_are() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    for (name, length, status) in [
        ("a", 10, 201),
        ("b", 30_000, 201),
        ("c", 900_000, 201),
        ("d", 3 << 20, 201),
        ("e", 17 << 20, 413),
    ] {
        let answer = exchange(&server, &in_chunks(name, length)).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{length}: {answer:.500}");
    }
    let described = server.get("/v1/policies/d").await.unwrap().json().unwrap();
    assert_eq!(described["description"].as_str().map(str::len), Some(3 << 20));
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_before_sending_too_much_is_told_at_once() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let expecting = |length: usize| {
        head(&format!("Expect: 100-continue\r\nContent-Length: {length}")).into_bytes()
    };
    let begin = Instant::now();
    let answer = exchange(&server, &expecting(17 << 20)).await;
    assert!(answer.starts_with("HTTP/1.1 413"), "{answer}");
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());

    let body = json!({ "name": "p" }).to_string();
    let mut stream = TcpStream::connect(server.authority()).await.unwrap();
    stream.write_all(&expecting(body.len())).await.unwrap();
    let mut said = [0; 25];
    stream.read_exact(&mut said).await.unwrap();
    assert_eq!(&said, b"HTTP/1.1 100 Continue\r\n\r\n");
    stream.write_all(body.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 201"), "{answer}");
}

/// A body that takes room which there is not.
async fn middling(server: &Server) -> congress_tests::Reply {
    let body = json!({ "name": "middling", "description": "x".repeat(200_000) });
    server.post("/v1/policies", &body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_end_take_no_more_than_their_share() {
    const CONNECTIONS: u64 = 300;
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let before = memory(&server);
    let head = head("Content-Length: 1048000");
    let open: Vec<_> = (0..CONNECTIONS)
        .map(|_| {
            let (authority, head) = (server.authority().to_owned(), head.clone());
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&authority).await.expect("the server listens");
                stream.write_all(head.as_bytes()).await.expect("a head");
                // Ends when the server takes no more.
                let _ = stream.write_all(&vec![b' '; 1_000_000]).await;
                std::future::pending::<()>().await;
            })
        })
        .collect();
    // It has what it takes once nothing comes in any more.
    let mut with = before;
    loop {
        tokio::time::sleep(Duration::from_secs(2)).await;
        let now = memory(&server);
        if now == with {
            break;
        }
        with = now;
    }
    println!("{CONNECTIONS} bodies that do not end: {before} MiB before, {with} MiB with them");
    assert!(with < before + 128, "{before} MiB, {with} MiB");

    // What needs no room is taken, and what does is told to come again.
    let begin = Instant::now();
    let reply = server.post("/v1/policies", &json!({ "name": "small" })).await.unwrap();
    assert_eq!(reply.status, 201);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let reply = middling(&server).await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key(RETRY_AFTER), "{:?}", reply.headers);
    assert!(begin.elapsed() < Duration::from_secs(45), "{:?}", begin.elapsed());

    // All of it comes back.
    open.iter().for_each(tokio::task::JoinHandle::abort);
    assert_eq!(middling(&server).await.status, 201);
}

#[tokio::test(flavor = "multi_thread")]
async fn refusals_tell_the_revision_too() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let asking = |revision: &str| {
        HeaderMap::from_iter([("x-congress-revision".parse().unwrap(), revision.parse().unwrap())])
    };
    let long = Some(vec![b' '; 17 << 20]);
    for (method, path, headers, body, status) in [
        (Method::GET, "/v1/policies", asking("x"), None, 400),
        (Method::GET, "/v1/policies", asking("1000000"), None, 503),
        (Method::GET, "/v1/nothing", HeaderMap::new(), None, 404),
        (Method::POST, "/v1/policies", HeaderMap::new(), long, 413),
        (Method::OPTIONS, "/v1/policies", HeaderMap::new(), None, 200),
    ] {
        let reply = server.request(method, path, headers, body).await.unwrap();
        assert_eq!(reply.status, status, "{path}");
        let revision = &reply.headers["x-congress-revision"];
        assert!(revision.to_str().unwrap().parse::<u64>().is_ok(), "{status}: {revision:?}");
    }
    let reply = server.get("/healthcheck").await.unwrap();
    assert!(!reply.headers.contains_key("x-congress-revision"));
}
