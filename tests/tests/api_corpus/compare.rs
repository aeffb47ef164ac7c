//! Compares an answer with the recorded one.

use std::collections::HashMap;

use serde_json::{Map, Value};

use crate::names::{Names, has_placeholders};

/// Arrays under these keys are sets.
const SETS: [&str; 3] = ["results", "result", "tables"];

/// What the list of drivers says besides an id and a description, which were all of it.
const OF_DRIVERS: [&str; 8] =
    ["error", "file", "hash", "loaded_at", "next_build", "state", "version", "world"];

/// Whether a value is the recorded one; if so, names first seen in it are kept.
pub(crate) fn fits(names: &mut Names, recorded: &Value, value: &Value) -> bool {
    let mut tried = names.clone();
    let fits = fits_value(&mut tried, recorded, value);
    if fits {
        *names = tried;
    }
    fits
}

fn fits_value(names: &mut Names, recorded: &Value, value: &Value) -> bool {
    match (recorded, value) {
        (Value::String(recorded), Value::String(text)) => names.fits(recorded, text),
        (Value::Array(recorded), Value::Array(values)) => {
            recorded.len() == values.len()
                && recorded.iter().zip(values).all(|(r, v)| fits_value(names, r, v))
        }
        (Value::Object(recorded), Value::Object(values)) => {
            let is_driver = is_driver(recorded);
            let is_extension = |(key, value): (&String, &Value)| {
                is_driver
                    && OF_DRIVERS.contains(&key.as_str())
                    && (key != "error" || value.is_null())
            };
            let mut more = values.iter().filter(|(key, _)| !recorded.contains_key(*key));
            more.all(is_extension)
                && recorded.iter().all(|(key, recorded)| {
                    values.get(key).is_some_and(|value| match (recorded, value) {
                        (Value::Array(recorded), Value::Array(values))
                            if SETS.contains(&key.as_str()) =>
                        {
                            fits_set(names, recorded, values)
                        }
                        _ => fits_value(names, recorded, value),
                    })
                })
        }
        _ => recorded == value,
    }
}

/// Finds a partner for each recorded member.
fn fits_set(names: &mut Names, recorded: &[Value], values: &[Value]) -> bool {
    if recorded.len() != values.len() {
        return false;
    }
    // Members without placeholders are counted: there may be thousands.
    let is_loose = |r: &&Value| is_open(r) || r.as_object().is_some_and(is_driver);
    let (open, ground): (Vec<_>, Vec<_>) = recorded.iter().partition(is_loose);
    let mut wanted: HashMap<String, usize> = HashMap::new();
    for recorded in ground {
        *wanted.entry(canonical(recorded)).or_default() += 1;
    }
    let mut rest = Vec::new();
    for value in values {
        match wanted.get_mut(&canonical(value)) {
            Some(count) if *count > 0 => *count -= 1,
            _ => rest.push(value),
        }
    }
    rest.len() == open.len() && fits_in_some_order(names, &open, &mut rest)
}

fn fits_in_some_order(names: &mut Names, recorded: &[&Value], values: &mut Vec<&Value>) -> bool {
    let Some((first, others)) = recorded.split_first() else {
        return true;
    };
    for i in 0..values.len() {
        let mut tried = names.clone();
        if fits_value(&mut tried, first, values[i]) {
            let value = values.remove(i);
            if fits_in_some_order(&mut tried, others, values) {
                *names = tried;
                return true;
            }
            values.insert(i, value);
        }
    }
    false
}

/// Keeps names from an answer that is not the recorded one, wherever the two agree: later steps go
/// by them.
pub(crate) fn learn(names: &mut Names, recorded: &Value, value: &Value) {
    match (recorded, value) {
        (Value::String(recorded), Value::String(text)) => {
            names.fits(recorded, text);
        }
        (Value::Array(recorded), Value::Array(values)) => {
            // Which one is which is known only of those that are as recorded.
            for recorded in recorded.iter().filter(|recorded| is_open(recorded)) {
                let _ = values.iter().any(|value| fits(names, recorded, value));
            }
        }
        (Value::Object(recorded), Value::Object(values)) => {
            for (key, recorded) in recorded {
                if let Some(value) = values.get(key) {
                    learn(names, recorded, value);
                }
            }
        }
        _ => {}
    }
}

/// A recorded object with `<hidden>` where the given one has it in place of an option's value.
pub(crate) fn with_hidden_options(recorded: &Value, value: &Value) -> Value {
    match (recorded, value) {
        (Value::Object(recorded), Value::Object(values)) => {
            let member = |(key, member): (&String, &Value)| {
                let given = values.get(key).unwrap_or(&Value::Null);
                let member = match (key.as_str(), member) {
                    ("config", Value::Object(options)) => {
                        let shown = |(name, option): (&String, &Value)| {
                            let hidden = given.get(name).filter(|given| *given == "<hidden>");
                            (name.clone(), hidden.unwrap_or(option).clone())
                        };
                        options.iter().map(shown).collect()
                    }
                    _ => with_hidden_options(member, given),
                };
                (key.clone(), member)
            };
            recorded.iter().map(member).collect()
        }
        _ => recorded.clone(),
    }
}

/// A list of a compiler's errors without those that stand in it twice.
pub(crate) fn told_once(message: &str) -> String {
    const LEAD: &str = "Compiler found errors:";
    let Some((lead, list)) = message.split_once(LEAD) else {
        return message.to_owned();
    };
    let mut errors: Vec<&str> = Vec::new();
    for error in list.lines() {
        if !errors.contains(&error) {
            errors.push(error);
        }
    }
    format!("{lead}{LEAD}{}", errors.join("\n"))
}

/// Whether two messages have the same words, in any order.
pub(crate) fn same_words(recorded: &str, text: &str) -> bool {
    let words = |text: &str| {
        let mut words: Vec<_> = text
            .split(|c: char| !c.is_alphanumeric() && c != '_')
            .filter(|word| !word.is_empty())
            .map(str::to_owned)
            .collect();
        words.sort();
        words
    };
    words(recorded) == words(text)
}

/// Whether this is a driver in a list.
fn is_driver(recorded: &Map<String, Value>) -> bool {
    recorded.len() == 2 && recorded.contains_key("id") && recorded.contains_key("description")
}

fn is_open(value: &Value) -> bool {
    match value {
        Value::String(text) => has_placeholders(text),
        Value::Array(items) => items.iter().any(is_open),
        Value::Object(members) => members.values().any(is_open),
        _ => false,
    }
}

/// A text that is the same for equal values only, whatever the order of their keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(members) => {
            let mut members: Vec<_> = members
                .iter()
                .map(|(key, value)| match value {
                    Value::Array(items) if SETS.contains(&key.as_str()) => {
                        let mut items: Vec<_> = items.iter().map(canonical).collect();
                        items.sort();
                        format!("{key:?}:[{}]", items.join(","))
                    }
                    _ => format!("{key:?}:{}", canonical(value)),
                })
                .collect();
            members.sort();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        _ => value.to_string(),
    }
}
