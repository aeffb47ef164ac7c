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

use std::sync::Arc;

use super::deltas::{Delta, Deltas, Rows};
use super::{Component, empty, key, table};
use crate::ast::Constant;
use crate::builtins::Context;
use crate::depgraph::{Node, NodeRef};
use crate::engine::Engine;
use crate::engine::apply::table_mut;
use crate::eval::rows::RowSet;
use crate::eval::{Evaluation, Given, Origin};
use crate::program::{Grouping, Literal, Program};
use crate::snapshot::Limits;
use crate::state::{State, StoredRule};
use crate::store::dictionary::Interner;
use crate::store::relation::Relation;
use crate::store::word::Word;

/// Rows of one head that a plan has found.
struct Heads {
    node: usize,
    rows: RowSet,
    /// Rows with values that the dictionary has not.
    fresh: Vec<Vec<Constant>>,
}

impl Heads {
    /// The rows that an evaluation has found in a state.
    fn new(node: usize, rows: RowSet, state: &State, evaluation: &Evaluation<'_>) -> Self {
        if !evaluation.values.has_local() {
            return Self { node, rows, fresh: Vec::new() };
        }
        let mut heads = Self { node, rows: none(state, rows.width()), fresh: Vec::new() };
        for row in rows.iter() {
            if row.iter().any(|word| word.is_local()) {
                let value = |word: &Word| evaluation.values.value(*word);
                heads.fresh.extend(row.iter().map(value).collect::<Option<Vec<_>>>());
            } else {
                heads.rows.insert(row, row);
            }
        }
        heads
    }
}

/// No rows of a width.
fn none(state: &State, width: usize) -> RowSet {
    RowSet::new(width, false, state.dictionary.mixer())
}

/// Rows of one view that have changed and have not been followed.
struct Changed {
    node: usize,
    rows: Rows,
}

impl Engine {
    /// Brings the views of a component up to date. `below` has the changes of what it reads, and
    /// of its own stored rows.
    pub(super) fn maintain(
        &mut self,
        before: &Arc<State>,
        component: &Component,
        below: &Deltas,
    ) -> Vec<(Node, Vec<Delta>)> {
        let context = before.context();
        let old = gone_rules(before, &self.state, component);
        let new = gone_rules(&self.state, before, component);
        if old.is_empty() && new.is_empty() && !self.is_touched(component, below) {
            return Vec::new();
        }
        let mut maintenance = Maintenance { engine: self, before, component, context };
        let mut changes = Changes::new(component.nodes.len());
        let going = maintenance.what_may_go(below, &old);
        maintenance.let_go(going, &mut changes);
        maintenance.what_comes(below, &new, &mut changes);
        changes.finish(component)
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
struct Maintenance<'e> {
    engine: &'e mut Engine,
    before: &'e Arc<State>,
    component: &'e Component,
    context: Context,
}

/// What has gone from and come into the views of a component so far.
struct Changes {
    /// By node and width.
    sets: Vec<Vec<Side>>,
}

struct Side {
    width: usize,
    gone: RowSet,
    came: RowSet,
}

impl Changes {
    fn new(nodes: usize) -> Self {
        Self { sets: (0..nodes).map(|_| Vec::new()).collect() }
    }

    fn side(&mut self, state: &State, node: usize, width: usize) -> &mut Side {
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
    fn came(&self) -> Vec<Changed> {
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

    fn finish(self, component: &Component) -> Vec<(Node, Vec<Delta>)> {
        let nodes = component.nodes.iter().cloned();
        nodes
            .zip(self.sets)
            .map(|(node, sides)| {
                let deltas = sides.into_iter().map(|side| {
                    let mut delta = Delta::new(side.width);
                    // A row that went and came again has not changed.
                    let gone = side.gone.iter().filter(|row| !side.came.has(row));
                    gone.for_each(|row| delta.removed.push(row));
                    let came = side.came.iter().filter(|row| !side.gone.has(row));
                    came.for_each(|row| delta.added.push(row));
                    delta
                });
                (node, deltas.filter(|delta| !delta.is_empty()).collect())
            })
            .collect()
    }
}

impl Maintenance<'_> {
    /// The rows of a rule's head in a state, from given rows.
    fn run(
        &self,
        state: &State,
        node: usize,
        rule: &StoredRule,
        from: Origin,
        given: Given<'_>,
    ) -> Heads {
        let program = &rule.program;
        let Some(grouping) = &program.grouping else {
            return self.run_plan(state, node, rule, program, from, given);
        };
        let groups = match from {
            Origin::Nothing | Origin::Literal(_) => {
                self.run_plan(state, node, rule, &grouping.groups, from, given)
            }
            Origin::Head(_) => {
                let mut rows = none(state, grouping.columns.len());
                for row in given.rows() {
                    let key: Vec<Word> =
                        grouping.columns.iter().map(|&column| row[column as usize]).collect();
                    rows.insert(&key, &key);
                }
                Heads { node, rows, fresh: Vec::new() }
            }
        };
        self.run_groups(state, node, rule, grouping, &groups)
    }

    /// The rows of one of a rule's programs in a state, from given rows.
    fn run_plan(
        &self,
        state: &State,
        node: usize,
        rule: &StoredRule,
        program: &Program,
        from: Origin,
        given: Given<'_>,
    ) -> Heads {
        let policy = &self.component.nodes[node].policy;
        let plan = rule.plans.plan(state, policy, program, from);
        let mut evaluation = Evaluation::at(state, Limits::default(), self.context);
        // Without limits an evaluation does not fail.
        let rows = evaluation.rows_of(plan, given);
        let rows = rows.unwrap_or_else(|_| none(state, program.head.len()));
        Heads::new(node, rows, state, &evaluation)
    }

    /// [`Maintenance::run`] for a rule with aggregates: all rows of the groups that are given.
    fn run_groups(
        &self,
        state: &State,
        node: usize,
        rule: &StoredRule,
        grouping: &Grouping,
        groups: &Heads,
    ) -> Heads {
        let policy = &self.component.nodes[node].policy;
        let from = Origin::Head(grouping.columns.len());
        let plan = rule.plans.plan(state, policy, &grouping.solutions, from);
        let mut given = Rows::new(grouping.columns.len());
        groups.rows.iter().for_each(|row| given.push(row));
        let mut evaluation = Evaluation::at(state, Limits::default(), self.context);
        for values in &groups.fresh {
            let row: Vec<Word> = values.iter().map(|value| evaluation.values.word(value)).collect();
            given.push(&row);
        }
        let rows = evaluation.rows_of_groups(plan, given.given(), &rule.program, grouping);
        let rows = rows.unwrap_or_else(|_| none(state, rule.program.head.len()));
        Heads::new(node, rows, state, &evaluation)
    }

    /// The groups of a rule with aggregates that the changes of the tables that it reads concern,
    /// before or after.
    fn concerned(
        &self,
        node: usize,
        rule: &StoredRule,
        grouping: &Grouping,
        below: &Deltas,
    ) -> Heads {
        let rows = none(self.before, grouping.columns.len());
        let mut all = Heads { node, rows, fresh: Vec::new() };
        for going in [true, false] {
            let state: &State = if going { self.before } else { &self.engine.state };
            for (at, rows) in self.changed(node, rule, below, going) {
                let from = Origin::Literal(at);
                let found = self.run_plan(state, node, rule, &grouping.groups, from, rows.given());
                for row in found.rows.iter() {
                    all.rows.insert(row, row);
                }
                all.fresh.extend(found.fresh);
            }
        }
        all
    }

    /// What the changes of the tables that rules read make of their heads, in a state. `going`:
    /// what they take away, else what they bring.
    fn seeds(&self, state: &State, below: &Deltas, going: bool) -> Vec<Heads> {
        let mut found = Vec::new();
        for (node, name) in self.component.nodes.iter().enumerate() {
            for rule in rules(state, name) {
                if let Some(grouping) = &rule.program.grouping {
                    // A group that loses or gains a solution loses its row, and gets another.
                    let groups = self.concerned(node, rule, grouping, below);
                    if groups.rows.len() > 0 || !groups.fresh.is_empty() {
                        found.push(self.run_groups(state, node, rule, grouping, &groups));
                    }
                    continue;
                }
                for (at, rows) in self.changed(node, rule, below, going) {
                    found.push(self.run(state, node, rule, Origin::Literal(at), rows.given()));
                }
            }
        }
        found
    }

    /// The literals of a rule whose tables have changed, with the rows by which the change takes
    /// away (`going`) or brings solutions.
    fn changed<'d>(
        &self,
        node: usize,
        rule: &StoredRule,
        below: &'d Deltas,
        going: bool,
    ) -> Vec<(usize, &'d Rows)> {
        let own = &self.component.nodes[node].policy;
        let mut changed = Vec::new();
        for (at, literal) in rule.program.body.iter().enumerate() {
            let Literal::Table { policy, key, args, negated } = literal else {
                continue;
            };
            let policy = policy.as_ref().unwrap_or(own);
            let read = NodeRef { policy, modal: key.modal, table: &key.name };
            let deltas = below.get(&read).into_iter().flatten();
            for delta in deltas.filter(|delta| delta.added.width == args.len()) {
                let rows = if going != *negated { &delta.removed } else { &delta.added };
                if rows.len > 0 {
                    changed.push((at, rows));
                }
            }
        }
        changed
    }

    /// What changed rows of a table of a recursion make of its tables, in a state.
    fn consequences(&self, state: &State, Changed { node, rows }: &Changed) -> Vec<Heads> {
        let changed = &self.component.nodes[*node];
        let mut found = Vec::new();
        for (head, name) in self.component.nodes.iter().enumerate() {
            for rule in rules(state, name) {
                for (at, literal) in rule.program.body.iter().enumerate() {
                    let Literal::Table { policy, key, args, negated: false } = literal else {
                        continue;
                    };
                    let reads = *policy.as_ref().unwrap_or(&name.policy) == changed.policy
                        && key.modal == changed.modal
                        && key.name == changed.table
                        && args.len() == rows.width;
                    if reads {
                        let from = Origin::Literal(at);
                        found.push(self.run(state, head, rule, from, rows.given()));
                    }
                }
            }
        }
        found
    }

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
                let gone = set.iter().filter(|row| !kept.has(row));
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
            let heads = match by_value && !matches_by_value(state, name, rule) {
                // Another spelling of a number would not be found from the head.
                true => self.run(state, node, rule, Origin::Nothing, Given::default()).rows,
                false => self.run(state, node, rule, Origin::Head(left.width), left.given()).rows,
            };
            let mut values = RowSet::new(set.width(), by_value, mixer);
            for row in heads.iter().filter(|_| by_value) {
                values.insert(row, &canonical(row));
            }
            let mut rest = Rows::new(left.width);
            for row in left.iter() {
                let given = if by_value { values.has(&canonical(row)) } else { heads.has(row) };
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
        while !found.is_empty() {
            let mut fresh = Vec::new();
            for Heads { node, rows, fresh: values } in std::mem::take(&mut found) {
                let mut came = self.put_in(node, rows.width(), rows.iter(), changes);
                self.put_in_values(node, rows.width(), values, changes, &mut came);
                if came.len > 0 {
                    fresh.push(Changed { node, rows: came });
                }
            }
            if self.component.recursive {
                let state = &*self.engine.state;
                found =
                    fresh.iter().flat_map(|changed| self.consequences(state, changed)).collect();
            }
        }
    }

    /// The view of a width, to be changed, and what counts its words.
    fn view_mut(&mut self, node: usize, width: usize) -> Option<(&mut Relation, Interner<'_>)> {
        let name = &self.component.nodes[node];
        let state = Arc::make_mut(&mut self.engine.state);
        let counts = &mut self.engine.counts;
        let interner = Interner { dictionary: &mut state.dictionary, counts };
        let policy = state.policies.get_mut(&name.policy).map(Arc::make_mut)?;
        let by_value = policy.matches_by_value();
        let views = table_mut(policy, &key(name)).views.get_or_insert_default();
        let at = views.iter().position(|view| view.width() == width).unwrap_or_else(|| {
            views.push(Arc::new(empty(width, by_value)));
            views.len() - 1
        });
        Some((Arc::make_mut(&mut views[at]), interner))
    }

    fn take_out<'r>(
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
    fn put_in<'r>(
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
    fn put_in_values(
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

fn rules<'s>(state: &'s State, node: &Node) -> &'s [Arc<StoredRule>] {
    table(state, node).map(|table| &table.rules[..]).unwrap_or_default()
}
