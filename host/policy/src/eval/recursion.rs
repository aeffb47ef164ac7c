//! Tables that depend on themselves: evaluated together, round after round, until nothing comes.
//!
//! A recursion is a strongly connected component of the dependency graph. Its memos grow together;
//! a round reads what was there when it began and joins only combinations that contain something
//! that came with the round before: a new key, or a new row of one of the recursion's own literals
//! (semi-naive evaluation, with what has been asked in the part of magic sets). For each rule there
//! is one plan for new keys and one for each such literal. In the order (keys, literal, literal …)
//! the sources before the new one are read without, those after it with what the last round
//! brought, so that no combination is made twice.
//!
//! Stored rows of such a table are taken over into its memo when a key asks for them.

use std::sync::Arc;

use super::memo::Marks;
use super::plan::{Body, Match, Plan, Range, Recursion, Source, Start, Step, plan};
use super::ready::{Reads, Ready};
use super::rows::Lookup;
use super::run::{Evaluation, Pending};
use crate::program::{Arg, Literal};

impl<'s> Evaluation<'s> {
    /// Ends a round and begins the next one, if anything came.
    pub(super) fn round(&mut self, component: u32) {
        let members: Vec<usize> = (0..self.memos.len())
            .filter(|&memo| self.memos[memo].component == Some(component))
            .collect();
        let mut news = false;
        for &memo in &members {
            let memo = &mut self.memos[memo];
            memo.old = memo.now;
            memo.now = Marks { asked: memo.asked.len(), rows: memo.rows.len() };
            news |= memo.old != memo.now;
        }
        if !news {
            return;
        }
        self.pending.push(Pending::Round { component });
        for memo in members {
            for ready in self.recursive_plans(memo).iter() {
                if self.has_delta(ready) {
                    self.start_rule(ready.clone(), memo);
                }
            }
        }
    }

    /// Whether the first step of a plan has something to read.
    fn has_delta(&self, ready: &Ready<'s>) -> bool {
        let Some(Step::Match(first)) = ready.plan.steps.first() else {
            return false;
        };
        match (&first.source, &ready.reads[0]) {
            (Source::Asked(_), Reads::Asked(memo, _)) => {
                let memo = &self.memos[*memo];
                memo.old.asked < memo.now.asked
            }
            (Source::Table(_), Reads::Table { memo: Some((memo, _)), .. }) => {
                let memo = &self.memos[*memo];
                memo.old.rows < memo.now.rows
            }
            _ => false,
        }
    }

    /// The plans of a memo of a recursion: for stored rows, for new keys, and for new rows of each
    /// literal of the recursion.
    fn recursive_plans(&mut self, number: usize) -> Arc<[Arc<Ready<'s>>]> {
        let memo = &self.memos[number];
        if let Some(plans) = &memo.plans {
            return plans.clone();
        }
        let (policy, table, width) = (memo.policy.clone(), memo.table, memo.width);
        let (columns, component) = (memo.columns.clone(), memo.component);
        let by_value = memo.by_value;
        let mut plans = Vec::new();
        let stored: Vec<_> = table.stored(width).collect();
        for relation in stored {
            let plan = Arc::new(stored_rows(width, &columns, by_value));
            let stored = Reads::Table { stored: [Some(relation), None], memo: None };
            let reads = [Reads::Asked(number, Lookup::All), stored].into();
            plans.push(Arc::new(Ready { plan, reads, component, groups: None }));
        }
        for stored in table.rules.iter().filter(|stored| stored.program.head.len() == width) {
            let program = &stored.program;
            let literals: Vec<bool> = program
                .body
                .iter()
                .map(|literal| match literal {
                    Literal::Table { policy: prefix, key, .. } => {
                        let owner = prefix.as_ref().unwrap_or(&policy);
                        component.is_some() && self.state.component(owner, key) == component
                    }
                    _ => false,
                })
                .collect();
            let mut body = Body {
                state: self.state,
                policy: &policy,
                program,
                start: Start::Asked(&columns),
                recursion: Some(Recursion { literals: &literals, asked: &[] }),
            };
            let (ready, asked) = self.rule_plan(&body, number, component);
            plans.push(Arc::new(ready));
            body.recursion = Some(Recursion { literals: &literals, asked: &asked });
            for (literal, _) in literals.iter().enumerate().filter(|(_, recursive)| **recursive) {
                body.start = Start::Delta { literal, asked: &columns };
                let (delta, _) = plan(&body);
                let ready = self.ready(Arc::new(delta), Some(number), component);
                plans.push(Arc::new(ready));
            }
        }
        let plans: Arc<[_]> = plans.into();
        self.memos[number].plans = Some(plans.clone());
        plans
    }
}

/// A plan that takes over the stored rows that new keys ask for.
fn stored_rows(width: usize, columns: &[u32], by_value: bool) -> Plan {
    let variables: Box<[Arg]> = (0..width as u32).map(Arg::Variable).collect();
    let asked = Match {
        source: Source::Asked(Range::Delta),
        columns: Box::default(),
        bound: Box::default(),
        binds: (0..).zip(columns.iter().copied()).collect(),
        checks: Box::default(),
        by_value: false,
        exists_only: false,
    };
    let rows = Match {
        source: Source::Given,
        columns: columns.into(),
        bound: columns.iter().map(|&column| Arg::Variable(column)).collect(),
        binds: (0..width as u32).filter(|c| !columns.contains(c)).map(|c| (c, c)).collect(),
        checks: Box::default(),
        by_value,
        exists_only: false,
    };
    Plan {
        stride: width.max(1),
        steps: [Step::Match(asked), Step::Match(rows)].into(),
        output: variables,
    }
}
