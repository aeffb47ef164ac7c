//! Reading: what there is. Policies, tables, rules, widths.

use std::collections::BTreeSet;

use crate::ast::{Atom, Constant, Modal, Statement, Term};
use crate::diagnostics::suggest;
use crate::error::Error;
use crate::policy::PolicyInfo;
use crate::policy::PolicyKind;
use crate::program::TableKey;
use crate::snapshot::{Limits, Snapshot, TableRows, rows_of, rows_of_width};
use crate::state::Policy;
use crate::{builtins, depgraph};

/// Which tables [`Snapshot::tablenames`] lists.
#[derive(Clone, Copy, Debug, Default)]
pub struct TableFilter {
    /// Only tables of rule bodies.
    pub body_only: bool,
    /// Builtins as well.
    pub builtins: bool,
    /// Heads under a modal as well, as `service:table`.
    pub modals: bool,
}

impl Snapshot {
    /// All policies, by name.
    pub fn policies(&self) -> Vec<PolicyInfo> {
        self.state.policies.values().map(|policy| policy.info.clone()).collect()
    }

    /// A policy by name or id.
    pub fn policy(&self, name_or_id: &str) -> Option<PolicyInfo> {
        self.state.find(name_or_id).map(|policy| policy.info.clone())
    }

    /// The tables of one policy, or of all, sorted. Those of other policies that rules mention
    /// have their policy as prefix. `None` if there is no such policy.
    pub fn tablenames(&self, policy: Option<&str>, filter: TableFilter) -> Option<Vec<String>> {
        let mut names = BTreeSet::new();
        match policy {
            Some(policy) => add_tables(self.state.policies.get(policy)?, filter, &mut names),
            None => {
                for policy in self.state.policies.values() {
                    add_tables(policy, filter, &mut names);
                }
            }
        }
        Some(names.into_iter().collect())
    }

    /// How many columns a table has: by its schema, else by its first head or row, else unknown.
    /// `table` may name another policy; under a modal, a prefix is the service.
    pub fn arity(&self, policy: &str, table: &str, modal: Option<Modal>) -> Option<usize> {
        let (policy, table) = match modal {
            Some(_) => (policy, table),
            None => self.owner(policy, table),
        };
        let policy = self.state.policies.get(policy)?;
        let learned = modal.is_none().then(|| policy.schema.width(table)).flatten();
        learned.or_else(|| {
            let table = policy.tables.get(&TableKey { modal, name: table.into() })?;
            let rule = table.rules.first().map(|stored| stored.program.head.len());
            rule.or_else(|| table.facts.first().map(|relation| relation.width()))
        })
    }

    /// The names of a table's columns, if a datasource has declared them. `table` may name another
    /// policy.
    pub fn columns(&self, policy: &str, table: &str) -> Option<Vec<String>> {
        let (policy, table) = self.owner(policy, table);
        let columns = self.state.policies.get(policy)?.schema.columns(table)?;
        Some(columns.iter().map(ToString::to_string).collect())
    }

    /// The policy and the table that a table's name within a policy means: its own, if it has
    /// one of that name, or one with its policy before the colon.
    pub(crate) fn owner<'a>(&self, policy: &'a str, table: &'a str) -> (&'a str, &'a str) {
        let own = self.state.table(policy, &TableKey::plain(&table.into())).is_some();
        match table.split_once(':') {
            Some(parts) if !own => parts,
            _ => (policy, table),
        }
    }

    /// All rows of a table, facts and derived ones, in no order.
    ///
    /// # Errors
    ///
    /// The policy or the table is not known, or its width is not.
    pub fn rows(&self, policy: &str, table: &str) -> Result<Vec<Vec<Constant>>, Error> {
        Ok(self.rows_within(policy, table, Limits::default())?.rows)
    }

    /// [`Snapshot::rows`] at a bounded cost, and whether they stay while the state does.
    ///
    /// # Errors
    ///
    /// As for `rows`; and [`ErrorKind::Limit`](crate::ErrorKind::Limit) if the evaluation was
    /// stopped or grew too large.
    pub fn rows_within(
        &self,
        policy: &str,
        table: &str,
        limits: Limits<'_>,
    ) -> Result<TableRows, Error> {
        let width = self.known_width(policy, table)?;
        let (policy, table) = self.owner(policy, table);
        let key = TableKey::plain(&table.into());
        rows_of_width(&self.state, &policy.into(), &key, width, limits)
    }

    /// The width of a table whose rows can be listed.
    pub(crate) fn known_width(&self, policy: &str, table: &str) -> Result<usize, Error> {
        let all = TableFilter::default();
        let known = self.tablenames(Some(policy), all).unwrap_or_default();
        if !known.iter().any(|name| name == table) {
            let known = known.iter().map(String::as_str);
            let near = |near: &str| format!("did you mean '{near}'?");
            return Err(Error::not_found(format!("table '{table}' doesn't exist"))
                .suggest(suggest(table, known, near, "the tables are")));
        }
        self.arity(policy, table, None).ok_or_else(|| {
            Error::not_found(format!(
                "Known table but unknown arity for '{table}' in policy '{policy}'"
            ))
        })
    }

    /// The rules of a policy in their stored form, in the order of insertion.
    ///
    /// # Errors
    ///
    /// There is no such policy.
    pub fn rules(&self, policy: Option<&str>) -> Result<Vec<Statement>, Error> {
        let rules = self.state.target(policy)?.rules();
        Ok(rules.into_iter().map(|stored| Statement::Rule(stored.rule.clone())).collect())
    }

    /// The facts of a policy, in no order, and its rules; of a materialized policy, whose rules are
    /// what fills it, all rows and no rules. A fact under a modal is listed without it, as it
    /// always was.
    ///
    /// # Errors
    ///
    /// There is no such policy.
    pub fn content(&self, policy: Option<&str>) -> Result<Vec<Statement>, Error> {
        let policy = self.state.target(policy)?;
        let listed = |key: &TableKey, values: Vec<Constant>| {
            Statement::Fact(fact(key, values.into_iter().map(Term::Constant).collect()))
        };
        let mut content = Vec::new();
        if policy.info.kind == PolicyKind::Materialized {
            for key in policy.tables.keys() {
                let rows = rows_of(&self.state, &policy.info.name, key, Limits::default())?;
                content.extend(rows.into_iter().map(|row| listed(key, row)));
            }
            return Ok(content);
        }
        for (key, table) in &policy.tables {
            for row in table.facts.iter().flat_map(|relation| relation.iter()) {
                let values = row.iter().filter_map(|word| self.state.dictionary.value(*word));
                content.push(listed(key, values.collect()));
            }
        }
        content.extend(self.rules(Some(&policy.info.name))?);
        Ok(content)
    }
}

/// A stored row as an atom.
fn fact(key: &TableKey, args: Vec<Term>) -> Atom {
    let (named, span) = Default::default();
    let table = key.name.clone();
    Atom { modal: None, negated: false, policy: None, table, args, named, span }
}

fn add_tables(policy: &Policy, filter: TableFilter, names: &mut BTreeSet<String>) {
    let own = &policy.info.name;
    for (key, table) in &policy.tables {
        if !filter.body_only && (key.modal.is_none() || filter.modals) {
            names.insert(key.name.to_string());
        }
        for atom in table.rules.iter().flat_map(|stored| &stored.rule.body) {
            // A table of another policy that is named like a builtin is listed with the builtins,
            // because the original takes it for one.
            let builtin = builtins::lookup(&atom.table, atom.args.len()).is_some();
            if (builtin || depgraph::is_computed(atom)) && !filter.builtins {
                continue;
            }
            names.insert(match &atom.policy {
                None if builtin => format!("builtin:{}", atom.table),
                Some(prefix) if prefix != own => format!("{prefix}:{}", atom.table),
                _ => atom.table.to_string(),
            });
        }
    }
}
