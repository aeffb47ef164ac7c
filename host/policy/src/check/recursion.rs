//! Recursion: what to say of a cycle.

use std::sync::Arc;

use crate::ast::{Atom, Statement};
use crate::depgraph::{DependencyGraph, Node, Recursion};
use crate::engine::Event;
use crate::error::{Error, ErrorKind};

/// The most tables of a cycle that are named.
const MAX_NAMED: usize = 10;

/// The refusal of a recursion, with the place of that inserted rule that is on the cycle.
pub(crate) fn error(graph: &DependencyGraph, recursion: &Recursion, events: &[Event]) -> Error {
    let cycle = graph.cycle(recursion);
    let mut names: Vec<String> = cycle.iter().take(MAX_NAMED).map(ToString::to_string).collect();
    if cycle.len() > MAX_NAMED {
        names.push(format!("({} more)", cycle.len() - MAX_NAMED));
    }
    names.extend(cycle.first().map(ToString::to_string));
    let mut suggestion = format!("the cycle is {}", names.join(" → "));
    if let (true, [head, body, ..]) = (recursion.negated, &names[..]) {
        suggestion.push_str(&format!("; {head} needs all of {body} first"));
    }
    let error = Error::new(ErrorKind::Recursion, "Rules are recursive").suggest(Some(suggestion));

    let on_cycle = |event: &&Event| {
        let Statement::Rule(rule) = &event.statement else { return false };
        let any = |policy: &Arc<str>, atoms: &[Atom]| {
            atoms.iter().any(|atom| cycle.contains(&Node::of(policy, atom)))
        };
        let policy = event.policy.as_ref();
        // Without a policy it is the only one that there is.
        let policy = policy.or(cycle.first().map(|node| &node.policy));
        event.insert && policy.is_some_and(|p| any(p, &rule.heads) && any(p, &rule.body))
    };
    match events.iter().find(on_cycle) {
        Some(Event { statement: Statement::Rule(rule), source, .. }) => {
            error.at(rule.span).in_source(source)
        }
        _ => error,
    }
}
