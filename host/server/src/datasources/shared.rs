//! What all parts of a running datasource share: what is published, and how it fares.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use congress_bus::{Bus, Publisher, Schema};
use congress_plugins::{
    CallError, CallErrorKind, CallOutcome, Datasource, DriverError, HeldRows, TableOperation, Undo,
};
use congress_store::{Fence, KeyRing, PushedTable, Store};
use congress_table::{Change, Row, Table, TableDelta};
use tokio::sync::watch;
use tokio::time::Instant;

use super::errands::Errands;
use super::manager::{ManagerOptions, Surroundings};
use super::running::Running;
use super::status::{Progress, Status as View};
use crate::lease::Lease;

/// Why a poll or push came to nothing.
#[derive(Debug, thiserror::Error)]
pub(super) enum Unfinished {
    /// The driver failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A part of what was pushed was refused, so nothing of it is published.
    #[error("{0}")]
    Refused(String),
    /// What was pushed could not be stored.
    #[error(transparent)]
    Store(#[from] congress_store::Error),
}

/// What all parts of a task share.
pub(super) struct Shared {
    pub(super) row: congress_store::Datasource,
    pub(super) bus: Arc<dyn Bus>,
    pub(super) store: Store,
    pub(super) keys: KeyRing,
    pub(super) publisher: Publisher,
    /// Whether this process is the active one.
    pub(super) lease: Lease,
    pub(super) execute_actions: bool,
    /// Actions that the API asked for.
    pub(super) errands: Errands,
    all_or_nothing: bool,
    progress: Mutex<Progress>,
    /// Held while an outcome is compared with what is published and committed.
    commit: tokio::sync::Mutex<()>,
    /// Held from a push to its publication: its driver may look for the rows that it replaces.
    pub(super) receiving: tokio::sync::Mutex<()>,
    /// When the driver wants to be called to put its rows in order.
    upkeep_due: watch::Sender<Option<Instant>>,
}

impl Shared {
    pub(super) fn new(
        row: congress_store::Datasource,
        with: &Surroundings,
        publisher: Publisher,
        options: &ManagerOptions,
        errands: Errands,
    ) -> Self {
        Self {
            row,
            bus: with.bus.clone(),
            store: with.store.clone(),
            keys: with.keys.clone(),
            lease: with.lease.clone(),
            publisher,
            execute_actions: options.actions.enabled,
            errands,
            all_or_nothing: options.all_or_nothing,
            progress: Mutex::default(),
            commit: tokio::sync::Mutex::new(()),
            receiving: tokio::sync::Mutex::new(()),
            upkeep_due: watch::Sender::new(None),
        }
    }

    /// Notes something about how it fares.
    pub(super) fn note(&self, note: impl FnOnce(&mut Progress)) {
        note(&mut self.progress.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// When the driver wants to be called to put its rows in order.
    pub(super) fn upkeep_due(&self) -> &watch::Sender<Option<Instant>> {
        &self.upkeep_due
    }

    /// Whether any row is published.
    pub(super) fn has_rows(&self) -> bool {
        self.publisher.read(|p| p.tables().any(|(_, table)| !table.is_empty()))
    }

    /// How it fares.
    pub(super) fn status(&self) -> View {
        let subscribers = self.bus.subscribers(&self.row.name);
        self.progress.lock().unwrap_or_else(PoisonError::into_inner).status(subscribers)
    }

    /// Publishes what a successful call of code with these tables put in; they replace those
    /// published before, if they differ. Tables of `read` that the call did not mention exist from
    /// now on, if only as empty ones. With a fence its tables are stored first, and nothing is
    /// published if that fails. Nothing is published either once this process has been replaced.
    pub(super) async fn publish(
        &self,
        outcome: CallOutcome,
        schema: &Schema,
        read: &[Arc<str>],
        store: Option<&Fence>,
    ) -> Result<(), congress_store::Error> {
        if let Some(after) = outcome.upkeep_after {
            self.upkeep_due.send_replace(Instant::now().checked_add(after));
        }
        let _one_at_a_time = self.commit.lock().await;
        let mut change = Change::default();
        for (name, operation) in outcome.tables {
            let delta = match operation {
                TableOperation::Replace(content) => {
                    content.difference_from(&self.staying(schema, &name))
                }
                TableOperation::Patch(delta) => delta,
            };
            change.tables.push((name, delta));
        }
        if let Some(fence) = store {
            self.store(&change, schema, fence).await?;
        }
        let touched = change.tables.len();
        for name in read {
            if !change.tables[..touched].iter().any(|(known, _)| known == name) {
                change.tables.push((name.clone(), TableDelta::default()));
            }
        }
        if self.lease.fresh().await.is_none() {
            return Ok(());
        }
        if self.publisher.read(|p| p.schema() == schema) {
            self.publisher.commit(change);
        } else {
            self.publisher.declare(schema.clone(), change);
        }
        Ok(())
    }

    /// The published rows of a table that stay when it gets this schema: rows that other columns
    /// held do not, whatever their cells.
    fn staying(&self, schema: &Schema, table: &str) -> Arc<Table> {
        let rows = self.publisher.read(|p| {
            let stays = p.schema() == schema || p.keeps(schema, table);
            p.table(table).filter(|_| stays).cloned()
        });
        rows.unwrap_or_default()
    }

    /// Stores the tables that a change touches as they will be after it.
    async fn store(
        &self,
        change: &Change,
        schema: &Schema,
        fence: &Fence,
    ) -> Result<(), congress_store::Error> {
        let written = |(name, delta): &(Arc<str>, TableDelta)| {
            let table = self.staying(schema, name);
            let gone: HashSet<&Row> = delta.removed.iter().collect();
            let stay = table.rows().filter(|row| !gone.contains(row));
            let new = delta.added.iter().filter(|row| gone.contains(row) || !table.contains(row));
            PushedTable::new(&**name, stay.chain(new))
        };
        let tables = change.tables.iter().map(written).collect::<Result<Vec<_>, _>>()?;
        self.store.put_pushed_tables(&self.row.id, &tables, Some(fence)).await
    }

    /// Notes how a poll of these root tables, or a push, ended, and publishes it if it went well;
    /// with a fence once it is stored.
    pub(super) async fn finish(
        &self,
        result: Result<CallOutcome, CallError>,
        running: &Running,
        roots: &[Arc<str>],
        is_push: bool,
        store: Option<&Fence>,
    ) -> Result<(), Unfinished> {
        let unpublished = Unpublished::of(&running.source, &result);
        match result {
            Ok(outcome) => {
                let mut failed = by_cause(&outcome.failed);
                failed.extend(outcome.refused.clone());
                if is_push && !failed.is_empty() {
                    let text = failed.join("; ");
                    tracing::warn!(datasource = %self.row.name, push = true, "{text}");
                    return Err(Unfinished::Refused(text));
                }
                if self.all_or_nothing && !failed.is_empty() {
                    let text = format!("{}; nothing of this poll is published", failed.join("; "));
                    self.note(|progress| progress.updated(Some(text)));
                    return Ok(());
                }
                let is_read = |name: &&Arc<str>| !outcome.failed.iter().any(|(t, _)| t == *name);
                let roots: Vec<_> = roots.iter().filter(is_read).cloned().collect();
                let read = running.with_children(&roots);
                tracing::debug!(
                    datasource = %self.row.name, rows = outcome.figures.rows,
                    requests = outcome.figures.requests, ms = outcome.figures.duration.as_millis(),
                    "tables read"
                );
                self.publish(outcome, &running.schema, &read, store).await?;
                unpublished.stays();
                let error = (!failed.is_empty()).then(|| failed.join("; "));
                self.note(|progress| progress.updated(error));
                Ok(())
            }
            // Who pushed it is told: what the driver does not take is not wrong with the datasource.
            Err(error) if is_push && matches!(error.kind, CallErrorKind::Driver(_)) => {
                tracing::warn!(datasource = %self.row.name, push = true, "{error}");
                Err(error.into())
            }
            Err(error) => {
                tracing::warn!(datasource = %self.row.name, push = is_push, "{error}");
                self.note(|progress| progress.updated(Some(error.to_string())));
                Err(error.into())
            }
        }
    }

    /// Publishes what a call that put rows in order has done. That is no update.
    pub(super) async fn finish_upkeep(
        &self,
        result: Result<CallOutcome, CallError>,
        running: &Running,
        store: Option<&Fence>,
    ) {
        let unpublished = Unpublished::of(&running.source, &result);
        let failure = match result {
            Ok(outcome) => match self.publish(outcome, &running.schema, &[], store).await {
                Ok(()) => return unpublished.stays(),
                Err(error) => error.to_string(),
            },
            Err(error) => error.to_string(),
        };
        tracing::warn!(datasource = %self.row.name, "putting its rows in order: {failure}");
        self.note(|progress| progress.broken(failure));
    }

    /// Why it does not run, or what went wrong last; empty if nothing did.
    pub(super) fn last_error(&self) -> String {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.last_error().unwrap_or_default().to_owned()
    }
}

/// What a call made its driver keep; taken back when this is dropped. What the driver noted of rows
/// that are not published must not make it leave them out later.
pub(super) struct Unpublished<'d> {
    source: &'d Datasource,
    undo: Undo,
}

impl<'d> Unpublished<'d> {
    pub(super) fn of(source: &'d Datasource, result: &Result<CallOutcome, CallError>) -> Self {
        let undo = result.as_ref().map(|outcome| outcome.undo.clone()).unwrap_or_default();
        Self { source, undo }
    }

    /// It is published, or another one of this call's sees to it.
    pub(super) fn stays(mut self) {
        self.undo = Undo::default();
    }
}

impl Drop for Unpublished<'_> {
    fn drop(&mut self) {
        self.source.undo(std::mem::take(&mut self.undo));
    }
}

impl HeldRows for Shared {
    fn table(&self, name: &str) -> Option<Arc<Table>> {
        self.publisher.read(|published| published.table(name).cloned())
    }
}

/// What became of tables that were not read, a sentence for each cause: a wrong password fails all
/// of them alike.
fn by_cause(failed: &[(Arc<str>, DriverError)]) -> Vec<String> {
    let mut causes: Vec<(String, Vec<String>)> = Vec::new();
    for (table, error) in failed {
        let (cause, table) = (error.to_string(), format!("'{table}'"));
        match causes.iter_mut().find(|(known, _)| *known == cause) {
            Some((_, tables)) => tables.push(table),
            None => causes.push((cause, vec![table])),
        }
    }
    let sentence = |(cause, tables): (String, Vec<String>)| match &tables[..] {
        [table] => format!("table {table}: {cause}"),
        _ => format!("tables {}: {cause}", tables.join(", ")),
    };
    causes.into_iter().map(sentence).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_that_fail_alike_are_told_of_together() {
        let error = |text: &str| DriverError::Connection(text.to_owned());
        let refused = error("refused").to_string();
        let failed = [("a", "refused"), ("b", "odd"), ("c", "refused")];
        let failed: Vec<_> = failed.map(|(table, text)| (Arc::from(table), error(text))).into();
        let odd = error("odd").to_string();
        let expected = [format!("tables 'a', 'c': {refused}"), format!("table 'b': {odd}")];
        assert_eq!(by_cause(&failed), expected);
        assert!(by_cause(&[]).is_empty());
    }
}
