//! What supervisors and load balancers ask. Neither answer touches the database or the bus.

use axum::extract::State;
use axum::response::Response;
use http::StatusCode;
use serde_json::json;

use super::App;
use super::answer::{self, Element};
use super::json_text::Layout;

/// 200 as long as the process makes progress.
pub(super) async fn healthcheck() -> Element<serde_json::Value> {
    Element(json!({ "status": "OK" }))
}

/// 503 before the node has loaded what it needs and while it stops; 200 otherwise, naming what is
/// away.
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let (ready, report) = app.readiness.report();
    let status = if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    answer::json(status, &report, Layout::OneLine)
}
