//! Tables that rules take to have different numbers of columns.
//!
//! A table of a policy is as wide as the first fact or rule says that mentions it, as long as any
//! does. Literals of bodies may be shorter, and are as wide all the same.

use std::collections::{BTreeMap, BTreeSet};

use congress_policy::PolicyKind;
use congress_policy::ast::{Atom, Statement};

use super::clash::statement;
use super::document::Rule;
use super::server::Current;

/// A policy, and a table of it.
type Table = (String, String);

/// Some tables, and how wide they are to be.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Tables(BTreeMap<Table, usize>);

impl Tables {
    /// Whether a rule of a policy mentions one of them.
    pub(super) fn any_in(&self, policy: &str, rule: &str) -> bool {
        mentions(policy, rule).iter().any(|mention| self.0.contains_key(&mention.table))
    }

    /// Whether a rule could be with them as they are to be.
    pub(super) fn suit(&self, policy: &str, rule: &str) -> bool {
        let suits =
            |mention: &Mention| self.0.get(&mention.table).is_none_or(|width| mention.fits(*width));
        mentions(policy, rule).iter().all(suits)
    }
}

/// The tables whose widths make that new rules of a policy cannot come: they are wider in those, or
/// narrower in what must be as wide.
pub(super) fn at_odds(policy: &str, new: &[Rule], present: &[Current]) -> Tables {
    let widths = widths(present);
    let new: Vec<_> = new.iter().flat_map(|rule| mentions(policy, &rule.rule)).collect();
    let odd =
        |mention: &&Mention| widths.get(&mention.table).is_some_and(|width| !mention.fits(*width));
    let mut wanted: BTreeMap<Table, usize> =
        new.iter().filter(odd).map(|mention| (mention.table.clone(), 0)).collect();
    for mention in new {
        if let Some(width) = wanted.get_mut(&mention.table) {
            *width = mention.width.max(*width);
        }
    }
    Tables(wanted)
}

/// How wide tables are. Those of datasources are what they are, whatever rules say.
fn widths(present: &[Current]) -> BTreeMap<Table, usize> {
    let learns = |policy: &&Current| {
        use PolicyKind::{Action, Nonrecursive, Z3};
        matches!(policy.kind.parse(), Ok(Nonrecursive | Action | Z3))
    };
    let learning: BTreeSet<&str> =
        present.iter().filter(learns).map(|policy| policy.name.as_str()).collect();
    let mut widths = BTreeMap::new();
    for policy in present {
        let rules = policy.rules.iter();
        for mention in rules.flat_map(|rule| mentions(&policy.name, &rule.rule.rule)) {
            if learning.contains(mention.table.0.as_str()) {
                let width = widths.entry(mention.table).or_insert(0);
                *width = mention.width.max(*width);
            }
        }
    }
    widths
}

/// A table in a rule.
struct Mention {
    table: Table,
    width: usize,
    may_be_short: bool,
}

impl Mention {
    fn fits(&self, width: usize) -> bool {
        self.width == width || (self.width < width && self.may_be_short)
    }
}

/// The tables of a rule of a policy, where it shows how wide they are.
fn mentions(policy: &str, rule: &str) -> Vec<Mention> {
    let (heads, body) = match statement(rule) {
        Some(Statement::Fact(atom)) => (vec![atom], Vec::new()),
        Some(Statement::Rule(rule)) => (rule.heads, rule.body),
        Some(Statement::Event(_)) | None => return Vec::new(),
    };
    let heads = heads.into_iter().map(|head| (head, false));
    let literals = heads.chain(body.into_iter().map(|literal| (literal, true)));
    let shows = |atom: &Atom| atom.modal.is_none() && atom.named.is_empty();
    literals
        .filter(|(atom, _)| shows(atom))
        .map(|(atom, may_be_short)| {
            let owner = atom.policy.as_deref().unwrap_or(policy);
            let table = (owner.to_owned(), atom.table.to_string());
            Mention { table, width: atom.args.len(), may_be_short }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::server::CurrentRule;
    use super::*;

    fn rule(text: &str) -> Rule {
        Rule { rule: text.to_owned(), ..Rule::default() }
    }

    fn policy(name: &str, kind: &str, rules: &[&str]) -> Current {
        let rules = rules.iter().map(|text| CurrentRule { id: String::new(), rule: rule(text) });
        Current {
            name: name.to_owned(),
            kind: kind.to_owned(),
            rules: rules.collect(),
            ..Current::default()
        }
    }

    #[test]
    fn tables_that_rules_take_to_have_different_widths() {
        let present = [
            policy("p", "nonrecursive", &["t(1, 2)", "s(x) :- t(x), nova:servers(x), d:e(x)"]),
            policy("q", "nonrecursive", &["v(x) :- p:t(x, y), p:r(x, y, z)"]),
            policy("d", "database", &["e(1)"]),
        ];
        let odd = |text: &str| {
            let tables = at_odds("p", &[rule(text)], &present);
            tables.0.into_keys().map(|(policy, table)| format!("{policy}:{table}")).collect()
        };
        let none: Vec<String> = Vec::new();
        for (text, expected) in [
            ("t(1)", vec!["p:t"]),
            ("t(3, 4)", vec![]),
            ("r(x) :- t(x), s(x)", vec!["p:r"]),
            ("n(x) :- t(x, y, z), s(x, y), q:v(x, y)", vec!["p:s", "p:t", "q:v"]),
            // What a datasource has, what matches by value, what names columns, what runs actions.
            ("n(x) :- nova:servers(x, y), d:e(x, y), t(a=x)", vec![]),
            ("execute[p:t(x)] :- s(x)", vec![]),
            ("no rule", vec![]),
        ] {
            let found: Vec<String> = odd(text);
            assert_eq!(found, expected, "{text}");
        }
        assert_eq!(odd("new(1, 2, 3)"), none);
        let tables = at_odds("p", &[rule("t(1)")], &present);
        assert!(tables.any_in("p", "s(x) :- t(x)") && tables.any_in("q", "w(x) :- p:t(x, y)"));
        assert!(!tables.any_in("q", "t(1)"));
        assert!(tables.suit("p", "s(x) :- t(x)") && tables.suit("q", "t(1, 2)"));
        assert!(!tables.suit("p", "s(x) :- t(x, y)"));
    }
}
