//! Rules of policies.

use axum::extract::State;
use congress_store::{NewRule, Rule};
use serde::Serialize;
use serde_json::{Map, Value};

use super::App;
use super::answer::{Collection, Created, Element, method_not_supported};
use super::body::Json;
use super::path::{Address, Path};
use crate::engine::{EngineHandle, RuleStatus};
use crate::failure::{Answer, Failure, Named, Status};

/// The longest name or comment, in characters.
const MAX_TEXT: usize = 255;

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
) -> Answer<Collection<Vec<RuleObject>>> {
    let rules = app.engine.rules(&policy).await?;
    Ok(Collection(rules.into_iter().map(RuleObject::from).collect()))
}

/// Inserts a rule. Only this answer lays the rule out; all others give it as posted.
pub(super) async fn create(
    State(app): State<App>,
    address: Address,
    Path(policy): Path<String>,
    Json(body): Json,
) -> Answer<Created<RuleObject>> {
    let rule = app.engine.insert_rule(&policy, new_rule(body)?).await?;
    let mut object = RuleObject::from(rule);
    object.rule = EngineHandle::pretty(&object.rule);
    Ok(Created { location: address.member(&object.id), body: object })
}

pub(super) async fn show(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
) -> Answer<Element<RuleObject>> {
    Ok(Element(app.engine.rule(&policy, &rule).await?.into()))
}

/// Rules cannot be changed in part; but one that is not there is told first.
pub(super) async fn patch(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
) -> Failure {
    match app.engine.rule(&policy, &rule).await {
        Ok(_) => method_not_supported(),
        Err(failure) => failure,
    }
}

pub(super) async fn delete(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
) -> Answer<Element<RuleObject>> {
    Ok(Element(app.engine.delete_rule(&policy, &rule).await?.into()))
}

pub(super) async fn status(
    State(app): State<App>,
    Path((policy, rule)): Path<(String, String)>,
) -> Answer<Element<RuleStatus>> {
    app.engine.rule_status(&policy, &rule).await.map(Element)
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
        Some(Value::String(text)) if text.chars().count() <= MAX_TEXT => Ok(Some(text)),
        Some(_) => Err(Failure::plain(
            Status::BadRequest,
            format_args!("The rule's {key} must be a string of at most {MAX_TEXT} characters."),
        )),
    };
    Ok(NewRule { rule, name: text("name")?, comment: text("comment")?.unwrap_or_default() })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

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
