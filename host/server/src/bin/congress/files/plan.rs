//! What differs between the files of a folder and a server.

use std::collections::{BTreeMap, HashMap};

use anyhow::bail;

use super::document::{Document, Rule};
use super::folder::Filed;
use super::server::{Current, CurrentRule, KIND};

/// What is to be done, policy by policy.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Plan {
    pub(super) changes: Vec<Change>,
    /// Policies without a file, which stay.
    pub(super) kept: Vec<String>,
}

/// What is to be done with one policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Create(Document),
    Update {
        name: String,
        /// Fields of the policy: name, present value, wanted value.
        fields: Vec<(&'static str, String, String)>,
        rules: Vec<RuleChange>,
    },
    /// With its rules, which go too.
    Delete {
        name: String,
        rules: Vec<CurrentRule>,
    },
}

/// What is to be done with one rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum RuleChange {
    Insert(Rule),
    Delete(CurrentRule),
    /// It keeps its id.
    Update {
        from: CurrentRule,
        to: Rule,
    },
}

impl Change {
    pub(super) fn name(&self) -> &str {
        match self {
            Self::Create(policy) => &policy.name,
            Self::Update { name, .. } | Self::Delete { name, .. } => name,
        }
    }
}

/// Compares. With `prune` policies without a file are deleted; a server's own never are.
///
/// # Errors
///
/// A policy is of another kind on the server, which cannot be changed.
pub(super) fn plan(
    files: &BTreeMap<String, Filed>,
    server: &[Current],
    prune: bool,
) -> anyhow::Result<Plan> {
    let present: HashMap<&str, &Current> =
        server.iter().map(|policy| (policy.name.as_str(), policy)).collect();
    let mut plan = Plan::default();
    for (name, filed) in files {
        match present.get(name.as_str()) {
            None => plan.changes.push(Change::Create(filed.policy.clone())),
            Some(current) => plan.changes.extend(update(filed, current)?),
        }
    }
    for policy in server.iter().filter(|policy| !files.contains_key(&policy.name)) {
        if policy.is_own() {
            continue;
        }
        let name = policy.name.clone();
        match prune {
            true => plan.changes.push(Change::Delete { name, rules: policy.rules.clone() }),
            false => plan.kept.push(name),
        }
    }
    Ok(plan)
}

fn update(filed: &Filed, current: &Current) -> anyhow::Result<Option<Change>> {
    let wanted = &filed.policy;
    let kind = wanted.kind.as_deref().unwrap_or(KIND);
    if !kind.eq_ignore_ascii_case(&current.kind) && (wanted.kind.is_some() || !current.is_own()) {
        bail!(
            "{}: the policy {} is to be of the kind {kind}, and is of the kind {} on the server. \
             This cannot be changed: name that kind, or delete the policy first",
            filed.file.display(),
            current.name,
            current.kind
        );
    }
    let differs = |field, present: &String, wanted: &Option<String>| {
        let wanted = wanted.clone().filter(|wanted| wanted != present)?;
        Some((field, present.clone(), wanted))
    };
    let fields: Vec<_> = [
        differs("description", &current.description, &wanted.description),
        differs("abbreviation", &current.abbreviation, &wanted.abbreviation),
    ]
    .into_iter()
    .flatten()
    .collect();
    let rules = rules(wanted.rules(), &current.rules);
    let same = fields.is_empty() && rules.is_empty();
    Ok((!same).then(|| Change::Update { name: current.name.clone(), fields, rules }))
}

/// What is to be done with a policy's rules. A rule is the same if its text is but for spaces, or
/// otherwise if its name is.
fn rules(wanted: &[Rule], present: &[CurrentRule]) -> Vec<RuleChange> {
    let mut by_text: HashMap<String, &CurrentRule> =
        present.iter().map(|rule| (canonical(&rule.rule.rule), rule)).collect();
    let mut changes = Vec::new();
    let mut new = Vec::new();
    for rule in wanted {
        match by_text.remove(&canonical(&rule.rule)) {
            None => new.push(rule),
            Some(same) if same.rule.says_what(rule) => {}
            Some(same) => {
                changes.push(RuleChange::Update { from: same.clone(), to: rule.clone() });
            }
        }
    }
    let gone = |rule: &&CurrentRule| by_text.get(&canonical(&rule.rule.rule)) == Some(rule);
    let mut gone: Vec<&CurrentRule> = present.iter().filter(gone).collect();
    for rule in new {
        let named =
            |candidate: &&CurrentRule| rule.name.is_some() && candidate.rule.name == rule.name;
        match gone.iter().position(named) {
            Some(place) => {
                let from = gone.remove(place).clone();
                changes.push(RuleChange::Update { from, to: rule.clone() });
            }
            None => changes.push(RuleChange::Insert(rule.clone())),
        }
    }
    changes.extend(gone.into_iter().cloned().map(RuleChange::Delete));
    changes
}

impl Rule {
    /// Whether name and comment are the same.
    fn says_what(&self, other: &Self) -> bool {
        let text = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
        text(&self.name) == text(&other.name) && text(&self.comment) == text(&other.comment)
    }
}

/// A rule's text as it is printed, whatever its spaces.
fn canonical(rule: &str) -> String {
    match congress_policy::parser::parse(rule).as_deref() {
        Ok([statement]) => statement.to_string(),
        // The server has taken it: it is what it is.
        _ => rule.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(rule: &str, name: Option<&str>) -> Rule {
        Rule { rule: rule.to_owned(), name: name.map(str::to_owned), comment: None }
    }

    fn current(id: &str, text: &str, name: Option<&str>) -> CurrentRule {
        CurrentRule { id: id.to_owned(), rule: rule(text, name) }
    }

    fn files(policies: &[Document]) -> BTreeMap<String, Filed> {
        let filed = |policy: &Document| Filed { file: "f.yaml".into(), policy: policy.clone() };
        policies.iter().map(|policy| (policy.name.clone(), filed(policy))).collect()
    }

    fn on_server(name: &str, kind: &str) -> Current {
        Current { name: name.to_owned(), kind: kind.to_owned(), ..Current::default() }
    }

    #[test]
    fn rules_are_the_same_by_text_and_then_by_name() {
        let present = [
            current("1", "p(1)", None),
            current("2", "q(x) :- p(x)", Some("q")),
            current("3", "r(x) :- p(x)", Some("r")),
            current("4", "s(1)", Some("s")),
        ];
        let wanted = [
            rule("p( 1 )", None),
            rule("q(x) :- p(x), r(x)", Some("q")),
            rule("r(x):-p(x)", Some("other")),
            rule("t(1)", None),
        ];
        assert_eq!(
            rules(&wanted, &present),
            [
                RuleChange::Update { from: present[2].clone(), to: wanted[2].clone() },
                RuleChange::Update { from: present[1].clone(), to: wanted[1].clone() },
                RuleChange::Insert(wanted[3].clone()),
                RuleChange::Delete(present[3].clone()),
            ]
        );
    }

    #[test]
    fn policies_without_a_file_go_only_when_asked() {
        let server =
            [on_server("action", "action"), on_server("mine", KIND), on_server("old", KIND)];
        let named = |name: &str| Document { name: name.to_owned(), ..Document::default() };
        let files = files(&[named("mine"), named("new")]);
        let kept = plan(&files, &server, false).unwrap();
        assert_eq!(kept.changes, [Change::Create(named("new"))]);
        assert_eq!(kept.kept, ["old"]);
        let pruned = plan(&files, &server, true).unwrap();
        let deletion = Change::Delete { name: "old".to_owned(), rules: Vec::new() };
        assert_eq!(pruned.changes, [Change::Create(named("new")), deletion]);
    }

    #[test]
    fn kinds_cannot_change() {
        let policy = Document {
            name: "p".to_owned(),
            kind: Some("action".to_owned()),
            ..Document::default()
        };
        let error = plan(&files(&[policy]), &[on_server("p", KIND)], false).unwrap_err();
        assert!(error.to_string().contains("delete the policy first"), "{error}");
    }

    #[test]
    fn what_is_exported_differs_in_nothing() {
        let policy = Current {
            name: "network".to_owned(),
            description: "of networks".to_owned(),
            abbreviation: "netwo".to_owned(),
            kind: KIND.to_owned(),
            rules: vec![current("1", "p(x) :-\n q(x)", Some("n"))],
        };
        let text = policy.to_document().to_yaml().unwrap();
        let read = Document::only(&text).unwrap();
        assert_eq!(plan(&files(&[read]), &[policy], true).unwrap(), Plan::default());
    }
}
