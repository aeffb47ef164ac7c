//! A state that only its maker sees, made from one that others read.
//!
//! States are persistent, so a copy costs its policies' pointers, and each change what it would
//! cost the writer: chunks and lists of pointers, never rows.

use std::sync::Arc;

use super::recursion;
use crate::ast::{Atom, Statement};
use crate::engine::apply::{count_widths, delete_fact, delete_rule, insert_fact, insert_rule};
use crate::program::TableKey;
use crate::state::State;
use crate::store::interner::Counts;
use crate::store::relation::Relation;

/// Rules of an overlay come after all others.
const FIRST_RULE: u64 = 1 << 63;

/// The copy.
pub(super) struct Overlay {
    state: State,
    counts: Counts,
    next_rule: u64,
    changed: bool,
}

impl Overlay {
    pub(super) fn new(state: &State) -> Self {
        let state = State { dictionary: state.dictionary.crowded(), ..state.clone() };
        Self { state, counts: Counts::none(), next_rule: FIRST_RULE, changed: false }
    }

    pub(super) fn state(&self) -> &State {
        &self.state
    }

    pub(super) fn into_state(self) -> State {
        self.state
    }

    /// Inserts or deletes a ground fact or a safe rule, whatever widths and kinds say. All changes
    /// of an overlay's tables go through here.
    pub(super) fn change(&mut self, policy: &Arc<str>, statement: &Statement, insert: bool) {
        if !std::mem::replace(&mut self.changed, true) {
            forget_views(&mut self.state);
        }
        if let Statement::Fact(atom) = statement {
            overlay_rows(&mut self.state, policy, atom);
        }
        let (state, counts) = (&mut self.state, &mut self.counts);
        let changed = match (statement, insert) {
            (Statement::Fact(atom), true) => insert_fact(state, counts, policy, atom).is_some(),
            (Statement::Fact(atom), false) => delete_fact(state, counts, policy, atom).is_some(),
            (Statement::Rule(rule), true) => {
                self.next_rule += 1;
                insert_rule(state, counts, policy, rule, self.next_rule, None).is_some()
            }
            (Statement::Rule(rule), false) => delete_rule(state, counts, policy, rule).is_some(),
            (Statement::Event(_), _) => false,
        };
        if changed {
            count_widths(state, policy, statement, insert);
            if let Statement::Rule(rule) = statement {
                recursion::refresh(state, policy, rule);
            }
        }
    }
}

/// Nobody keeps the views of an overlay up to date: what they hold is derived when it is wanted.
fn forget_views(state: &mut State) {
    for policy in state.policies.values_mut() {
        if policy.tables.values().any(|table| table.views.is_some()) {
            for table in Arc::make_mut(policy).tables.values_mut() {
                if table.views.is_some() {
                    Arc::make_mut(table).views = None;
                }
            }
        }
    }
}

/// Makes the rows that a fact belongs to a copy that is cheap to change.
fn overlay_rows(state: &mut State, policy: &Arc<str>, atom: &Atom) {
    let Some(owner) = state.policies.get_mut(policy) else {
        return;
    };
    let key = TableKey::of_head(atom);
    let width = atom.args.len();
    let rows = owner.tables.get(&key).and_then(|table| table.relation(width));
    if rows.is_none_or(|relation| relation.is_overlaid()) {
        return;
    }
    let table = Arc::make_mut(owner).tables.get_mut(&key).map(Arc::make_mut);
    for relation in table.into_iter().flat_map(|table| &mut table.facts) {
        if relation.width() == width {
            *relation = Arc::new(Relation::overlaid(relation.clone()));
        }
    }
}
