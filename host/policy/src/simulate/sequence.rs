//! The statements of a sequence, carried out on an overlay.

use std::sync::Arc;

use hashbrown::HashSet;

use super::budget::Budget;
use super::effect::{Effect, inserts, is_update, unsigned};
use super::log::Log;
use super::overlay::Overlay;
use super::recursion;
use super::stage::Stage;
use crate::ast::{Atom, Rule, Statement, Term};
use crate::check::columns;
use crate::diagnostics::suggest;
use crate::engine::batch;
use crate::error::{Error, ErrorKind, Errors};
use crate::snapshot::Snapshot;
use crate::state::Policy;

/// A sequence on its way.
pub(super) struct Sequence<'a> {
    overlay: Overlay,
    /// The policy under simulation.
    policy: Arc<str>,
    /// The action policy.
    actions: Option<Arc<str>>,
    /// What the last action left for the next.
    results: Vec<Atom>,
    results_are_read: bool,
    fresh: &'a dyn Fn() -> String,
    budget: Budget<'a>,
    log: Option<Log>,
}

impl<'a> Sequence<'a> {
    /// Over a snapshot. Both policies exist.
    pub(super) fn new(
        snapshot: &Snapshot,
        policy: Arc<str>,
        actions: Option<Arc<str>>,
        fresh: &'a dyn Fn() -> String,
        budget: Budget<'a>,
        log: Option<Log>,
    ) -> Self {
        Self {
            overlay: Overlay::new(&snapshot.state),
            policy,
            actions,
            results: Vec::new(),
            results_are_read: false,
            fresh,
            budget,
            log,
        }
    }

    /// The state after it.
    pub(super) fn finish(self) -> (Snapshot, Budget<'a>, Option<Log>) {
        (Snapshot::new(Arc::new(self.overlay.into_state())), self.budget, self.log)
    }

    /// Carries out the statements. After an error the sequence is of no more use.
    pub(super) fn run(&mut self, statements: &[Statement]) -> Result<(), Errors> {
        if self.log.is_some() {
            let list: Vec<String> = statements.iter().map(ToString::to_string).collect();
            self.tell(format_args!("** Simulate: Applying sequence [{}]", list.join(", ")))?;
        }
        if statements.is_empty() {
            return Ok(());
        }
        let names = match self.stage(&[]) {
            Some(stage) => stage.actions(&mut self.budget)?,
            None => HashSet::new(),
        };
        if self.log.is_some() {
            let mut names: Vec<&str> = names.iter().map(|name| &**name).collect();
            names.sort_unstable();
            self.tell(format_args!("Actions: [{}]", names.join(", ")))?;
        }
        // Only an action with data reads the results of the one before.
        let last_reader = statements.iter().rposition(|s| matches!(s, Statement::Rule(_)));
        for (at, statement) in statements.iter().enumerate() {
            self.results_are_read = last_reader.is_some_and(|last| at < last);
            self.budget.spend(1)?;
            self.tell(format_args!("** Updating with {statement}"))?;
            self.statement(statement, &names)?;
        }
        Ok(())
    }

    fn tell(&mut self, line: std::fmt::Arguments<'_>) -> Result<(), Error> {
        self.log.as_mut().map_or(Ok(()), |log| log.line(line))
    }

    fn policy(&self, name: &str) -> Option<&Arc<Policy>> {
        self.overlay.state().policies.get(name)
    }

    /// The action policy as it is now.
    fn stage(&self, body: &[Atom]) -> Option<Stage> {
        let action = self.policy(self.actions.as_ref()?)?;
        Some(Stage::new(self.overlay.state(), action, self.policy(&self.policy)?, body))
    }

    fn statement(
        &mut self,
        statement: &Statement,
        names: &HashSet<Arc<str>>,
    ) -> Result<(), Errors> {
        let is_action = |atom: &Atom| {
            let own = atom.policy.is_none() || atom.policy == self.actions;
            own && atom.modal.is_none() && !atom.negated && names.contains(&atom.table)
        };
        match statement {
            Statement::Fact(atom) if is_action(atom) => {
                if !is_ground(atom) {
                    let text = format!("Action not ground: {atom}");
                    return Err(Error::new(ErrorKind::Simulation, text).at(atom.span).into());
                }
                self.action(std::slice::from_ref(atom))
            }
            Statement::Rule(rule) if rule.heads.first().is_some_and(is_action) => {
                let plain = |head: &Atom| head.modal.is_none() && !head.negated;
                if rule.is_aggregate() {
                    let advice =
                        "an action takes one solution: aggregate in a table, and read that";
                    return Err(neither(statement).suggest(Some(advice.to_owned())).into());
                }
                match rule.heads.iter().all(plain) {
                    true => self.action_with_data(rule),
                    false => Err(unknown(statement, names)),
                }
            }
            Statement::Fact(atom) if is_update(atom) => self.update(atom),
            Statement::Rule(rule) => match &rule.heads[..] {
                [head] if is_update(head) => self.update_rule(head, rule),
                _ => Err(unknown(statement, names)),
            },
            _ => Err(unknown(statement, names)),
        }
    }

    /// The policy that an update changes.
    fn target(&self, head: &Atom) -> Result<Arc<str>, Error> {
        let name = head.policy.as_ref().unwrap_or(&self.policy);
        match self.overlay.state().target(Some(name)) {
            Ok(policy) => Ok(policy.info.name.clone()),
            Err(error) => Err(error.at(head.span)),
        }
    }

    /// `t+(1)`, `t-(1)`.
    fn update(&mut self, atom: &Atom) -> Result<(), Errors> {
        let policy = self.target(atom)?;
        let stored = match self.expanded(Statement::Fact(unsigned(atom)), &policy)? {
            Statement::Fact(stored) if is_ground(&stored) => Statement::Fact(stored),
            _ => {
                let text = format!("Fact not ground: {atom}");
                return Err(Error::new(ErrorKind::Head, text).at(atom.span).into());
            }
        };
        self.change(&policy, &stored, inserts(atom), atom)
    }

    /// `t+(x) :- body`, `t-(x) :- body`.
    fn update_rule(&mut self, head: &Atom, rule: &Rule) -> Result<(), Errors> {
        let policy = self.target(head)?;
        let stored = Rule { heads: vec![unsigned(head)], ..rule.clone() };
        let mut stored = self.expanded(Statement::Rule(stored), &policy)?;
        if inserts(head)
            && let Some(owner) = self.policy(&policy)
        {
            stored = batch::check(owner, stored).map_err(Errors)?;
            if let Statement::Rule(rule) = &stored {
                recursion::check(self.overlay.state(), &policy, rule)?;
            }
        }
        self.change(&policy, &stored, inserts(head), head)
    }

    /// A statement with its column references by position.
    fn expanded(&self, statement: Statement, policy: &Arc<str>) -> Result<Statement, Errors> {
        if let Statement::Fact(atom) = &statement
            && atom.named.is_empty()
        {
            // Nobody checks how wide the row of an update is.
            return Ok(statement);
        }
        columns::expand(&statement, policy, self.overlay.state()).map_err(|refusal| match refusal {
            columns::Refusal::Wrong(errors) | columns::Refusal::Incomplete(errors) => {
                Errors(errors)
            }
        })
    }

    fn change(
        &mut self,
        policy: &Arc<str>,
        stored: &Statement,
        insert: bool,
        update: &Atom,
    ) -> Result<(), Errors> {
        self.tell(format_args!("Applying update {update} to {policy}"))?;
        self.overlay.change(policy, stored, insert);
        Ok(())
    }

    /// `act(x), opt(x, 1) :- body`.
    fn action_with_data(&mut self, rule: &Rule) -> Result<(), Errors> {
        let Some(mut stage) = self.stage(&rule.body) else {
            return Ok(());
        };
        self.results.iter().for_each(|result| stage.assume(result));
        match stage.first(rule, &mut self.budget)? {
            Some(heads) => self.action(&heads),
            None => Ok(self.tell(format_args!("No solution of the body: skipped"))?),
        }
    }

    /// An action, its options among the facts.
    fn action(&mut self, facts: &[Atom]) -> Result<(), Errors> {
        let Some(mut stage) = self.stage(&[]) else {
            return Ok(());
        };
        facts.iter().for_each(|fact| stage.assume(fact));
        let effects = stage.effects(self.fresh, &mut self.budget)?;
        if self.results_are_read {
            let own = effects.iter().filter(|effect| effect.atom.policy.is_none());
            own.for_each(|effect| stage.assume(&effect.atom));
            self.results = stage.results(&mut self.budget)?;
            if self.log.is_some() {
                let results: Vec<String> = self.results.iter().map(ToString::to_string).collect();
                self.tell(format_args!("Last results: [{}]", results.join(", ")))?;
            }
        }
        // It shares what is changed now.
        drop(stage);
        // What is added stays, even if what goes is equal by value.
        let (added, removed): (Vec<_>, Vec<_>) =
            effects.iter().partition(|effect| effect.inserts());
        removed.into_iter().chain(added).try_for_each(|effect| self.effect(effect))
    }

    fn effect(&mut self, effect: &Effect) -> Result<(), Errors> {
        let policy = self.overlay.state().target(Some(&effect.policy))?.info.name.clone();
        self.change(&policy, &effect.stored(), effect.inserts(), &effect.atom)
    }
}

fn is_ground(atom: &Atom) -> bool {
    let mut terms = atom.args.iter().chain(atom.named.iter().map(|(_, term)| term));
    terms.all(|term| matches!(term, Term::Constant(_)))
}

/// [`neither`], with what was perhaps meant.
fn unknown(statement: &Statement, actions: &HashSet<Arc<str>>) -> Errors {
    let head = match statement {
        Statement::Fact(atom) => Some(atom),
        Statement::Rule(rule) => rule.heads.first(),
        Statement::Event(_) => None,
    };
    let mut actions: Vec<&str> = actions.iter().map(|name| &**name).collect();
    actions.sort_unstable();
    let near = |near: &str| format!("did you mean '{near}'?");
    let suggestion = head.and_then(|head| {
        suggest(&head.table, actions, near, "an update ends in + or -; the actions are")
    });
    neither(statement).suggest(suggestion).into()
}

fn neither(statement: &Statement) -> Error {
    let text = format!("Sequence contained non-action, non-update: {statement}");
    let span = match statement {
        Statement::Fact(atom) => atom.span,
        Statement::Rule(rule) => rule.span,
        Statement::Event(event) => event.span,
    };
    Error::new(ErrorKind::Simulation, text).at(span)
}
