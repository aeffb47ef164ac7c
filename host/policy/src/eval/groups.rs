//! Rules with aggregates: their body's solutions are collected first, then taken together.
//!
//! Such a rule is run for what its table was asked, like any other: the columns by which a table is
//! asked are never those of an aggregate, so whole groups are asked for and nothing else. What it
//! depends on is complete by then, because no table depends on its own aggregate.

use std::sync::Arc;

use hashbrown::HashMap;

use super::plan::{Body, Plan, Start, plan};
use super::ready::{Given, Ready};
use super::rows::RowSet;
use super::run::{Evaluation, Pending, Target};
use crate::aggregates::Accumulator;
use crate::error::Error;
use crate::program::{Grouping, Program};
use crate::store::word::{Kind, Word};

/// How the solutions that a plan gives become rows.
#[derive(Clone)]
pub(super) struct Groups {
    grouping: Grouping,
    /// Of the rule's head.
    width: usize,
}

impl<'s> Evaluation<'s> {
    /// A plan for a rule that fills a memo, which is asked by some columns.
    pub(super) fn rule_plan(
        &mut self,
        body: &Body<'_>,
        memo: usize,
        component: Option<u32>,
    ) -> (Ready<'s>, Vec<Option<Box<[u32]>>>) {
        let Some(grouping) = &body.program.grouping else {
            let (plan, asked) = plan(body);
            return (self.ready(Arc::new(plan), Some(memo), component), asked);
        };
        // The same columns, in the head that has no aggregates.
        let place = |column: &u32| grouping.columns.iter().position(|other| other == column);
        let columns = self.memos[memo].columns.iter().filter_map(place);
        let columns: Vec<u32> = columns.map(|at| at as u32).collect();
        let start = Start::Asked(&columns);
        let (plan, asked) = plan(&Body { program: &grouping.solutions, start, ..*body });
        let mut ready = self.ready(Arc::new(plan), Some(memo), component);
        let width = body.program.head.len();
        ready.groups = Some(Groups { grouping: grouping.clone(), width });
        (ready, asked)
    }

    /// Starts a plan of a memo.
    pub(super) fn start_rule(&mut self, ready: Arc<Ready<'s>>, memo: usize) {
        if ready.groups.is_none() {
            return self.start(ready, Given::default(), Target::Memo(memo));
        }
        // Work is done from the top down, so that these sets come and go like a stack, too.
        let width = ready.plan.output.len();
        self.solutions.push(RowSet::new(width, false, self.state.dictionary.mixer()));
        let target = Target::Solutions(self.solutions.len() - 1);
        self.pending.push(Pending::Groups { ready: ready.clone(), memo });
        self.start(ready, Given::default(), target);
    }

    /// Takes the solutions that were collected last together, for a memo.
    pub(super) fn groups(&mut self, ready: &Ready<'s>, memo: usize) {
        let (Some(solutions), Some(Groups { grouping, width })) =
            (self.solutions.pop(), &ready.groups)
        else {
            return;
        };
        let before = self.memos[memo].rows.len();
        let mut canonical = Vec::with_capacity(*width);
        for row in self.grouped(&solutions, grouping, *width) {
            canonical.clear();
            canonical.extend(row.iter().map(|word| self.values.canonical(*word)));
            let rows = &mut self.memos[memo].rows;
            let key = if rows.is_by_value() { &canonical } else { &row };
            self.produced += usize::from(rows.insert(&row, key));
        }
        self.note_time(memo, before);
    }

    /// The rows of a rule with aggregates, from a plan for its solutions.
    ///
    /// # Errors
    ///
    /// A limit is reached.
    pub(crate) fn rows_of_groups(
        &mut self,
        plan: Arc<Plan>,
        given: Given<'s>,
        program: &Program,
        grouping: &Grouping,
    ) -> Result<RowSet, Error> {
        let solutions = self.rows_of(plan, given)?;
        let width = program.head.len();
        let mut rows = RowSet::new(width, false, self.state.dictionary.mixer());
        for row in self.grouped(&solutions, grouping, width) {
            rows.insert(&row, &row);
        }
        Ok(rows)
    }

    /// One row for each group of solutions of which every aggregate makes something.
    fn grouped(&mut self, solutions: &RowSet, grouping: &Grouping, width: usize) -> Vec<Vec<Word>> {
        let plain = grouping.columns.len();
        let mut groups: HashMap<Vec<Word>, Box<[Accumulator]>> = HashMap::new();
        for solution in solutions.iter() {
            let (key, variables) = solution.split_at(plain);
            let new = || {
                let functions = grouping.aggregates.iter();
                functions.map(|(_, function, _)| Accumulator::new(*function)).collect()
            };
            let group = groups.entry_ref(key).or_insert_with(new);
            for (accumulator, (_, _, variable)) in group.iter_mut().zip(&grouping.aggregates) {
                let word = variables.get(*variable as usize).copied().unwrap_or(Word::UNBOUND);
                match word.kind() {
                    Kind::Int(small) => accumulator.add_int(small),
                    _ => match self.values.value(word) {
                        Some(value) => accumulator.add(&value),
                        None => accumulator.fail(),
                    },
                }
            }
        }
        let mut rows = Vec::with_capacity(groups.len());
        for (key, group) in groups {
            let results: Option<Vec<_>> = group.into_iter().map(Accumulator::finish).collect();
            let Some(results) = results else {
                continue;
            };
            let (mut key, mut results) = (key.into_iter(), results.iter());
            let columns =
                (0..width as u32).filter_map(|column| match grouping.is_aggregate(column) {
                    true => results.next().map(|result| self.values.word(result)),
                    false => key.next(),
                });
            rows.push(columns.collect());
        }
        rows
    }
}
