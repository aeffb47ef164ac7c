//! Watched tables: which rows came and went with a change.
//!
//! A watched table is evaluated over the state before and the state after; both exist anyway, for
//! states are immutable. Tables that do not depend on what changed are left alone.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use num_bigint::BigInt;

use super::{Engine, Execution, Fired};
use crate::ast::{Constant, Modal};
use crate::depgraph::Node;
use crate::error::Error;
use crate::program::TableKey;
use crate::snapshot::rows_of;
use crate::state::State;

impl Engine {
    pub(super) fn add_watch(
        &mut self,
        name: &str,
        policy: Option<&str>,
        table: &str,
        modal: Option<Modal>,
    ) -> Result<(), Error> {
        let own = match (table.split_once(':'), policy) {
            // The table says whose it is; the policy need not exist yet.
            (Some(_), None) if modal.is_none() => None,
            _ => Some(self.state.target(policy)?.info.name.clone()),
        };
        let node = match (table.split_once(':'), own) {
            (Some((prefix, table)), _) if modal.is_none() => {
                Node { policy: prefix.into(), modal, table: table.into() }
            }
            (_, Some(policy)) => Node { policy, modal, table: table.into() },
            (_, None) => return Ok(()),
        };
        self.watches.insert(name.into(), node);
        Ok(())
    }

    /// What to compare with later, if anything is watched now.
    pub(super) fn watched_state(&self) -> Option<Before> {
        if self.watches.is_empty() && self.executed.is_empty() {
            return None;
        }
        let executed = self.executed.keys().cloned().collect();
        Some(Before { state: self.state.clone(), executed })
    }

    /// Compares the watched tables that depend on what changed.
    pub(super) fn fire(
        &self,
        before: Option<Before>,
        changed: Vec<Node>,
    ) -> (Vec<Fired>, Vec<Execution>) {
        if changed.is_empty() || (before.is_none() && self.executed.is_empty()) {
            return Default::default();
        }
        let changed: HashSet<Node> = changed.into_iter().collect();
        let concerned = |node: &Node| {
            let below = self.graph.below([node.clone()]);
            below.iter().any(|node| changed.contains(node))
        };
        let mut fired = Vec::new();
        for (name, node) in self.watches.iter().filter(|(_, node)| concerned(node)) {
            let old = before.as_ref().map(|before| Rows::of(&before.state, node));
            let (old, new) = (old.unwrap_or_default(), Rows::of(&self.state, node));
            if old != new {
                fired.push(Fired { watch: name.clone(), old: old.all(), new: new.all() });
            }
        }
        let none = HashSet::new();
        let executed = before.as_ref().map_or(&none, |before| &before.executed);
        let nodes: HashSet<&Node> = executed.iter().chain(self.executed.keys()).collect();
        let mut executions = Vec::new();
        for node in nodes.into_iter().filter(|node| concerned(node)) {
            let old = before.as_ref().filter(|before| before.executed.contains(node));
            let old = old.map(|before| Rows::of(&before.state, node)).unwrap_or_default();
            let new = match self.executed.contains_key(node) {
                true => Rows::of(&self.state, node),
                false => Rows::default(),
            };
            if old != new {
                let (service, action) = match node.table.split_once(':') {
                    Some((service, action)) => (service.into(), action.into()),
                    None => (node.policy.clone(), node.table.clone()),
                };
                executions.push(Execution {
                    policy: node.policy.clone(),
                    service,
                    action,
                    added: new.without(&old),
                    removed: old.without(&new),
                });
            }
        }
        (fired, executions)
    }
}

/// The engine before a change.
pub(super) struct Before {
    state: Arc<State>,
    /// The `execute[…]` tables that had rules.
    executed: HashSet<Node>,
}

/// A cell, for comparison between two states, whose words mean different things.
#[derive(PartialEq, Eq, Hash)]
enum Cell {
    Int(BigInt),
    Float(u64),
    Text(Arc<str>),
}

/// The rows of a table.
#[derive(Default)]
struct Rows(HashMap<Vec<Cell>, Vec<Constant>>);

impl PartialEq for Rows {
    fn eq(&self, other: &Self) -> bool {
        self.0.len() == other.0.len() && self.0.keys().all(|row| other.0.contains_key(row))
    }
}

impl Rows {
    fn of(state: &Arc<State>, node: &Node) -> Self {
        let key = TableKey { modal: node.modal, name: node.table.clone() };
        let rows = rows_of(state, &node.policy, &key);
        let cell = |value: &Constant| match value {
            Constant::Int(int) => Cell::Int(int.clone()),
            Constant::Float(float) => Cell::Float(float.to_bits()),
            Constant::Text(text) => Cell::Text(text.clone()),
        };
        Self(rows.into_iter().map(|row| (row.iter().map(cell).collect(), row)).collect())
    }

    fn all(self) -> Vec<Vec<Constant>> {
        self.0.into_values().collect()
    }

    fn without(&self, other: &Self) -> Vec<Vec<Constant>> {
        let rows = self.0.iter().filter(|(row, _)| !other.0.contains_key(*row));
        rows.map(|(_, row)| row.clone()).collect()
    }
}
