//! Which versions of the API there are: one.

use axum::response::{IntoResponse, Response};
use http::{StatusCode, Uri};
use serde_json::{Value, json};

use super::answer::{self, Element};
use super::json_text::Layout;
use super::path::Address;
use crate::failure::{Failure, Status};

/// `/`
pub(super) async fn list(address: Address) -> Element<Value> {
    Element(json!({ "versions": [version(vec![self_link(&address, "")])] }))
}

/// `/v1`
pub(super) async fn show(address: Address) -> Element<Value> {
    let documentation = json!({
        "rel": "describedby",
        "type": "text/html",
        "href": "http://congress.readthedocs.org/",
    });
    Element(json!({ "version": version(vec![self_link(&address, ""), documentation]) }))
}

/// Every path that leads nowhere: below `/v1` nothing is there, elsewhere the client may have
/// forgotten the version.
pub(super) async fn elsewhere(address: Address, uri: Uri) -> Response {
    if uri.path().starts_with("/v1/") {
        return Failure::verbatim(Status::NotFound, "The resource could not be found.")
            .into_response();
    }
    let path = uri.path().trim_start_matches('/');
    let choices = json!({ "choices": [version(vec![self_link(&address, path)])] });
    answer::json(StatusCode::MULTIPLE_CHOICES, &choices, Layout::OneLine)
}

fn version(links: Vec<Value>) -> Value {
    json!({
        "id": "v1",
        "status": "CURRENT",
        "updated": "2013-08-12T17:42:13Z",
        "links": links,
    })
}

fn self_link(address: &Address, path: &str) -> Value {
    json!({ "rel": "self", "href": format!("{}/v1/{path}", address.base) })
}
