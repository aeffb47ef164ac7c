//! A plan taken up by an evaluation: what its steps read in this state.

use std::sync::Arc;

use super::groups::Groups;
use super::plan::{Plan, Source, Step, TableUse};
use super::rows::Lookup;
use super::run::Evaluation;
use crate::program::Arg;
use crate::state::Table;
use crate::store::relation::Relation;
use crate::store::word::Word;

/// A plan, with what its steps read.
pub(crate) struct Ready<'s> {
    pub(super) plan: Arc<Plan>,
    pub(super) reads: Box<[Reads<'s>]>,
    /// The recursion that it is part of.
    pub(super) component: Option<u32>,
    /// What becomes of its rows, if they are solutions of a rule with aggregates.
    pub(super) groups: Option<Groups>,
}

/// What a step reads.
pub(super) enum Reads<'s> {
    Nothing,
    Table { stored: [Option<&'s Relation>; 2], memo: Option<(usize, Lookup)> },
    Asked(usize, Lookup),
    Given,
}

/// Rows that are handed in.
#[derive(Clone, Copy, Default)]
pub(crate) struct Given<'s> {
    pub(crate) words: &'s [Word],
    pub(crate) width: usize,
    pub(crate) len: usize,
}

impl<'s> Given<'s> {
    /// All of them.
    pub(crate) fn rows(self) -> impl Iterator<Item = &'s [Word]> {
        (0..self.len as u32).filter_map(move |at| self.row(at))
    }

    pub(super) fn row(&self, at: u32) -> Option<&'s [Word]> {
        let start = at as usize * self.width;
        self.words.get(start..start + self.width)
    }
}

impl<'s> Evaluation<'s> {
    /// Looks up what the steps of a plan read.
    pub(super) fn ready(
        &mut self,
        plan: Arc<Plan>,
        own: Option<usize>,
        component: Option<u32>,
    ) -> Ready<'s> {
        let reads = plan.steps.iter().map(|step| match step {
            Step::Match(step) => match &step.source {
                Source::Table(table) => self.reads(table, Some(&step.columns)),
                Source::Asked(_) => match own {
                    Some(memo) => Reads::Asked(memo, self.memos[memo].asked.lookup(&step.columns)),
                    None => Reads::Nothing,
                },
                Source::Given => Reads::Given,
            },
            Step::Absent(step) => self.reads(&step.table, None),
            Step::Compute { .. } | Step::Never => Reads::Nothing,
        });
        let reads = reads.collect();
        Ready { plan, reads, component, groups: None }
    }

    /// `columns` are those by which the rows are looked up; none: all.
    fn reads(&mut self, of: &TableUse, columns: Option<&[u32]>) -> Reads<'s> {
        let state = self.state;
        let Some(table) = state.table(&of.policy, &of.key) else {
            return Reads::Nothing;
        };
        let table: &'s Table = table;
        let mut stored = table.stored(of.width);
        let stored_rows = [stored.next(), stored.next()];
        if !table.is_derived(of.width) {
            return Reads::Table { stored: stored_rows, memo: None };
        }
        let memo = self.memo(of, table);
        let lookup = match columns {
            Some(columns) => self.memos[memo].rows.lookup(columns),
            None => Lookup::Unique,
        };
        // The rows of a recursion include the stored ones.
        let stored = match self.memos[memo].component {
            Some(_) => [None, None],
            None => stored_rows,
        };
        Reads::Table { stored, memo: Some((memo, lookup)) }
    }
}

impl Ready<'_> {
    /// Whether no binding comes twice: nothing is left out and no row has two origins.
    pub(super) fn is_distinct(&self) -> bool {
        self.plan.steps.iter().zip(&self.reads).all(|(step, reads)| match (step, reads) {
            (Step::Match(step), Reads::Table { stored, memo }) => {
                let origins = stored.iter().flatten().count() + usize::from(memo.is_some());
                let kept = |variable: u32| self.plan.output.contains(&Arg::Variable(variable));
                origins <= 1
                    && !step.by_value
                    && step.binds.iter().all(|(_, variable)| kept(*variable))
                    && (!step.exists_only || step.binds.is_empty())
            }
            (Step::Match(_), Reads::Nothing) => true,
            (Step::Match(_), _) => false,
            _ => true,
        })
    }
}
