//! Following the database: policies, rules and datasources.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use congress_bus::Register;
use congress_policy::{Event, NewPolicy, PolicyKind, References};
use congress_store::{At, Error, Snapshot, Store};

use super::handle::{EngineHandle, Inner, Loaded, LoadedRule, events};
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
    /// Loads what has changed in the database since `loaded`.
    pub(super) async fn catch_up(self: Arc<Self>, loaded: &mut Loaded) -> Result<(), Error> {
        if loaded.revision == Some(self.store.revision().await?) {
            return Ok(());
        }
        let snapshot = self.store.snapshot().await?;
        let revision = snapshot.revision;
        // What rules ask for in between must not be taken for what they ask for.
        let hold = self.hold();
        self.drop_policies(loaded, &snapshot);
        self.drop_datasources(loaded, &snapshot);
        self.add_policies(loaded, &snapshot);
        let mut new = Vec::new();
        for row in &snapshot.datasources {
            if loaded.datasources.insert(row.id.clone(), row.name.clone()).is_none() {
                self.adopt_datasource(&row.name, row.enabled);
                new.push(row.name.clone());
            } else {
                self.enable_datasource(&row.name, row.enabled);
            }
        }
        // Schemas first, so that rules with column references need not wait for them. At start
        // datasources run only after this.
        if loaded.revision.is_some() && !new.is_empty() {
            let known = self.followers.have_schemas(Some(&new));
            // Whoever does not answer in time is known when it does.
            let _ = tokio::time::timeout(FIRST_SCHEMA, known).await;
        }
        self.change_rules(loaded, snapshot);
        self.has_loaded(loaded, revision);
        drop(hold);
        self.follow();
        self.reached(loaded, revision);
        Ok(())
    }

    fn drop_policies(&self, loaded: &mut Loaded, snapshot: &Snapshot) {
        let keep = |id: &str| snapshot.policies.iter().any(|policy| policy.id == id);
        let gone: Vec<_> = loaded.policies.keys().filter(|id| !keep(id)).cloned().collect();
        for id in gone {
            if let Some(policy) = loaded.policies.remove(&id) {
                self.forget_policy(loaded, &policy.name);
            }
        }
    }

    /// Removes a policy and its rules from the engine.
    pub(super) fn forget_policy(&self, loaded: &mut Loaded, name: &str) {
        if let Err(error) = self.change(|engine| engine.delete_policy(name, References::Dangle)) {
            tracing::error!(policy = %name, %error, "cannot remove a policy from the engine");
        }
        loaded.rules.retain(|_, rule| rule.policy != name);
    }

    fn drop_datasources(&self, loaded: &mut Loaded, snapshot: &Snapshot) {
        let keep = |id: &str| snapshot.datasources.iter().any(|row| row.id == id);
        let gone: Vec<_> = loaded.datasources.keys().filter(|id| !keep(id)).cloned().collect();
        for id in gone {
            if let Some(name) = loaded.datasources.remove(&id) {
                self.abandon_datasource(&name);
            }
        }
    }

    fn add_policies(&self, loaded: &mut Loaded, snapshot: &Snapshot) {
        for policy in &snapshot.policies {
            let known = loaded.policies.get(&policy.id);
            if known.is_some_and(|known| known != policy) {
                self.describe(loaded, policy);
            } else if known.is_none() {
                if let Err(error) = self.create_in_engine(policy) {
                    // Its rules are refused one by one, and say so in their status.
                    tracing::error!(policy = %policy.name, "cannot use a stored policy: {error}");
                }
                loaded.policies.insert(policy.id.clone(), policy.clone());
            }
        }
    }

    /// Takes in what a policy that is loaded says of itself now.
    pub(super) fn describe(&self, loaded: &mut Loaded, policy: &congress_store::Policy) {
        let describe = |engine: &mut congress_policy::Engine| {
            engine.describe_policy(&policy.name, &policy.abbreviation, &policy.description)
        };
        if let Err(error) = self.change(describe) {
            tracing::error!(policy = %policy.name, %error, "cannot change a policy in the engine");
        }
        loaded.policies.insert(policy.id.clone(), policy.clone());
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
    /// than before is both. If it is refused, rule by
    /// rule, so that one bad rule does not keep the others out.
    fn change_rules(&self, loaded: &mut Loaded, snapshot: Snapshot) {
        let stored: HashMap<_, _> =
            snapshot.rules.into_iter().map(|rule| (rule.id.clone(), rule)).collect();
        let is_gone = |id: &String, rule: &LoadedRule| {
            stored.get(id).is_none_or(|stored| stored.rule != rule.text)
        };
        let gone: Vec<_> = loaded
            .rules
            .iter()
            .filter(|(id, rule)| is_gone(id, rule))
            .map(|(id, _)| id.clone())
            .collect();
        let mut batch = Vec::new();
        for id in gone {
            if let Some(rule) = loaded.rules.remove(&id)
                && rule.refused.is_none()
            {
                batch.extend(events(&rule.text, false, &rule.policy).unwrap_or_default());
            }
        }
        let mut new = Vec::new();
        for (id, rule) in stored {
            if loaded.rules.contains_key(&id) {
                continue;
            }
            let (events, refused) = match events(&rule.rule, true, &rule.policy_name) {
                Ok(events) => (events, None),
                Err(error) => (Vec::new(), Some(error.to_string())),
            };
            new.push((id.clone(), events.clone()));
            batch.extend(events);
            let rule = LoadedRule { policy: rule.policy_name, text: rule.rule, refused };
            loaded.rules.insert(id, rule);
        }
        if batch.is_empty() {
            return;
        }
        let deletions: Vec<Event> = batch.iter().filter(|event| !event.insert).cloned().collect();
        if self.change(|engine| engine.update(batch)).is_ok() {
            return;
        }
        if let Err(errors) = self.change(|engine| engine.update(deletions)) {
            tracing::error!("cannot remove deleted rules from the engine: {}", errors.joined());
        }
        for (id, events) in new {
            let Err(errors) = self.change(|engine| engine.update(events)) else { continue };
            if let Some(rule) = loaded.rules.get_mut(&id) {
                tracing::error!(
                    policy = %rule.policy, rule = %rule.text,
                    "a stored rule is refused and has no effect: {}", errors.joined()
                );
                rule.refused = Some(errors.joined());
            }
        }
    }
}
