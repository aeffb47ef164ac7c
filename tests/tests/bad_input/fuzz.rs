//! Requests that nobody in their right mind sends, by the thousand: drawn from seeds, sent to the
//! real server.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use congress_tests::{Server, ServerOptions};
use serde_json::{Value, json};

/// Requests of the run; `CONGRESS_FUZZ_REQUESTS` asks for more.
const REQUESTS: u64 = 4_000;

/// A small generator of numbers (xorshift): runs repeat themselves.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most.max(1) as u64) as usize
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn bytes(&mut self, most: usize) -> Vec<u8> {
        (0..self.below(most)).map(|_| self.next() as u8).collect()
    }
}

const METHODS: [&str; 9] =
    ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "TRACE", "FROB"];

const SEGMENTS: [&str; 16] = [
    "p",
    "q",
    "classification",
    "nowhere",
    "%00",
    "%ff",
    "%2F",
    "..",
    "a b",
    "p:q",
    "inv",
    "00000000-0000-4000-8000-000000000000",
    "%E2%82%AC",
    "rows",
    "'",
    "%25",
];

const QUERIES: [&str; 18] = [
    "",
    "?action=simulate",
    "?action=execute",
    "?action=",
    "?action=a&action=b",
    "?trace=true",
    "?limit=1",
    "?limit=-1",
    "?limit=99999999999999999999",
    "?marker=%5B1%5D",
    "?sort=0:desc,1",
    "?filter.0=1",
    "?row=%5B1%2Cnull%5D",
    "?library_policy=x",
    "?include_rules=false",
    "?&&==&%",
    "?delta=1&trace=1&action=simulate",
    "?depth=0&steps=1",
];

fn path(random: &mut Random, templates: &[String]) -> String {
    let mut path: String = random
        .pick(templates)
        .split('/')
        .map(|segment| match segment.starts_with('{') {
            true => (*random.pick(&SEGMENTS)).replace(' ', "%20"),
            false => segment.to_owned(),
        })
        .collect::<Vec<_>>()
        .join("/");
    match random.below(12) {
        0 => path.push('/'),
        1 => path.push_str(&"/x".repeat(random.below(200))),
        2 => path.push_str(&"y".repeat(random.below(8_000))),
        _ => {}
    }
    let query: &&str = random.pick(&QUERIES[..]);
    path + query
}

fn value(random: &mut Random, depth: usize) -> Value {
    const TEXTS: [&str; 12] = [
        "p",
        "q(1)",
        "p(x) :- q(x)",
        "p(x) :- p(x)",
        "",
        "\u{0}",
        "execute[a:b(x)] :- q(x)",
        "nova:x",
        "q+(1) q-(1)",
        "p(x",
        "\u{1F600}",
        "nonrecursive",
    ];
    match random.below(if depth == 0 { 7 } else { 9 }) {
        0 => Value::Null,
        1 => json!(random.next().is_multiple_of(2)),
        2 => json!(random.next() as i64),
        3 => json!(f64::from_bits(random.next())),
        4 => json!("x".repeat(random.below(5_000))),
        5 | 6 => json!(random.pick(&TEXTS)),
        7 => (0..random.below(4)).map(|_| value(random, depth - 1)).collect(),
        _ => object(random, depth - 1),
    }
}

fn object(random: &mut Random, depth: usize) -> Value {
    const KEYS: [&str; 16] = [
        "name",
        "rule",
        "rules",
        "comment",
        "description",
        "kind",
        "abbreviation",
        "query",
        "sequence",
        "action_policy",
        "args",
        "config",
        "driver",
        "enabled",
        "id",
        "__proto__",
    ];
    let members =
        (0..random.below(6)).map(|_| ((*random.pick(&KEYS)).to_owned(), value(random, depth)));
    Value::Object(members.collect())
}

fn body(random: &mut Random) -> Vec<u8> {
    match random.below(8) {
        0 => Vec::new(),
        1 => random.bytes(300),
        2 => "[".repeat(random.below(20_000)).into_bytes(),
        _ => {
            let mut text = object(random, 3).to_string().into_bytes();
            if random.below(3) == 0 && !text.is_empty() {
                for _ in 0..random.below(4) {
                    let at = random.below(text.len());
                    text[at] = random.next() as u8;
                }
            }
            text
        }
    }
}

fn request(random: &mut Random, templates: &[String]) -> Vec<u8> {
    const TYPES: [&str; 5] =
        ["application/json", "application/json; charset=latin-1", "text/plain", "", "\u{e9}"];
    let (method, path) = (*random.pick(&METHODS), path(random, templates));
    let body = body(random);
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    if random.below(20) != 0 {
        head.push_str("Host: a\r\n");
    }
    if random.below(4) != 0 {
        head.push_str("Content-Type: application/json\r\n");
    } else {
        head.push_str(&format!("Content-Type: {}\r\n", random.pick(&TYPES)));
    }
    match random.below(24) {
        0 => head.push_str(&format!("X-Congress-Revision: {}\r\n", random.next() as i64)),
        1 => head.push_str(&format!("If-None-Match: {}\r\n", "\"a\",".repeat(random.below(500)))),
        2 => head.push_str(&format!("X-A: {}\r\n", "b".repeat(random.below(70_000)))),
        3 => head.push_str(&"X-B: c\r\n".repeat(random.below(300))),
        4 => head.push_str("Forwarded: for=x;host=\"y\r\n"),
        5 => head.push_str("Transfer-Encoding: chunked\r\n"),
        _ => {}
    }
    let length = if random.below(30) == 0 { random.below(1 << 20) } else { body.len() };
    head.push_str(&format!("Content-Length: {length}\r\n\r\n"));
    [head.into_bytes(), body].concat()
}

/// The status and the body of the answer, if there is one.
fn exchange(authority: &str, request: &[u8]) -> Option<(u16, Vec<u8>)> {
    let mut stream = TcpStream::connect(authority).expect("the server listens");
    stream.set_read_timeout(Some(Duration::from_secs(30))).expect("a timeout");
    // The server may have said all it has to say before it has read everything.
    let _ = stream.write_all(request);
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    let text = String::from_utf8_lossy(&answer);
    let status = text.strip_prefix("HTTP/1.1 ")?.get(..3)?.parse().ok()?;
    let body = text.split_once("\r\n\r\n")?.1.as_bytes().to_vec();
    Some((status, body))
}

/// Resident memory in MiB.
pub(crate) fn memory(server: &Server) -> u64 {
    let statm = std::fs::read_to_string(format!("/proc/{}/statm", server.pid())).expect("statm");
    let pages: u64 = statm.split(' ').nth(1).and_then(|n| n.parse().ok()).expect("pages");
    (pages * 4096) >> 20
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_random_requests_get_orderly_answers() {
    let options = ServerOptions::default()
        .with("oslo_middleware", "max_request_body_size", 200_000)
        .with("DEFAULT", "query_rows_limit", 100_000);
    let server = Server::start(options).await.unwrap();
    let description = server.get("/v1/openapi.json").await.unwrap().json().unwrap();
    // A stream of events ends when the client goes, and these wait for the end.
    let mut templates: Vec<String> = description["paths"]
        .as_object()
        .unwrap()
        .keys()
        .filter(|path| !path.ends_with("/events"))
        .cloned()
        .collect();
    templates.extend(["/", "/v1", "/v1/x/{p}", "/{p}", "//v1//policies", "*"].map(str::to_owned));
    let rules = json!([{"rule": "q(1)"}, {"rule": "q(2)"}, {"rule": "r(x) :- q(x)"}]);
    server.post("/v1/policies", &json!({"name": "p", "rules": rules})).await.unwrap();

    let count = std::env::var("CONGRESS_FUZZ_REQUESTS").ok().and_then(|n| n.parse().ok());
    let count = count.unwrap_or(REQUESTS);
    let mut warm = 0;
    for round in 0..4 {
        let threads: Vec<_> = (0..4u64)
            .map(|thread| {
                let (authority, templates) = (server.authority().to_owned(), templates.clone());
                std::thread::spawn(move || {
                    let mut random = Random(0x9E37_79B9_7F4A_7C15 ^ (round * 4 + thread + 1));
                    let mut strange = Vec::new();
                    for _ in 0..count / 16 {
                        let request = request(&mut random, &templates);
                        let Some((status, body)) = exchange(&authority, &request) else { continue };
                        let orderly = match status {
                            // Hyper's own, to what is no HTTP.
                            400 | 414 | 431 if body.is_empty() => true,
                            200..=399 | 501 | 503 => true,
                            400..=499 => {
                                request.starts_with(b"HEAD")
                                    || serde_json::from_slice::<Value>(&body)
                                        .is_ok_and(|body| body["error"]["message"].is_string())
                            }
                            _ => false,
                        };
                        if !orderly {
                            let shown = String::from_utf8_lossy(&request[..request.len().min(600)]);
                            let body = String::from_utf8_lossy(&body);
                            strange.push(format!("{status} {body}\nto {shown}"));
                        }
                    }
                    strange
                })
            })
            .collect();
        for thread in threads {
            let strange = thread.join().expect("a thread");
            assert!(strange.is_empty(), "{} answers, such as {}", strange.len(), strange[0]);
        }
        if round == 0 {
            warm = memory(&server);
        }
    }
    let log = server.log();
    assert!(!log.contains("panicked") && !log.contains("internal error"), "{log}");
    let now = memory(&server);
    println!("{count} requests; {warm} MiB after a quarter of them, {now} MiB at the end");
    assert!(now < warm + 64, "memory grows: {warm} MiB, {now} MiB");
    // Its policies may be other ones by now.
    assert_eq!(server.get("/v1/policies").await.unwrap().status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn thousands_of_slow_connections_keep_nobody_out() {
    let server = Server::start(ServerOptions::default()).await.unwrap();
    let authority = server.authority().to_owned();
    let before = memory(&server);
    let open = tokio::task::spawn_blocking(move || {
        let begun = (0..2_000).map(|n| {
            let mut stream = TcpStream::connect(&authority).expect("the server listens");
            let part: &[u8] = match n % 3 {
                0 => b"GET /v1/policies HTTP/1.1\r\nHost: a\r\nX-",
                1 => b"POST /v1/policies HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n{",
                _ => b"",
            };
            stream.write_all(part).expect("a beginning");
            stream
        });
        begun.collect::<Vec<_>>()
    });
    let open = open.await.unwrap();
    let begin = Instant::now();
    assert_eq!(server.get("/v1/policies").await.unwrap().status, 200);
    assert!(begin.elapsed() < Duration::from_secs(5), "{:?}", begin.elapsed());
    let with = memory(&server);
    println!(
        "{} connections that say nothing: {before} MiB before, {with} MiB with them",
        open.len()
    );
    assert!(with < before + 128, "{before} MiB, {with} MiB");
}
