//! What this engine's rules ask datasources to do, published for whoever runs datasources.
//!
//! Each engine publishes a stream of its own, `__execute:<instance>`, and serves a service of that
//! name so that others find it. Its tables:
//!
//! * for each `execute[…]` table that is *complete*: its rows, each the arguments of one action
//!   ([`ActionTable::name`] names the table, [`arguments`] writes the row);
//! * [`TABLES`]: all `execute[…]` tables that have rules, whether each is complete, and the
//!   datasources that it depends on;
//! * [`POSITIONS`]: how far the engine has read these datasources;
//! * [`REVISION`]: how far it has read the database.
//!
//! A table is complete when every table below it, negated ones included, has been read from its
//! datasource, and every rule that it depends on is in force. A datasource that is deleted, or
//! that has not been read since this engine started, makes the tables above it incomplete: they
//! are not published then, rather than published as if there were no rows. One that fails or is
//! stopped keeps its last rows, and so do the tables above it.
//!
//! Several changes that belong together (the policies and rules of one revision of the database)
//! are published as one: see [`Inner::hold`].

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use congress_bus::{Bus, Epoch, Position, Publisher, Requests, TableName};
use congress_policy::ast::{Atom, Modal, Statement};
use congress_policy::{Engine, Event, ExecuteTable, Execution, PolicyKind};
use congress_store::Revision;
use congress_table::{Change, Column, Row, Table, TableDelta, TableSchema, Value};
use tokio_util::sync::CancellationToken;

use super::handle::{Inner, events};
use super::loaded::LoadedRule;
use crate::actions::stream::{
    ActionTable, COMPLETE_PREFIX, POSITIONS, REVISION, SOURCE_PREFIX, TABLES, arguments,
};

/// How often the positions are published when nothing else is. A change of an action table takes
/// them along at once.
const POSITIONS_PERIOD: Duration = Duration::from_millis(250);

/// Policy and table; under a modal `execute` or not.
type Node = (Arc<str>, bool, Arc<str>);

/// The publication. Locked after the engine, never before.
pub(super) struct Executes {
    /// Tells this engine from others.
    pub(super) instance: String,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// None until the database has been read.
    output: Option<Output>,
    /// How many have changes under way that belong together.
    holds: usize,
    revision: i64,
    /// The heads of stored rules that the engine has refused.
    refused: HashSet<Node>,
    sources: HashMap<String, Source>,
    /// What the last review looked at: the engine's rules, and how many tables had overflowed.
    reviewed: Option<(u64, usize)>,
    /// Something else has changed that completeness depends on.
    outdated: bool,
    /// The engine had rules that wait when last looked.
    waiting: bool,
    /// By name.
    tables: BTreeMap<TableName, Known>,
    /// What has changed since it was published last: per table the rows that came or went.
    pending: BTreeMap<TableName, HashMap<Row, bool>>,
    positions_changed: bool,
}

struct Output {
    publisher: Publisher,
    /// Shows others that the stream is there.
    _presence: Option<Requests>,
    /// Shows others that all tables are complete.
    complete: Option<Requests>,
}

/// An `execute[…]` table.
struct Known {
    table: ActionTable,
    /// None for one whose rules are not in force.
    rules: Option<ExecuteTable>,
    complete: bool,
    /// The datasources below.
    sources: BTreeSet<Arc<str>>,
}

/// What has been read of a datasource.
#[derive(Default)]
struct Source {
    /// The tables that have been read since this engine follows it.
    read: BTreeSet<TableName>,
    /// Those that have been read from its present publisher.
    fresh: BTreeSet<TableName>,
    at: Position,
    /// The position that all tables below actions have reached.
    reached: Option<Position>,
}

/// What a change of the engine has read from datasources.
pub(super) struct Sources<'s>(&'s mut State);

impl Sources<'_> {
    /// A snapshot was taken, with these tables in it.
    pub(super) fn snapshot(
        &mut self,
        name: &str,
        at: Position,
        tables: impl Iterator<Item = TableName>,
    ) {
        let source = self.0.sources.entry(name.to_owned()).or_default();
        if source.at.epoch != at.epoch {
            source.fresh.clear();
        }
        source.at = at;
        self.read(name, tables);
    }

    /// A change was applied, to these tables.
    pub(super) fn change(
        &mut self,
        name: &str,
        at: Position,
        tables: impl Iterator<Item = TableName>,
    ) {
        self.0.sources.entry(name.to_owned()).or_default().at = at;
        self.read(name, tables);
    }

    fn read(&mut self, name: &str, tables: impl Iterator<Item = TableName>) {
        let Some(source) = self.0.sources.get_mut(name) else { return };
        for table in tables {
            self.0.outdated |= source.read.insert(table.clone());
            source.fresh.insert(table);
        }
        self.0.positions_changed = true;
    }

    /// Its rows, as the engine has them, are not to be relied on, or are gone.
    pub(super) fn forget(&mut self, name: &str) {
        self.0.outdated |= self.0.sources.remove(name).is_some();
    }
}

/// Changes are under way that belong together. They are published when it is dropped.
pub(super) struct Hold<'i>(&'i Inner);

impl Drop for Hold<'_> {
    fn drop(&mut self) {
        let engine = self.0.engine();
        let mut state = self.0.executes.lock();
        state.holds -= 1;
        state.publish(&engine);
    }
}

impl Executes {
    pub(super) fn new() -> Self {
        Self { instance: uuid::Uuid::new_v4().to_string(), state: Mutex::default() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Should a review panic, the next one makes good.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Nothing is published until the last of these is dropped.
    pub(super) fn hold(&self) -> Hold<'_> {
        self.executes.lock().holds += 1;
        Hold(self)
    }

    /// Takes in what a change of the engine did, which may have concerned `rules`, and publishes
    /// it.
    pub(super) fn note_executions(
        &self,
        engine: &Engine,
        executions: Vec<Execution>,
        rules: bool,
        note: impl FnOnce(&mut Sources<'_>),
    ) {
        let mut state = self.executes.lock();
        note(&mut Sources(&mut state));
        // Rules that wait come and go without anything else telling it.
        let waiting = !engine.waiting().is_empty();
        state.outdated |= rules && (waiting || state.waiting);
        state.waiting = waiting;
        state.absorb(executions);
        state.publish(engine);
    }

    /// The engine has what the database had at a revision.
    pub(super) fn has_loaded(&self, revision: Revision) {
        let is_refused = |rule: &&LoadedRule| rule.refused.is_some();
        let refused: Vec<_> = self.loaded().rules.values().filter(is_refused).cloned().collect();
        let refused: HashSet<Node> = refused
            .iter()
            .flat_map(|rule| events(&rule.text, true, &rule.policy).unwrap_or_default())
            .flat_map(|event| heads(&event))
            .collect();
        let engine = self.engine();
        let mut state = self.executes.lock();
        if state.output.is_none() {
            state.output = Output::new(self.bus.as_ref(), &self.executes.instance);
            state.outdated = true;
        }
        state.outdated |= state.refused != refused || state.revision != revision.0;
        state.refused = refused;
        state.revision = revision.0;
        state.publish(&engine);
        let all = state.output.is_some() && state.tables.values().all(|table| table.complete);
        if let Some(output) = &mut state.output {
            output.show_complete(self.bus.as_ref(), &self.executes.instance, all);
        }
    }

    /// Publishes positions that nothing has taken along, until stopped.
    pub(super) async fn publish_positions(self: Arc<Self>, stop: CancellationToken) {
        let mut timer = tokio::time::interval(POSITIONS_PERIOD);
        timer.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = stop.cancelled() => return,
                _ = timer.tick() => {}
            }
            let mut state = self.executes.lock();
            if state.holds == 0 && state.positions_changed {
                let positions = state.positions();
                if let Some(output) = &state.output {
                    output.commit(positions.into_iter().collect());
                }
            }
            let all = state.tables.values().all(|table| table.complete);
            if let Some(output) = &mut state.output {
                output.show_complete(self.bus.as_ref(), &self.executes.instance, all);
            }
        }
    }
}

impl Output {
    fn new(bus: &dyn Bus, instance: &str) -> Option<Self> {
        let name = format!("{SOURCE_PREFIX}{instance}");
        match bus.publish(&name, Epoch(1)) {
            Ok(publisher) => {
                let _presence = bus.serve(&name, 1).ok();
                Some(Self { publisher, _presence, complete: None })
            }
            Err(error) => {
                tracing::error!(%error, "the actions that rules ask for cannot be published");
                None
            }
        }
    }

    fn show_complete(&mut self, bus: &dyn Bus, instance: &str, all: bool) {
        match (all, &self.complete) {
            (true, None) => {
                self.complete = bus.serve(&format!("{COMPLETE_PREFIX}{instance}"), 1).ok();
            }
            (false, Some(_)) => self.complete = None,
            _ => {}
        }
    }

    fn commit(&self, tables: Vec<(TableName, TableDelta)>) {
        self.publisher.commit(Change { tables });
    }

    /// What makes a published table have just these rows.
    fn difference(&self, name: &str, rows: Table) -> TableDelta {
        self.publisher.read(|published| match published.table(name) {
            Some(table) => table.difference_to(&rows),
            None => Table::new().difference_to(&rows),
        })
    }
}

impl State {
    /// Takes in rows that came and went.
    fn absorb(&mut self, executions: Vec<Execution>) {
        for execution in executions {
            let name = ActionTable::of(&execution).name();
            let rows = self.pending.entry(name).or_default();
            let removed = execution.removed.iter().map(|row| (row, false));
            for (row, came) in removed.chain(execution.added.iter().map(|row| (row, true))) {
                let row: Row = [Value::text(arguments(row))].into();
                // What came and went again has done neither.
                if rows.get(&row) == Some(&!came) {
                    rows.remove(&row);
                } else {
                    rows.insert(row, came);
                }
            }
        }
    }

    /// Publishes what has changed, unless more is to come that belongs to it.
    fn publish(&mut self, engine: &Engine) {
        if self.output.is_none() {
            self.pending.clear();
            return;
        }
        if self.holds > 0 {
            return;
        }
        let now = (engine.subscriptions_version(), engine.overflowed().count());
        let review = self.outdated || self.reviewed != Some(now);
        if !review && self.pending.is_empty() {
            return;
        }
        let mut changes: BTreeMap<TableName, TableDelta> = BTreeMap::new();
        let mut fresh: BTreeSet<TableName> = BTreeSet::new();
        let mut redeclared = false;
        if review {
            let before = std::mem::take(&mut self.tables);
            self.tables = self.review(engine);
            let complete = |tables: &BTreeMap<TableName, Known>| -> BTreeSet<TableName> {
                let complete = tables.iter().filter(|(_, known)| known.complete);
                complete.map(|(name, _)| name.clone()).collect()
            };
            let (old, new) = (complete(&before), complete(&self.tables));
            redeclared = old != new || self.reviewed.is_none();
            fresh = new.difference(&old).cloned().collect();
            self.reviewed = Some(now);
            self.outdated = false;
            self.positions_changed = true;
        }
        let pending = std::mem::take(&mut self.pending);
        let mut unread = Vec::new();
        for (name, known) in &self.tables {
            let Some(rules) = known.rules.as_ref().filter(|_| known.complete) else { continue };
            let changed = pending.get(name);
            if fresh.contains(name) || !rules.follows && (review || changed.is_some()) {
                match engine.execute_rows(rules) {
                    Ok(rows) => {
                        let rows = rows.iter().map(|row| [Value::text(arguments(row))].into());
                        let rows: Table = rows.collect();
                        let delta = match (&self.output, fresh.contains(name)) {
                            (Some(output), false) => output.difference(name, rows),
                            _ => Table::new().difference_to(&rows),
                        };
                        changes.insert(name.clone(), delta);
                    }
                    Err(error) => {
                        tracing::error!(
                            table = %known.table, %error,
                            "the table cannot be read; none of its actions is requested until \
                             rules or datasources change"
                        );
                        unread.push(name.clone());
                    }
                }
            } else if let Some(rows) = changed {
                let mut delta = TableDelta::default();
                for (row, came) in rows {
                    let side = if *came { &mut delta.added } else { &mut delta.removed };
                    side.push(row.clone());
                }
                changes.insert(name.clone(), delta);
            }
        }
        // Not to be taken for one without rows.
        for name in &unread {
            self.tables.entry(name.clone()).and_modify(|known| known.complete = false);
            fresh.remove(name);
            redeclared = true;
        }
        changes.retain(|name, delta| fresh.contains(name) || !delta.is_empty());
        if !redeclared && changes.is_empty() && !review {
            return;
        }
        changes.extend(self.positions());
        let Some(output) = &self.output else { return };
        if review || redeclared {
            changes.insert(TABLES.into(), output.difference(TABLES, self.listed()));
        }
        let revision = [[Value::Int(self.revision)].into()];
        let revision = output.difference(REVISION, revision.into_iter().collect());
        changes.insert(REVISION.into(), revision);
        let change = Change { tables: changes.into_iter().collect() };
        if redeclared {
            output.publisher.declare(self.schema().into(), change);
        } else {
            output.publisher.commit(change);
        }
    }

    /// All `execute[…]` tables, and which of them are complete.
    fn review(&self, engine: &Engine) -> BTreeMap<TableName, Known> {
        let mut out_of_force = self.refused.clone();
        out_of_force.extend(engine.waiting().iter().flat_map(|waiting| heads(&waiting.event)));
        let mut tables = BTreeMap::new();
        for rules in engine.execute_tables() {
            let table = ActionTable::of_rules(&rules);
            let own = |(policy, modal, name): &Node| {
                *modal && ActionTable::of_node(policy, name) == table
            };
            let mut sources = BTreeSet::new();
            let mut missing = None;
            if rules.overflowed {
                missing = Some("it has too many rows, or looks at too many".to_owned());
            }
            if out_of_force.iter().any(own) {
                missing = Some("one of its rules is not in force".to_owned());
            }
            for (policy, name) in &rules.reads {
                if out_of_force.contains(&(policy.clone(), false, name.clone())) {
                    missing = Some(format!("a rule for {policy}:{name} is not in force"));
                }
                match engine.policy(policy) {
                    None => missing = Some(format!("there is no '{policy}' to read {name} from")),
                    Some(info) if info.kind == PolicyKind::Datasource && *info.name == **policy => {
                        sources.insert(policy.clone());
                        let source = self.sources.get(&**policy);
                        if !source.is_some_and(|source| source.read.contains(name)) {
                            missing = Some(format!("{policy}:{name} has not been read yet"));
                        }
                    }
                    Some(info) if *info.name == **policy => {}
                    // The name is another policy's id.
                    Some(_) => missing = Some(format!("there is no '{policy}'")),
                }
            }
            let name = table.name();
            let complete = missing.is_none();
            if let Some(missing) = &missing {
                tracing::debug!(%table, "no actions are requested for now: {missing}");
            }
            tables.insert(name, Known { table, rules: Some(rules), complete, sources });
        }
        for (policy, modal, name) in out_of_force {
            let table = ActionTable::of_node(&policy, &name);
            if modal && !tables.contains_key(&table.name()) {
                let (rules, sources) = (None, BTreeSet::new());
                tables.insert(table.name(), Known { table, rules, complete: false, sources });
            }
        }
        tables
    }

    /// The rows of [`TABLES`].
    fn listed(&self) -> Table {
        let row = |known: &Known| -> Row {
            let Known { table, complete, sources, .. } = known;
            let sources: Vec<&str> = sources.iter().map(|name| &**name).collect();
            let sources = serde_json::to_string(&sources).unwrap_or_default();
            [
                Value::text(&*table.policy),
                Value::text(&*table.service),
                Value::text(&*table.action),
                Value::Bool(*complete),
                Value::text(sources),
            ]
            .into()
        };
        self.tables.values().map(row).collect()
    }

    /// What has changed in [`POSITIONS`].
    fn positions(&mut self) -> Option<(TableName, TableDelta)> {
        if !std::mem::take(&mut self.positions_changed) {
            return None;
        }
        let mut needed: HashMap<&str, BTreeSet<&TableName>> = HashMap::new();
        let complete = self.tables.values().filter(|known| known.complete);
        for rules in complete.filter_map(|known| known.rules.as_ref()) {
            for (source, table) in &rules.reads {
                needed.entry(&**source).or_default().insert(table);
            }
        }
        let mut rows = Table::new();
        for (name, source) in &mut self.sources {
            let Some(needed) = needed.get(&**name) else { continue };
            if needed.iter().all(|table| source.fresh.contains(*table)) {
                source.reached = Some(source.at);
            }
            let Some(Position { epoch, sequence }) = source.reached else { continue };
            let number = |number: u64| Value::Int(i64::try_from(number).unwrap_or(i64::MAX));
            rows.insert([Value::text(&**name), number(epoch.0), number(sequence)].into());
        }
        let output = self.output.as_ref()?;
        let delta = output.difference(POSITIONS, rows);
        (!delta.is_empty()).then(|| (POSITIONS.into(), delta))
    }

    fn schema(&self) -> Vec<Arc<TableSchema>> {
        let table = |name: &str, columns: &[&str]| {
            let column = |name: &&str| Column {
                name: (*name).to_owned(),
                description: None,
                column_type: Default::default(),
                nullable: false,
            };
            let columns = columns.iter().map(column).collect();
            Arc::new(TableSchema { name: name.to_owned(), columns, root: None })
        };
        let mut schema = vec![
            table(TABLES, &["policy", "service", "action", "complete", "datasources"]),
            table(POSITIONS, &["datasource", "epoch", "sequence"]),
            table(REVISION, &["revision"]),
        ];
        let complete = self.tables.iter().filter(|(_, known)| known.complete);
        schema.extend(complete.map(|(name, _)| table(name, &["arguments"])));
        schema
    }
}

/// The heads of a statement.
fn heads(event: &Event) -> Vec<Node> {
    let heads: &[Atom] = match &event.statement {
        Statement::Fact(atom) => std::slice::from_ref(atom),
        Statement::Rule(rule) => &rule.heads,
        Statement::Event(_) => &[],
    };
    let own: Arc<str> = event.policy.clone().unwrap_or_else(|| "".into());
    let node = |head: &Atom| match (&head.modal, &head.policy) {
        (Some(Modal::Execute), Some(service)) => {
            (own.clone(), true, format!("{service}:{}", head.table).into())
        }
        (Some(_), _) => (own.clone(), true, head.table.clone()),
        (None, Some(policy)) => (policy.clone(), false, head.table.clone()),
        (None, None) => (own.clone(), false, head.table.clone()),
    };
    heads.iter().map(node).collect()
}
