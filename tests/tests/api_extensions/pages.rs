//! Pages, filters, order, and asking again.

use congress_tests::{Server, ServerOptions, drivers_folder};
use reqwest::Method;
use reqwest::header::{ETAG, HeaderMap, IF_NONE_MATCH};
use serde_json::{Value, json};

use crate::{encoded, json_of, policy, rows, server, server_with_inventory};

async fn ids(server: &Server, path: &str) -> (Vec<String>, Value) {
    let body = json_of(server.get(path).await, 200);
    let members = body["results"].as_array().unwrap().iter();
    let ids = members.map(|member| member["id"].as_str().unwrap().to_owned()).collect();
    (ids, body["next_marker"].clone())
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_in_pages_are_all_rows_once() {
    let server = server().await;
    let facts: Vec<String> = (0..25).map(|n| format!("q({n}, \"{}\")", n % 3)).collect();
    policy(&server, "p", &facts.iter().map(String::as_str).collect::<Vec<_>>()).await;
    let path = "/v1/policies/p/tables/q/rows";
    let (mut seen, mut query) = (Vec::new(), "?limit=10&sort=1,0:desc".to_owned());
    loop {
        let body = json_of(server.get(&format!("{path}{query}")).await, 200);
        let results = body["results"].as_array().unwrap();
        seen.extend(results.iter().map(|row| row["data"].to_string()));
        let Some(marker) = body["next_marker"].as_str() else { break };
        query = format!("?limit=10&sort=1,0:desc&marker={}", encoded(marker));
    }
    let mut expected: Vec<(u32, i32)> = (0..25).map(|n| (n % 3, -(n as i32))).collect();
    expected.sort_unstable();
    let expected: Vec<String> =
        expected.iter().map(|(text, n)| format!("[{},\"{text}\"]", -n)).collect();
    assert_eq!(seen, expected);
    assert_eq!(rows(&server, &format!("{path}?filter.1=2&filter.0=5")).await, [r#"[5,"2"]"#]);
    assert!(rows(&server, &format!("{path}?filter.1=5")).await.is_empty());
    // Without parameters, or with others, all is as it was.
    for query in ["", "?unknown=1"] {
        let body = json_of(server.get(&format!("{path}{query}")).await, 200);
        assert_eq!(body["results"].as_array().unwrap().len(), 25);
        assert!(body.get("next_marker").is_none());
    }
    for query in ["?limit=0", "?limit=x", "?sort=9", "?filter.name=a", "?marker=x"] {
        json_of(server.get(&format!("{path}{query}")).await, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_in_pages() {
    let server = server().await;
    for name in ["c", "a", "b"] {
        policy(&server, name, &[]).await;
    }
    let by_name = "/v1/policies?sort=name&limit=2&filter.kind=nonrecursive";
    let (first, marker) = ids(&server, by_name).await;
    let marker = marker.as_str().unwrap().to_owned();
    assert_eq!((first.len(), &first[1]), (2, &marker));
    let (second, next) = ids(&server, &format!("{by_name}&marker={marker}")).await;
    assert_eq!((second.len(), next.is_null()), (2, true));
    assert!(ids(&server, "/v1/policies?filter.name=a").await.0 == [first[0].clone()]);
    json_of(server.get("/v1/policies?marker=nothing").await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn columns_of_datasources_have_names() {
    let server = server_with_inventory().await;
    let path = "/v1/data-sources/inv/tables/servers/rows";
    let there = |body: &Value| body["results"].as_array().is_some_and(|rows| rows.len() == 4);
    server.eventually(path, crate::SOON, there).await.unwrap();
    let found = rows(&server, &format!("{path}?filter.status=ACTIVE&sort=ram:desc")).await;
    let expected =
        [r#"["s2","web2","ACTIVE",1024,"True"]"#, r#"["s1","web1","ACTIVE",512,"False"]"#];
    assert_eq!(found, expected);
    policy(&server, "p", &["on(x) :- inv:servers(id=x, status=\"ACTIVE\")"]).await;
    let copy = "/v1/policies/p/tables/inv:servers/rows";
    server.eventually(copy, crate::SOON, there).await.unwrap();
    assert_eq!(rows(&server, &format!("{copy}?filter.id=s2")).await, expected[..1]);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_were_pushed_may_differ_in_width() {
    let drivers = Some(drivers_folder().join("testing"));
    let options = ServerOptions { drivers, ..ServerOptions::default() };
    let server = Server::start(options).await.unwrap();
    let ready = |body: &Value| body["state"] == "ready";
    server.eventually("/v1/system/drivers/push?detail=true", crate::SOON, ready).await.unwrap();
    let body = json!({ "name": "pu", "driver": "push", "config": { "description": "d" } });
    json_of(server.post("/v1/data-sources", &body).await, 201);
    let path = "/v1/data-sources/pu/tables/data/rows";
    let pushed = server.put(path, &json!([[0], [1, 2], [1], [5]])).await.unwrap();
    assert_eq!(pushed.status, 200);
    let (mut seen, mut query) = (Vec::new(), "?limit=1".to_owned());
    loop {
        let body = json_of(server.get(&format!("{path}{query}")).await, 200);
        let results = body["results"].as_array().unwrap();
        seen.extend(results.iter().map(|row| row["data"].to_string()));
        let Some(marker) = body["next_marker"].as_str() else { break };
        query = format!("?limit=1&marker={}", encoded(marker));
    }
    assert_eq!(seen, ["[0]", "[1]", "[1,2]", "[5]"]);
    assert_eq!(rows(&server, &format!("{path}?filter.1=2")).await, ["[1,2]"]);
    json_of(server.get(&format!("{path}?filter.2=2")).await, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_the_rows_is_told_so() {
    let server = server().await;
    policy(&server, "p", &["q(1)", "q(2)", "r(x) :- q(x)"]).await;
    let path = "/v1/policies/p/tables/r/rows";
    let tag = server.get(path).await.unwrap().headers[ETAG].clone();
    let again = async |tag: &str| {
        let mut headers = HeaderMap::new();
        headers.insert(IF_NONE_MATCH, tag.parse().unwrap());
        server.request(Method::GET, path, headers, None).await.unwrap()
    };
    let tag = tag.to_str().unwrap();
    assert!(tag.starts_with("W/\""), "{tag}");
    let known = again(tag).await;
    assert_eq!((known.status, known.body.len()), (304, 0));
    assert_eq!(known.headers[ETAG], tag);
    assert_eq!(again("W/\"other\"").await.status, 200);
    policy(&server, "other", &["t(1)"]).await;
    assert_eq!(again(tag).await.status, 304, "the rows are the same");
    let rule = serde_json::json!({"rule": "q(3)"});
    json_of(server.post("/v1/policies/p/rules", &rule).await, 201);
    let changed = again(tag).await;
    assert_eq!(changed.status, 200);
    assert_ne!(changed.headers[ETAG], tag);

    // A page is another one when there is a next one.
    let path = "/v1/policies/p/tables/q/rows?limit=3";
    let page = async |tag: Option<&str>| {
        let tags = tag.map(|tag| (IF_NONE_MATCH, tag.parse().unwrap()));
        server.request(Method::GET, path, tags.into_iter().collect(), None).await.unwrap()
    };
    let tag = page(None).await.headers[ETAG].to_str().unwrap().to_owned();
    assert_eq!(page(Some(&tag)).await.status, 304);
    let rule = serde_json::json!({"rule": "q(4)"});
    json_of(server.post("/v1/policies/p/rules", &rule).await, 201);
    assert_eq!(page(Some(&tag)).await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_given_again_only_while_nothing_has_changed() {
    let server = server().await;
    policy(&server, "p", &["q(1)", "r(x) :- q(x)", "late(n) :- q(x), builtin:now(n)"]).await;
    let path = "/v1/policies/p/tables/r/rows";
    for _ in 0..2 {
        assert_eq!(rows(&server, path).await, ["[1]"]);
    }
    // By whatever name the policy is called.
    let id = json_of(server.get("/v1/policies/p").await, 200)["id"].as_str().unwrap().to_owned();
    let by_id = format!("/v1/policies/{id}/tables/r/rows");
    assert_eq!(rows(&server, &by_id).await, ["[1]"]);
    let mut inserted = Vec::new();
    for n in 2..20 {
        let rule = serde_json::json!({ "rule": format!("q({n})") });
        let rule = json_of(server.post("/v1/policies/p/rules", &rule).await, 201);
        inserted.push(rule["id"].as_str().unwrap().to_owned());
        for path in [path, &by_id] {
            assert_eq!(rows(&server, path).await.len(), n);
        }
    }
    for id in inserted {
        let rule = format!("/v1/policies/p/rules/{id}");
        json_of(server.delete(&rule).await, 200);
    }
    assert_eq!(rows(&server, path).await, ["[1]"]);
    // The time goes on although nothing changes.
    let late = "/v1/policies/p/tables/late/rows";
    let first: Value = serde_json::from_str(&rows(&server, late).await[0]).unwrap();
    let other = |body: &Value| {
        let data = &body["results"][0]["data"];
        data.is_array() && *data != first
    };
    server.eventually(late, crate::SOON, other).await.unwrap();
    json_of(server.delete("/v1/policies/p").await, 200);
    for path in [path, &by_id] {
        json_of(server.get(path).await, 404);
    }
}
