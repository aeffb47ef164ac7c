//! The text of a trace: a line for each call, exit, redo and failure of a literal.

use std::fmt::{Display, Write as _};

use super::{Resolved, TopDown, compile};
use crate::ast::{Atom, Constant, Span, Statement, Term};
use crate::error::{Error, ErrorKind};
use crate::program::{Arg, TableKey};
use crate::snapshot::{Answers, Limits, Query, Snapshot};
use crate::state::Policy;
use crate::store::word::Word;

/// The longest trace, in bytes.
pub(crate) const MAX_TRACE_BYTES: usize = 16 * 1024 * 1024;

/// What has been told so far.
#[derive(Default)]
pub(super) struct Trace(String);

impl Trace {
    /// Adds `<policy's abbreviation>: <indent><kind>: <what>`.
    pub(super) fn line(
        &mut self,
        policy: &Policy,
        depth: u32,
        kind: &str,
        what: &dyn Display,
    ) -> Result<(), Error> {
        self.prefix(policy);
        for _ in 0..depth {
            self.0.push_str("| ");
        }
        // Writing to a text does not fail.
        let _ = writeln!(self.0, "{kind}: {what}");
        if self.0.len() > MAX_TRACE_BYTES {
            let text = format!("The trace is longer than {MAX_TRACE_BYTES} bytes; ask for less");
            return Err(Error::new(ErrorKind::Limit, text));
        }
        Ok(())
    }

    fn prefix(&mut self, policy: &Policy) {
        let _ = write!(self.0, "{:<6.6}: ", policy.info.abbreviation);
    }
}

/// A table's name as an atom; a stored row of it prints without the policy.
pub(super) fn stored(key: &TableKey) -> Atom {
    Atom {
        modal: key.modal,
        negated: false,
        policy: None,
        table: key.name.clone(),
        args: Vec::new(),
        named: Vec::new(),
        span: Span::default(),
    }
}

impl Snapshot {
    /// Answers a query as [`Snapshot::select`] does, and tells how: one line for each event,
    /// `<abbreviation>: <indent><Kind>: <literal>`, of kind `Call`, `Exit`, `Redo`, `Fail` or
    /// `Note`, and `Found answer [..]` at last if there is one. Which of several rows of a table
    /// comes first is not defined.
    ///
    /// Nothing is remembered between literals, so it takes far longer than `select`; of `limits`,
    /// `rows` counts literals and candidates tried.
    ///
    /// # Errors
    ///
    /// As for `select`; and [`ErrorKind::Limit`] if it was stopped, takes too many steps, the
    /// proof is too deep or the text too long.
    pub fn trace(
        &self,
        query: &str,
        policy: Option<&str>,
        limits: Limits<'_>,
    ) -> Result<(Answers, String), Error> {
        self.follow(self.query(query, policy)?, limits)
    }

    /// [`Snapshot::rows`] with a trace, see [`Snapshot::trace`].
    ///
    /// # Errors
    ///
    /// As for `rows` and for `trace`.
    pub fn trace_rows(
        &self,
        policy: &str,
        table: &str,
        limits: Limits<'_>,
    ) -> Result<(Vec<Vec<Constant>>, String), Error> {
        let width = self.known_width(policy, table)?;
        let (owner, name) = self.owner(policy, table);
        let variables = (0..width).map(|column| Term::Variable(format!("x{column}").into()));
        let atom = Atom {
            policy: (owner != policy).then(|| owner.into()),
            args: variables.collect(),
            ..stored(&TableKey::plain(&name.into()))
        };
        let query = Query {
            statement: Statement::Fact(atom),
            policy: self.state.target(Some(policy))?.clone(),
            answerable: true,
        };
        let (answers, trace) = self.follow(query, limits)?;
        Ok((answers.rows().collect(), trace))
    }

    pub(crate) fn follow(
        &self,
        query: Query,
        limits: Limits<'_>,
    ) -> Result<(Answers, String), Error> {
        let (program, bindings) = compile(&self.state, query.body());
        let width = program.variables.len();
        let mut interpreter = TopDown::new(&self.state, &query.policy, bindings, limits);
        interpreter.trace = Some(Trace::default());
        let mut seen = hashbrown::HashSet::new();
        let mut words: Vec<Word> = Vec::new();
        interpreter.prove(&query.policy, query.body(), &program, |found| {
            let instance = (0..width as u32).map(|variable| {
                match found.bindings.resolve(Arg::Variable(variable), 0) {
                    Resolved::Value(word) => word,
                    Resolved::Unbound(_) => Word::UNBOUND,
                }
            });
            let instance: Vec<Word> = instance.collect();
            if query.answerable && seen.insert(instance.clone()) {
                words.extend(instance);
            }
            Ok(())
        })?;
        let mut trace = interpreter.trace.take().unwrap_or_default();
        let policy = query.policy.clone();
        let local = interpreter.bindings.values.into_local();
        let (state, variables) = (self.state.clone(), program.variables);
        let answers = Answers::new(query.statement, state, local, variables, words, seen.len());
        if !answers.is_empty() {
            let list: Vec<String> = answers.statements().map(|answer| answer.to_string()).collect();
            trace.prefix(&policy);
            let _ = writeln!(trace.0, "Found answer [{}]", list.join(","));
        }
        Ok((answers, trace.0))
    }
}
