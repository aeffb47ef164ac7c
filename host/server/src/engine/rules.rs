//! Rules for the API.

use std::collections::HashSet;
use std::time::Duration;

use congress_policy::Event;
use congress_store::{At, Error, NewRule, Revision, Rule};
use serde::Serialize;

use super::handle::EngineHandle;
use super::loaded::{Loaded, LoadedRule};
use super::policies::{ATTEMPTS, busy};
use super::turn::Turn;
use crate::datasources::failure;
use crate::failure::{Answer, Failure, Named, Status};

/// How long a rule waits for the tables of a datasource that nobody runs at present.
const SCHEMA_WAIT: Duration = Duration::from_secs(5);

/// What a rule's status shows. Absent fields are left out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct RuleStatus {
    /// Its id.
    pub id: String,
    /// Its comment.
    pub comment: String,
    /// Its text as posted.
    pub original_str: String,
    /// Its name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Only for a rule that has no effect: why.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// What it says that its author perhaps did not mean.
    pub warnings: Vec<String>,
}

/// Where rules are looked for.
pub(super) enum Place {
    /// In a persisted policy of this name.
    Policy(String),
    /// In a datasource's policy, which has none.
    Datasource,
}

/// Why rules are not inserted.
struct Refused {
    failure: Failure,
    /// The rule that is at fault, if that is known.
    index: Option<usize>,
}

impl From<Failure> for Refused {
    fn from(failure: Failure) -> Self {
        Self { failure, index: None }
    }
}

impl EngineHandle {
    /// The rules of a policy, oldest first, as posted.
    pub async fn rules(&self, policy: &str) -> Answer<Vec<Rule>> {
        match self.place(policy)? {
            Place::Policy(name) => self.inner.store.rules(&name).await.map_err(failure),
            Place::Datasource => Ok(Vec::new()),
        }
    }

    /// A rule, as posted.
    pub async fn rule(&self, policy: &str, rule_id: &str) -> Answer<Rule> {
        let missing = || Failure::verbatim(Status::NotFound, "Not found");
        let Place::Policy(name) = self.place(policy)? else { return Err(missing()) };
        match self.inner.store.rule(&name, rule_id).await {
            Ok(rule) => Ok(rule),
            Err(Error::NotFound { .. }) => Err(missing()),
            Err(error) => Err(failure(error)),
        }
    }

    /// A rule, what of it was perhaps not meant and, if it has no effect, why.
    pub async fn rule_status(&self, policy: &str, rule_id: &str) -> Answer<RuleStatus> {
        let rule = self.rule(policy, rule_id).await?;
        let refused = {
            let loaded = self.inner.loaded();
            loaded.rules.get(&rule.id).and_then(|rule| rule.refused.clone())
        };
        let waits = || {
            let engine = self.inner.engine();
            let same = |event: &Event| {
                *event.source == *rule.rule && event.policy.as_deref() == Some(&*rule.policy_name)
            };
            engine.waiting().iter().find(|waiting| same(&waiting.event)).map(|waiting| {
                if waiting.errors.is_empty() {
                    "waits until the tables it names are known".to_owned()
                } else {
                    waiting.errors.iter().map(ToString::to_string).collect::<Vec<_>>().join(";")
                }
            })
        };
        let error = refused.or_else(waits);
        let warnings = self.warnings(&rule.rule);
        let Rule { id, rule: original_str, name, comment, .. } = rule;
        Ok(RuleStatus { id, comment, original_str, name, error, warnings })
    }

    /// What a rule says that its author perhaps did not mean, as things are now; each a sentence.
    pub fn warnings(&self, rule: &str) -> Vec<String> {
        let snapshot = self.snapshot();
        let events = Event::parse(rule, true, None).unwrap_or_default();
        let warnings = events.iter().flat_map(|event| snapshot.warnings(&event.statement));
        let told = warnings.map(|warning| match warning.suggestion {
            Some(suggestion) => format!("{}; {suggestion}", warning.message),
            None => warning.message,
        });
        told.collect()
    }

    /// Inserts a rule. One that reads tables which exist, but are not known here at present, waits
    /// for them within a bound: that they are refused would not be true for long.
    pub async fn insert_rule(&self, policy: &str, new: NewRule) -> Answer<Rule> {
        let inserted = self.insert_waiting(policy, std::slice::from_ref(&new)).await;
        let inserted = inserted.map_err(|Refused { failure, .. }| failure)?;
        inserted.into_iter().next().ok_or_else(|| Failure::internal("a rule was inserted as none"))
    }

    /// Inserts rules, all or none, as [`EngineHandle::insert_rule`] does one. They come back in the
    /// order given. Where it is known which one is at fault, the failure's data has its `index`.
    pub async fn insert_rules(&self, policy: &str, new: &[NewRule]) -> Answer<Vec<Rule>> {
        self.insert_waiting(policy, new).await.map_err(|Refused { failure, index }| match index {
            Some(index) => failure.with_data(serde_json::json!({ "index": index })),
            None => failure,
        })
    }

    async fn insert_waiting(&self, policy: &str, new: &[NewRule]) -> Result<Vec<Rule>, Refused> {
        let refusal = match self.insert_known(policy, new).await {
            Err(refusal) if refusal.failure.status == Status::BadRequest => refusal,
            outcome => return outcome,
        };
        let mut unknown: Vec<String> =
            new.iter().flat_map(|new| self.inner.followers.unknown_in(&new.rule)).collect();
        unknown.sort();
        unknown.dedup();
        if unknown.is_empty() {
            return Err(refusal);
        }
        let known = self.inner.followers.have_schemas(Some(&unknown));
        if tokio::time::timeout(SCHEMA_WAIT, known).await.is_err() {
            return Err(Failure::plain(
                Status::Unavailable,
                format_args!(
                    "the tables of datasource '{}' are not known at present, for nobody runs it; \
                     try again later",
                    unknown.join("', '")
                ),
            )
            .into());
        }
        self.insert_known(policy, new).await
    }

    async fn insert_known(&self, policy: &str, new: &[NewRule]) -> Result<Vec<Rule>, Refused> {
        let mut turn = self.inner.turns.of_writer().await?;
        // What is known is most often all: then the database is not asked for more. If it is not,
        // the write is refused by the database, and a refusal of our own is not yet believed.
        let mut caught_up = self.inner.loaded().revision.is_none();
        for _ in 0..ATTEMPTS {
            if caught_up {
                self.inner.clone().catch_up(&mut turn).await.map_err(failure)?;
            }
            match self.try_insert(&mut turn, policy, new).await {
                Ok(Some(rules)) => {
                    self.inner.follow();
                    return Ok(rules);
                }
                Err(refused) if caught_up || refused.failure.status.code() >= 500 => {
                    return Err(refused);
                }
                Ok(None) | Err(_) => caught_up = true,
            }
        }
        Err(busy().into())
    }

    /// One attempt; none if somebody else wrote meanwhile.
    async fn try_insert(
        &self,
        turn: &mut Turn<'_>,
        policy: &str,
        new: &[NewRule],
    ) -> Result<Option<Vec<Rule>>, Refused> {
        let Place::Policy(name) = self.place(policy)? else {
            return Err(Failure::bare(Named::RuleNotPermitted).into());
        };
        let (mut batch, mut seen) = (Vec::with_capacity(new.len()), HashSet::new());
        for (index, rule) in new.iter().enumerate() {
            let refused = |failure| Refused { failure, index: Some(index) };
            let events = parse_one(&rule.rule, &name).map_err(refused)?;
            // Twice in one request is once too often, as it is in two.
            if events.iter().any(|event| !seen.insert(event.statement.to_string())) {
                return Err(refused(Failure::bare(Named::RuleAlreadyExists)));
            }
            batch.extend(events);
        }
        if self.check(&batch)? < batch.len() {
            // Which one is there is looked for only now that it is needed.
            let failure = Failure::bare(Named::RuleAlreadyExists);
            return Err(Refused { failure, index: self.first_known(&batch) });
        }
        let insertion = self.inner.store.insert_rules(&name, new.to_vec(), self.inner.at());
        let committed = match turn.ask(insertion).await {
            Ok(committed) => committed,
            Err(Error::Stale { .. }) => return Ok(None),
            Err(error) => return Err(failure(error).into()),
        };
        self.apply(turn, &committed.value, batch, committed.revision);
        Ok(Some(committed.value))
    }

    /// Deletes a rule.
    pub async fn delete_rule(&self, policy: &str, rule_id: &str) -> Answer<Rule> {
        let missing = || Failure::verbatim(Status::NotFound, "Not found");
        let mut turn = self.inner.turns.of_writer().await?;
        self.inner.clone().catch_up(&mut turn).await.map_err(failure)?;
        let Place::Policy(name) = self.place(policy)? else { return Err(missing()) };
        let deletion = self.inner.store.delete_rule(&name, rule_id, At::Any);
        let committed = match turn.ask(deletion).await {
            Ok(committed) => committed,
            Err(Error::NotFound { .. }) => return Err(missing()),
            Err(error) => return Err(failure(error)),
        };
        // It is deleted: a database that goes away now is no failure of that.
        if let Err(error) = self.inner.clone().catch_up(&mut turn).await {
            tracing::warn!(%error, "a rule is deleted, and still in force here");
        }
        Ok(committed.value)
    }

    /// A rule's text as the API lays it out; unchanged if it does not parse.
    pub fn pretty(text: &str) -> String {
        congress_policy::print::pretty(text).unwrap_or_else(|_| text.to_owned())
    }

    /// The first of some events that changes nothing. Each part of a batch that is in order is.
    fn first_known(&self, batch: &[Event]) -> Option<usize> {
        let (mut new, mut end) = (0, batch.len());
        while end - new > 1 {
            let middle = new + (end - new) / 2;
            match self.check(&batch[..middle]) {
                Ok(changes) if changes == middle => new = middle,
                Ok(_) => end = middle,
                Err(_) => return None,
            }
        }
        Some(new)
    }

    /// Checks a batch; answers how many changes it would make.
    pub(super) fn check(&self, events: &[Event]) -> Answer<usize> {
        match tokio::task::block_in_place(|| self.inner.engine().check(events)) {
            Ok(changes) => Ok(changes.len()),
            Err(errors) => Err(Failure::named(Named::RuleSyntax, errors.joined())),
        }
    }

    /// Applies rules that were checked and committed in this revision.
    pub(super) fn apply(
        &self,
        turn: &Turn<'_>,
        stored: &[Rule],
        events: Vec<Event>,
        revision: Revision,
    ) {
        let refused = match self.inner.change(|engine| engine.update(events)) {
            Ok(_) => None,
            Err(errors) => {
                // Only a schema that came since the check can do this.
                tracing::error!("rules that were checked are refused: {}", errors.joined());
                Some(errors.joined())
            }
        };
        let entry = |rule: &Rule| LoadedRule {
            policy: rule.policy_name.clone(),
            text: rule.rule.clone(),
            refused: refused.clone(),
        };
        let entries = stored.iter().map(|rule| (rule.id.clone(), entry(rule)));
        self.inner.loading(turn).rules.extend(entries);
        self.inner.has_loaded(revision);
        self.inner.reached(turn, revision);
    }

    /// Where a policy's rules are looked for. Waits for no writer.
    pub(super) fn place(&self, policy: &str) -> Answer<Place> {
        self.inner.loaded().place(policy)
    }
}

impl Loaded {
    fn place(&self, id_or_name: &str) -> Answer<Place> {
        if let Some(policy) = self.policy(id_or_name) {
            return Ok(Place::Policy(policy.name.clone()));
        }
        match self.datasource(id_or_name) {
            Some(_) => Ok(Place::Datasource),
            None => {
                let text = format!("Policy ID {id_or_name} does not exist");
                Err(Failure::named(Named::PolicyNotExist, text))
            }
        }
    }
}

/// Parses a text that must be one rule.
pub(super) fn parse_one(text: &str, policy: &str) -> Answer<Vec<Event>> {
    let events = Event::parse(text, true, Some(policy))
        .map_err(|error| Failure::named(Named::RuleSyntax, error))?;
    match events.len() {
        0 => Err(Failure::named(Named::RuleSyntax, "Empty string passed. Not a valid rule")),
        1 => Ok(events),
        _ => {
            let all: Vec<_> = events.iter().map(|event| event.statement.to_string()).collect();
            let text = format!("Received multiple rules: {}", all.join("; "));
            Err(Failure::named(Named::MultipleRules, text))
        }
    }
}
