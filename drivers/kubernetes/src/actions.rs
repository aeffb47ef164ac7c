//! What policies can do in a cluster.

use congress_driver::actions::{self, Template, bare, with_body};
use congress_driver::session::Request;
use congress_driver::{Action, Call, Result};
use serde_json::Value as Json;

const TEMPLATES: &[Template] = &[
    with_body(
        "nodes.cordon",
        "node",
        "PATCH api/v1/nodes/{node}",
        r#"{"spec": {"unschedulable": true}}"#,
        "Keeps new pods off a node.",
    ),
    with_body(
        "nodes.uncordon",
        "node",
        "PATCH api/v1/nodes/{node}",
        r#"{"spec": {"unschedulable": null}}"#,
        "Allows new pods on a node again.",
    ),
    with_body(
        "nodes.label",
        "node label value",
        "PATCH api/v1/nodes/{node}",
        LABEL,
        "Sets a label of a node.",
    ),
    with_body(
        "nodes.unlabel",
        "node label",
        "PATCH api/v1/nodes/{node}",
        UNLABEL,
        "Removes a label of a node.",
    ),
    with_body(
        "pods.delete",
        "namespace pod grace_period?",
        "DELETE api/v1/namespaces/{namespace}/pods/{pod}",
        r#"{"gracePeriodSeconds": "{grace_period}"}"#,
        "Deletes a pod; its owner may start another one.",
    ),
    with_body(
        "pods.evict",
        "namespace pod",
        "POST api/v1/namespaces/{namespace}/pods/{pod}/eviction",
        r#"{"apiVersion": "policy/v1", "kind": "Eviction",
            "metadata": {"name": "{pod}", "namespace": "{namespace}"}}"#,
        "Deletes a pod unless a disruption budget forbids it.",
    ),
    with_body(
        "pods.label",
        "namespace pod label value",
        "PATCH api/v1/namespaces/{namespace}/pods/{pod}",
        LABEL,
        "Sets a label of a pod, as for a network policy that isolates it.",
    ),
    with_body(
        "pods.annotate",
        "namespace pod annotation value",
        "PATCH api/v1/namespaces/{namespace}/pods/{pod}",
        ANNOTATE,
        "Sets an annotation of a pod.",
    ),
    with_body(
        "namespaces.label",
        "namespace label value",
        "PATCH api/v1/namespaces/{namespace}",
        LABEL,
        "Sets a label of a namespace.",
    ),
    with_body(
        "namespaces.annotate",
        "namespace annotation value",
        "PATCH api/v1/namespaces/{namespace}",
        ANNOTATE,
        "Sets an annotation of a namespace.",
    ),
    with_body(
        "deployments.scale",
        "namespace deployment replicas",
        "PATCH apis/apps/v1/namespaces/{namespace}/deployments/{deployment}/scale",
        SCALE,
        "Sets how many pods a deployment has.",
    ),
    with_body(
        "deployments.label",
        "namespace deployment label value",
        "PATCH apis/apps/v1/namespaces/{namespace}/deployments/{deployment}",
        LABEL,
        "Sets a label of a deployment.",
    ),
    with_body(
        "deployments.annotate",
        "namespace deployment annotation value",
        "PATCH apis/apps/v1/namespaces/{namespace}/deployments/{deployment}",
        ANNOTATE,
        "Sets an annotation of a deployment.",
    ),
    with_body(
        "stateful_sets.scale",
        "namespace stateful_set replicas",
        "PATCH apis/apps/v1/namespaces/{namespace}/statefulsets/{stateful_set}/scale",
        SCALE,
        "Sets how many pods a stateful set has.",
    ),
    with_body(
        "cron_jobs.suspend",
        "namespace cron_job suspend=true",
        "PATCH apis/batch/v1/namespaces/{namespace}/cronjobs/{cron_job}",
        r#"{"spec": {"suspend": "{suspend}"}}"#,
        "Stops a cron job from running, or allows it again.",
    ),
    bare(
        "objects.delete",
        "path",
        "DELETE {+path}",
        "Deletes any object, given the path of its API, as apis/GROUP/VERSION/…/NAME.",
    ),
    with_body(
        "objects.patch",
        "path patch",
        "PATCH {+path}",
        r#""{patch}""#,
        "Changes any object by a JSON merge patch.",
    ),
];

const LABEL: &str = r#"{"metadata": {"labels": {"{label}": "{value}"}}}"#;
const UNLABEL: &str = r#"{"metadata": {"labels": {"{label}": null}}}"#;
const ANNOTATE: &str = r#"{"metadata": {"annotations": {"{annotation}": "{value}"}}}"#;
const SCALE: &str = r#"{"spec": {"replicas": "{replicas}"}}"#;

/// All actions, as the metadata shows them.
pub(crate) fn all() -> impl Iterator<Item = Action> {
    actions::describe(TEMPLATES)
}

/// The request that a call makes.
pub(crate) fn request(call: &Call, base: &str) -> Result<Request> {
    let mut request = actions::request(TEMPLATES, &typed(call), base)?;
    if request.method == "PATCH" {
        // What is not named stays as it is.
        request.headers.retain(|(name, _)| name != "content-type");
        request = request.header("content-type", "application/merge-patch+json");
    }
    Ok(request)
}

/// The call with arguments of the types that Kubernetes insists on: labels and annotations are
/// texts, numbers of pods are numbers, patches are objects. Policies have texts for most of it.
fn typed(call: &Call) -> Call {
    let (position, names, convert): (usize, &[&str], fn(&Json) -> Json) = match call.action.as_str()
    {
        "deployments.scale" | "stateful_sets.scale" => (2, &["replicas"], parsed),
        "pods.delete" => (2, &["grace_period"], parsed),
        "cron_jobs.suspend" => (2, &["suspend"], parsed),
        "objects.patch" => (1, &["patch"], parsed),
        "nodes.label" => (2, &["value"], text),
        "namespaces.label" | "namespaces.annotate" => (2, &["value"], text),
        action if action.ends_with(".label") || action.ends_with(".annotate") => {
            (3, &["value"], text)
        }
        _ => return call.clone(),
    };
    let mut call = call.clone();
    if let Some(value) = call.positional.get_mut(position) {
        *value = convert(value);
    }
    for (_, value) in call.named.iter_mut().filter(|(name, _)| names.contains(&name.as_str())) {
        *value = convert(value);
    }
    call
}

fn text(value: &Json) -> Json {
    match value {
        Json::Number(_) | Json::Bool(_) => Json::String(value.to_string()),
        other => other.clone(),
    }
}

/// What a text says in JSON; the text again if it is none. Policies write True and False.
fn parsed(value: &Json) -> Json {
    match value.as_str() {
        Some("True") => Json::Bool(true),
        Some("False") => Json::Bool(false),
        Some(text) => serde_json::from_str(text).unwrap_or_else(|_| value.clone()),
        None => value.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn sent(action: &str, positional: Json) -> (String, String, Json, String) {
        let positional = positional.as_array().unwrap().clone();
        let call = Call { action: action.into(), positional, named: Vec::new() };
        let request = request(&call, "https://k8s").unwrap();
        let body = request.body.map_or(Json::Null, |body| serde_json::from_slice(&body).unwrap());
        let types = request.headers.iter().filter(|(name, _)| name == "content-type");
        let types: Vec<_> = types.map(|(_, value)| value.clone()).collect();
        (request.method, request.url.replace("https://k8s/", ""), body, types.join(" "))
    }

    #[test]
    fn nodes_are_cordoned_by_a_merge_patch() {
        assert_eq!(
            sent("nodes.cordon", json!(["worker-1"])),
            (
                "PATCH".into(),
                "api/v1/nodes/worker-1".into(),
                json!({"spec": {"unschedulable": true}}),
                "application/merge-patch+json".into(),
            )
        );
        let (_, _, body, _) = sent("nodes.uncordon", json!(["worker-1"]));
        assert_eq!(body, json!({"spec": {"unschedulable": null}}));
    }

    #[test]
    fn values_have_the_types_that_are_wanted() {
        let (_, _, body, _) = sent("pods.label", json!(["shop", "web-1", "quarantine", true]));
        assert_eq!(body, json!({"metadata": {"labels": {"quarantine": "true"}}}));
        let (_, url, body, _) = sent("deployments.scale", json!(["shop", "web", "3"]));
        assert_eq!(url, "apis/apps/v1/namespaces/shop/deployments/web/scale");
        assert_eq!(body, json!({"spec": {"replicas": 3}}));
        let patch =
            sent("objects.patch", json!(["apis/x/v1/things/a", "{\"spec\": {\"on\": false}}"]));
        assert_eq!(patch.2, json!({"spec": {"on": false}}));
        let (_, _, body, _) = sent("cron_jobs.suspend", json!(["shop", "007", "False"]));
        assert_eq!(body, json!({"spec": {"suspend": false}}));
        let (_, _, body, _) = sent("nodes.unlabel", json!(["n", "a.b/c"]));
        assert_eq!(body, json!({"metadata": {"labels": {"a.b/c": null}}}));
    }

    #[test]
    fn pods_are_deleted_with_or_without_grace() {
        let (method, url, body, _) = sent("pods.delete", json!(["shop", "web-1"]));
        assert_eq!(
            (method.as_str(), url.as_str()),
            ("DELETE", "api/v1/namespaces/shop/pods/web-1")
        );
        assert_eq!(body, json!({}));
        let (_, _, body, _) = sent("pods.delete", json!(["shop", "web-1", 0]));
        assert_eq!(body, json!({"gracePeriodSeconds": 0}));
    }

    #[test]
    fn templates_are_well_formed() {
        for template in TEMPLATES {
            let required: Vec<Json> = template
                .arguments
                .split_whitespace()
                .filter(|argument| !argument.contains(['=', '?']))
                .map(|argument| json!(argument))
                .collect();
            let (_, url, _, _) = sent(template.name, json!(required));
            assert!(!url.contains('{'), "{}: {url}", template.name);
        }
    }
}
