//! Why a row is there, or not.

use serde_json::{Value, json};

use crate::{encoded, json_of, policy, server};

#[tokio::test(flavor = "multi_thread")]
async fn rows_and_their_absence_are_explained() {
    let server = server().await;
    let rules = ["up(\"b\")", "host(\"a\")", "host(\"b\")", "down(x) :- host(x), not up(x)"];
    policy(&server, "p", &rules).await;
    let explain = async |query: &str, status| {
        json_of(server.get(&format!("/v1/policies/p/tables/down/explain{query}")).await, status)
    };
    let holds = explain(&format!("?row={}", encoded(r#"["a"]"#)), 200).await;
    assert_eq!(holds["holds"], true);
    let steps = holds["steps"].as_array().unwrap();
    assert_eq!((&steps[0]["reason"], &steps[0]["number"]), (&json!("rule"), &json!(1)));
    assert_eq!(steps[0]["premises"], json!([1, 2]));
    assert_eq!(
        (&steps[1]["literal"], &steps[1]["reason"]),
        (&json!("host(\"a\")"), &json!("fact"))
    );
    assert_eq!(steps[2]["reason"], "no_row");
    assert!(holds["text"].as_str().unwrap().starts_with("down(\"a\")  by rule 1 of p"));
    // Any row.
    assert_eq!(explain("", 200).await["steps"], holds["steps"]);
    assert_eq!(explain("?row=%5Bnull%5D", 200).await["steps"], holds["steps"]);
    let cut = explain("?depth=0", 200).await;
    assert!(cut["steps"].as_array().unwrap().iter().any(|step| step["reason"] == "cut"), "{cut}");

    let absent = explain(&format!("?row={}", encoded(r#"["b"]"#)), 200).await;
    assert_eq!((&absent["holds"], &absent["facts"]), (&json!(false), &json!(0)));
    let rule = &absent["rules"][0];
    assert_eq!((&rule["failure"], &rule["literal"]), (&json!("body"), &json!("not up(x)")));
    let miss = &rule["near_misses"][0];
    assert_eq!((&miss["bindings"], &miss["obstacle"]), (&json!({"x": "b"}), &json!("holds")));

    for query in ["?row=a", "?row=%5B%5D", "?row=%5B1,2%5D", "?depth=x", "?near_misses=101"] {
        explain(query, 400).await;
    }
    let missing: Value = json_of(server.get("/v1/policies/p/tables/none/explain").await, 404);
    assert_eq!(missing["error"]["error_code"], 404);
    json_of(server.get("/v1/policies/none/tables/down/explain").await, 404);
}
