//! What of a step's outcome is compared with the recorded one, and how.

use serde_json::Value;

use crate::ops::{Done, Failure};
use crate::syntax_ops::comparable_error;

/// The result of a comparison.
pub(crate) enum Verdict {
    Same,
    /// The step needs what this build has not got.
    NotBuilt(String),
    Differs(String),
}

/// Compares a step with its record.
pub(crate) fn step(topic: &str, step: &Value, done: &Done) -> Verdict {
    let flag = |name: &str| step.get(name).is_some_and(|flag| *flag != Value::Bool(false));
    let result = match &done.result {
        Err(Failure::NotBuilt(what)) => return Verdict::NotBuilt(what.clone()),
        Err(Failure::Refused(errors)) => Err(errors),
        Ok(value) => Ok(value),
    };
    if flag("upstream_bug") || flag("skipped") {
        // The record is wrong; what is right is beside it, or the step must just end.
        let Some(expected) = step.get("expected") else { return Verdict::Same };
        let Ok(value) = result else { return differs(expected, &show(done)) };
        let got = value.get("answers").unwrap_or(value);
        let wanted = expected.get("answers").unwrap_or(expected);
        return if same_list(&once(got), &once(wanted)) {
            Verdict::Same
        } else {
            differs(wanted, got)
        };
    }
    if is_ours_to_choose(step) {
        return Verdict::Same;
    }
    let succeeded = |value: &Value| value["permitted"] != Value::Bool(false);
    let recorded = step.get("ok").filter(|_| step.get("error").is_none());
    if flag("after_bug") {
        // The original's state may be off from here on. Queries of the random topics have been
        // checked again; of anything else at most success and failure can be compared.
        let query = matches!(step["op"].as_str(), Some("select" | "content"));
        match recorded {
            Some(recorded) if query && topic.starts_with("random") => {
                return compare_ok(step, recorded, result, done);
            }
            Some(recorded) if !query && recorded.get("permitted").is_some() => {
                let got = result.is_ok_and(succeeded);
                return if got == succeeded(recorded) {
                    Verdict::Same
                } else {
                    differs(recorded, &show(done))
                };
            }
            _ => return Verdict::Same,
        }
    }
    match recorded {
        Some(recorded) => compare_ok(step, recorded, result, done),
        None => compare_error(step, result, done),
    }
}

fn compare_ok(
    step: &Value,
    recorded: &Value,
    result: Result<&Value, &Vec<(&'static str, String)>>,
    done: &Done,
) -> Verdict {
    let unordered = step.get("changes_unordered").is_some();
    let Ok(value) = result else { return differs(recorded, &show(done)) };
    let same = match recorded.as_object() {
        Some(object) if object.contains_key("permitted") => {
            value["permitted"] == recorded["permitted"]
                && match (recorded.get("changes"), recorded.get("errors")) {
                    (Some(_), _) if done.changes_are_internal => true,
                    (Some(changes), _) if unordered => same_list(&value["changes"], changes),
                    (Some(changes), _) => once(changes) == value["changes"],
                    (_, Some(errors)) => {
                        step.get("message_unstable").is_some()
                            || same_errors(&value["errors"], errors)
                    }
                    _ => true,
                }
        }
        Some(object) if object.contains_key("answers") || object.contains_key("rows") => {
            object.get("answers").is_none_or(|answers| same_list(&value["answers"], answers))
                && object.get("rows").is_none_or(|rows| same_list(&value["rows"], rows))
                && (step.get("trace_unstable").is_some()
                    || object.get("trace").is_none_or(|trace| same_trace(&value["trace"], trace)))
        }
        // The text of a simulation's trace is ours; there must be one.
        Some(object) if object.contains_key("result") => {
            same_list(&value["result"], &object["result"])
                && (value["trace"].is_string() || !object.contains_key("trace"))
        }
        _ if step["op"] == "theory_update" => true,
        // The original lists a table with facts and rules, or a reinitialised one, twice.
        _ if step["op"] == "content" => same_list(&once(value), &once(recorded)),
        _ if recorded.is_array() => same_list(value, recorded),
        _ => value == recorded,
    };
    if !same {
        return differs(recorded, value);
    }
    for (name, got) in [("executed", &done.executed), ("fired", &done.fired)] {
        let recorded = step.get(name).cloned().unwrap_or_else(|| Value::Array(Vec::new()));
        let got = Value::Array(got.clone());
        if !same_list(&got, &recorded) {
            return differs(&recorded, &got);
        }
    }
    Verdict::Same
}

/// A list without repetitions. A batch for several policies was applied to each of them by the
/// original, which lists the changes once for each.
fn once(changes: &Value) -> Value {
    let list = changes.as_array().cloned().unwrap_or_default();
    let mut kept: Vec<Value> = Vec::new();
    for change in list {
        if !kept.contains(&change) {
            kept.push(change);
        }
    }
    Value::Array(kept)
}

fn compare_error(
    step: &Value,
    result: Result<&Value, &Vec<(&'static str, String)>>,
    done: &Done,
) -> Verdict {
    let recorded = &step["error"];
    // Raised or returned does not matter.
    let errors: Vec<(String, String)> = match result {
        Err(errors) => errors.iter().map(|(c, m)| ((*c).to_owned(), m.clone())).collect(),
        Ok(value) => listed(&value["errors"]),
    };
    let Some((class, message)) = errors.first() else { return differs(recorded, &show(done)) };
    let unstable = step.get("message_unstable").is_some();
    let wanted = recorded["message"].as_str().filter(|_| !unstable);
    let by_name = recorded["class"] == "KeyError";
    let same_class = recorded["class"] == class.as_str()
        || by_name
        // Raised for a schema that is set twice or for no policy.
        || recorded["class"] == "CongressException";
    let same_text = wanted.is_none_or(|wanted| {
        let wanted = if by_name { wanted.trim_matches('\'') } else { wanted };
        same_message(message, wanted)
    });
    if same_class && same_text { Verdict::Same } else { differs(recorded, &show(done)) }
}

fn listed(errors: &Value) -> Vec<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let errors = errors.as_array().into_iter().flatten();
    errors.map(|error| (text(&error["class"]), text(&error["message"]))).collect()
}

fn same_errors(got: &Value, recorded: &Value) -> bool {
    let mut got = listed(got);
    for (class, message) in listed(recorded) {
        let same = |other: &(String, String)| {
            other.0 == class && (message.is_empty() || same_message(&other.1, &message))
        };
        let Some(at) = got.iter().position(same) else { return false };
        got.remove(at);
    }
    got.is_empty()
}

fn same_message(got: &str, wanted: &str) -> bool {
    if wanted.starts_with("Lex failure.") || wanted.starts_with("Parse failure.") {
        return comparable_error(got) == comparable_error(wanted);
    }
    if let Some(list) = wanted.strip_prefix("Compiler found errors:") {
        // The original may list them twice, and stops at fewer.
        let mut lines: Vec<&str> = Vec::new();
        for line in list.lines() {
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
        let got = got.strip_prefix("Compiler found errors:");
        let got: Vec<&str> = got.into_iter().flat_map(str::lines).collect();
        return got.starts_with(&lines);
    }
    if wanted.starts_with("Fact not ground: ") {
        // Of a fact that is too short the original padded the text; only the class counts.
        return true;
    }
    got == wanted
}

/// Whether two lists hold the same, whatever the order.
fn same_list(got: &Value, wanted: &Value) -> bool {
    let sorted = |value: &Value| {
        let list = value.as_array().cloned().unwrap_or_default();
        let mut texts: Vec<String> = list.iter().map(ToString::to_string).collect();
        texts.sort();
        texts
    };
    got.is_array() == wanted.is_array() && sorted(got) == sorted(wanted)
}

/// Whether two traces are the same but for the wording of a builtin's error.
fn same_trace(got: &Value, wanted: &Value) -> bool {
    const ERROR: &str = "Error in builtin: ";
    let lines = |trace: &Value| {
        let text = trace.as_str().unwrap_or_default();
        let kept = |line: &str| match line.find(ERROR) {
            Some(at) => line[..at + ERROR.len()].to_owned(),
            None => line.to_owned(),
        };
        text.lines().map(kept).collect::<Vec<_>>()
    };
    lines(got) == lines(wanted)
}

/// Steps whose outcome the specification (policy-language §1, §16) leaves to us: string prefixes,
/// of which the original kept a quote in the value, and the layout of rules that it mangled.
fn is_ours_to_choose(step: &Value) -> bool {
    let text = step["args"]["text"].as_str().unwrap_or_default();
    match step["op"].as_str() {
        Some("parse") => ["u", "U", "b", "B", "r", "R"]
            .iter()
            .flat_map(|prefix| [format!("({prefix}'"), format!("({prefix}\"")])
            .any(|prefix| text.contains(&prefix)),
        Some("pretty") => text.contains("\"a:-b\"") || text.contains(" ,") || text.contains("true"),
        _ => false,
    }
}

fn differs(recorded: &Value, got: &Value) -> Verdict {
    Verdict::Differs(format!("  wanted: {recorded}\n  got:    {got}"))
}

fn show(done: &Done) -> Value {
    match &done.result {
        Ok(value) => value.clone(),
        Err(Failure::NotBuilt(what)) => format!("not built: {what}").into(),
        Err(Failure::Refused(errors)) => {
            let errors: Vec<String> =
                errors.iter().map(|(class, message)| format!("{class}: {message}")).collect();
            errors.join("; ").into()
        }
    }
}
