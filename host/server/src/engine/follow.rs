//! Following datasources: their schemas, and the tables that rules read.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use congress_bus::{TableName, Update};
use congress_table::TableSchema;
use tokio::sync::watch;

use super::handle::Inner;
use crate::datasources::{DatasourceCall, ask};
use crate::failure::{Answer, Failure, Status};

/// The name under which an engine subscribes.
const SUBSCRIBER: &str = "__engine";

/// How long the first attempt to learn a schema may hold up whoever waits for it.
const FIRST_SCHEMA: Duration = Duration::from_secs(1);

/// After how long a datasource that does not answer is asked for its schema again: soon, for it
/// may just be starting, then ever more rarely.
const SCHEMA_RETRY: [Duration; 2] = [Duration::from_millis(20), Duration::from_secs(2)];

/// The datasources with a schema, and the subscriptions to them.
#[derive(Default)]
pub(super) struct Followers {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Datasources whose schema the engine has.
    ready: HashSet<String>,
    /// Datasources whose schema is being asked for.
    pending: HashSet<String>,
    /// The tables subscribed to. Dropping an entry ends its task.
    subscribed: HashMap<String, watch::Sender<BTreeSet<TableName>>>,
}

impl Followers {
    /// Whether a datasource's schema is still being asked for.
    pub(super) fn is_waiting(&self) -> bool {
        !self.lock().pending.is_empty()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Makes a datasource known to the engine: at once if it answers, else as soon as it does.
    pub(super) async fn adopt_datasource(self: Arc<Self>, name: &str) {
        self.followers.lock().pending.insert(name.to_owned());
        if let Ok(tables) = self.schema(name, FIRST_SCHEMA).await {
            self.set_schema(name, &tables);
            return;
        }
        let (inner, name) = (self, name.to_owned());
        tokio::spawn(async move {
            let [mut pause, longest] = SCHEMA_RETRY;
            loop {
                tokio::select! {
                    () = inner.stop.cancelled() => return,
                    () = tokio::time::sleep(pause) => {}
                }
                pause = (pause * 2).min(longest);
                if !inner.followers.lock().pending.contains(&name) {
                    return;
                }
                if let Ok(tables) = inner.schema(&name, FIRST_SCHEMA).await {
                    inner.set_schema(&name, &tables);
                    inner.follow();
                    return;
                }
            }
        });
    }

    async fn schema(&self, name: &str, deadline: Duration) -> Answer<Vec<TableSchema>> {
        let absent = |error: &congress_bus::CallError| Failure::plain(Status::Unavailable, error);
        ask(self.bus.as_ref(), name, &DatasourceCall::Schema, deadline, absent).await
    }

    fn set_schema(&self, name: &str, tables: &[TableSchema]) {
        // It may have been deleted while it was asked.
        if !self.followers.lock().pending.remove(name) {
            return;
        }
        match self.change(|engine| engine.initialize_datasource(name, tables)) {
            Ok(_) => {
                self.followers.lock().ready.insert(name.to_owned());
            }
            Err(error) => {
                tracing::error!(datasource = %name, "the engine cannot use its schema: {error}");
            }
        }
    }

    /// Forgets a datasource and its rows.
    pub(super) fn abandon_datasource(&self, name: &str) {
        let was_ready = {
            let mut state = self.followers.lock();
            state.pending.remove(name);
            state.subscribed.remove(name);
            state.ready.remove(name)
        };
        if was_ready && let Err(error) = self.change(|engine| engine.remove_datasource(name)) {
            tracing::error!(datasource = %name, %error, "cannot remove a datasource's policy");
        }
    }

    /// Subscribes to just the tables that rules read, of datasources whose schema is known.
    pub(super) fn follow(self: &Arc<Self>) {
        let mut needed: BTreeMap<String, BTreeSet<TableName>> = BTreeMap::new();
        for subscription in self.engine().subscriptions() {
            needed.entry(subscription.service.to_string()).or_default().insert(subscription.table);
        }
        let mut state = self.followers.lock();
        needed.retain(|name, _| state.ready.contains(name));
        state.subscribed.retain(|name, _| needed.contains_key(name));
        for (name, tables) in needed {
            if let Some(current) = state.subscribed.get(&name) {
                current.send_if_modified(|current| {
                    let changed = *current != tables;
                    *current = tables;
                    changed
                });
            } else {
                let (sender, receiver) = watch::channel(tables);
                state.subscribed.insert(name.clone(), sender);
                tokio::spawn(self.clone().follow_one(name, receiver));
            }
        }
    }

    /// Applies what one datasource publishes, until nobody reads its tables any more.
    async fn follow_one(
        self: Arc<Self>,
        name: String,
        mut tables: watch::Receiver<BTreeSet<TableName>>,
    ) {
        let wanted = tables.borrow_and_update().clone();
        let mut subscription = self.bus.subscribe(SUBSCRIBER, &name, wanted);
        loop {
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = tables.changed() => {
                    if changed.is_err() {
                        return;
                    }
                    subscription.set_tables(tables.borrow_and_update().clone());
                }
                update = subscription.next() => {
                    let Some(update) = update else { return };
                    self.apply(&name, update);
                }
            }
        }
    }

    fn apply(&self, name: &str, update: Update) {
        let outcome = match update {
            Update::Snapshot(snapshot) => {
                self.change(|engine| engine.initialize_tables(name, &snapshot.tables))
            }
            Update::Change(_, change) => self.change(|engine| engine.apply_change(name, &change)),
            Update::Gone => {
                tracing::info!(datasource = %name, "its publisher is gone; keeping the last rows");
                return;
            }
        };
        if let Err(errors) = outcome {
            tracing::error!(datasource = %name, "the engine refuses its rows: {}", errors.joined());
        }
    }
}
