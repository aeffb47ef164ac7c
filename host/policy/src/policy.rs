//! Policies as the outside names and describes them.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use crate::diagnostics;
use crate::error::{Error, ErrorKind};

/// What a policy may hold and how it is evaluated.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PolicyKind {
    /// Facts and rules, evaluated on demand.
    #[default]
    Nonrecursive,
    /// Like nonrecursive with weak checks: describes the effects of actions for simulation.
    Action,
    /// Tables of a datasource; widths are declared, column references allowed.
    Datasource,
    /// Facts only; numbers match by value.
    Database,
    /// Facts and rules; numbers match by value, and derived rows are part of its contents.
    Materialized,
    /// Like nonrecursive, and tables may depend on themselves, though not through a negation or an
    /// aggregate.
    Z3,
}

impl PolicyKind {
    /// Its name in the API and the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Nonrecursive => "nonrecursive",
            Self::Action => "action",
            Self::Datasource => "datasource",
            Self::Database => "database",
            Self::Materialized => "materialized",
            Self::Z3 => "z3",
        }
    }
}

impl fmt::Display for PolicyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for PolicyKind {
    type Err = Error;

    /// Case does not matter. Fails with `Unknown kind of policy: <kind>`.
    fn from_str(name: &str) -> Result<Self, Error> {
        let kinds = [
            Self::Nonrecursive,
            Self::Action,
            Self::Database,
            Self::Materialized,
            Self::Datasource,
            Self::Z3,
        ];
        kinds.into_iter().find(|kind| kind.as_str().eq_ignore_ascii_case(name)).ok_or_else(|| {
            let near = |near: &str| format!("did you mean '{near}'?");
            Error::new(ErrorKind::Policy, format!("Unknown kind of policy: {name}"))
                .suggest(diagnostics::suggest(name, kinds.map(Self::as_str), near, "the kinds are"))
        })
    }
}

/// A policy to be created.
#[derive(Clone, Debug, Default)]
pub struct NewPolicy {
    /// Its name; any text for the engine. What the API takes is in [`crate::names`].
    pub name: String,
    /// Its id; the caller makes it. Empty: the policy is found by name only.
    pub id: String,
    /// Its kind.
    pub kind: PolicyKind,
    /// At most five characters; by default the first five of the name.
    pub abbreviation: Option<String>,
    /// Free text.
    pub description: String,
}

impl NewPolicy {
    /// A policy of a kind, without id and description.
    pub fn new(name: impl Into<String>, kind: PolicyKind) -> Self {
        Self { name: name.into(), kind, ..Self::default() }
    }
}

/// A policy that exists.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyInfo {
    /// Its name.
    pub name: Arc<str>,
    /// The id given at creation; may be empty.
    pub id: Arc<str>,
    /// Its kind.
    pub kind: PolicyKind,
    /// Prefix of its trace lines.
    pub abbreviation: Arc<str>,
    /// Free text.
    pub description: Arc<str>,
}
