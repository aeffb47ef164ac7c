//! Answers with the rows of a table: their pages, and whether a client has them already.

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use congress_policy::ast::Constant;
use http::header::{ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, StatusCode};
use serde::Serialize;
use serde_json::Value;
use xxhash_rust::xxh3::xxh3_128;

use super::answer::{Rows, rows_response};
use super::page::Page;
use crate::engine::Cell;
use crate::failure::{Answer, Failure};

/// From so many rows on, or so many bytes of text in them, work on rows is done where nobody waits
/// for the thread.
const MANY: usize = 5_000;
const LONG: usize = 1 << 18;

/// A cell whose content can be digested: equal bytes for equal cells, and for no others.
pub(super) trait Digested {
    fn digest_into(&self, out: &mut Vec<u8>);

    /// How many bytes it takes, roughly.
    fn size(&self) -> usize;
}

impl Digested for Cell {
    fn digest_into(&self, out: &mut Vec<u8>) {
        match &self.0 {
            Constant::Text(text) => tagged(out, b't', text.as_bytes()),
            Constant::Float(float) => tagged(out, b'f', &float.to_bits().to_le_bytes()),
            Constant::Int(int) => match i64::try_from(int) {
                Ok(int) => tagged(out, b'i', &int.to_le_bytes()),
                Err(_) => tagged(out, b'n', int.to_string().as_bytes()),
            },
        }
    }

    fn size(&self) -> usize {
        match &self.0 {
            Constant::Text(text) => text.len(),
            Constant::Float(_) | Constant::Int(_) => 8,
        }
    }
}

impl Digested for Value {
    fn digest_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::String(text) => tagged(out, b't', text.as_bytes()),
            other => tagged(out, b'j', other.to_string().as_bytes()),
        }
    }

    fn size(&self) -> usize {
        self.as_str().map_or(8, str::len)
    }
}

fn tagged(out: &mut Vec<u8>, tag: u8, content: &[u8]) {
    out.push(tag);
    out.extend_from_slice(&(content.len() as u64).to_le_bytes());
    out.extend_from_slice(content);
}

/// The tag of a set of rows, whatever their order, and of where their next page begins: equal on
/// all nodes, and between their versions.
pub(super) fn tag<T: Digested>(rows: &[Vec<T>], next_marker: Option<&str>) -> String {
    let (mut sum, mut buffer) = (0u128, Vec::new());
    for row in rows {
        buffer.clear();
        row.iter().for_each(|cell| cell.digest_into(&mut buffer));
        sum = sum.wrapping_add(xxh3_128(&buffer));
    }
    let next = next_marker.map(|next| format!("-{:032x}", xxh3_128(next.as_bytes())));
    format!("W/\"{:x}-{sum:032x}{}\"", rows.len(), next.unwrap_or_default())
}

/// Whether the client has what is tagged so.
fn has(headers: &HeaderMap, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|known| known.trim() == "*" || opaque(known) == opaque(tag))
}

/// Answers with rows, or tells the client that it has them.
pub(super) async fn answer<T>(headers: &HeaderMap, rows: Rows<T>) -> Answer<Response>
where
    T: Digested + Serialize + Send + 'static,
{
    if rows.trace.is_some() {
        return Ok(rows.into_response());
    }
    let much = is_much(&rows.rows);
    let work = move || {
        let next = rows.next_marker.as_ref().and_then(Option::as_deref);
        (tag(&rows.rows, next), rows)
    };
    let (tag, rows) = aside(much, work).await?;
    let tag = HeaderValue::try_from(tag).map_err(Failure::internal)?;
    Ok(respond(headers, tag, || rows.into_body(0).into()))
}

/// An answer with what is tagged so, or without it for a client that has it.
pub(super) fn respond(
    headers: &HeaderMap,
    tag: HeaderValue,
    body: impl FnOnce() -> Body,
) -> Response {
    let mut response = if has(headers, tag.to_str().unwrap_or_default()) {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        response
    } else {
        rows_response(body())
    };
    response.headers_mut().insert(ETAG, tag);
    response
}

/// The page of rows that is asked for.
pub(super) async fn page(
    page: Page,
    rows: Vec<Vec<Cell>>,
    columns: Option<Vec<String>>,
    trace: Option<String>,
) -> Answer<Rows<Cell>> {
    if page.is_plain() {
        return Ok(Rows { rows, trace, next_marker: None });
    }
    let page = aside(is_much(&rows), move || page.rows(rows, columns.as_deref())).await??;
    Ok(Rows { rows: page.rows, trace, next_marker: page.next_marker })
}

/// Whether work on rows takes so long that others should not wait for it.
pub(super) fn is_much<T: Digested>(rows: &[Vec<T>]) -> bool {
    rows.len() >= MANY || rows.iter().flatten().map(T::size).sum::<usize>() >= LONG
}

/// Does what takes long for many rows where it may.
pub(super) async fn aside<T: Send + 'static>(
    much: bool,
    work: impl FnOnce() -> T + Send + 'static,
) -> Answer<T> {
    if !much {
        return Ok(work());
    }
    tokio::task::spawn_blocking(work).await.map_err(Failure::internal)
}

/// Rows of a datasource as those of policies are.
pub(super) fn cells(rows: Vec<Vec<Value>>) -> Vec<Vec<Cell>> {
    let cell = |value: Value| {
        Cell(match value {
            Value::String(text) => Constant::Text(text.into()),
            Value::Null => Constant::Text("None".into()),
            Value::Bool(true) => Constant::Text("True".into()),
            Value::Bool(false) => Constant::Text("False".into()),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(int), _) => Constant::Int(int.into()),
                (_, Some(int)) => Constant::Int(int.into()),
                _ => Constant::Float(number.as_f64().unwrap_or(f64::NAN)),
            },
            other => Constant::Text(other.to_string().into()),
        })
    };
    rows.into_iter().map(|row| row.into_iter().map(cell).collect()).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn values(rows: Value) -> Vec<Vec<Value>> {
        serde_json::from_value(rows).unwrap()
    }

    #[test]
    fn a_tag_follows_the_set_of_rows() {
        let of = |rows: Value| tag(&cells(values(rows)), None);
        assert_eq!(of(json!([[1, "a"], [2, "b"]])), of(json!([[2, "b"], [1, "a"]])));
        let tags = [
            of(json!([])),
            of(json!([[]])),
            of(json!([[1]])),
            of(json!([[1.0]])),
            of(json!([["1"]])),
            of(json!([["a", "b"]])),
            of(json!([["ab", ""]])),
            of(json!([["a"], ["b"]])),
        ];
        for (at, tag) in tags.iter().enumerate() {
            assert!(!tags[..at].contains(tag), "{tag}");
        }
        let tag = |rows| super::tag(&values(rows), None);
        assert_ne!(tag(json!([["1"]])), tag(json!([[1]])));
    }

    #[test]
    fn what_a_client_has() {
        let has = |value: &str, tag| {
            let mut headers = HeaderMap::new();
            headers.insert(IF_NONE_MATCH, HeaderValue::try_from(value).unwrap());
            super::has(&headers, tag)
        };
        for known in ["W/\"1-a\"", "\"1-a\"", "\"x\", W/\"1-a\"", "*"] {
            assert!(has(known, "W/\"1-a\""), "{known}");
        }
        assert!(!has("\"x\"", "W/\"1-a\"") && !has("", "W/\"1-a\""));
    }
}
