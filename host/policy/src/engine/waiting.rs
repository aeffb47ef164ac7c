//! Statements that wait for a schema, or were found wrong when it came.

use super::{Applied, Engine, Event, Waiting};
use crate::ast::{Atom, Statement};
use crate::check::columns;

impl Engine {
    /// Applies the statements that need wait no longer, each as a batch of its own, in the order
    /// in which they came, and gives the changes; views are left for later. Refused ones are kept
    /// with their errors.
    pub(super) fn apply_waiting(&mut self) -> Vec<Applied> {
        let mut changes = Vec::new();
        let mut kept = Vec::new();
        for Waiting { event, errors } in std::mem::take(&mut self.waiting) {
            let still_waits = errors.is_empty()
                && event.policy.as_ref().is_some_and(|policy| {
                    let expanded = columns::expand(&event.statement, policy, &self.state);
                    matches!(expanded, Err(columns::Refusal::Incomplete(_)))
                });
            if still_waits || !errors.is_empty() {
                kept.push(Waiting { event, errors });
                continue;
            }
            match self.change(std::slice::from_ref(&event), false) {
                Ok(mut changed) => changes.append(&mut changed.changes),
                Err(errors) => kept.push(Waiting { event, errors: errors.0 }),
            }
        }
        // Statements that a change above has set aside anew come after the older ones.
        kept.append(&mut self.waiting);
        self.waiting = kept;
        changes
    }

    /// Where the insertion that a deletion takes back is among the statements set aside.
    pub(super) fn set_aside(&self, deletion: &Event, policy: &str) -> Option<usize> {
        if self.waiting.is_empty() {
            return None;
        }
        let text = deletion.statement.to_string();
        self.waiting.iter().position(|Waiting { event, .. }| {
            event.insert
                && event.policy.as_deref() == Some(policy)
                && event.statement.to_string() == text
        })
    }

    /// Drops the statements for a policy that goes.
    pub(super) fn forget_waiting(&mut self, policy: &str) {
        self.waiting.retain(|waiting| waiting.event.policy.as_deref() != Some(policy));
    }
}

impl Waiting {
    /// The policies whose schema the statement waits for.
    pub fn policies(&self) -> Vec<&str> {
        let own = self.event.policy.as_deref();
        let named = atoms(&self.event.statement).filter(|atom| !atom.named.is_empty());
        let mut names: Vec<&str> =
            named.filter_map(|atom| atom.policy.as_deref().or(own)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Whether the statement mentions a table of a policy.
    pub fn mentions(&self, policy: &str) -> bool {
        let own = self.event.policy.as_deref();
        atoms(&self.event.statement).any(|atom| atom.policy.as_deref().or(own) == Some(policy))
    }
}

fn atoms(statement: &Statement) -> impl Iterator<Item = &Atom> {
    let (heads, body): (&[Atom], &[Atom]) = match statement {
        Statement::Fact(atom) => (std::slice::from_ref(atom), &[]),
        Statement::Rule(rule) => (&rule.heads, &rule.body),
        Statement::Event(_) => (&[], &[]),
    };
    heads.iter().chain(body)
}
