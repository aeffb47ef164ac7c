//! Checks, and whether somebody passes one.

use serde_json::Value;

use super::template::Template;
use super::{Question, Rules};

/// What a rule demands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Check {
    /// `@`, and an empty text.
    Always,
    /// `!`
    Never,
    /// `… and …`
    All(Vec<Check>),
    /// `… or …`
    Any(Vec<Check>),
    /// `not …`
    Not(Box<Check>),
    /// `role:…`: the caller has that role.
    Role(Template),
    /// `rule:…`: another rule, or the default one if there is none of that name.
    Rule(String),
    /// `is_admin:…`
    IsAdmin(bool),
    /// `'literal':…`
    Literal(String, Template),
    /// `attribute:…`: an attribute of the caller. Dots lead into objects, and through lists to any
    /// of their items.
    Attribute(Vec<String>, Template),
}

impl Check {
    /// Whether the caller passes. Rules refer to each other without cycles and not too deeply,
    /// which has been seen to when they were read.
    pub(super) fn passes(&self, rules: &Rules, question: &Question<'_>) -> bool {
        let filled = |template: &Template| template.fill(&question.target);
        match self {
            Self::Always => true,
            Self::Never => false,
            Self::All(checks) => checks.iter().all(|check| check.passes(rules, question)),
            Self::Any(checks) => checks.iter().any(|check| check.passes(rules, question)),
            Self::Not(check) => !check.passes(rules, question),
            Self::Role(name) => filled(name).is_some_and(|name| question.caller.has_role(&name)),
            Self::Rule(name) => rules.find(name).is_some_and(|check| check.passes(rules, question)),
            Self::IsAdmin(expected) => question.is_admin == *expected,
            Self::Literal(literal, template) => filled(template).as_ref() == Some(literal),
            Self::Attribute(path, template) => filled(template)
                .is_some_and(|wanted| holds(&question.caller.attributes, path, &wanted)),
        }
    }

    /// The names of rules that it refers to.
    pub(super) fn references<'a>(&'a self, found: &mut Vec<&'a str>) {
        match self {
            Self::All(checks) | Self::Any(checks) => {
                checks.iter().for_each(|check| check.references(found));
            }
            Self::Not(check) => check.references(found),
            Self::Rule(name) => found.push(name),
            _ => {}
        }
    }
}

/// Whether what a path leads to is this text.
fn holds(value: &Value, path: &[String], wanted: &str) -> bool {
    let Some((key, rest)) = path.split_first() else { return text(value) == wanted };
    match value.get(key) {
        None => false,
        Some(Value::Array(items)) => items.iter().any(|item| holds(item, rest, wanted)),
        Some(inner) => holds(inner, rest, wanted),
    }
}

/// A value as Python's `str` shows it.
fn text(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
