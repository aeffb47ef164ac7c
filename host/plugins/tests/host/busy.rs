//! Services that are too busy: asked again after a while, within the call's time.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::Response;
use congress_table::Value;
use serde_json::json;

use crate::common::*;

fn busy(status: u16, after: &str) -> Response<Body> {
    let mut answer = answer(status, "busy");
    answer.headers_mut().insert("retry-after", after.parse().unwrap());
    answer
}

#[tokio::test]
async fn it_is_asked_again() {
    for status in [429, 503] {
        let asked = Arc::new(AtomicUsize::new(0));
        let service = Service::start(move |_| match asked.fetch_add(1, Ordering::Relaxed) {
            0 | 1 => busy(status, "0"),
            _ => answer(200, "done"),
        })
        .await;
        let settings = json!({"mode": "fetch", "target": service.url("/")});
        let outcome = poll(local_config(), settings).await.unwrap();
        assert_eq!(reported(&outcome, "text"), Value::text("done"));
        assert_eq!((outcome.figures.requests, service.seen().len()), (3, 3));
    }
}

#[tokio::test]
async fn not_for_ever() {
    let service = Service::start(|_| busy(503, "0")).await;
    let settings = json!({"mode": "fetch", "target": service.url("/")});
    let outcome = poll(local_config(), settings).await.unwrap();
    assert_eq!(reported(&outcome, "status"), Value::Int(503));
    assert_eq!(service.seen().len(), 4);
}

#[tokio::test]
async fn who_wants_to_be_left_alone_for_long_is() {
    let service = Service::start(|_| busy(429, "3600")).await;
    let settings = json!({"mode": "fetch", "target": service.url("/")});
    let source = source(local_config(), settings).await.unwrap();
    assert_eq!(source.rest(), None);
    let begun = Instant::now();
    let outcome = source.poll(&["report"]).await.unwrap();
    assert_eq!(reported(&outcome, "status"), Value::Int(429));
    assert!(begun.elapsed() < short_limits().call_timeout);
    assert_eq!(service.seen().len(), 1);
    assert!(source.rest().unwrap() > Duration::from_secs(3000));
}
