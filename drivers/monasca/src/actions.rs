//! What policies can do to alarms, metrics and notifications: the table of requests in
//! `actions.txt`.
//!
//! The original lists these names with the prefix `v2_0.` and runs them only without it; here both
//! work. Other arguments than ids go by name: into the query of what reads, else into the body.

use congress_driver::actions::{self, Template, with_body};
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result, pytext};
use serde_json::Value as Json;

const ACTIONS: &str = include_str!("actions.txt");
const PREFIX: &str = "v2_0.";

/// `metrics.create` for several metrics at once.
const METRICS: Template = with_body(
    "v2_0.metrics.create",
    "jsonbody tenant_id?",
    "POST metrics?tenant_id={tenant_id}",
    r#""{jsonbody}""#,
    "Create a metric.",
);

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    actions::sorted(actions::describe(&actions::parse(ACTIONS)))
}

/// The request that a call makes at the service with that address.
pub(crate) fn request(call: &Call, base: &str) -> Result<Request> {
    let action = match call.action.starts_with(PREFIX) {
        true => call.action.clone(),
        false => format!("{PREFIX}{}", call.action),
    };
    let mut templates = actions::parse(ACTIONS);
    if call.named.iter().any(|(name, _)| name == "jsonbody") {
        templates.insert(0, METRICS);
    }
    let template = templates.iter().find(|template| template.name == action);
    let reads = template.is_some_and(|template| template.request.starts_with("GET "));
    let named = call
        .named
        .iter()
        .map(|(name, value)| (name.clone(), if reads { in_query(value) } else { value.clone() }));
    let call = Call { action, positional: call.positional.clone(), named: named.collect() };
    actions::request(&templates, &call, base)
}

/// Dimensions are written `name:value,name:value`; a name without value stands for itself.
fn in_query(value: &Json) -> Json {
    let Json::Object(dimensions) = value else { return value.clone() };
    let written = dimensions.iter().map(|(name, value)| match value {
        Json::Null => name.clone(),
        Json::String(text) if text.is_empty() => name.clone(),
        value => format!("{name}:{}", pytext::text(value)),
    });
    written.collect::<Vec<_>>().join(",").into()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn made(action: &str, positional: &[Json], named: &[(&str, Json)]) -> (String, String, Json) {
        let named = named.iter().map(|(k, v)| (k.to_string(), v.clone())).collect();
        let call = Call { action: action.into(), positional: positional.to_vec(), named };
        let request = request(&call, "http://m/v2.0").unwrap();
        let body = request.body.map_or(Json::Null, |body| serde_json::from_slice(&body).unwrap());
        (request.method, request.url.replace("http://m/v2.0/", ""), body)
    }

    #[test]
    fn templates_can_work() {
        actions::check(ACTIONS).unwrap();
    }

    #[test]
    fn names_work_with_and_without_their_prefix() {
        for name in ["alarm_definitions.create", "v2_0.alarm_definitions.create"] {
            let create = made(name, &[], &[("name", json!("n")), ("severity", json!("LOW"))]);
            let body = json!({"name": "n", "severity": "LOW"});
            assert_eq!(create, ("POST".into(), "alarm-definitions".into(), body));
        }
        let patch = made("alarms.patch", &[json!("a")], &[("state", json!("OK"))]);
        assert_eq!(patch, ("PATCH".into(), "alarms/a".into(), json!({"state": "OK"})));
    }

    #[test]
    fn what_reads_takes_a_query() {
        let named = [("dimensions", json!({"host": "h", "disk": ""})), ("limit", json!(3))];
        let (method, url, body) = made("metrics.list", &[], &named);
        assert_eq!((method.as_str(), body), ("GET", Json::Null));
        assert_eq!(url, "metrics?dimensions=host%3Ah%2Cdisk&limit=3");
        let named = [("jsonbody", json!([{"name": "m"}])), ("tenant_id", json!("t"))];
        let (_, url, body) = made("metrics.create", &[], &named);
        assert_eq!((url.as_str(), body), ("metrics?tenant_id=t", json!([{"name": "m"}])));
    }
}
