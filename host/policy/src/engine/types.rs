//! What goes into the engine and what comes out.

use std::fmt;
use std::sync::Arc;

use crate::ast::{Constant, Statement};
use crate::error::Error;
use crate::parser;
use crate::state::Clock;

/// How an engine behaves.
#[derive(Clone)]
pub struct Options {
    /// Drop characters outside ASCII from texts that come from datasources, as the original did.
    pub ascii_only_rows: bool,
    /// The local time, for the builtin `now` and for times without a date.
    pub clock: Clock,
}

impl fmt::Debug for Options {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { ascii_only_rows, clock: _ } = self;
        f.debug_struct("Options").field("ascii_only_rows", ascii_only_rows).finish_non_exhaustive()
    }
}

/// One statement to insert or delete.
#[derive(Clone, Debug)]
pub struct Event {
    /// The fact or rule.
    pub statement: Statement,
    /// True to insert, false to delete.
    pub insert: bool,
    /// The policy. `None`: the only policy that exists.
    pub policy: Option<Arc<str>>,
    /// The text that the statement's spans index.
    pub source: Arc<str>,
}

impl Event {
    /// One event for each statement of a text. Fails on a syntax error.
    pub fn parse(text: &str, insert: bool, policy: Option<&str>) -> Result<Vec<Self>, Error> {
        let source: Arc<str> = text.into();
        let statements = parser::parse(text).map_err(|error| Error::syntax(&error, &source))?;
        let policy: Option<Arc<str>> = policy.map(Into::into);
        let event =
            |statement| Self { statement, insert, policy: policy.clone(), source: source.clone() };
        Ok(statements.into_iter().map(event).collect())
    }
}

/// One change that a batch made. Prints as `insert[<statement>] for <policy>`.
#[derive(Clone, Debug, PartialEq)]
pub struct Applied {
    /// The statement in its stored form: reordered, columns expanded.
    pub statement: Statement,
    /// True if inserted, false if deleted.
    pub insert: bool,
    /// The policy.
    pub policy: Arc<str>,
}

impl fmt::Display for Applied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verb = if self.insert { "insert" } else { "delete" };
        write!(f, "{verb}[{}] for {}", self.statement, self.policy)
    }
}

/// What a batch, or another change of the engine, did.
#[derive(Clone, Debug, Default)]
pub struct Outcome {
    /// The statements that changed, in the order of application; no-ops and waiting statements
    /// are left out, and so are rows that came from a datasource.
    pub changes: Vec<Applied>,
    /// How many statements were set aside until a schema comes.
    pub waiting: usize,
    /// Watched tables whose rows changed.
    pub fired: Vec<Fired>,
    /// `execute[…]` tables whose rows changed.
    pub executions: Vec<Execution>,
    /// Tables, watched or below such, that have been found to have more rows than are kept up to
    /// date, or to look at more combinations ([`crate::Engine::limit_views`]), as policy and table:
    /// a recursion without end, or a join without a common column. Nobody is told of their changes
    /// until their rules change.
    pub overflowed: Vec<(Arc<str>, Arc<str>)>,
}

/// A watched table changed; see [`crate::Engine::watch`].
#[derive(Clone, Debug)]
pub struct Fired {
    /// The name that the watch was given.
    pub watch: Arc<str>,
    /// Rows that came.
    pub added: Vec<Vec<Constant>>,
    /// Rows that went.
    pub removed: Vec<Vec<Constant>>,
}

/// An `execute[…]` table changed: the rows that came are actions to be executed.
#[derive(Clone, Debug)]
pub struct Execution {
    /// The policy whose rules ask for the action.
    pub policy: Arc<str>,
    /// The datasource to act: the prefix in the head, or the policy's own name.
    pub service: Arc<str>,
    /// The action; may contain dots.
    pub action: Arc<str>,
    /// Rows that came: the positional arguments of one request each.
    pub added: Vec<Vec<Constant>>,
    /// Rows that went.
    pub removed: Vec<Vec<Constant>>,
}

/// A statement that waits for a schema, or was found wrong when the schema came.
#[derive(Clone, Debug)]
pub struct Waiting {
    /// The statement as it was given.
    pub event: Event,
    /// Empty while it waits; the refusals if it was found wrong.
    pub errors: Vec<Error>,
}

/// A table that rules read and that a datasource feeds, or would feed.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Subscription {
    /// The datasource.
    pub service: Arc<str>,
    /// Its table.
    pub table: Arc<str>,
}

/// What happens to references into a policy that is deleted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum References {
    /// They stay and find nothing.
    #[default]
    Dangle,
    /// The deletion is refused while there are any.
    Refuse,
}
