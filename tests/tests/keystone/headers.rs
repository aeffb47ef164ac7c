//! Pages of other origins, and proxies.

use congress_tests::{Server, ServerOptions};
use reqwest::Method;
use reqwest::header::HeaderMap;
use serde_json::json;

use crate::{keystone, options, patient};

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_of_allowed_origins() {
    let keystone = keystone().await;
    let options = options(keystone).with("cors", "allowed_origin", "https://horizon.example");
    let server = Server::start(options).await.unwrap();
    let admin = keystone.admin_token().await.unwrap();
    let origin = ("origin", "https://horizon.example");

    // Browsers ask without a token.
    let asks = headers(&[
        origin,
        ("access-control-request-method", "POST"),
        ("access-control-request-headers", "x-auth-token,content-type"),
    ]);
    let reply = server.request(Method::OPTIONS, "/v1/policies", asks, None).await.unwrap();
    assert_eq!((reply.status, reply.body.len()), (200, 0));
    assert_eq!(reply.headers["access-control-allow-origin"], "https://horizon.example");
    assert_eq!(reply.headers["access-control-allow-methods"], "POST");
    assert_eq!(reply.headers["access-control-max-age"], "3600");

    let get = async |pairs: &[(&'static str, &str)]| {
        let once = async || {
            server.request(Method::GET, "/v1/policies", headers(pairs), None).await.unwrap()
        };
        patient(once).await
    };
    let reply = get(&[origin, ("x-auth-token", &admin)]).await;
    assert_eq!(reply.status, 200);
    assert_eq!(reply.headers["access-control-allow-origin"], "https://horizon.example");
    assert_eq!(reply.headers["vary"], "Origin");
    assert!(reply.headers.contains_key("access-control-expose-headers"));
    // So can a page see that it must log in.
    let reply = get(&[origin]).await;
    assert_eq!(reply.status, 401);
    assert!(reply.headers.contains_key("access-control-allow-origin"));
    let reply = get(&[("origin", "https://evil.example"), ("x-auth-token", &admin)]).await;
    assert!(!reply.headers.contains_key("access-control-allow-origin"));
}

#[tokio::test(flavor = "multi_thread")]
async fn links_behind_a_proxy() {
    let trusts =
        ServerOptions::default().with("oslo_middleware", "enable_proxy_headers_parsing", "true");
    let trusts = Server::start(trusts).await.unwrap();
    let not = Server::start(ServerOptions::default()).await.unwrap();
    let said = [
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "cloud.example"),
        ("x-forwarded-prefix", "/policy"),
    ];
    for (server, base) in [(&trusts, "https://cloud.example/policy"), (&not, not.url())] {
        let reply = server.request(Method::GET, "/", headers(&said), None).await.unwrap();
        let href = &reply.json().unwrap()["versions"][0]["links"][0]["href"];
        assert_eq!(*href, format!("{base}/v1/"));
        let body = json!({"name": "p"}).to_string().into_bytes();
        let reply = server.request(Method::POST, "/v1/policies", headers(&said), Some(body));
        let reply = reply.await.unwrap();
        assert_eq!(reply.status, 201);
        let location = reply.headers["location"].to_str().unwrap();
        assert!(location.starts_with(&format!("{base}/v1/policies/")), "{location}");
    }
}
