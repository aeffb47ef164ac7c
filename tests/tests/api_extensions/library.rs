//! The policy library: what is shipped, and what can be done with it.

use std::path::Path;

use congress_tests::{Server, ServerOptions};
use serde_json::{Value, json};

use crate::{json_of, rows};

/// A server whose library is filled from this project's own.
async fn server() -> Server {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../library");
    let options = ServerOptions::default();
    Server::start(options.with("DEFAULT", "policy_library_path", library.display())).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn the_shipped_library_is_there_and_stays_as_it_is_changed() {
    let server = server().await;
    let names = |body: &Value| -> Vec<String> {
        let policies = body["results"].as_array().unwrap().iter();
        policies.map(|policy| policy["name"].as_str().unwrap().to_owned()).collect()
    };
    let all = json_of(server.get("/v1/librarypolicies?include_rules=false").await, 200);
    assert!(names(&all).len() >= 11, "{all}");
    assert!(all["results"][0].get("rules").is_none());
    let path = "/v1/librarypolicies/BadFlavors";
    let policy = json_of(server.get(path).await, 200);
    assert_eq!(policy["kind"], "nonrecursive");
    assert_eq!(json_of(server.delete(path).await, 200), policy);

    // It is filled once: what is deleted stays so.
    let state = server.state();
    server.stop().await.unwrap();
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("../library");
    let options = ServerOptions { state: Some(state), ..ServerOptions::default() }.with(
        "DEFAULT",
        "policy_library_path",
        library.display(),
    );
    let server = Server::start(options).await.unwrap();
    let left = json_of(server.get("/v1/librarypolicies?include_rules=false").await, 200);
    assert_eq!(names(&left).len() + 1, names(&all).len());
    json_of(server.get(path).await, 404);
}

#[tokio::test(flavor = "multi_thread")]
async fn replaced_and_activated_by_name() {
    let server = crate::server().await;
    let create = json!({"name": "one", "rules": [{"rule": "p(1)", "comment": "c"}]});
    let one = json_of(server.post("/v1/librarypolicies", &create).await, 201);
    json_of(server.post("/v1/librarypolicies", &json!({"name": "two", "rules": []})).await, 201);
    let path = format!("/v1/librarypolicies/{}", one["id"].as_str().unwrap());
    let replace = json!({"name": "uno", "description": "d", "rules": [{"rule": "p(2)"}]});
    let replaced = json_of(server.put(&path, &replace).await, 200);
    assert_eq!((&replaced["id"], &replaced["abbreviation"]), (&one["id"], &json!("uno")));
    assert_eq!(json_of(server.get(&path).await, 200), replaced);
    for (body, status) in [
        (json!({"name": "two", "rules": []}), 409),
        (json!({"name": "uno"}), 400),
        (json!({"name": "b ad", "rules": []}), 400),
    ] {
        json_of(server.put(&path, &body).await, status);
    }
    json_of(server.put("/v1/librarypolicies/none", &replace).await, 404);
    let active = json_of(server.post("/v1/policies?library_policy=uno", &json!({})).await, 201);
    assert_eq!((&active["name"], &active["description"]), (&json!("uno"), &json!("d")));
    assert_eq!(rows(&server, "/v1/policies/uno/tables/p/rows").await, ["[2]"]);
    json_of(server.post("/v1/policies?library_policy=uno", &json!({})).await, 409);
    json_of(server.post("/v1/policies?library_policy=uno", &json!({"name": "x"})).await, 400);
    json_of(server.post("/v1/policies?library_policy=none", &json!({})).await, 404);
}
