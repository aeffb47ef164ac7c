//! The schema of a policy with its rules, and what clients are told about a body that violates it.
//!
//! A small part of JSON Schema, as much as this schema needs. Its findings are worded and laid out
//! as clients know them: of several, the one closest to the root, and of those the first.

use std::fmt::{self, Display, Formatter};
use std::sync::LazyLock;

use serde_json::{Value, json};

use crate::failure::{Answer, Failure, Status};
use crate::python;

/// Columns of quoted schemas and values.
const WIDTH: usize = 72;

static POLICY_WITH_RULES: LazyLock<Value> = LazyLock::new(|| {
    let rule = json!({
        "title": "Policy rule",
        "type": "object",
        "required": ["rule"],
        "properties": {
            "rule": {"title": "Rule definition following policy grammar", "type": "string"},
            "name": {"title": "User-friendly name", "type": "string", "maxLength": 255},
            "comment": {"title": "User-friendly comment", "type": "string", "maxLength": 255},
        },
    });
    let kinds = ["database", "nonrecursive", "action", "z3", "materialized", "delta", "datasource"];
    json!({
        "id": "PolicyProperties",
        "title": "Policy Properties",
        "type": "object",
        "required": ["name", "rules"],
        "properties": {
            "name": {
                "title": "Policy unique name",
                "type": "string",
                "minLength": 1,
                "maxLength": 255,
            },
            "description": {"title": "Policy description", "type": "string"},
            "kind": {"title": "Policy kind", "type": "string", "enum": kinds},
            "abbreviation": {
                "title": "Policy name abbreviation",
                "type": "string",
                "minLength": 1,
                "maxLength": 5,
            },
            "rules": {"title": "collection of rules", "type": "array", "items": rule},
        },
    })
});

/// Checks the body that is to make a policy with rules.
pub(super) fn check_policy_with_rules(body: &Value) -> Answer<()> {
    match first_violation(&POLICY_WITH_RULES, body) {
        None => Ok(()),
        Some(violation) => {
            Err(Failure::plain(Status::BadRequest, "Input policy item violates schema.")
                .with_data(violation.to_string()))
        }
    }
}

/// A step into a value or into the schema.
#[derive(Clone, Copy)]
enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

#[derive(Clone)]
struct Violation<'a> {
    message: String,
    keyword: &'a str,
    schema: &'a Value,
    schema_path: Vec<Step<'a>>,
    instance: &'a Value,
    path: Vec<Step<'a>>,
}

fn first_violation<'a>(schema: &'a Value, instance: &'a Value) -> Option<Violation<'a>> {
    let mut search = Search { path: Vec::new(), schema_path: Vec::new(), found: None };
    search.visit(schema, instance);
    search.found
}

struct Search<'a> {
    path: Vec<Step<'a>>,
    schema_path: Vec<Step<'a>>,
    found: Option<Violation<'a>>,
}

impl<'a> Search<'a> {
    fn visit(&mut self, schema: &'a Value, instance: &'a Value) {
        // Nothing below can be closer to the root than what was found.
        if self.found.as_ref().is_some_and(|found| found.path.len() <= self.path.len()) {
            return;
        }
        for (keyword, operand) in schema.as_object().into_iter().flatten() {
            match (keyword.as_str(), instance) {
                ("properties", Value::Object(members)) => {
                    for (name, schema) in operand.as_object().into_iter().flatten() {
                        if let Some(member) = members.get(name) {
                            let steps = [Step::Key(keyword), Step::Key(name)];
                            self.descend(schema, &steps, member, Step::Key(name));
                        }
                    }
                }
                ("items", Value::Array(items)) => {
                    for (i, item) in items.iter().enumerate() {
                        self.descend(operand, &[Step::Key(keyword)], item, Step::Index(i));
                    }
                }
                (_, instance) => {
                    if let Some(message) = objection(keyword, operand, instance) {
                        self.found = Some(Violation {
                            message,
                            keyword,
                            schema,
                            schema_path: self.schema_path.clone(),
                            instance,
                            path: self.path.clone(),
                        });
                        return;
                    }
                }
            }
        }
    }

    fn descend(
        &mut self,
        schema: &'a Value,
        schema_steps: &[Step<'a>],
        instance: &'a Value,
        step: Step<'a>,
    ) {
        let depth = self.schema_path.len();
        self.schema_path.extend_from_slice(schema_steps);
        self.path.push(step);
        self.visit(schema, instance);
        self.path.pop();
        self.schema_path.truncate(depth);
    }
}

/// What a keyword has against a value.
fn objection(keyword: &str, operand: &Value, instance: &Value) -> Option<String> {
    let limit = || operand.as_u64().unwrap_or_default();
    let repr = python::repr;
    match (keyword, instance) {
        ("type", _) => {
            let fits = match operand.as_str() {
                Some("object") => instance.is_object(),
                Some("array") => instance.is_array(),
                _ => instance.is_string(),
            };
            (!fits).then(|| format!("{} is not of type {}", repr(instance), repr(operand)))
        }
        ("enum", _) => {
            let known = operand.as_array().is_some_and(|values| values.contains(instance));
            (!known).then(|| format!("{} is not one of {}", repr(instance), repr(operand)))
        }
        ("required", Value::Object(members)) => operand
            .as_array()?
            .iter()
            .find(|key| key.as_str().is_some_and(|key| !members.contains_key(key)))
            .map(|key| format!("{} is a required property", repr(key))),
        ("minLength", Value::String(text)) => ((text.chars().count() as u64) < limit())
            .then(|| format!("{} is too short", repr(instance))),
        ("maxLength", Value::String(text)) => (text.chars().count() as u64 > limit())
            .then(|| format!("{} is too long", repr(instance))),
        _ => None,
    }
}

impl Display for Violation<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { message, keyword, .. } = self;
        writeln!(f, "{message}\n")?;
        writeln!(f, "Failed validating '{keyword}' in schema{}:", Place(&self.schema_path))?;
        writeln!(f, "{}\n", quoted(self.schema))?;
        writeln!(f, "On instance{}:", Place(&self.path))?;
        f.write_str(&quoted(self.instance))
    }
}

fn quoted(value: &Value) -> String {
    let lines = python::pretty(value, WIDTH);
    lines.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n")
}

struct Place<'a>(&'a [Step<'a>]);

impl Display for Place<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|step| match step {
            Step::Key(key) => write!(f, "['{key}']"),
            Step::Index(index) => write!(f, "[{index}]"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(body: Value) -> String {
        check_policy_with_rules(&body).unwrap_err().data.as_str().unwrap().to_owned()
    }

    fn headline(body: Value) -> String {
        said(body).lines().next().unwrap().to_owned()
    }

    #[test]
    fn what_is_allowed() {
        let body = json!({
            "name": "p", "description": "", "kind": "z3", "abbreviation": "ab", "colour": "red",
            "rules": [{"rule": "", "name": "n", "comment": ""}],
        });
        assert_eq!(check_policy_with_rules(&body), Ok(()));
    }

    #[test]
    fn a_violation_quotes_schema_and_value() {
        let expected = "5 is not of type 'string'\n\nFailed validating 'type' in \
             schema['properties']['rules']['items']['properties']['name']:\n    \
             {'maxLength': 255, 'title': 'User-friendly name', 'type': 'string'}\n\n\
             On instance['rules'][1]['name']:\n    5";
        let rules = json!([{"rule": "p(1)"}, {"rule": "p(2)", "name": 5}]);
        assert_eq!(said(json!({"name": "p", "rules": rules})), expected);
    }

    #[test]
    fn the_violation_closest_to_the_root_is_told() {
        let rules = json!([{"rule": 5}, {}]);
        assert_eq!(headline(json!({"name": "p", "rules": rules})), "'rule' is a required property");
        assert_eq!(headline(json!({"rules": rules})), "'name' is a required property");
        assert_eq!(
            headline(json!({"name": "p", "kind": 7, "rules": rules})),
            "7 is not of type 'string'"
        );
    }

    #[test]
    fn lengths_count_characters() {
        let body = |name: &str| json!({"name": name, "rules": []});
        assert_eq!(headline(body("")), "'' is too short");
        assert_eq!(check_policy_with_rules(&body(&"é".repeat(255))), Ok(()));
        assert!(headline(body(&"é".repeat(256))).ends_with("is too long"));
        let abbreviated = json!({"name": "p", "abbreviation": "sixsix", "rules": []});
        assert_eq!(headline(abbreviated), "'sixsix' is too long");
    }
}
