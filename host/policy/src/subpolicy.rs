//! Which rules of a policy matter for some of its tables: to hand them to somebody who knows some
//! tables and must not see others.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::ast::Statement;
use crate::depgraph::{Node, is_computed};
use crate::error::Error;
use crate::snapshot::Snapshot;
use crate::state::StoredRule;

/// What [`Snapshot::find_subpolicy`] looks for. Tables are of the policy that is asked; those of
/// others are written with their policy, as in rules: `nova:servers`.
#[derive(Clone, Copy, Debug, Default)]
pub struct SubpolicyQuery<'a> {
    /// Tables of which an output must make use.
    pub required: &'a [&'a str],
    /// Tables of which no rule may make use. An output table is never one of them.
    pub prohibited: &'a [&'a str],
    /// The tables that are wanted.
    pub output: &'a [&'a str],
}

impl Snapshot {
    /// The rules that help to define the output tables from the required ones without the
    /// prohibited ones, in the order of insertion.
    ///
    /// Chosen are the rules of output tables that read, directly or through rules of this policy,
    /// a required table and no prohibited one; and the rules, as far as they need nothing
    /// prohibited, of all tables that chosen rules read.
    ///
    /// # Errors
    ///
    /// There is no such policy.
    pub fn find_subpolicy(
        &self,
        query: SubpolicyQuery<'_>,
        policy: Option<&str>,
    ) -> Result<Vec<Statement>, Error> {
        let policy = self.state.target(policy)?;
        let own = &policy.info.name;
        let nodes = |names: &[&str]| -> HashSet<Node> {
            let names = names.iter().map(|name| match name.split_once(':') {
                Some((prefix, table)) => (prefix.into(), table.into()),
                None => (own.clone(), (*name).into()),
            });
            names.map(|(policy, table)| Node { policy, modal: None, table }).collect()
        };
        let rules: Vec<Edges<'_>> =
            policy.rules().into_iter().map(|stored| Edges::of(own, stored)).collect();
        let output = nodes(query.output);
        let required = dependents(&rules, nodes(query.required));
        let mut prohibited = dependents(&rules, nodes(query.prohibited));
        prohibited.retain(|node| !output.contains(node));

        let mut by_head: HashMap<&Node, Vec<usize>> = HashMap::new();
        for (at, rule) in rules.iter().enumerate() {
            by_head.entry(&rule.head).or_default().push(at);
        }
        let mut chosen: HashSet<usize> = HashSet::new();
        let mut todo: Vec<&Node> = output.iter().collect();
        let mut seen: HashSet<&Node> = todo.iter().copied().collect();
        while let Some(node) = todo.pop() {
            for &at in by_head.get(node).into_iter().flatten() {
                let Edges { head, body, .. } = &rules[at];
                let is_useful = !output.contains(head) || body.iter().any(|b| required.contains(b));
                if !is_useful || body.iter().any(|table| prohibited.contains(table)) {
                    continue;
                }
                chosen.insert(at);
                todo.extend(body.iter().filter(|table| seen.insert(table)));
            }
        }
        let chosen = rules.iter().enumerate().filter(|(at, _)| chosen.contains(at));
        Ok(chosen.map(|(_, rule)| Statement::Rule(rule.stored.rule.clone())).collect())
    }
}

/// A rule, and the tables in it.
struct Edges<'a> {
    stored: &'a StoredRule,
    head: Node,
    body: Vec<Node>,
}

impl<'a> Edges<'a> {
    fn of(policy: &Arc<str>, stored: &'a Arc<StoredRule>) -> Self {
        let tables = stored.rule.body.iter().filter(|literal| !is_computed(literal));
        // A stored rule has one head.
        let head = match stored.rule.heads.first() {
            Some(head) => Node::of(policy, head),
            None => Node { policy: policy.clone(), modal: None, table: "".into() },
        };
        Self { stored, head, body: tables.map(|literal| Node::of(policy, literal)).collect() }
    }
}

/// The tables, and all that depend on them.
fn dependents(rules: &[Edges<'_>], tables: HashSet<Node>) -> HashSet<Node> {
    let mut heads: HashMap<&Node, Vec<&Node>> = HashMap::new();
    for Edges { head, body, .. } in rules {
        for table in body {
            heads.entry(table).or_default().push(head);
        }
    }
    let mut todo: Vec<Node> = tables.iter().cloned().collect();
    let mut found = tables;
    while let Some(node) = todo.pop() {
        for &head in heads.get(&node).into_iter().flatten() {
            if found.insert(head.clone()) {
                todo.push(head.clone());
            }
        }
    }
    found
}
