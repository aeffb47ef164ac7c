//! The steps: what each does to a batch of bindings.

use super::plan::{Absent, Access, Match};
use super::run::{BATCH, Cursor, Evaluation, Level, value};
use crate::builtins::Builtin;
use crate::program::Arg;
use crate::store::index::NONE;
use crate::store::word::Word;

impl Evaluation<'_> {
    /// Hands on each binding with each row that matches it, until a batch is full.
    pub(super) fn matches(
        &self,
        step: &Match<'_>,
        stride: usize,
        level: &mut Level,
        out: &mut Vec<Word>,
    ) {
        let mut key = Vec::with_capacity(step.bound.len());
        while let Some(binding) = level.next(stride) {
            let found_before = out.len();
            key.clear();
            key.extend(step.bound.iter().map(|arg| match step.by_value {
                true => self.values.canonical(value(*arg, binding)),
                false => value(*arg, binding),
            }));
            let mut cursor = level.cursor;
            loop {
                // The next candidate row, and where to go on.
                let row = match cursor {
                    Cursor::Start => {
                        cursor = Cursor::Facts(self.first_fact(step, &key));
                        continue;
                    }
                    Cursor::Facts(NONE) => {
                        let derived = step.memo.map(|memo| &self.memos[memo].rows);
                        let dictionary = &self.state.dictionary;
                        cursor = Cursor::Derived(
                            derived.map_or(NONE, |rows| rows.first(dictionary, &key)),
                        );
                        continue;
                    }
                    Cursor::Facts(id) => {
                        let Some((relation, access)) = &step.facts else {
                            break;
                        };
                        cursor = Cursor::Facts(match access {
                            Access::Scan if id + 1 < relation.end() => id + 1,
                            Access::Scan | Access::Lookup => NONE,
                            Access::Index(index) => index.next(id),
                        });
                        match relation.row(id) {
                            Some(row) if self.key_matches(step, access, row, &key) => row,
                            _ => continue,
                        }
                    }
                    Cursor::Derived(NONE) => break,
                    Cursor::Derived(id) => {
                        let Some(memo) = step.memo else {
                            break;
                        };
                        let rows = &self.memos[memo].rows;
                        cursor = Cursor::Derived(rows.next(id));
                        rows.row(id)
                    }
                };
                if !self.take(step, row, binding, out) {
                    continue;
                }
                if step.exists_only {
                    break;
                }
                if out.len() >= BATCH * stride {
                    level.cursor = cursor;
                    return;
                }
            }
            debug_assert!(!step.exists_only || out.len() <= found_before + stride);
            level.cursor = Cursor::Start;
            level.at += 1;
            if out.len() >= BATCH * stride {
                return;
            }
        }
    }

    fn first_fact(&self, step: &Match<'_>, key: &[Word]) -> u32 {
        let Some((relation, access)) = &step.facts else {
            return NONE;
        };
        match access {
            Access::Scan if relation.end() > 0 => 0,
            Access::Scan => NONE,
            Access::Lookup => relation.find_row(&self.state.dictionary, key).unwrap_or(NONE),
            Access::Index(index) => relation.first(&self.state.dictionary, index, key),
        }
    }

    /// Whether a stored row has the key; an index has seen to that already.
    fn key_matches(&self, step: &Match<'_>, access: &Access, row: &[Word], key: &[Word]) -> bool {
        matches!(access, Access::Index(_))
            || step.bound_columns.iter().zip(key).all(|(&column, &word)| {
                let stored = row[column as usize];
                match step.by_value {
                    true => self.state.dictionary.canonical(stored).joins(word),
                    false => stored.joins(word),
                }
            })
    }

    /// Hands on the binding extended by a row, if the row fits.
    fn take(&self, step: &Match<'_>, row: &[Word], binding: &[Word], out: &mut Vec<Word>) -> bool {
        let start = out.len();
        out.extend_from_slice(binding);
        let extended = &mut out[start..];
        for &(column, variable) in &step.binds {
            extended[variable as usize] = row[column as usize];
        }
        let fits = step.checks.iter().all(|&(column, variable)| {
            let (a, b) = (row[column as usize], extended[variable as usize]);
            match step.by_value {
                true => self.values.canonical(a).joins(self.values.canonical(b)),
                false => a.joins(b),
            }
        });
        if !fits {
            out.truncate(start);
        }
        fits
    }

    /// Hands on the bindings for which there is no row.
    pub(super) fn absent(
        &self,
        step: &Absent<'_>,
        stride: usize,
        level: &mut Level,
        out: &mut Vec<Word>,
    ) {
        let dictionary = &self.state.dictionary;
        let mut row = Vec::with_capacity(step.args.len());
        while let Some(binding) = level.next(stride) {
            row.clear();
            row.extend(step.args.iter().map(|arg| value(*arg, binding)));
            let stored = step.facts.and_then(|relation| {
                let canonical: Vec<Word> =
                    row.iter().map(|word| self.values.canonical(*word)).collect();
                relation.get(dictionary, &canonical)
            });
            let stored = stored.is_some_and(|stored| {
                stored.iter().zip(&row).all(|(a, b)| match step.by_value {
                    true => *a != Word::NAN,
                    false => a.joins(*b),
                })
            });
            let derived = step.memo.is_some_and(|memo| self.memos[memo].rows.has(dictionary, &row));
            if !stored && !derived {
                out.extend_from_slice(binding);
            }
            level.at += 1;
        }
    }

    /// Evaluates a builtin on a binding, and binds its outputs. False if it does not hold.
    pub(super) fn compute(
        &mut self,
        builtin: &Builtin,
        args: &[Arg],
        bound_outputs: &[bool],
        negated: bool,
        binding: &mut [Word],
    ) -> bool {
        let inputs: Option<Vec<_>> = args
            .iter()
            .take(builtin.inputs)
            .map(|arg| self.values.value(value(*arg, binding)))
            .collect();
        // An error is no answer, and an input without a value an error.
        let results = inputs.and_then(|inputs| builtin.eval(&self.context, &inputs).ok().flatten());
        let Some(results) = results else {
            return negated;
        };
        let outputs = args.iter().skip(builtin.inputs);
        let mut holds = true;
        for ((arg, bound), result) in outputs.zip(bound_outputs).zip(&results) {
            let word = self.values.word(result);
            match arg {
                Arg::Variable(variable) if !bound => binding[*variable as usize] = word,
                _ => holds &= value(*arg, binding).joins(word),
            }
        }
        holds != negated
    }
}
