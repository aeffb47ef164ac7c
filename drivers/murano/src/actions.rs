//! What policies can do in the catalogue: the table of requests in `actions.txt`, what does not fit
//! into it, and the actions that deployed applications offer.

use congress_driver::actions::{self, Arguments, Template, bare};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Error, Result, json, pytext, url};
use serde_json::{Value as Json, json};

const ACTIONS: &str = include_str!("actions.txt");

const DEPLOYMENTS: &str = "deployments.list";
const UPDATE: &str = "packages.update";
/// Turns over the member of a package that stands in the place of the request.
const TOGGLE: &str = "packages.toggle_";

/// Actions whose request, or number of requests, depends on what is given or answered.
const OWN: [Template; 4] = [
    bare(
        DEPLOYMENTS,
        "environment_id all_environments?",
        "GET",
        "Lists the deployments of an environment, or of all.",
    ),
    bare(
        "packages.toggle_active",
        "app_id",
        "enabled",
        "Enables a package, or disables it if it is enabled.",
    ),
    bare(
        "packages.toggle_public",
        "app_id",
        "is_public",
        "Makes a package public, or private if it is public.",
    ),
    bare(
        UPDATE,
        "app_id body operation=replace",
        "PATCH",
        "Translates dictionary to jsonpatch request",
    ),
];

/// `schemas.get` for some methods of a class.
const METHODS: Template = bare(
    "schemas.get",
    "class_name method_names class_version? package_name?",
    "GET v1/schemas/{class_name}/{method_names}?classVersion={class_version}&packageName={package_name}",
    "",
);

/// The session in which an environment is read or changed, where it is not in the path.
const SESSION_HEADER: &str = "X-Configuration-Session";

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let templates = actions::parse(ACTIONS);
    actions::sorted(actions::describe(&templates).chain(actions::describe(&OWN)))
}

/// Runs an action. One that is not listed is an application's own: whatever its name, its arguments
/// are environment, object, and what to run.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    let toggle = |own: &&Template| own.name == call.action && own.name.starts_with(TOGGLE);
    if let Some(own) = OWN.iter().find(toggle) {
        let package = own_request(call, service.base(), own)?;
        let (_, answer) = package.send_json()?;
        let turned = json!(answer[own.request] != true);
        return service.send(patch(&package.url, [(own.request, &turned)], "replace"));
    }
    match request(call, service.base())? {
        Some(request) => service.send(request),
        None => run(service, call),
    }
}

/// The request that a call makes first, or none if it is no listed action.
fn request(call: &Call, base: &str) -> Result<Option<Request>> {
    let templates = actions::parse(ACTIONS);
    if let Some(own) = OWN.iter().find(|template| template.name == call.action) {
        return own_request(call, base, own).map(Some);
    }
    let Some(template) = templates.iter().find(|template| template.name == call.action) else {
        return Ok(None);
    };
    if call.action == METHODS.name && Arguments::of(call, METHODS.arguments).is_ok() {
        return actions::request(&[METHODS], &with_names(call), base).map(Some);
    }
    let request = match session(call, template)? {
        Some(session) => actions::request(&templates, call, base)?.header(SESSION_HEADER, &session),
        None => actions::request(&templates, call, base)?,
    };
    let model = template.name == "environments.update_model";
    Ok(Some(if model { of_type(request, "application/env-model-json-patch") } else { request }))
}

/// The session that a call names and that has no place in its path.
fn session(call: &Call, template: &Template) -> Result<Option<String>> {
    let words = template.arguments.replace("!session_id", "session_id?");
    let arguments = Arguments::of(call, &words)?;
    let given = arguments.get("session_id").filter(|_| template.arguments != words);
    Ok(given.map(pytext::text))
}

fn own_request(call: &Call, base: &str, own: &Template) -> Result<Request> {
    let arguments = Arguments::of(call, own.arguments)?;
    if own.name == DEPLOYMENTS {
        let all = arguments.get("all_environments") == Some(&Json::Bool(true));
        let one = arguments.path("v1/environments/{environment_id}/deployments")?;
        let path = if all { "v1/deployments" } else { &one };
        return Ok(Request::get(&url::join(base, path)));
    }
    let package = url::join(base, &arguments.path("v1/catalog/packages/{app_id}")?);
    if own.name != UPDATE {
        return Ok(Request::get(&package));
    }
    let Some(Json::Object(changes)) = arguments.get("body") else {
        let kind = arguments.get("body").map_or("missing", json::kind);
        return Err(actions::wrong(
            call,
            &format!("argument 'body' must be an object, it is {kind}"),
        ));
    };
    let operation = arguments.get("operation").map(pytext::text).unwrap_or_default();
    let changes = changes.iter().map(|(name, value)| (name.as_str(), value));
    Ok(patch(&package, changes, &operation))
}

/// A JSON patch of a package.
fn patch<'a>(
    package: &str,
    changes: impl IntoIterator<Item = (&'a str, &'a Json)>,
    operation: &str,
) -> Request {
    let changes = changes
        .into_iter()
        .map(|(name, value)| json!({"op": operation, "path": format!("/{name}"), "value": value}));
    let request = Request::new("PATCH", package).header("accept", "application/json");
    of_type(request.json(&changes.collect()), "application/murano-packages-json-patch")
}

fn of_type(mut request: Request, content_type: &str) -> Request {
    request.headers.retain(|(name, _)| name != "content-type");
    request.header("content-type", content_type)
}

/// Method names as the service takes them: with commas.
fn with_names(call: &Call) -> Call {
    let joined = |value: &Json| match value {
        Json::Array(names) => names.iter().map(pytext::text).collect::<Vec<_>>().join(",").into(),
        other => other.clone(),
    };
    Call {
        action: call.action.clone(),
        positional: call.positional.iter().map(joined).collect(),
        named: call.named.iter().map(|(name, value)| (name.clone(), joined(value))).collect(),
    }
}

/// Runs what an object of an environment offers under a name.
fn run(service: &Service, call: &Call) -> Result<()> {
    let arguments = Arguments::of(call, "environment_id object_id action_name")?;
    let environment = arguments.path("v1/environments/{environment_id}")?;
    let (_, services) = service.get(&format!("{environment}/services")).send_json()?;
    let text = |name: &str| arguments.get(name).map(pytext::text).unwrap_or_default();
    let (object, name) = (text("object_id"), text("action_name"));
    let action = offered(&services, &object, &name).ok_or_else(|| {
        let what = format!("object '{object}' offers no enabled action '{name}'");
        Error::Unsupported(format!("action '{}': {what}", call.action))
    })?;
    let path = format!("{environment}/actions/{}", url::encode(action));
    service.send(Request::new("POST", &url::join(service.base(), &path)).json(&json!({})))
}

/// The id of the enabled action of that name that an object offers, however deep it is in others.
fn offered<'a>(json: &'a Json, object: &str, name: &str) -> Option<&'a str> {
    match json {
        Json::Array(items) => items.iter().find_map(|item| offered(item, object, name)),
        Json::Object(members) => {
            let about = members.get("?").filter(|about| about["id"] == object);
            let actions = about.and_then(|about| about["_actions"].as_object());
            let found = actions
                .into_iter()
                .flatten()
                .find(|(_, action)| action["name"] == name && action["enabled"] == true);
            match found {
                Some((id, _)) => Some(id),
                None => members.values().find_map(|member| offered(member, object, name)),
            }
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, positional: &[Json]) -> Call {
        Call { action: action.into(), positional: positional.to_vec(), named: Vec::new() }
    }

    #[test]
    fn templates_can_work() {
        actions::check(ACTIONS).unwrap();
    }

    #[test]
    fn sessions_and_patches_have_their_headers() {
        let model = [json!("e"), json!([{"op": "remove", "path": "/x"}]), json!("s")];
        let request = request(&call("environments.update_model", &model), "http://m");
        let headers = request.unwrap().unwrap().headers;
        for (name, value) in
            [(SESSION_HEADER, "s"), ("content-type", "application/env-model-json-patch")]
        {
            assert!(headers.contains(&(name.into(), value.into())), "{headers:?}");
        }
        assert_eq!(headers.iter().filter(|(name, _)| name == "content-type").count(), 1);
    }

    #[test]
    fn schemas_may_be_of_methods() {
        let url = |positional: &[Json]| {
            request(&call("schemas.get", positional), "http://m").unwrap().unwrap().url
        };
        assert_eq!(url(&[json!("a.B")]), "http://m/v1/schemas/a.B");
        assert_eq!(url(&[json!("a.B"), json!(["x", "y"])]), "http://m/v1/schemas/a.B/x%2Cy");
    }

    #[test]
    fn applications_offer_actions() {
        let restart = json!({"s_restart": {"name": "restart", "enabled": true}});
        let services = json!([
            {"?": {"id": "s", "_actions": {"s_stop": {"name": "stop", "enabled": false}}},
             "instance": {"?": {"id": "i", "_actions": restart}}}
        ]);
        assert_eq!(offered(&services, "i", "restart"), Some("s_restart"));
        assert_eq!(offered(&services, "s", "restart"), None);
        assert_eq!(offered(&services, "s", "stop"), None);
        assert_eq!(request(&call("anything", &[]), "http://m").unwrap(), None);
    }
}
