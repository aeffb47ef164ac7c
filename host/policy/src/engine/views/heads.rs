//! What rules make of rows: plans run over the state before or after.

use super::changes::Changed;
use super::deltas::{Deltas, Rows};
use super::maintain::{Maintenance, rules};
use crate::ast::Constant;
use crate::depgraph::NodeRef;
use crate::error::Error;
use crate::eval::rows::RowSet;
use crate::eval::{Evaluation, Given, Origin};
use crate::program::{Grouping, Literal, Program};
use crate::snapshot::Limits;
use crate::state::{State, StoredRule};
use crate::store::word::Word;

/// Rows of one head that a plan has found.
pub(super) struct Heads {
    pub(super) node: usize,
    pub(super) rows: RowSet,
    /// Rows with values that the dictionary has not.
    pub(super) fresh: Vec<Vec<Constant>>,
}

impl Heads {
    /// The rows that an evaluation has found in a state.
    pub(super) fn new(
        node: usize,
        rows: RowSet,
        state: &State,
        evaluation: &Evaluation<'_>,
    ) -> Self {
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
pub(super) fn none(state: &State, width: usize) -> RowSet {
    RowSet::new(width, false, state.dictionary.mixer())
}

impl Maintenance<'_> {
    fn limits(&self) -> Limits<'static> {
        self.engine.views.limits()
    }

    /// Notes whether an evaluation for a table read the time.
    fn note_time(&self, node: usize, evaluation: &Evaluation<'_>) {
        if evaluation.volatile {
            self.of_today.borrow_mut().insert(node);
        }
    }

    /// The rows, unless they are too many for a view.
    fn within(&self, rows: Result<RowSet, Error>) -> Option<RowSet> {
        if rows.is_err() {
            self.overflow.set(true);
        }
        rows.ok()
    }

    /// The rows of a rule's head in a state, from given rows.
    pub(super) fn run(
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
    pub(super) fn run_plan(
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
        let mut evaluation = Evaluation::at(state, self.limits(), self.context);
        let rows = evaluation.rows_of(plan, given);
        self.note_time(node, &evaluation);
        let rows = self.within(rows).unwrap_or_else(|| none(state, program.head.len()));
        Heads::new(node, rows, state, &evaluation)
    }

    /// [`Maintenance::run`] for a rule with aggregates: all rows of the groups that are given.
    pub(super) fn run_groups(
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
        let mut evaluation = Evaluation::at(state, self.limits(), self.context);
        for values in &groups.fresh {
            let row: Vec<Word> = values.iter().map(|value| evaluation.values.word(value)).collect();
            given.push(&row);
        }
        let rows = evaluation.rows_of_groups(plan, given.given(), &rule.program, grouping);
        self.note_time(node, &evaluation);
        let rows = self.within(rows).unwrap_or_else(|| none(state, rule.program.head.len()));
        Heads::new(node, rows, state, &evaluation)
    }

    /// The groups of a rule with aggregates that the changes of the tables that it reads concern,
    /// before or after.
    pub(super) fn concerned(
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
    pub(super) fn seeds(&self, state: &State, below: &Deltas, going: bool) -> Vec<Heads> {
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
    pub(super) fn changed<'d>(
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
    pub(super) fn consequences(
        &self,
        state: &State,
        Changed { node, rows }: &Changed,
    ) -> Vec<Heads> {
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
}
