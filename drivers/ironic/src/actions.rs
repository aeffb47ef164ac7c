//! What policies can do to nodes and their surroundings.

use congress_driver::actions::{self, Arguments, Template, bare, with_body};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result, pytext, url};
use serde_json::{Value as Json, json};

/// The actions that are one request of fixed shape.
const TEMPLATES: &str = include_str!("actions.txt");

/// What the service calls a state depends on how gently it is to be reached.
const SET_POWER_STATE: Template = with_body(
    "node.set_power_state",
    "node_id state soft=false timeout?",
    "PUT v1/nodes/{node_id}/states/power",
    r#"{"target": "{state}", "timeout": "{timeout}"}"#,
    "Sets power state for a node.",
);
/// Maintenance is a thing that is put and deleted.
const SET_MAINTENANCE: Template = bare(
    "node.set_maintenance",
    "node_id state maint_reason?",
    "PUT v1/nodes/{node_id}/maintenance",
    "Set the maintenance mode for the node.",
);
const OWN: [Template; 2] = [SET_POWER_STATE, SET_MAINTENANCE];

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let templates = actions::parse(TEMPLATES);
    actions::sorted(actions::describe(&templates).chain(actions::describe(&OWN)))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    if call.action == SET_POWER_STATE.name {
        return service.send(set_power_state(service.base(), call)?);
    }
    if call.action == SET_MAINTENANCE.name {
        return service.send(set_maintenance(service.base(), call)?);
    }
    service.execute(&actions::parse(TEMPLATES), call)
}

fn set_power_state(base: &str, call: &Call) -> Result<Request> {
    let arguments = Arguments::of(call, SET_POWER_STATE.arguments)?;
    let soft = arguments.get("soft").and_then(flag);
    let soft = soft.ok_or_else(|| actions::wrong(call, "argument 'soft' must be true or false"))?;
    let state = arguments.get("state").map(pytext::text).unwrap_or_default();
    let target = match (soft, state.as_str()) {
        (false, "on") => "power on",
        (false, "off") => "power off",
        (false, "reboot") => "rebooting",
        (true, "off") => "soft power off",
        (true, "reboot") => "soft rebooting",
        (_, other) => other,
    };
    let mut body = json!({"target": target});
    if let Some(timeout) = arguments.get("timeout") {
        body["timeout"] = timeout.clone();
    }
    let path = arguments.path("v1/nodes/{node_id}/states/power")?;
    Ok(Request::new("PUT", &url::join(base, &path)).json(&body))
}

fn set_maintenance(base: &str, call: &Call) -> Result<Request> {
    let arguments = Arguments::of(call, SET_MAINTENANCE.arguments)?;
    let url = url::join(base, &arguments.path("v1/nodes/{node_id}/maintenance")?);
    match arguments.get("state").and_then(flag) {
        Some(true) => {
            let reason = arguments.get("maint_reason");
            Ok(Request::new("PUT", &url).json(&json!({"reason": reason})))
        }
        Some(false) => Ok(Request::new("DELETE", &url)),
        None => Err(actions::wrong(call, "argument 'state' must be true or false")),
    }
}

/// A boolean, also one that a policy can only say as text.
fn flag(json: &Json) -> Option<bool> {
    match pytext::text(json).to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Some(true),
        "false" | "off" | "no" | "0" => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, positional: &[Json]) -> Call {
        Call { action: action.into(), positional: positional.to_vec(), named: Vec::new() }
    }

    fn body(request: &Request) -> Json {
        request.body.as_ref().map_or(Json::Null, |body| serde_json::from_slice(body).unwrap())
    }

    #[test]
    fn templates_are_well_formed() {
        actions::check(TEMPLATES).unwrap();
    }

    #[test]
    fn power_states_have_the_names_of_the_service() {
        for (arguments, target) in [
            (vec![json!("on")], json!({"target": "power on"})),
            (vec![json!("reboot"), json!("True")], json!({"target": "soft rebooting"})),
            (
                vec![json!("off"), json!(true), json!(9)],
                json!({"target": "soft power off", "timeout": 9}),
            ),
            (vec![json!("other")], json!({"target": "other"})),
        ] {
            let arguments = [vec![json!("n")], arguments].concat();
            let request =
                set_power_state("http://i", &call(SET_POWER_STATE.name, &arguments)).unwrap();
            assert_eq!(request.url, "http://i/v1/nodes/n/states/power");
            assert_eq!(body(&request), target);
        }
    }

    #[test]
    fn maintenance_begins_and_ends() {
        let request = |arguments: &[Json]| {
            set_maintenance("http://i", &call(SET_MAINTENANCE.name, arguments))
        };
        let on = request(&[json!("n"), json!("on"), json!("disk")]).unwrap();
        assert_eq!((on.method.as_str(), body(&on)), ("PUT", json!({"reason": "disk"})));
        let off = request(&[json!("n"), json!(false)]).unwrap();
        assert_eq!((off.method.as_str(), off.body), ("DELETE", None));
        assert!(request(&[json!("n"), json!("maybe")]).is_err());
    }
}
