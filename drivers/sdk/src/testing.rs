//! What tests of drivers share: their actions beside those that were recorded of the original.
//!
//! The recordings are no part of this project. They are looked for in `corpus/drivers` below
//! `CONGRESS_SHARED`, or below `shared` beside the checkout.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Value as Json, json};

use crate::session::Request;
use crate::{Action, Call, Result};

/// The recordings of a driver's actions.
#[derive(Debug)]
pub struct Recorded {
    actions: Vec<Json>,
    calls: Vec<Json>,
}

/// The recorded actions of a driver; none, and a line that says so, where there are none.
pub fn recorded(driver: &str) -> Option<Recorded> {
    let found = folder(driver).and_then(|folder| {
        let actions = read(&folder.join("actions.json"), "actions")?;
        Some(Recorded {
            actions,
            calls: read(&folder.join("execute.json"), "calls").unwrap_or_default(),
        })
    });
    if found.is_none() {
        println!("skipped: no recorded actions of {driver} (set CONGRESS_SHARED)");
    }
    found
}

fn folder(driver: &str) -> Option<PathBuf> {
    let shared = std::env::var_os("CONGRESS_SHARED").map(PathBuf::from);
    let beside = || Some(Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(3)?.join("shared"));
    let folder = shared.or_else(beside)?.join("corpus/drivers").join(driver);
    folder.is_dir().then_some(folder)
}

fn read(path: &Path, member: &str) -> Option<Vec<Json>> {
    let json: Json = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
    json.get(member)?.as_array().cloned()
}

impl Recorded {
    /// How `ours` differ from the recorded ones that made a request: names, order, and arguments
    /// and descriptions where the original has any.
    pub fn listing(&self, ours: &[Action]) -> Vec<String> {
        let mut differences = Vec::new();
        let by_name: BTreeMap<&str, &Action> =
            ours.iter().map(|action| (action.name.as_str(), action)).collect();
        if !ours.is_sorted_by(|a, b| a.name < b.name) {
            differences.push("not sorted by name, or with two of a name".into());
        }
        for action in ours {
            if !self.actions.iter().any(|recorded| recorded["name"] == action.name) {
                differences.push(format!("{}: not recorded", action.name));
            }
        }
        for recorded in &self.actions {
            let name = recorded["name"].as_str().unwrap_or_default();
            let Some(action) = by_name.get(name) else {
                if !requests_of(recorded).is_empty() {
                    differences.push(format!("{name}: missing"));
                }
                continue;
            };
            let arguments: Vec<&str> = action.arguments.iter().map(|a| a.name.as_str()).collect();
            if recorded["args"] != json!([]) && recorded["args"] != Json::from(arguments) {
                differences.push(format!("{name}: arguments are {}", recorded["args"]));
            }
            let description = &recorded["description"];
            if description != "" && description != &action.description {
                differences.push(format!("{name}: description is {description}"));
            }
        }
        differences
    }

    /// How the requests that `make` makes of a call differ from the recorded ones. `base` is the
    /// service's address with the recorded path, as `http://h/compute`. The names in `but` are not
    /// compared.
    pub fn requests(
        &self,
        base: &str,
        but: &[&str],
        make: impl Fn(&Call, &str) -> Result<Vec<Request>>,
    ) -> Vec<String> {
        let listed = self.actions.iter().filter(|action| !requests_of(action).is_empty());
        let listed =
            listed.map(|action| (&action["name"], &action["call_positional"], &Json::Null));
        let executed = self
            .calls
            .iter()
            .map(|call| (&call["action"], &call["args"]["positional"], &call["args"]["named"]));
        let recorded = self.actions.iter().filter(|action| !requests_of(action).is_empty());
        let recorded = recorded.chain(&self.calls).map(requests_of);
        let mut differences = Vec::new();
        for ((name, positional, named), expected) in listed.chain(executed).zip(recorded) {
            let name = name.as_str().unwrap_or_default();
            if but.contains(&name) {
                continue;
            }
            let call = Call {
                action: name.into(),
                positional: positional.as_array().cloned().unwrap_or_default(),
                named: named.as_object().cloned().unwrap_or_default().into_iter().collect(),
            };
            let expected: Vec<_> = expected.iter().map(recorded_parts).collect();
            match make(&call, base) {
                Ok(made) => {
                    let made: Vec<_> = made.iter().map(parts).collect();
                    if made != expected {
                        differences.push(format!("{name}: made {made:?}, recorded {expected:?}"));
                    }
                }
                Err(_) if expected.is_empty() => {}
                Err(error) => differences.push(format!("{name}: {error}")),
            }
        }
        differences
    }
}

fn requests_of(recorded: &Json) -> &[Json] {
    recorded["requests"].as_array().map_or(&[], Vec::as_slice)
}

type Parts = (String, String, Vec<String>, Json);

fn recorded_parts(request: &Json) -> Parts {
    let text = |json: &Json| json.as_str().unwrap_or_default().to_owned();
    let query = request["query"].as_array().map_or(&[][..], Vec::as_slice);
    let mut query: Vec<String> =
        query.iter().map(|pair| format!("{}={}", text(&pair[0]), text(&pair[1]))).collect();
    query.sort();
    (text(&request["method"]), text(&request["path"]), query, request["body"].clone())
}

fn parts(request: &Request) -> Parts {
    let after_host = request.url.splitn(4, '/').nth(3).unwrap_or_default();
    let (path, query) = after_host.split_once('?').unwrap_or((after_host, ""));
    let mut query: Vec<String> = query.split('&').filter(|q| !q.is_empty()).map(decoded).collect();
    query.sort();
    let body = request.body.as_deref().unwrap_or_default();
    let body = serde_json::from_slice(body)
        .unwrap_or_else(|_| String::from_utf8_lossy(body).into_owned().into());
    let body = if body == "" { Json::Null } else { body };
    (request.method.clone(), format!("/{}", decoded(path)), query, body)
}

/// Percent-decoded.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, behind @ ..] = rest {
        let hex = behind.get(..2).and_then(|hex| std::str::from_utf8(hex).ok());
        match hex.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(decoded) if *byte == b'%' => {
                bytes.push(decoded);
                rest = &behind[2..];
            }
            _ => {
                bytes.push(*byte);
                rest = behind;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}
