//! The two questions over HTTP.

use axum::Router;
use axum::extract::{RawQuery, State};
use axum::response::Response;
use axum::routing::get;
use http::StatusCode;
use serde::Serialize;
use serde_json::{Map, Value};

use super::Health;
use super::readiness::Report;
use crate::api::json;

/// `/healthcheck` and `/readyz`.
pub fn router(health: Health) -> Router {
    Router::new()
        .route("/healthcheck", get(healthcheck))
        .route("/readyz", get(readyz))
        .with_state(health)
}

/// What `/readyz` answers.
#[derive(Serialize)]
struct Body {
    #[serde(flatten)]
    report: Report,
    #[serde(flatten)]
    detail: Option<Map<String, Value>>,
}

/// 200 as long as the process makes progress.
async fn healthcheck(State(health): State<Health>) -> Response {
    let (well, report) = health.pulse.report();
    json(status(well), &report)
}

/// 503 before the node has loaded what it needs and while it stops; 200 otherwise, naming what is
/// away.
async fn readyz(State(health): State<Health>, RawQuery(query): RawQuery) -> Response {
    let (ready, report) = health.readiness.report();
    let detail = wants_detail(query.as_deref().unwrap_or_default());
    let detail = detail.then(|| health.detail.describe());
    json(status(ready), &Body { report, detail })
}

fn status(good: bool) -> StatusCode {
    if good { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }
}

/// `?detail`, with or without a value.
fn wants_detail(query: &str) -> bool {
    query.split('&').any(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        name == "detail" && !matches!(value, "false" | "0" | "no")
    })
}

#[cfg(test)]
mod tests {
    use super::wants_detail;

    #[test]
    fn detail_is_asked_for() {
        for (query, wanted) in [
            ("", false),
            ("detail", true),
            ("a=b&detail=true", true),
            ("detail=", true),
            ("detail=false", false),
            ("details", false),
        ] {
            assert_eq!(wants_detail(query), wanted, "{query}");
        }
    }
}
