//! Views: derived tables whose rows are kept, and kept up to date.
//!
//! A table has a view while it is watched, or while a watched table depends on it. A change of the
//! engine is applied first; then the views follow, those further down first, each at a cost that
//! depends on what changed below it and not on what is stored ([`maintain`]). Tables whose rules
//! ask for the time have none, for their rows change by themselves; nor have tables that mix
//! literals that match numbers by value with others, for their rows depend on the order of
//! evaluation. Whoever watches one pays for evaluating it ([`super::watch`]).
//!
//! While a change is applied no number of a dictionary entry is given to another value
//! ([`Counts::defer`](crate::store::interner::Counts::defer)), so that words of the state before
//! and of the state after can be compared.

mod changes;
pub(super) mod deltas;
mod heads;
mod maintain;
mod order;

use std::collections::BTreeSet;
use std::sync::Arc;

use deltas::{Delta, Deltas, Rows};
use hashbrown::{HashMap, HashSet};

use super::Engine;
use super::apply::{policy_mut, table_mut};
use crate::ast::Constant;
use crate::depgraph::Node;
use crate::eval::Evaluation;
use crate::eval::rows::RowSet;
use crate::program::TableKey;
use crate::snapshot::Limits;
use crate::state::{State, Table};
use crate::store::interner::Interner;
use crate::store::relation::Relation;
use crate::store::word::Word;

/// So many bindings may be handed from literal to literal for each row that a view may have: joins
/// reject most of what they look at, and nobody else is served meanwhile.
const BINDINGS_PER_ROW: usize = 60;

/// The most rows that are evaluated or kept for one view, unless [`Engine::limit_views`] says
/// otherwise.
const MAX_ROWS: usize = 5_000_000;

/// A table has more rows than a view may have, or costs more.
struct Overflow;

/// Tables of which something was found, with the numbers of the rules that it was found with.
type Found = HashMap<Node, Vec<u64>>;

/// The tables with views.
pub(super) struct Views {
    /// In an order in which each comes after what it depends on.
    order: Vec<Component>,
    /// For each table the components that its changes concern, by their places in the order.
    readers: HashMap<Node, Vec<usize>>,
    /// Tables that have got their first `execute[…]` rule since.
    joining: Vec<Node>,
    /// Watched, and everything below; those with and without views.
    nodes: HashSet<Node>,
    /// Tables that can have no view, and what depends on them.
    volatile: HashSet<Node>,
    /// Tables with more rows than a view may have, and what depends on them.
    overflowed: Found,
    /// Those of them that the outcome of a change has not told of yet.
    reported: Vec<Node>,
    /// Tables that were found to depend on the day, since their rules read times without dates.
    /// They have no views from the next change on.
    of_today: Found,
    /// The most rows of a view.
    rows_limit: usize,
    /// Rules or watches have changed since.
    stale: bool,
}

impl Default for Views {
    fn default() -> Self {
        Self {
            order: Vec::new(),
            readers: HashMap::new(),
            joining: Vec::new(),
            nodes: HashSet::new(),
            volatile: HashSet::new(),
            overflowed: Found::new(),
            reported: Vec::new(),
            of_today: Found::new(),
            rows_limit: MAX_ROWS,
            stale: false,
        }
    }
}

/// One table, or tables that depend on each other.
#[derive(Clone)]
struct Component {
    nodes: Vec<Node>,
    recursive: bool,
}

/// Rows that rules give.
struct Evaluated {
    rows: RowSet,
    /// Rows with values that the dictionary has not.
    fresh: Vec<Vec<Constant>>,
}

impl Views {
    /// Rules or watches have changed.
    pub(super) fn outdate(&mut self) {
        self.stale = true;
    }

    /// A table has got or lost a rule.
    pub(super) fn rule_changed(&mut self, node: Node) {
        if self.nodes.contains(&node) {
            self.stale = true;
        } else if node.modal.is_some() {
            self.joining.push(node);
        }
    }

    /// A table is watched from now on.
    pub(super) fn join(&mut self, node: Node) {
        self.joining.push(node);
    }

    /// Whether a table is watched, or below one that is.
    pub(super) fn knows(&self, node: &Node) -> bool {
        self.nodes.contains(node)
    }

    /// The tables that are watched, or below such, and can have no view.
    pub(super) fn volatile(&self) -> impl Iterator<Item = &Node> {
        self.volatile.iter()
    }

    fn readers(&self, node: &Node) -> &[usize] {
        self.readers.get(node).map(|places| &places[..]).unwrap_or_default()
    }

    /// Sets the most rows of a view.
    pub(super) fn limit(&mut self, rows: usize) {
        self.rows_limit = rows;
    }

    /// What one evaluation for a view may cost.
    pub(super) fn limits(&self) -> Limits<'static> {
        let bindings = self.rows_limit.saturating_mul(BINDINGS_PER_ROW);
        Limits { rows: Some(self.rows_limit), bindings: Some(bindings), stop: None }
    }

    /// The tables that have too many rows for a view.
    pub(super) fn overflowed(&self) -> impl Iterator<Item = &Node> {
        self.overflowed.keys()
    }

    /// The tables that have been found to have too many rows since the last time.
    pub(super) fn take_reported(&mut self) -> Vec<Node> {
        std::mem::take(&mut self.reported)
    }

    /// Whether there are any.
    pub(super) fn any(&self) -> bool {
        !self.order.is_empty()
    }

    /// Whether the rows of a table change by themselves.
    pub(super) fn is_volatile(&self, node: &Node) -> bool {
        self.volatile.contains(node)
    }
}

fn table<'s>(state: &'s State, node: &Node) -> Option<&'s Table> {
    state.table(&node.policy, &TableKey::of_node(node)).map(|table| &**table)
}

impl Engine {
    /// Brings all views up to date with what has changed since `before`, and gives the changes of
    /// all tables that are watched or below.
    pub(super) fn follow(&mut self, before: &Arc<State>, stored: Deltas) -> Deltas {
        let mut deltas = stored;
        let mut dropped = Vec::new();
        let mut todo: BTreeSet<usize> = BTreeSet::new();
        if self.views.stale {
            dropped = self.order_views();
            todo.extend(0..self.views.order.len());
        } else {
            for node in std::mem::take(&mut self.views.joining) {
                todo.extend(self.extend_views(node));
            }
            todo.extend(deltas.keys().flat_map(|node| self.views.readers(node)).copied());
        }
        // Those that read a table come after it, so one pass does.
        while let Some(at) = todo.pop_first() {
            let component = self.views.order[at].clone();
            let fits = !self.is_above_overflow(&component)
                && self.follow_component(before, &component, &mut deltas).is_ok();
            if !fits {
                self.give_up(&component, &mut deltas);
            }
            let changed = component.nodes.iter().filter(|n| !fits || deltas.contains_key(*n));
            todo.extend(changed.flat_map(|n| self.views.readers(n)).filter(|next| **next > at));
        }
        for node in dropped {
            // A table that has lost its rules has lost their rows; it may have been watched.
            let rules = table(&self.state, &node).map_or(0, |table| table.rules.len());
            let old = table(before, &node).and_then(|table| table.views.clone());
            self.drop_view(&node);
            if let (0, Some(old)) = (rules, old) {
                let stored = deltas.remove(&node).unwrap_or_default();
                let union = self.union(before, &node, stored, difference(&old, &[]));
                if !union.is_empty() {
                    deltas.insert(node, union);
                }
            }
        }
        deltas
    }

    /// Whether a table of the component, or one that it reads, has more rows than a view may have.
    fn is_above_overflow(&self, component: &Component) -> bool {
        let overflowed = &self.views.overflowed;
        !overflowed.is_empty()
            && component.nodes.iter().any(|node| {
                overflowed.contains_key(node)
                    || self.graph.bodies_of(node).any(|body| overflowed.contains_key(body))
            })
    }

    /// Leaves a component without views until its rules change. Nobody is told of its rows.
    fn give_up(&mut self, component: &Component, deltas: &mut Deltas) {
        for node in &component.nodes {
            self.take_view(node);
            deltas.remove(node);
            let rules = self.rules_below(node);
            if self.views.overflowed.insert(node.clone(), rules).is_none() {
                self.views.reported.push(node.clone());
            }
        }
    }

    /// Notes that a table's rows depend on the day.
    fn note_of_today(&mut self, node: &Node) {
        if !self.views.of_today.contains_key(node) {
            self.views.of_today.insert(node.clone(), self.rules_below(node));
            self.views.stale = true;
        }
    }

    /// The numbers of the rules that a table's rows depend on.
    fn rules_below(&self, node: &Node) -> Vec<u64> {
        let below = self.graph.below([node.clone()]);
        let tables = below.iter().filter_map(|node| table(&self.state, node));
        let mut numbers: Vec<u64> =
            tables.flat_map(|table| &table.rules).map(|rule| rule.number).collect();
        numbers.sort_unstable();
        numbers
    }

    fn follow_component(
        &mut self,
        before: &Arc<State>,
        component: &Component,
        all: &mut Deltas,
    ) -> Result<(), Overflow> {
        let exists = |state: &State| {
            component.nodes.iter().all(|node| {
                table(state, node)
                    .is_some_and(|table| table.views.is_some() || table.rules.is_empty())
            })
        };
        let had = component
            .nodes
            .iter()
            .any(|node| table(before, node).is_some_and(|table| table.views.is_some()));
        let has_rules = component
            .nodes
            .iter()
            .any(|node| table(&self.state, node).is_some_and(|table| !table.rules.is_empty()));
        if !had && !has_rules {
            return Ok(());
        }
        let changes = if had && has_rules && exists(before) && exists(&self.state) {
            self.maintain(before, component, all)?
        } else {
            self.rebuild(before, component)?
        };
        let mut changes: HashMap<Node, Vec<Delta>> = changes.into_iter().collect();
        for node in &component.nodes {
            let derived = changes.remove(node).unwrap_or_default();
            let stored = all.remove(node).unwrap_or_default();
            if derived.is_empty() && stored.is_empty() {
                continue;
            }
            let union = self.union(before, node, stored, derived);
            if !union.is_empty() {
                all.insert(node.clone(), union);
            }
        }
        Ok(())
    }

    /// Evaluates tables anew and compares with their views before, if they had any.
    fn rebuild(
        &mut self,
        before: &Arc<State>,
        component: &Component,
    ) -> Result<Vec<(Node, Vec<Delta>)>, Overflow> {
        for node in &component.nodes {
            self.take_view(node);
        }
        let mut built = Vec::new();
        for node in &component.nodes {
            let (sets, is_of_today) = self.evaluate(node)?;
            if is_of_today {
                self.note_of_today(node);
            }
            built.push((node.clone(), sets));
        }
        let mut changes = Vec::new();
        for (node, sets) in built {
            let old = table(before, &node).and_then(|table| table.views.clone());
            let view = sets.map(|sets| self.store_view(&node, sets));
            changes.push((node, difference(&old.unwrap_or_default(), &view.unwrap_or_default())));
        }
        Ok(changes)
    }

    /// The rows that a table's rules give, by width, `None` if it has no rules; and whether they
    /// depend on the time.
    fn evaluate(&self, node: &Node) -> Result<(Option<Vec<Evaluated>>, bool), Overflow> {
        let table = table(&self.state, node).filter(|table| !table.rules.is_empty());
        let Some(table) = table else {
            return Ok((None, false));
        };
        let limits = self.views.limits();
        let mut sets: Vec<Evaluated> = Vec::new();
        let mut evaluation = Evaluation::new(&self.state, limits);
        for stored in &table.rules {
            let width = stored.program.head.len();
            let at = sets.iter().position(|set| set.rows.width() == width).unwrap_or_else(|| {
                let rows = RowSet::new(width, false, self.state.dictionary.mixer());
                sets.push(Evaluated { rows, fresh: Vec::new() });
                sets.len() - 1
            });
            let rows = evaluation.query(&node.policy, &stored.program).map_err(|_| Overflow)?;
            for row in rows.iter() {
                if row.iter().any(|word| word.is_local()) {
                    let value = |word: &Word| evaluation.values.value(*word);
                    sets[at].fresh.extend(row.iter().map(value).collect::<Option<Vec<_>>>());
                } else {
                    sets[at].rows.insert(row, row);
                }
            }
        }
        Ok((Some(sets), evaluation.volatile))
    }

    /// Gives a table its view.
    fn store_view(&mut self, node: &Node, sets: Vec<Evaluated>) -> Vec<Arc<Relation>> {
        let state = Arc::make_mut(&mut self.state);
        let mut interner = Interner { dictionary: &mut state.dictionary, counts: &mut self.counts };
        let Some(policy) = state.policies.get_mut(&node.policy).map(Arc::make_mut) else {
            return Vec::new();
        };
        let by_value = policy.matches_by_value();
        let mut views = Vec::new();
        for Evaluated { rows, fresh } in sets {
            let mut relation = empty(rows.width(), by_value);
            for row in rows.iter() {
                if relation.insert(interner.dictionary, row) {
                    row.iter().for_each(|word| interner.retain(*word));
                }
            }
            for values in fresh {
                let row: Vec<Word> = values.iter().map(|value| interner.intern(value)).collect();
                if !relation.insert(interner.dictionary, &row) {
                    row.into_iter().for_each(|word| interner.release(word));
                }
            }
            views.push(Arc::new(relation));
        }
        table_mut(policy, &TableKey::of_node(node)).views = Some(views.clone());
        views
    }

    /// Takes a table's view away.
    fn take_view(&mut self, node: &Node) {
        let has = table(&self.state, node).is_some_and(|table| table.views.is_some());
        if !has {
            return;
        }
        let state = Arc::make_mut(&mut self.state);
        let mut interner = Interner { dictionary: &mut state.dictionary, counts: &mut self.counts };
        let Some(policy) = state.policies.get_mut(&node.policy).map(Arc::make_mut) else {
            return;
        };
        let table = table_mut(policy, &TableKey::of_node(node));
        for relation in table.views.take().into_iter().flatten() {
            relation.iter().flatten().for_each(|word| interner.release(*word));
        }
    }

    /// Takes all views away. They are built again with the next change or watch.
    pub(super) fn drop_views(&mut self) {
        for node in self.views.nodes.clone() {
            self.drop_view(&node);
        }
        self.views.outdate();
    }

    /// Takes a table's view away for good.
    fn drop_view(&mut self, node: &Node) {
        self.take_view(node);
        if table(&self.state, node).is_some_and(Table::is_empty)
            && let Some(policy) = policy_mut(Arc::make_mut(&mut self.state), &node.policy)
        {
            policy.tables.remove(&TableKey::of_node(node));
        }
    }

    /// The change of all rows of a table, from the changes of its stored and its derived rows: a
    /// row that is both counts once.
    fn union(
        &self,
        before: &Arc<State>,
        node: &Node,
        stored: Vec<Delta>,
        derived: Vec<Delta>,
    ) -> Vec<Delta> {
        let has_facts =
            |state: &State| table(state, node).is_some_and(|table| !table.facts.is_empty());
        if !has_facts(before) && !has_facts(&self.state) {
            return derived.into_iter().filter(|delta| !delta.is_empty()).collect();
        }
        let mixer = self.state.dictionary.mixer();
        let mut widths: Vec<usize> =
            stored.iter().chain(&derived).map(|delta| delta.added.width).collect();
        widths.sort_unstable();
        widths.dedup();
        let unions = widths.into_iter().map(|width| {
            let mut union = Delta::new(width);
            let of_width = || stored.iter().chain(&derived).filter(|d| d.added.width == width);
            let mut seen = RowSet::new(width, false, mixer);
            for row in of_width().flat_map(|delta| delta.added.iter()) {
                if seen.insert(row, row) && !holds(before, node, row) {
                    union.added.push(row);
                }
            }
            let mut seen = RowSet::new(width, false, mixer);
            for row in of_width().flat_map(|delta| delta.removed.iter()) {
                if seen.insert(row, row) && !holds(&self.state, node, row) {
                    union.removed.push(row);
                }
            }
            union
        });
        unions.filter(|delta| !delta.is_empty()).collect()
    }
}

/// An empty view of a width.
fn empty(width: usize, by_value: bool) -> Relation {
    if by_value { Relation::new(width) } else { Relation::exact(width) }
}

/// Whether a table has this very row, stored or in its view.
fn holds(state: &State, node: &Node, row: &[Word]) -> bool {
    let Some(table) = table(state, node) else {
        return false;
    };
    table.stored(row.len()).any(|relation| {
        let found = relation.get(&state.dictionary, row);
        found.is_some_and(|found| found == row)
    })
}

/// What came and went between two versions of a view.
fn difference(old: &[Arc<Relation>], new: &[Arc<Relation>]) -> Vec<Delta> {
    let mut deltas: Vec<Delta> = Vec::new();
    let mut change = |row: &[Word], came: bool| {
        let at = deltas.iter().position(|delta| delta.added.width == row.len());
        let at = at.unwrap_or_else(|| {
            deltas.push(Delta::new(row.len()));
            deltas.len() - 1
        });
        let side: &mut Rows = if came { &mut deltas[at].added } else { &mut deltas[at].removed };
        side.push(row);
    };
    let other = |relations: &[Arc<Relation>], width: usize| {
        relations.iter().find(|relation| relation.width() == width).cloned()
    };
    let rows = |relation: &Arc<Relation>| -> HashSet<Box<[Word]>> {
        relation.iter().map(Into::into).collect()
    };
    for relation in new {
        let before = other(old, relation.width()).map(|relation| rows(&relation));
        for row in relation.iter() {
            if !before.as_ref().is_some_and(|before| before.contains(row)) {
                change(row, true);
            }
        }
    }
    for relation in old {
        let after = other(new, relation.width()).map(|relation| rows(&relation));
        for row in relation.iter() {
            if !after.as_ref().is_some_and(|after| after.contains(row)) {
                change(row, false);
            }
        }
    }
    deltas
}
