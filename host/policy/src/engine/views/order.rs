//! Which tables have views, and in which order they follow a change.

use hashbrown::HashSet;

use super::{Component, Found, Views, table};
use crate::depgraph::Node;
use crate::engine::Engine;
use crate::program::Literal;

impl Engine {
    /// Settles anew which tables have views. Gives those that had one and need it no more.
    pub(super) fn order_views(&mut self) -> Vec<Node> {
        // What was found out about rules holds for as long as they are the same.
        let overflowed = std::mem::take(&mut self.views.overflowed);
        self.views.overflowed = self.still_so(overflowed);
        let of_today = std::mem::take(&mut self.views.of_today);
        self.views.of_today = self.still_so(of_today);
        let roots: HashSet<Node> =
            self.watches.values().chain(self.executed.keys()).cloned().collect();
        let before = std::mem::take(&mut self.views.nodes);
        self.views.volatile.clear();
        self.views.order.clear();
        self.views.readers.clear();
        self.views.joining.clear();
        for component in self.graph.in_order(roots) {
            self.add_component(component);
        }
        self.views.stale = false;
        let Views { nodes, volatile, .. } = &self.views;
        before.into_iter().filter(|node| !nodes.contains(node) || volatile.contains(node)).collect()
    }

    /// What was found of tables whose rules, and those below, are the same still.
    fn still_so(&self, mut found: Found) -> Found {
        found.retain(|node, rules| *rules == self.rules_below(node));
        found
    }

    /// Puts a component at the end of the order. Its place, unless it can have no views.
    fn add_component(&mut self, nodes: Vec<Node>) -> Option<usize> {
        self.views.nodes.extend(nodes.iter().cloned());
        let is_volatile = nodes.iter().any(|node| {
            self.has_no_view(node)
                || self.graph.bodies_of(node).any(|body| self.views.volatile.contains(body))
        });
        if is_volatile {
            self.views.volatile.extend(nodes);
            return None;
        }
        let place = self.views.order.len();
        let mut recursive = nodes.len() > 1;
        for node in &nodes {
            let itself = std::iter::once(node);
            for read in self.graph.bodies_of(node).chain(itself) {
                let places = self.views.readers.entry_ref(read).or_default();
                if places.last() != Some(&place) {
                    places.push(place);
                }
            }
            recursive |= self.graph.bodies_of(node).any(|body| body == node);
        }
        self.views.order.push(Component { nodes, recursive });
        Some(place)
    }

    /// Adds a table, and what it depends on, to those that have views. The places of what is new.
    pub(super) fn extend_views(&mut self, node: Node) -> Vec<usize> {
        let mut places = Vec::new();
        for component in self.graph.in_order([node]) {
            // What one of them depends on is known if it is.
            if !component.iter().any(|node| self.views.nodes.contains(node)) {
                places.extend(self.add_component(component));
            }
        }
        places
    }

    /// Whether a table's rules ask for the time, or their rows depend on the order in which
    /// literals that match by value come upon numbers.
    fn has_no_view(&self, node: &Node) -> bool {
        if self.views.of_today.contains_key(node) {
            return true;
        }
        let rules = table(&self.state, node).map(|table| &table.rules[..]).unwrap_or_default();
        rules.iter().any(|stored| {
            let asks_for_time = stored.program.body.iter().any(|literal| match literal {
                Literal::Builtin { builtin, .. } => builtin.is_volatile(),
                _ => false,
            });
            asks_for_time || self.state.depends_on_spelling(&node.policy, &stored.program)
        })
    }
}
