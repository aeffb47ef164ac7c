//! Statements that wait for a schema.

use super::{Engine, Outcome, Waiting};
use crate::ast::{Atom, Statement};
use crate::check::columns;

impl Engine {
    /// Applies the statements that need wait no longer, each as a batch of its own, in the order
    /// in which they came. Refused ones are kept with their errors.
    pub(super) fn wake(&mut self) -> Outcome {
        let mut outcome = Outcome::default();
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
            match self.update_batch(std::slice::from_ref(&event), false) {
                Ok(mut applied) => {
                    outcome.changes.append(&mut applied.changes);
                    outcome.fired.append(&mut applied.fired);
                    outcome.executions.append(&mut applied.executions);
                    outcome.overflowed.append(&mut applied.overflowed);
                }
                Err(errors) => kept.push(Waiting { event, errors: errors.0 }),
            }
        }
        // Statements that an update above has set aside anew come after the older ones.
        kept.append(&mut self.waiting);
        self.waiting = kept;
        outcome
    }

    /// Drops the statements for a policy that goes.
    pub(super) fn forget_waiting(&mut self, policy: &str) {
        self.waiting.retain(|waiting| waiting.event.policy.as_deref() != Some(policy));
    }
}

impl Waiting {
    /// The policies whose schema the statement waits for.
    pub fn policies(&self) -> Vec<&str> {
        let (heads, body): (&[Atom], &[Atom]) = match &self.event.statement {
            Statement::Fact(atom) => (std::slice::from_ref(atom), &[]),
            Statement::Rule(rule) => (&rule.heads, &rule.body),
            Statement::Event(_) => (&[], &[]),
        };
        let own = self.event.policy.as_deref();
        let named = heads.iter().chain(body).filter(|atom| !atom.named.is_empty());
        let mut names: Vec<&str> =
            named.filter_map(|atom| atom.policy.as_deref().or(own)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}
