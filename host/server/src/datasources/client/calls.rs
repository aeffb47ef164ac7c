//! What a running datasource is asked, wherever it runs.

use std::time::Duration;

use congress_bus::{Subscription, Update};
use congress_plugins::ConfigValues;
use congress_table::{Row, TableSchema};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::super::views;
use super::super::wire::{DatasourceCall, Execution, TOO_MANY_ROWS};
use super::Client;
use super::drivers::no_driver;
use super::reach::Call;
use crate::actions::wire::ActionsCall;
use crate::actions::{self, Desk};
use crate::failure::{Answer, Failure, Named, Status};

/// The name under which streams to clients subscribe.
const STREAM: &str = "__stream";

impl Client {
    /// A datasource's tables with their columns.
    pub async fn schema(&self, d: &str) -> Answer<Value> {
        let tables = self.tables_of(d, bare_absence).await?;
        Ok(json!({ "tables": tables.iter().map(views::table).collect::<Vec<_>>() }))
    }

    /// One table with its columns.
    pub async fn table_spec(&self, d: &str, table: &str) -> Answer<Value> {
        let tables = self.tables_of(d, bare_absence).await?;
        tables.iter().find(|t| t.name == table).map(views::table).ok_or_else(|| {
            let text = format!("Table '{table}' for datasource '{d}' has no schema ");
            Failure::verbatim(Status::NotFound, text)
        })
    }

    /// The names of a datasource's tables.
    pub async fn tables(&self, d: &str) -> Answer<Vec<String>> {
        Ok(self.tables_of(d, absence).await?.into_iter().map(|table| table.name).collect())
    }

    /// Follows the rows of a table.
    pub async fn subscribe(&self, d: &str, table: &str) -> Answer<Subscription> {
        let row = self.row(d).await?.ok_or_else(|| absence(d))?;
        if !self.tables(d).await?.iter().any(|name| name == table) {
            let text = format!("tablename '{table}' does not exist'");
            return Err(Failure::plain(Status::NotFound, text));
        }
        Ok(self.inner.reach.bus.subscribe(STREAM, &row.name, [table.into()].into()))
    }

    /// The names of a table's columns; none if there is no such table.
    pub async fn columns(&self, d: &str, table: &str) -> Answer<Vec<String>> {
        let tables = self.tables_of(d, absence).await?;
        let columns = tables.into_iter().find(|t| t.name == table).map(|table| table.columns);
        Ok(columns.into_iter().flatten().map(|column| column.name).collect())
    }

    /// How a datasource fares.
    pub async fn status(&self, d: &str) -> Answer<Value> {
        let row = self.row(d).await?.ok_or_else(|| bare_absence(d))?;
        let deadline = self.inner.options.takeover.min(self.inner.options.timeout);
        let call = DatasourceCall::Status;
        let mut status: Value = self.ask_row(&row, d, &call, deadline, bare_absence).await?;
        if let Value::Object(status) = &mut status {
            let stale = if self.inner.engine.is_stale(&row.name) { "True" } else { "False" };
            status.insert("stale".to_owned(), stale.into());
        }
        Ok(status)
    }

    /// What a datasource can be told to do.
    pub async fn actions(&self, d: &str) -> Answer<Value> {
        let row = self.row(d).await?.ok_or_else(|| bare_absence(d))?;
        let stored = self.stored_driver(&row.driver).await?;
        let (_, entry) = stored.ok_or_else(|| no_driver(&row.driver))?;
        Ok(views::actions(&entry.metadata))
    }

    /// The rows of a table.
    pub async fn rows(&self, d: &str, table: &str) -> Answer<Vec<Vec<Value>>> {
        let call = DatasourceCall::Rows { table: table.to_owned() };
        match self.ask(d, &call, self.inner.options.timeout, absence).await {
            Err(failure) if failure.data == TOO_MANY_ROWS => self.many_rows(d, table).await,
            answer => answer,
        }
    }

    /// The rows of a table that has too many for one message: they come as to a subscriber.
    async fn many_rows(&self, d: &str, table: &str) -> Answer<Vec<Vec<Value>>> {
        let mut stream = self.subscribe(d, table).await?;
        let within = self.inner.options.long_timeout;
        let first = async {
            loop {
                match stream.next().await? {
                    Update::Snapshot(snapshot) => return Some(snapshot),
                    Update::Change(..) | Update::Gone => {}
                }
            }
        };
        let Ok(Some(snapshot)) = tokio::time::timeout(within, first).await else {
            let text =
                format!("the rows of {d}:{table} did not come within {} s", within.as_secs());
            return Err(Failure::plain(Status::Unavailable, text));
        };
        let mut tables = snapshot.tables.into_iter();
        let rows = tables.find(|(name, _)| **name == *table).map(|(_, rows)| rows);
        let row =
            |row: Row| row.iter().map(|cell| serde_json::to_value(cell.for_policy())).collect();
        let rows: Result<_, _> = rows.unwrap_or_default().into_iter().map(row).collect();
        rows.map_err(Failure::internal)
    }

    /// Replaces the rows of a table by what was pushed.
    pub async fn replace_rows(&self, d: &str, table: &str, body: Value) -> Answer<()> {
        let call = DatasourceCall::ReplaceRows { table: table.to_owned(), body };
        self.ask(d, &call, self.inner.options.long_timeout, absence).await
    }

    /// Hands a webhook's payload to the datasource.
    pub async fn webhook(&self, d: &str, payload: Value) -> Answer<()> {
        self.ask(d, &DatasourceCall::Webhook { payload }, self.inner.options.long_timeout, absence)
            .await
    }

    /// Asks for a poll, without waiting for it.
    pub async fn request_refresh(&self, d: &str) -> Answer<()> {
        self.ask(d, &DatasourceCall::Refresh, self.inner.options.timeout, absence).await
    }

    /// Runs an action in the background. `args` is an object with `positional` and `named`.
    pub async fn execute(&self, d: &str, name: String, args: Value) -> Answer<()> {
        let malformed = || Failure::title(Named::ExecuteActionArgsSyntax);
        let mut args = match args {
            Value::Null => ConfigValues::new(),
            Value::Object(args) => args,
            _ => return Err(malformed()),
        };
        let positional = match args.remove("positional") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(values)) => values,
            Some(_) => return Err(malformed()),
        };
        let named = match args.remove("named") {
            None | Some(Value::Null) => ConfigValues::new(),
            Some(Value::Object(values)) => values,
            Some(_) => return Err(malformed()),
        };
        if name.is_empty() {
            return Err(Failure::named(Named::ExecuteError, "Action not found"));
        }
        let call = DatasourceCall::Execute(Execution { action: name, positional, named });
        self.ask(d, &call, self.inner.options.timeout, |d| {
            Failure::named(Named::ExecuteError, format!("Service {d} not found"))
        })
        .await
    }

    /// The actions that rules asked for.
    pub fn ledger(&self) -> Desk {
        Desk::new(self.inner.store.clone())
    }

    /// Has an action that failed, or whose outcome is not known, run again.
    pub async fn repeat_action(&self, id: &str) -> Answer<()> {
        let call = &ActionsCall::Repeat { id: id.to_owned() };
        let (service, deadline) = (actions::wire::SERVICE, self.inner.options.timeout);
        self.inner.reach.ask(Call { service, call, deadline, repeatable: false }).await
    }

    async fn tables_of(&self, d: &str, absent: fn(&str) -> Failure) -> Answer<Vec<TableSchema>> {
        self.ask(d, &DatasourceCall::Schema, self.inner.options.timeout, absent).await
    }

    /// Calls a datasource, found by id or name.
    async fn ask<T: DeserializeOwned>(
        &self,
        d: &str,
        call: &DatasourceCall,
        deadline: Duration,
        absent: impl Fn(&str) -> Failure,
    ) -> Answer<T> {
        let row = self.row(d).await?.ok_or_else(|| absent(d))?;
        self.ask_row(&row, d, call, deadline, absent).await
    }

    async fn ask_row<T: DeserializeOwned>(
        &self,
        row: &congress_store::Datasource,
        d: &str,
        call: &DatasourceCall,
        deadline: Duration,
        absent: impl Fn(&str) -> Failure,
    ) -> Answer<T> {
        // Nobody runs it, and nobody is to.
        if !row.enabled {
            return Err(absent(d));
        }
        let repeatable = call.is_repeatable();
        self.inner.reach.ask(Call { service: &row.name, call, deadline, repeatable }).await
    }
}

/// The answer of routes about tables for a datasource that is not there.
fn absence(d: &str) -> Failure {
    Failure::plain(Status::NotFound, format!("service '{d}' could not be found"))
}

/// The answer of the others, which has no lead.
fn bare_absence(d: &str) -> Failure {
    Failure::verbatim(Status::NotFound, format!("service '{d}' could not be found"))
}
