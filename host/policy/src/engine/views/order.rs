//! Which tables have views, and in which order they follow a change.

use hashbrown::HashSet;

use super::{Component, table};
use crate::depgraph::Node;
use crate::engine::Engine;
use crate::program::Literal;

impl Engine {
    /// Settles anew which tables have views. Gives those that had one and need it no more.
    pub(super) fn order_views(&mut self) -> Vec<Node> {
        // Rules that gave too many rows are not tried again as they are.
        let mut overflowed = std::mem::take(&mut self.views.overflowed);
        overflowed.retain(|node, rules| *rules == self.rules_below(node));
        self.views.overflowed = overflowed;
        let roots: HashSet<Node> =
            self.watches.values().chain(self.executed.keys()).cloned().collect();
        let mut volatile = HashSet::new();
        let mut nodes = HashSet::new();
        let mut order = Vec::new();
        for component in self.graph.in_order(roots) {
            nodes.extend(component.iter().cloned());
            let is_volatile = component.iter().any(|node| {
                self.asks_for_time(node)
                    || self.graph.bodies_of(node).any(|body| volatile.contains(body))
            });
            if is_volatile {
                volatile.extend(component);
                continue;
            }
            let recursive = component.len() > 1
                || component.iter().any(|node| self.graph.bodies_of(node).any(|b| b == node));
            order.push(Component { nodes: component, recursive });
        }
        let kept: HashSet<&Node> = order.iter().flat_map(|component| &component.nodes).collect();
        let dropped = self.views.nodes.iter().filter(|node| !kept.contains(node)).cloned();
        let dropped = dropped.collect();
        drop(kept);
        self.views.order = order;
        self.views.nodes = nodes;
        self.views.volatile = volatile;
        self.views.stale = false;
        dropped
    }

    fn asks_for_time(&self, node: &Node) -> bool {
        let rules = table(&self.state, node).map(|table| &table.rules[..]).unwrap_or_default();
        rules.iter().flat_map(|stored| &stored.program.body).any(|literal| match literal {
            Literal::Builtin { builtin, .. } => builtin.is_volatile(),
            _ => false,
        })
    }
}
