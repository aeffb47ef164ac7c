//! Datasource policies: their declared tables, and what becomes of rules when those change.

use std::collections::BTreeSet;
use std::sync::Arc;

use congress_table::{Row, TableSchema};

use super::apply::policy_mut;
use super::feeds::wrong_rows;
use super::{Applied, Engine, Event, Outcome, Waiting};
use crate::ast::{Rule, Statement};
use crate::check::{columns, widths};
use crate::depgraph::Node;
use crate::error::{Error, ErrorKind, Errors};
use crate::policy::{NewPolicy, PolicyKind};
use crate::program::TableKey;
use crate::schema::Schema;
use crate::state::{StoredRule, same_rule};

impl Engine {
    pub(super) fn add_datasource(
        &mut self,
        name: &str,
        tables: &[TableSchema],
    ) -> Result<Outcome, Error> {
        if self.state.policies.contains_key(name) {
            let text = format!("Datasource already in use with name {name}");
            return Err(Error::new(ErrorKind::InUse, text));
        }
        self.create(NewPolicy::new(name, PolicyKind::Datasource))?;
        let (name, schema) = self.declared(name, tables, false)?;
        Ok(self.set_schema(&name, schema, &[]))
    }

    pub(super) fn declare(
        &mut self,
        name: &str,
        tables: &[TableSchema],
        complete: bool,
    ) -> Result<Outcome, Error> {
        if self.state.policies.get(name).is_some_and(|policy| policy.schema.is_declared()) {
            let text = format!("Schema for {name} already set");
            return Err(Error::new(ErrorKind::Policy, text));
        }
        let (name, schema) = self.declared(name, tables, complete)?;
        Ok(self.set_schema(&name, schema, &[]))
    }

    pub(super) fn redeclare(
        &mut self,
        name: &str,
        tables: &[TableSchema],
        rows: &[(Arc<str>, Vec<Row>)],
    ) -> Result<Outcome, Errors> {
        let complete = self.state.policies.get(name).is_some_and(|p| p.schema.is_complete());
        let (name, schema) = self.declared(name, tables, complete)?;
        let wrong =
            |(table, rows): &(Arc<str>, Vec<Row>)| wrong_rows(&name, &schema, table, rows.iter());
        let errors: Vec<Error> = rows.iter().flat_map(wrong).collect();
        if !errors.is_empty() {
            return Err(Errors(errors));
        }
        Ok(self.set_schema(&name, schema, rows))
    }

    /// The schema of a policy with these tables declared.
    fn declared(
        &self,
        name: &str,
        tables: &[TableSchema],
        complete: bool,
    ) -> Result<(Arc<str>, Schema), Error> {
        let Some(policy) = self.state.policies.get(name) else {
            let text = format!("Cannot set policy for {name} because it has not been created");
            return Err(Error::new(ErrorKind::Policy, text));
        };
        let schema = policy.schema.redeclared(tables.iter().map(columns_of), complete);
        Ok((policy.info.name.clone(), schema))
    }

    /// Gives a policy another schema and tables their rows, and checks the rules again that this
    /// concerns, and those that wait.
    fn set_schema(
        &mut self,
        name: &Arc<str>,
        schema: Schema,
        rows: &[(Arc<str>, Vec<Row>)],
    ) -> Outcome {
        let Some(policy) = self.state.policies.get(name) else {
            return Outcome::default();
        };
        let changed = schema.differences(&policy.schema);
        let first = !policy.schema.is_declared();

        let before = self.begin();
        for table in changed.iter().filter(|table| !schema.is_any_width(table)) {
            // A table that is gone may be mentioned still, which gives it a width and no rows.
            let declared = schema.columns(table).map(|columns| columns.len());
            self.drop_rows_of_other_widths(name, table, declared);
        }
        let state = Arc::make_mut(&mut self.state);
        if let Some(policy) = policy_mut(state, name) {
            policy.schema = schema;
        }
        for (table, rows) in rows {
            self.replace_rows(name, table, rows);
        }
        let taken = self.take_misfits(name, &changed, first);
        let mut changes = Vec::new();
        for (event, stored) in taken {
            let policy = event.policy.clone().unwrap_or_default();
            changes.push(Applied { statement: Statement::Rule(stored), insert: false, policy });
            // It may be part of a recursion that was allowed when it came.
            match self.change(std::slice::from_ref(&event), true) {
                Ok(mut changed) => changes.append(&mut changed.changes),
                Err(errors) => self.waiting.push(Waiting { event, errors: errors.0 }),
            }
        }
        // What a schema before refused may fit this one.
        for waiting in self.waiting.iter_mut().filter(|waiting| waiting.mentions(name)) {
            waiting.errors.clear();
        }
        changes.append(&mut self.apply_waiting());
        Outcome { changes, ..self.finish(before) }
    }

    /// Takes the rules out that the changed tables of a datasource concern and that would be
    /// stored otherwise now, or refused; gives them as they were given, and as they were stored.
    ///
    /// A `first` schema leaves rules alone that came without one and are by position only, fitting
    /// or not.
    fn take_misfits(
        &mut self,
        datasource: &Arc<str>,
        changed: &BTreeSet<Arc<str>>,
        first: bool,
    ) -> Vec<(Event, Rule)> {
        let mut misfits: Vec<(Arc<str>, Arc<StoredRule>)> = Vec::new();
        for (policy, owner) in &self.state.policies {
            for stored in owner.tables.values().flat_map(|table| &table.rules) {
                let concerned = stored.rule.heads.iter().chain(&stored.rule.body).any(|atom| {
                    atom.policy.as_ref().unwrap_or(policy) == datasource
                        && changed.contains(&atom.table)
                });
                if concerned && !(first && stored.is_as_written()) && !self.fits(policy, stored) {
                    misfits.push((policy.clone(), stored.clone()));
                }
            }
        }
        misfits.sort_by_key(|(_, stored)| stored.number);
        self.take_out(&misfits);
        let mut taken = Vec::with_capacity(misfits.len());
        for (policy, stored) in &misfits {
            if let Some(written) = &stored.written {
                let event = Event {
                    statement: Statement::Rule(written.rule.clone()),
                    insert: true,
                    policy: Some(policy.clone()),
                    source: written.source.clone(),
                };
                taken.push((event, stored.rule.clone()));
            }
        }
        taken
    }

    /// Whether a rule would be stored as it is stored.
    fn fits(&self, policy: &Arc<str>, stored: &StoredRule) -> bool {
        let Some(written) = &stored.written else {
            return true;
        };
        let statement = Statement::Rule(written.rule.clone());
        match columns::expand(&statement, policy, &self.state) {
            Ok(Statement::Rule(rule)) => {
                let same = same_rule(&rule, &stored.rule);
                same && widths::check(&Statement::Rule(rule), policy, &self.state).is_empty()
            }
            _ => false,
        }
    }

    /// Takes the stored rows of a table out that are not as wide as it.
    fn drop_rows_of_other_widths(
        &mut self,
        policy: &Arc<str>,
        table: &Arc<str>,
        width: Option<usize>,
    ) {
        let Some(owner) = policy_mut(Arc::make_mut(&mut self.state), policy) else {
            return;
        };
        let key = TableKey::plain(table);
        let Some(stored) = owner.tables.get_mut(&key).map(Arc::make_mut) else {
            return;
        };
        let (kept, gone): (Vec<_>, Vec<_>) = std::mem::take(&mut stored.facts)
            .into_iter()
            .partition(|relation| Some(relation.width()) == width);
        stored.facts = kept;
        stored.initialized &= width.is_some();
        if stored.is_empty() {
            owner.tables.remove(&key);
        }
        let node = Node { policy: policy.clone(), modal: None, table: table.clone() };
        self.release_rows(&node, &gone);
    }
}

fn columns_of(table: &TableSchema) -> (Arc<str>, Arc<[Arc<str>]>) {
    let columns: Vec<Arc<str>> =
        table.columns.iter().map(|column| column.name.as_str().into()).collect();
    (table.name.as_str().into(), columns.into())
}

impl Schema {
    /// The tables whose columns are not the same in both, and those that only one knows.
    fn differences(&self, other: &Self) -> BTreeSet<Arc<str>> {
        let differs = |table: &&Arc<str>| {
            self.width(table) != other.width(table) || self.columns(table) != other.columns(table)
        };
        self.names().chain(other.names()).filter(differs).cloned().collect()
    }
}
