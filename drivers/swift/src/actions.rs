//! What policies can do to containers and objects. Paths, headers and the number of requests depend
//! on what is given, so these are code.

use congress_driver::actions::{self, Arguments, Template, bare};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Error, Result, pytext, url};
use serde_json::Value as Json;

use crate::pages;

/// Names, arguments and descriptions; what moves files of this machine is left out.
const ACTIONS: &[Template] = &[
    bare("capabilities", "url? refresh_cache?", "GET", "List the cluster capabilities."),
    bare(
        "copy",
        "container objects options?",
        "COPY",
        "Copy operations on a list of objects in a container. Destination containers will be \
         created.",
    ),
    bare(
        "delete",
        "container? objects? options?",
        "DELETE",
        "Delete operations on an account, optional container and optional list of objects.",
    ),
    bare("list", "container? options?", "GET", "List operations on an account, container."),
    bare(
        "post",
        "container? objects? options?",
        "POST",
        "Post operations on an account, container or list of objects",
    ),
    bare(
        "stat",
        "container? objects? options?",
        "HEAD",
        "Get account stats, container stats or information about a list of objects in a container.",
    ),
];

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    actions::sorted(actions::describe(ACTIONS))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    for request in requests(call, service.base())? {
        // A container is deleted with all that is in it.
        if request.method == "DELETE" && !target(call)?.has_objects() {
            empty(service, &request.url)?;
        }
        service.send(request)?;
    }
    Ok(())
}

/// Deletes the objects of the container at that address.
fn empty(service: &Service, container: &str) -> Result<()> {
    let path = container.strip_prefix(service.base()).unwrap_or_default();
    for page in pages(service, path) {
        for object in page?.list()? {
            if let Some(name) = object["name"].as_str() {
                service.send(Request::new("DELETE", &url::join(container, &encoded(name)?)))?;
            }
        }
    }
    Ok(())
}

/// What a call is about: the account, a container, or objects in it.
#[derive(Debug, Default)]
struct Target {
    container: Option<String>,
    objects: Vec<String>,
    options: Json,
}

impl Target {
    fn has_objects(&self) -> bool {
        !self.objects.is_empty()
    }
}

fn target(call: &Call) -> Result<Target> {
    let template = ACTIONS.iter().find(|template| template.name == call.action);
    let arguments = Arguments::of(call, template.ok_or_else(|| actions::unknown(call))?.arguments)?;
    let container = match arguments.get("container") {
        Some(_) => Some(arguments.path("{container}")?),
        None => None,
    };
    // A list of names; one name stands for a list with it.
    let objects = match arguments.get("objects") {
        Some(Json::Array(objects)) => objects.iter().map(pytext::text).collect(),
        Some(object) => vec![pytext::text(object)],
        None => Vec::new(),
    };
    let objects = objects.iter().map(|name| encoded(name)).collect::<Result<Vec<_>>>()?;
    if container.is_none() && !objects.is_empty() {
        return Err(actions::wrong(call, "objects are in a container, which is missing"));
    }
    let options = arguments.get("options").cloned().unwrap_or_default();
    Ok(Target { container, objects, options })
}

/// The name of an object in a path. Its slashes stay; what would lead elsewhere is refused.
fn encoded(name: &str) -> Result<String> {
    let parts: Vec<&str> = name.split('/').collect();
    if name.is_empty() || parts.iter().any(|part| matches!(*part, "." | "..")) {
        let what = format!("'{name}' is no name of an object that can be addressed");
        return Err(Error::Unsupported(what));
    }
    Ok(parts.into_iter().map(url::encode).collect::<Vec<_>>().join("/"))
}

/// The requests that a call makes at the account with that address, in order.
fn requests(call: &Call, base: &str) -> Result<Vec<Request>> {
    let target = target(call)?;
    let template = ACTIONS.iter().find(|template| template.name == call.action);
    let method = template.map_or("GET", |template| template.request);
    let level = match &target {
        Target { container: None, .. } => "Account",
        target if target.has_objects() => "Object",
        _ => "Container",
    };
    let base = base.trim_end_matches('/');
    let address = match &target.container {
        Some(container) => format!("{base}/{container}"),
        None => base.to_owned(),
    };
    let addresses: Vec<String> = if target.has_objects() {
        target.objects.iter().map(|object| format!("{address}/{object}")).collect()
    } else {
        vec![address]
    };
    let to_all = |headers: Vec<(String, String)>| -> Vec<Request> {
        let request = |address: &String| Request::new(method, address).headers(&headers);
        addresses.iter().map(request).collect()
    };
    match call.action.as_str() {
        "capabilities" => {
            let arguments = Arguments::of(call, "url? refresh_cache?")?;
            let given = arguments.get("url").map(pytext::text);
            Ok(vec![Request::get(&given.unwrap_or_else(|| info(base)))])
        }
        "list" => Ok(addresses.iter().map(|at| listing(at, &target.options)).collect()),
        "post" => Ok(to_all(headers(&target.options, level))),
        "delete" if level == "Account" => {
            Err(actions::wrong(call, "it does not delete whole accounts: give a container"))
        }
        "copy" if !target.has_objects() => {
            Err(actions::wrong(call, "there are no objects to copy"))
        }
        "copy" => copy(&target, base, to_all(headers(&target.options, level))),
        _ => Ok(to_all(Vec::new())),
    }
}

/// Where the cluster tells its capabilities: beside the versions of its API.
fn info(base: &str) -> String {
    url::join(base.split("/v1").next().unwrap_or(base), "info")
}

fn listing(address: &str, options: &Json) -> Request {
    let mut url = format!("{address}?format=json");
    for name in ["prefix", "delimiter"] {
        if let Some(value) = options[name].as_str() {
            url = url::with_query(&url, name, value);
        }
    }
    Request::get(&url)
}

/// Objects are copied onto themselves, with other metadata, unless there is a destination,
/// `/container` or `/container/object`, whose container is made first.
fn copy(target: &Target, base: &str, copies: Vec<Request>) -> Result<Vec<Request>> {
    let container = target.container.as_deref().unwrap_or_default();
    let destination = target.options["destination"].as_str().map(|to| to.trim_matches('/'));
    let (to, name) = match destination.map(|to| to.split_once('/').unwrap_or((to, ""))) {
        Some((to, name)) => (url::encode(to), name),
        None => (container.to_owned(), ""),
    };
    if to.is_empty() || matches!(to.as_str(), "." | "..") {
        return Err(Error::Unsupported("option 'destination' names no container".into()));
    }
    let mut requests = Vec::new();
    if destination.is_some() {
        requests.push(Request::new("PUT", &format!("{base}/{to}")));
    }
    for (request, object) in copies.into_iter().zip(&target.objects) {
        let object = if name.is_empty() { object.clone() } else { encoded(name)? };
        let fresh = target.options["fresh_metadata"] == true;
        let request = request.header("destination", &format!("{to}/{object}"));
        requests.push(if fresh { request.header("x-fresh-metadata", "true") } else { request });
    }
    Ok(requests)
}

/// The headers that options ask for; `meta` and `header` are lists of `name:value`.
fn headers(options: &Json, level: &str) -> Vec<(String, String)> {
    let pairs = |option: &str, prefix: String| {
        let given = options[option].as_array().cloned().unwrap_or_default();
        let pair = move |text: &Json| {
            let (name, value) = text.as_str()?.split_once(':')?;
            Some((format!("{prefix}{}", name.trim()), value.trim().to_owned()))
        };
        given.iter().filter_map(pair).collect::<Vec<_>>()
    };
    let mut headers = pairs("meta", format!("X-{level}-Meta-"));
    for (option, header) in [
        ("read_acl", "X-Container-Read"),
        ("write_acl", "X-Container-Write"),
        ("sync_to", "X-Container-Sync-To"),
        ("sync_key", "X-Container-Sync-Key"),
    ] {
        if let Some(value) = options[option].as_str().filter(|_| level == "Container") {
            headers.push((header.into(), value.into()));
        }
    }
    headers.extend(pairs("header", String::new()));
    headers
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const ACCOUNT: &str = "http://s/v1/AUTH_a";

    type Made = (String, String, Vec<(String, String)>);

    fn made(action: &str, positional: &[Json]) -> Vec<Made> {
        let positional = positional.to_vec();
        let call = Call { action: action.into(), positional, named: Vec::new() };
        let requests = requests(&call, ACCOUNT).unwrap().into_iter();
        requests.map(|r| (r.method, r.url.replace(ACCOUNT, ""), r.headers)).collect()
    }

    fn header(name: &str, value: &str) -> (String, String) {
        (name.into(), value.into())
    }

    #[test]
    fn each_level_has_its_address_and_headers() {
        let meta = json!({"meta": ["Color: blue"], "read_acl": ".r:*"});
        assert_eq!(
            made("post", &[json!("c d"), json!(null), meta.clone()]),
            [(
                "POST".into(),
                "/c%20d".into(),
                vec![header("X-Container-Meta-Color", "blue"), header("X-Container-Read", ".r:*")]
            )]
        );
        assert_eq!(
            made("post", &[json!("c"), json!(["a/b", "ü"]), meta]),
            ["/c/a/b", "/c/%C3%BC"].map(|path| {
                ("POST".into(), path.into(), vec![header("X-Object-Meta-Color", "blue")])
            })
        );
        assert_eq!(made("stat", &[]), [("HEAD".into(), String::new(), Vec::new())]);
        let delete = made("delete", &[json!("c"), json!("o")]);
        assert_eq!(delete, [("DELETE".into(), "/c/o".into(), Vec::new())]);
    }

    #[test]
    fn copies_go_to_their_destination() {
        let to = json!({"destination": "/backup"});
        let copy = made("copy", &[json!("c"), json!(["o"]), to]);
        assert_eq!(copy[0], ("PUT".into(), "/backup".into(), Vec::new()));
        assert_eq!(
            copy[1],
            ("COPY".into(), "/c/o".into(), vec![header("destination", "backup/o")])
        );
        let copy = made("copy", &[json!("c"), json!("o")]);
        assert_eq!(copy, [("COPY".into(), "/c/o".into(), vec![header("destination", "c/o")])]);
    }

    #[test]
    fn what_would_address_more_is_refused() {
        let delete = |positional: &[Json]| {
            let positional = positional.to_vec();
            let call = Call { action: "delete".into(), positional, named: Vec::new() };
            requests(&call, ACCOUNT).unwrap_err()
        };
        for arguments in [
            &[][..],
            &[json!("")],
            &[json!("..")],
            &[json!("c"), json!([""])],
            &[json!("c"), json!(["../d/o"])],
            &[json!(null), json!(["o"])],
        ] {
            assert!(matches!(delete(arguments), Error::Unsupported(_)), "{arguments:?}");
        }
    }
}
