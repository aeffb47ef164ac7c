//! The mapping: where a table's list is, and how it is cut into pages.

use std::collections::BTreeMap;

use congress_driver::mapping::Rows;
use congress_driver::paging::Paging;
use congress_driver::path::Path;
use congress_driver::{Error, Result, pytext};
use serde::Deserialize;
use serde_json::Value as Json;

/// A root table.
#[derive(Clone, Debug, Deserialize)]
#[serde(try_from = "Flat")]
pub(crate) struct Source {
    pub(crate) path: String,
    pub(crate) body: Option<Json>,
    pub(crate) rows: Rows,
    method: Method,
    query: BTreeMap<String, Json>,
    paging: Option<PagingMapping>,
}

/// The same as it is written: the members of [`Rows`] beside the others.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Flat {
    path: String,
    #[serde(default)]
    method: Method,
    #[serde(default)]
    query: BTreeMap<String, Json>,
    body: Option<Json>,
    paging: Option<PagingMapping>,
    #[serde(default)]
    rows: Path,
    columns: Vec<congress_driver::mapping::Column>,
    #[serde(default)]
    children: BTreeMap<String, congress_driver::mapping::Child>,
}

#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
enum Method {
    #[default]
    Get,
    Post,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct PagingMapping {
    style: Style,
    field: Option<Path>,
    parameter: Option<String>,
    first: Option<u64>,
    limit: Option<u64>,
    limit_parameter: Option<String>,
}

#[derive(Clone, Copy, Debug, Deserialize, PartialEq)]
#[serde(rename_all = "kebab-case")]
enum Style {
    LinkHeader,
    NextField,
    RelNext,
    Cursor,
    Marker,
    Offset,
    Page,
}

impl TryFrom<Flat> for Source {
    type Error = String;

    fn try_from(flat: Flat) -> std::result::Result<Self, String> {
        let Flat { path, method, query, body, paging, rows, columns, children } = flat;
        if path.contains("://") {
            return Err(format!("path '{path}' is an address; give what stands below field 'url'"));
        }
        if let Some((name, value)) = query.iter().find(|(_, v)| v.is_array() || v.is_object()) {
            return Err(format!("query parameter '{name}' is no plain value: {value}"));
        }
        Ok(Self { path, method, query, body, paging, rows: Rows { rows, columns, children } })
    }
}

impl Source {
    pub(crate) fn method(&self) -> &'static str {
        match self.method {
            Method::Get => "GET",
            Method::Post => "POST",
        }
    }

    /// Whether all of it is the answer to one GET, which the service may say is what it was.
    pub(crate) fn is_one_document(&self) -> bool {
        matches!(self.method, Method::Get) && self.body.is_none() && self.paging.is_none()
    }

    /// Query parameters of the first request, with that for the size of a page.
    pub(crate) fn query(&self) -> impl Iterator<Item = (&str, String)> {
        let limit = self.paging.as_ref().and_then(|paging| {
            Some((paging.limit_parameter.as_deref()?, paging.limit?.to_string()))
        });
        // JSON's spelling: policies see True, services expect true.
        let text = |value: &Json| match value {
            Json::Bool(_) => value.to_string(),
            other => pytext::text(other),
        };
        let given = self.query.iter().map(move |(name, value)| (name.as_str(), text(value)));
        given.chain(limit)
    }

    /// How pages are found. The error names the table and what its style lacks.
    pub(crate) fn paging(&self, table: &str) -> Result<Paging> {
        let Some(paging) = &self.paging else { return Ok(Paging::None) };
        let style = paging.style;
        let wrong =
            |what: &str| Error::Config(format!("field 'tables', at {table}.paging: {what}"));
        let field = || {
            let field = paging.field.clone().filter(Path::is_single);
            field.ok_or_else(|| wrong("this style needs 'field', the path to one value"))
        };
        let parameter = |default: &str| match (&paging.parameter, default) {
            (Some(name), _) => Ok(name.clone()),
            (None, "") => Err(wrong("this style needs 'parameter', the query parameter to set")),
            (None, default) => Ok(default.to_owned()),
        };
        if paging.field.is_some()
            && matches!(style, Style::LinkHeader | Style::Offset | Style::Page)
        {
            return Err(wrong("this style has no 'field'"));
        }
        let by_link = matches!(style, Style::LinkHeader | Style::NextField | Style::RelNext);
        if by_link && paging.parameter.is_some() {
            return Err(wrong("this style has no 'parameter'"));
        }
        if paging.first.is_some() && style != Style::Page {
            return Err(wrong("only the style 'page' has 'first'"));
        }
        if paging.limit_parameter.is_some() != paging.limit.is_some()
            && !matches!(style, Style::Offset | Style::Page)
        {
            return Err(wrong("'limit' and 'limit_parameter' belong together"));
        }
        if paging.limit == Some(0) {
            return Err(wrong("'limit' must be at least 1"));
        }
        Ok(match style {
            Style::LinkHeader => Paging::LinkHeader,
            Style::NextField => Paging::Link(field()?),
            Style::RelNext => Paging::RelNext(field()?),
            Style::Cursor => Paging::Cursor { token: field()?, parameter: parameter("")? },
            Style::Marker => Paging::Marker { member: field()?, parameter: parameter("marker")? },
            Style::Offset => {
                Paging::Offset { parameter: parameter("offset")?, limit: paging.limit }
            }
            Style::Page => Paging::Page {
                parameter: parameter("page")?,
                first: paging.first.unwrap_or(1),
                limit: paging.limit,
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn source(mut json: Json) -> Source {
        json["columns"] = json!(["name"]);
        serde_json::from_value(json).unwrap()
    }

    #[test]
    fn requests_are_built_from_path_query_and_limit() {
        let source = source(json!({
            "path": "/v1/things?all=yes",
            "query": {"q": "a b", "deep": true, "n": 1.5},
            "paging": {"style": "offset", "limit": 50, "limit_parameter": "size"},
        }));
        let request = source.request("https://h/api/", &[]);
        assert_eq!(request.url, "https://h/api/v1/things?all=yes&deep=true&n=1.5&q=a%20b&size=50");
        assert_eq!(request.method, "GET");
        assert_eq!(
            source.paging("t").unwrap(),
            Paging::Offset { parameter: "offset".into(), limit: Some(50) }
        );
    }

    #[test]
    fn a_datasource_may_ask_for_another_form() {
        let source = source(json!({"path": "simple/"}));
        let accept = |headers: &[(String, String)]| {
            let headers = source.request("http://h", headers).headers;
            headers.into_iter().map(|(_, value)| value).collect::<Vec<_>>()
        };
        assert_eq!(accept(&[]), ["application/json"]);
        let form = "application/vnd.pypi.simple.v1+json";
        assert_eq!(accept(&[("Accept".into(), form.into())]), [form]);
    }

    #[test]
    fn a_query_language_is_posted() {
        let source = source(json!({"path": "search", "method": "POST", "body": {"q": "*"}}));
        let request = source.request("http://h", &[]);
        assert_eq!(
            (request.method.as_str(), request.body.as_deref()),
            ("POST", Some(&b"{\"q\":\"*\"}"[..]))
        );
    }

    #[test]
    fn only_what_is_one_answer_is_asked_for_by_its_version() {
        let is_one = |json: Json| source(json).is_one_document();
        assert!(is_one(json!({"path": "x", "query": {"a": 1}})));
        assert!(!is_one(json!({"path": "x", "method": "POST"})));
        assert!(!is_one(json!({"path": "x", "paging": {"style": "offset"}})));
    }

    #[test]
    fn an_answer_without_the_list_is_an_error() {
        let source = source(json!({"path": "x", "rows": "data.items[*]"}));
        let items = |body: Json| source.items(&body, "http://h/x?key=1").map(|items| items.len());
        assert_eq!(items(json!({"data": {"items": [1, 2]}})).unwrap(), 2);
        assert_eq!(items(json!({"data": {"items": []}})).unwrap(), 0);
        assert_eq!(items(json!({"data": {"items": null}})).unwrap(), 0);
        for body in [json!({"maintenance": 1}), json!({"data": null}), json!([])] {
            let error = items(body).unwrap_err().to_string();
            let text = "GET http://h/x: $.data.items[*] in the answer is missing, not a list";
            assert!(error.contains(text), "{error}");
        }
    }

    #[test]
    fn styles_say_what_they_lack() {
        let cases = [
            (json!({"style": "next-field"}), "needs 'field'"),
            (json!({"style": "next-field", "field": "a[*]"}), "needs 'field'"),
            (json!({"style": "cursor", "field": "next"}), "needs 'parameter'"),
            (json!({"style": "link-header", "parameter": "x"}), "has no 'parameter'"),
            (json!({"style": "page", "field": "x"}), "has no 'field'"),
            (json!({"style": "offset", "first": 1}), "only the style 'page' has 'first'"),
            (json!({"style": "link-header", "limit": 5}), "belong together"),
            (json!({"style": "offset", "limit": 0}), "at least 1"),
        ];
        for (paging, message) in cases {
            let error =
                source(json!({"path": "x", "paging": paging})).paging("things").unwrap_err();
            let Error::Config(text) = error else { panic!("{error:?}") };
            assert!(text.starts_with("field 'tables', at things.paging: "), "{text}");
            assert!(text.contains(message), "{text}");
        }
    }

    #[test]
    fn addresses_and_structures_are_refused() {
        for (json, message) in [
            (json!({"path": "http://elsewhere/", "columns": []}), "is an address"),
            (json!({"path": "x", "query": {"a": [1]}, "columns": []}), "parameter 'a'"),
            (json!({"path": "x", "columns": [], "row": "x"}), "unknown field `row`"),
        ] {
            let error = serde_json::from_value::<Source>(json).unwrap_err().to_string();
            assert!(error.contains(message), "{error}");
        }
    }
}
