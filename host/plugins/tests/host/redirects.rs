//! Redirects: followed as far as the operator says, and never out of the grant.

use axum::body::Body;
use axum::http::Response;
use congress_plugins::{CallError, CallOutcome, HostConfig, Limits};
use congress_table::Value;
use serde_json::json;

use crate::common::*;

fn redirect(status: u16, to: &str) -> Response<Body> {
    Response::builder().status(status).header("location", to).body(Body::empty()).unwrap()
}

async fn follow(redirects: usize, url: &str) -> Result<CallOutcome, CallError> {
    let limits = Limits { redirects, ..short_limits() };
    let settings = json!({"mode": "fetch", "target": url, "auth": "bearer", "token": "t0ken"});
    poll(HostConfig { limits, ..local_config() }, settings).await
}

#[tokio::test]
async fn they_are_followed_within_the_grant() {
    let service = Service::start(|seen| match seen.path.as_str() {
        "/a" => redirect(302, "b?c=d"),
        "/b?c=d" => redirect(308, "/end"),
        _ => answer(200, "end"),
    })
    .await;
    let outcome = follow(2, &service.url("/a")).await.unwrap();
    assert_eq!(reported(&outcome, "text"), Value::text("end"));
    assert_eq!(outcome.figures.requests, 3);
    assert!(service.seen().iter().all(|s| s.header("authorization") == Some("Bearer t0ken")));
    // The last one that may not be followed is the answer.
    let outcome = follow(1, &service.url("/a")).await.unwrap();
    assert_eq!(reported(&outcome, "status"), Value::Int(308));
}

#[tokio::test]
async fn they_never_leave_the_grant() {
    let other = Service::start(|_| answer(200, "reached")).await;
    for (to, says) in [
        (other.url("/"), "is not granted"),
        (other.url("/").replace("127.0.0.1", "2130706433"), "is not granted"),
        (format!("//localhost:{}/", other.port), "is not granted"),
        ("http://169.254.169.254/latest/meta-data/".to_owned(), "is not granted"),
        (other.url("/").replace("http://", "http://u:p@"), "user information"),
        ("file:///etc/passwd".to_owned(), "only http and https"),
    ] {
        let target = to.clone();
        let service = Service::start(move |_| redirect(302, &target)).await;
        let error = follow(5, &service.url("/")).await.unwrap_err().to_string();
        assert!(error.contains(says), "{to}: {error}");
    }
    assert!(other.seen().is_empty());
}

#[tokio::test]
async fn a_circle_ends() {
    let service = Service::start(|_| redirect(301, "/")).await;
    let outcome = follow(4, &service.url("/")).await.unwrap();
    assert_eq!(reported(&outcome, "status"), Value::Int(301));
    assert_eq!(service.seen().len(), 5);
}
