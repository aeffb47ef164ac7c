//! Odd configurations and odd answers: a driver must survive them, with an error or without.

use std::time::Duration;

use bytes::Bytes;
use congress_plugins::{ConfigField, ConfigValues, FieldType};
use http::StatusCode;
use serde_json::{Value, json};

use super::calls::{Subject, Trial};
use super::plausible;
use super::report::Report;
use super::wire::Service;

/// How long one call with odd input may take.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// How many odd configurations are tried.
const CONFIGURATIONS: usize = 300;

/// Tries all that is odd.
pub(super) async fn check(subject: &Subject, report: &mut Report) {
    let metadata = subject.driver.metadata().clone();
    let usual = plausible(&metadata, &subject.given);

    subject.wire.become_service(Service::Always(
        StatusCode::OK,
        "application/json",
        Bytes::from_static(b"{}"),
    ));
    let mut problems = Vec::new();
    let empty = ConfigValues::new();
    let mut trials = vec![("an empty configuration".to_owned(), empty)];
    for field in &metadata.config {
        for (what, value) in odd_values(field) {
            let mut config = usual.clone();
            config.insert(field.name.clone(), value);
            trials.push((format!("{what} in '{}'", field.name), config));
        }
    }
    for (what, config) in trials.into_iter().take(CONFIGURATIONS) {
        if let Trial::Broke(reason) = subject.try_poll(&config).await {
            problems.push(format!("with {what}: {reason}"));
        }
    }
    report.judge("survives empty, odd and huge configurations", &problems);

    const ANSWERS: &str = "survives odd answers of the service";
    const SILENCE: &str = "gives up when the service cannot be reached";
    // Found out by a first poll: what sends nothing gets no answers.
    let sends = matches!(subject.try_poll(&usual).await, Trial::Survived { requests: 1.., .. });
    let may_send = sends || !metadata.hosts.is_empty();
    if !may_send || !metadata.feed.polls() {
        report.skip(ANSWERS, "the driver sends no requests when it polls");
        report.skip(SILENCE, "the driver sends no requests when it polls");
        return;
    }
    let mut problems = Vec::new();
    for (what, status, content_type, body) in odd_answers() {
        subject.wire.become_service(Service::Always(status, content_type, body));
        if let Trial::Broke(reason) = subject.try_poll(&usual).await {
            problems.push(format!("answered {what}: {reason}"));
        }
    }
    report.judge(ANSWERS, &problems);

    let mut problems = Vec::new();
    for reason in ["http://service.test did not answer within 30 s", "connection refused"] {
        subject.wire.become_service(Service::Never(reason));
        if let Trial::Broke(broke) = subject.try_poll(&usual).await {
            problems.push(format!("when every request fails ({reason}): {broke}"));
        }
    }
    report.judge(SILENCE, &problems);
}

/// Values that pass the host's own check of the field's type.
fn odd_values(field: &ConfigField) -> Vec<(&'static str, Value)> {
    match field.field_type {
        FieldType::Text => vec![
            ("an empty text", json!("")),
            ("blanks", json!(" \t\n ")),
            ("a NUL character", json!("a\0b")),
            ("text in many scripts", json!("äöü Ω 日本語 \u{202e}עברית 🌕")),
            ("braces, quotes and slashes", json!("{{}}'\"\\//../?#%zz&=[")),
            ("100,000 characters", json!("x".repeat(100_000))),
            ("a number", json!(-1)),
        ],
        FieldType::Integer => vec![
            ("0", json!(0)),
            ("-1", json!(-1)),
            ("the largest integer", json!(i64::MAX)),
            ("the smallest integer", json!(i64::MIN)),
        ],
        FieldType::Float => vec![
            ("0", json!(0.0)),
            ("a huge number", json!(1e308)),
            ("a tiny number", json!(-5e-324)),
        ],
        FieldType::Boolean => vec![("true", json!(true)), ("false", json!(false))],
        FieldType::Json => vec![
            ("an empty object", json!({})),
            ("an empty list", json!([])),
            ("the JSON text null", json!("null")),
            ("a JSON number", json!(1e300)),
            ("objects where texts belong", json!({"": {"a": [null, {"b": []}]}})),
            ("200 nested lists", json!("[".repeat(200) + &"]".repeat(200))),
            ("10,000 members", (0..10_000).map(|n| (n.to_string(), Value::Null)).collect()),
        ],
    }
}

type Answer = (&'static str, StatusCode, &'static str, Bytes);

fn odd_answers() -> Vec<Answer> {
    let json = "application/json";
    let ok = |what, body: &'static str| {
        (what, StatusCode::OK, json, Bytes::from_static(body.as_bytes()))
    };
    vec![
        ok("nothing", ""),
        ok("null", "null"),
        ok("an empty list", "[]"),
        ok("a list of null, numbers and lists", "[null, 1, 1.5, [], [[]]]"),
        ok("a text", "\"moon\""),
        ok("half of a JSON text", "{\"results\": [{\"id\": 1}, {\"i"),
        ok("numbers beyond all bounds", "[{\"id\": 1e999, \"n\": 123456789012345678901234567890}]"),
        (
            "bytes that are no text",
            StatusCode::OK,
            json,
            Bytes::from_static(b"[\"\xff\xfe\x80\", \"\\ud800\"]"),
        ),
        ("1,000 nested lists", StatusCode::OK, json, ("[".repeat(1000) + &"]".repeat(1000)).into()),
        (
            "a page for browsers",
            StatusCode::OK,
            "text/html",
            Bytes::from_static(b"<html>Log in</html>"),
        ),
        ("204 without content", StatusCode::NO_CONTENT, json, Bytes::new()),
        ("a redirect", StatusCode::FOUND, "text/html", Bytes::new()),
        ("403", StatusCode::FORBIDDEN, json, Bytes::from_static(b"{\"error\": null}")),
        ("404", StatusCode::NOT_FOUND, "text/plain", Bytes::from_static(b"not found")),
        ("429", StatusCode::TOO_MANY_REQUESTS, json, Bytes::from_static(b"{}")),
        ("500", StatusCode::INTERNAL_SERVER_ERROR, "text/html", Bytes::from_static(b"<h1>oops")),
        ("503", StatusCode::SERVICE_UNAVAILABLE, "text/plain", Bytes::new()),
    ]
}
