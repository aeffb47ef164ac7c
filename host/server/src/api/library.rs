//! The policy library.

use axum::extract::{RawQuery, State};
use axum::response::Response;
use congress_store::{LibraryPolicy, LibraryRule, NewLibraryPolicy};
use serde::Serialize;
use serde_json::Value;

use super::App;
use super::action::parameter;
use super::answer::{Created, Element};
use super::body::Json;
use super::page::Page;
use super::path::{Address, Path};
use super::schema;
use crate::failure::{Answer, Failure};

/// A policy of the library as clients see it.
#[derive(Serialize)]
pub(super) struct LibraryObject {
    id: String,
    name: String,
    abbreviation: String,
    description: String,
    kind: String,
    /// Left out where they are not wanted.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<LibraryRule>>,
}

impl LibraryObject {
    fn new(policy: LibraryPolicy, with_rules: bool) -> Self {
        let LibraryPolicy { id, name, abbreviation, description, kind, rules } = policy;
        Self { id, name, abbreviation, description, kind, rules: with_rules.then_some(rules) }
    }
}

/// Only the word turns rules off.
fn with_rules(query: Option<&str>) -> bool {
    !parameter(query, "include_rules").any(|value| value.eq_ignore_ascii_case("false"))
}

pub(super) async fn list(
    State(app): State<App>,
    RawQuery(query): RawQuery,
    page: Page,
) -> Answer<Response> {
    let query = query.as_deref();
    let mut policies = app.library.list().await?;
    if let Some(name) = parameter(query, "name").next() {
        policies.retain(|policy| policy.name == name);
    }
    let with_rules = with_rules(query);
    page.list(policies.into_iter().map(|policy| LibraryObject::new(policy, with_rules)).collect())
}

pub(super) async fn show(
    State(app): State<App>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Answer<Element<LibraryObject>> {
    let policy = app.library.get(&id).await?;
    Ok(Element(LibraryObject::new(policy, with_rules(query.as_deref()))))
}

pub(super) async fn create(
    State(app): State<App>,
    address: Address,
    Json(body): Json,
) -> Answer<Created<LibraryObject>> {
    let policy = app.library.create(policy(body)?).await?;
    let body = LibraryObject::new(policy, true);
    Ok(Created { location: address.member(&body.id), body })
}

pub(super) async fn replace(
    State(app): State<App>,
    Path(id): Path<String>,
    Json(body): Json,
) -> Answer<Element<LibraryObject>> {
    let policy = app.library.replace(&id, policy(body)?).await?;
    Ok(Element(LibraryObject::new(policy, true)))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
) -> Answer<Element<LibraryObject>> {
    Ok(Element(LibraryObject::new(app.library.delete(&id).await?, true)))
}

/// A policy for the library: held against the schema of policies with rules.
fn policy(body: Value) -> Answer<NewLibraryPolicy> {
    schema::check_policy_with_rules(&body)?;
    // What follows takes what the schema has found to be there and to be text.
    let text = |key: &str| body[key].as_str().map(str::to_owned);
    let rules = serde_json::from_value(body["rules"].clone()).map_err(Failure::internal)?;
    let name = text("name").unwrap_or_default();
    Ok(NewLibraryPolicy {
        abbreviation: text("abbreviation").unwrap_or_else(|| name.chars().take(5).collect()),
        description: text("description").unwrap_or_default(),
        kind: text("kind").unwrap_or_else(|| "nonrecursive".to_owned()),
        name,
        rules,
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn defaults() {
        let policy = policy(json!({"name": "abcdefg", "rules": [{"rule": "p(("}]})).unwrap();
        assert_eq!((&*policy.abbreviation, &*policy.kind), ("abcde", "nonrecursive"));
        assert_eq!(serde_json::to_value(policy.rules).unwrap(), json!([{"rule": "p(("}]));
        assert_eq!(super::policy(json!([])).unwrap_err().code, 400);
    }

    #[test]
    fn only_false_turns_rules_off() {
        assert!(with_rules(None) && with_rules(Some("include_rules=0")));
        assert!(!with_rules(Some("include_rules=False")));
    }
}
