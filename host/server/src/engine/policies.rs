//! Policies for the API.

use std::collections::HashSet;

use congress_policy::PolicyKind;
use congress_policy::names::is_referable_policy_name;
use congress_store::{At, Error, NewRule, Policy, Rule};
use serde::Serialize;

use super::handle::EngineHandle;
use super::sync::{DEFAULT_POLICIES, OWNER, abbreviation};
use super::turn::Turn;
use crate::datasources::failure;
use crate::failure::{Answer, Failure, Status};

/// How often a write is tried again when others write at the same time.
pub(super) const ATTEMPTS: usize = 10;

/// A policy to be created, as posted.
#[derive(Clone, Debug, Default)]
pub struct PolicyRequest {
    /// Its name.
    pub name: String,
    /// By default the first five characters of the name.
    pub abbreviation: Option<String>,
    /// By default empty.
    pub description: Option<String>,
    /// By default `nonrecursive`.
    pub kind: Option<String>,
    /// Rules to create it with: all of them, or nothing.
    pub rules: Option<Vec<NewRule>>,
}

/// What a policy's status shows.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PolicyStatus {
    /// Its name.
    pub name: String,
    /// Its id; datasources' policies have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
}

impl EngineHandle {
    /// All persisted policies, oldest first.
    pub async fn policies(&self) -> Answer<Vec<Policy>> {
        self.inner.store.policies().await.map_err(failure)
    }

    /// A persisted policy.
    pub async fn policy(&self, id_or_name: &str) -> Answer<Policy> {
        self.inner.store.policy(id_or_name).await.map_err(|error| match error {
            Error::NotFound { .. } => unknown(id_or_name),
            other => failure(other),
        })
    }

    /// Whether a persisted policy has this name.
    pub async fn is_policy(&self, name: &str) -> Answer<bool> {
        match self.inner.store.policy(name).await {
            Ok(policy) => Ok(policy.name == name),
            Err(Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(failure(error)),
        }
    }

    /// A policy's status, those of datasources included.
    pub async fn policy_status(&self, id_or_name: &str) -> Answer<PolicyStatus> {
        let loaded = self.inner.loaded();
        if let Some(policy) = loaded.policy(id_or_name) {
            return Ok(PolicyStatus { name: policy.name.clone(), id: Some(policy.id.clone()) });
        }
        match loaded.datasource(id_or_name) {
            Some(name) => Ok(PolicyStatus { name: name.to_owned(), id: None }),
            None => Err(unknown(id_or_name)),
        }
    }

    /// Creates a policy, with rules if there are any: all or nothing.
    pub async fn create_policy(
        &self,
        request: PolicyRequest,
    ) -> Answer<(Policy, Option<Vec<Rule>>)> {
        let PolicyRequest { name, abbreviation: short, description, kind, rules } = request;
        let bad = |text: String| Failure::plain(Status::BadRequest, text);
        if !is_referable_policy_name(&name) {
            return Err(bad(format!("Policy name {name} is not a valid tablename")));
        }
        let kind: PolicyKind = match &kind {
            Some(kind) => {
                kind.parse().map_err(|error: congress_policy::Error| bad(error.to_string()))?
            }
            None => PolicyKind::default(),
        };
        let new = congress_store::NewPolicy {
            abbreviation: short.unwrap_or_else(|| abbreviation(&name)),
            description: description.unwrap_or_default(),
            owner: OWNER.to_owned(),
            kind: kind.to_string(),
            name,
        };
        let mut turn = self.inner.turns.of_writer().await?;
        for _ in 0..ATTEMPTS {
            self.inner.clone().catch_up(&mut turn).await.map_err(failure)?;
            if let Some(created) = self.try_create(&mut turn, &new, rules.as_deref()).await? {
                self.inner.follow();
                return Ok(created);
            }
        }
        Err(busy())
    }

    /// One attempt; none if somebody else wrote meanwhile.
    async fn try_create(
        &self,
        turn: &mut Turn<'_>,
        new: &congress_store::NewPolicy,
        rules: Option<&[NewRule]>,
    ) -> Answer<Option<(Policy, Option<Vec<Rule>>)>> {
        let name = &new.name;
        if self.is_taken(name) {
            return Err(taken(name));
        }
        // The checks need the policy; nothing refers to it before it is committed.
        let trial = Policy {
            id: String::new(),
            name: name.clone(),
            abbreviation: new.abbreviation.clone(),
            description: new.description.clone(),
            owner: new.owner.clone(),
            kind: new.kind.clone(),
        };
        let _hold = self.inner.hold();
        self.inner
            .create_in_engine(&trial)
            .map_err(|error| Failure::plain(Status::BadRequest, error))?;
        let outcome = self.commit_policy(turn, new, rules).await;
        if !matches!(outcome, Ok(Some(_))) {
            self.inner.forget_policy(turn, name);
        }
        outcome
    }

    async fn commit_policy(
        &self,
        turn: &mut Turn<'_>,
        new: &congress_store::NewPolicy,
        rules: Option<&[NewRule]>,
    ) -> Answer<Option<(Policy, Option<Vec<Rule>>)>> {
        let (mut batch, mut rows, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
        for rule in rules.unwrap_or_default() {
            let events = super::rules::parse_one(&rule.rule, &new.name)?;
            // A rule that is there twice is stored once.
            if events.iter().any(|event| seen.insert(event.statement.to_string())) {
                batch.extend(events);
                rows.push(rule.clone());
            }
        }
        self.check(&batch)?;
        let creation = self.inner.store.create_policy(new.clone(), rows, self.inner.at());
        let committed = match turn.ask(creation).await {
            Ok(committed) => committed,
            Err(Error::Stale { .. }) => return Ok(None),
            Err(Error::Conflict { .. }) => return Err(taken(&new.name)),
            Err(error) => return Err(failure(error)),
        };
        let (policy, stored) = committed.value;
        self.inner.loading(turn).policies.insert(policy.id.clone(), policy.clone());
        self.rename_trial(&policy);
        self.apply(turn, &stored, batch, committed.revision);
        Ok(Some((policy, rules.is_some().then_some(stored))))
    }

    /// Whether a datasource or a persisted policy that is loaded has this name.
    fn is_taken(&self, name: &str) -> bool {
        let loaded = self.inner.loaded();
        loaded.datasource(name).is_some()
            || loaded.policy(name).is_some_and(|policy| policy.name == name)
    }

    /// Gives the engine's policy, made for the checks, its id.
    fn rename_trial(&self, policy: &Policy) {
        let again = self
            .inner
            .change(|engine| {
                engine.delete_policy(&policy.name, congress_policy::References::Dangle)
            })
            .and_then(|_| self.inner.create_in_engine(policy));
        if let Err(error) = again {
            tracing::error!(policy = %policy.name, %error, "cannot enter a policy into the engine");
        }
    }

    /// Deletes a policy and its rules.
    pub async fn delete_policy(&self, id_or_name: &str) -> Answer<Policy> {
        let mut turn = self.inner.turns.of_writer().await?;
        self.inner.clone().catch_up(&mut turn).await.map_err(failure)?;
        let unknown = || {
            let text = format!("Policy Name or ID '{id_or_name}' does not exist");
            Failure::verbatim(Status::NotFound, text)
        };
        let policy = self.inner.loaded().policy(id_or_name).cloned().ok_or_else(unknown)?;
        if DEFAULT_POLICIES.iter().any(|(name, ..)| *name == policy.name) {
            let text = format!("Cannot delete system-maintained policy {}", policy.name);
            return Err(Failure::verbatim(Status::NotFound, text));
        }
        let deletion = self.inner.store.delete_policy(&policy.id, At::Any);
        let committed = match turn.ask(deletion).await {
            Ok(committed) => committed,
            Err(Error::NotFound { .. }) => return Err(unknown()),
            Err(error) => return Err(failure(error)),
        };
        // It is deleted: a database that goes away now is no failure of that.
        if let Err(error) = self.inner.clone().catch_up(&mut turn).await {
            tracing::warn!(%error, "a policy is deleted, and still in force here");
        }
        Ok(committed.value)
    }
}

pub(super) fn unknown(id_or_name: &str) -> Failure {
    let text = format!("No policy found with name or id {id_or_name}");
    Failure::plain(Status::NotFound, text)
}

fn taken(name: &str) -> Failure {
    Failure::verbatim(Status::Conflict, format!("Policy with name {name} already exists"))
}

/// Others were always faster.
pub(super) fn busy() -> Failure {
    Failure::plain(Status::Unavailable, "policies are being changed by others; try again")
}
