//! Why a row is there, and why it is not.
//!
//! A row that holds has a [`Derivation`]: it is a fact, or one rule gives it from rows that have
//! derivations themselves. Of several, one is chosen that supports itself nowhere, also where
//! tables depend on themselves: a row is explained by rows that came before it. Each row is
//! explained once, however often it is used, so the size is that of the rows and not of the paths.
//! For a row that does not hold, an [`Absence`] says of each rule of its table how far it got.

mod absence;
mod derivation;
mod display;
mod head;

use std::sync::Arc;

use crate::ast::{Atom, Constant, Rule, Span, Statement, Term};
use crate::error::{Error, ErrorKind};
use crate::snapshot::{Limits, Snapshot};
use crate::state::State;

/// How much an explanation tells.
#[derive(Clone, Copy, Debug)]
pub struct Detail {
    /// The most steps of a derivation; rows beyond are [`Reason::Cut`].
    pub steps: usize,
    /// The most rules between the row and what it follows from; rows below are [`Reason::Cut`].
    pub depth: usize,
    /// The most near misses that are told for each rule.
    pub near_misses: usize,
}

impl Default for Detail {
    /// 10,000 steps, 1,000 rules deep, 3 near misses.
    fn default() -> Self {
        Self { steps: 10_000, depth: 1_000, near_misses: 3 }
    }
}

/// An explanation. Prints as text of several lines.
#[derive(Clone, Debug)]
pub enum Explanation {
    /// Why it holds.
    Holds(Derivation),
    /// Why it does not.
    Absent(Absence),
}

/// How a literal follows from facts.
#[derive(Clone, Debug)]
pub struct Derivation {
    steps: Vec<Step>,
}

/// A literal and what it follows from.
#[derive(Clone, Debug)]
pub struct Step {
    /// The literal, ground, as it stands in the rule that uses it.
    pub literal: Atom,
    /// The policy whose table it is; of a computed literal, that of the rule.
    pub policy: Arc<str>,
    /// Why it holds.
    pub reason: Reason,
    /// The body of the rule, instantiated; [`Derivation::step`] gives them.
    pub premises: Vec<usize>,
}

/// Why a literal holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Reason {
    /// The row is stored.
    Fact,
    /// A rule gives it; the premises are its body.
    Rule {
        /// The rule as it is stored.
        rule: Rule,
        /// Its place among the rules of the policy ([`Snapshot::rules`]), from 1.
        number: usize,
    },
    /// A builtin holds, or its negation does.
    Computed,
    /// The literal is negated, and there is no such row.
    NoRow,
    /// `true`, or `not false`.
    Truth,
    /// It holds, but the explanation is long enough: it is not followed further.
    Cut,
}

/// Why a literal does not hold.
#[derive(Clone, Debug)]
pub struct Absence {
    /// The literal that was asked for.
    pub literal: Atom,
    /// The policy whose table it is.
    pub policy: Arc<str>,
    /// Of a builtin: why it does not hold.
    pub computed: Option<Obstacle>,
    /// How many rows are stored in the table, none of which fits.
    pub facts: usize,
    /// How far the rules of the table got, in the order of insertion.
    pub rules: Vec<Attempt>,
}

/// How far a rule got.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// The rule as it is stored.
    pub rule: Rule,
    /// Its place among the rules of the policy ([`Snapshot::rules`]), from 1.
    pub number: usize,
    /// What stops it.
    pub failure: Failure,
}

/// What stops a rule.
#[derive(Clone, Debug)]
pub enum Failure {
    /// It gives rows of another width.
    Width,
    /// A column of the head cannot have the value.
    Head {
        /// The column, from 0.
        column: usize,
        /// The value that the head has there.
        given: Constant,
        /// The value that was asked for.
        asked: Constant,
    },
    /// All literals before this one hold for some values, but none together with it.
    Body {
        /// The place of the literal in the body, from 0.
        literal: usize,
        /// Some of the values for which those before it hold.
        near_misses: Vec<NearMiss>,
    },
    /// Its body holds, but an aggregate makes nothing of the values.
    NoResult {
        /// The aggregate's column, from 0.
        column: usize,
    },
    /// Its body holds, but not for this row: a value in it is not equal to itself (NaN).
    Unequal,
}

/// Values for which a rule got as far as it did.
#[derive(Clone, Debug)]
pub struct NearMiss {
    /// The variables that have a value by then.
    pub bindings: Vec<(Arc<str>, Constant)>,
    /// The literal that fails, with them.
    pub literal: Atom,
    /// Why it fails.
    pub obstacle: Obstacle,
}

/// Why a literal fails.
#[derive(Clone, Debug, PartialEq)]
pub enum Obstacle {
    /// No row fits.
    NoRow,
    /// It is negated, and there is such a row, or the builtin holds.
    Holds,
    /// A test that does not hold.
    False,
    /// The builtin gives other values than those that are there.
    Gives(Vec<Constant>),
    /// The builtin can make nothing of its inputs.
    Error(String),
    /// Column references that no schema resolved: nothing matches.
    Unresolved,
}

impl Derivation {
    /// The literal that is explained.
    pub fn root(&self) -> Option<&Step> {
        self.steps.first()
    }

    /// A step by its number; the first is 0.
    pub fn step(&self, number: usize) -> Option<&Step> {
        self.steps.get(number)
    }

    /// All steps. A row that is used several times is one step.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }
}

impl Snapshot {
    /// Explains why an atom holds, or why it does not. Of an atom with variables, the first row
    /// that fits is explained. `execute[…]` atoms and those of other policies are taken, too.
    ///
    /// ```
    /// # use std::sync::Arc;
    /// # use congress_policy::{Detail, Engine, Limits, NewPolicy, Options, PolicyKind};
    /// # use time::macros::datetime;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let clock = Arc::new(|| datetime!(2024-02-03 04:05:06));
    /// # let mut engine = Engine::new(Options { ascii_only_rows: false, clock });
    /// # engine.create_policy(NewPolicy::new("zoo", PolicyKind::Nonrecursive))?;
    /// engine.insert("animal(1) animal(2) flies(2) walks(x) :- animal(x), not flies(x)", None)?;
    /// let explain = |atom| engine.snapshot().explain(atom, None, Detail::default(), Limits::default());
    /// assert_eq!(
    ///     explain("walks(1)")?.to_string(),
    ///     "walks(1)  by rule 1 of zoo: walks(x) :- animal(x), not flies(x)\n\
    ///     \x20 animal(1)  is a fact of zoo\n\
    ///     \x20 not flies(1)  has no row in zoo\n"
    /// );
    /// assert_eq!(
    ///     explain("walks(2)")?.to_string(),
    ///     "walks(2) does not hold in zoo\n\
    ///     \x20 rule 1: walks(x) :- animal(x), not flies(x)\n\
    ///     \x20   fails at not flies(x)\n\
    ///     \x20     for x = 2: not flies(2) fails, for it holds\n"
    /// );
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// The text does not parse, or is not one atom; it has column references, or needs values
    /// that it has not; the policy is not known; or [`ErrorKind::Limit`].
    pub fn explain(
        &self,
        atom: &str,
        policy: Option<&str>,
        detail: Detail,
        limits: Limits<'_>,
    ) -> Result<Explanation, Error> {
        let query = self.query(atom, policy)?;
        let refused =
            |text: String| Err(Error::new(ErrorKind::Query, text).in_source(&Arc::from(atom)));
        let Statement::Fact(atom) = &query.statement else {
            return refused(format!("Only an atom can be explained: {}", query.statement));
        };
        if !query.answerable {
            return refused(format!("Write {atom} with its arguments by position"));
        }
        self.explain_atom(atom, &query.policy.info.name, detail, limits)
    }

    /// [`Snapshot::explain`] for a row of a table, as [`Snapshot::rows`] lists it. Where the row has
    /// no value, any does: the first row that fits is explained.
    ///
    /// # Errors
    ///
    /// The policy or the table is not known, or its width; the row has another width; or
    /// [`ErrorKind::Limit`].
    pub fn explain_row(
        &self,
        policy: &str,
        table: &str,
        row: &[Option<Constant>],
        detail: Detail,
        limits: Limits<'_>,
    ) -> Result<Explanation, Error> {
        let width = self.known_width(policy, table)?;
        if row.len() != width {
            let text = format!(
                "A row of table '{table}' has {width} columns, and {} are given",
                row.len()
            );
            return Err(Error::new(ErrorKind::Query, text));
        }
        let (owner, name) = self.owner(policy, table);
        let term = |(column, value): (usize, &Option<Constant>)| match value {
            Some(value) => Term::Constant(value.clone()),
            None => Term::Variable(format!("x{column}").into()),
        };
        let atom = Atom {
            modal: None,
            negated: false,
            policy: None,
            table: name.into(),
            args: row.iter().enumerate().map(term).collect(),
            named: Vec::new(),
            span: Span::default(),
        };
        self.explain_atom(&atom, &owner.into(), detail, limits)
    }

    fn explain_atom(
        &self,
        atom: &Atom,
        policy: &Arc<str>,
        detail: Detail,
        limits: Limits<'_>,
    ) -> Result<Explanation, Error> {
        let state = without_recursive_views(&self.state);
        let mut search = derivation::Search::new(&state, detail, limits);
        match search.prove(atom, policy)? {
            Some(derivation) => Ok(Explanation::Holds(derivation)),
            None => Ok(Explanation::Absent(search.refute(atom, policy)?)),
        }
    }
}

/// The state with the rows of tables that depend on themselves to be derived anew: a view does not
/// tell which of them came first.
fn without_recursive_views(state: &Arc<State>) -> Arc<State> {
    let has_view = |node: &crate::depgraph::Node| {
        let key = crate::program::TableKey::of_node(node);
        let viewed = state.table(&node.policy, &key).is_some_and(|table| table.views.is_some());
        viewed.then_some((node.policy.clone(), key))
    };
    let viewed: Vec<_> = state.components.keys().filter_map(has_view).collect();
    if viewed.is_empty() {
        return state.clone();
    }
    let mut own = State::clone(state);
    for (policy, key) in viewed {
        let table = own.policies.get_mut(&policy).map(Arc::make_mut);
        if let Some(table) = table.and_then(|policy| policy.tables.get_mut(&key)) {
            Arc::make_mut(table).views = None;
        }
    }
    Arc::new(own)
}
