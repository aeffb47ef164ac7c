//! Where we differ from the recordings on purpose, and why.

use congress_tests::Reply;
use serde_json::Value;

use crate::scenario::{RecordedResponse, Step};

/// A scenario, some of its steps, and the reason.
type Deviation = (&'static str, &'static [usize], &'static str);

/// Secrets of datasources are shown to nobody.
pub(crate) const HIDDEN: &str = "secrets are hidden in every answer";

/// The list of a compiler's errors.
pub(crate) const ONCE: &str = "an error is told once";

const LIBRARY: &str = "a library policy can be replaced";

const COLUMNS: &str = "rules can read a table that has no columns";

/// The specification wants what the reference did not do. A step that agrees after all must leave
/// the list.
const DEVIATIONS: &[Deviation] = &[
    ("doctor-driver", &[11], "an error says what is wrong, not just which key"),
    ("datasource-execute", &[15, 17], "what was executed by the datasource's id has had an effect"),
    ("library-crud", &[14, 15, 17, 18, 19, 27], LIBRARY),
    ("push-driver", &[11, 12, 20], COLUMNS),
    ("push-driver", &[7, 8], "rows are taken for tables that there are, and replace that one's"),
    ("push-driver", &[15], "what is no list of rows is refused"),
    ("rules-syntax-accepted", &[20, 21], "`true` is a literal like any other when laid out"),
    ("rules-syntax-accepted", &[38], "`true` is no table"),
];

/// Why a step differs, if it is one that does so on purpose.
pub(crate) fn listed(scenario: &str, step: usize) -> Option<&'static str> {
    DEVIATIONS
        .iter()
        .find(|(name, steps, _)| *name == scenario && steps.contains(&step))
        .map(|(_, _, reason)| *reason)
}

/// Steps of a scenario that are to differ.
pub(crate) fn steps(scenario: &str) -> impl Iterator<Item = usize> {
    DEVIATIONS.iter().filter(move |(name, _, _)| *name == scenario).flat_map(|d| d.1).copied()
}

/// Why an answer differs, if it does so in one of the ways in which the specification repairs the
/// reference, whatever the scenario.
pub(crate) fn repaired(step: &Step, reply: &Reply) -> Option<&'static str> {
    let RecordedResponse { status: recorded, body, .. } = &step.response;
    let (method, path) = (step.request.method.as_str(), step.request.path.as_str());
    let given = reply.json().unwrap_or_default();
    let code = |body: &Value| body["error"]["error_code"].as_u64();
    let succeeds = reply.status < 300;
    let no_rows = |body: &Value| body["results"].as_array().is_some_and(Vec::is_empty);
    if method == "DELETE" && code(body) == Some(1000) && path.contains("/rules/") {
        return (reply.status == 404 && code(&given) == Some(404))
            .then_some("deleting an unknown rule is a plain 404");
    }
    if method == "DELETE" && *recorded == 400 && code(body) == Some(404) {
        return (reply.status == 404 && given["error"]["message"] == body["error"]["message"])
            .then_some("deleting an unknown datasource is a plain 404");
    }
    if method == "POST" && *recorded == 501 && path.contains("action=execute") {
        return matches!(code(&given), Some(1016 | 1017))
            .then_some("an execution without a name is told what it lacks");
    }
    if method == "PUT" && *recorded == 501 && path.starts_with("/v1/librarypolicies/") {
        return Some(LIBRARY);
    }
    let never_read = "Not Found::tablename '";
    if method == "GET" && path.ends_with("/rows") && path.starts_with("/v1/data-sources/") {
        let message = body["error"]["message"].as_str().unwrap_or_default();
        return (message.starts_with(never_read) && succeeds && no_rows(&given))
            .then_some("a table that has not been read yet is empty");
    }
    // The reference took ids of policies and datasources in some places only.
    let by_id = match (method, path.split_once('?')) {
        ("GET", _) => {
            let below = path.strip_prefix("/v1/policies/<uuid:").and_then(|p| p.split_once(">/"));
            below
                .is_some_and(|(_, below)| below.starts_with("rules") || below.starts_with("tables"))
        }
        ("POST", Some((element, query))) => {
            element.ends_with('>')
                && ["action=simulate", "action=execute"].iter().any(|a| query.contains(a))
        }
        _ => false,
    };
    (by_id && matches!(recorded, 400 | 404) && succeeds)
        .then_some("ids are accepted wherever names are")
}
