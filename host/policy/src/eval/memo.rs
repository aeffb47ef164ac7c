//! What derived tables have been asked during an evaluation, and what they gave.

use std::sync::Arc;

use super::plan::{Body, Start, Step, TableUse};
use super::ready::{Reads, Ready};
use super::rows::{Lookup, RowSet};
use super::run::{Evaluation, Pending, value};
use crate::program::Arg;
use crate::state::Table;
use crate::store::word::Word;

/// A table by its address in the state, a width, and the columns by which it is asked.
pub(super) type MemoKey = (*const Table, usize, Box<[u32]>);

/// A derived table, asked by some of its columns.
pub(super) struct Memo<'s> {
    pub(super) policy: Arc<str>,
    pub(super) table: &'s Table,
    pub(super) by_value: bool,
    pub(super) width: usize,
    pub(super) columns: Box<[u32]>,
    /// The recursion that the table is part of.
    pub(super) component: Option<u32>,
    /// Made when first asked.
    pub(super) plans: Option<Arc<[Arc<Ready<'s>>]>>,
    /// The keys that have been asked for, and what they gave.
    pub(super) asked: RowSet,
    pub(super) rows: RowSet,
    /// How much of both had been dealt with when the last round began, and this one.
    pub(super) old: Marks,
    pub(super) now: Marks,
}

/// A place in the keys and rows of a memo.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Marks {
    pub(super) asked: u32,
    pub(super) rows: u32,
}

impl<'s> Evaluation<'s> {
    /// Asks the derived table of a step for what the bindings need and nobody asked for yet.
    pub(super) fn ask(
        &mut self,
        ready: &Ready<'s>,
        step: usize,
        bindings: &[Word],
    ) -> Option<Pending<'s>> {
        let Reads::Table { memo: Some((memo, _)), .. } = ready.reads[step] else {
            return None;
        };
        let asked = &mut self.memos[memo];
        // The arguments at the columns by which the table is asked.
        let args: Vec<Arg> = match &ready.plan.steps[step] {
            // New rows of a recursion's own literal are there, and ask for nothing.
            Step::Match(step) if step.is_delta() => return None,
            Step::Match(step) => {
                let place = |column| step.columns.iter().position(|other| other == column);
                asked.columns.iter().filter_map(|c| Some(step.bound[place(c)?])).collect()
            }
            Step::Absent(step) => {
                asked.columns.iter().map(|&column| step.args[column as usize]).collect()
            }
            _ => return None,
        };
        let before = asked.asked.len();
        let mut key = Vec::with_capacity(args.len());
        for binding in bindings.chunks_exact(ready.plan.stride) {
            key.clear();
            key.extend(args.iter().map(|arg| match asked.by_value {
                true => self.values.canonical(value(*arg, binding)),
                false => value(*arg, binding),
            }));
            asked.asked.insert(&key, &key);
        }
        let component = asked.component;
        if asked.asked.len() == before {
            return None;
        }
        match component {
            // The round that goes on will see the keys.
            Some(component) if ready.component == Some(component) => None,
            Some(component) => Some(Pending::Round { component }),
            None => Some(Pending::Call { memo, rule: 0 }),
        }
    }

    /// The memo of a table that is asked by some columns. One that has been asked for everything
    /// answers anything.
    pub(super) fn memo(&mut self, of: &TableUse, table: &'s Table) -> usize {
        let address = std::ptr::from_ref(table);
        if !of.asked.is_empty()
            && let Some(&whole) = self.memo_numbers.get(&(address, of.width, Box::default()))
            && self.memos[whole].asked.len() > 0
        {
            return whole;
        }
        let key: MemoKey = (address, of.width, of.asked.clone());
        if let Some(&number) = self.memo_numbers.get(&key) {
            return number;
        }
        let number = self.memos.len();
        let mixer = self.state.dictionary.mixer();
        let rows = RowSet::new(of.width, of.by_value, mixer);
        self.memos.push(Memo {
            policy: of.policy.clone(),
            table,
            by_value: of.by_value,
            width: of.width,
            columns: of.asked.clone(),
            component: self.state.component(&of.policy, &of.key),
            plans: None,
            asked: RowSet::new(of.asked.len(), false, mixer),
            // When a row came is told by its number.
            rows: if self.times.is_some() { rows } else { rows.without_numbers() },
            old: Marks::default(),
            now: Marks::default(),
        });
        self.memo_numbers.insert(key, number);
        number
    }

    /// One plan for each rule of a memo.
    pub(super) fn plans(&mut self, memo: usize) -> Arc<[Arc<Ready<'s>>]> {
        let called = &self.memos[memo];
        if let Some(plans) = &called.plans {
            return plans.clone();
        }
        let (policy, table, width) = (called.policy.clone(), called.table, called.width);
        let columns = called.columns.clone();
        let rules = table.rules.iter().filter(|stored| stored.program.head.len() == width);
        let plans: Arc<[_]> = rules
            .map(|stored| {
                let body = Body {
                    state: self.state,
                    policy: &policy,
                    program: &stored.program,
                    start: Start::Asked(&columns),
                    recursion: None,
                };
                Arc::new(self.rule_plan(&body, memo, None).0)
            })
            .collect();
        self.memos[memo].plans = Some(plans.clone());
        plans
    }

    /// The memo that is the answer as it is: the query is for all of one derived table.
    pub(super) fn whole_memo(&self, ready: &Ready<'s>) -> Option<usize> {
        let [Step::Match(step)] = &ready.plan.steps[..] else {
            return None;
        };
        let Reads::Table { stored: [None, None], memo: Some((memo, Lookup::All)) } = ready.reads[0]
        else {
            return None;
        };
        let output = (0..).zip(&ready.plan.output);
        let is_whole = step.checks.is_empty()
            && step.binds.len() == ready.plan.output.len()
            && output.zip(&step.binds).all(|((at, arg), (column, variable))| {
                *column == at && *arg == Arg::Variable(*variable)
            });
        (is_whole && self.single).then_some(memo)
    }
}
