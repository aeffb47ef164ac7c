//! What policies can do to servers and their surroundings: the table of requests, and what does not
//! fit into it.

use congress_driver::actions::{self, Arguments};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result, describe, logging, pytext, url};
use serde_json::{Map, Value as Json, json};

use crate::reads::READS;
use crate::templates::TEMPLATES;

/// Actions that are more, or less, than one request of fixed shape.
const SET_META: &str = "servers_set_meta";
const DELETE_META: &str = "servers.delete_meta";
const RESCUE: &str = "servers.rescue";
const DELETE_QUOTAS: &str = "quotas.delete";
const DELETE_SNAPSHOT: &str = "assisted_volume_snapshots.delete";
const VERSIONS: [&str; 4] =
    ["versions.find", "versions.findall", "versions.get_current", "versions.list"];

/// All actions, as the metadata shows them.
pub(crate) fn all() -> impl Iterator<Item = Action> {
    let set_meta = describe::action(SET_META, "Sets items of a server's metadata, given in pairs.")
        .argument("server", "")
        .argument("meta-key1", "")
        .argument("meta-value1", "")
        .optional("meta-keyN", "")
        .optional("meta-valueN", "")
        .with_others();
    let delete_meta = describe::action(DELETE_META, "Deletes items of a server's metadata.")
        .argument("server", "")
        .argument("keys", "A list, or one key.");
    let rescue = describe::action(RESCUE, "Starts a server in rescue mode.")
        .argument("server", "")
        .optional("password", "")
        .optional("image", "");
    let delete_quotas = describe::action(DELETE_QUOTAS, "Returns a project to the default quotas.")
        .argument("tenant_id", "")
        .optional("user_id", "Only the quotas of this user.");
    let delete_snapshot = describe::action(DELETE_SNAPSHOT, "Deletes a snapshot of a volume.")
        .argument("snapshot", "")
        .argument("delete_info", "");
    let versions = VERSIONS.map(|name| describe::action(name, "Reads the API's versions."));
    actions::describe(TEMPLATES)
        .chain(actions::describe(READS))
        .chain([set_meta, delete_meta, rescue, delete_quotas, delete_snapshot])
        .chain(versions)
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    match call.action.as_str() {
        SET_META => match set_meta(call)? {
            Some(call) => service.execute(TEMPLATES, &call),
            None => {
                logging::info("servers_set_meta: no arguments, nothing to do");
                Ok(())
            }
        },
        DELETE_META => delete_meta(call)?.iter().try_for_each(|path| {
            service.send(Request::new("DELETE", &url::join(service.base(), path)))
        }),
        RESCUE => service.send(rescue(call, service.base())?),
        DELETE_QUOTAS => {
            let arguments = Arguments::of(call, "tenant_id user_id?")?;
            let mut url = url::join(service.base(), &arguments.path("os-quota-sets/{tenant_id}")?);
            if let Some(user) = arguments.get("user_id") {
                url = url::with_query(&url, "user_id", &pytext::text(user));
            }
            service.send(Request::new("DELETE", &url))
        }
        DELETE_SNAPSHOT => {
            let arguments = Arguments::of(call, "snapshot delete_info")?;
            let path = arguments.path("os-assisted-volume-snapshots/{snapshot}")?;
            let info = arguments.get("delete_info").unwrap_or(&Json::Null).to_string();
            let url = url::with_query(&url::join(service.base(), &path), "delete_info", &info);
            service.send(Request::new("DELETE", &url))
        }
        name if VERSIONS.contains(&name) => {
            Arguments::of(call, "")?;
            let base = service.base();
            // Above the version that the catalogue names are all versions.
            let all = base.rsplit_once('/').map_or(base, |(all, _)| all);
            let url = if name == "versions.get_current" { base } else { all };
            service.send(Request::get(url))
        }
        name if READS.iter().any(|template| template.name == name) => service.execute(READS, call),
        _ => service.execute(TEMPLATES, call),
    }
}

/// From a server and pairs of key and value to a call of `servers.set_meta`; none if there is
/// nothing to do.
fn set_meta(call: &Call) -> Result<Option<Call>> {
    let Some((server, pairs)) = call.positional.split_first() else { return Ok(None) };
    let (pairs, []) = pairs.as_chunks() else {
        let given: Vec<Json> = pairs.to_vec();
        let given = pytext::repr(&Json::Array(given));
        return Err(actions::wrong(call, &format!("{given} must be pairs of key and value")));
    };
    let metadata: Map<String, Json> =
        pairs.iter().map(|[key, value]| (pytext::text(key), value.clone())).collect();
    Ok(Some(Call {
        action: "servers.set_meta".into(),
        positional: vec![server.clone(), json!(metadata)],
        named: call.named.clone(),
    }))
}

/// A password or an image make an object of what is null otherwise.
fn rescue(call: &Call, base: &str) -> Result<Request> {
    let arguments = Arguments::of(call, "server password? image?")?;
    let given = json!({"adminPass": "{password}", "rescue_image_ref": "{image}"});
    let given = arguments.body(&given).filter(|given| *given != json!({}));
    let url = url::join(base, &arguments.path("servers/{server}/action")?);
    Ok(Request::new("POST", &url).json(&json!({ "rescue": given })))
}

/// The paths of the items to delete.
fn delete_meta(call: &Call) -> Result<Vec<String>> {
    let arguments = Arguments::of(call, "server keys")?;
    let server = arguments.path("servers/{server}/metadata")?;
    let keys = match arguments.get("keys") {
        Some(Json::Array(keys)) => keys.clone(),
        Some(key) => vec![key.clone()],
        None => Vec::new(),
    };
    keys.into_iter()
        .map(|key| {
            let key = Call { positional: vec![key], ..call.clone() };
            let key = Arguments::of(&key, "key")?.path("{key}")?;
            Ok(format!("{server}/{key}"))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use congress_driver::Error;

    use super::*;

    fn call(action: &str, positional: &[&str]) -> Call {
        let positional = positional.iter().map(|text| json!(text)).collect();
        Call { action: action.into(), positional, named: Vec::new() }
    }

    fn request(call: &Call) -> (String, String, Json) {
        let request = actions::request(TEMPLATES, call, "http://n/v2.1").unwrap();
        let body = request.body.map_or(Json::Null, |body| serde_json::from_slice(&body).unwrap());
        (request.method, request.url.replace("http://n/v2.1/", ""), body)
    }

    #[test]
    fn templates_are_well_formed() {
        for template in TEMPLATES {
            let required: Vec<&str> = template
                .arguments
                .split_whitespace()
                .filter(|argument| !argument.contains(['=', '?']))
                .collect();
            let (_, url, _) = request(&call(template.name, &required));
            assert!(!url.contains('{'), "{}: {url}", template.name);
        }
    }

    #[test]
    fn pairs_become_metadata() {
        let call = |arguments: &[&str]| set_meta(&call(SET_META, arguments));
        let set = call(&["s", "k1", "v1", "k2", "v2"]).unwrap().unwrap();
        let expected = json!({"metadata": {"k1": "v1", "k2": "v2"}});
        assert_eq!(request(&set), ("POST".into(), "servers/s/metadata".into(), expected));
        assert_eq!(call(&[]), Ok(None));
        let Err(Error::Unsupported(text)) = call(&["s", "k1"]) else { panic!("odd number") };
        assert!(text.contains("['k1'] must be pairs"), "{text}");
    }

    #[test]
    fn rescue_takes_a_password_or_nothing() {
        let body = |arguments: &[&str]| {
            let request = rescue(&call(RESCUE, arguments), "http://n/v2.1").unwrap();
            serde_json::from_slice::<Json>(&request.body.unwrap()).unwrap()
        };
        assert_eq!(body(&["s"]), json!({"rescue": null}));
        assert_eq!(body(&["s", "p"]), json!({"rescue": {"adminPass": "p"}}));
    }

    #[test]
    fn each_key_is_deleted() {
        let mut call = call(DELETE_META, &["s"]);
        call.positional.push(json!(["a", "b/c"]));
        let paths = delete_meta(&call).unwrap();
        assert_eq!(paths, ["servers/s/metadata/a", "servers/s/metadata/b%2Fc"]);
        call.positional[1] = json!("one");
        assert_eq!(delete_meta(&call).unwrap(), ["servers/s/metadata/one"]);
    }

    #[test]
    fn actions_have_unique_names() {
        let mut names: Vec<String> = all().map(|action| action.name).collect();
        let count = names.len();
        names.sort();
        names.dedup();
        assert_eq!(names.len(), count);
    }
}
