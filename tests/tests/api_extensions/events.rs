//! Rows as they change.

use std::time::Duration;

use congress_tests::Server;
use reqwest::Response;
use serde_json::{Value, json};

use crate::{SOON, json_of, policy, server, server_with_inventory};

/// A stream that is read event by event.
struct Events {
    response: Response,
    text: String,
}

impl Events {
    async fn open(server: &Server, path: &str) -> Self {
        let response = reqwest::get(format!("{}{path}", server.url())).await.unwrap();
        assert_eq!(response.status().as_u16(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self { response, text: String::new() }
    }

    /// The next event's name and data; none at the end.
    async fn next(&mut self) -> Option<(String, Value)> {
        let reading = async {
            loop {
                if let Some((event, rest)) = self.text.split_once("\n\n") {
                    let (event, rest) = (event.to_owned(), rest.to_owned());
                    self.text = rest;
                    if let Some(event) = event.strip_prefix("event: ") {
                        let (name, data) = event.split_once("\ndata: ").unwrap();
                        return Some((name.to_owned(), serde_json::from_str(data).unwrap()));
                    }
                    continue;
                }
                let chunk = self.response.chunk().await.ok().flatten()?;
                self.text.push_str(std::str::from_utf8(&chunk).unwrap());
            }
        };
        tokio::time::timeout(SOON, reading).await.expect("an event")
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_of_a_policys_table_come_as_they_happen() {
    let server = server().await;
    policy(&server, "p", &["q(1)", "r(x) :- q(x), not s(x)"]).await;
    let mut events = Events::open(&server, "/v1/policies/p/tables/r/events").await;
    let all = json!({"results": [{"data": [1]}], "first": true, "last": true});
    assert_eq!(events.next().await, Some(("snapshot".to_owned(), all)));
    let rules = json!({"rules": [{"rule": "q(2)"}, {"rule": "s(1)"}]});
    json_of(server.post("/v1/policies/p/rules", &rules).await, 201);
    let change = json!({"added": [{"data": [2]}], "removed": [{"data": [1]}]});
    assert_eq!(events.next().await, Some(("change".to_owned(), change)));
    // What does not concern the table is not told; the end of its policy is.
    policy(&server, "other", &["q(7)"]).await;
    json_of(server.delete("/v1/policies/p").await, 200);
    let change = json!({"added": [], "removed": [{"data": [2]}]});
    assert_eq!(events.next().await, Some(("change".to_owned(), change)));
    for path in ["/v1/policies/none/tables/r/events", "/v1/policies/other/tables/none/events"] {
        json_of(server.get(path).await, 404);
    }
    // The server does not wait for clients that listen.
    let begin = std::time::Instant::now();
    assert!(server.stop().await.unwrap().success());
    assert!(begin.elapsed() < Duration::from_secs(20));
    assert_eq!(events.next().await, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datasources_table_is_followed_through_its_restart() {
    let server = server_with_inventory().await;
    let rows = "/v1/data-sources/inv/tables/servers/rows";
    let there = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 4);
    server.eventually(rows, SOON, there).await.unwrap();
    let mut events = Events::open(&server, "/v1/data-sources/inv/tables/servers/events").await;
    let (name, data) = events.next().await.unwrap();
    assert_eq!((name.as_str(), data["results"].as_array().unwrap().len()), ("snapshot", 4));
    let action = json!({"name": "remove_server", "args": {"positional": ["s3"]}});
    json_of(server.post("/v1/data-sources/inv?action=execute", &action).await, 200);
    let (name, data) = events.next().await.unwrap();
    assert_eq!((name.as_str(), &data["added"]), ("change", &json!([])));
    assert_eq!(data["removed"][0]["data"][0], "s3");
    json_of(server.get("/v1/data-sources/inv/tables/none/events").await, 404);
    json_of(server.delete("/v1/data-sources/inv").await, 200);
    assert_eq!(events.next().await.unwrap().0, "gone");
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_readers_and_many_of_them_cost_nobody_anything() {
    let server = server().await;
    policy(&server, "p", &["q(0)"]).await;
    let path = "/v1/policies/p/tables/q/events";
    let mut slow = Events::open(&server, path).await;
    let text = "x".repeat(100_000);
    for n in 1..200 {
        let rule = json!({ "rule": format!("q(\"{n}{text}\")") });
        json_of(server.post("/v1/policies/p/rules", &rule).await, 201);
    }
    // It has missed much, and gets to the end all the same.
    let mut known: usize = 0;
    while known < 200 {
        let (name, data) = slow.next().await.unwrap();
        let count = |key: &str| data[key].as_array().map_or(0, Vec::len);
        known = match (name.as_str(), data["first"].as_bool()) {
            ("snapshot", Some(true)) => count("results"),
            ("snapshot", _) => known + count("results"),
            _ => known + count("added") - count("removed"),
        };
    }
    // Many that have little to read: opening one costs what it shows.
    policy(&server, "few", &["q(0)"]).await;
    let path = "/v1/policies/few/tables/q/events";
    let mut all = Vec::new();
    let refused = loop {
        let response = reqwest::get(format!("{}{path}", server.url())).await.unwrap();
        match response.status().as_u16() {
            200 => all.push(response),
            status => break status,
        }
    };
    assert_eq!((refused, all.len()), (503, 255));
    drop(all);
    server.eventually("/v1/policies/few/tables/q/rows?limit=1", SOON, |_| true).await.unwrap();
    let deadline = std::time::Instant::now() + SOON;
    while reqwest::get(format!("{}{path}", server.url())).await.unwrap().status() != 200 {
        assert!(std::time::Instant::now() < deadline, "places of clients that went stay taken");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}
