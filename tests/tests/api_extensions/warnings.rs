//! What a rule says that was perhaps not meant.

use congress_tests::Reply;
use serde_json::{Value, json};

use crate::{json_of, rows, server_with_inventory};

const RULES: &str = "/v1/policies/p/rules";

/// The texts of the warnings beside an answer.
fn warnings(reply: &Reply) -> Vec<String> {
    let values = reply.headers.get_all("warning").iter();
    values
        .map(|value| {
            let text = value.to_str().unwrap().strip_prefix("299 congress ").unwrap();
            serde_json::from_str(text).unwrap()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_are_taken_and_what_is_odd_is_told() {
    let server = server_with_inventory().await;
    let insert = async |body: Value| server.post(RULES, &body).await.unwrap();
    let body = json!({"name": "p", "rules": [{"rule": "a(1)"}, {"rule": "a(x) :- plus(1, 1, x)"}]});
    let reply = server.post("/v1/policies", &body).await.unwrap();
    let deprecated = "'plus' without the prefix 'builtin:' is deprecated; write builtin:plus";
    assert_eq!((reply.status, warnings(&reply)), (201, vec![format!("rule 1: {deprecated}")]));

    // A table that the datasource does not have is read like one without rows, but has no names of
    // columns. That refusal waits until it is known what tables there are.
    let reply = insert(json!({"rule": "n(x) :- inv:server(id=x)"})).await;
    assert_eq!((reply.status, warnings(&reply)), (400, vec![]));
    let reply = insert(json!({"rule": "odd(x) :- inv:server(x), not inv:ports(x, x, x)"})).await;
    let missing = "datasource 'inv' has no table 'server', so nothing is found there; \
                   did you mean 'inv:servers'?";
    assert_eq!((reply.status, warnings(&reply)), (201, vec![missing.to_owned()]));
    let odd = reply.json().unwrap();
    assert_eq!(odd.as_object().unwrap().len(), 4, "{odd}");
    assert!(rows(&server, "/v1/policies/p/tables/odd/rows").await.is_empty());
    assert!(rows(&server, "/v1/policies/p/tables/inv:server/rows").await.is_empty());

    // Nor is there anything of a datasource that is yet to come.
    let reply = insert(json!({"rules": [{"rule": "later(x) :- nova:servers(x)"}]})).await;
    let [told] = &warnings(&reply)[..] else { panic!("{reply:?}") };
    assert!(told.starts_with("rule 0: there is no policy or datasource 'nova' so far"), "{told}");
    assert!(rows(&server, "/v1/policies/p/tables/nova:servers/rows").await.is_empty());

    // The status has them for those who ask, and as things are then.
    let id = odd["id"].as_str().unwrap();
    let status = format!("{RULES}/{id}/status");
    let plain = json_of(server.get(&status).await, 200);
    assert!(plain["warnings"].is_null(), "{plain}");
    let detailed = json_of(server.get(&format!("{status}?detail=true")).await, 200);
    assert_eq!(detailed["warnings"], json!([missing]));
    let path = format!("{RULES}/{id}");
    let reply = server.patch(&path, &json!({"rule": "odd(x) :- a(x)"})).await.unwrap();
    assert_eq!((reply.status, warnings(&reply)), (200, vec![]));
    let detailed = json_of(server.get(&format!("{status}?detail=true")).await, 200);
    assert_eq!(detailed["warnings"], json!([]));
}
