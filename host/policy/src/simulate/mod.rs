//! Simulation: what would a query answer after a sequence of updates and actions?
//!
//! The sequence changes an [`Overlay`] of the snapshot, which nobody else sees and which is gone
//! afterwards; there is nothing to undo, and nothing is executed. What an action changes is read
//! off a [`Stage`], the action policy with the action's facts in it.

mod budget;
mod effect;
mod log;
mod overlay;
mod recursion;
mod sequence;
mod stage;

use std::fmt;
use std::sync::Arc;

use crate::ast::{Atom, Rule, Statement};
use crate::error::{Error, ErrorKind, Errors};
use crate::parser;
use crate::snapshot::{Answers, Limits, Query, Snapshot};

use budget::Budget;
use log::Log;
use sequence::Sequence;

/// The most statements of a sequence.
pub const MAX_SEQUENCE: usize = 10_000;

/// What is to be simulated.
#[derive(Clone, Copy)]
pub struct Simulation<'a> {
    /// One atom or one rule.
    pub query: &'a str,
    /// The policy under simulation: the query is asked in it, and updates without a policy's name
    /// change it. `None`: the only policy that exists.
    pub policy: Option<&'a str>,
    /// A program; its statements are carried out one after another:
    ///
    /// * `t+(1)`, `t-(1)`: the row comes or goes; `pol:t+(1)` in any policy;
    /// * `t+(x) :- body`, `t-(x) :- body`: the rule `t(x) :- body` comes or goes;
    /// * `act(1)`, where the action policy has `action("act")`: the rows of its tables that end in
    ///   `+` or `-` come or go; what its table `result` holds is seen by the next action;
    /// * `act(x), opt(x, 2) :- body`: the same, with all the heads assumed under the first
    ///   solution of the body in the action policy; nothing if there is none.
    pub sequence: &'a str,
    /// The policy that says what actions do. `None`: there are no actions.
    pub action_policy: Option<&'a str>,
    /// Whether the answer is what came and went, instead of what there is.
    pub delta: bool,
    /// Whether to tell how.
    pub trace: bool,
    /// Makes a text that is nowhere yet, such as a new UUID, for a variable that an action leaves
    /// without a value: the id of what it would create.
    pub fresh: &'a dyn Fn() -> String,
}

impl fmt::Debug for Simulation<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { query, policy, sequence, action_policy, delta, trace, fresh: _ } = self;
        f.debug_struct("Simulation")
            .field("query", query)
            .field("policy", policy)
            .field("sequence", sequence)
            .field("action_policy", action_policy)
            .field("delta", delta)
            .field("trace", trace)
            .finish_non_exhaustive()
    }
}

/// What a simulation found.
#[derive(Clone, Debug)]
pub struct SimulationResult {
    /// The answers.
    pub answers: SimulationAnswers,
    /// If asked for: one line for each event. Lines of the queries are those of
    /// [`Snapshot::trace`]; the others begin with `RT    : `.
    pub trace: Option<String>,
}

/// The answers of a simulation.
#[derive(Clone, Debug)]
pub enum SimulationAnswers {
    /// What the query finds after the sequence.
    After(Answers),
    /// The difference that the sequence makes.
    Delta {
        /// Found only after it.
        gained: Box<Answers>,
        /// Found only before it.
        lost: Box<Answers>,
    },
}

impl SimulationAnswers {
    /// The instances of the query as they are printed: of a difference, with `+` or `-` behind
    /// the table's name; of a rule, of that in its heads.
    pub fn statements(&self) -> Vec<Statement> {
        match self {
            Self::After(answers) => answers.statements().collect(),
            Self::Delta { gained, lost } => {
                let gained = gained.statements().map(|statement| marked(statement, '+'));
                gained.chain(lost.statements().map(|statement| marked(statement, '-'))).collect()
            }
        }
    }
}

fn marked(statement: Statement, sign: char) -> Statement {
    let mark = |atom: Atom| Atom { table: format!("{}{sign}", atom.table).into(), ..atom };
    match statement {
        Statement::Fact(atom) => Statement::Fact(mark(atom)),
        Statement::Rule(rule) => {
            Statement::Rule(Rule { heads: rule.heads.into_iter().map(mark).collect(), ..rule })
        }
        Statement::Event(_) => statement,
    }
}

impl Snapshot {
    /// Answers a query as if a sequence of updates and actions had been carried out. This
    /// snapshot and the engine stay as they are, and nothing is executed. Costs what the sequence
    /// and the query touch.
    ///
    /// Of `limits`, `rows` counts those of the query, of what the actions do, and the statements
    /// of the sequence.
    ///
    /// # Errors
    ///
    /// The query or the sequence does not parse; the query cannot be answered; a policy is not
    /// known; a statement is neither an update nor an action, or is not ground; a rule is not
    /// safe, or would make the rules recursive; or a limit ([`ErrorKind::Limit`]), which
    /// [`MAX_SEQUENCE`] is, too.
    pub fn simulate(
        &self,
        simulation: &Simulation<'_>,
        limits: Limits<'_>,
    ) -> Result<SimulationResult, Errors> {
        let query = self.simulated_query(simulation.query, simulation.policy)?;
        let source: Arc<str> = simulation.sequence.into();
        let statements = parser::parse(&source).map_err(|error| Error::syntax(&error, &source))?;
        if statements.len() > MAX_SEQUENCE {
            let text = format!("The sequence has more than {MAX_SEQUENCE} statements");
            return Err(Error::new(ErrorKind::Limit, text).into());
        }
        let actions = match simulation.action_policy {
            Some(name) => Some(self.state.target(Some(name))?.info.name.clone()),
            None => None,
        };
        let mut budget = Budget::new(limits);
        let mut log = simulation.trace.then(Log::default);

        let before = match simulation.delta {
            true => Some(self.ask(&query, &mut budget, log.as_mut())?),
            false => None,
        };
        let policy = query.policy.info.name.clone();
        let mut sequence = Sequence::new(self, policy, actions, simulation.fresh, budget, log);
        sequence.run(&statements).map_err(|errors| {
            Errors(errors.0.into_iter().map(|error| error.in_source(&source)).collect())
        })?;
        let (after, mut budget, mut log) = sequence.finish();

        let after = after.ask(&query, &mut budget, log.as_mut())?;
        let answers = match before {
            None => SimulationAnswers::After(after),
            Some(before) => SimulationAnswers::Delta {
                gained: Box::new(after.without(&before)),
                lost: Box::new(before.without(&after)),
            },
        };
        Ok(SimulationResult { answers, trace: log.map(Log::into_text) })
    }

    fn simulated_query(&self, query: &str, policy: Option<&str>) -> Result<Query, Error> {
        let source: Arc<str> = query.into();
        let statements = parser::parse(query).map_err(|error| Error::syntax(&error, &source))?;
        if statements.len() > 1 {
            let list: Vec<String> = statements.iter().map(ToString::to_string).collect();
            let text = format!("Query {} contained more than 1 rule", list.join(" "));
            return Err(Error::new(ErrorKind::Query, text).in_source(&source));
        }
        self.query(query, policy)
    }

    /// A query of another state, as this one's policy of that name is asked it: a proof reads a
    /// policy's own tables from the policy that comes with the query.
    fn asked_here(&self, query: &Query) -> Result<Query, Error> {
        let policy = self.state.target(Some(&query.policy.info.name))?.clone();
        Ok(Query { policy, ..query.clone() })
    }

    /// Answers the query, and tells how.
    fn ask(
        &self,
        query: &Query,
        budget: &mut Budget<'_>,
        log: Option<&mut Log>,
    ) -> Result<Answers, Error> {
        let query = self.asked_here(query)?;
        let answers = self.evaluate(query.clone(), budget.left())?;
        budget.spend(answers.len())?;
        if let Some(log) = log {
            log.line(format_args!("** Simulate: Querying {}", query.statement))?;
            // The answers stand without it: a proof may take longer than the limits allow.
            match self.follow(query.clone(), budget.left()) {
                Ok((_, trace)) => log.text(&trace)?,
                Err(error) => log.line(format_args!("No trace of the query: {error}"))?,
            }
            let list: Vec<String> = answers.statements().map(|answer| answer.to_string()).collect();
            log.line(format_args!("Result of {} is [{}]", query.statement, list.join(", ")))?;
        }
        Ok(answers)
    }
}
