//! Who may do what: rules as the library oslo.policy has them, built in and from files.
//!
//! A request asks for a list of names, the most specific first. The first one that the operator's
//! files define decides, or else the default rule: what the files do not speak of is for
//! administrators.

mod check;
mod file;
mod parse;
mod rules;
mod template;
mod watch;

pub use file::{PolicyFiles, PolicyProblem};
pub(super) use rules::{BUILT_IN, Rules};
pub(super) use watch::WatchedRules;

use super::caller::Caller;

/// What a request asks.
pub(super) struct Question<'a> {
    /// Who asks.
    pub(super) caller: &'a Caller,
    /// Whether the rule `context_is_admin` holds for them.
    pub(super) is_admin: bool,
    /// What it is about.
    pub(super) target: Target<'a>,
}

/// What the names in templates mean: the caller's own ids, as policies belong to no project.
pub(super) struct Target<'a> {
    pub(super) project_id: Option<&'a str>,
    pub(super) user_id: Option<&'a str>,
}

impl Target<'_> {
    fn get(&self, name: &str) -> Option<&str> {
        match name {
            "project_id" => Some(self.project_id.unwrap_or("None")),
            "user_id" => Some(self.user_id.unwrap_or("None")),
            _ => None,
        }
    }
}
