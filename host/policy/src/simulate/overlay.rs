//! A state that only its maker sees, made from one that others read.
//!
//! States are persistent, so a copy costs its policies' pointers, and each change what it would
//! cost the writer: chunks and lists of pointers, never rows.

use std::sync::Arc;

use crate::ast::Statement;
use crate::engine::apply::{count_widths, delete_fact, delete_rule, insert_fact, insert_rule};
use crate::state::State;
use crate::store::dictionary::Counts;

/// Rules of an overlay come after all others.
const FIRST_RULE: u64 = 1 << 63;

/// The copy.
pub(super) struct Overlay {
    state: State,
    counts: Counts,
    next_rule: u64,
}

impl Overlay {
    pub(super) fn new(state: &State) -> Self {
        Self { state: state.clone(), counts: Counts::none(), next_rule: FIRST_RULE }
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
        let (state, counts) = (&mut self.state, &mut self.counts);
        let changed = match (statement, insert) {
            (Statement::Fact(atom), true) => insert_fact(state, counts, policy, atom).is_some(),
            (Statement::Fact(atom), false) => delete_fact(state, counts, policy, atom).is_some(),
            (Statement::Rule(rule), true) => {
                self.next_rule += 1;
                insert_rule(state, counts, policy, rule, self.next_rule).is_some()
            }
            (Statement::Rule(rule), false) => delete_rule(state, counts, policy, rule).is_some(),
            (Statement::Event(_), _) => false,
        };
        if changed {
            count_widths(state, policy, statement, insert);
        }
    }
}
