//! Pages, filters and order of lists and rows. An extension: without these parameters lists and
//! rows are what they always were.

use std::cmp::Ordering;

use axum::extract::FromRequestParts;
use axum::response::{IntoResponse, Response};
use congress_policy::ast::Constant;
use http::StatusCode;
use http::request::Parts;
use serde::Serialize;
use serde_json::{Value, json};

use super::answer::{self, Collection};
use super::json_text::Layout;
use crate::engine::{Cell, row_of};
use crate::failure::{Answer, Failure, Status};

/// The most members of a page.
const MAX_LIMIT: usize = 1_000_000;

/// The most filters and keys to sort by.
const MAX_KEYS: usize = 32;

/// What a request's query asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Page {
    limit: Option<usize>,
    marker: Option<String>,
    /// Keys and whether they go down.
    sort: Vec<(String, bool)>,
    /// Keys and values.
    filters: Vec<(String, String)>,
}

/// The rows of a page.
pub(super) struct PageOfRows {
    pub(super) rows: Vec<Vec<Cell>>,
    /// Of a page that was asked for: what follows it, if anything does.
    pub(super) next_marker: Option<Option<String>>,
}

impl<S: Send + Sync> FromRequestParts<S> for Page {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Answer<Self> {
        Self::of(parts.uri.query())
    }
}

impl Page {
    /// Reads a query. Parameters of other names are somebody else's, or nobody's.
    pub(super) fn of(query: Option<&str>) -> Answer<Self> {
        let mut page = Self::default();
        for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
            match &*key {
                "limit" => {
                    let limit = value.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
                    page.limit = Some(limit.ok_or_else(|| {
                        bad(format!("limit must be a number from 1 to {MAX_LIMIT}, not '{value}'"))
                    })?);
                }
                "marker" => page.marker = Some(value.into_owned()),
                "sort" => {
                    for key in value.split(',').filter(|key| !key.is_empty()) {
                        page.sort.push(match key.rsplit_once(':') {
                            Some((key, "desc")) => (key.to_owned(), true),
                            Some((key, "asc")) => (key.to_owned(), false),
                            _ => (key.to_owned(), false),
                        });
                    }
                }
                key => {
                    if let Some(key) = key.strip_prefix("filter.") {
                        page.filters.push((key.to_owned(), value.into_owned()));
                    }
                }
            }
        }
        match page.sort.len() + page.filters.len() {
            0..=MAX_KEYS => Ok(page),
            _ => Err(bad(format!("at most {MAX_KEYS} filters and keys to sort by"))),
        }
    }

    /// Whether anything is asked for.
    pub(super) fn is_plain(&self) -> bool {
        *self == Self::default()
    }

    fn is_paged(&self) -> bool {
        self.limit.is_some() || self.marker.is_some()
    }

    /// The page of a list whose members have an `id`.
    pub(super) fn list<T: Serialize>(&self, members: Vec<T>) -> Answer<Response> {
        if self.is_plain() {
            return Ok(Collection(members).into_response());
        }
        let members = members.iter().map(serde_json::to_value).collect::<Result<Vec<_>, _>>();
        let mut members = members.map_err(Failure::internal)?;
        members.retain(|member| {
            self.filters
                .iter()
                .all(|(key, value)| member.get(key).is_some_and(|member| is(member, value)))
        });
        // Stable: members that are equal keep the list's own order.
        members.sort_by(|a, b| {
            let by = |(key, down): &(String, bool)| {
                let order = compare(a.get(key), b.get(key));
                if *down { order.reverse() } else { order }
            };
            self.sort.iter().map(by).find(|order| order.is_ne()).unwrap_or(Ordering::Equal)
        });
        if let Some(marker) = &self.marker {
            let at = members.iter().position(|member| member["id"] == marker.as_str());
            let at = at.ok_or_else(|| bad(format!("marker '{marker}' is no id of this list")))?;
            members.drain(..=at);
        }
        let more = self.limit.is_some_and(|limit| limit < members.len());
        members.truncate(self.limit.unwrap_or(usize::MAX));
        if !self.is_paged() {
            return Ok(Collection(members).into_response());
        }
        let next = members.last().filter(|_| more).map(|member| member["id"].clone());
        let body = json!({ "results": members, "next_marker": next });
        Ok(answer::json(StatusCode::OK, &body, Layout::Indented(0)))
    }

    /// The page of a table's rows, whose columns may have names.
    pub(super) fn rows(
        &self,
        mut rows: Vec<Vec<Cell>>,
        columns: Option<&[String]>,
    ) -> Answer<PageOfRows> {
        // Rows that were pushed need not be as wide as others of their table.
        let width = rows.iter().map(Vec::len).max().unwrap_or(usize::MAX);
        let column = |key: &str| {
            let named = columns.and_then(|names| names.iter().position(|name| name == key));
            let found = named.or_else(|| key.parse().ok()).filter(|column| *column < width);
            found.ok_or_else(|| bad(format!("the table has no column '{key}'")))
        };
        let filters = self.filters.iter().map(|(key, value)| Ok((column(key)?, value)));
        let filters = filters.collect::<Answer<Vec<_>>>()?;
        let sort = self.sort.iter().map(|(key, down)| Ok((column(key)?, *down)));
        let sort = sort.collect::<Answer<Vec<_>>>()?;

        rows.retain(|row| {
            filters.iter().all(|(at, value)| row.get(*at).is_some_and(|cell| cell_is(cell, value)))
        });
        if !self.is_paged() && sort.is_empty() {
            return Ok(PageOfRows { rows, next_marker: None });
        }
        let order = |a: &[Cell], b: &[Cell]| {
            let by = |(at, down): &(usize, bool)| {
                let order = match (a.get(*at), b.get(*at)) {
                    (Some(a), Some(b)) => compare_cells(a, b),
                    (a, b) => a.is_some().cmp(&b.is_some()),
                };
                if *down { order.reverse() } else { order }
            };
            let first = sort.iter().map(by).find(|order| order.is_ne());
            let rest = || a.iter().zip(b).map(|(a, b)| compare_cells(a, b));
            let first = first.or_else(|| rest().find(|order| order.is_ne()));
            first.unwrap_or_else(|| a.len().cmp(&b.len()))
        };
        if let Some(marker) = &self.marker {
            let marker = row_of(marker).map_err(|error| bad(format!("marker: {error}")))?;
            let cell = |cell: Option<_>| Cell(cell.unwrap_or(Constant::Float(f64::NAN)));
            let marker: Vec<Cell> = marker.into_iter().map(cell).collect();
            rows.retain(|row| order(row, &marker).is_gt());
        }
        let more = self.limit.is_some_and(|limit| limit < rows.len());
        if let Some(limit) = self.limit.filter(|_| more) {
            // Only what is sent is put in order.
            rows.select_nth_unstable_by(limit, |a, b| order(a, b));
            rows.truncate(limit);
        }
        rows.sort_unstable_by(|a, b| order(a, b));
        let last = rows.last().filter(|_| more).map(|row| marker(row));
        let last = last.transpose().map_err(Failure::internal)?;
        Ok(PageOfRows { rows, next_marker: self.is_paged().then_some(last) })
    }
}

/// A row as a marker: what JSON has no words for as [`row_of`] reads it, and `null` for NaN.
fn marker(row: &[Cell]) -> serde_json::Result<String> {
    let cells = row.iter().map(|cell| match cell.0 {
        Constant::Float(float) if float.is_nan() => Ok("null".to_owned()),
        Constant::Float(f64::INFINITY) => Ok("1e999".to_owned()),
        Constant::Float(f64::NEG_INFINITY) => Ok("-1e999".to_owned()),
        _ => serde_json::to_string(cell),
    });
    Ok(format!("[{}]", cells.collect::<Result<Vec<_>, _>>()?.join(",")))
}

fn bad(text: String) -> Failure {
    Failure::plain(Status::BadRequest, text)
}

/// Whether a member's value is what a filter says.
fn is(member: &Value, wanted: &str) -> bool {
    match member {
        Value::String(text) => text == wanted,
        other => *wanted == *other.to_string(),
    }
}

fn cell_is(Cell(cell): &Cell, wanted: &str) -> bool {
    match cell {
        Constant::Text(text) => &**text == wanted,
        Constant::Int(int) => wanted.parse().is_ok_and(|wanted| *int == wanted),
        Constant::Float(float) => wanted.parse() == Ok(*float),
    }
}

/// Absent and null first, then booleans, numbers, texts, and the rest by their text.
fn compare(a: Option<&Value>, b: Option<&Value>) -> Ordering {
    let rank = |value: Option<&Value>| match value {
        None | Some(Value::Null) => 0,
        Some(Value::Bool(_)) => 1,
        Some(Value::Number(_)) => 2,
        Some(Value::String(_)) => 3,
        Some(_) => 4,
    };
    rank(a).cmp(&rank(b)).then_with(|| match (a, b) {
        (Some(Value::Bool(a)), Some(Value::Bool(b))) => a.cmp(b),
        (Some(Value::Number(a)), Some(Value::Number(b))) => {
            let number = |n: &serde_json::Number| n.as_f64().unwrap_or_default();
            number(a).total_cmp(&number(b))
        }
        (Some(Value::String(a)), Some(Value::String(b))) => a.cmp(b),
        (Some(a), Some(b)) => a.to_string().cmp(&b.to_string()),
        _ => Ordering::Equal,
    })
}

/// Numbers by value, whole ones before others of the same value, then texts.
fn compare_cells(Cell(a): &Cell, Cell(b): &Cell) -> Ordering {
    use Constant::{Float, Int, Text};
    let double = |constant: &Constant| match constant {
        Int(int) => match i64::try_from(int) {
            #[expect(clippy::cast_precision_loss, reason = "equal doubles are told apart below")]
            Ok(int) => int as f64,
            Err(_) => int.to_string().parse().unwrap_or(f64::NAN),
        },
        Float(float) => *float,
        Text(_) => f64::NAN,
    };
    match (a, b) {
        (Text(a), Text(b)) => a.cmp(b),
        (Text(_), _) => Ordering::Greater,
        (_, Text(_)) => Ordering::Less,
        (Int(a), Int(b)) => a.cmp(b),
        (a, b) => {
            double(a).total_cmp(&double(b)).then(matches!(a, Float(_)).cmp(&matches!(b, Float(_))))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(texts: &[&str]) -> Vec<Vec<Cell>> {
        let row = |text: &&str| row_of(text).unwrap().into_iter().flatten().map(Cell).collect();
        texts.iter().map(row).collect()
    }

    fn paged(query: &str, all: &[&str]) -> Answer<(Vec<String>, Option<Option<String>>)> {
        let names = ["id".to_owned(), "size".to_owned()];
        let page = Page::of(Some(query))?.rows(rows(all), Some(&names))?;
        let text = |row| serde_json::to_string(row).unwrap();
        Ok((page.rows.iter().map(text).collect(), page.next_marker))
    }

    const ROWS: [&str; 5] =
        [r#"["b",2]"#, r#"["a",10]"#, r#"["c",2.0]"#, r#"["a",9]"#, r#"["a","x"]"#];

    #[test]
    fn pages_of_rows_cover_the_table_once_in_order() {
        let (mut seen, mut query) = (Vec::new(), "limit=2&sort=1:desc".to_owned());
        loop {
            let (rows, next) = paged(&query, &ROWS).unwrap();
            seen.extend(rows);
            let Some(marker) = next.unwrap() else { break };
            let marker: String = form_urlencoded::byte_serialize(marker.as_bytes()).collect();
            query = format!("limit=2&sort=size:desc&marker={marker}");
        }
        let expected = [r#"["a","x"]"#, r#"["a",10]"#, r#"["a",9]"#, r#"["c",2.0]"#, r#"["b",2]"#];
        assert_eq!(seen, expected);
    }

    #[test]
    fn pages_go_on_after_what_json_has_no_words_for() {
        let float = |float| vec![Cell(Constant::Float(float))];
        let text = vec![Cell(Constant::Text("inf".into()))];
        let rows = [f64::NEG_INFINITY, 1.5, f64::INFINITY, f64::NAN].map(float);
        let rows: Vec<_> = rows.into_iter().chain([text]).collect();
        let (mut seen, mut query) = (Vec::new(), "limit=1".to_owned());
        loop {
            let page = Page::of(Some(&query)).unwrap().rows(rows.clone(), None).unwrap();
            seen.extend(page.rows.iter().map(|row| format!("{row:?}")));
            let Some(marker) = page.next_marker.unwrap() else { break };
            let marker: String = form_urlencoded::byte_serialize(marker.as_bytes()).collect();
            query = format!("limit=1&marker={marker}");
        }
        let expected: Vec<_> = rows.iter().map(|row| format!("{row:?}")).collect();
        assert_eq!(seen, expected);
    }

    #[test]
    fn rows_of_unequal_width_are_in_pages_too() {
        let ragged = ["[5]", "[1,2]", "[]", "[1]", "[0]", "[1,2,3]"];
        for (sort, expected) in [
            ("", ["[]", "[0]", "[1]", "[1,2]", "[1,2,3]", "[5]"]),
            ("&sort=1:desc", ["[1,2]", "[1,2,3]", "[]", "[0]", "[1]", "[5]"]),
        ] {
            let (mut seen, mut marker) = (Vec::new(), String::new());
            loop {
                let (rows, next) = paged(&format!("limit=1{sort}{marker}"), &ragged).unwrap();
                seen.extend(rows);
                let Some(next) = next.unwrap() else { break };
                marker = format!("&marker={next}");
            }
            assert_eq!(seen, expected);
        }
        assert_eq!(paged("filter.2=3", &ragged).unwrap().0, ["[1,2,3]"]);
        assert_eq!(paged("filter.1=2", &ragged).unwrap().0, ["[1,2]", "[1,2,3]"]);
        assert_eq!(paged("filter.3=2", &ragged).unwrap_err().code, 400);
    }

    #[test]
    fn filters_of_rows() {
        let kept = |query| paged(query, &ROWS).unwrap();
        assert_eq!(kept("filter.0=a&filter.size=9"), (vec![r#"["a",9]"#.to_owned()], None));
        // As the number, however it is written.
        assert_eq!(kept("filter.1=2").0, [r#"["b",2]"#, r#"["c",2.0]"#]);
        assert_eq!(kept("filter.1=x").0, [r#"["a","x"]"#]);
        assert_eq!(kept("filter.1=y&limit=3"), (vec![], Some(None)));
        for query in ["filter.2=a", "sort=colour", "marker=7", "limit=0", "limit=x"] {
            assert_eq!(paged(query, &ROWS).unwrap_err().code, 400, "{query}");
        }
        // Nothing is known of an empty table's width.
        assert_eq!(paged("filter.7=a&marker=[1]&limit=1", &[]), Ok((vec![], Some(None))));
    }

    #[test]
    fn other_parameters_are_not_ours() {
        let page = Page::of(Some("trace=true&unknown=1&name=x")).unwrap();
        assert!(page.is_plain());
        let many = format!("sort={}", "a,".repeat(MAX_KEYS + 1));
        assert_eq!(Page::of(Some(&many)).unwrap_err().code, 400);
    }

    async fn listed(query: &str) -> Answer<Value> {
        let members = vec![
            json!({"id": "1", "name": "b", "enabled": true}),
            json!({"id": "2", "name": "a", "enabled": false}),
            json!({"id": "3", "name": "a", "enabled": true}),
        ];
        let response = Page::of(Some(query))?.list(members)?;
        let body = axum::body::to_bytes(response.into_body(), usize::MAX).await.unwrap();
        Ok(serde_json::from_slice(&body).unwrap())
    }

    #[tokio::test]
    async fn pages_of_lists() {
        let ids = |value: &Value| -> Vec<String> {
            let members = value["results"].as_array().unwrap().iter();
            members.map(|member| member["id"].as_str().unwrap().to_owned()).collect()
        };
        let all = listed("").await.unwrap();
        assert_eq!((ids(&all).len(), all.get("next_marker")), (3, None));
        let first = listed("sort=name,id:desc&limit=2").await.unwrap();
        assert_eq!(
            (ids(&first), &first["next_marker"]),
            (vec!["3".into(), "2".into()], &json!("2"))
        );
        let last = listed("sort=name,id:desc&limit=2&marker=2").await.unwrap();
        assert_eq!((ids(&last), &last["next_marker"]), (vec!["1".into()], &Value::Null));
        assert_eq!(ids(&listed("filter.enabled=true&filter.name=a").await.unwrap()), ["3"]);
        assert!(ids(&listed("filter.colour=red").await.unwrap()).is_empty());
        assert_eq!(listed("marker=9").await.unwrap_err().code, 400);
    }
}
