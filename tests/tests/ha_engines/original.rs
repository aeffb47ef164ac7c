//! The original's own tests of two engines, on two and on three.

use congress_tests::cluster::Cluster;
use congress_tests::{Server, drivers_folder};
use serde_json::Value;

use crate::{SOON, after, create_policy, delete_rule, expect, insert, rows};

#[tokio::test(flavor = "multi_thread")]
async fn all_cases_on_two_and_three_nodes() {
    let cluster = Cluster::start(&drivers_folder()).await.unwrap();
    let nodes = cluster.engines(3).await.unwrap();
    let pairs = [(0, 1), (1, 0), (2, 0), (1, 2)];
    for (number, (one, two)) in pairs.into_iter().enumerate() {
        let (one, two) = (&nodes[one], &nodes[two]);
        let name = |case: &str| format!("{case}_{number}");
        created_on_one_is_on_the_other(one, two, &name("visible")).await;
        rules_of_both(one, two, &name("rules")).await;
        policies_again(one, two, &name("again")).await;
        rules_again(one, two, &name("rule_again")).await;
        duplicates(one, two, &name("duplicate")).await;
        recursion(one, two, &name("recursion")).await;
        arity(one, two, &name("arity")).await;
        odd_spaces(one, two, &name("spaces")).await;
        rows_of_deleted_rules(one, two, &name("deleted")).await;
    }
}

async fn created_on_one_is_on_the_other(one: &Server, two: &Server, name: &str) {
    let path = format!("/v1/policies/{name}");
    let created = create_policy(one, name).await;
    expect(&created, 201);
    expect(&after(&created, two, &path).await, 200);
    expect(&create_policy(two, name).await, 409);
    expect(&create_policy(one, name).await, 409);
    let deleted = two.delete(&path).await.unwrap();
    expect(&deleted, 200);
    expect(&after(&deleted, one, &path).await, 404);
    expect(&after(&deleted, one, &format!("{path}/tables")).await, 404);
}

async fn rules_of_both(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    // In a policy that the other node has just made.
    expect(&insert(two, name, "q(1)").await, 201);
    let last = insert(one, name, "p(x) :- q(x)").await;
    expect(&last, 201);
    for node in [one, two] {
        let path = format!("/v1/policies/{name}");
        let listed = expect(&after(&last, node, &format!("{path}/rules")).await, 200);
        assert_eq!(listed["results"].as_array().unwrap().len(), 2, "{listed}");
        let tables = expect(&after(&last, node, &format!("{path}/tables")).await, 200);
        let mut ids: Vec<_> =
            tables["results"].as_array().unwrap().iter().map(|t| t["id"].to_string()).collect();
        ids.sort();
        assert_eq!(ids, ["\"p\"", "\"q\""]);
        let body = expect(&after(&last, node, &format!("{path}/tables/p/rows")).await, 200);
        assert_eq!(rows(&body), ["[1]"]);
    }
    // Without the header it is there soon.
    expect(&insert(two, name, "q(2)").await, 201);
    let both = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 2);
    one.eventually(&format!("/v1/policies/{name}/tables/p/rows"), SOON, both).await.unwrap();
}

async fn policies_again(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    expect(&two.delete(&format!("/v1/policies/{name}")).await.unwrap(), 200);
    expect(&create_policy(one, name).await, 201);
}

async fn rules_again(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    expect(&insert(two, name, "p(x) :- q(x)").await, 201);
    expect(&delete_rule(one, name, "p(x) :- q(x)").await, 200);
    expect(&insert(two, name, "p(x) :- q(x)").await, 201);
}

async fn duplicates(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    expect(&insert(one, name, "p(x) :- q(x)").await, 201);
    expect(&insert(one, name, "p(x) :- q(x)").await, 409);
    expect(&insert(two, name, "p(x) :- q(x)").await, 409);
}

async fn recursion(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    expect(&insert(two, name, "p(x) :- q(x)").await, 201);
    for node in [one, two] {
        let refused = expect(&insert(node, name, "q(x) :- p(x)").await, 400);
        let text = refused["error"]["message"].as_str().unwrap().to_lowercase();
        assert!(text.contains("recurs"), "{text}");
    }
}

async fn arity(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    expect(&insert(two, name, "p(x) :- q(x)").await, 201);
    for node in [one, two] {
        expect(&insert(node, name, "p(x, y) :- r(x, y)").await, 400);
    }
}

async fn odd_spaces(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    expect(&insert(one, name, "p( 1 ,2 )").await, 201);
    expect(&insert(two, name, "p(1,2)").await, 409);
    let last = insert(two, name, "  p (3 , 4)").await;
    expect(&last, 201);
    for node in [one, two] {
        let path = format!("/v1/policies/{name}/tables/p/rows");
        assert_eq!(rows(&expect(&after(&last, node, &path).await, 200)), ["[1,2]", "[3,4]"]);
    }
}

async fn rows_of_deleted_rules(one: &Server, two: &Server, name: &str) {
    expect(&create_policy(one, name).await, 201);
    let last = insert(one, name, "p(1)").await;
    expect(&last, 201);
    let path = format!("/v1/policies/{name}/tables/p/rows");
    expect(&after(&last, two, &path).await, 200);
    let deleted = delete_rule(two, name, "p(1)").await;
    expect(&deleted, 200);
    for node in [one, two] {
        expect(&after(&deleted, node, &path).await, 404);
    }
}
