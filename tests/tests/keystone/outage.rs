//! Keystone goes and comes back; tokens run out.

use std::time::Instant;

use congress_test_services::Keystone;
use congress_tests::Server;
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::{SERVICE, SOON, add_service, options, patient, send, send_once, status, until};

#[tokio::test(flavor = "multi_thread")]
async fn known_tokens_go_on_while_keystone_is_away() {
    let mut keystone = Keystone::start().await.unwrap();
    add_service(&keystone).await;
    let server = Server::start(options(&keystone)).await.unwrap();
    let known = keystone.admin_token().await.unwrap();
    let unknown = keystone.admin_token().await.unwrap();
    until(&server, &known, "/v1/policies", 200).await;

    keystone.stop().await.unwrap();
    let began = Instant::now();
    let reply = send_once(&server, &unknown, "GET", "/v1/policies", None).await;
    assert_eq!(reply.status, 503);
    assert!(reply.headers.contains_key("retry-after"));
    assert_eq!(reply.json().unwrap()["error"]["error_code"], 503);
    assert!(began.elapsed() < SOON);
    assert_eq!(status(&server, &known, "/v1/policies").await, 200);
    assert_eq!(server.get("/v1/policies").await.unwrap().status, 401);
    // Many at once do not wait one for another.
    let asking = (0..20).map(|_| send_once(&server, &unknown, "GET", "/v1/policies", None));
    let replies = futures_util::future::join_all(asking).await;
    assert!(replies.iter().all(|reply| reply.status == 503));
    let ready = server.get("/readyz").await.unwrap().json().unwrap();
    assert_eq!(ready["status"], "degraded");
    assert!(ready["reasons"]["keystone"].is_string(), "{ready}");
    // A server starts without it too.
    let second = Server::start(options(&keystone)).await.unwrap();
    assert_eq!(send_once(&second, &known, "GET", "/v1/policies", None).await.status, 503);

    // From now on tokens run out soon.
    keystone.configure("token", "expiration", "15").unwrap();
    keystone.run().await.unwrap();
    until(&server, &unknown, "/v1/policies", 200).await;
    assert_eq!(status(&second, &known, "/v1/policies").await, 200);
    assert_eq!(server.get("/readyz").await.unwrap().json().unwrap()["status"], "ready");

    let short = keystone.admin_token().await.unwrap();
    assert_eq!(status(&server, &short, "/v1/policies").await, 200);
    // A stream of changes ends with its token.
    let rule = json!({"rule": "t(1)"});
    let path = "/v1/policies/classification/rules";
    assert_eq!(send(&server, &short, "POST", path, Some(rule)).await.status, 201);
    let url = format!("{}/v1/policies/classification/tables/t/events", server.url());
    let request = reqwest::Client::builder().no_proxy().build().unwrap().get(url);
    let stream = request.header("x-auth-token", &short).send().await.unwrap();
    assert_eq!(stream.status(), 200);
    let events = tokio::time::timeout(SOON, stream.text()).await.unwrap().unwrap();
    assert!(events.starts_with("event: snapshot\ndata: "), "{events}");
    until(&server, &short, "/v1/policies", 401).await;
    // A service may still pass on a request that was made in time.
    let (name, password) = SERVICE;
    let of_service = keystone.token(name, password, Some("service")).await.unwrap();
    let mut headers = HeaderMap::new();
    headers.insert("x-auth-token", short.parse().unwrap());
    let ask = async |headers: &HeaderMap| {
        let once = async || {
            server.request(Method::GET, "/v1/policies", headers.clone(), None).await.unwrap()
        };
        patient(once).await.status
    };
    assert_eq!(ask(&headers).await, 401);
    headers.insert("x-service-token", "nonsense".parse().unwrap());
    assert_eq!(ask(&headers).await, 401);
    headers.insert("x-service-token", of_service.parse().unwrap());
    assert_eq!(ask(&headers).await, 200);

    // It takes requests and does not answer.
    keystone.pause(true).unwrap();
    let another = "gAAAAABrCciiEXN1onkiQ8q0xK9JBX9olDs4AA";
    assert_eq!(send_once(&server, another, "GET", "/v1/policies", None).await.status, 503);
    keystone.pause(false).unwrap();
    until(&server, another, "/v1/policies", 401).await;
}
