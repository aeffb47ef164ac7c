//! The description of the API as OpenAPI 3.1, made of the table of routes.

mod schemas;

use std::sync::LazyLock;

use axum::body::Body;
use axum::response::Response;
use bytes::Bytes;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde_json::{Map, Value, json};

use super::body::MERGE_PATCH;
use super::routes::{Resource, resources};

/// What can be done with a resource.
pub(super) struct Operation {
    /// In lower case.
    pub(super) method: &'static str,
    pub(super) doc: Doc,
}

/// What is said of an operation.
pub(super) struct Doc {
    id: &'static str,
    summary: &'static str,
    /// Names of parameters in the query, and what they mean.
    parameters: Vec<(&'static str, &'static str)>,
    /// The values of `action`, if it needs one.
    actions: &'static [&'static str],
    pages: bool,
    /// The schema of the body.
    body: Option<&'static str>,
    success: Success,
    errors: &'static [u16],
}

/// What a success looks like.
enum Success {
    /// There is none.
    Never,
    /// 200 without a body.
    Nothing,
    /// 200 with one thing of this schema.
    Element(&'static str),
    /// 201 with one thing of this schema.
    Created(&'static str),
    /// 200 with a list of things of this schema.
    List(&'static str),
    /// 200 with rows, or 304.
    Rows,
    /// 200 with events.
    Events,
}

/// Begins to describe an operation.
pub(super) fn doc(id: &'static str, summary: &'static str) -> Doc {
    Doc {
        id,
        summary,
        parameters: Vec::new(),
        actions: &[],
        pages: false,
        body: None,
        success: Success::Never,
        errors: &[],
    }
}

impl Doc {
    pub(super) fn summary(&self) -> &'static str {
        self.summary
    }

    pub(super) fn actions(&self) -> &'static [&'static str] {
        self.actions
    }

    pub(super) fn asks(mut self, parameter: &'static str, meaning: &'static str) -> Self {
        self.parameters.push((parameter, meaning));
        self
    }

    pub(super) fn acts(self, actions: &'static [&'static str]) -> Self {
        Self { actions, ..self }
    }

    pub(super) fn takes(self, schema: &'static str) -> Self {
        Self { body: Some(schema), ..self }
    }

    pub(super) fn answers(self, schema: &'static str) -> Self {
        Self { success: Success::Element(schema), ..self }
    }

    pub(super) fn answers_nothing(self) -> Self {
        Self { success: Success::Nothing, ..self }
    }

    pub(super) fn creates(self, schema: &'static str) -> Self {
        Self { success: Success::Created(schema), ..self }
    }

    /// A list that can be had in pages.
    pub(super) fn lists(self, schema: &'static str) -> Self {
        let errors = if self.errors.is_empty() { &[400] } else { self.errors };
        Self { success: Success::List(schema), pages: true, errors, ..self }
    }

    /// A list that is given as a whole, or has parameters of its own.
    pub(super) fn gives(self, schema: &'static str) -> Self {
        Self { success: Success::List(schema), ..self }
    }

    pub(super) fn gives_rows(self) -> Self {
        Self { success: Success::Rows, pages: true, ..self }
    }

    pub(super) fn streams(self) -> Self {
        Self { success: Success::Events, ..self }
    }

    pub(super) fn fails(self, errors: &'static [u16]) -> Self {
        Self { errors, ..self }
    }
}

const JSON: &str = "application/json";

/// What each variable part of a path is.
const NAMES: [(&str, &str); 8] = [
    ("p", "Name or id of a policy"),
    ("r", "Id of a rule"),
    ("t", "Name of a table; those of other policies with their policy, as `nova:servers`"),
    ("l", "Id or name of a policy of the library"),
    ("d", "Name or id of a datasource"),
    ("a", "Id of an action"),
    ("driver", "Id of a driver"),
    ("row", "Rows have no ids"),
];

/// Parameters of lists and rows that can be had in pages.
const PAGES: [(&str, &str); 3] = [
    ("limit", "So many at most"),
    ("marker", "Those after this one: an id of the list, or a row as a JSON array"),
    ("sort", "Keys or columns to order by, separated by commas; `:desc` behind one turns it round"),
];

/// A header that every request may bring: its parameter's name among the components, its own, and
/// what it means.
const REVISION: (&str, &str, &str) = (
    "Revision",
    "X-Congress-Revision",
    "As an answer gave it: the request is answered by no earlier state",
);

/// One that those for rows may bring.
const TAG: (&str, &str, &str) =
    ("Tag", "If-None-Match", "The ETag of an answer: 304 if the rows are still those");

/// The whole description.
pub fn description() -> Value {
    let mut paths = Map::new();
    for resource in resources().iter().filter(|resource| !resource.operations.is_empty()) {
        paths.insert(resource.path.to_owned(), path_item(resource));
    }
    json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Congress",
            "description": "Policy as a service. Errors have an `error` object; every answer below \
                            /v1 carries `X-Openstack-Request-Id` and, once the node is loaded, \
                            `X-Congress-Revision`. Lists and rows take `filter.KEY=VALUE` for \
                            any key or column besides the parameters listed.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
            "version": env!("CARGO_PKG_VERSION"),
        },
        "paths": paths,
        "components": {
            "schemas": schemas::all(),
            "parameters": {
                (REVISION.0): header(REVISION, &json!({"type": "integer", "minimum": 0})),
                (TAG.0): header(TAG, &json!({"type": "string"})),
            },
            "securitySchemes": {
                "token": {"type": "apiKey", "in": "header", "name": "X-Auth-Token"},
            },
        },
        "security": [{}, {"token": []}],
    })
}

/// `GET /v1/openapi.json`
pub(super) async fn serve() -> Response {
    static TEXT: LazyLock<Bytes> = LazyLock::new(|| format!("{:#}\n", description()).into());
    let mut response = Response::new(Body::from(TEXT.clone()));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(JSON));
    response
}

fn path_item(resource: &Resource) -> Value {
    let mut item = Map::new();
    let names = NAMES
        .iter()
        .filter(|(name, _)| resource.path.contains(&format!("{{{name}}}")))
        .map(|(name, meaning)| {
            json!({
                "name": name, "in": "path", "required": true, "description": meaning,
                "schema": {"type": "string", "minLength": 1},
            })
        });
    let parameters: Vec<Value> = names.chain([parameter(REVISION)]).collect();
    item.insert("parameters".to_owned(), parameters.into());
    for Operation { method, doc } in &resource.operations {
        let mut operation = operation(method, doc);
        if let Success::Rows = doc.success
            && let Some(Value::Array(parameters)) = operation.get_mut("parameters")
        {
            parameters.push(parameter(TAG));
        }
        item.insert((*method).to_owned(), operation);
    }
    item.into()
}

fn header((_, name, meaning): (&str, &str, &str), schema: &Value) -> Value {
    json!({ "name": name, "in": "header", "description": meaning, "schema": schema })
}

/// Refers to a parameter that many operations have.
fn parameter((component, ..): (&str, &str, &str)) -> Value {
    json!({ "$ref": format!("#/components/parameters/{component}") })
}

fn operation(method: &str, doc: &Doc) -> Value {
    let mut parameters = Vec::new();
    if !doc.actions.is_empty() {
        parameters.push(json!({
            "name": "action", "in": "query", "required": true,
            "schema": {"type": "string", "enum": doc.actions},
        }));
    }
    let pages = if doc.pages { &PAGES[..] } else { &[] };
    for (name, meaning) in doc.parameters.iter().chain(pages) {
        let schema = match *name {
            "limit" => json!({"type": "integer", "minimum": 1, "maximum": 1_000_000}),
            _ => json!({"type": "string"}),
        };
        parameters.push(json!({
            "name": name, "in": "query", "description": meaning, "schema": schema,
        }));
    }
    let mut object = json!({ "operationId": doc.id, "summary": doc.summary });
    if !parameters.is_empty() {
        object["parameters"] = parameters.into();
    }
    if let Some(schema) = doc.body {
        let mut content = json!({ JSON: {"schema": reference(schema)} });
        if method == "patch" {
            content[MERGE_PATCH] = content[JSON].clone();
        }
        object["requestBody"] = json!({ "required": true, "content": content });
    }
    object["responses"] = responses(doc).into();
    object
}

fn responses(doc: &Doc) -> Map<String, Value> {
    let content = |schema: Value| json!({ JSON: {"schema": schema} });
    let ok = |schema: Value| ("200", json!({ "description": "OK", "content": content(schema) }));
    let mut success = match doc.success {
        Success::Never => Vec::new(),
        Success::Nothing => vec![("200", json!({ "description": "Done" }))],
        Success::Element(schema) => vec![ok(reference(schema))],
        Success::Created(schema) => vec![(
            "201",
            json!({
                "description": "Created",
                "headers": {"Location": {"schema": {"type": "string"}}},
                "content": content(reference(schema)),
            }),
        )],
        Success::List(schema) => vec![ok(list(reference(schema), doc.pages))],
        Success::Rows => {
            let tag = json!({ "ETag": {"schema": {"type": "string"}} });
            let (status, mut rows) = ok(reference("Rows"));
            rows["headers"] = tag;
            vec![
                (status, rows),
                ("304", json!({ "description": "The rows are those of If-None-Match" })),
            ]
        }
        Success::Events => vec![(
            "200",
            json!({
                "description": "Events for as long as the client listens",
                "content": {"text/event-stream": {"schema": {"type": "string"}}},
            }),
        )],
    };
    let error = |description: &str| json!({ "description": description, "content": content(reference("Error")) });
    let words = |status: u16| match status {
        400 => "The request is malformed, or what it asks for is refused",
        404 => "There is no such thing",
        409 => "It is there already",
        501 => "Not supported",
        _ => "An error",
    };
    let mut all: Map<String, Value> =
        success.drain(..).map(|(status, value)| (status.to_owned(), value)).collect();
    for status in doc.errors {
        all.insert(status.to_string(), error(words(*status)));
    }
    all.insert("default".to_owned(), error("Any other error"));
    all
}

fn list(items: Value, pages: bool) -> Value {
    let mut schema = json!({
        "type": "object",
        "required": ["results"],
        "properties": {"results": {"type": "array", "items": items}},
    });
    if pages {
        schema["properties"]["next_marker"] = json!({
            "type": ["string", "null"],
            "description": "Only of a page: the marker of the next one, if there is one",
        });
    }
    schema
}

fn reference(schema: &str) -> Value {
    json!({ "$ref": format!("#/components/schemas/{schema}") })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// All schemas that a value refers to.
    fn references(value: &Value, found: &mut BTreeSet<String>) {
        match value {
            Value::Object(members) => {
                for (key, value) in members {
                    match value.as_str().and_then(|text| text.strip_prefix("#/components/schemas/"))
                    {
                        Some(name) if key == "$ref" => drop(found.insert(name.to_owned())),
                        _ => references(value, found),
                    }
                }
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }

    #[test]
    fn every_schema_is_there_and_used() {
        let description = description();
        let mut used = BTreeSet::new();
        references(&description, &mut used);
        let schemas = description["components"]["schemas"].as_object().unwrap();
        let there: BTreeSet<String> = schemas.keys().cloned().collect();
        assert_eq!(used, there);
    }

    #[test]
    fn headers_are_declared_where_they_apply() {
        for (path, item) in description()["paths"].as_object().unwrap() {
            for (key, value) in item.as_object().unwrap() {
                let none = json!([]);
                // Those of all operations, or of this one.
                let of = if key == "parameters" { Some(value) } else { value.get("parameters") };
                let parameters = of.unwrap_or(&none).as_array().unwrap();
                let takes = |header| parameters.contains(&parameter(header));
                assert_eq!(takes(REVISION), key == "parameters", "{key} {path}");
                assert_eq!(takes(TAG), key == "get" && path.ends_with("/rows"), "{key} {path}");
            }
        }
    }

    #[test]
    fn operations_have_ids_of_their_own_and_paths_are_explained() {
        let mut ids = BTreeSet::new();
        for resource in resources() {
            for operation in &resource.operations {
                assert!(ids.insert(operation.doc.id), "{}", operation.doc.id);
            }
            for name in resource.path.split(['{', '}']).skip(1).step_by(2) {
                assert!(NAMES.iter().any(|(known, _)| *known == name), "{name}");
            }
        }
        assert!(ids.len() > 30);
    }

    /// `CONGRESS_UPDATE_GOLDEN=1 cargo test -p congress-server openapi` writes it anew.
    #[test]
    fn the_golden_file_is_current() {
        let file = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/openapi.json");
        let text = format!("{:#}\n", description());
        if std::env::var_os("CONGRESS_UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(golden == text, "docs/openapi.json is not what the code says");
    }
}
