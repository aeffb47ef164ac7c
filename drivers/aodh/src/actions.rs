//! What policies can do to alarms.

use congress_driver::actions::{self, Arguments, Template, bare};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Error, Result, json, url};
use serde_json::{Map, Value as Json};

/// The actions that are one request.
const TEMPLATES: &str = include_str!("actions.txt");

/// The service takes only whole alarms: what is to change goes into the alarm as it is.
const UPDATE: Template =
    bare("alarm.update", "alarm_id alarm_update", "GET v2/alarms/{alarm_id}", "Update an alarm");

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let templates = actions::parse(TEMPLATES);
    actions::sorted(actions::describe(&templates).chain(actions::describe(&[UPDATE])))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    if call.action != UPDATE.name {
        return service.execute(&actions::parse(TEMPLATES), call);
    }
    let arguments = Arguments::of(call, UPDATE.arguments)?;
    let path = arguments.path("v2/alarms/{alarm_id}")?;
    let (_, alarm) = service.get(&path).send_json()?;
    let Some(Json::Object(changes)) = arguments.get("alarm_update") else {
        return Err(actions::wrong(call, "argument 'alarm_update' must be an object"));
    };
    let alarm = changed(alarm, changes)?;
    service.send(Request::new("PUT", &url::join(service.base(), &path)).json(&alarm))
}

/// An alarm with changed members; those of its rule are changed one by one.
fn changed(alarm: Json, changes: &Map<String, Json>) -> Result<Json> {
    let Json::Object(mut alarm) = alarm else {
        return Err(Error::Protocol(format!("the alarm is {}, not an object", json::kind(&alarm))));
    };
    for (name, change) in changes {
        match (alarm.get_mut(name), change) {
            (Some(Json::Object(old)), Json::Object(new)) => old.extend(new.clone()),
            _ => drop(alarm.insert(name.clone(), change.clone())),
        }
    }
    Ok(Json::Object(alarm))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_are_well_formed() {
        actions::check(TEMPLATES).unwrap();
        UPDATE.check().unwrap();
    }

    #[test]
    fn alarms_are_changed_member_by_member() {
        let alarm = json!({"name": "a", "enabled": true, "event_rule": {"query": [], "type": "x"}});
        let changes = json!({"enabled": false, "event_rule": {"type": "y"}, "severity": "low"});
        let expected = json!({
            "name": "a", "enabled": false, "event_rule": {"query": [], "type": "y"},
            "severity": "low"
        });
        assert_eq!(changed(alarm, changes.as_object().unwrap()).unwrap(), expected);
        assert!(changed(json!([]), &Map::new()).is_err());
    }
}
