//! Drivers: the kinds of datasources that can be made.

use axum::extract::State;
use serde_json::Value;

use super::App;
use super::answer::{Collection, Element};
use super::path::Path;
use crate::datasources::DriverSummary;
use crate::failure::Answer;

/// All of the catalogue.
pub(super) async fn list(State(app): State<App>) -> Answer<Collection<Vec<DriverSummary>>> {
    app.datasources.drivers().await.map(Collection)
}

/// One with its options and tables.
pub(super) async fn show(
    State(app): State<App>,
    Path(driver): Path<String>,
) -> Answer<Element<Value>> {
    app.datasources.driver(&driver).await.map(Element)
}
