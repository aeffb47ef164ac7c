//! One step of a proof: a literal against a stored row, a rule's head or a builtin.

use std::rc::Rc;

use super::bindings::{Mark, Resolved};
use super::candidates::{Candidate, Candidates};
use super::{Body, Call, Next, Open, TopDown, trace};
use crate::ast::Constant;
use crate::builtins::Builtin;
use crate::error::{Error, ErrorKind};
use crate::eval::Evaluation;
use crate::program::{Arg, Literal};
use crate::state::{Policy, StoredRule};
use crate::store::word::Word;

/// How many rules deep a proof may be.
const MAX_DEPTH: u32 = 1_000;

impl<'s> TopDown<'s> {
    /// Tries the next candidate that fits.
    pub(super) fn candidate(
        &mut self,
        call: Call<'s>,
        owner: &'s Policy,
        mut candidates: Candidates<'s>,
        mark: Mark,
    ) -> Result<Next<'s>, Error> {
        let body = call.body.clone();
        let Some(Literal::Table { key, args, .. }) = body.program.body.get(call.at) else {
            return Ok(Next::Back);
        };
        let depth = call.depth();
        while let Some(candidate) = candidates.next(&self.bindings) {
            self.check_limits()?;
            let by_value = owner.matches_by_value();
            match candidate {
                Candidate::Row { row, derived } => {
                    if self.trace.is_some() && !derived {
                        let words: Vec<Arg> = row.iter().copied().map(Arg::Constant).collect();
                        let plain = trace::stored(key);
                        let name = |cell| self.bindings.name(cell).clone();
                        let fact = self.bindings.instance(&plain, &words, 0, name);
                        self.note(owner, depth, format_args!("Trying {fact}"))?;
                    }
                    let fits = args.iter().zip(&*row).all(|(arg, word)| {
                        let arg = self.bindings.resolve(*arg, body.base);
                        self.bindings.unify(arg, Resolved::Value(*word), by_value)
                    });
                    if fits {
                        self.open.push(Open::Candidates {
                            call: call.clone(),
                            owner,
                            candidates,
                            mark,
                        });
                        return Ok(Next::Exit(call));
                    }
                }
                Candidate::Rule(stored) => {
                    self.note(owner, depth, format_args!("Trying {}", stored.rule))?;
                    if stored.program.grouping.is_some() {
                        // There is no proof to follow: its rows are about all proofs at once.
                        candidates.derive(self.aggregated(owner, stored)?);
                        continue;
                    }
                    let program = &stored.program;
                    let base = self.bindings.add(&program.variables);
                    let fits = args.iter().zip(&program.head).all(|(arg, head)| {
                        let arg = self.bindings.resolve(*arg, body.base);
                        let head = self.bindings.resolve(*head, base);
                        self.bindings.unify(arg, head, by_value)
                    });
                    if fits {
                        if depth >= MAX_DEPTH {
                            let text = format!("A proof is more than {MAX_DEPTH} rules deep");
                            return Err(Error::new(ErrorKind::Limit, text));
                        }
                        let proving = Body {
                            atoms: &stored.rule.body,
                            program,
                            policy: owner,
                            base,
                            depth: depth + 1,
                            negated: body.negated || call.inner,
                            proves: Some(call.clone()),
                        };
                        self.open.push(Open::Candidates { call, owner, candidates, mark });
                        return Ok(Next::Go(Rc::new(proving), 0));
                    }
                }
            }
            self.bindings.undo(mark);
        }
        self.fail(owner, &call)
    }

    /// The rows of a rule with aggregates, in an order that is always the same.
    fn aggregated(&mut self, owner: &Policy, stored: &StoredRule) -> Result<Vec<Vec<Word>>, Error> {
        let mut evaluation = Evaluation::at(self.state, self.limits, self.context);
        let rows = evaluation.query(&owner.info.name, &stored.program)?;
        let values = rows.iter().filter_map(|row| {
            row.iter().map(|word| evaluation.values.value(*word)).collect::<Option<Vec<_>>>()
        });
        let mut values: Vec<Vec<Constant>> = values.collect();
        values.sort_by_cached_key(|row| row.iter().map(ToString::to_string).collect::<Vec<_>>());
        let words = &mut self.bindings.values;
        Ok(values.iter().map(|row| row.iter().map(|value| words.word(value)).collect()).collect())
    }

    /// Evaluates a builtin and binds its outputs. False if it does not hold.
    pub(super) fn compute(
        &mut self,
        builtin: &Builtin,
        args: &[Arg],
        call: &Call<'s>,
    ) -> Result<bool, Error> {
        let (policy, base) = (call.body.policy, call.body.base);
        let (given, outputs) = args.split_at(builtin.inputs.min(args.len()));
        let mut inputs = Vec::with_capacity(given.len());
        for arg in given {
            let value = match self.bindings.resolve(*arg, base) {
                Resolved::Value(word) => self.bindings.values.value(word),
                Resolved::Unbound(_) => None,
            };
            let Some(value) = value else {
                let note = format_args!("Error in builtin: an input has no value");
                self.note(policy, call.depth(), note)?;
                return Ok(false);
            };
            inputs.push(value);
        }
        match builtin.eval(&self.context, &inputs) {
            Ok(Some(results)) => Ok(outputs.iter().zip(&results).all(|(arg, result)| {
                let word = self.bindings.values.word(result);
                let arg = self.bindings.resolve(*arg, base);
                self.bindings.unify(arg, Resolved::Value(word), false)
            })),
            Ok(None) => Ok(false),
            Err(error) => {
                self.note(policy, call.depth(), format_args!("Error in builtin: {error}"))?;
                Ok(false)
            }
        }
    }
}
