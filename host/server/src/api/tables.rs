//! Tables of policies and their rows.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use http::HeaderMap;
use serde::Serialize;

use super::App;
use super::action::parameter;
use super::answer::Element;
use super::body::Json;
use super::page::Page;
use super::path::Path;
use super::rows;
use crate::failure::{Answer, Failure, Status};

/// A table in a list, of a policy or of a datasource.
#[derive(Serialize)]
pub(super) struct TableObject {
    pub(super) id: String,
}

impl From<String> for TableObject {
    fn from(id: String) -> Self {
        Self { id }
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Path(policy): Path<String>,
    page: Page,
) -> Answer<Response> {
    let tables = app.engine.tables(&policy).await?;
    page.list(tables.into_iter().map(TableObject::from).collect())
}

pub(super) async fn show(
    State(app): State<App>,
    Path((policy, table)): Path<(String, String)>,
) -> Answer<Element<TableObject>> {
    if app.engine.has_table(&policy, &table).await? {
        Ok(Element(table.into()))
    } else {
        Err(not_found())
    }
}

pub(super) async fn rows(
    State(app): State<App>,
    Path((policy, table)): Path<(String, String)>,
    RawQuery(query): RawQuery,
    page: Page,
    headers: HeaderMap,
) -> Answer<Response> {
    let traced = parameter(query.as_deref(), "trace").any(|v| v.eq_ignore_ascii_case("true"));
    if page.is_plain() && !traced {
        return app.kept.rows(&app.engine, policy, table, &headers).await;
    }
    let (found, trace) = if traced {
        let (found, trace) = app.engine.traced_rows(&policy, &table).await?;
        (found, Some(trace))
    } else {
        (app.engine.rows(&policy, &table).await?, None)
    };
    let columns = if page.is_plain() { None } else { app.engine.columns(&policy, &table).await };
    rows::answer(&headers, rows::page(page, found, columns, trace).await?).await
}

/// Rows of policies come from rules alone.
pub(super) async fn replace_rows(Json(_): Json) -> Failure {
    Failure::plain(
        Status::BadRequest,
        "Method replace_entire_table_data not supported for datasource __engine",
    )
}

/// No such member of a collection.
pub(super) fn not_found() -> Failure {
    Failure::verbatim(Status::NotFound, "Not found")
}
