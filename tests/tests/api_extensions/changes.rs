//! `PATCH`, and several rules at once.

use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, HeaderMap};
use serde_json::{Value, json};

use crate::{SOON, json_of, policy, rows, server, server_with_inventory};

async fn rule_id(server: &congress_tests::Server, policy: &str, text: &str) -> String {
    let rules = json_of(server.get(&format!("/v1/policies/{policy}/rules")).await, 200);
    let rules = rules["results"].as_array().unwrap();
    let rule = rules.iter().find(|rule| rule["rule"] == text).expect("the rule");
    rule["id"].as_str().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rule_changes_and_keeps_its_id() {
    let server = server().await;
    policy(&server, "p", &["q(1)", "q(2)", "r(x) :- q(x)"]).await;
    let path = format!("/v1/policies/p/rules/{}", rule_id(&server, "p", "r(x) :- q(x)").await);
    let change = json!({"rule": "r(x) :- q(x), gt(x, 1)", "name": "n", "comment": "c"});
    let rule = json_of(server.patch(&path, &change).await, 200);
    assert_eq!(
        (&rule["rule"], &rule["name"], &rule["comment"]),
        (&change["rule"], &json!("n"), &json!("c"))
    );
    assert_eq!(rows(&server, "/v1/policies/p/tables/r/rows").await, ["[2]"]);
    // What is not given stays.
    let rule = json_of(server.patch(&path, &json!({"name": null})).await, 200);
    assert_eq!(
        (&rule["rule"], &rule["name"], &rule["comment"]),
        (&change["rule"], &Value::Null, &json!("c"))
    );
    assert_eq!(json_of(server.get(&path).await, 200), rule);

    // One that is refused leaves the old one in force.
    for (rule, status, code) in [
        ("r(x) :- ", 400, 1002),
        ("r(x) :- r(x)", 400, 1002),
        ("r(y) :- q(x)", 400, 1002),
        ("a(1) b(2)", 400, 1003),
        ("q(2)", 409, 1008),
    ] {
        let error = json_of(server.patch(&path, &json!({ "rule": rule })).await, status);
        assert_eq!(error["error"]["error_code"], code, "{rule}: {error}");
    }
    assert_eq!(rows(&server, "/v1/policies/p/tables/r/rows").await, ["[2]"]);
    // Laid out in another way it is the same rule.
    let spaced = json!({"rule": "r( x ) :-  q(x),gt(x,1)"});
    assert_eq!(json_of(server.patch(&path, &spaced).await, 200)["rule"], spaced["rule"]);
    assert_eq!(rows(&server, "/v1/policies/p/tables/r/rows").await, ["[2]"]);
    assert_eq!(json_of(server.delete(&path).await, 200)["rule"], spaced["rule"]);
    json_of(server.get("/v1/policies/p/tables/r/rows").await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn changes_survive_a_restart() {
    let server = server().await;
    policy(&server, "p", &["q(1)", "r(x) :- q(x)"]).await;
    let path = format!("/v1/policies/p/rules/{}", rule_id(&server, "p", "q(1)").await);
    json_of(server.patch(&path, &json!({"rule": "q(7)"})).await, 200);
    let change = json!({"description": "new", "abbreviation": "pp"});
    json_of(server.patch("/v1/policies/p", &change).await, 200);
    let state = server.state();
    server.stop().await.unwrap();
    let options = congress_tests::ServerOptions { state: Some(state), ..Default::default() };
    let server = congress_tests::Server::start(options).await.unwrap();
    assert_eq!(rows(&server, "/v1/policies/p/tables/r/rows").await, ["[7]"]);
    let policy = json_of(server.get("/v1/policies/p").await, 200);
    assert_eq!((&policy["description"], &policy["abbreviation"]), (&json!("new"), &json!("pp")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_changes_what_it_says_of_itself() {
    let server = server().await;
    policy(&server, "p", &["q(1)"]).await;
    let changed =
        json_of(server.patch("/v1/policies/p", &json!({"abbreviation": "new"})).await, 200);
    assert_eq!((&changed["abbreviation"], &changed["description"]), (&json!("new"), &json!("")));
    // Traces begin with it.
    let traced = json_of(server.get("/v1/policies/p/tables/q/rows?trace=true").await, 200);
    assert!(traced["trace"].as_str().unwrap().starts_with("new   : Call: q(x0)"), "{traced}");
    for (change, status) in [
        (json!({"name": "x"}), 501),
        (json!({"abbreviation": "sixsix"}), 400),
        (json!({"colour": "red"}), 400),
        (json!([]), 400),
    ] {
        json_of(server.patch("/v1/policies/p", &change).await, status);
    }
    json_of(server.patch("/v1/policies/nowhere", &json!({"description": "d"})).await, 404);
    json_of(server.put("/v1/policies/p", &json!({"description": "d"})).await, 501);
}

#[tokio::test(flavor = "multi_thread")]
async fn several_rules_are_inserted_or_none() {
    let server = server().await;
    policy(&server, "p", &["q(1)"]).await;
    let path = "/v1/policies/p/rules";
    let insert = |rules: Value| json!({ "rules": rules });
    let all = insert(json!([{"rule": "r(x) :- q(x)", "name": "n"}, {"rule": "q(2)"}]));
    let inserted = json_of(server.post(path, &all).await, 201);
    let results = inserted["results"].as_array().unwrap();
    assert_eq!(
        (&results[0]["rule"], &results[0]["name"]),
        (&json!("r(x) :-\n  q(x)"), &json!("n"))
    );
    assert_eq!((&results[1]["rule"], &results[1]["comment"]), (&json!("q(2)"), &json!("")));

    for (rules, status, code, index) in [
        (json!([{"rule": "q(3)"}, {"rule": "q("}]), 400, 1002, json!(1)),
        (json!([{"rule": "q(3)"}, {"name": "n"}]), 400, 1002, json!(1)),
        (json!([{"rule": "q(3)"}, {"rule": "q(1)"}]), 409, 1008, json!(1)),
        (json!([{"rule": "q(3)"}, {"rule": "q( 3 )"}]), 409, 1008, json!(1)),
        (json!([{"rule": "q(3)"}, {"rule": "s(y) :- q(x)"}]), 400, 1002, Value::Null),
    ] {
        let error = json_of(server.post(path, &insert(rules.clone())).await, status);
        assert_eq!(error["error"]["error_code"], code, "{rules}: {error}");
        if !index.is_null() {
            assert_eq!(error["error"]["error_data"]["index"], index, "{rules}: {error}");
        }
    }
    json_of(server.post(path, &insert(json!([]))).await, 400);
    let rules = json_of(server.get(path).await, 200);
    assert_eq!(rules["results"].as_array().unwrap().len(), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_datasource_changes_and_runs_so() {
    let server = server_with_inventory().await;
    let path = "/v1/data-sources/inv";
    // What GET gave can be sent back; the secret stays.
    let mut config = json_of(server.get(path).await, 200)["config"].clone();
    assert_eq!(config["password"], "<hidden>");
    config["poll_time"] = json!(1);
    let change = json!({"description": "d", "config": config});
    let changed = json_of(server.patch(path, &change).await, 200);
    assert_eq!(
        (&changed["description"], &changed["config"]["poll_time"]),
        (&json!("d"), &json!(1))
    );
    let polls = |body: &Value| {
        body["number_of_updates"].as_str().is_some_and(|n| n.parse::<u32>().unwrap_or(0) >= 1)
    };
    server.eventually("/v1/data-sources/inv/status", SOON, polls).await.unwrap();

    for change in [
        json!({"config": {"endpoint": "http://example", "password": "<hidden>", "zz": 1}}),
        json!({"config": {"password": "<hidden>"}}),
        // A secret does not go to another place than it was given for.
        json!({"config": {"endpoint": "http://evil", "password": "<hidden>", "poll_time": 1}}),
        json!({"config": {"endpoint": "http://example", "password": "x", "poll_time": "often"}}),
        json!({"name": "other"}),
        json!({"enabled": "no"}),
    ] {
        json_of(server.patch(path, &change).await, 400);
    }
    let now = json_of(server.get(path).await, 200);
    assert_eq!(now["config"], changed["config"]);
    server.eventually("/v1/data-sources/inv/status", SOON, polls).await.unwrap();
    json_of(server.patch("/v1/data-sources/nowhere", &json!({"enabled": false})).await, 404);

    // In a merge patch a configuration's other fields stay, the secret among them.
    let merge_patch = "application/merge-patch+json".parse().unwrap();
    let type_of_patch = HeaderMap::from_iter([(CONTENT_TYPE, merge_patch)]);
    let merge = async |change: Value| {
        let body = Some(serde_json::to_vec(&change).unwrap());
        server.request(Method::PATCH, path, type_of_patch.clone(), body).await
    };
    let mut config = now["config"].clone();
    for poll_time in [json!(2), Value::Null, json!(1)] {
        let change = json!({"config": {"poll_time": poll_time}});
        let merged = json_of(merge(change).await, 200)["config"].clone();
        match poll_time {
            Value::Null => drop(config.as_object_mut().unwrap().remove("poll_time")),
            seconds => config["poll_time"] = seconds,
        }
        assert_eq!(merged, config);
    }
    json_of(merge(json!({"config": {"endpoint": "http://evil"}})).await, 400);
    json_of(merge(json!({"config": {"zz": 1}})).await, 400);

    let off = json_of(server.patch(path, &json!({"enabled": false})).await, 200);
    assert_eq!(off["enabled"], false);
    assert_eq!(server.get("/v1/data-sources/inv/status").await.unwrap().status, 404);
    json_of(server.patch(path, &json!({"enabled": true})).await, 200);
    server.eventually("/v1/data-sources/inv/status", SOON, polls).await.unwrap();
}
