//! Drivers: the kinds of datasources that can be made.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use serde_json::Value;

use super::App;
use super::answer::Element;
use super::detail;
use super::page::Page;
use super::path::Path;
use crate::failure::Answer;

/// All of the catalogue.
pub(super) async fn list(State(app): State<App>, page: Page) -> Answer<Response> {
    page.list(app.datasources.drivers().await?)
}

/// One with its options and tables; with `?detail=true` how its loading stands, too.
pub(super) async fn show(
    State(app): State<App>,
    Path(driver): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer<Element<Value>> {
    const PLAIN: [&str; 5] = ["id", "description", "config", "secret", "tables"];
    let driver = app.datasources.driver(&driver).await?;
    Ok(Element(detail::shown(driver, query.as_deref(), &PLAIN)))
}
