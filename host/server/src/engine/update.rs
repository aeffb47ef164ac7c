//! Changes of policies and rules that exist.

use congress_policy::Event;
use congress_store::{Error, NewRule, Policy, Rule};

use super::handle::{EngineHandle, events};
use super::loaded::LoadedRule;
use super::policies::{ATTEMPTS, busy, unknown};
use super::rules::{Place, parse_one};
use super::turn::Turn;
use crate::datasources::failure;
use crate::failure::{Answer, Failure, Named, Status};

/// What is to change of a policy; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyPatch {
    /// At most five characters.
    pub abbreviation: Option<String>,
    /// Free text.
    pub description: Option<String>,
}

/// What is to change of a rule; what is not given stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RulePatch {
    /// The text of one rule.
    pub rule: Option<String>,
    /// A name, or none any more.
    pub name: Option<Option<String>>,
    /// A comment.
    pub comment: Option<String>,
}

impl RulePatch {
    fn applied_to(&self, rule: &Rule) -> NewRule {
        NewRule {
            rule: self.rule.clone().unwrap_or_else(|| rule.rule.clone()),
            name: self.name.clone().unwrap_or_else(|| rule.name.clone()),
            comment: self.comment.clone().unwrap_or_else(|| rule.comment.clone()),
        }
    }
}

impl EngineHandle {
    /// Changes what a policy says of itself.
    pub async fn update_policy(&self, id_or_name: &str, patch: PolicyPatch) -> Answer<Policy> {
        let mut turn = self.inner.turns.of_writer().await?;
        for _ in 0..ATTEMPTS {
            self.inner.clone().catch_up(&mut turn).await.map_err(failure)?;
            let policy = self.inner.loaded().policy(id_or_name).cloned();
            let policy = policy.ok_or_else(|| unknown(id_or_name))?;
            let abbreviation = patch.abbreviation.as_ref().unwrap_or(&policy.abbreviation);
            let description = patch.description.as_ref().unwrap_or(&policy.description);
            // What is kept is what was read at this revision.
            let (store, at) = (&self.inner.store, self.inner.at());
            let update = store.update_policy(&policy.id, abbreviation, description, at);
            match turn.ask(update).await {
                Ok(committed) => {
                    self.inner.describe(&turn, &committed.value);
                    self.inner.has_loaded(committed.revision);
                    self.inner.reached(&turn, committed.revision);
                    return Ok(committed.value);
                }
                Err(Error::Stale { .. }) => {}
                Err(Error::NotFound { .. }) => return Err(unknown(id_or_name)),
                Err(error) => return Err(failure(error)),
            }
        }
        Err(busy())
    }

    /// Changes a rule. If what it is to say is refused, it stays as it is and in force.
    pub async fn update_rule(&self, policy: &str, id: &str, patch: RulePatch) -> Answer<Rule> {
        let mut turn = self.inner.turns.of_writer().await?;
        for _ in 0..ATTEMPTS {
            self.inner.clone().catch_up(&mut turn).await.map_err(failure)?;
            if let Some(rule) = self.try_update(&mut turn, policy, id, &patch).await? {
                self.inner.follow();
                return Ok(rule);
            }
        }
        Err(busy())
    }

    /// One attempt; none if somebody else wrote meanwhile.
    async fn try_update(
        &self,
        turn: &mut Turn<'_>,
        policy: &str,
        id: &str,
        patch: &RulePatch,
    ) -> Answer<Option<Rule>> {
        let missing = || Failure::verbatim(Status::NotFound, "Not found");
        let Place::Policy(name) = self.place(policy)? else { return Err(missing()) };
        let old = match turn.ask(self.inner.store.rule(&name, id)).await {
            Ok(old) => old,
            Err(Error::NotFound { .. }) => return Err(missing()),
            Err(error) => return Err(failure(error)),
        };
        let new = patch.applied_to(&old);
        let batch = if new.rule == old.rule {
            Vec::new()
        } else {
            let loaded = self.inner.loaded().rules.get(id).cloned();
            self.replacement(loaded.as_ref(), &new.rule, &name)?
        };
        let update = self.inner.store.update_rule(&name, id, new, self.inner.at());
        let committed = match turn.ask(update).await {
            Ok(committed) => committed,
            Err(Error::Stale { .. }) => return Ok(None),
            Err(Error::NotFound { .. }) => return Err(missing()),
            Err(error) => return Err(failure(error)),
        };
        let rule = committed.value;
        if rule.rule != old.rule {
            self.apply(turn, std::slice::from_ref(&rule), batch, committed.revision);
        } else {
            // What the engine has of it, or why it was refused, stays.
            self.inner.has_loaded(committed.revision);
            self.inner.reached(turn, committed.revision);
        }
        Ok(Some(rule))
    }

    /// The checked batch that puts a rule in the place of another.
    fn replacement(&self, old: Option<&LoadedRule>, new: &str, policy: &str) -> Answer<Vec<Event>> {
        let insertion = parse_one(new, policy)?;
        // One that is refused is not in the engine.
        let deletion = match old.filter(|old| old.refused.is_none()) {
            Some(old) => events(&old.text, false, policy).unwrap_or_default(),
            None => Vec::new(),
        };
        // As they are printed: where they stand in their texts does not matter.
        let printed = |events: &[Event]| {
            events.iter().map(|event| event.statement.to_string()).collect::<Vec<_>>()
        };
        let same = printed(&deletion) == printed(&insertion);
        if same {
            // Laid out in another way.
            return Ok(Vec::new());
        }
        let is_there = matches!(self.check(&insertion), Ok(0));
        if is_there {
            return Err(Failure::bare(Named::RuleAlreadyExists));
        }
        let batch: Vec<Event> = deletion.into_iter().chain(insertion).collect();
        self.check(&batch)?;
        Ok(batch)
    }
}
