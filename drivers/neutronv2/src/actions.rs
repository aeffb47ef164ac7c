//! What policies can do to networks: the table of requests in `actions.txt`, and what does not fit
//! into it.

use congress_driver::actions::{self, Arguments, Template};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Error, Result, describe, logging, pytext, url};
use serde_json::{Map, Value as Json, json};

use crate::yaml;

const ACTIONS: &str = include_str!("actions.txt");

const UPDATE: &str = "update_resource_attrs";
const ATTACH: &str = "attach_port_security_group";
const DETACH: &str = "detach_port_security_group";

/// The argument that may be given as a text: JSON or YAML.
const BODY: &str = "body";

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let own = [
        describe::action(UPDATE, "A wrapper for update_<resource_type>()")
            .argument("resource_type", "")
            .argument("id", "")
            .argument("attr1", "")
            .argument("attr1-value", "")
            .optional("attrN", "")
            .optional("attrN-value", "")
            .with_others(),
        describe::action(
            ATTACH,
            "Attach a security group to port (WARNING: may overwrite concurrent changes to \
             port's security groups list.",
        )
        .argument("port_id", "")
        .argument("security_group_id", ""),
        describe::action(
            DETACH,
            "Detach a security group to port (WARNING: may overwrite concurrent changes to \
             port's security groups list.",
        )
        .argument("port_id", "")
        .argument("security_group_id", ""),
    ];
    actions::sorted(actions::describe(&actions::parse(ACTIONS)).chain(own))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    match call.action.as_str() {
        ATTACH | DETACH => change_security_groups(service, call),
        _ => match request(call, service.base())? {
            Some(request) => service.send(request),
            None => too_few(call),
        },
    }
}

/// The request that a call makes, or none if it has too few arguments.
fn request(call: &Call, base: &str) -> Result<Option<Request>> {
    let templates = actions::parse(ACTIONS);
    if call.action == UPDATE {
        let Some(call) = update_of(call)? else { return Ok(None) };
        return update(&templates, &call, base).map(Some);
    }
    match templates.iter().find(|template| template.name == call.action) {
        Some(template) => {
            actions::request(&templates, &with_body(call, template.arguments)?, base).map(Some)
        }
        None => update(&templates, call, base).map(Some),
    }
}

/// From `update_resource_attrs(type, id, attribute, value, …)` to `update_<type>(id, body)`. Values
/// go out as they are given: a policy that writes "False" sends that text.
fn update_of(call: &Call) -> Result<Option<Call>> {
    let [resource, id, pairs @ ..] = call.positional.as_slice() else {
        return Ok(None);
    };
    if pairs.len() < 2 {
        return Ok(None);
    }
    let (pairs, []) = pairs.as_chunks() else {
        let given = pytext::repr(&Json::Array(pairs.to_vec()));
        return Err(actions::wrong(call, &format!("{given} must be pairs of attribute and value")));
    };
    let attributes: Map<String, Json> =
        pairs.iter().map(|[name, value]| (pytext::text(name), value.clone())).collect();
    let resource = pytext::text(resource);
    let body = Json::Object(Map::from_iter([(resource.clone(), Json::Object(attributes))]));
    Ok(Some(Call {
        action: format!("update_{resource}"),
        positional: vec![id.clone(), body],
        named: Vec::new(),
    }))
}

/// The original only logs this.
fn too_few(call: &Call) -> Result<()> {
    logging::info(&format!("action '{}': too few arguments, nothing to do", call.action));
    Ok(())
}

/// The request of `update_<resource>`, which is not listed: a PUT where `show_<resource>` is a GET.
fn update(templates: &[Template], call: &Call, base: &str) -> Result<Request> {
    let show = call.action.strip_prefix("update_").map(|resource| format!("show_{resource}"));
    let show = templates.iter().find(|template| Some(template.name) == show.as_deref());
    let show = show.ok_or_else(|| actions::unknown(call))?;
    let ids = show.arguments.split_whitespace();
    let ids: Vec<&str> = ids.filter(|word| *word != "**" && !is_body(word)).collect();
    let words = format!("{} {BODY}?", ids.join(" "));
    let call = with_body(call, &words)?;
    let arguments = Arguments::of(&call, &words)?;
    let path = show.request.strip_prefix("GET ").unwrap_or(show.request);
    let url = url::join(base, &arguments.path(path)?);
    let request = Request::new("PUT", &url).header("accept", "application/json");
    Ok(match arguments.get(BODY) {
        Some(body) => request.json(body),
        None => request,
    })
}

/// Whether a word of a template's arguments is the body.
fn is_body(word: &str) -> bool {
    word.trim_start_matches('!').split(['?', '=']).next() == Some(BODY)
}

/// The call with its body read, if that is a text.
fn with_body(call: &Call, words: &str) -> Result<Call> {
    let position = words.split_whitespace().position(is_body);
    let mut call = call.clone();
    let positional = position.and_then(|position| call.positional.get_mut(position));
    let named = call.named.iter_mut().filter(|(name, _)| name == BODY).map(|(_, body)| body);
    for body in positional.into_iter().chain(named) {
        let Json::String(text) = body else { continue };
        *body = yaml::parse(text).map_err(|error| {
            Error::Unsupported(format!(
                "action '{}': argument '{BODY}' is neither JSON nor YAML: {error}",
                call.action
            ))
        })?;
    }
    Ok(call)
}

/// Reads a port's security groups and, if that changes anything, writes them with one more or less.
fn change_security_groups(service: &Service, call: &Call) -> Result<()> {
    if call.positional.len() + call.named.len() < 2 {
        return too_few(call);
    }
    let arguments = Arguments::of(call, "port_id security_group_id")?;
    let path = arguments.path("v2.0/ports/{port_id}")?;
    let group = arguments.get("security_group_id").map(pytext::text).unwrap_or_default();
    let request = service.get(&path);
    let (_, answer) = request.send_json()?;
    let Some(groups) = answer["port"]["security_groups"].as_array() else {
        let what = format!("GET {path}: the answer has no list port.security_groups");
        return Err(Error::Protocol(what));
    };
    match changed(groups, &group, call.action == ATTACH) {
        Some(groups) => service.send(
            Request::new("PUT", &request.url)
                .header("accept", "application/json")
                .json(&json!({"port": {"security_groups": groups}})),
        ),
        None => Ok(()),
    }
}

/// The groups with one more, or with one less; none if they are so already.
fn changed(groups: &[Json], group: &str, attach: bool) -> Option<Vec<Json>> {
    let present = groups.iter().any(|other| other == group);
    if present == attach {
        return None;
    }
    let mut groups: Vec<Json> = groups.iter().filter(|other| *other != group).cloned().collect();
    if attach {
        groups.push(group.into());
    }
    Some(groups)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(action: &str, positional: &[Json]) -> Call {
        Call { action: action.into(), positional: positional.to_vec(), named: Vec::new() }
    }

    fn made(call: &Call) -> (String, String, Json) {
        let request = request(call, "http://n").unwrap().unwrap();
        let body = request.body.map_or(Json::Null, |body| serde_json::from_slice(&body).unwrap());
        (request.method, request.url.replace("http://n/v2.0/", ""), body)
    }

    #[test]
    fn templates_can_work() {
        actions::check(ACTIONS).unwrap();
    }

    #[test]
    fn updates_go_where_the_resource_is() {
        let rule = [json!("r"), json!("p"), json!({"bandwidth_limit_rule": {"max_kbps": 1}})];
        assert_eq!(
            made(&call("update_bandwidth_limit_rule", &rule)),
            ("PUT".into(), "qos/policies/p/bandwidth_limit_rules/r".into(), rule[2].clone())
        );
        let group = ["security_group", "g", "name", "x"].map(|text| json!(text));
        assert_eq!(
            made(&call(UPDATE, &group)),
            ("PUT".into(), "security-groups/g".into(), json!({"security_group": {"name": "x"}}))
        );
        assert_eq!(request(&call(UPDATE, &group[..3]), "http://n").unwrap(), None);
        let none = request(&call("update_nothing", &[]), "http://n").unwrap_err();
        assert!(none.to_string().contains("there is no action 'update_nothing'"));
    }

    #[test]
    fn bodies_may_be_texts() {
        let network = json!({"network": {"name": "n", "admin_state_up": false}});
        for text in [network.to_string(), "network: {name: n, admin_state_up: no}".into()] {
            let (_, _, body) = made(&call("create_network", &[json!(text)]));
            assert_eq!(body, network, "{text}");
        }
        let (_, url, body) =
            made(&call("add_interface_router", &[json!("r"), json!("subnet_id: s")]));
        assert_eq!(
            (url.as_str(), body),
            ("routers/r/add_router_interface", json!({"subnet_id": "s"}))
        );
        let wrong = request(&call("create_network", &[json!("{unclosed")]), "http://n");
        assert!(wrong.unwrap_err().to_string().contains("neither JSON nor YAML"));
    }

    #[test]
    fn groups_change_only_where_they_must() {
        let groups = [json!("a"), json!("b")];
        assert_eq!(changed(&groups, "c", true), Some(vec![json!("a"), json!("b"), json!("c")]));
        assert_eq!(changed(&groups, "a", true), None);
        assert_eq!(changed(&groups, "a", false), Some(vec![json!("b")]));
        assert_eq!(changed(&groups, "c", false), None);
    }
}
