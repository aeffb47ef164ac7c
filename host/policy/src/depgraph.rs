//! Which tables depend on which, over all policies.
//!
//! Edges go from a rule's heads to the tables of its body and are counted, so that taking out one
//! of two rules with the same edge keeps it. All walks use a list of their own, never the stack.

use std::fmt;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};

use crate::ast::{Atom, Modal, Rule};
use crate::builtins;

/// A table, by policy, modal and name (under a modal: with the service's prefix).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) policy: Arc<str>,
    pub(crate) modal: Option<Modal>,
    pub(crate) table: Arc<str>,
}

impl Node {
    /// The table that an atom in a rule of `policy` means.
    pub(crate) fn of(policy: &Arc<str>, atom: &Atom) -> Self {
        match (&atom.modal, &atom.policy) {
            (Some(_), _) => {
                Self { policy: policy.clone(), modal: atom.modal, table: modal_table(atom) }
            }
            (None, prefix) => Self {
                policy: prefix.as_ref().unwrap_or(policy).clone(),
                modal: None,
                table: atom.table.clone(),
            },
        }
    }
}

impl fmt::Display for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.modal {
            Some(modal) => write!(f, "{}[{}]", modal.as_str(), self.table),
            None => write!(f, "{}:{}", self.policy, self.table),
        }
    }
}

/// The name of a table under a modal: its service is part of it.
pub(crate) fn modal_table(atom: &Atom) -> Arc<str> {
    match &atom.policy {
        Some(service) => format!("{service}:{}", atom.table).into(),
        None => atom.table.clone(),
    }
}

/// Whether a body literal is a builtin or a truth value and not a table.
pub(crate) fn is_computed(atom: &Atom) -> bool {
    (atom.policy.is_none() && matches!(&*atom.table, "true" | "false")) || builtin(atom).is_some()
}

/// The builtin that a body literal means.
pub(crate) fn builtin(atom: &Atom) -> Option<&'static builtins::Builtin> {
    if atom.modal.is_some() || !atom.named.is_empty() {
        return None;
    }
    match atom.policy.as_deref() {
        None => builtins::lookup(&atom.table, atom.args.len()),
        Some(builtins::PREFIX) => builtins::lookup_prefixed(&atom.table, atom.args.len()),
        Some(_) => None,
    }
}

/// The graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct DependencyGraph {
    /// For each head, the tables of its bodies, and in how many rules.
    edges: HashMap<Node, HashMap<Node, usize>>,
}

impl DependencyGraph {
    /// Counts a rule's edges in.
    pub(crate) fn insert(&mut self, policy: &Arc<str>, rule: &Rule) {
        for (head, body) in edges(policy, rule) {
            *self.edges.entry(head).or_default().entry(body).or_default() += 1;
        }
    }

    /// Counts a rule's edges out.
    pub(crate) fn remove(&mut self, policy: &Arc<str>, rule: &Rule) {
        for (head, body) in edges(policy, rule) {
            let Some(bodies) = self.edges.get_mut(&head) else {
                continue;
            };
            if let Some(count) = bodies.get_mut(&body) {
                *count -= 1;
                if *count == 0 {
                    bodies.remove(&body);
                }
            }
            if bodies.is_empty() {
                self.edges.remove(&head);
            }
        }
    }

    /// Whether any of the tables depends on itself. Costs what they depend on.
    pub(crate) fn any_cycle(&self, tables: impl IntoIterator<Item = Node>) -> bool {
        self.cycle(tables).is_some()
    }

    /// A cycle that the tables lead to, if there is one: tables each of which reads the next one,
    /// and the last one the first. Costs what the tables depend on.
    pub(crate) fn cycle(&self, tables: impl IntoIterator<Item = Node>) -> Option<Vec<Node>> {
        // 1: on the path, 2: done.
        let mut state: HashMap<&Node, u8> = HashMap::new();
        for start in tables {
            let Some((start, bodies)) = self.edges.get_key_value(&start) else {
                continue;
            };
            if state.contains_key(start) {
                continue;
            }
            state.insert(start, 1);
            let mut path = vec![(start, bodies.keys())];
            while let Some((node, rest)) = path.last_mut() {
                let Some(next) = rest.next() else {
                    state.insert(*node, 2);
                    path.pop();
                    continue;
                };
                match state.get(next) {
                    Some(1) => {
                        let path = path.iter().map(|(node, _)| *node);
                        return Some(path.skip_while(|node| *node != next).cloned().collect());
                    }
                    Some(_) => {}
                    None => match self.edges.get(next) {
                        Some(bodies) => {
                            state.insert(next, 1);
                            path.push((next, bodies.keys()));
                        }
                        None => {
                            state.insert(next, 2);
                        }
                    },
                }
            }
        }
        None
    }

    /// Everything that the tables depend on, themselves included.
    pub(crate) fn below(&self, tables: impl IntoIterator<Item = Node>) -> HashSet<Node> {
        let mut todo: Vec<Node> = tables.into_iter().collect();
        let mut seen: HashSet<Node> = HashSet::new();
        while let Some(node) = todo.pop() {
            if let Some(bodies) = self.edges.get(&node) {
                todo.extend(bodies.keys().filter(|body| !seen.contains(*body)).cloned());
            }
            seen.insert(node);
        }
        seen
    }

    /// All tables that rules read.
    pub(crate) fn bodies(&self) -> HashSet<&Node> {
        self.edges.values().flat_map(HashMap::keys).collect()
    }
}

fn edges(policy: &Arc<str>, rule: &Rule) -> Vec<(Node, Node)> {
    let tables = rule.body.iter().filter(|literal| !is_computed(literal));
    let bodies: Vec<Node> = tables.map(|literal| Node::of(policy, literal)).collect();
    rule.heads
        .iter()
        .map(|head| Node::of(policy, head))
        .flat_map(|head| bodies.iter().map(move |body| (head.clone(), body.clone())))
        .collect()
}
