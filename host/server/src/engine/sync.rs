//! Following the database: policies, rules and datasources.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use congress_bus::Register;
use congress_policy::{Event, NewPolicy, PolicyKind, References};
use congress_store::{At, Error, Snapshot, Store};

use super::handle::{EngineHandle, Inner, events};
use super::loaded::LoadedRule;
use super::turn::Turn;
use crate::datasources::random;
use crate::health::Turns;

/// Policies that exist always.
pub(super) const DEFAULT_POLICIES: [(&str, &str, PolicyKind); 2] = [
    ("classification", "default policy", PolicyKind::Nonrecursive),
    ("action", "default action policy", PolicyKind::Action),
];

/// Whose policies are, as the API has always said.
pub(super) const OWNER: &str = "user";

/// Creates the policies that exist always. Another node may do so at the same time.
pub(super) async fn make_default_policies(store: &Store) -> Result<(), Error> {
    for (name, description, kind) in DEFAULT_POLICIES {
        match store.policy(name).await {
            Ok(_) => continue,
            Err(Error::NotFound { .. }) => {}
            Err(error) => return Err(error),
        }
        let policy = congress_store::NewPolicy {
            name: name.to_owned(),
            abbreviation: abbreviation(name),
            description: description.to_owned(),
            owner: OWNER.to_owned(),
            kind: kind.to_string(),
        };
        match store.create_policy(policy, Vec::new(), At::Any).await {
            Ok(_) | Err(Error::Conflict { .. }) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// How long the first attempt to learn schemas may hold up whoever waits for it.
const FIRST_SCHEMA: Duration = Duration::from_secs(1);

/// The first five characters of a name.
pub(super) fn abbreviation(name: &str) -> String {
    name.chars().take(5).collect()
}

/// How soon a database that could not be read is tried again.
const RETRY: Duration = Duration::from_secs(1);

/// Compares with the database whenever a change is announced, and again and again in case an
/// announcement was lost, until told to stop.
pub(super) async fn keep_up(handle: EngineHandle, period: Duration, mut turns: Turns) {
    let mut announced = handle.inner.bus.register(Register::Revision);
    let comparing = async {
        loop {
            let news = *announced.borrow_and_update() > handle.revision();
            let pause = if news && !handle.catch_up().await { RETRY } else { jittered(period) };
            tokio::select! {
                Ok(()) = announced.changed() => {}
                () = tokio::time::sleep(pause) => {
                    handle.catch_up().await;
                }
            }
        }
    };
    tokio::pin!(comparing);
    loop {
        tokio::select! {
            () = handle.inner.stop.cancelled() => return,
            () = &mut comparing => {}
            // A database that does not answer is no loop that stands still.
            () = turns.idle() => {}
        }
    }
}

/// Something around a period, so that nodes that started together do not ask together.
fn jittered(period: Duration) -> Duration {
    period.mul_f64(0.75 + random() / 2.0)
}

impl Inner {
    /// Loads what has changed in the database since what is loaded.
    pub(super) async fn catch_up(self: Arc<Self>, turn: &mut Turn<'_>) -> Result<(), Error> {
        let before = self.loaded().revision;
        if before == Some(turn.ask(self.store.revision()).await?) {
            return Ok(());
        }
        let snapshot = turn.ask(self.store.snapshot()).await?;
        let revision = snapshot.revision;
        // What rules ask for in between must not be taken for what they ask for.
        let hold = self.hold();
        self.drop_policies(turn, &snapshot);
        self.drop_datasources(turn, &snapshot);
        self.add_policies(turn, &snapshot);
        let new = self.add_datasources(turn, &snapshot);
        // Schemas first, so that rules with column references need not wait for them. At start
        // datasources run only after this.
        if before.is_some() && !new.is_empty() {
            let known = self.followers.have_schemas(Some(&new));
            // Whoever does not answer in time is known when it does.
            let _ = tokio::time::timeout(FIRST_SCHEMA, known).await;
        }
        self.change_rules(turn, snapshot);
        self.has_loaded(revision);
        drop(hold);
        self.follow();
        self.reached(turn, revision);
        Ok(())
    }

    fn drop_policies(&self, turn: &Turn<'_>, snapshot: &Snapshot) {
        let kept: HashSet<&String> = snapshot.policies.iter().map(|policy| &policy.id).collect();
        let gone: Vec<_> =
            self.loading(turn).policies.extract_if(|id, _| !kept.contains(id)).collect();
        for (_, policy) in gone {
            self.forget_policy(turn, &policy.name);
        }
    }

    /// Removes a policy and its rules from the engine.
    pub(super) fn forget_policy(&self, turn: &Turn<'_>, name: &str) {
        if let Err(error) = self.change(|engine| engine.delete_policy(name, References::Dangle)) {
            tracing::error!(policy = %name, %error, "cannot remove a policy from the engine");
        }
        self.loading(turn).rules.retain(|_, rule| rule.policy != name);
    }

    fn drop_datasources(&self, turn: &Turn<'_>, snapshot: &Snapshot) {
        let kept: HashSet<&String> = snapshot.datasources.iter().map(|row| &row.id).collect();
        let gone: Vec<_> =
            self.loading(turn).datasources.extract_if(|id, _| !kept.contains(id)).collect();
        for (_, name) in gone {
            self.abandon_datasource(&name);
        }
    }

    fn add_policies(&self, turn: &Turn<'_>, snapshot: &Snapshot) {
        for policy in &snapshot.policies {
            let known = self.loaded().policies.get(&policy.id).map(|known| known == policy);
            match known {
                Some(true) => {}
                Some(false) => self.describe(turn, policy),
                None => {
                    if let Err(error) = self.create_in_engine(policy) {
                        // Its rules are refused one by one, and say so in their status.
                        tracing::error!(
                            policy = %policy.name, "cannot use a stored policy: {error}"
                        );
                    }
                    self.loading(turn).policies.insert(policy.id.clone(), policy.clone());
                }
            }
        }
    }

    /// Follows the datasources that there are; the names of those that are new.
    fn add_datasources(self: &Arc<Self>, turn: &Turn<'_>, snapshot: &Snapshot) -> Vec<String> {
        let mut new = Vec::new();
        for row in &snapshot.datasources {
            let known = self.loading(turn).datasources.insert(row.id.clone(), row.name.clone());
            if known.is_none() {
                self.adopt_datasource(&row.name, row.enabled);
                new.push(row.name.clone());
            } else {
                self.enable_datasource(&row.name, row.enabled);
            }
        }
        new
    }

    /// Takes in what a policy that is loaded says of itself now.
    pub(super) fn describe(&self, turn: &Turn<'_>, policy: &congress_store::Policy) {
        let describe = |engine: &mut congress_policy::Engine| {
            engine.describe_policy(&policy.name, &policy.abbreviation, &policy.description)
        };
        if let Err(error) = self.change(describe) {
            tracing::error!(policy = %policy.name, %error, "cannot change a policy in the engine");
        }
        self.loading(turn).policies.insert(policy.id.clone(), policy.clone());
    }

    /// Creates a stored policy in the engine.
    pub(super) fn create_in_engine(
        &self,
        policy: &congress_store::Policy,
    ) -> Result<(), congress_policy::Error> {
        let new = NewPolicy {
            name: policy.name.clone(),
            id: policy.id.clone(),
            kind: policy.kind.parse()?,
            abbreviation: Some(policy.abbreviation.clone()),
            description: policy.description.clone(),
        };
        self.change(|engine| engine.create_policy(new)).map(drop)
    }

    /// Deletes rules that are gone and inserts new ones, as one batch; one that says something else
    /// than before is both. If it is refused, rule by rule, so that one bad rule does not keep the others out.
    fn change_rules(&self, turn: &Turn<'_>, snapshot: Snapshot) {
        let mut stored: HashMap<_, _> =
            snapshot.rules.into_iter().map(|rule| (rule.id.clone(), rule)).collect();
        let gone: Vec<LoadedRule> = {
            let mut loaded = self.loading(turn);
            let is_gone = |id: &String, rule: &mut LoadedRule| {
                stored.get(id).is_none_or(|stored| stored.rule != rule.text)
            };
            let gone = loaded.rules.extract_if(is_gone).map(|(_, rule)| rule).collect();
            stored.retain(|id, _| !loaded.rules.contains_key(id));
            gone
        };
        let in_force = gone.iter().filter(|rule| rule.refused.is_none());
        let deletions: Vec<Event> = in_force
            .flat_map(|rule| events(&rule.text, false, &rule.policy).unwrap_or_default())
            .collect();
        let (mut new, mut entries) = (Vec::new(), HashMap::new());
        for (id, rule) in stored {
            let (events, refused) = match events(&rule.rule, true, &rule.policy_name) {
                Ok(events) => (events, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            new.push((id.clone(), events));
            let rule = LoadedRule { policy: rule.policy_name, text: rule.rule, refused };
            entries.insert(id, rule);
        }
        for (id, refusal) in self.exchange(deletions, new) {
            if let Some(rule) = entries.get_mut(&id) {
                tracing::error!(
                    policy = %rule.policy, rule = %rule.text,
                    "a stored rule is refused and has no effect: {refusal}"
                );
                rule.refused = Some(refusal);
            }
        }
        self.loading(turn).rules.extend(entries);
    }

    /// Deletes rules from the engine and inserts others, each with its id. Which of them it refuses,
    /// and why.
    fn exchange(
        &self,
        deletions: Vec<Event>,
        new: Vec<(String, Vec<Event>)>,
    ) -> Vec<(String, String)> {
        let insertions = new.iter().flat_map(|(_, events)| events);
        let batch: Vec<Event> = deletions.iter().chain(insertions).cloned().collect();
        if batch.is_empty() || self.change(|engine| engine.update(batch)).is_ok() {
            return Vec::new();
        }
        if let Err(errors) = self.change(|engine| engine.update(deletions)) {
            tracing::error!("cannot remove deleted rules from the engine: {}", errors.joined());
        }
        let refusal = |(id, events): (String, Vec<Event>)| {
            let refused = self.change(|engine| engine.update(events)).err()?;
            Some((id, refused.joined()))
        };
        new.into_iter().filter_map(refusal).collect()
    }
}
