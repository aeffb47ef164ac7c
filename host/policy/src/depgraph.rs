//! Which tables depend on which, over all policies.
//!
//! Edges go from a rule's heads to the tables of its body and are counted, so that taking out one
//! of two rules with the same edge keeps it. All walks use a list of their own, never the stack.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;

use hashbrown::{Equivalent, HashMap, HashSet};

use crate::ast::{Atom, Modal, Rule};
use crate::builtins;

/// A table, by policy, modal and name (under a modal: with the service's prefix).
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Node {
    pub(crate) policy: Arc<str>,
    pub(crate) modal: Option<Modal>,
    pub(crate) table: Arc<str>,
}

/// A [`Node`] to be looked up by.
#[derive(Hash)]
pub(crate) struct NodeRef<'a> {
    pub(crate) policy: &'a Arc<str>,
    pub(crate) modal: Option<Modal>,
    pub(crate) table: &'a Arc<str>,
}

impl Equivalent<Node> for NodeRef<'_> {
    fn equivalent(&self, node: &Node) -> bool {
        (self.policy, self.modal, self.table) == (&node.policy, node.modal, &node.table)
    }
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

/// How often a head depends on a table.
#[derive(Clone, Copy, Debug, Default)]
struct Edge {
    /// In how many literals.
    count: usize,
    /// In how many of them it must be complete first, because they are negated or taken together
    /// by an aggregate.
    negated: usize,
}

/// The graph.
#[derive(Clone, Debug, Default)]
pub(crate) struct DependencyGraph {
    /// For each head, the tables of its bodies.
    edges: HashMap<Node, HashMap<Node, Edge>>,
    /// The same edges the other way: for each table, the heads of the rules that read it.
    readers: HashMap<Node, HashSet<Node>>,
}

/// How many edges for each table [`DependencyGraph::closes_cycle`] looks at before it takes to
/// walking everything below once.
const EDGES_PER_TABLE: usize = 16;

/// How many edges it looks at besides.
const EDGES: usize = 4_000;

/// Tables that all depend on each other.
#[derive(Clone, Debug)]
pub(crate) struct Recursion {
    pub(crate) nodes: Vec<Node>,
    /// One of them depends on another's rows not being there.
    pub(crate) negated: bool,
}

impl DependencyGraph {
    /// Counts a rule's edges in.
    pub(crate) fn insert(&mut self, policy: &Arc<str>, rule: &Rule) {
        for (head, body, negated) in edges(policy, rule) {
            self.readers.entry_ref(&body).or_default().insert(head.clone());
            let edge = self.edges.entry(head).or_default().entry(body).or_default();
            edge.count += 1;
            edge.negated += usize::from(negated);
        }
    }

    /// Counts a rule's edges out.
    pub(crate) fn remove(&mut self, policy: &Arc<str>, rule: &Rule) {
        for (head, body, negated) in edges(policy, rule) {
            let Some(bodies) = self.edges.get_mut(&head) else {
                continue;
            };
            if let Some(edge) = bodies.get_mut(&body) {
                edge.count -= 1;
                edge.negated -= usize::from(negated);
                if edge.count == 0 {
                    bodies.remove(&body);
                    if let Some(readers) = self.readers.get_mut(&body) {
                        readers.remove(&head);
                        if readers.is_empty() {
                            self.readers.remove(&body);
                        }
                    }
                }
            }
            if bodies.is_empty() {
                self.edges.remove(&head);
            }
        }
    }

    /// Whether any of the tables depends on itself, where nothing did before they got new rules.
    ///
    /// Walks down from a table and up from it by turns, until one of the two comes to its end: a
    /// rule put on top of others, or below others, costs next to nothing.
    pub(crate) fn closes_cycle(&self, tables: &[Node]) -> bool {
        let mut budget = tables.len().saturating_mul(EDGES_PER_TABLE).saturating_add(EDGES);
        for table in tables {
            match self.is_in_cycle(table, &mut budget) {
                Some(true) => return true,
                Some(false) => {}
                None => return self.any_cycle(tables.iter().cloned()),
            }
        }
        false
    }

    /// None if the budget, in edges, did not suffice.
    fn is_in_cycle(&self, start: &Node, budget: &mut usize) -> Option<bool> {
        let mut below: HashSet<&Node> = HashSet::from([start]);
        let mut above: HashSet<&Node> = HashSet::from([start]);
        let (mut down, mut up) = (vec![start], vec![start]);
        while let (Some(lower), Some(upper)) = (down.pop(), up.pop()) {
            for body in self.bodies_of(lower) {
                *budget = budget.checked_sub(1)?;
                if above.contains(body) {
                    return Some(true);
                }
                if below.insert(body) {
                    down.push(body);
                }
            }
            for reader in self.readers.get(upper).into_iter().flatten() {
                *budget = budget.checked_sub(1)?;
                if below.contains(reader) {
                    return Some(true);
                }
                if above.insert(reader) {
                    up.push(reader);
                }
            }
        }
        Some(false)
    }

    /// Whether any of the tables, or anything below, depends on itself. Costs what they depend on.
    pub(crate) fn any_cycle(&self, tables: impl IntoIterator<Item = Node>) -> bool {
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
                    Some(1) => return true,
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
        false
    }

    /// The recursions among the tables and what they depend on: strongly connected components of
    /// more than one table, or of one that depends on itself. Those further down come first.
    pub(crate) fn recursions(&self, tables: impl IntoIterator<Item = Node>) -> Vec<Recursion> {
        let mut found = Vec::new();
        self.components(tables, |nodes| {
            let members: HashSet<&Node> = nodes.iter().copied().collect();
            let edges = nodes.iter().filter_map(|node| self.edges.get(*node)).flatten();
            let mut inside = edges.filter(|(body, _)| members.contains(body)).peekable();
            if inside.peek().is_some() {
                found.push(Recursion {
                    nodes: nodes.iter().map(|node| (*node).clone()).collect(),
                    negated: inside.any(|(_, edge)| edge.negated > 0),
                });
            }
        });
        found
    }

    /// A cycle among the tables of a recursion: tables each of which reads the next one, and the
    /// last one the first. If there is a negation, the first one negates the second.
    pub(crate) fn cycle(&self, recursion: &Recursion) -> Vec<Node> {
        let members: HashSet<&Node> = recursion.nodes.iter().collect();
        // In order, so that the same rules are always refused in the same words.
        let read = |node: &Node, negated: bool| {
            let bodies = self.edges.get(node).into_iter().flatten();
            let bodies = bodies.filter(|(_, edge)| edge.negated > 0 || !negated);
            let mut bodies: Vec<&Node> =
                bodies.map(|(body, _)| body).filter(|body| members.contains(body)).collect();
            bodies.sort_unstable();
            bodies
        };
        let mut heads: Vec<&Node> = recursion.nodes.iter().collect();
        heads.sort_unstable();
        let mut edges = heads.into_iter().flat_map(|head| {
            read(head, recursion.negated).into_iter().map(move |body| (head, body))
        });
        let Some((head, body)) = edges.next() else {
            return Vec::new();
        };
        // The shortest way back; `from` says where each table was reached from.
        let mut from: HashMap<&Node, &Node> = HashMap::from([(body, head)]);
        let mut todo = VecDeque::from([body]);
        while let Some(node) = todo.pop_front().filter(|node| *node != head) {
            for next in read(node, false) {
                from.entry(next).or_insert_with(|| {
                    todo.push_back(next);
                    node
                });
            }
        }
        let mut cycle = vec![head.clone()];
        let mut node = head;
        while let Some(earlier) = from.get(node).copied().filter(|earlier| *earlier != head) {
            cycle.push(earlier.clone());
            node = earlier;
        }
        if let Some(rest) = cycle.get_mut(1..) {
            rest.reverse();
        }
        cycle
    }

    /// Everything that the tables depend on, themselves included, in an order in which each comes
    /// after what it depends on; tables that depend on each other come together.
    pub(crate) fn in_order(&self, tables: impl IntoIterator<Item = Node>) -> Vec<Vec<Node>> {
        let mut order = Vec::new();
        self.components(tables, |nodes| {
            order.push(nodes.iter().map(|node| (*node).clone()).collect());
        });
        order
    }

    /// Tarjan's algorithm, with a stack of its own.
    fn components<'g>(
        &'g self,
        tables: impl IntoIterator<Item = Node>,
        mut component: impl FnMut(&[&Node]),
    ) {
        struct Visit {
            number: usize,
            low: usize,
            open: bool,
        }
        let mut visits: HashMap<&'g Node, Visit> = HashMap::new();
        let mut open: Vec<&'g Node> = Vec::new();
        for start in tables {
            let Some((start, bodies)) = self.edges.get_key_value(&start) else {
                component(&[&start]);
                continue;
            };
            if visits.contains_key(start) {
                continue;
            }
            let mut number = visits.len();
            visits.insert(start, Visit { number, low: number, open: true });
            open.push(start);
            let mut path = vec![(start, bodies.keys())];
            while let Some((node, rest)) = path.last_mut() {
                let node = *node;
                if let Some(next) = rest.next() {
                    if let Some(visit) = visits.get(next) {
                        let (seen, is_open) = (visit.number, visit.open);
                        if let Some(visit) = visits.get_mut(node).filter(|_| is_open) {
                            visit.low = visit.low.min(seen);
                        }
                    } else {
                        number = visits.len();
                        visits.insert(next, Visit { number, low: number, open: true });
                        open.push(next);
                        let bodies = match self.edges.get(next) {
                            Some(bodies) => bodies.keys(),
                            None => Default::default(),
                        };
                        path.push((next, bodies));
                    }
                    continue;
                }
                path.pop();
                let Some(visit) = visits.get(node) else {
                    continue;
                };
                let (own, low) = (visit.number, visit.low);
                if let Some((parent, _)) = path.last()
                    && let Some(parent) = visits.get_mut(*parent)
                {
                    parent.low = parent.low.min(low);
                }
                if own == low {
                    let from = open.iter().rposition(|other| *other == node).unwrap_or(0);
                    component(&open[from..]);
                    for node in open.drain(from..) {
                        if let Some(visit) = visits.get_mut(node) {
                            visit.open = false;
                        }
                    }
                }
            }
        }
    }

    /// The tables that rules define.
    pub(crate) fn heads(&self) -> impl Iterator<Item = &Node> {
        self.edges.keys()
    }

    /// The tables that the rules of a table read.
    pub(crate) fn bodies_of(&self, table: &Node) -> impl Iterator<Item = &Node> {
        self.edges.get(table).into_iter().flat_map(HashMap::keys)
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
    pub(crate) fn bodies(&self) -> impl Iterator<Item = &Node> {
        self.readers.keys()
    }
}

/// Head, table of the body, and whether that must be complete first: it is negated, or taken
/// together by an aggregate.
fn edges(policy: &Arc<str>, rule: &Rule) -> Vec<(Node, Node, bool)> {
    let complete = rule.is_aggregate();
    let tables = rule.body.iter().filter(|literal| !is_computed(literal));
    let bodies: Vec<(Node, bool)> =
        tables.map(|literal| (Node::of(policy, literal), literal.negated || complete)).collect();
    rule.heads
        .iter()
        .map(|head| Node::of(policy, head))
        .flat_map(|head| bodies.iter().map(move |(body, not)| (head.clone(), body.clone(), *not)))
        .collect()
}
