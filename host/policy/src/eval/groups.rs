//! Rules with aggregates: their body's solutions are collected first, then taken together.
//!
//! Such a rule is run for what its table was asked, like any other: the columns by which a table is
//! asked are never those of an aggregate, so whole groups are asked for and nothing else. What it
//! depends on is complete by then, because no table depends on its own aggregate.

use std::sync::Arc;

use hashbrown::HashMap;

use super::plan::{Body, plan};
use super::rows::RowSet;
use super::run::{Evaluation, Given, Pending, Ready, Target, value};
use crate::aggregates::Accumulator;
use crate::program::{Arg, Grouping};
use crate::store::word::{Kind, Word};

/// How the solutions of a plan become rows.
pub(super) struct Groups {
    /// The rule's head, in which an aggregate is a variable that no solution binds.
    head: Box<[Arg]>,
    grouping: Grouping,
}

impl<'s> Evaluation<'s> {
    /// A plan for a rule that fills a memo.
    pub(super) fn rule_plan(
        &mut self,
        body: &Body<'_>,
        memo: usize,
        component: Option<u32>,
    ) -> (Ready<'s>, Vec<Option<Box<[u32]>>>) {
        let Some(grouping) = &body.program.grouping else {
            let (plan, asked) = plan(body);
            return (self.ready(plan, Some(memo), component), asked);
        };
        let program = body.program.solutions(grouping);
        let (mut plan, asked) = plan(&Body { program: &program, ..*body });
        let head = body.program.head.clone();
        plan.output = plan.output.iter().skip(head.len()).copied().collect();
        let mut ready = self.ready(plan, Some(memo), component);
        ready.groups = Some(Groups { head, grouping: grouping.clone() });
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

    /// Takes the solutions that were collected last together.
    pub(super) fn groups(&mut self, ready: &Ready<'s>, memo: usize) {
        let (Some(solutions), Some(Groups { head, grouping })) =
            (self.solutions.pop(), &ready.groups)
        else {
            return;
        };
        let is_aggregate = |column: u32| grouping.aggregates.iter().any(|(at, ..)| *at == column);
        let plain: Vec<Arg> = (0..)
            .zip(head)
            .filter(|(column, _)| !is_aggregate(*column))
            .map(|(_, arg)| *arg)
            .collect();
        let mut groups: HashMap<Vec<Word>, Box<[Accumulator]>> = HashMap::new();
        let mut key = Vec::with_capacity(plain.len());
        for id in 0..solutions.len() {
            let solution = solutions.row(id);
            key.clear();
            key.extend(plain.iter().map(|arg| value(*arg, solution)));
            let new = || {
                let functions = grouping.aggregates.iter();
                functions.map(|(_, function, _)| Accumulator::new(*function)).collect()
            };
            let group = groups.entry_ref(&key[..]).or_insert_with(new);
            for (accumulator, (_, _, variable)) in group.iter_mut().zip(&grouping.aggregates) {
                let word = value(Arg::Variable(*variable), solution);
                match word.kind() {
                    Kind::Int(small) => accumulator.add_int(small),
                    _ => {
                        if let Some(value) = self.values.value(word) {
                            accumulator.add(&value);
                        }
                    }
                }
            }
        }
        let (mut row, mut canonical) = (Vec::with_capacity(head.len()), Vec::new());
        for (key, group) in groups {
            let results: Option<Vec<_>> = group.into_iter().map(Accumulator::finish).collect();
            // A group that one of the aggregates makes nothing of is not there.
            let Some(results) = results else {
                continue;
            };
            let (mut plain, mut results) = (key.iter().copied(), results.iter());
            row.clear();
            for column in 0..head.len() as u32 {
                row.extend(match is_aggregate(column) {
                    true => results.next().map(|result| self.values.word(result)),
                    false => plain.next(),
                });
            }
            canonical.clear();
            canonical.extend(row.iter().map(|word| self.values.canonical(*word)));
            let rows = &mut self.memos[memo].rows;
            let key = if rows.is_by_value() { &canonical } else { &row };
            self.produced += usize::from(rows.insert(&row, key));
        }
    }
}
