//! How far the rules of a table got that do not give a row.

use std::sync::Arc;

use super::derivation::Search;
use super::head::{Matched, Mismatch, Solution, args};
use super::{Absence, Attempt, Failure, NearMiss, Obstacle};
use crate::ast::{Atom, Constant};
use crate::builtins::Builtin;
use crate::error::Error;
use crate::program::{Arg, Literal};
use crate::state::{Policy, State, StoredRule};
use crate::store::word::Word;

impl<'s> Search<'s> {
    /// Why no row fits the atom.
    pub(super) fn refute(&mut self, atom: &Atom, policy: &Arc<str>) -> Result<Absence, Error> {
        let program = self.compile(atom);
        let mut absence = Absence {
            literal: atom.clone(),
            policy: policy.clone(),
            computed: None,
            facts: 0,
            rules: Vec::new(),
        };
        let (owner, key, asked) = match program.body.first() {
            Some(Literal::Table { policy: owner, key, args, .. }) => {
                (owner.as_ref().unwrap_or(policy), key, args)
            }
            Some(literal) => {
                let constant = |arg: &Arg| match arg {
                    Arg::Constant(word) => self.evaluation.values.value(*word),
                    Arg::Variable(_) => None,
                };
                absence.computed = Some(self.obstacle(literal, constant));
                return Ok(absence);
            }
            None => return Ok(absence),
        };
        absence.policy = owner.clone();
        let state: &'s State = self.state;
        let Some(owner) = state.policies.get(owner) else {
            return Ok(absence);
        };
        let Some(table) = owner.tables.get(key) else {
            return Ok(absence);
        };
        absence.facts = table.rows();
        for stored in &table.rules {
            let failure = self.failure(owner, stored, asked)?;
            let number = self.place(owner, stored.number);
            absence.rules.push(Attempt { rule: stored.rule.clone(), number, failure });
        }
        Ok(absence)
    }

    /// What stops a rule from giving a row that fits.
    fn failure(
        &mut self,
        owner: &Policy,
        stored: &'s Arc<StoredRule>,
        asked: &[Arg],
    ) -> Result<Failure, Error> {
        if stored.program.head.len() != asked.len() {
            return Ok(Failure::Width);
        }
        let values = &self.evaluation.values;
        let matched = match Matched::new(stored, asked, values, owner.matches_by_value()) {
            Ok(matched) => matched,
            Err(Mismatch { column, given, asked }) => {
                let (given, asked) = (values.value(given), values.value(asked));
                return Ok(match (given, asked) {
                    (Some(given), Some(asked)) => Failure::Head { column, given, asked },
                    _ => Failure::Unequal,
                });
            }
        };
        // Nothing is bound yet, in one way.
        let mut program = matched.program(0);
        let mut misses: Vec<Vec<Word>> = vec![Vec::new()];
        let wanted = self.detail.near_misses.max(1);
        for literal in 0..stored.program.body.len() {
            let longer = matched.program(literal + 1);
            let rows = self.evaluation.first(&owner.info.name, &longer, wanted)?;
            if rows.len() == 0 {
                misses.truncate(self.detail.near_misses);
                let misses = misses.iter().map(|row| matched.solution(&program, row));
                let near_misses = misses.map(|solution| self.near_miss(stored, literal, &solution));
                return Ok(Failure::Body { literal, near_misses: near_misses.collect() });
            }
            misses = (0..rows.len()).take(wanted).map(|id| rows.row(id).to_vec()).collect();
            program = longer;
        }
        let Some(grouping) = &stored.program.grouping else {
            return Ok(Failure::Unequal);
        };
        let rows = self.evaluation.first(&owner.info.name, &program, usize::MAX)?;
        for (column, result) in self.aggregated(grouping, &matched, &program, &rows) {
            let column = column as usize;
            let asked = match asked.get(column) {
                Some(Arg::Constant(word)) => self.evaluation.values.value(*word),
                _ => None,
            };
            match (result, asked) {
                (None, _) => return Ok(Failure::NoResult { column }),
                (Some(given), Some(asked)) if given != asked => {
                    return Ok(Failure::Head { column, given, asked });
                }
                _ => {}
            }
        }
        Ok(Failure::Unequal)
    }

    fn near_miss(
        &self,
        stored: &StoredRule,
        literal: usize,
        solution: &Solution<'_, '_>,
    ) -> NearMiss {
        let values = &self.evaluation.values;
        let (atom, compiled) = (&stored.rule.body[literal], &stored.program.body[literal]);
        NearMiss {
            bindings: solution.bindings(values),
            literal: solution.instance(atom, args(compiled), values),
            obstacle: self
                .obstacle(compiled, |arg| solution.word(*arg).and_then(|word| values.value(word))),
        }
    }

    /// Why a literal fails.
    fn obstacle(&self, literal: &Literal, value: impl Fn(&Arg) -> Option<Constant>) -> Obstacle {
        match literal {
            Literal::Table { negated: true, .. } | Literal::Builtin { negated: true, .. } => {
                Obstacle::Holds
            }
            Literal::Table { .. } => Obstacle::NoRow,
            Literal::Truth(_) => Obstacle::False,
            Literal::Nothing { .. } => Obstacle::Unresolved,
            Literal::Builtin { builtin, args, .. } => self.computed(builtin, args, value),
        }
    }

    fn computed(
        &self,
        builtin: &Builtin,
        args: &[Arg],
        value: impl Fn(&Arg) -> Option<Constant>,
    ) -> Obstacle {
        let inputs: Option<Vec<Constant>> = args.iter().take(builtin.inputs).map(value).collect();
        let Some(inputs) = inputs else {
            return Obstacle::Error("an input has no value".to_owned());
        };
        match builtin.eval(&self.state.context(), &inputs) {
            Ok(Some(outputs)) => Obstacle::Gives(outputs),
            Ok(None) => Obstacle::False,
            Err(error) => Obstacle::Error(error.to_string()),
        }
    }
}
