//! The policies of a server.

use anyhow::Context as _;
use serde_json::Value;

use super::document::{Document, Rule};
use crate::http::Server;

/// Policies that a server makes for itself, and that cannot be deleted.
const OWN: [&str; 2] = ["action", "classification"];

/// What a server makes of a policy without a kind.
pub(super) const KIND: &str = "nonrecursive";

/// A policy as a server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Current {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) abbreviation: String,
    pub(super) kind: String,
    pub(super) rules: Vec<CurrentRule>,
}

/// A rule as a server has it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct CurrentRule {
    pub(super) id: String,
    pub(super) rule: Rule,
}

impl Current {
    /// Whether it is there whatever anybody does.
    pub(super) fn is_own(&self) -> bool {
        OWN.contains(&self.name.as_str())
    }

    /// As a file has it: the kind and the abbreviation that a server would make by itself are left
    /// out. A description is not, even an empty one: elsewhere there may be another.
    pub(super) fn to_document(&self) -> Document {
        let usual: String = self.name.chars().take(5).collect();
        let given = |text: &str, usual: &str| (text != usual).then(|| text.to_owned());
        Document {
            name: self.name.clone(),
            description: Some(self.description.clone()),
            abbreviation: given(&self.abbreviation, &usual),
            kind: given(&self.kind, KIND),
            rules: Some(self.rules.iter().map(|rule| rule.rule.clone()).collect()),
        }
    }
}

/// All policies of a server with their rules, by name.
pub(super) async fn policies(server: &Server) -> anyhow::Result<Vec<Current>> {
    let list = server.list(&["policies"]).await?;
    let mut policies = Vec::new();
    for policy in members(&list) {
        let name = text(&policy["name"]);
        // The original knows the rules of names only.
        let rules = server.list(&["policies", &name, "rules"]).await?;
        let rules = members(&rules).iter().map(rule).collect::<anyhow::Result<_>>()?;
        policies.push(Current {
            description: text(&policy["description"]),
            abbreviation: text(&policy["abbreviation"]),
            kind: text(&policy["kind"]),
            name,
            rules,
        });
    }
    policies.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(policies)
}

fn rule(rule: &Value) -> anyhow::Result<CurrentRule> {
    let given = |name: &str| rule[name].as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    Ok(CurrentRule {
        id: given("id").context("a rule has no id")?,
        rule: Rule { name: given("name"), comment: given("comment"), rule: text(&rule["rule"]) },
    })
}

fn members(list: &Value) -> &[Value] {
    list["results"].as_array().map_or(&[], Vec::as_slice)
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
