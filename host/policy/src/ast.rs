//! The syntax tree: what a policy text says, before any check of what it means.

use std::sync::Arc;

use num_bigint::BigInt;

/// A stretch of the source text, in bytes: `start..end`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The first byte.
    pub start: u32,
    /// One after the last byte.
    pub end: u32,
}

/// One statement.
#[derive(Clone, Debug, PartialEq)]
pub enum Statement {
    /// A single atom: `p(1)`, `execute[nova:pause(x)]`.
    Fact(Atom),
    /// Heads and a body.
    Rule(Rule),
    /// `insert[rule; "policy"]` or `delete[…]`. Parsed, and accepted by no operation.
    Event(Event),
}

/// A rule: `head, … :- literal, …`. More than one head only in simulation sequences.
#[derive(Clone, Debug, PartialEq)]
pub struct Rule {
    /// At least one.
    pub heads: Vec<Atom>,
    /// At least one.
    pub body: Vec<Atom>,
    /// Where it stands.
    pub span: Span,
}

/// An event modal around a rule.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// True for `insert`, false for `delete`.
    pub insert: bool,
    /// What is inside.
    pub rule: Rule,
    /// The policy named after the rule.
    pub policy: Option<Arc<str>>,
    /// Where it stands.
    pub span: Span,
}

/// What an atom may be wrapped in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Modal {
    /// `execute[…]`
    Execute,
    /// `insert[…]`
    Insert,
    /// `delete[…]`
    Delete,
}

impl Rule {
    /// Whether it takes solutions of its body together.
    pub fn is_aggregate(&self) -> bool {
        self.heads.iter().any(|head| head.aggregates().next().is_some())
    }
}

impl Modal {
    /// Its keyword.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Execute => "execute",
            Self::Insert => "insert",
            Self::Delete => "delete",
        }
    }
}

/// A literal: an atom, possibly negated, possibly with a modal.
#[derive(Clone, Debug)]
pub struct Atom {
    /// `execute`, `insert` or `delete`.
    pub modal: Option<Modal>,
    /// Whether it is negated.
    pub negated: bool,
    /// The policy, if the relation names one: the text before its first colon.
    pub policy: Option<Arc<str>>,
    /// The table: the rest, further colons and a trailing `+` or `-` included.
    pub table: Arc<str>,
    /// Arguments by position.
    pub args: Vec<Term>,
    /// Arguments by column, as written.
    pub named: Vec<(ColumnRef, Term)>,
    /// Where it stands.
    pub span: Span,
}

impl Atom {
    /// All arguments: by position, then by column.
    pub fn terms(&self) -> impl Iterator<Item = &Term> {
        self.args.iter().chain(self.named.iter().map(|(_, term)| term))
    }

    /// The aggregates among the arguments.
    pub fn aggregates(&self) -> impl Iterator<Item = &Aggregate> {
        self.terms().filter_map(|term| match term {
            Term::Aggregate(aggregate) => Some(aggregate),
            Term::Variable(_) | Term::Constant(_) => None,
        })
    }
}

impl PartialEq for Atom {
    /// Equal when they say the same; where they stand does not matter.
    fn eq(&self, other: &Self) -> bool {
        (self.modal, self.negated, &self.policy, &self.table, &self.args, &self.named)
            == (other.modal, other.negated, &other.policy, &other.table, &other.args, &other.named)
    }
}

/// How a named argument names its column.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ColumnRef {
    /// By number, from 0.
    Number(u32),
    /// By name.
    Name(Arc<str>),
}

/// An argument.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A variable. `_` is an ordinary one.
    Variable(Arc<str>),
    /// A constant.
    Constant(Constant),
    /// What a function makes of a variable's values: `count(id)`. In a rule's head only.
    Aggregate(Aggregate),
}

impl Term {
    /// The variable that it is, or whose values it takes together.
    pub fn variable(&self) -> Option<&Arc<str>> {
        match self {
            Self::Variable(name) => Some(name),
            Self::Aggregate(aggregate) => Some(&aggregate.variable),
            Self::Constant(_) => None,
        }
    }
}

/// An aggregate in a rule's head.
///
/// It is over the different solutions of the body (assignments of all of its variables) that agree
/// in the head's other arguments. Each solution counts, whether or not others have the same value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Aggregate {
    /// What is made of the values.
    pub function: AggregateFunction,
    /// Whose values.
    pub variable: Arc<str>,
}

/// What an aggregate makes of the values of a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum AggregateFunction {
    /// How many solutions there are.
    Count,
    /// Their sum: whole, or a float if any of them is one.
    Sum,
    /// The smallest, numbers or texts.
    Min,
    /// The largest, numbers or texts.
    Max,
    /// Their mean, a float.
    Avg,
}

impl AggregateFunction {
    /// All of them.
    pub const ALL: [Self; 5] = [Self::Count, Self::Sum, Self::Min, Self::Max, Self::Avg];

    /// Its name in policies.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count",
            Self::Sum => "sum",
            Self::Min => "min",
            Self::Max => "max",
            Self::Avg => "avg",
        }
    }
}

/// A value as policies know them.
///
/// Equality here is that of unification: type and value, so `1`, `1.0` and `"1"` differ, and NaN
/// equals nothing.
#[derive(Clone, Debug, PartialEq)]
pub enum Constant {
    /// A whole number of any size.
    Int(BigInt),
    /// A double.
    Float(f64),
    /// Text.
    Text(Arc<str>),
}

impl Constant {
    /// How many bytes its content takes, roughly.
    pub(crate) fn size(&self) -> usize {
        match self {
            Self::Int(int) => int.bits() as usize / 8,
            Self::Float(_) => 8,
            Self::Text(text) => text.len(),
        }
    }
}
