//! The followed engine's `execute[…]` tables, and which of them may be acted upon.
//!
//! A table may be acted upon when the engine calls it complete and has read as much as was acted
//! upon before: of the database, and of every datasource below the table. So an engine that lags
//! behind the one followed before cannot make a row seem to have come back, or a rule to be gone. Of
//! each datasource it must also have read what the present publisher, which runs on this node, has
//! published: after a take-over nobody knows what the node before had acted upon.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use congress_bus::{Epoch, Position, Snapshot, TableName, Update};
use congress_store::ActionKey;
use congress_table::{Change, Row, TableDelta, Value};

use super::stream::{ActionTable, POSITIONS, REVISION, TABLES, text_of};

/// The id of an action in the ledger.
pub type Id = Arc<str>;

/// The epoch of the stream that a datasource publishes on this node; none if it does not run here.
pub type Floors<'f> = &'f dyn Fn(&str) -> Option<Epoch>;

/// What is to be done about what the engine says.
#[derive(Debug, PartialEq)]
pub enum Event {
    /// A row came.
    Came(Id, Arc<ActionKey>),
    /// A row went.
    Went(Id),
    /// A whole table is to be compared with the ledger: [`Mirror::compare`].
    Compare(ActionTable),
    /// The tables of the ledger are to be compared with those that have rules: [`Mirror::has_rules`].
    CompareTables,
}

/// See the module.
#[derive(Default)]
pub struct Mirror {
    /// Something has been heard of the followed engine.
    heard: bool,
    revision: i64,
    positions: HashMap<Arc<str>, Position>,
    listed: BTreeMap<ActionTable, Listed>,
    tables: BTreeMap<ActionTable, Rows>,
    /// What was acted upon.
    acted_revision: i64,
    acted_positions: HashMap<Arc<str>, Position>,
    /// The ledger's tables have not been compared since another engine is followed, or since a
    /// table went that could not be acted upon.
    compare_tables: bool,
}

struct Listed {
    complete: bool,
    sources: Vec<Arc<str>>,
}

#[derive(Default)]
struct Rows {
    rows: HashMap<Id, Arc<ActionKey>>,
    stage: Stage,
}

/// How a table stands to the ledger.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Stage {
    /// It must not be acted upon.
    #[default]
    Blocked,
    /// It is to be compared.
    Comparing,
    /// It was compared, and each change is told since.
    Told,
}

impl Mirror {
    /// Nothing may be acted upon that is older than this revision of the database.
    pub fn new(revision: i64) -> Self {
        Self { acted_revision: revision, ..Self::default() }
    }

    /// Another engine is followed from now on, or none.
    pub fn switch(&mut self) {
        self.heard = false;
        self.listed.clear();
        self.positions.clear();
        self.tables.clear();
        self.compare_tables = true;
    }

    /// Takes in what the followed engine publishes.
    pub fn apply(&mut self, update: &Update, floors: Floors<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        match update {
            // It has published nothing yet.
            Update::Snapshot(snapshot) if snapshot.position.sequence == 0 => return events,
            Update::Snapshot(snapshot) => self.replace(snapshot, &mut events),
            Update::Change(_, change) => self.change(change, &mut events),
            Update::Gone => return events,
        }
        self.heard = true;
        events.extend(self.review(floors));
        events
    }

    /// Looks again which tables may be acted upon.
    pub fn review(&mut self, floors: Floors<'_>) -> Vec<Event> {
        let mut events = Vec::new();
        if !self.heard || self.revision < self.acted_revision {
            // Its rules may be old ones: nothing it says is relied on.
            self.tables.values_mut().for_each(|rows| rows.stage = Stage::Blocked);
            return events;
        }
        self.acted_revision = self.revision;
        let gone: Vec<ActionTable> =
            self.tables.keys().filter(|table| !self.listed.contains_key(table)).cloned().collect();
        for table in gone {
            // It has no rules any more, and so no rows.
            match self.tables.remove(&table) {
                Some(Rows { rows, stage: Stage::Told }) => {
                    events.extend(rows.into_keys().map(Event::Went));
                }
                _ => self.compare_tables = true,
            }
        }
        for (table, listed) in &self.listed {
            let Some(rows) = self.tables.get_mut(table) else { continue };
            let is_read = |source: &Arc<str>| {
                let at = self.positions.get(source).copied();
                let acted = self.acted_positions.get(source).copied();
                let floor = floors(source);
                at.is_some() && at >= acted && floor.is_some() && at.map(|at| at.epoch) >= floor
            };
            if !listed.complete || !listed.sources.iter().all(is_read) {
                rows.stage = Stage::Blocked;
            } else if rows.stage == Stage::Blocked {
                rows.stage = Stage::Comparing;
                events.push(Event::Compare(table.clone()));
            }
        }
        for (source, at) in &self.positions {
            let acted = self.acted_positions.entry(source.clone()).or_default();
            *acted = (*acted).max(*at);
        }
        if std::mem::take(&mut self.compare_tables) {
            events.push(Event::CompareTables);
        }
        events
    }

    /// Whether a table has rules; none if nobody says so at present.
    pub fn has_rules(&self, table: &ActionTable) -> Option<bool> {
        let known = self.heard && self.revision >= self.acted_revision;
        known.then(|| self.listed.contains_key(table))
    }

    /// Compares a table with the ids of its rows that the ledger has: gives those that the ledger
    /// lacks and those that have gone. None if the table must not be acted upon (any more).
    pub fn compare(&mut self, table: &ActionTable, ledger: &BTreeSet<Id>) -> Option<Vec<Event>> {
        let gone =
            |id: &&Id, rows: Option<&Rows>| rows.is_none_or(|rows| !rows.rows.contains_key(&***id));
        let went = |rows: Option<&Rows>| -> Vec<Event> {
            ledger.iter().filter(|id| gone(id, rows)).cloned().map(Event::Went).collect()
        };
        if self.has_rules(table) == Some(false) {
            return Some(went(None));
        }
        let rows = self.tables.get_mut(table).filter(|rows| rows.stage == Stage::Comparing)?;
        rows.stage = Stage::Told;
        let mut events = went(Some(rows));
        let new = rows.rows.iter().filter(|(id, _)| !ledger.contains(*id));
        events.extend(new.map(|(id, key)| Event::Came(id.clone(), key.clone())));
        Some(events)
    }

    /// Whether a row is there, as far as is known.
    pub fn has(&self, key: &ActionKey, id: &str) -> bool {
        let table = table_of(key);
        self.tables.get(&table).is_some_and(|rows| rows.rows.contains_key(id))
    }

    /// Whether an action is asked for; none if nobody can tell at present.
    pub fn asks(&self, key: &ActionKey, id: &str) -> Option<bool> {
        let table = table_of(key);
        if self.has_rules(&table) == Some(false) {
            return Some(false);
        }
        let rows = self.tables.get(&table).filter(|rows| rows.stage == Stage::Told)?;
        Some(rows.rows.contains_key(id))
    }

    /// The tables that the engine publishes.
    pub fn published(&self) -> impl Iterator<Item = &ActionTable> {
        self.listed.iter().filter(|(_, listed)| listed.complete).map(|(table, _)| table)
    }

    fn replace(&mut self, snapshot: &Snapshot, events: &mut Vec<Event>) {
        self.listed.clear();
        self.positions.clear();
        for (name, rows) in &snapshot.tables {
            if !self.system(name, &TableDelta { added: rows.clone(), removed: Vec::new() })
                && let Some(table) = action_table(name)
            {
                let new: HashMap<Id, Arc<ActionKey>> =
                    rows.iter().filter_map(|row| action(&table, row)).collect();
                let known = self.tables.entry(table).or_default();
                if known.stage == Stage::Told {
                    let gone = known.rows.keys().filter(|id| !new.contains_key(*id));
                    events.extend(gone.cloned().map(Event::Went));
                    let come = new.iter().filter(|(id, _)| !known.rows.contains_key(*id));
                    events.extend(come.map(|(id, key)| Event::Came(id.clone(), key.clone())));
                }
                known.rows = new;
            }
        }
        // Of the others nothing is known, or they have no rules: the review sees which.
        let is_published = |table: &ActionTable| {
            let name = table.name();
            snapshot.tables.iter().any(|(published, _)| *published == name)
        };
        let listed = &self.listed;
        self.tables.retain(|table, rows| {
            let keep = is_published(table) || !listed.contains_key(table);
            if !keep {
                rows.rows.clear();
            }
            keep
        });
    }

    fn change(&mut self, change: &Change, events: &mut Vec<Event>) {
        for (name, delta) in &change.tables {
            if self.system(name, delta) {
                continue;
            }
            let Some(table) = action_table(name) else { continue };
            let known = self.tables.entry(table.clone()).or_default();
            let told = known.stage == Stage::Told;
            for (id, _) in delta.removed.iter().filter_map(|row| action(&table, row)) {
                if known.rows.remove(&id).is_some() && told {
                    events.push(Event::Went(id));
                }
            }
            for (id, key) in delta.added.iter().filter_map(|row| action(&table, row)) {
                if known.rows.insert(id.clone(), key.clone()).is_none() && told {
                    events.push(Event::Came(id, key));
                }
            }
        }
    }

    /// Takes in what a change says about the stream itself. False if it is about a table of
    /// actions.
    fn system(&mut self, name: &TableName, delta: &TableDelta) -> bool {
        match &**name {
            TABLES => {
                let gone = delta.removed.iter().filter_map(listed);
                gone.for_each(|(table, _)| drop(self.listed.remove(&table)));
                self.listed.extend(delta.added.iter().filter_map(listed));
            }
            POSITIONS => {
                for row in &delta.removed {
                    if let Some(Value::Text(name)) = row.first() {
                        self.positions.remove(&**name);
                    }
                }
                self.positions.extend(delta.added.iter().filter_map(position));
            }
            REVISION => {
                if let Some(Value::Int(revision)) = delta.added.first().and_then(|row| row.first())
                {
                    self.revision = *revision;
                }
            }
            _ => return false,
        }
        true
    }
}

/// The table that an action is asked for by.
pub(super) fn table_of(key: &ActionKey) -> ActionTable {
    ActionTable {
        policy: (&*key.policy).into(),
        service: (&*key.service).into(),
        action: (&*key.action).into(),
    }
}

fn action_table(name: &str) -> Option<ActionTable> {
    let [policy, service, action]: [String; 3] = serde_json::from_str(name).ok()?;
    Some(ActionTable { policy: policy.into(), service: service.into(), action: action.into() })
}

/// A row of a table of actions.
fn action(table: &ActionTable, row: &Row) -> Option<(Id, Arc<ActionKey>)> {
    let key = ActionKey {
        policy: table.policy.to_string(),
        service: table.service.to_string(),
        action: table.action.to_string(),
        args: text_of(row)?.to_owned(),
    };
    Some((key.id().into(), Arc::new(key)))
}

/// A row of [`TABLES`].
fn listed(row: &Row) -> Option<(ActionTable, Listed)> {
    let [
        Value::Text(policy),
        Value::Text(service),
        Value::Text(action),
        Value::Bool(complete),
        Value::Text(sources),
    ] = &**row
    else {
        return None;
    };
    let sources: Vec<String> = serde_json::from_str(sources).ok()?;
    let table = ActionTable {
        policy: (&**policy).into(),
        service: (&**service).into(),
        action: (&**action).into(),
    };
    let sources = sources.into_iter().map(Into::into).collect();
    Some((table, Listed { complete: *complete, sources }))
}

/// A row of [`POSITIONS`].
fn position(row: &Row) -> Option<(Arc<str>, Position)> {
    let [Value::Text(name), Value::Int(epoch), Value::Int(sequence)] = &**row else {
        return None;
    };
    let epoch = Epoch(u64::try_from(*epoch).ok()?);
    Some(((&**name).into(), Position { epoch, sequence: u64::try_from(*sequence).ok()? }))
}
