//! Simulations: what they leave, and what hostile ones cost.

use congress_tests::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::{json_of, policy, rows};

const PATH: &str = "/v1/policies/p?action=simulate";

fn body(query: &str, sequence: &str) -> Value {
    json!({"query": query, "sequence": sequence, "action_policy": "action"})
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_a_simulation_even_of_one_that_fails() {
    let server = crate::server().await;
    policy(&server, "p", &["q(1)", "r(x) :- q(x), not s(x)"]).await;
    let before = json_of(server.get("/v1/policies/p/tables/r/rows").await, 200);
    let simulated = json_of(server.post(PATH, &body("r(x)", "q+(2) s+(1)")).await, 200);
    assert_eq!(simulated, json!({"result": ["r(2)"]}));
    let delta = json_of(
        server.post(&format!("{PATH}&delta=true"), &body("r(x)", "q+(2) s+(1)")).await,
        200,
    );
    let mut result: Vec<_> = delta["result"].as_array().unwrap().clone();
    result.sort_by_key(Value::to_string);
    assert_eq!(result, [json!("r+(2)"), json!("r-(1)")]);
    let failed = json_of(server.post(PATH, &body("r(x)", "q+(2) unknown(3)")).await, 400);
    assert_eq!(failed["error"]["error_code"], 1007);
    let rules = json_of(server.post(PATH, &body("r(x)", "r+(x) :- t(x) t+(9)")).await, 200);
    assert_eq!(rules["result"].as_array().unwrap().len(), 2);
    assert_eq!(json_of(server.get("/v1/policies/p/tables/r/rows").await, 200), before);
    let tables = json_of(server.get("/v1/policies/p/tables").await, 200);
    assert_eq!(tables["results"].as_array().unwrap().len(), 3, "{tables}");
}

#[tokio::test(flavor = "multi_thread")]
async fn hostile_simulations_are_refused_within_bounds() {
    let options = ServerOptions::default().with("DEFAULT", "query_rows_limit", 200_000).with(
        "dse",
        "long_timeout",
        5,
    );
    let server = Server::start(options).await.unwrap();
    let facts: Vec<String> = (0..200).map(|n| format!("q({n})")).collect();
    policy(&server, "p", &facts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let refused = async |path: &str, query: &str, sequence: &str| {
        let reply = server.post(path, &body(query, sequence)).await.unwrap();
        let status = reply.status;
        assert!(status == 400 || status == 503, "{query} {}: {status}", sequence.len());
        reply.json().unwrap()["error"]["message"].as_str().unwrap().to_owned()
    };
    // More rows than a query may produce.
    refused(PATH, "r(x, y, z) :- q(x), q(y), q(z)", "").await;
    // More statements than a sequence may have, and rules that each make many rows.
    refused(PATH, "q(x)", &"q+(1) ".repeat(20_000)).await;
    refused(PATH, "t(x, y, z)", "t+(x, y, z) :- q(x), q(y), q(z)").await;
    refused(PATH, &format!("q({}", "(".repeat(10_000)), "").await;
    refused(PATH, "q(x)", &"\u{0}".repeat(100_000)).await;
    // A proof that is far longer than its answer has no trace, and an answer all the same.
    let path = format!("{PATH}&trace=true");
    let query = "q(x) :- q(x), q(y), q(z), equal(x, y), equal(y, z)";
    let traced = server.post(&path, &body(query, "")).await.unwrap();
    assert!([200, 400, 503].contains(&traced.status), "{:?}", traced.json());
    // The server is well, and all is as it was.
    assert_eq!(rows(&server, "/v1/policies/p/tables/q/rows").await.len(), 200);
    assert!(!server.log().contains("panicked"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trace_that_grows_too_long_leaves_the_rows() {
    let options = ServerOptions::default().with("DEFAULT", "query_rows_limit", 30_000);
    let server = Server::start(options).await.unwrap();
    let mut rules: Vec<String> = (0..200).map(|n| format!("q({n})")).collect();
    // A proof that goes literal by literal proves a(1) 200 times for each x.
    rules.extend(["a(1) :- q(y)".to_owned(), "r(x) :- q(x), a(z)".to_owned()]);
    policy(&server, "p", &rules.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let traced = json_of(server.get("/v1/policies/p/tables/r/rows?trace=true").await, 200);
    assert_eq!(traced["results"].as_array().unwrap().len(), 200);
    let trace = traced["trace"].as_str().unwrap();
    assert!(trace.starts_with("Not available: "), "{trace}");
}
