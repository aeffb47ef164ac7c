//! Following datasources: their schemas, and the tables that rules read.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use congress_bus::{Position, Schema, Snapshot, TableName, Update};
use congress_policy::{Engine, Errors};
use congress_table::TableSchema;
use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

use super::handle::Inner;

/// The name under which an engine subscribes.
const SUBSCRIBER: &str = "__engine";

/// The datasources, each followed by a task of its own.
#[derive(Default)]
pub(super) struct Followers {
    followed: Mutex<HashMap<String, Followed>>,
    /// Signals that a schema has become known, or is waited for no longer.
    news: watch::Sender<()>,
}

/// A datasource that is followed. Dropping it ends its task.
struct Followed {
    /// The tables whose rows are wanted. Without any its schema alone is followed.
    tables: watch::Sender<BTreeSet<TableName>>,
    /// None until it is known.
    schema: Option<Schema>,
    /// The engine has refused the schema, and so takes no rows.
    refused: bool,
    /// It is to run: its schema will come.
    enabled: bool,
    /// Where its stream stands here.
    position: Option<Position>,
    /// Wanted tables that its publisher had not read when the last snapshot was taken. The engine
    /// may have rows of them, of an earlier publisher: they are kept until the table is first
    /// published, and replaced then.
    unread: BTreeSet<TableName>,
    /// The tables that were subscribed to when the last snapshot was taken; none before the first.
    subscribed: Option<BTreeSet<TableName>>,
    /// Since when nobody publishes it, so that its rows may be old.
    stale_since: Option<Instant>,
}

/// How a datasource is followed, for people.
#[derive(Clone, Debug, Serialize)]
pub struct Subscribed {
    /// The datasource.
    datasource: String,
    /// `waiting` for its first publisher, `current`, `stale` (nobody publishes it; the last rows
    /// are kept), `refused` (its tables do not fit), or `disabled`.
    state: &'static str,
    /// The tables whose rows are followed.
    tables: Vec<TableName>,
    /// The publisher's epoch and how many changes it has made, as far as they have come.
    epoch: Option<u64>,
    sequence: Option<u64>,
    /// For how many seconds nobody has published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    stale_seconds: Option<u64>,
}

impl Followed {
    fn state(&self) -> &'static str {
        match self {
            Self { enabled: false, .. } => "disabled",
            Self { refused: true, .. } => "refused",
            Self { stale_since: Some(_), .. } => "stale",
            Self { schema: None, .. } => "waiting",
            _ => "current",
        }
    }

    /// Its publisher is heard, and this is how far.
    fn is_at(&mut self, position: Position) {
        self.position = Some(position);
        self.stale_since = None;
    }

    /// Its publisher is there and has rows that rules here read, and they are yet to come.
    fn is_being_loaded(&self) -> bool {
        let wanted = self.tables.borrow();
        let has = |tables: &BTreeSet<TableName>| wanted.is_subset(tables);
        self.state() == "current" && !self.subscribed.as_ref().is_some_and(has)
    }
}

impl Followers {
    /// Returns once the schemas of these datasources are known (None: of all), as far as they are
    /// to run.
    pub(super) async fn have_schemas(&self, names: Option<&[String]>) {
        let is_waited_for = |name: &String, followed: &Followed| {
            followed.enabled
                && followed.schema.is_none()
                && names.is_none_or(|names| names.contains(name))
        };
        let mut news = self.news.subscribe();
        let known = news.wait_for(|()| {
            let followed = self.lock();
            !followed.iter().any(|(name, followed)| is_waited_for(name, followed))
        });
        // The sender lives as long as this.
        let _ = known.await;
    }

    /// Returns once the engine has the rows that rules read, of all datasources whose publishers
    /// are known to be there.
    pub(super) async fn have_rows(&self) {
        let mut news = self.news.subscribe();
        let loaded = news.wait_for(|()| !self.lock().values().any(Followed::is_being_loaded));
        // The sender lives as long as this.
        let _ = loaded.await;
    }

    /// The datasources that a rule's text names and whose schema is yet to come.
    pub(super) fn unknown_in(&self, rule: &str) -> Vec<String> {
        let is_named = |name: &str| rule.contains(&format!("{name}:"));
        let followed = self.lock();
        let unknown = followed.iter().filter(|(name, followed)| {
            followed.enabled && followed.schema.is_none() && is_named(name)
        });
        unknown.map(|(name, _)| name.clone()).collect()
    }

    /// The engine has taken the rows of a snapshot of these tables.
    fn loaded(&self, name: &str, tables: &BTreeSet<TableName>) {
        if let Some(followed) = self.lock().get_mut(name) {
            followed.subscribed = Some(tables.clone());
        }
        self.news.send_replace(());
    }

    /// How each datasource is followed, by name.
    pub(super) fn describe(&self) -> Vec<Subscribed> {
        let mut described: Vec<_> = self
            .lock()
            .iter()
            .map(|(name, followed)| Subscribed {
                datasource: name.clone(),
                state: followed.state(),
                tables: followed.tables.borrow().iter().cloned().collect(),
                epoch: followed.position.map(|position| position.epoch.0),
                sequence: followed.position.map(|position| position.sequence),
                stale_seconds: followed.stale_since.map(|since| since.elapsed().as_secs()),
            })
            .collect();
        described.sort_by(|a, b| a.datasource.cmp(&b.datasource));
        described
    }

    /// Whether nobody publishes a datasource at present, so that its rows here may be old.
    pub(super) fn is_stale(&self, name: &str) -> bool {
        self.lock().get(name).is_some_and(|followed| followed.state() != "current")
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, Followed>> {
        self.followed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Begins to follow a datasource: its schema, and the tables that rules read.
    pub(super) fn adopt_datasource(self: &Arc<Self>, name: &str, enabled: bool) {
        let (tables, receiver) = watch::channel(BTreeSet::new());
        let followed = Followed {
            tables,
            schema: None,
            refused: false,
            enabled,
            position: None,
            unread: BTreeSet::new(),
            subscribed: None,
            stale_since: None,
        };
        self.followers.lock().insert(name.to_owned(), followed);
        tokio::spawn(self.clone().follow_one(name.to_owned(), receiver));
    }

    /// Notes whether a datasource that is followed is to run.
    pub(super) fn enable_datasource(&self, name: &str, enabled: bool) {
        if let Some(followed) = self.followers.lock().get_mut(name) {
            followed.enabled = enabled;
        }
        self.followers.news.send_replace(());
    }

    /// Takes the tables that a snapshot has, and its schema if it is not the one that the engine
    /// has. A changed schema comes together with its rows: nobody sees one without the other.
    fn take_snapshot(self: &Arc<Self>, name: &str, snapshot: &Snapshot) -> Result<(), Errors> {
        let known = match self.followers.lock().get(name) {
            // It has been deleted meanwhile.
            None => return Ok(()),
            Some(followed) if followed.schema.as_ref() == Some(&snapshot.schema) => {
                if followed.refused {
                    return Ok(());
                }
                None
            }
            Some(followed) => Some(followed.schema.is_some() && !followed.refused),
        };
        let tables = || snapshot.tables.iter().map(|(table, _)| table.clone());
        let Some(known) = known else {
            let outcome = self.change_noting(
                false,
                |engine| engine.initialize_tables(name, &snapshot.tables),
                |outcome, sources| match outcome {
                    Ok(_) => sources.snapshot(name, snapshot.position, tables()),
                    Err(_) => sources.forget(name),
                },
            );
            return outcome.map(drop);
        };
        let schema: Vec<TableSchema> =
            snapshot.schema.iter().map(|table| (**table).clone()).collect();
        let declare = |engine: &mut Engine| {
            if !known {
                engine.initialize_datasource(name, &schema)?;
            }
            engine.redeclare_tables(name, &schema, &snapshot.tables)?;
            warn_of_rules_out_of_force(engine, name);
            Ok(())
        };
        let taken = self.change_noting(true, declare, |taken: &Result<(), Errors>, sources| {
            // Tables that have other columns now have lost their rows.
            sources.forget(name);
            if taken.is_ok() {
                sources.snapshot(name, snapshot.position, tables());
            }
        });
        if let Some(followed) = self.followers.lock().get_mut(name) {
            followed.schema = Some(snapshot.schema.clone());
            followed.refused = taken.is_err();
        }
        self.followers.news.send_replace(());
        self.follow();
        taken
    }

    /// Forgets a datasource and its rows.
    pub(super) fn abandon_datasource(&self, name: &str) {
        let followed = self.followers.lock().remove(name);
        self.followers.news.send_replace(());
        let is_known = followed.is_some_and(|followed| followed.schema.is_some());
        if !is_known {
            return;
        }
        let remove = |engine: &mut Engine| engine.remove_datasource(name);
        let outcome = self.change_noting(true, remove, |_, sources| sources.forget(name));
        if let Err(error) = outcome {
            tracing::error!(datasource = %name, %error, "cannot remove a datasource's policy");
        }
    }

    /// Subscribes to just the tables that rules read, of datasources whose schema is known.
    pub(super) fn follow(&self) {
        let mut needed: BTreeMap<String, BTreeSet<TableName>> = BTreeMap::new();
        for subscription in self.engine().subscriptions() {
            needed.entry(subscription.service.to_string()).or_default().insert(subscription.table);
        }
        for (name, followed) in self.followers.lock().iter() {
            let usable = followed.schema.is_some() && !followed.refused;
            let tables = needed.remove(name).filter(|_| usable).unwrap_or_default();
            followed.tables.send_if_modified(|current| {
                let changed = *current != tables;
                *current = tables;
                changed
            });
        }
    }

    /// Applies what one datasource publishes, until it is forgotten.
    async fn follow_one(
        self: Arc<Self>,
        name: String,
        mut tables: watch::Receiver<BTreeSet<TableName>>,
    ) {
        let wanted = tables.borrow_and_update().clone();
        let mut subscription = self.bus.subscribe(SUBSCRIBER, &name, wanted.clone());
        let mut subscribed = wanted;
        loop {
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return,
                changed = tables.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    subscribed = tables.borrow_and_update().clone();
                    subscription.set_tables(subscribed.clone());
                }
                update = subscription.next() => {
                    let Some(update) = update else { return };
                    // One that was on its way when other tables were asked for has been dropped.
                    let is_snapshot = matches!(update, Update::Snapshot(_));
                    self.apply(&name, update);
                    if is_snapshot {
                        self.followers.loaded(&name, &subscribed);
                    }
                }
            }
        }
    }

    fn apply(self: &Arc<Self>, name: &str, update: Update) {
        let mut whole = BTreeSet::new();
        if let Some(followed) = self.followers.lock().get_mut(name) {
            match &update {
                Update::Snapshot(Snapshot { position, tables, .. }) => {
                    followed.is_at(*position);
                    followed.unread = followed.tables.borrow().clone();
                    followed
                        .unread
                        .retain(|wanted| tables.iter().all(|(table, _)| table != wanted));
                }
                Update::Change(position, change) => {
                    followed.is_at(*position);
                    let named = change.tables.iter().map(|(table, _)| table);
                    whole = named.filter_map(|table| followed.unread.take(table)).collect();
                }
                Update::Gone => {
                    followed.stale_since.get_or_insert_with(Instant::now);
                }
            }
        }
        let outcome = match update {
            // Its publisher has declared nothing yet.
            Update::Snapshot(snapshot) if snapshot.position.sequence == 0 => return,
            Update::Snapshot(snapshot) => self.take_snapshot(name, &snapshot),
            Update::Change(position, change) => {
                let tables = || change.tables.iter().map(|(table, _)| table.clone());
                let outcome = self.change_noting(
                    false,
                    |engine| engine.apply_change_replacing(name, &change, &whole),
                    |outcome, sources| match outcome {
                        Ok(_) => sources.change(name, position, tables()),
                        Err(_) => sources.forget(name),
                    },
                );
                outcome.map(drop)
            }
            Update::Gone => {
                tracing::info!(datasource = %name, "its publisher is gone; keeping the last rows");
                self.followers.news.send_replace(());
                return;
            }
        };
        if let Err(errors) = outcome {
            tracing::error!(datasource = %name, "the engine refuses its rows: {}", errors.joined());
        } else {
            // Measurements go by the time of this line, and of the poll's in the datasource node.
            tracing::debug!(datasource = %name, "rows are in the engine");
        }
    }
}

/// Says which rules have no effect because a datasource's tables are not, or no longer, what they
/// were written for. Their status says it too.
fn warn_of_rules_out_of_force(engine: &Engine, datasource: &str) {
    for waiting in engine.waiting().iter().filter(|waiting| waiting.mentions(datasource)) {
        let reasons: Vec<_> = waiting.errors.iter().map(|error| error.message()).collect();
        let reason = match reasons[..] {
            [] => "it has no such table".to_owned(),
            _ => reasons.join("; "),
        };
        tracing::warn!(
            %datasource,
            policy = waiting.event.policy.as_deref().unwrap_or_default(),
            rule = %waiting.event.statement,
            "the rule is not in force until the datasource's tables fit it: {reason}"
        );
    }
}
