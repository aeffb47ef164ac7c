//! Watched tables: which rows came and went with a change.
//!
//! A watched table has a view ([`super::views`]), which says what changed. One whose rows change
//! with the time has none: it is evaluated over the state before and the state after, whenever
//! something changed that it depends on.

use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use num_bigint::BigInt;

use super::executes::service_and_action;
use super::views::deltas::{Deltas, Journal};
use super::{Engine, Execution, Fired, Outcome, views};
use crate::ast::{Constant, Modal};
use crate::depgraph::Node;
use crate::error::Error;
use crate::program::TableKey;
use crate::snapshot::{Limits, rows_of};
use crate::state::State;
use crate::store::interner::Interner;
use crate::store::word::Word;

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
        let name: Arc<str> = name.into();
        if let Some(other) = self.watches.insert(name.clone(), node.clone()) {
            if let Some(names) = self.watched.get_mut(&other) {
                names.retain(|known| *known != name);
            }
            self.views.outdate();
        }
        self.watched.entry_ref(&node).or_default().push(name);
        if !self.views.knows(&node) {
            self.views.join(node);
        }
        self.refresh_views();
        Ok(())
    }

    /// Builds or drops views after what is watched has changed.
    pub(super) fn refresh_views(&mut self) {
        let before = self.state.clone();
        self.counts.defer();
        self.follow(&before, Deltas::default());
        drop(before);
        self.release_deferred();
    }

    /// Counts out what has gone since the change began.
    fn release_deferred(&mut self) {
        let state = Arc::make_mut(&mut self.state);
        Interner { dictionary: &mut state.dictionary, counts: &mut self.counts }.release_deferred();
    }

    /// Makes the engine ready for a change: what is watched is compared with this later. Nothing,
    /// if nothing is watched.
    pub(super) fn begin(&mut self) -> Option<Before> {
        if self.watches.is_empty() && self.executed.is_empty() && !self.views.any() {
            return None;
        }
        self.counts.defer();
        self.journal = Some(Journal::new(self.state.dictionary.mixer()));
        let volatile = self.executed.keys().filter(|node| self.views.is_volatile(node));
        let volatile = volatile.cloned().collect();
        Some(Before { state: self.state.clone(), volatile })
    }

    /// Takes down that a stored row came or went.
    pub(super) fn record(&mut self, node: &Node, row: &[Word], came: bool) {
        if let Some(journal) = &mut self.journal {
            journal.record(node, row, came);
        }
    }

    /// Brings the views up to date after a change, and tells what it did to watched tables.
    pub(super) fn finish(&mut self, before: Option<Before>) -> Outcome {
        let before = match before {
            Some(before) => before,
            // The first `execute[…]` rules have come just now.
            None if !self.executed.is_empty() => {
                self.counts.defer();
                Before { state: self.state.clone(), volatile: HashSet::new() }
            }
            None => return Default::default(),
        };
        let stored = self.journal.take().map(Journal::net).unwrap_or_default();
        let deltas = self.follow(&before.state, stored);
        let changed: HashSet<&Node> = deltas.keys().collect();

        let mut fired = Vec::new();
        let mut executions = Vec::new();
        // Nothing that is watched is looked at unless it has changed, or may have by itself.
        let volatile = self.views.volatile().chain(&before.volatile);
        let mut nodes: HashSet<&Node> = changed.clone();
        nodes.extend(
            volatile.filter(|node| node.modal.is_some() || self.watched.contains_key(*node)),
        );
        for node in nodes {
            let names = self.watched.get(node).map(|names| &names[..]).unwrap_or_default();
            if names.is_empty() && node.modal.is_none() {
                continue;
            }
            let (added, removed) = self.change_of(&before.state, node, &deltas, &changed);
            if added.is_empty() && removed.is_empty() {
                continue;
            }
            for name in names {
                let (added, removed) = (added.clone(), removed.clone());
                fired.push(Fired { watch: name.clone(), added, removed });
            }
            let was = before.volatile.contains(node)
                || self.executed.contains_key(node)
                || changed.contains(node);
            if node.modal.is_some() && was {
                let (service, action) = service_and_action(node);
                let policy = node.policy.clone();
                executions.push(Execution { policy, service, action, added, removed });
            }
        }
        fired.sort_by(|a, b| a.watch.cmp(&b.watch));
        executions.sort_by(|a, b| {
            (&a.policy, &a.service, &a.action).cmp(&(&b.policy, &b.service, &b.action))
        });
        drop(changed);
        self.release_deferred();
        if let Some(told) = &mut self.told {
            told.fired.extend(fired.iter().cloned());
            told.executions.extend(executions.iter().cloned());
        }
        let overflowed = self.views.take_reported().into_iter();
        let overflowed = overflowed.map(|node| (node.policy, node.table)).collect();
        Outcome { fired, executions, overflowed, ..Outcome::default() }
    }

    /// The rows that came into a table and went from it.
    fn change_of(
        &self,
        before: &Arc<State>,
        node: &Node,
        deltas: &Deltas,
        changed: &HashSet<&Node>,
    ) -> (Vec<Vec<Constant>>, Vec<Vec<Constant>>) {
        if self.views.is_volatile(node) {
            let below = self.graph.below([node.clone()]);
            if !below.iter().any(|node| changed.contains(node))
                && self.rules_are_those(before, &below)
            {
                return Default::default();
            }
            let limits = self.views.limits();
            let rows = |state| Rows::of(state, node, limits);
            return match (rows(before), rows(&self.state)) {
                (Some(old), Some(new)) => (new.without(&old), old.without(&new)),
                _ => Default::default(),
            };
        }
        let Some(deltas) = deltas.get(node) else {
            return Default::default();
        };
        // Words of rows that went mean what they meant, for releases are deferred.
        let value = |word: &Word| self.state.dictionary.value(*word);
        let rows = |rows: &views::deltas::Rows| -> Vec<Vec<Constant>> {
            rows.iter().filter_map(|row| row.iter().map(value).collect()).collect()
        };
        let added = deltas.iter().flat_map(|delta| rows(&delta.added)).collect();
        let removed = deltas.iter().flat_map(|delta| rows(&delta.removed)).collect();
        (added, removed)
    }

    /// Whether tables have the same rules as before.
    fn rules_are_those(&self, before: &State, tables: &HashSet<Node>) -> bool {
        let numbers = |state: &State, node: &Node| -> Vec<u64> {
            let table = state.table(&node.policy, &TableKey::of_node(node));
            table.into_iter().flat_map(|table| &table.rules).map(|rule| rule.number).collect()
        };
        tables.iter().all(|node| numbers(before, node) == numbers(&self.state, node))
    }
}

/// The engine before a change.
pub(super) struct Before {
    state: Arc<State>,
    /// The `execute[…]` tables that had rules and no view.
    volatile: HashSet<Node>,
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

impl Rows {
    /// None if there are too many.
    fn of(state: &Arc<State>, node: &Node, limits: Limits<'_>) -> Option<Self> {
        let rows = rows_of(state, &node.policy, &TableKey::of_node(node), limits).ok()?;
        let cell = |value: &Constant| match value {
            Constant::Int(int) => Cell::Int(int.clone()),
            Constant::Float(float) => Cell::Float(float.to_bits()),
            Constant::Text(text) => Cell::Text(text.clone()),
        };
        Some(Self(rows.into_iter().map(|row| (row.iter().map(cell).collect(), row)).collect()))
    }

    fn without(&self, other: &Self) -> Vec<Vec<Constant>> {
        let rows = self.0.iter().filter(|(row, _)| !other.0.contains_key(*row));
        rows.map(|(_, row)| row.clone()).collect()
    }
}
