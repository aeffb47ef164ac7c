//! A top-down interpreter: proves a query literal by literal, left to right, as a person would
//! follow it. For traces and abduction, which are about the proof; answers alone come faster from
//! `eval`, which has another order.
//!
//! Nothing recurses: what is left to try lies on a list of [`Open`] entries, and each body knows
//! the literal it proves. Both are bounded, because nothing here is remembered: a proof is made
//! again each time that it is needed.

mod abduce;
mod bindings;
mod candidates;
mod resolve;
mod trace;

pub(crate) use trace::MAX_TRACE_BYTES;

use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use hashbrown::HashSet;

use crate::ast::Atom;
use crate::builtins::Context;
use crate::error::{Error, ErrorKind};
use crate::program::{Arg, Compiler, Literal, Program, TableKey};
use crate::snapshot::Limits;
use crate::state::{Policy, State};
use crate::store::scratch::Scratch;

use bindings::{Bindings, Mark, Resolved};
use candidates::Candidates;
use trace::Trace;

/// How many literals of one proof may be open: proved, or with more to try.
const MAX_OPEN: usize = 100_000;

/// A body that is being proved.
struct Body<'s> {
    atoms: &'s [Atom],
    /// The same, compiled.
    program: &'s Program,
    policy: &'s Policy,
    /// Its first variable.
    base: u32,
    depth: u32,
    /// Whether a negation depends on it; then nothing may be assumed.
    negated: bool,
    /// The literal that it proves; none for the query itself.
    proves: Option<Call<'s>>,
}

/// A literal of a body.
#[derive(Clone)]
struct Call<'s> {
    body: Rc<Body<'s>>,
    at: usize,
    /// The positive form of a negated literal.
    inner: bool,
}

/// What there is to go back to.
enum Open<'s> {
    /// More candidates for a literal.
    Candidates { call: Call<'s>, owner: &'s Policy, candidates: Candidates<'s>, mark: Mark },
    /// A literal that was proved. `speaker` told so.
    Proved { call: Call<'s>, speaker: &'s Policy, mark: Mark },
    /// A negated literal: it holds if all above it fails.
    Negation { call: Call<'s>, mark: Mark },
    /// A literal that was assumed.
    Assumed,
}

/// What to do next.
enum Next<'s> {
    /// Prove a body from a literal on.
    Go(Rc<Body<'s>>, usize),
    /// A literal has been proved.
    Exit(Call<'s>),
    /// Something failed, or more answers are wanted.
    Back,
}

/// The interpreter.
struct TopDown<'s> {
    state: &'s State,
    context: Context,
    bindings: Bindings<'s>,
    open: Vec<Open<'s>>,
    limits: Limits<'s>,
    steps: usize,
    trace: Option<Trace>,
    /// The policy of the last literal: it tells of the proofs that end with it.
    speaker: &'s Policy,
    /// The tables whose literals are assumed, by policy.
    assumable: HashSet<(Arc<str>, TableKey)>,
    assumed: Vec<Call<'s>>,
}

/// The atoms of a query, compiled, and the values it is over.
fn compile<'s>(state: &'s State, body: &[Atom]) -> (Program, Bindings<'s>) {
    let mut values = Scratch::new(&state.dictionary);
    let program = Compiler::new(|constant: &_| values.word(constant)).parts(&[], body);
    (program, Bindings::new(values))
}

impl<'s> TopDown<'s> {
    fn new(
        state: &'s State,
        policy: &'s Policy,
        bindings: Bindings<'s>,
        limits: Limits<'s>,
    ) -> Self {
        Self {
            state,
            context: state.context(),
            bindings,
            open: Vec::new(),
            limits,
            steps: 0,
            trace: None,
            speaker: policy,
            assumable: HashSet::new(),
            assumed: Vec::new(),
        }
    }

    /// Proves a query in all ways; `found` sees each while its bindings stand. The query's
    /// variables are the first.
    fn prove(
        &mut self,
        policy: &'s Policy,
        atoms: &'s [Atom],
        program: &'s Program,
        mut found: impl FnMut(&Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let base = self.bindings.add(&program.variables);
        let query = Body { atoms, program, policy, base, depth: 0, negated: false, proves: None };
        let mut next = Next::Go(Rc::new(query), 0);
        loop {
            next = match next {
                Next::Go(body, at) if at < body.program.body.len() => {
                    self.check_limits()?;
                    self.call(Call { body, at, inner: false })?
                }
                Next::Go(body, _) => match &body.proves {
                    Some(call) => Next::Exit(call.clone()),
                    None => {
                        found(self)?;
                        Next::Back
                    }
                },
                Next::Exit(call) => self.exit(call)?,
                Next::Back => match self.open.pop() {
                    Some(open) => {
                        self.check_limits()?;
                        self.back(open)?
                    }
                    None => return Ok(()),
                },
            };
        }
    }

    fn check_limits(&mut self) -> Result<(), Error> {
        self.steps += 1;
        let refused = |text: String| Err(Error::new(ErrorKind::Limit, text));
        if self.limits.stop.is_some_and(|stop| stop.load(Ordering::Relaxed)) {
            return refused("The query was stopped".to_owned());
        }
        if self.open.len() > MAX_OPEN {
            return refused(format!("A proof of the query takes more than {MAX_OPEN} literals"));
        }
        match self.limits.rows {
            Some(rows) if self.steps > rows => {
                refused(format!("Following the query takes more than {rows} steps; ask for less"))
            }
            _ => Ok(()),
        }
    }

    /// Tells of a literal under the current bindings.
    fn tell(&mut self, speaker: &Policy, kind: &str, call: &Call<'s>) -> Result<(), Error> {
        let Some(trace) = &mut self.trace else {
            return Ok(());
        };
        let body = &*call.body;
        let Some(atom) = body.atoms.get(call.at) else {
            return Ok(());
        };
        let mut shown = match body.program.body.get(call.at) {
            Some(Literal::Table { args, .. } | Literal::Builtin { args, .. }) => {
                let name = |cell| self.bindings.name(cell).clone();
                self.bindings.instance(atom, args, body.base, name)
            }
            _ => atom.clone(),
        };
        shown.negated = atom.negated && !call.inner;
        trace.line(speaker, call.depth(), kind, &shown)
    }

    fn note(
        &mut self,
        speaker: &Policy,
        depth: u32,
        note: std::fmt::Arguments<'_>,
    ) -> Result<(), Error> {
        match &mut self.trace {
            Some(trace) => trace.line(speaker, depth, "Note", &note),
            None => Ok(()),
        }
    }

    /// Begins to prove a literal.
    fn call(&mut self, call: Call<'s>) -> Result<Next<'s>, Error> {
        let body = call.body.clone();
        let (Some(atom), Some(literal)) = (body.atoms.get(call.at), body.program.body.get(call.at))
        else {
            return Ok(Next::Back);
        };
        if atom.negated && !call.inner {
            self.tell(body.policy, "Call", &call)?;
            self.open.push(Open::Negation { call: call.clone(), mark: self.bindings.mark() });
            return self.call(Call { inner: true, ..call });
        }
        self.speaker = body.policy;
        match literal {
            Literal::Truth(holds) => {
                // The compiled literal has the sign in it.
                if *holds == atom.negated {
                    return self.fail(body.policy, &call);
                }
                self.tell(body.policy, "Call", &call)?;
                Ok(Next::Exit(call))
            }
            Literal::Nothing { .. } => {
                self.tell(body.policy, "Call", &call)?;
                self.fail(body.policy, &call)
            }
            Literal::Builtin { builtin, args, .. } => {
                self.tell(body.policy, "Call", &call)?;
                match self.compute(builtin, args, &call)? {
                    true => Ok(Next::Exit(call)),
                    false => self.fail(body.policy, &call),
                }
            }
            Literal::Table { policy, key, args, .. } => {
                self.table(call, policy.as_ref(), key, args)
            }
        }
    }

    fn table(
        &mut self,
        call: Call<'s>,
        policy: Option<&Arc<str>>,
        key: &TableKey,
        args: &[Arg],
    ) -> Result<Next<'s>, Error> {
        let body = call.body.clone();
        let owner = match policy {
            None => Some(body.policy),
            Some(name) => self.state.policies.get(name).map(|policy| &**policy),
        };
        let assumable = !call.inner && !body.negated && !self.assumable.is_empty() && {
            let name = policy.unwrap_or(&body.policy.info.name);
            self.assumable.contains(&(name.clone(), key.clone()))
        };
        if assumable {
            self.assumed.push(call.clone());
            self.open.push(Open::Assumed);
            return Ok(Next::Go(body, call.at + 1));
        }
        let Some(owner) = owner else {
            self.tell(body.policy, "Call", &call)?;
            let missing = policy.map_or("", |name| name);
            self.note(body.policy, call.depth(), format_args!("No such policy: {missing}"))?;
            return self.fail(body.policy, &call);
        };
        self.speaker = owner;
        self.tell(owner, "Call", &call)?;
        let Some(table) = owner.tables.get(key) else {
            return self.fail(owner, &call);
        };
        let by_value = owner.matches_by_value();
        let args: Vec<Resolved> =
            args.iter().map(|arg| self.bindings.resolve(*arg, body.base)).collect();
        let candidates = Candidates::new(self.state, table, &self.bindings, &args, by_value);
        self.candidate(call, owner, candidates, self.bindings.mark())
    }

    fn fail(&mut self, speaker: &Policy, call: &Call<'s>) -> Result<Next<'s>, Error> {
        self.tell(speaker, "Fail", call)?;
        Ok(Next::Back)
    }

    /// A literal has been proved.
    fn exit(&mut self, call: Call<'s>) -> Result<Next<'s>, Error> {
        self.tell(self.speaker, "Exit", &call)?;
        if call.inner {
            // One proof refutes the negation: what else there was to try goes with it.
            while let Some(open) = self.open.pop() {
                if let Open::Negation { call, mark } = open {
                    self.bindings.undo(mark);
                    return self.fail(call.body.policy, &call);
                }
            }
            return Ok(Next::Back);
        }
        let next = Next::Go(call.body.clone(), call.at + 1);
        if matches!(call.body.program.body.get(call.at), Some(Literal::Table { .. })) {
            let mark = self.bindings.mark();
            self.open.push(Open::Proved { call, speaker: self.speaker, mark });
        }
        Ok(next)
    }

    /// Goes back to what was opened last.
    fn back(&mut self, open: Open<'s>) -> Result<Next<'s>, Error> {
        match open {
            Open::Candidates { call, owner, candidates, mark } => {
                self.bindings.undo(mark);
                self.candidate(call, owner, candidates, mark)
            }
            Open::Proved { call, speaker, mark } => {
                self.bindings.undo(mark);
                self.tell(speaker, "Redo", &call)?;
                Ok(Next::Back)
            }
            Open::Negation { call, mark } => {
                self.bindings.undo(mark);
                self.speaker = call.body.policy;
                self.tell(self.speaker, "Exit", &call)?;
                Ok(Next::Go(call.body, call.at + 1))
            }
            Open::Assumed => {
                self.assumed.pop();
                Ok(Next::Back)
            }
        }
    }
}

impl Call<'_> {
    fn depth(&self) -> u32 {
        self.body.depth + u32::from(self.inner)
    }
}

#[cfg(test)]
mod tests;
