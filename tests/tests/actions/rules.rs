//! One node: what its rules ask for.

use std::sync::Arc;
use std::time::{Duration, Instant};

use congress_tests::Server;
use rustix::process::Signal;
use serde_json::{Value, json};

use crate::service::Service;
use crate::{RULE, SOON, jobs, listed, node, policy, refresh, worker};

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_acted_upon_once_each_time_it_comes() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&["a", "b"]).await;
    // Whom to spare cannot be read: nobody knows what is to be done.
    service.spared(None);
    let server = Server::start(node(&state, "n")).await.unwrap();
    worker(&server, "w", &service).await;
    policy(&server, "p", &[RULE]).await;
    let read = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 2);
    server.eventually("/v1/data-sources/w/tables/jobs/rows", SOON, read).await.unwrap();
    refresh(&server, "w").await;
    let polled = |body: &Value| {
        let updates = body["number_of_updates"].as_str().and_then(|text| text.parse().ok());
        updates.is_some_and(|updates: u32| updates > 2)
    };
    server.eventually("/v1/data-sources/w/status", SOON, polled).await.unwrap();
    assert!(service.asked().is_empty(), "{:?}", service.asked());

    service.spared(Some(&["b"]));
    refresh(&server, "w").await;
    service.was_asked(&[("a", 1)]).await;
    service.jobs(&["b", "c"]);
    service.spared(Some(&[]));
    refresh(&server, "w").await;
    service.was_asked(&[("a", 1), ("b", 1), ("c", 1)]).await;
    listed(&server, "?state=done&present=true", &["b", "c"]).await;
    listed(&server, "?state=done&present=false", &["a"]).await;
    service.jobs(&["a", "b"]);
    refresh(&server, "w").await;
    service.was_asked(&[("a", 2), ("b", 1), ("c", 1)]).await;

    // A list that cannot be read any more is not empty, and a service that is down no reason to
    // think that jobs have gone.
    service.spared(Some(&["d"]));
    service.jobs(&["a", "b", "d"]);
    refresh(&server, "w").await;
    let three = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 3);
    server.eventually("/v1/data-sources/w/tables/jobs/rows", SOON, three).await.unwrap();
    service.spared(None);
    refresh(&server, "w").await;

    // Neither a restart nor a datasource that goes and comes repeats anything.
    server.stop().await.unwrap();
    let server = Server::start(node(&state, "n")).await.unwrap();
    service.spared(Some(&["d"]));
    service.jobs(&["a", "b", "d", "e"]);
    refresh(&server, "w").await;
    let all = [("a", 2), ("b", 1), ("c", 1), ("e", 1)];
    service.was_asked(&all).await;
    assert_eq!(server.delete("/v1/data-sources/w").await.unwrap().status, 200);
    worker(&server, "w", &service).await;
    service.jobs(&["a", "b", "d", "e", "f"]);
    refresh(&server, "w").await;
    let all = [("a", 2), ("b", 1), ("c", 1), ("e", 1), ("f", 1)];
    service.was_asked(&all).await;

    // The last rule goes, and comes again: that is asking again.
    let rules = server.get("/v1/policies/p/rules").await.unwrap().json().unwrap();
    let id = rules["results"][0]["id"].as_str().unwrap().to_owned();
    server.delete(&format!("/v1/policies/p/rules/{id}")).await.unwrap();
    listed(&server, "?present=true", &[]).await;
    let reply = server.post("/v1/policies/p/rules", &json!({ "rule": RULE })).await.unwrap();
    assert_eq!(reply.status, 201);
    service.was_asked(&[("a", 3), ("b", 2), ("c", 1), ("e", 2), ("f", 2)]).await;
    let line = "outcome=\"done\"";
    server.logs(SOON, |log| log.matches(line).count() >= 10).await.unwrap();
    let log = server.log();
    assert!(log.contains("Executing w:do(\"f\")") && log.contains("policy=\"p\""), "{log}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dry_run_does_nothing_and_says_what_it_would() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&["a"]).await;
    let dry = node(&state, "n").with("DEFAULT", "enable_execute_action", "false");
    let server = Server::start(dry).await.unwrap();
    worker(&server, "w", &service).await;
    policy(&server, "p", &[RULE]).await;
    let off = "Executing w:do(\"a\") is off";
    server.logs(SOON, |log| log.contains(off)).await.unwrap();
    let body = json!({ "name": "w:do", "args": { "positional": ["x"] } });
    let execute = "/v1/policies/classification?action=execute";
    let reply = server.post(execute, &body).await.unwrap();
    assert_eq!((reply.status, reply.json().unwrap()), (200, json!({})));
    server.logs(SOON, |log| log.contains("Executing w:do(\"x\") is off")).await.unwrap();
    let ledger = server.get("/v1/actions").await.unwrap().json().unwrap();
    assert_eq!((ledger["results"].as_array().map(Vec::len), service.asked().len()), (Some(0), 0));
    server.stop().await.unwrap();
    let server = Server::start(node(&state, "n")).await.unwrap();
    service.was_asked(&[("a", 1)]).await;

    // What the API asks for is done as often as it asks, whatever rules say.
    for count in 1..=2 {
        let reply = server.post(execute, &body).await.unwrap();
        assert_eq!((reply.status, reply.json().unwrap()), (200, json!({})));
        service.was_asked(&[("a", 1), ("x", count)]).await;
    }
    let unknown = json!({ "name": "nosuch:do", "args": { "positional": ["x"] } });
    let reply = server.post(execute, &unknown).await.unwrap();
    let body = reply.json().unwrap();
    assert_eq!((reply.status, &body["error"]["error_code"]), (400, &json!(1016)));
    let message = "Error in execution procedure::Service nosuch not found";
    assert_eq!(body["error"]["message"], message);
    for (bad, code) in [
        (json!({ "name": "noservice" }), 1017),
        (json!({ "name": "w:do", "args": ["x"] }), 1018),
        (json!({ "name": "w:" }), 1016),
    ] {
        let reply = server.post("/v1/policies/nosuch?action=execute", &bad).await.unwrap();
        let body = reply.json().unwrap();
        assert_eq!((reply.status, &body["error"]["error_code"]), (400, &json!(code)));
    }
    let other = server.post("/v1/policies/p?action=other", &json!({})).await.unwrap();
    assert_eq!(other.status, 501);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_api_asked_for_comes_to_its_end_or_is_told_of_when_the_node_stops() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&[]).await;
    let body = json!({ "name": "do", "args": { "positional": ["x"] } });
    let execute = "/v1/data-sources/w?action=execute";
    for in_time in [true, false] {
        let mut server = Server::start(node(&state, "n")).await.unwrap();
        if in_time {
            worker(&server, "w", &service).await;
        }
        service.open(false);
        let before = service.asked().get("x").copied().unwrap_or_default();
        let running = |body: &Value| body["initialized"] == "True";
        server.eventually("/v1/data-sources/w/status", SOON, running).await.unwrap();
        assert_eq!(server.post(execute, &body).await.unwrap().status, 200);
        service.was_asked(&[("x", before + 1)]).await;
        server.signal(Signal::TERM).unwrap();
        server.logs(SOON, |log| log.contains(" stopping")).await.unwrap();
        service.open(in_time);
        let deadline = Instant::now() + SOON;
        while server.has_ended().unwrap().is_none() {
            assert!(Instant::now() < deadline, "{}", server.log());
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let told = server.log().contains("do(\"x\") was under way when this node stopped");
        assert_eq!((service.answered(), told), (1, !in_time));
        service.open(true);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn failures_are_listed_and_settled_or_repeated() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&["a", "b", "c"]).await;
    service.answers("b", 404);
    service.answers("c", 404);
    let server = Server::start(node(&state, "n")).await.unwrap();
    worker(&server, "w", &service).await;
    // Two rules of one policy, made together: each has its own action and its own rows.
    let other = "execute[nobody:do(x)] :- w:jobs(x), builtin:equal(x, \"a\")";
    policy(&server, "p", &[RULE, other]).await;
    listed(&server, "?state=failed&datasource=w", &["b", "c"]).await;
    listed(&server, "?state=done", &["a"]).await;
    listed(&server, "?state=failed&datasource=nobody", &["a"]).await;
    let failed = server.get("/v1/actions?state=failed").await.unwrap().json().unwrap();
    assert_eq!(jobs(&failed), ["a", "b", "c"]);
    let of = |job: &str, datasource: &str| -> Value {
        let found = failed["results"].as_array().unwrap().iter().find(|action| {
            action["arguments"] == json!([job]) && action["datasource"] == datasource
        });
        found.unwrap().clone()
    };
    let (b, c, nobody) = (of("b", "w"), of("c", "w"), of("a", "nobody"));
    assert!(nobody["error"].as_str().unwrap().contains("Service nobody not found"), "{nobody}");
    assert!(b["error"].as_str().unwrap().contains("404"), "{b}");
    assert_eq!(
        (&b["policy"], &b["action"], &b["attempts"]),
        (&json!("p"), &json!("do"), &json!(1))
    );

    // It is not repeated by itself, not even when it would work.
    service.answers("b", 200);
    refresh(&server, "w").await;
    let path = |action: &Value| format!("/v1/actions/{}", action["id"].as_str().unwrap());
    let repeat = format!("{}?action=repeat", path(&b));
    assert_eq!(server.post(&repeat, &json!({})).await.unwrap().status, 200);
    server.eventually(&path(&b), SOON, |action| action["state"] == "done").await.unwrap();
    service.was_asked(&[("a", 1), ("b", 2), ("c", 1)]).await;
    assert_eq!(server.post(&repeat, &json!({})).await.unwrap().status, 409);

    let settle = format!("{}?action=settle", path(&c));
    let settled = server.post(&settle, &json!({})).await.unwrap();
    assert_eq!((settled.status, &settled.json().unwrap()["state"]), (200, &json!("done")));
    assert_eq!(server.post(&settle, &json!({})).await.unwrap().status, 409);
    assert_eq!(server.get("/v1/actions/nothing").await.unwrap().status, 404);
    assert_eq!(server.get("/v1/actions?state=odd").await.unwrap().status, 400);
    let page = server.get("/v1/actions?limit=1").await.unwrap().json().unwrap();
    let next = format!("/v1/actions?marker={}", page["results"][0]["id"].as_str().unwrap());
    let rest = server.get(&next).await.unwrap().json().unwrap();
    assert_eq!(rest["results"].as_array().map(Vec::len), Some(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn failed_actions_are_tried_again_where_that_is_configured() {
    let state = Arc::new(tempfile::tempdir().unwrap());
    let service = Service::start(&["a", "b"]).await;
    service.answers("a", 503);
    service.answers("b", 404);
    let options = node(&state, "n").with("dse", "execute_action_retry", "true").with(
        "dse",
        "execute_action_retry_timeout",
        "4",
    );
    let server = Server::start(options).await.unwrap();
    worker(&server, "w", &service).await;
    policy(&server, "p", &[RULE]).await;
    service.until(|asked| asked.get("a").is_some_and(|count| *count >= 2)).await;
    service.answers("a", 200);
    listed(&server, "?state=done", &["a"]).await;
    let given_up = |log: &str| log.contains("it is not tried again");
    server.logs(SOON, given_up).await.unwrap();
    listed(&server, "?state=failed", &["b"]).await;
}
