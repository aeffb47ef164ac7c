//! Rules of policies.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use congress_store::{NewRule, Rule};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::App;
use super::answer::{Created, Element};
use super::body::{Json, Patch};
use super::page::Page;
use super::path::{Address, Path};
use super::{detail, warnings};
use crate::engine::{EngineHandle, RulePatch};
use crate::failure::{Answer, Failure, Named, Status};

/// The longest name or comment, in characters.
const MAX_TEXT: usize = 255;

/// The most rules of one request.
const MAX_RULES: usize = 10_000;

/// A rule as clients see it. They count on all four keys.
#[derive(Serialize)]
pub(super) struct RuleObject {
    rule: String,
    id: String,
    comment: String,
    name: Option<String>,
}

impl From<Rule> for RuleObject {
    fn from(rule: Rule) -> Self {
        Self { rule: rule.rule, id: rule.id, comment: rule.comment, name: rule.name }
    }
}

pub(super) async fn list(
    State(app): State<App>,
    Path(policy): Path<String>,
    page: Page,
) -> Answer<Response> {
    let rules = app.engine.rules(&policy).await?;
    page.list(rules.into_iter().map(RuleObject::from).collect())
}

/// Inserts a rule, or several: all or none. Only these answers lay rules out; all others give them
/// as posted.
pub(super) async fn create(
    State(app): State<App>,
    address: Address,
    Path(policy): Path<String>,
    Json(mut body): Json,
) -> Answer<Response> {
    if body.get("rule").is_none()
        && let Some(rules) = body.get_mut("rules").map(Value::take)
    {
        let rules = app.engine.insert_rules(&policy, &new_rules(rules)?).await?;
        let warnings = of_each(&app, rules.iter().map(|rule| rule.rule.as_str()));
        let results: Vec<_> = rules.into_iter().map(laid_out).collect();
        let created = Created { location: address.itself(), body: json!({ "results": results }) };
        return Ok(warnings::beside(created.into_response(), &warnings));
    }
    let rule = app.engine.insert_rule(&policy, new_rule(body)?).await?;
    let warnings = app.engine.warnings(&rule.rule);
    let object = laid_out(rule);
    let created = Created { location: address.member(&object.id), body: object };
    Ok(warnings::beside(created.into_response(), &warnings))
}

/// The warnings for several rules, each with the index of its rule.
pub(super) fn of_each<'r>(app: &App, rules: impl Iterator<Item = &'r str>) -> Vec<String> {
    let told = |(index, rule)| {
        let warnings = app.engine.warnings(rule).into_iter();
        warnings.map(move |warning| format!("rule {index}: {warning}"))
    };
    rules.enumerate().flat_map(told).collect()
}

fn laid_out(rule: Rule) -> RuleObject {
    let mut object = RuleObject::from(rule);
    object.rule = EngineHandle::pretty(&object.rule);
    object
}

pub(super) async fn show(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
) -> Answer<Element<RuleObject>> {
    Ok(Element(app.engine.rule(&policy, &rule).await?.into()))
}

/// What is given changes, the rest stays. A rule that is not there is told before what is wrong
/// with the body.
pub(super) async fn patch(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
    Patch { body, .. }: Patch,
) -> Answer<Response> {
    app.engine.rule(&policy, &rule).await?;
    let rule = app.engine.update_rule(&policy, &rule, changes(body)?).await?;
    let warnings = app.engine.warnings(&rule.rule);
    Ok(warnings::beside(Element(RuleObject::from(rule)).into_response(), &warnings))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
) -> Answer<Element<RuleObject>> {
    Ok(Element(app.engine.delete_rule(&policy, &rule).await?.into()))
}

/// What the original showed, and why the rule has no effect; with `?detail=true` warnings too.
pub(super) async fn status(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
    RawQuery(query): RawQuery,
) -> Answer<Element<Value>> {
    const PLAIN: [&str; 5] = ["id", "comment", "original_str", "name", "error"];
    let status = app.engine.rule_status(&policy, &rule).await?;
    let status = serde_json::to_value(status).map_err(Failure::internal)?;
    Ok(Element(detail::shown(status, query.as_deref(), &PLAIN)))
}

/// Several rules. What is wrong with one is told with its index.
fn new_rules(rules: Value) -> Answer<Vec<NewRule>> {
    let Value::Array(rules) = rules else {
        return Err(bad("The key 'rules' must be an array of rules."));
    };
    if rules.is_empty() || rules.len() > MAX_RULES {
        return Err(bad(format_args!("Between 1 and {MAX_RULES} rules can be inserted at once.")));
    }
    let rule = |(index, rule)| {
        new_rule(rule).map_err(|failure| failure.with_data(json!({ "index": index })))
    };
    rules.into_iter().enumerate().map(rule).collect()
}

fn changes(body: Value) -> Answer<RulePatch> {
    let Value::Object(body) = body else {
        return Err(bad("The body must be an object of what is to change."));
    };
    let mut patch = RulePatch::default();
    for (key, value) in body {
        match (key.as_str(), value) {
            ("rule", Value::String(rule)) => patch.rule = Some(rule),
            ("name", Value::Null) => patch.name = Some(None),
            ("name", value) => patch.name = Some(Some(text("name", value)?)),
            ("comment", Value::Null) => patch.comment = Some(String::new()),
            ("comment", value) => patch.comment = Some(text("comment", value)?),
            ("rule", _) => {
                let text = "The key 'rule' must be the text of one rule.";
                return Err(Failure::named(Named::RuleSyntax, text));
            }
            (other, _) => {
                return Err(bad(format_args!(
                    "A rule's {other} cannot change; rule, name and comment can."
                )));
            }
        }
    }
    Ok(patch)
}

/// A name or comment.
fn text(key: &str, value: Value) -> Answer<String> {
    match value {
        Value::String(text) if text.chars().count() <= MAX_TEXT => Ok(text),
        _ => Err(bad(format_args!(
            "The rule's {key} must be a string of at most {MAX_TEXT} characters."
        ))),
    }
}

fn bad(text: impl std::fmt::Display) -> Failure {
    Failure::plain(Status::BadRequest, text)
}

fn new_rule(body: Value) -> Answer<NewRule> {
    let mut body = match body {
        Value::Object(body) => body,
        _ => Map::new(),
    };
    let Some(Value::String(rule)) = body.remove("rule") else {
        return Err(Failure::named(
            Named::RuleSyntax,
            "The body must be an object whose key 'rule' is the text of one rule.",
        ));
    };
    let mut text = |key: &str| match body.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => text(key, value).map(Some),
    };
    Ok(NewRule { rule, name: text("name")?, comment: text("comment")?.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_change() {
        let patch = changes(json!({"name": null, "comment": "c"})).unwrap();
        assert_eq!((patch.name, patch.comment.as_deref()), (Some(None), Some("c")));
        assert!(patch.rule.is_none());
        assert_eq!(changes(json!({"rule": 7})).unwrap_err().code, 1002);
        for bad in [json!([]), json!({"id": "x"}), json!({"name": 7})] {
            assert_eq!(changes(bad).unwrap_err().code, 400);
        }
    }

    #[test]
    fn several_rules() {
        let rules = new_rules(json!([{"rule": "p(1)"}, {"rule": "p(2)", "name": "n"}])).unwrap();
        assert_eq!((rules.len(), rules[1].name.as_deref()), (2, Some("n")));
        let failure = new_rules(json!([{"rule": "p(1)"}, {}])).unwrap_err();
        assert_eq!((failure.code, failure.data), (1002, json!({"index": 1})));
        assert_eq!(new_rules(json!([])).unwrap_err().code, 400);
        assert_eq!(new_rules(json!("p(1)")).unwrap_err().code, 400);
    }

    #[test]
    fn bodies() {
        let rule = new_rule(json!({"rule": "p(1)", "name": null, "id": 7})).unwrap();
        assert_eq!((rule.rule.as_str(), rule.name, rule.comment.as_str()), ("p(1)", None, ""));
        for bad in [json!({}), json!({"rule": 5}), json!({"rule": null}), json!(["p(1)"])] {
            assert_eq!(new_rule(bad).unwrap_err().code, 1002);
        }
        for key in ["name", "comment"] {
            for value in [json!(1), json!("é".repeat(256))] {
                let failure = new_rule(json!({"rule": "p(1)", key: value})).unwrap_err();
                assert_eq!((failure.code, failure.message.contains(key)), (400, true));
            }
            assert!(new_rule(json!({"rule": "p(1)", key: "é".repeat(255)})).is_ok());
        }
    }
}
