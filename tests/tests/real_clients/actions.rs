//! Actions that rules asked for.

use serde_json::Value;

use crate::{Congress, SOON, results, server};

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_failed_is_repeated_or_settled() {
    let server = server().await;
    let congress = Congress { url: server.url() };
    congress.text(&["policy", "create", "p"]);
    congress.text(&["policy", "rule", "create", "p", "q(\"a\") :- true"]);
    // There is no such datasource, so it fails, and each time it is repeated again.
    congress.text(&["policy", "rule", "create", "p", "execute[nobody:do(x)] :- q(x)"]);
    let failed = |attempts: u64| {
        move |body: &Value| {
            let action = &body["results"][0];
            action["state"] == "failed" && action["attempts"] == attempts
        }
    };
    server.eventually("/v1/actions", SOON, failed(1)).await.unwrap();
    let list = congress.json(&["action", "list", "--state", "failed", "--policy", "p"]);
    let [action] = results(&list) else { panic!("{list}") };
    let id = action["id"].as_str().unwrap();
    assert!(action["error"].as_str().unwrap().contains("Service nobody not found"), "{action}");

    congress.text(&["action", "repeat", id]);
    server.eventually("/v1/actions", SOON, failed(2)).await.unwrap();
    assert_eq!(congress.json(&["action", "show", id])["attempts"], 2);
    assert_eq!(congress.json(&["action", "settle", id])["state"], "done");
    let error = congress.fails(&["action", "settle", id]);
    assert!(!error.is_empty());
    let error = congress.fails(&["action", "repeat", "nothing"]);
    assert!(error.contains("nothing"), "{error}");
}
