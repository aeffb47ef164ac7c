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
