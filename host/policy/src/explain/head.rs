//! A rule whose head has been matched with what is asked for.

use std::sync::Arc;

use crate::ast::{Atom, Constant, Term};
use crate::program::{Arg, Literal, Program};
use crate::state::StoredRule;
use crate::store::scratch::Scratch;
use crate::store::word::Word;

/// The match: what the rule's variables are by it.
pub(super) struct Matched<'s> {
    pub(super) stored: &'s Arc<StoredRule>,
    /// A value, or another variable that it must equal.
    bound: Vec<Option<Arg>>,
}

/// Why there is no match: a column, the value in the head, and the value that is asked for.
pub(super) struct Mismatch {
    pub(super) column: usize,
    pub(super) given: Word,
    pub(super) asked: Word,
}

impl<'s> Matched<'s> {
    /// Matches a rule's head with arguments whose variables are the asker's. Both are equally
    /// many. A NaN that is asked for is left open, for it equals nothing; so is what an aggregate
    /// gives, which one solution of the group does not tell.
    pub(super) fn new(
        stored: &'s Arc<StoredRule>,
        asked: &[Arg],
        values: &Scratch<'_>,
        by_value: bool,
    ) -> Result<Self, Mismatch> {
        let mut matched = Self { stored, bound: vec![None; stored.program.variables.len()] };
        let equal = |a: Word, b: Word| match by_value {
            true => values.canonical(a).joins(values.canonical(b)),
            false => a.joins(b),
        };
        let mut theirs: Vec<(u32, Arg)> = Vec::new();
        for (column, (head, asked)) in stored.program.head.iter().zip(asked).enumerate() {
            let mut grouped = stored.program.grouping.iter().flat_map(|it| &it.aggregates);
            if grouped.any(|(aggregate, ..)| *aggregate as usize == column) {
                continue;
            }
            let head = matched.resolve(*head);
            let asked = match asked {
                Arg::Constant(Word::NAN) => continue,
                Arg::Constant(word) => Arg::Constant(*word),
                Arg::Variable(variable) => {
                    match theirs.iter().find(|(other, _)| other == variable) {
                        Some((_, first)) => matched.resolve(*first),
                        None => {
                            theirs.push((*variable, head));
                            continue;
                        }
                    }
                }
            };
            match (head, asked) {
                (Arg::Constant(given), Arg::Constant(asked)) if !equal(given, asked) => {
                    return Err(Mismatch { column, given, asked });
                }
                (Arg::Constant(_), Arg::Constant(_)) => {}
                (Arg::Variable(variable), other) | (other, Arg::Variable(variable)) => {
                    if other != Arg::Variable(variable) {
                        matched.bound[variable as usize] = Some(other);
                    }
                }
            }
        }
        Ok(matched)
    }

    /// An argument of the rule by the match.
    pub(super) fn resolve(&self, arg: Arg) -> Arg {
        let mut arg = arg;
        while let Arg::Variable(variable) = arg {
            match self.bound.get(variable as usize) {
                Some(Some(next)) => arg = *next,
                _ => break,
            }
        }
        arg
    }

    /// The first literals of the body, to be asked for the variables that are open in them.
    pub(super) fn program(&self, literals: usize) -> Program {
        let own = &self.stored.program;
        let mut open: Vec<Arg> = Vec::new();
        let mut resolved = |args: &[Arg]| -> Box<[Arg]> {
            let args: Box<[Arg]> = args.iter().map(|arg| self.resolve(*arg)).collect();
            for arg in &args {
                if matches!(arg, Arg::Variable(_)) && !open.contains(arg) {
                    open.push(*arg);
                }
            }
            args
        };
        let body = own.body.iter().take(literals).map(|literal| match literal {
            Literal::Table { policy, key, args, negated } => Literal::Table {
                policy: policy.clone(),
                key: key.clone(),
                args: resolved(args),
                negated: *negated,
            },
            Literal::Builtin { builtin, args, negated } => {
                Literal::Builtin { builtin, args: resolved(args), negated: *negated }
            }
            other => other.clone(),
        });
        let body = body.collect();
        Program { head: open.into(), body, variables: own.variables.clone(), grouping: None }
    }

    /// The values that one row of such a program gives.
    pub(super) fn solution(&self, program: &Program, row: &[Word]) -> Solution<'_, 's> {
        let open = program.head.iter().zip(row).map(|(arg, word)| (*arg, *word));
        Solution { matched: self, open: open.collect() }
    }
}

/// Values for the variables of a rule.
pub(super) struct Solution<'m, 's> {
    matched: &'m Matched<'s>,
    open: Vec<(Arg, Word)>,
}

impl Solution<'_, '_> {
    /// An argument's value; none if nothing has bound it.
    pub(super) fn word(&self, arg: Arg) -> Option<Word> {
        match self.matched.resolve(arg) {
            Arg::Constant(word) => Some(word),
            open => {
                let found = self.open.iter().find(|(arg, _)| *arg == open);
                found.map(|(_, word)| *word).filter(|word| *word != Word::UNBOUND)
            }
        }
    }

    /// A literal of the body with the values.
    pub(super) fn instance(&self, atom: &Atom, args: &[Arg], values: &Scratch<'_>) -> Atom {
        let value = |arg: &Arg| self.word(*arg).and_then(|word| values.value(word));
        let terms = atom.args.iter().zip(args).map(|(term, arg)| match value(arg) {
            Some(value) => Term::Constant(value),
            None => term.clone(),
        });
        Atom { args: terms.collect(), ..atom.clone() }
    }

    /// The rule's variables that have a value.
    pub(super) fn bindings(&self, values: &Scratch<'_>) -> Vec<(Arc<str>, Constant)> {
        let names = (0..).zip(&self.matched.stored.program.variables);
        let bound = names.filter_map(|(variable, name)| {
            Some((name.clone(), values.value(self.word(Arg::Variable(variable))?)?))
        });
        bound.collect()
    }
}

/// The arguments of a literal.
pub(super) fn args(literal: &Literal) -> &[Arg] {
    match literal {
        Literal::Table { args, .. } | Literal::Builtin { args, .. } => args,
        Literal::Truth(_) | Literal::Nothing { .. } => &[],
    }
}
