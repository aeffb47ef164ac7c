//! Following a change: from the changes of the tables that rules read to that of their heads.
//!
//! In three phases, all set at a time:
//!
//! 1. What may go: rows that were derived, in the state before, from a row that is gone, or from
//!    one that was absent and is there now, or by a rule that is gone.
//! 2. Which of these the rules still give in the state after; the others go.
//! 3. What comes: rows that the rules give, in the state after, from a row that is new, or one
//!    that is gone and was negated, or by a new rule.
//!
//! In a recursion phases 1 and 3 go on from row to row until nothing more is found, and what
//! phase 2 keeps counts as new, for others may stand on it (delete and rederive). Nothing is
//! counted: docs/adr/0007 says why.

use std::cell::{Cell, RefCell};
use std::collections::BTreeSet;
use std::sync::Arc;

use super::changes::{Changed, Changes};
use super::deltas::{Delta, Deltas, Rows};
use super::heads::Heads;
use super::{Component, Overflow, table};
use crate::ast::Constant;
use crate::builtins::Context;
use crate::depgraph::Node;
use crate::engine::Engine;
use crate::eval::rows::RowSet;
use crate::eval::{Given, Origin};
use crate::program::Literal;
use crate::state::{State, StoredRule};
use crate::store::word::Word;

impl Engine {
    /// Brings the views of a component up to date. `below` has the changes of what it reads, and
    /// of its own stored rows.
    pub(super) fn maintain(
        &mut self,
        before: &Arc<State>,
        component: &Component,
        below: &Deltas,
    ) -> Result<Vec<(Node, Vec<Delta>)>, Overflow> {
        let context = before.context();
        let old = gone_rules(before, &self.state, component);
        let new = gone_rules(&self.state, before, component);
        if old.is_empty() && new.is_empty() && !self.is_touched(component, below) {
            return Ok(Vec::new());
        }
        let (overflow, of_today) = (Cell::new(false), RefCell::default());
        let mut maintenance =
            Maintenance { engine: self, before, component, context, overflow, of_today };
        let mut changes = Changes::new(component.nodes.len());
        let going = maintenance.what_may_go(below, &old);
        maintenance.let_go(going, &mut changes);
        maintenance.what_comes(below, &new, &mut changes);
        let Maintenance { overflow, of_today, .. } = maintenance;
        for node in of_today.take() {
            self.note_of_today(&component.nodes[node]);
        }
        match overflow.get() {
            true => Err(Overflow),
            false => Ok(changes.finish(component)),
        }
    }

    fn is_touched(&self, component: &Component, below: &Deltas) -> bool {
        component.nodes.iter().any(|node| {
            component.recursive && below.contains_key(node)
                || self.graph.bodies_of(node).any(|body| below.contains_key(body))
        })
    }
}

/// The rules of a component that `one` has and `other` has not.
fn gone_rules(one: &State, other: &State, component: &Component) -> Vec<(usize, Arc<StoredRule>)> {
    let mut gone = Vec::new();
    for (at, node) in component.nodes.iter().enumerate() {
        let (Some(here), there) = (table(one, node), table(other, node)) else {
            continue;
        };
        let there = there.map(|table| &table.rules[..]).unwrap_or_default();
        if here.rules.len() == there.len()
            && here.rules.iter().zip(there).all(|(a, b)| a.number == b.number)
        {
            continue;
        }
        for rule in &here.rules {
            if !there.iter().any(|other| other.number == rule.number) {
                gone.push((at, rule.clone()));
            }
        }
    }
    gone
}

/// One component following one change.
pub(super) struct Maintenance<'e> {
    pub(super) engine: &'e mut Engine,
    pub(super) before: &'e Arc<State>,
    pub(super) component: &'e Component,
    pub(super) context: Context,
    /// More rows have been found than a view may have.
    pub(super) overflow: Cell<bool>,
    /// The tables of the component whose rules read a time without a date.
    pub(super) of_today: RefCell<BTreeSet<usize>>,
}

impl Maintenance<'_> {
    /// Phase 1: the rows of the views that may have lost their derivation.
    fn what_may_go(&self, below: &Deltas, gone: &[(usize, Arc<StoredRule>)]) -> Vec<Vec<RowSet>> {
        let before = self.before;
        let mut going: Vec<Vec<RowSet>> = self.component.nodes.iter().map(|_| Vec::new()).collect();
        let all = |(node, rule): &(usize, Arc<StoredRule>)| {
            self.run(before, *node, rule, Origin::Nothing, Given::default())
        };
        let mut found: Vec<Heads> = gone.iter().map(all).collect();
        found.extend(self.seeds(before, below, true));
        while !found.is_empty() {
            let mut fresh = Vec::new();
            for heads in std::mem::take(&mut found) {
                let rows = self.candidates(&heads, &mut going[heads.node]);
                if rows.len > 0 {
                    fresh.push(Changed { node: heads.node, rows });
                }
            }
            if self.component.recursive {
                found =
                    fresh.iter().flat_map(|changed| self.consequences(before, changed)).collect();
            }
        }
        going
    }

    /// Adds the rows that the view had to those that may go. A row with a value that no row had
    /// was not in it.
    fn candidates(&self, heads: &Heads, going: &mut Vec<RowSet>) -> Rows {
        let before = self.before;
        let width = heads.rows.width();
        let mut rows = Rows::new(width);
        let views =
            table(before, &self.component.nodes[heads.node]).and_then(|table| table.views.as_ref());
        let Some(view) = views.and_then(|views| views.iter().find(|view| view.width() == width))
        else {
            return rows;
        };
        let at = going.iter().position(|set| set.width() == width).unwrap_or_else(|| {
            going.push(RowSet::new(width, false, before.dictionary.mixer()));
            going.len() - 1
        });
        for row in heads.rows.iter() {
            // As the view has it: by value, another spelling may be stored.
            if let Some(stored) = view.get(&before.dictionary, row)
                && going[at].insert(stored, stored)
            {
                rows.push(stored);
            }
        }
        rows
    }

    /// Phase 2: takes the rows out that no rule gives any more. In a recursion all go first, and
    /// those that a rule still gives come back.
    fn let_go(&mut self, going: Vec<Vec<RowSet>>, changes: &mut Changes) {
        let sets = || {
            let nodes = going.iter().enumerate();
            nodes.flat_map(|(node, sets)| sets.iter().map(move |set| (node, set)))
        };
        if self.component.recursive {
            for (node, set) in sets() {
                self.take_out(node, set.width(), set.iter(), changes);
            }
        }
        for (node, set) in sets().filter(|(_, set)| set.len() > 0) {
            let kept = self.still_given(node, set);
            if self.component.recursive {
                self.put_in(node, set.width(), kept.iter(), changes);
            } else {
                let gone = set.iter().filter(|row| !kept.contains(row));
                self.take_out(node, set.width(), gone, changes);
            }
        }
    }

    /// Which of the rows some rule gives in the state as it is.
    fn still_given(&self, node: usize, set: &RowSet) -> RowSet {
        let state = &*self.engine.state;
        let name = &self.component.nodes[node];
        let by_value =
            state.policies.get(&name.policy).is_some_and(|policy| policy.matches_by_value());
        let mixer = state.dictionary.mixer();
        let mut kept = RowSet::new(set.width(), false, mixer);
        let mut left = Rows::new(set.width());
        set.iter().for_each(|row| left.push(row));
        let canonical = |row: &[Word]| -> Vec<Word> {
            row.iter().map(|word| state.dictionary.canonical(*word)).collect()
        };
        for rule in rules(state, name) {
            if rule.program.head.len() != set.width() || left.len == 0 {
                continue;
            }
            let all = (by_value && !matches_by_value(state, name, rule))
                || left.words.contains(&Word::NAN);
            let heads = match all {
                // Another spelling of a number would not be found from the head, and NaN never.
                true => self.run(state, node, rule, Origin::Nothing, Given::default()).rows,
                false => self.run(state, node, rule, Origin::Head(left.width), left.given()).rows,
            };
            // As a set: what a plan gives need not be one that can be asked.
            let mut found = RowSet::new(set.width(), false, mixer);
            for row in heads.iter() {
                match by_value {
                    true => found.insert(&canonical(row), &canonical(row)),
                    false => found.insert(row, row),
                };
            }
            let mut rest = Rows::new(left.width);
            for row in left.iter() {
                let given = match by_value {
                    true => found.contains(&canonical(row)),
                    false => found.contains(row),
                };
                if given {
                    kept.insert(row, row);
                } else {
                    rest.push(row);
                }
            }
            left = rest;
        }
        kept
    }

    /// Phase 3: the rows that rules give now and did not before.
    fn what_comes(
        &mut self,
        below: &Deltas,
        new: &[(usize, Arc<StoredRule>)],
        changes: &mut Changes,
    ) {
        let state = &*self.engine.state;
        let all = |(node, rule): &(usize, Arc<StoredRule>)| {
            self.run(state, *node, rule, Origin::Nothing, Given::default())
        };
        let mut found: Vec<Heads> = new.iter().map(all).collect();
        found.extend(self.seeds(state, below, false));
        if self.component.recursive {
            // What has come back may carry others.
            for back in changes.came() {
                found.extend(self.consequences(state, &back));
            }
        }
        let mut count = 0;
        while !found.is_empty() && !self.overflow.get() {
            let mut fresh = Vec::new();
            for Heads { node, rows, fresh: values } in std::mem::take(&mut found) {
                let weight = values.iter().flatten().map(Constant::size).sum::<usize>() / 64;
                let mut came = self.put_in(node, rows.width(), rows.iter(), changes);
                self.put_in_values(node, rows.width(), values, changes, &mut came);
                // Rows of long new values count for many.
                count += came.len + weight;
                if came.len > 0 {
                    fresh.push(Changed { node, rows: came });
                }
                if count > self.engine.views.rows_limit {
                    self.overflow.set(true);
                }
            }
            if self.component.recursive {
                let state = &*self.engine.state;
                found =
                    fresh.iter().flat_map(|changed| self.consequences(state, changed)).collect();
            }
        }
    }
}

/// Whether all that a rule reads is found whatever the spelling of its numbers.
fn matches_by_value(state: &State, node: &Node, rule: &StoredRule) -> bool {
    rule.program.body.iter().all(|literal| match literal {
        Literal::Table { policy, .. } => {
            let policy = state.policies.get(policy.as_ref().unwrap_or(&node.policy));
            policy.is_some_and(|policy| policy.matches_by_value())
        }
        Literal::Builtin { .. } => false,
        Literal::Truth(_) | Literal::Nothing { .. } => true,
    })
}

pub(super) fn rules<'s>(state: &'s State, node: &Node) -> &'s [Arc<StoredRule>] {
    table(state, node).map(|table| &table.rules[..]).unwrap_or_default()
}
