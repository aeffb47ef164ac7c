//! Bodies and statuses of answers.

use std::convert::Infallible;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use http::header::{CONTENT_TYPE, LOCATION, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::json;

use super::json_text::{self, Layout};
use crate::failure::{Failure, Status};

/// Long lists of rows are sent in pieces of about this many bytes, so that an answer's memory does
/// not grow with it.
const PIECE: usize = 64 << 10;

/// After how many seconds a client may ask again for what is not available now.
const RETRY_SECONDS: &str = "1";

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// One resource, or `null`, on one line.
pub(super) struct Element<T>(pub(super) T);

/// Several resources.
pub(super) struct Collection<T>(pub(super) T);

/// A new resource and where it is.
pub(super) struct Created<T> {
    pub(super) location: String,
    pub(super) body: T,
}

/// Success without a body.
pub(super) struct Empty;

/// The rows of a table.
pub(super) struct Rows<T> {
    pub(super) rows: Vec<Vec<T>>,
    /// How they were found, when somebody asked.
    pub(super) trace: Option<String>,
    /// Of a page: the last of its rows, if others follow.
    pub(super) next_marker: Option<Option<String>>,
}

impl<T: Serialize> IntoResponse for Element<T> {
    fn into_response(self) -> Response {
        json(StatusCode::OK, &self.0, Layout::OneLine)
    }
}

impl<T: Serialize> IntoResponse for Collection<T> {
    fn into_response(self) -> Response {
        #[derive(Serialize)]
        struct Results<T> {
            results: T,
        }
        json(StatusCode::OK, &Results { results: self.0 }, Layout::Indented(0))
    }
}

impl<T: Serialize> IntoResponse for Created<T> {
    fn into_response(self) -> Response {
        let mut response = json(StatusCode::CREATED, &self.body, Layout::OneLine);
        match HeaderValue::try_from(self.location) {
            Ok(location) => response.headers_mut().insert(LOCATION, location),
            Err(error) => return Failure::internal(error).into_response(),
        };
        response
    }
}

impl IntoResponse for Empty {
    fn into_response(self) -> Response {
        respond(StatusCode::OK, Body::empty())
    }
}

impl<T: Serialize + Send + 'static> IntoResponse for Rows<T> {
    fn into_response(self) -> Response {
        rows_response(self.into_body(0).into())
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let status =
            StatusCode::from_u16(self.status.code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = json!({
            "error": {
                "message": self.message,
                "error_code": self.code,
                "error_data": self.data,
            }
        });
        let mut response = json(status, &body, Layout::OneLine);
        if self.status == Status::Unavailable {
            response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_SECONDS));
        }
        response
    }
}

/// An answer of one JSON value on one line.
pub(crate) fn one_line(status: StatusCode, value: &impl Serialize) -> Response {
    json(status, value, Layout::OneLine)
}

/// An answer of one JSON value and a newline.
pub(super) fn json(status: StatusCode, value: &impl Serialize, layout: Layout) -> Response {
    let mut text = Vec::with_capacity(256);
    match json_text::write(&mut text, value, layout) {
        Ok(()) => {
            text.push(b'\n');
            respond(status, Body::from(text))
        }
        Err(error) => {
            tracing::error!(%error, "an answer could not be written");
            let body = "{\"error\": {\"message\": \"Internal server error\", \"error_code\": 500, \
                        \"error_data\": null}}\n";
            respond(StatusCode::INTERNAL_SERVER_ERROR, Body::from(body))
        }
    }
}

/// The method exists for no resource of this kind.
pub(super) fn method_not_supported() -> Failure {
    Failure::verbatim(Status::NotImplemented, "Method not supported")
}

fn respond(status: StatusCode, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

/// The body of an answer with rows.
pub(super) enum RowsBody {
    /// All of it.
    Whole(Bytes),
    /// Its rows are written as the client takes them.
    Long(Body),
}

impl<T: Serialize + Send + 'static> Rows<T> {
    /// The body: whole if it is one piece, or has no more than so many bytes.
    pub(super) fn into_body(self, whole: usize) -> RowsBody {
        let mut pieces = RowPieces::new(self);
        let mut begin = pieces.next().unwrap_or_default();
        if whole > begin.len() && pieces.rows.is_some() {
            let mut text = Vec::from(begin);
            while text.len() <= whole
                && let Some(piece) = pieces.next()
            {
                text.extend_from_slice(&piece);
            }
            // It may be kept, and is as long as it is then.
            text.shrink_to_fit();
            begin = text.into();
        }
        if pieces.rows.is_none() {
            return RowsBody::Whole(begin);
        }
        let pieces = std::iter::once(begin).chain(pieces).map(Ok::<_, Infallible>);
        RowsBody::Long(Body::from_stream(futures_util::stream::iter(pieces)))
    }
}

impl From<RowsBody> for Body {
    fn from(body: RowsBody) -> Self {
        match body {
            RowsBody::Whole(text) => text.into(),
            RowsBody::Long(body) => body,
        }
    }
}

/// An answer with such a body.
pub(super) fn rows_response(body: Body) -> Response {
    respond(StatusCode::OK, body)
}

/// Writes rows piece by piece, and lets go of each row once it is written.
struct RowPieces<T> {
    /// None once the last piece is out.
    rows: Option<std::vec::IntoIter<Vec<T>>>,
    trace: Option<String>,
    next_marker: Option<Option<String>>,
    begun: bool,
}

impl<T> RowPieces<T> {
    fn new(Rows { rows, trace, next_marker }: Rows<T>) -> Self {
        Self { rows: Some(rows.into_iter()), trace, next_marker, begun: false }
    }
}

impl<T: Serialize> Iterator for RowPieces<T> {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        #[derive(Serialize)]
        struct Row<T> {
            data: Vec<T>,
        }
        let rows = self.rows.as_mut()?;
        let mut out = Vec::with_capacity(PIECE.min(256 + rows.len() * 64));
        let mut first = !self.begun;
        if first {
            out.extend_from_slice(b"{\n  \"results\": [");
            self.begun = true;
        }
        while out.len() < PIECE {
            let Some(data) = rows.next() else {
                // `first`: there was no row at all.
                out.extend_from_slice(if first { b"]" } else { b"\n  ]" });
                if let Some(trace) = self.trace.take() {
                    out.extend_from_slice(b",\n  \"trace\": ");
                    written(json_text::write(&mut out, &trace, Layout::OneLine));
                }
                if let Some(marker) = self.next_marker.take() {
                    out.extend_from_slice(b",\n  \"next_marker\": ");
                    written(json_text::write(&mut out, &marker, Layout::OneLine));
                }
                out.extend_from_slice(b"\n}\n");
                self.rows = None;
                break;
            };
            out.extend_from_slice(if first { b"\n    " } else { b",\n    " });
            first = false;
            written(json_text::write(&mut out, &Row { data }, Layout::Indented(2)));
        }
        Some(out.into())
    }
}

/// Writing plain JSON values into memory does not fail; should it, the client gets broken JSON,
/// for the status is out already, and the log the reason.
fn written(result: serde_json::Result<()>) {
    if let Err(error) = result {
        tracing::error!(%error, "a row could not be written");
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn pieces(rows: Vec<Vec<Value>>, trace: Option<&str>) -> (usize, Value) {
        let pieces: Vec<_> =
            RowPieces::new(Rows { rows, trace: trace.map(str::to_owned), next_marker: None })
                .collect();
        let text = pieces.concat();
        assert!(text.ends_with(b"\n"));
        (pieces.len(), serde_json::from_slice(&text).unwrap())
    }

    #[test]
    fn few_rows_are_one_piece() {
        assert_eq!(pieces(vec![], None), (1, json!({"results": []})));
        assert_eq!(
            pieces(vec![vec![json!(1), json!("é")], vec![]], Some("a\nb")),
            (1, json!({"results": [{"data": [1, "é"]}, {"data": []}], "trace": "a\nb"}))
        );
    }

    #[test]
    fn many_rows_are_many_bounded_pieces() {
        let rows: Vec<_> = (0..20_000).map(|n| vec![json!(n), json!("name")]).collect();
        let results: Vec<_> = rows.iter().map(|row| json!({ "data": row })).collect();
        let (count, value) = pieces(rows.clone(), None);
        assert!(count > 10, "{count}");
        assert_eq!(value, json!({ "results": results }));
        assert!(
            RowPieces::new(Rows { rows, trace: None, next_marker: None })
                .all(|piece| piece.len() < PIECE + 1024)
        );
    }

    #[test]
    fn rows_are_laid_out_like_every_collection() {
        let rows = vec![vec![json!(1), json!("a")], vec![json!(2), json!("b")]];
        let streamed: Vec<_> = RowPieces::new(Rows {
            rows: rows.clone(),
            trace: Some("t".to_owned()),
            next_marker: Some(Some("m".to_owned())),
        })
        .collect();
        let results: Vec<_> = rows.iter().map(|row| json!({ "data": row })).collect();
        let mut whole = Vec::new();
        let value = json!({ "results": results, "trace": "t", "next_marker": "m" });
        json_text::write(&mut whole, &value, Layout::Indented(0)).unwrap();
        whole.push(b'\n');
        assert_eq!(streamed.concat(), whole);
    }
}
