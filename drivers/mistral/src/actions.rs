//! What policies can do to workflows: the table of requests in `actions.txt`, and what does not fit
//! into it.

use congress_driver::actions::{self, Arguments, Template, with_body};
use congress_driver::session::Request;
use congress_driver::types::DataType;
use congress_driver::{Action, Call, Result, url};
use serde_json::{Map, Value as Json, json};

const ACTIONS: &str = include_str!("actions.txt");

/// Actions with members in their body that depend on what is given.
const STARTS: [Template; 4] = [
    with_body(
        "action_executions.create",
        "name input? namespace? **",
        "POST action_executions",
        r#"{"name": "{name}", "input": "{input}", "workflow_namespace": "{namespace}"}"#,
        "Starts an action.",
    ),
    with_body(
        "cron_triggers.create",
        "name workflow_identifier workflow_input? workflow_params? pattern=null first_time=null count=null",
        "POST cron_triggers",
        r#"{"name": "{name}", "pattern": "{pattern}", "first_execution_time": "{first_time}",
            "remaining_executions": "{count}", "workflow_name": "{workflow_identifier}",
            "workflow_input": "{workflow_input}", "workflow_params": "{workflow_params}"}"#,
        "Creates a cron trigger.",
    ),
    with_body(
        "executions.create",
        "workflow_identifier? namespace? workflow_input? description? source_execution_id? **",
        "POST executions",
        r#"{"workflow_name": "{workflow_identifier}", "workflow_namespace": "{namespace}",
            "input": "{workflow_input}", "description": "{description}",
            "source_execution_id": "{source_execution_id}"}"#,
        "Starts a workflow.",
    ),
    with_body(
        "executions.update",
        "id state description? env?",
        "PUT executions/{id}",
        r#"{"state": "{state}", "description": "{description}"}"#,
        "Changes a workflow execution's state.",
    ),
];

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let templates = actions::parse(ACTIONS);
    actions::sorted(actions::describe(&templates).chain(actions::describe(&STARTS)))
}

/// The request that a call makes at the service with that address.
pub(crate) fn request(call: &Call, base: &str) -> Result<Request> {
    let texts = as_texts(call);
    let Some(start) = STARTS.iter().find(|template| template.name == call.action) else {
        return actions::request(&actions::parse(ACTIONS), &texts, base);
    };
    let arguments = Arguments::of(&texts, start.arguments)?;
    let (method, path) = start.request.split_once(' ').unwrap_or_default();
    let url = url::join(base, &arguments.path(path)?);
    let request = Request::new(method, &url).header("accept", "application/json");
    Ok(request.json(&body(call, start)?))
}

fn body(call: &Call, start: &Template) -> Result<Json> {
    let texts = as_texts(call);
    let filled = Arguments::of(&texts, start.arguments)?;
    let template = serde_json::from_str(start.body.unwrap_or_default()).unwrap_or_default();
    let Some(Json::Object(mut body)) = filled.body(&template) else { return Ok(Json::Null) };
    if let Some(workflow) = body.remove("workflow_name") {
        let id = workflow.as_str().is_some_and(|text| DataType::Uuid.marshal(text.into()).is_ok());
        body.insert(if id { "workflow_id" } else { "workflow_name" }.into(), workflow);
    }
    let given = Arguments::of(call, start.arguments)?;
    let params: Map<String, Json> =
        given.others().map(|(name, value)| (name.to_owned(), value.clone())).collect();
    if !params.is_empty() {
        body.insert("params".into(), as_text(&Json::Object(params)));
    }
    if let Some(env) = given.get("env") {
        body.insert("params".into(), json!({"env": env}));
    }
    Ok(Json::Object(body))
}

/// The service takes structured values as JSON text.
fn as_texts(call: &Call) -> Call {
    Call {
        action: call.action.clone(),
        positional: call.positional.iter().map(as_text).collect(),
        named: call.named.iter().map(|(name, value)| (name.clone(), as_text(value))).collect(),
    }
}

fn as_text(json: &Json) -> Json {
    match json {
        Json::Array(_) | Json::Object(_) => Json::String(json.to_string()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_can_work() {
        actions::check(ACTIONS).unwrap();
    }

    #[test]
    fn starts_take_structures_and_parameters() {
        let body = |action: &str, positional: &[Json], named: &[(&str, Json)]| {
            let call = Call {
                action: action.into(),
                positional: positional.to_vec(),
                named: named.iter().map(|(k, v)| (k.to_string(), v.clone())).collect(),
            };
            let request = request(&call, "http://m/v2").unwrap();
            serde_json::from_slice::<Json>(&request.body.unwrap()).unwrap()
        };
        let named = [("workflow_input", json!({"a": 1})), ("task_name", json!("t"))];
        assert_eq!(
            body("executions.create", &[json!("wf")], &named),
            json!({"workflow_name": "wf", "input": r#"{"a":1}"#, "params": r#"{"task_name":"t"}"#})
        );
        let id = "cd613e30-d8f1-4adf-91b7-584a2265b1f5";
        assert_eq!(body("executions.create", &[json!(id)], &[]), json!({"workflow_id": id}));
        assert_eq!(
            body("executions.update", &[json!("e"), json!("PAUSED")], &[("env", json!({"k": 1}))]),
            json!({"state": "PAUSED", "params": {"env": {"k": 1}}})
        );
    }
}
