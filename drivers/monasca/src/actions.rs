//! What policies can do to alarms, metrics and notifications: the table of requests in
//! `actions.txt`.
//!
//! The original lists these names with the prefix `v2_0.` and runs them only without it; here both
//! work. Other arguments than ids go by name: into the query of what reads, else into the body.

use congress_driver::actions::{self, Arguments};
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result, pytext, url};
use serde_json::{Map, Value as Json};

const ACTIONS: &str = include_str!("actions.txt");
const PREFIX: &str = "v2_0.";

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    actions::sorted(actions::describe(&actions::parse(ACTIONS)))
}

/// The request that a call makes at the service with that address.
pub(crate) fn request(call: &Call, base: &str) -> Result<Request> {
    let bare = |name: &str| name.strip_prefix(PREFIX).unwrap_or(name).to_owned();
    let name = bare(&call.action);
    let templates = actions::parse(ACTIONS);
    let template = templates.iter().find(|template| bare(template.name) == name);
    let template = template.ok_or_else(|| actions::unknown(call))?;
    let arguments = Arguments::of(call, template.arguments)?;
    let (method, path) = template.request.split_once(' ').unwrap_or_default();
    let url = url::join(base, &arguments.path(path)?);
    let request = |url: &str| Request::new(method, url).header("accept", "application/json");
    Ok(match method {
        "GET" => request(
            &arguments
                .others()
                .fold(url, |url, (name, value)| url::with_query(&url, name, &in_query(value))),
        ),
        "DELETE" => request(&url),
        _ => match arguments.get("jsonbody") {
            Some(body) => request(&url).json(body),
            None => {
                let members = arguments.others().map(|(k, v)| (k.to_owned(), v.clone()));
                request(&url).json(&Json::Object(Map::from_iter(members)))
            }
        },
    })
}

/// Dimensions are written `name:value,name:value`; a name without value stands for itself.
fn in_query(value: &Json) -> String {
    let Json::Object(dimensions) = value else { return pytext::text(value) };
    let written = dimensions.iter().map(|(name, value)| match value {
        Json::Null => name.clone(),
        Json::String(text) if text.is_empty() => name.clone(),
        value => format!("{name}:{}", pytext::text(value)),
    });
    written.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use congress_driver::testing;
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
    fn actions_are_as_recorded() {
        let Some(recorded) = testing::recorded("monasca") else { return };
        assert_eq!(recorded.listing(&all()), [""; 0]);
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
