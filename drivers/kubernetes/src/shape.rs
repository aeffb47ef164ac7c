//! What all objects of Kubernetes have in common, and the shapes that recur in them.

use congress_driver::json::{elements, with};
use congress_driver::path::Path;
use congress_driver::translate::{Field, Translator, hdict, list, nested, value, vdict};
use congress_driver::types::DataType::Str;
use serde_json::{Value as Json, json};

/// Holds a whole object once more, environment variables included.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";

/// Whether objects are in namespaces.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Scope {
    Cluster,
    Namespaced,
}

/// Objects of one kind: uid, namespace, name and time of creation, then `fields`; and the tables
/// of their labels and annotations.
pub(crate) fn object(
    table: &str,
    scope: Scope,
    fields: impl IntoIterator<Item = Field>,
) -> Translator {
    let metadata = |column: &str, member: &str, text: &str| {
        at(column, ["metadata", member]).typed(Str).desc(text)
    };
    let namespace = metadata("namespace", "namespace", "The namespace it is in");
    let pairs = |name: &str, key: &str| {
        let pairs = vdict(&format!("{table}.{name}"), key, "value").parent_key("uid");
        nested(name, pairs.parent_col("uid").extract_objects(without_last_applied))
            .at(Path::members(["metadata", name]))
    };
    hdict(table)
        .fields([metadata("uid", "uid", "The id of the object")])
        .fields((scope == Scope::Namespaced).then_some(namespace))
        .fields([
            metadata("name", "name", "The name of the object"),
            metadata("created", "creationTimestamp", "When it was created"),
        ])
        .fields(fields)
        .fields([pairs("labels", "label"), pairs("annotations", "annotation")])
}

/// A column whose cell is deeper in the object.
pub(crate) fn at<const N: usize>(column: &str, path: [&str; N]) -> Field {
    value(column).at(Path::members(path))
}

/// A table of objects in a list, deeper in the object.
pub(crate) fn rows<const N: usize>(
    table: &str,
    path: [&str; N],
    fields: impl IntoIterator<Item = Field>,
) -> Field {
    child(hdict(table).in_list().fields(fields), path)
}

/// The same, made of what stands at the path by a function that answers a list of objects.
pub(crate) fn rows_of<const N: usize>(
    table: &str,
    path: [&str; N],
    list: impl Fn(&Json) -> Json + 'static,
    fields: impl IntoIterator<Item = Field>,
) -> Field {
    child(hdict(table).in_list().extract_objects(list).fields(fields), path)
}

/// A table of plain values in a list.
pub(crate) fn values<const N: usize>(table: &str, path: [&str; N], column: &str) -> Field {
    child(list(table, column), path)
}

/// A table of labels, as selectors hold them.
pub(crate) fn labels<const N: usize>(table: &str, path: [&str; N]) -> Field {
    child(vdict(table, "label", "value"), path)
}

/// The conditions of an object.
pub(crate) fn conditions(table: &str) -> Field {
    rows(
        table,
        ["status", "conditions"],
        [
            value("type").typed(Str).desc("What it is about, as Ready"),
            value("status").typed(Str).desc("True, False or Unknown"),
            value("reason").typed(Str).desc("Why, in one word"),
        ],
    )
}

/// Every object's uid is the first column of the tables inside of it.
fn child<const N: usize>(translator: Translator, path: [&str; N]) -> Field {
    let translator =
        translator.parent_key("uid").parent_col("uid").parent_desc("The id of the object");
    nested("", translator).at(Path::members(path))
}

fn without_last_applied(pairs: &Json) -> Json {
    match pairs {
        Json::Object(members) => {
            let kept = members.iter().filter(|(key, _)| *key != LAST_APPLIED);
            Json::Object(kept.map(|(key, value)| (key.clone(), value.clone())).collect())
        }
        other => other.clone(),
    }
}

/// The containers of a pod's specification, each with its kind.
pub(crate) fn containers(spec: &Json) -> Json {
    let kinds =
        [("containers", "main"), ("initContainers", "init"), ("ephemeralContainers", "ephemeral")];
    let containers = kinds.iter().flat_map(|(member, kind)| {
        elements(&spec[*member]).iter().map(move |container| with(container, "kind", json!(kind)))
    });
    containers.collect()
}

/// The status of all containers of a pod, each with the state it is in and the reason.
pub(crate) fn statuses(status: &Json) -> Json {
    let members = ["containerStatuses", "initContainerStatuses", "ephemeralContainerStatuses"];
    let all = members.iter().flat_map(|member| elements(&status[*member]));
    all.map(|status| {
        let state = status["state"].as_object().and_then(|state| state.iter().next());
        let (name, details) = state.map_or((Json::Null, Json::Null), |(name, details)| {
            (json!(name), details["reason"].clone())
        });
        with(&with(status, "state", name), "reason", details)
    })
    .collect()
}

/// The volumes of a pod: name, kind (the member that says where it comes from) and source.
pub(crate) fn volumes(volumes: &Json) -> Json {
    let named = |details: &Json| {
        ["path", "claimName", "secretName", "name", "driver", "server"]
            .iter()
            .find_map(|member| details.get(member).filter(|value| value.is_string()).cloned())
    };
    let volume = |volume: &Json| {
        let source = volume.as_object()?.iter().find(|(member, _)| *member != "name");
        let (kind, details) = source.map_or((Json::Null, &Json::Null), |(k, d)| (json!(k), d));
        Some(json!({ "name": volume["name"], "kind": kind, "source": named(details) }))
    };
    elements(volumes).iter().filter_map(volume).collect()
}

/// The rules of a role, one row for each group, resource and verb.
pub(crate) fn grants(rules: &Json) -> Json {
    let mut rows = Vec::new();
    for rule in elements(rules) {
        for verb in elements(&rule["verbs"]) {
            for url in elements(&rule["nonResourceURLs"]) {
                rows.push(json!({ "group": null, "resource": url, "verb": verb }));
            }
            for group in elements(&rule["apiGroups"]) {
                for resource in elements(&rule["resources"]) {
                    let names = match elements(&rule["resourceNames"]) {
                        [] => &[Json::Null],
                        names => names,
                    };
                    rows.extend(names.iter().map(|name| {
                        json!({ "group": group, "resource": resource, "name": name, "verb": verb })
                    }));
                }
            }
        }
    }
    Json::Array(rows)
}

/// The paths of an ingress, each with its host.
pub(crate) fn paths(rules: &Json) -> Json {
    let paths = elements(rules).iter().flat_map(|rule| {
        let paths = elements(&rule["http"]["paths"]).iter();
        paths.map(move |path| with(path, "host", rule["host"].clone()))
    });
    paths.collect()
}

/// The hosts that an ingress has certificates for, each with the secret that holds it.
pub(crate) fn certificates(tls: &Json) -> Json {
    let hosts = elements(tls).iter().flat_map(|tls| {
        let hosts = elements(&tls["hosts"]).iter();
        hosts.map(move |host| json!({ "host": host, "secret": tls["secretName"] }))
    });
    hosts.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn containers_of_all_kinds() {
        let spec = json!({"containers": [{"name": "a"}], "initContainers": [{"name": "b"}]});
        let expected = json!([{"name": "a", "kind": "main"}, {"name": "b", "kind": "init"}]);
        assert_eq!(containers(&spec), expected);
        assert_eq!(containers(&json!({"containers": null})), json!([]));
    }

    #[test]
    fn volumes_name_their_source() {
        let list = json!([
            {"name": "a", "hostPath": {"path": "/etc", "type": ""}},
            {"name": "b", "emptyDir": {}},
            {"name": "c", "persistentVolumeClaim": {"claimName": "data"}},
            {"name": "d"},
        ]);
        assert_eq!(
            volumes(&list),
            json!([
                {"name": "a", "kind": "hostPath", "source": "/etc"},
                {"name": "b", "kind": "emptyDir", "source": null},
                {"name": "c", "kind": "persistentVolumeClaim", "source": "data"},
                {"name": "d", "kind": null, "source": null},
            ])
        );
    }

    #[test]
    fn a_rule_is_a_row_for_each_combination() {
        let rules = json!([
            {"apiGroups": ["", "apps"], "resources": ["pods"], "verbs": ["get", "list"]},
            {"apiGroups": [""], "resources": ["secrets"], "verbs": ["get"], "resourceNames": ["s"]},
            {"nonResourceURLs": ["/healthz"], "verbs": ["get"]},
            null,
        ]);
        let rows = grants(&rules);
        assert_eq!(rows.as_array().unwrap().len(), 6);
        let secret = json!({"group": "", "resource": "secrets", "name": "s", "verb": "get"});
        assert_eq!(rows[4], secret);
        assert_eq!(rows[5]["resource"], "/healthz");
    }

    #[test]
    fn a_state_has_a_name_and_a_reason() {
        let status = json!({"containerStatuses": [
            {"name": "a", "state": {"waiting": {"reason": "CrashLoopBackOff"}}},
            {"name": "b", "state": {}},
        ]});
        let states = statuses(&status);
        assert_eq!(
            (&states[0]["state"], &states[0]["reason"]),
            (&json!("waiting"), &json!("CrashLoopBackOff"))
        );
        assert_eq!(states[1]["state"], Json::Null);
    }
}
