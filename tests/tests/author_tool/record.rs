//! `record` and `replay`: what is written replays, and holds no secrets.

use std::fs;
use std::path::Path;

use axum::Router;
use axum::extract::Request;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use crate::{component, ran};

const CANARY: &str = "canary-7c1f5a";

/// A service with two pages, for whoever has the token. It repeats the token, as careless ones do.
async fn answer(request: Request) -> impl IntoResponse {
    let authorized = request.headers().get("authorization");
    if authorized.is_none_or(|value| value != &format!("Bearer {CANARY}")) {
        return (StatusCode::UNAUTHORIZED, "who are you?".to_owned());
    }
    let host = request.headers()["host"].to_str().unwrap().to_owned();
    let page = match request.uri().query() {
        None => json!({
            "items": [{"name": "Phobos", "key": CANARY}],
            "next": format!("http://{host}/moons?page=2"),
        }),
        Some(_) => json!({"items": [{"name": "Deimos", "key": null}], "next": null}),
    };
    (StatusCode::OK, page.to_string())
}

fn config(url: &str) -> Value {
    json!({
        "url": url, "auth": "bearer", "token": CANARY,
        "tables": {"moons": {
            "path": "moons", "rows": "items", "columns": ["name", "key"],
            "paging": {"style": "next-field", "field": "next"},
        }},
    })
}

fn write(path: &Path, value: &Value) -> String {
    fs::write(path, value.to_string()).unwrap();
    path.display().to_string()
}

#[tokio::test]
async fn a_recording_replays_and_holds_no_secret() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let app = Router::new().fallback(answer);
    let service = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    let folder = tempfile::tempdir().unwrap();
    let values = write(&folder.path().join("config.json"), &config(&format!("http://{address}")));
    let fixture = folder.path().join("moons.json");
    let out = fixture.display().to_string();
    let file = component("http_json");

    let recorded =
        ran(&["record", &file, "--config-file", &values, "--allow", "127.0.0.1", "--out", &out])
            .await;
    assert_eq!(recorded.code, Some(0), "{recorded:?}");
    assert!(recorded.err.contains("requests: 2, rows: 2"), "{}", recorded.err);
    service.abort();

    let text = fs::read_to_string(&fixture).unwrap();
    assert!(!text.contains(CANARY) && !text.contains(&address), "{text}");
    let mut written: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(written["config"]["url"], "{base}");
    assert_eq!(written["http"][1]["query"], json!([["page", "2"]]));
    assert_eq!(written["http"][0]["response"]["next"], "{base}/moons?page=2");
    assert_eq!(written["tables"]["moons"], json!([["Deimos", null], ["Phobos", "masked"]]));

    let replayed = ran(&["replay", &file, &out]).await;
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    // The service is gone, and the fixture is enough to check with.
    let checked = ran(&["check", &file, "--fixture", &out]).await;
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(checked.out.contains("ok    polls"), "{}", checked.out);

    written["tables"]["moons"][0][0] = "Dimos".into();
    write(&fixture, &written);
    let differs = ran(&["replay", &file, &out]).await;
    assert_eq!(differs.code, Some(1), "{differs:?}");
    assert!(differs.out.contains("- [\"Dimos\",null]"), "{}", differs.out);
    assert!(differs.out.contains("+ [\"Deimos\",null]"), "{}", differs.out);

    written["http"] = json!([]);
    write(&fixture, &written);
    let unanswered = ran(&["replay", &file, &out]).await;
    assert_eq!(unanswered.code, Some(1), "{unanswered:?}");
    assert!(unanswered.err.contains("no answer to:\n  GET /moons"), "{}", unanswered.err);
}

#[tokio::test]
async fn without_requests_nothing_is_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let out = folder.path().join("x.json");
    let template = component("testing/template");
    let path = out.display().to_string();
    let recorded = ran(&["record", &template, "--config", "names=A", "--out", &path]).await;
    assert_eq!(recorded.code, Some(1), "{recorded:?}");
    assert!(recorded.err.contains("the driver sent no requests"), "{}", recorded.err);
    assert!(!out.exists());
}
