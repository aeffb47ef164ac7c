//! Policies.

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use congress_store::{LibraryPolicy, LibraryRule, NewRule, Policy, Rule};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::App;
use super::action::{self, parameter};
use super::answer::{Created, Element, method_not_supported};
use super::body::{ActionBody, Json, Patch};
use super::page::Page;
use super::path::{Address, Path};
use super::schema;
use super::simulate::simulate;
use super::warnings;
use crate::engine::{EngineHandle, PolicyPatch, PolicyRequest, PolicyStatus};
use crate::failure::{Answer, Failure, Named, Status};
use crate::python;

/// A policy as clients see it.
#[derive(Serialize)]
pub(super) struct PolicyObject {
    id: String,
    name: String,
    abbreviation: String,
    description: String,
    owner_id: String,
    kind: String,
    /// Only in the answer to the creation of a policy with rules.
    #[serde(skip_serializing_if = "Option::is_none")]
    rules: Option<Vec<RuleOfPolicy>>,
}

/// A rule within a policy: it has no id yet that clients could use.
#[derive(Serialize)]
struct RuleOfPolicy {
    rule: String,
    comment: String,
    name: Option<String>,
}

impl From<Policy> for PolicyObject {
    fn from(policy: Policy) -> Self {
        Self {
            id: policy.id,
            name: policy.name,
            abbreviation: policy.abbreviation,
            description: policy.description,
            owner_id: policy.owner,
            kind: policy.kind,
            rules: None,
        }
    }
}

impl From<Rule> for RuleOfPolicy {
    fn from(rule: Rule) -> Self {
        Self { rule: EngineHandle::pretty(&rule.rule), comment: rule.comment, name: rule.name }
    }
}

pub(super) async fn list(State(app): State<App>, page: Page) -> Answer<Response> {
    let policies = app.engine.policies().await?;
    page.list(policies.into_iter().map(PolicyObject::from).collect())
}

pub(super) async fn show(
    State(app): State<App>,
    Path(policy): Path<String>,
) -> Answer<Element<PolicyObject>> {
    Ok(Element(app.engine.policy(&policy).await?.into()))
}

pub(super) async fn delete(
    State(app): State<App>,
    Path(policy): Path<String>,
) -> Answer<Element<PolicyObject>> {
    Ok(Element(app.engine.delete_policy(&policy).await?.into()))
}

/// `PATCH`: what is given changes, the rest stays. A policy's name, by which rules refer to it, and
/// its kind stay what they are: that is not supported, as no change of policies ever was.
pub(super) async fn patch(
    State(app): State<App>,
    Path(policy): Path<String>,
    Patch { body, .. }: Patch,
) -> Answer<Element<PolicyObject>> {
    Ok(Element(app.engine.update_policy(&policy, changes(body)?).await?.into()))
}

fn changes(body: Value) -> Answer<PolicyPatch> {
    let Value::Object(body) = body else {
        return Err(refused("The body must be an object of what is to change."));
    };
    let mut patch = PolicyPatch::default();
    for (key, value) in body {
        match (key.as_str(), value) {
            ("description", Value::String(text)) => patch.description = Some(text),
            ("abbreviation", Value::String(text)) if text.chars().count() <= 5 => {
                patch.abbreviation = Some(text);
            }
            ("description", _) => return Err(refused("The policy description must be a string.")),
            ("abbreviation", _) => return Err(Failure::title(Named::PolicyAbbreviationError)),
            ("name" | "kind", _) => return Err(method_not_supported()),
            (other, _) => {
                return Err(refused(format_args!(
                    "A policy's {other} cannot change; description and abbreviation can."
                )));
            }
        }
    }
    Ok(patch)
}

/// `?action=simulate`, and `?action=execute`, which has a datasource do something. For that the
/// policy in the path is not looked at, as it never was.
pub(super) async fn act(
    State(app): State<App>,
    Path(policy): Path<String>,
    RawQuery(query): RawQuery,
    body: ActionBody,
) -> Answer<Response> {
    match action::name(query.as_deref())?.as_str() {
        "simulate" => {
            let simulated = simulate(&app, &policy, query.as_deref(), body.required()?).await?;
            Ok(simulated.into_response())
        }
        "execute" => {
            let (service, name, arguments) = execution(body.required()?)?;
            app.datasources.execute(&service, name, arguments).await?;
            Ok(Element(json!({})).into_response())
        }
        _ => Err(method_not_supported()),
    }
}

/// The datasource, the action and its arguments.
fn execution(body: Value) -> Answer<(String, String, Value)> {
    let syntax = || Failure::title(Named::ServiceActionSyntax);
    let named = body.get("name").and_then(Value::as_str).ok_or_else(syntax)?;
    let (service, name) = named.split_once(':').ok_or_else(syntax)?;
    if name.contains(':') {
        return Err(syntax());
    }
    let (service, name) = (service.to_owned(), name.to_owned());
    let mut arguments = json!({ "name": name });
    if let (Some(args), Some(arguments)) = (body.get("args"), arguments.as_object_mut()) {
        arguments.insert("args".to_owned(), args.clone());
    }
    let (name, arguments) = super::datasources::execution(arguments)?;
    Ok((service, name, arguments))
}

pub(super) async fn status(
    State(app): State<App>,
    Path(policy): Path<String>,
) -> Answer<Element<PolicyStatus>> {
    app.engine.policy_status(&policy).await.map(Element)
}

/// Creates a policy: empty, with rules, or as the library has it.
pub(super) async fn create(
    State(app): State<App>,
    address: Address,
    RawQuery(query): RawQuery,
    Json(body): Json,
) -> Answer<Response> {
    let request = match (parameter(query.as_deref(), "library_policy").next(), body) {
        (Some(id), body) if is_nothing(&body) => of_library(app.library.get(&id).await?),
        (Some(_), _) => {
            return Err(refused(
                "With library_policy the body must be {}: the policy is as the library has it.",
            ));
        }
        (None, Value::Object(body)) if body.contains_key("rules") => with_rules(body)?,
        (None, Value::Object(body)) => empty(body)?,
        (None, _) => return Err(Failure::title(Named::PolicyNameMustBeProvided)),
    };
    let (policy, rules) = app.engine.create_policy(request).await?;
    let of_rules = rules.iter().flatten().map(|rule| rule.rule.as_str());
    let warnings = super::rules::of_each(&app, of_rules);
    let mut object = PolicyObject::from(policy);
    object.rules = rules.map(|rules| rules.into_iter().map(RuleOfPolicy::from).collect());
    let created = Created { location: address.member(&object.id), body: object };
    Ok(warnings::beside(created.into_response(), &warnings))
}

/// Whether a body says nothing.
fn is_nothing(body: &Value) -> bool {
    match body {
        Value::Null | Value::Bool(false) => true,
        Value::Object(members) => members.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::String(text) => text.is_empty(),
        Value::Number(number) => number.as_f64() == Some(0.0),
        Value::Bool(true) => false,
    }
}

/// A policy of the library, to be activated.
fn of_library(policy: LibraryPolicy) -> PolicyRequest {
    let LibraryPolicy { id: _, name, abbreviation, description, kind, rules } = policy;
    let rules = rules.into_iter().map(|LibraryRule { rule, name, comment }| NewRule {
        rule,
        name,
        comment: comment.unwrap_or_default(),
    });
    PolicyRequest {
        name,
        abbreviation: Some(abbreviation),
        description: Some(description),
        kind: Some(kind),
        rules: Some(rules.collect()),
    }
}

/// A policy without rules: null and absent are the same, unknown keys are ignored.
fn empty(mut body: Map<String, Value>) -> Answer<PolicyRequest> {
    let name = match body.remove("name") {
        None | Some(Value::Null) => return Err(Failure::title(Named::PolicyNameMustBeProvided)),
        Some(Value::String(name)) => name,
        Some(other) => {
            let name = python::repr(&other);
            return Err(refused(format_args!("Policy name {name} is not a valid tablename")));
        }
    };
    let abbreviation = match body.remove("abbreviation") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.chars().count() <= 5 => Some(text),
        Some(_) => return Err(Failure::title(Named::PolicyAbbreviationError)),
    };
    let description = match body.remove("description") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(_) => return Err(refused("The policy description must be a string.")),
    };
    let kind = match body.remove("kind") {
        None | Some(Value::Null) => None,
        Some(Value::String(kind)) => Some(kind),
        Some(other) => {
            let kind = python::repr(&other);
            return Err(refused(format_args!("Unknown kind of policy: {kind}")));
        }
    };
    Ok(PolicyRequest { name, abbreviation, description, kind, rules: None })
}

/// A policy with rules: held against its schema.
fn with_rules(body: Map<String, Value>) -> Answer<PolicyRequest> {
    let body = Value::Object(body);
    schema::check_policy_with_rules(&body)?;
    // What follows takes what the schema has found to be there and to be text.
    let text = |object: &Value, key: &str| object[key].as_str().map(str::to_owned);
    let rules = body["rules"].as_array().into_iter().flatten();
    let rules = rules.map(|rule| NewRule {
        rule: text(rule, "rule").unwrap_or_default(),
        name: text(rule, "name"),
        comment: text(rule, "comment").unwrap_or_default(),
    });
    Ok(PolicyRequest {
        name: text(&body, "name").unwrap_or_default(),
        abbreviation: text(&body, "abbreviation"),
        description: text(&body, "description"),
        kind: text(&body, "kind"),
        rules: Some(rules.collect()),
    })
}

fn refused(text: impl std::fmt::Display) -> Failure {
    Failure::plain(Status::BadRequest, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn executions_name_a_service_and_an_action() {
        let code = |body| execution(body).unwrap_err().code;
        for bad in [json!({}), json!({"name": "noservice"}), json!({"name": "a:b:c"}), json!(7)] {
            assert_eq!(code(bad), 1017);
        }
        assert_eq!(code(json!({"name": "a:", "args": {}})), 1016);
        assert_eq!(code(json!({"name": "a:b", "args": ["x"]})), 1018);
        let (service, name, arguments) =
            execution(json!({"name": "a:b.c", "args": {"positional": [1]}})).unwrap();
        assert_eq!((service.as_str(), name.as_str()), ("a", "b.c"));
        assert_eq!(arguments, json!({"positional": [1]}));
    }

    fn object(value: Value) -> Map<String, Value> {
        value.as_object().cloned().unwrap()
    }

    #[test]
    fn what_may_change() {
        let patch = changes(json!({"description": "d"})).unwrap();
        assert_eq!((patch.description.as_deref(), patch.abbreviation), (Some("d"), None));
        let code = |body| changes(body).unwrap_err().code;
        assert_eq!(code(json!({"abbreviation": "sixsix"})), 1022);
        assert_eq!((code(json!({"name": "x"})), code(json!({"kind": "z3"}))), (501, 501));
        assert_eq!((code(json!({"colour": "red"})), code(json!([]))), (400, 400));
    }

    #[test]
    fn null_is_absent_in_an_empty_policy() {
        let body = json!({"name": "p", "abbreviation": null, "description": null, "kind": null});
        let request = empty(object(body)).unwrap();
        assert_eq!(request.name, "p");
        assert!(request.abbreviation.is_none() && request.description.is_none());
        assert!(request.kind.is_none() && request.rules.is_none());
    }

    #[test]
    fn wrong_types_of_an_empty_policy() {
        let failure = |value| empty(object(value)).map(|_| ()).unwrap_err();
        assert_eq!(failure(json!({"name": null})).code, 1010);
        assert_eq!(failure(json!({"name": "p", "abbreviation": "sixsix"})).code, 1022);
        assert_eq!(
            failure(json!({"name": [1]})).message,
            "Bad Request::Policy name [1] is not a valid tablename"
        );
        assert_eq!(
            failure(json!({"name": "p", "kind": true})).message,
            "Bad Request::Unknown kind of policy: True"
        );
        assert_eq!(failure(json!({"name": "p", "description": {}})).code, 400);
    }

    #[test]
    fn rules_keep_what_is_said_of_them() {
        let rules = json!([{"rule": "q(1)"}, {"rule": "q(2)", "name": "n", "comment": "c"}]);
        let request = with_rules(object(json!({"name": "p", "rules": rules}))).unwrap();
        let rules = request.rules.unwrap();
        assert_eq!((rules[0].name.as_deref(), rules[0].comment.as_str()), (None, ""));
        assert_eq!((rules[1].name.as_deref(), rules[1].comment.as_str()), (Some("n"), "c"));
        let null = json!({"name": "p", "kind": null, "rules": []});
        assert_eq!(with_rules(object(null)).map(|_| ()).unwrap_err().code, 400);
    }
}
