//! Datasource policies: their declared tables.

use std::sync::Arc;

use congress_table::TableSchema;

use super::apply::policy_mut;
use super::{Engine, Outcome};
use crate::error::{Error, ErrorKind};
use crate::policy::{NewPolicy, PolicyKind};

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
        self.declare(name, tables, true)
    }

    pub(super) fn declare(
        &mut self,
        name: &str,
        tables: &[TableSchema],
        complete: bool,
    ) -> Result<Outcome, Error> {
        let Some(policy) = policy_mut(Arc::make_mut(&mut self.state), name) else {
            let text = format!("Cannot set policy for {name} because it has not been created");
            return Err(Error::new(ErrorKind::Policy, text));
        };
        if policy.schema.is_declared() {
            let text = format!("Schema for {name} already set");
            return Err(Error::new(ErrorKind::Policy, text));
        }
        let tables = tables.iter().map(|table| {
            let columns: Vec<Arc<str>> =
                table.columns.iter().map(|column| column.name.as_str().into()).collect();
            (table.name.as_str().into(), columns.into())
        });
        policy.schema.declare(tables, complete);
        Ok(self.wake())
    }
}
