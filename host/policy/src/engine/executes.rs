//! The `execute[…]` tables as a whole: which there are, what they depend on, which rows they have.

use std::sync::Arc;

use super::{Engine, Execution, Fired};
use crate::ast::{Constant, Modal};
use crate::depgraph::Node;
use crate::error::Error;
use crate::program::TableKey;
use crate::snapshot::rows_of;

/// An `execute[…]` table that has rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExecuteTable {
    /// The policy whose rules ask for the action.
    pub policy: Arc<str>,
    /// The datasource to act: the prefix in the head, or the policy's own name.
    pub service: Arc<str>,
    /// The action; may contain dots.
    pub action: Arc<str>,
    /// All tables that its rows depend on, through whatever rules, as policy and table; sorted.
    pub reads: Vec<(Arc<str>, Arc<str>)>,
    /// Its rows follow each change. Not so where rules ask for the time: what the engine tells of
    /// such a table's changes is not all that has changed, so ask for its rows.
    pub follows: bool,
    /// It, or a table that it depends on, has too many rows to be kept, or costs too much; its rows
    /// are not known.
    pub overflowed: bool,
}

/// What changes of an engine did to watched and `execute[…]` tables, in order.
#[derive(Clone, Debug, Default)]
pub struct Told {
    /// Watched tables.
    pub fired: Vec<Fired>,
    /// `execute[…]` tables.
    pub executions: Vec<Execution>,
}

/// The service and the action of an `execute[…]` table.
pub(super) fn service_and_action(node: &Node) -> (Arc<str>, Arc<str>) {
    match node.table.split_once(':') {
        Some((service, action)) => (service.into(), action.into()),
        None => (node.policy.clone(), node.table.clone()),
    }
}

impl Engine {
    /// The `execute[…]` tables that have rules, by policy and table. Costs the rules below them.
    pub fn execute_tables(&self) -> Vec<ExecuteTable> {
        let mut tables: Vec<ExecuteTable> = Vec::with_capacity(self.executed.len());
        for node in self.executed.keys() {
            let below = self.graph.below([node.clone()]);
            let overflowed = self.views.overflowed().any(|node| below.contains(node));
            let follows = !self.views.is_volatile(node);
            let reads = below.into_iter().filter(|node| node.modal.is_none());
            let reads = reads.map(|node| (node.policy, node.table));
            let (policy, (service, action)) = (node.policy.clone(), service_and_action(node));
            // Those of one policy are neighbours.
            let mut own = tables.iter_mut().rev().take_while(|table| table.policy == policy);
            let same = own.find(|table| (&table.service, &table.action) == (&service, &action));
            let table = match same {
                // One head names its own policy as the service, another leaves it out. A row that
                // goes from one of the two tables may be in the other.
                Some(table) => {
                    table.follows = false;
                    table.overflowed |= overflowed;
                    table.reads.extend(reads);
                    table
                }
                None => {
                    let reads = reads.collect();
                    tables.push(ExecuteTable {
                        policy,
                        service,
                        action,
                        reads,
                        follows,
                        overflowed,
                    });
                    continue;
                }
            };
            table.reads.sort_unstable();
            table.reads.dedup();
        }
        for table in &mut tables {
            table.reads.sort_unstable();
        }
        tables
    }

    /// The rows of an `execute[…]` table, in no order.
    ///
    /// # Errors
    ///
    /// There are more than views may have, or they cost more ([`Engine::limit_views`]), or there is
    /// no such policy.
    pub fn execute_rows(&self, table: &ExecuteTable) -> Result<Vec<Vec<Constant>>, Error> {
        let ExecuteTable { policy, service, action, .. } = table;
        let limits = self.views.limits();
        // A rule may name its own policy as the service, or leave it out: two tables.
        let mut rows = Vec::new();
        for name in [Some(format!("{service}:{action}").into()), Some(action.clone())] {
            let Some(name) = name.filter(|name: &Arc<str>| name != action || service == policy)
            else {
                continue;
            };
            let node = Node { policy: policy.clone(), modal: Some(Modal::Execute), table: name };
            if self.executed.contains_key(&node) {
                rows.extend(rows_of(&self.state, policy, &TableKey::of_node(&node), limits)?);
            }
        }
        Ok(rows)
    }

    /// Whether the engine keeps what its changes do to watched and `execute[…]` tables, in the
    /// order of the changes, until [`Engine::take_told`]: for whoever cannot look at every
    /// outcome.
    pub fn keep_told(&mut self, keep: bool) {
        self.told = keep.then(|| self.told.take().unwrap_or_default());
    }

    /// What has been kept since the last time.
    pub fn take_told(&mut self) -> Told {
        self.told.as_mut().map(std::mem::take).unwrap_or_default()
    }
}
