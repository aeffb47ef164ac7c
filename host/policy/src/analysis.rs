//! What can be said of rules without an engine: a safe order, recursion, strata.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::ast::{Atom, Rule};
use crate::check::safety;
use crate::depgraph::{self, DependencyGraph, Node};
use crate::error::Error;

/// The rule with its body in an order in which every negation and builtin finds its inputs bound;
/// unchanged if it is in one already.
///
/// # Errors
///
/// There is no such order.
pub fn reorder(rule: &Rule) -> Result<Rule, Error> {
    safety::reorder(rule)
}

/// Whether any table depends on itself. Tables without a policy belong to one that is not named.
pub fn is_recursive<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> bool {
    let own: Arc<str> = "".into();
    let mut graph = DependencyGraph::default();
    let mut heads = Vec::new();
    for rule in rules {
        graph.insert(&own, rule);
        heads.extend(rule.heads.iter().map(|head| Node::of(&own, head)));
    }
    graph.any_cycle(heads)
}

/// The stratum of each table, from 1: a table's stratum is not below that of any table that it
/// depends on, and above that of any that it negates or takes together by an aggregate. `None` if
/// a table depends on its own negation or aggregate.
pub fn strata<'r>(rules: impl IntoIterator<Item = &'r Rule>) -> Option<BTreeMap<String, usize>> {
    let rules: Vec<&Rule> = rules.into_iter().collect();
    let mut strata: BTreeMap<String, usize> = BTreeMap::new();
    for atom in rules.iter().flat_map(|rule| rule.heads.iter().chain(tables(rule))) {
        strata.insert(name(atom), 1);
    }
    // No stratum can exceed the number of tables, unless a negation is in a cycle.
    let highest = strata.len();
    loop {
        let mut changed = false;
        for rule in &rules {
            let lowest = tables(rule)
                .map(|literal| {
                    let strict = literal.negated || rule.is_aggregate();
                    strata.get(&name(literal)).copied().unwrap_or(1) + usize::from(strict)
                })
                .max()
                .unwrap_or(1);
            for head in &rule.heads {
                if let Some(stratum) = strata.get_mut(&name(head))
                    && *stratum < lowest
                {
                    *stratum = lowest;
                    changed = true;
                    if lowest > highest {
                        return None;
                    }
                }
            }
        }
        if !changed {
            return Some(strata);
        }
    }
}

fn tables(rule: &Rule) -> impl Iterator<Item = &Atom> {
    rule.body.iter().filter(|literal| !depgraph::is_computed(literal))
}

fn name(atom: &Atom) -> String {
    match &atom.policy {
        Some(policy) => format!("{policy}:{}", atom.table),
        None => atom.table.to_string(),
    }
}
