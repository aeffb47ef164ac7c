//! What policies can do to volumes and their surroundings.

use congress_driver::actions::{self, Arguments, Template, bare, with_body};
use congress_driver::openstack::Service;
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result, json};
use serde_json::Value as Json;

/// The actions that are one request.
const TEMPLATES: &str = include_str!("actions.txt");

/// Actions that are a request for each of several keys: a list of them, or one alone, for a rule
/// has no lists.
const BY_KEY: [Template; 3] = [
    bare(
        "volume_snapshots.delete_metadata",
        "snapshot keys",
        "DELETE snapshots/{snapshot}/metadata/{keys}",
        "Delete specified keys from snapshot metadata.",
    ),
    with_body(
        "volumes.delete_image_metadata",
        "volume keys",
        "POST volumes/{volume}/action",
        r#"{"os-unset_image_metadata": {"key": "{keys}"}}"#,
        "Delete specified keys from volume's image metadata.",
    ),
    bare(
        "volumes.delete_metadata",
        "volume keys",
        "DELETE volumes/{volume}/metadata/{keys}",
        "Delete specified keys from volumes metadata.",
    ),
];

/// All actions, as the metadata shows them.
pub(crate) fn all() -> Vec<Action> {
    let templates = actions::parse(TEMPLATES);
    actions::sorted(actions::describe(&templates).chain(actions::describe(&BY_KEY)))
}

/// Runs an action.
pub(crate) fn execute(service: &Service, call: &Call) -> Result<()> {
    match BY_KEY.iter().find(|template| template.name == call.action) {
        Some(template) => {
            let requests = by_key(template, call, service.base())?;
            requests.into_iter().try_for_each(|request| service.send(request))
        }
        None => service.execute(&actions::parse(TEMPLATES), call),
    }
}

/// A request for each key; all of them are right, or none is made.
fn by_key(template: &Template, call: &Call, base: &str) -> Result<Vec<Request>> {
    let arguments = Arguments::of(call, template.arguments)?;
    let mut names = template.arguments.split_whitespace();
    let target = names.next().and_then(|name| arguments.get(name)).cloned().unwrap_or_default();
    let keys = match arguments.get("keys") {
        Some(Json::Array(keys)) => keys.clone(),
        Some(key @ Json::String(_)) => vec![key.clone()],
        other => {
            let kind = other.map_or("missing", json::kind);
            let what = format!("argument 'keys' must be a list of texts or a text, it is {kind}");
            return Err(actions::wrong(call, &what));
        }
    };
    let one = |key| Call {
        action: call.action.clone(),
        positional: vec![target.clone(), key],
        named: Vec::new(),
    };
    keys.into_iter().map(|key| actions::request(&BY_KEY, &one(key), base)).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn templates_are_well_formed() {
        actions::check(TEMPLATES).unwrap();
        for template in &BY_KEY {
            template.check().unwrap();
        }
    }

    #[test]
    fn keys_are_deleted_one_by_one() {
        let urls = |keys: Json| -> Result<Vec<String>> {
            let call = Call {
                action: BY_KEY[2].name.into(),
                positional: vec![json!("v"), keys],
                named: Vec::new(),
            };
            let requests = by_key(&BY_KEY[2], &call, "http://c")?;
            Ok(requests.into_iter().map(|request| request.url).collect())
        };
        let url = |key: &str| format!("http://c/volumes/v/metadata/{key}");
        assert_eq!(urls(json!(["a", "b/c"])).unwrap(), [url("a"), url("b%2Fc")]);
        assert_eq!(urls(json!("owner")).unwrap(), [url("owner")]);
        assert!(urls(json!([])).unwrap().is_empty());
        assert!(urls(json!(1)).is_err() && urls(json!([""])).is_err());
    }
}
