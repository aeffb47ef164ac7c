//! Recursion among the rules of an overlay. The engine has the graph of all rules; here it is made
//! of the rules below those that are concerned.

use std::sync::Arc;

use hashbrown::HashSet;

use crate::ast::Rule;
use crate::check::recursion;
use crate::depgraph::{DependencyGraph, Node, is_computed};
use crate::engine::batch::refused_recursion;
use crate::error::Error;
use crate::program::TableKey;
use crate::state::State;

/// Whether a rule may come. Costs the rules that it depends on.
pub(super) fn check(state: &State, policy: &Arc<str>, rule: &Rule) -> Result<(), Error> {
    let mut graph = below(state, bodies(policy, rule));
    graph.insert(policy, rule);
    match refused_recursion(state, &graph, heads(policy, rule).into_iter(), false) {
        Some(found) => Err(recursion::error(&graph, &found, &[]).at(rule.span)),
        None => Ok(()),
    }
}

/// Finds the recursions anew after a rule has come or gone.
pub(super) fn refresh(state: &mut State, policy: &Arc<str>, rule: &Rule) {
    let mut concerned = heads(policy, rule);
    let known: HashSet<u32> =
        concerned.iter().filter_map(|head| state.components.get(head).copied()).collect();
    if !known.is_empty() {
        let members = state.components.iter().filter(|(_, number)| known.contains(*number));
        concerned.extend(members.map(|(node, _)| node.clone()));
    }
    let graph = below(state, concerned.clone());
    if known.is_empty() && !graph.any_cycle(concerned.iter().cloned()) {
        return;
    }
    let components = Arc::make_mut(&mut state.components);
    for node in &concerned {
        components.remove(node);
    }
    let first = unused(components.values());
    for (number, recursion) in (first..).zip(graph.recursions(concerned)) {
        components.extend(recursion.nodes.into_iter().map(|node| (node, number)));
    }
}

/// Gives the tables of a copy of a policy the recursions of the original.
pub(super) fn copy(state: &mut State, original: &Arc<str>, copy: &Arc<str>) {
    if state.components.is_empty() {
        return;
    }
    let first = unused(state.components.values());
    let own = state.components.iter().filter(|(node, _)| node.policy == *original);
    let copied = own.map(|(node, number)| {
        (Node { policy: copy.clone(), ..node.clone() }, first.saturating_add(*number))
    });
    let copied: Vec<(Node, u32)> = copied.collect();
    if !copied.is_empty() {
        Arc::make_mut(&mut state.components).extend(copied);
    }
}

fn unused<'a>(numbers: impl Iterator<Item = &'a u32>) -> u32 {
    numbers.max().map_or(0, |last| last.saturating_add(1))
}

fn heads(policy: &Arc<str>, rule: &Rule) -> Vec<Node> {
    rule.heads.iter().map(|head| Node::of(policy, head)).collect()
}

fn bodies(policy: &Arc<str>, rule: &Rule) -> Vec<Node> {
    let tables = rule.body.iter().filter(|literal| !is_computed(literal));
    tables.map(|literal| Node::of(policy, literal)).collect()
}

/// The rules of the tables and of all that they depend on.
fn below(state: &State, tables: Vec<Node>) -> DependencyGraph {
    let mut graph = DependencyGraph::default();
    let (mut todo, mut seen) = (tables, HashSet::new());
    while let Some(node) = todo.pop() {
        if !seen.insert(node.clone()) {
            continue;
        }
        let key = TableKey::of_node(&node);
        for stored in state.table(&node.policy, &key).into_iter().flat_map(|table| &table.rules) {
            graph.insert(&node.policy, &stored.rule);
            todo.extend(bodies(&node.policy, &stored.rule));
        }
    }
    graph
}
