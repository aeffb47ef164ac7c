//! Tables of policies for other services: each engine publishes a stream of its own,
//! `__policies:<instance>`, and serves a service of that name so that others find it. Its tables are
//! named `policy:table`, and there are just those that somebody, on any node, subscribes to.
//!
//! A subscriber chooses any engine that is there, and another one when it goes. Rows are those that
//! the API shows: whole numbers beyond 64 bits are texts of their digits.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use congress_bus::{Epoch, Publisher, Requests, TableName};
use congress_policy::ast::Constant;
use congress_policy::{Engine, Fired};
use congress_table::{Change, Column, Row, TableDelta, TableSchema, Value};

use super::handle::Inner;

/// What the name of such a stream begins with; the engine's instance follows.
pub const POLICIES_PREFIX: &str = "__policies:";

/// The most tables that are published at a time; of further ones nothing is heard.
const MOST_TABLES: usize = 10_000;

/// The publication. Locked after the engine, never before.
#[derive(Default)]
pub(super) struct Published {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    publisher: Option<Arc<Publisher>>,
    /// The tables that are watched.
    watched: BTreeSet<TableName>,
    /// Those of them that are published: whose policy is there, and has them.
    shown: BTreeSet<TableName>,
}

impl Published {
    /// How many tables are watched.
    #[cfg(test)]
    pub(super) fn watches(&self) -> usize {
        self.lock().watched.len()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Publishes what somebody subscribes to, until stopped.
    pub(super) async fn publish_policies(self: Arc<Self>) {
        let name = format!("{POLICIES_PREFIX}{}", self.executes.instance);
        let publisher = match self.bus.publish(&name, Epoch(1)) {
            Ok(publisher) => Arc::new(publisher),
            Err(error) => {
                tracing::error!(%error, "tables of policies cannot be published");
                return;
            }
        };
        publisher.declare([].into(), Change::default());
        self.published.lock().publisher = Some(publisher.clone());
        // Nobody calls it; that it is there is what it says.
        let _presence: Option<Requests> = self.bus.serve(&name, 1).ok();
        let mut wanted = publisher.wanted();
        loop {
            let tables = wanted.borrow_and_update().clone();
            self.watch_policies(tables);
            tokio::select! {
                () = self.stop.cancelled() => return,
                changed = wanted.changed() => if changed.is_err() { return },
            }
        }
    }

    /// Watches just these tables.
    fn watch_policies(&self, wanted: BTreeSet<TableName>) {
        if wanted.len() > MOST_TABLES {
            tracing::warn!(
                tables = wanted.len(),
                "more tables of policies are subscribed to than {MOST_TABLES}: the others are left"
            );
        }
        let wanted: BTreeSet<TableName> = wanted.into_iter().take(MOST_TABLES).collect();
        self.change(|engine| {
            let mut state = self.published.lock();
            let gone: Vec<TableName> = state.watched.difference(&wanted).cloned().collect();
            for table in gone {
                engine.unwatch(&watch_name(&table));
                state.watched.remove(&table);
            }
            for table in &wanted {
                if !state.watched.contains(table) && table.contains(':') {
                    // The policy need not be there yet.
                    match engine.watch(&watch_name(table), None, table, None) {
                        Ok(()) => drop(state.watched.insert(table.clone())),
                        Err(error) => tracing::debug!(%table, %error, "cannot be published"),
                    }
                }
            }
        });
        let engine = self.engine();
        self.published.lock().show(&engine);
    }

    /// Takes in what a change of the engine did to tables that are published.
    pub(super) fn note_published(&self, engine: &Engine, fired: Vec<Fired>, rules: bool) {
        let mut state = self.published.lock();
        if state.watched.is_empty() {
            return;
        }
        let mut change = Change::default();
        for Fired { watch, added, removed } in fired {
            let Some(table) = watch.strip_prefix(WATCH_PREFIX) else { continue };
            if state.shown.contains(table) {
                let rows =
                    |rows: Vec<Vec<Constant>>| rows.iter().map(|row| published(row)).collect();
                let delta = TableDelta { added: rows(added), removed: rows(removed) };
                change.tables.push((table.into(), delta));
            }
        }
        if let Some(publisher) = state.publisher.as_ref().filter(|_| !change.is_empty()) {
            publisher.commit(change);
        }
        if rules {
            state.show(engine);
        }
    }
}

impl State {
    /// Shows the tables that are watched and there, and no others.
    fn show(&mut self, engine: &Engine) {
        let Some(publisher) = self.publisher.clone() else { return };
        let snapshot = engine.snapshot();
        let width = |table: &TableName| {
            let (policy, name) = table.split_once(':')?;
            snapshot.arity(policy, name, None)
        };
        let there: Vec<(TableName, usize)> =
            self.watched.iter().filter_map(|table| Some((table.clone(), width(table)?))).collect();
        let names: BTreeSet<TableName> = there.iter().map(|(table, _)| table.clone()).collect();
        if names == self.shown {
            return;
        }
        let mut change = Change::default();
        for table in names.difference(&self.shown) {
            let Some((policy, name)) = table.split_once(':') else { continue };
            // One that nobody knows the rows of is empty.
            let rows = snapshot.rows(policy, name).unwrap_or_default();
            let added = rows.iter().map(|row| published(row)).collect();
            change.tables.push((table.clone(), TableDelta { added, removed: Vec::new() }));
        }
        let schema: Vec<Arc<TableSchema>> =
            there.iter().map(|(table, width)| schema(table, *width)).collect();
        publisher.declare(schema.into(), change);
        self.shown = names;
    }
}

const WATCH_PREFIX: &str = "published ";

fn watch_name(table: &str) -> String {
    format!("{WATCH_PREFIX}{table}")
}

/// A published table's columns have no names: they are called by their places, from 0.
fn schema(table: &TableName, width: usize) -> Arc<TableSchema> {
    let column = |at: usize| Column {
        name: at.to_string(),
        description: None,
        column_type: Default::default(),
        nullable: false,
    };
    let columns = (0..width).map(column).collect();
    Arc::new(TableSchema { name: table.to_string(), columns, root: None })
}

fn published(row: &[Constant]) -> Row {
    let value = |constant: &Constant| match constant {
        Constant::Int(int) => match i64::try_from(int) {
            Ok(int) => Value::Int(int),
            Err(_) => Value::text(int.to_string()),
        },
        Constant::Float(float) => Value::Float(*float),
        Constant::Text(text) => Value::text(text.clone()),
    };
    row.iter().map(value).collect()
}
