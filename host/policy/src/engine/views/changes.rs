//! What has gone from the views of a component and come into them, and how it is written.

use std::sync::Arc;

use super::deltas::{Delta, Rows};
use super::maintain::Maintenance;
use super::{Component, empty};
use crate::ast::Constant;
use crate::depgraph::Node;
use crate::engine::apply::table_mut;
use crate::eval::rows::RowSet;
use crate::program::TableKey;
use crate::state::State;
use crate::store::interner::Interner;
use crate::store::relation::Relation;
use crate::store::word::Word;

/// Rows of one view that have changed and have not been followed.
pub(super) struct Changed {
    pub(super) node: usize,
    pub(super) rows: Rows,
}

/// What has gone from and come into the views of a component so far.
pub(super) struct Changes {
    /// By node and width.
    pub(super) sets: Vec<Vec<Side>>,
}

pub(super) struct Side {
    pub(super) width: usize,
    pub(super) gone: RowSet,
    pub(super) came: RowSet,
}

impl Changes {
    pub(super) fn new(nodes: usize) -> Self {
        Self { sets: (0..nodes).map(|_| Vec::new()).collect() }
    }

    pub(super) fn side(&mut self, state: &State, node: usize, width: usize) -> &mut Side {
        let sides = &mut self.sets[node];
        let at = sides.iter().position(|side| side.width == width).unwrap_or_else(|| {
            let mixer = state.dictionary.mixer();
            let set = || RowSet::new(width, false, mixer);
            sides.push(Side { width, gone: set(), came: set() });
            sides.len() - 1
        });
        &mut sides[at]
    }

    /// The rows that have come.
    pub(super) fn came(&self) -> Vec<Changed> {
        let nodes = self.sets.iter().enumerate();
        let sides = nodes.flat_map(|(node, sides)| sides.iter().map(move |side| (node, side)));
        sides
            .filter(|(_, side)| side.came.len() > 0)
            .map(|(node, side)| {
                let mut rows = Rows::new(side.width);
                side.came.iter().for_each(|row| rows.push(row));
                Changed { node, rows }
            })
            .collect()
    }

    pub(super) fn finish(self, component: &Component) -> Vec<(Node, Vec<Delta>)> {
        let nodes = component.nodes.iter().cloned();
        nodes
            .zip(self.sets)
            .map(|(node, sides)| {
                let deltas = sides.into_iter().map(|side| {
                    let mut delta = Delta::new(side.width);
                    // A row that went and came again has not changed.
                    let gone = side.gone.iter().filter(|row| !side.came.contains(row));
                    gone.for_each(|row| delta.removed.push(row));
                    let came = side.came.iter().filter(|row| !side.gone.contains(row));
                    came.for_each(|row| delta.added.push(row));
                    delta
                });
                (node, deltas.filter(|delta| !delta.is_empty()).collect())
            })
            .collect()
    }
}

impl Maintenance<'_> {
    /// The view of a width, to be changed, and what counts its words.
    pub(super) fn view_mut(
        &mut self,
        node: usize,
        width: usize,
    ) -> Option<(&mut Relation, Interner<'_>)> {
        let name = &self.component.nodes[node];
        let state = Arc::make_mut(&mut self.engine.state);
        let counts = &mut self.engine.counts;
        let interner = Interner { dictionary: &mut state.dictionary, counts };
        let policy = state.policies.get_mut(&name.policy).map(Arc::make_mut)?;
        let by_value = policy.matches_by_value();
        let views = table_mut(policy, &TableKey::of_node(name)).views.get_or_insert_default();
        let at = views.iter().position(|view| view.width() == width).unwrap_or_else(|| {
            views.push(Arc::new(empty(width, by_value)));
            views.len() - 1
        });
        Some((Arc::make_mut(&mut views[at]), interner))
    }

    pub(super) fn take_out<'r>(
        &mut self,
        node: usize,
        width: usize,
        rows: impl Iterator<Item = &'r [Word]>,
        changes: &mut Changes,
    ) {
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return;
        }
        let side = changes.side(&self.engine.state, node, width);
        let Some((view, mut interner)) = self.view_mut(node, width) else {
            return;
        };
        for row in rows {
            if let Some(stored) = view.remove(interner.dictionary, row) {
                stored.iter().for_each(|word| interner.release(*word));
                side.gone.insert(&stored, &stored);
            }
        }
    }

    /// Gives the rows that were not there.
    pub(super) fn put_in<'r>(
        &mut self,
        node: usize,
        width: usize,
        rows: impl Iterator<Item = &'r [Word]>,
        changes: &mut Changes,
    ) -> Rows {
        let mut came = Rows::new(width);
        let mut rows = rows.peekable();
        if rows.peek().is_none() {
            return came;
        }
        let side = changes.side(&self.engine.state, node, width);
        let Some((view, mut interner)) = self.view_mut(node, width) else {
            return came;
        };
        for row in rows {
            if view.insert(interner.dictionary, row) {
                row.iter().for_each(|word| interner.retain(*word));
                side.came.insert(row, row);
                came.push(row);
            }
        }
        came
    }

    /// [`Maintenance::put_in`] for rows with values that the dictionary has not.
    pub(super) fn put_in_values(
        &mut self,
        node: usize,
        width: usize,
        rows: Vec<Vec<Constant>>,
        changes: &mut Changes,
        came: &mut Rows,
    ) {
        if rows.is_empty() {
            return;
        }
        let side = changes.side(&self.engine.state, node, width);
        let Some((view, mut interner)) = self.view_mut(node, width) else {
            return;
        };
        for values in rows {
            let row: Vec<Word> = values.iter().map(|value| interner.intern(value)).collect();
            if view.insert(interner.dictionary, &row) {
                side.came.insert(&row, &row);
                came.push(&row);
            } else {
                row.into_iter().for_each(|word| interner.release(word));
            }
        }
    }
}
