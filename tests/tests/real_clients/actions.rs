//! Actions that rules asked for.

use serde_json::Value;

use crate::{Congress, SOON, results, server};

#[tokio::test(flavor = "multi_thread")]
async fn an_action_that_failed_is_repeated_or_settled() {
    let server = server().await;
    let congress = Congress { url: server.url() };
    congress.text(&["policy", "create", "p"]);
    congress.text(&["policy", "rule", "create", "p", "q(\"a\") :- true"]);
    // There is no such datasource, so it fails.
    congress.text(&["policy", "rule", "create", "p", "execute[nobody:do(x)] :- q(x)"]);
    let failed = |body: &Value| body["results"][0]["state"] == "failed";
    server.eventually("/v1/actions", SOON, failed).await.unwrap();
    let list = congress.json(&["action", "list", "--state", "failed", "--policy", "p"]);
    let [action] = results(&list) else { panic!("{list}") };
    let id = action["id"].as_str().unwrap();
    assert!(action["error"].as_str().unwrap().contains("Service nobody not found"), "{action}");

    congress.text(&["action", "repeat", id]);
    // It is not begun while nobody is there to do it, and stays what it was.
    let told = format!("not run: Service nobody not found action={id}");
    server.logs(SOON, |log| log.contains(&told)).await.unwrap();
    let action = congress.json(&["action", "show", id]);
    assert_eq!((&action["state"], &action["attempts"]), (&"failed".into(), &1.into()));
    assert_eq!(congress.json(&["action", "settle", id])["state"], "done");
    let error = congress.fails(&["action", "settle", id]);
    assert!(!error.is_empty());
    let error = congress.fails(&["action", "repeat", "nothing"]);
    assert!(error.contains("nothing"), "{error}");
}
