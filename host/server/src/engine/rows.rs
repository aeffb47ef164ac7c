//! Tables and rows for the API.

use congress_policy::{ErrorKind, TableFilter};

use super::cell::Cell;
use super::handle::EngineHandle;
use crate::failure::{Answer, Failure, Status};

impl EngineHandle {
    /// The tables of a policy: those in heads, bodies and facts, those of other policies with
    /// their prefix.
    pub async fn tables(&self, policy: &str) -> Answer<Vec<String>> {
        let name = self.policy_name(policy).await.ok_or_else(unknown_policy)?;
        self.query(move |snapshot, _| {
            snapshot.tablenames(Some(&name), TableFilter::default()).ok_or_else(unknown_policy)
        })
        .await
    }

    /// Whether a policy has a table.
    pub async fn has_table(&self, policy: &str, table: &str) -> Answer<bool> {
        Ok(self.tables(policy).await?.iter().any(|name| name == table))
    }

    /// The rows of a table, derived ones included. A table that is known only by name is empty.
    pub async fn rows(&self, policy: &str, table: &str) -> Answer<Vec<Vec<Cell>>> {
        let name = self.policy_name(policy).await.ok_or_else(|| {
            Failure::plain(Status::NotFound, format_args!("table '{table}' doesn't exist"))
        })?;
        let table = table.to_owned();
        self.query(move |snapshot, limits| match snapshot.rows_within(&name, &table, limits) {
            Ok(rows) => {
                Ok(rows.into_iter().map(|row| row.into_iter().map(Cell).collect()).collect())
            }
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Err(Failure::plain(Status::NotFound, error))
            }
            // The table is known, and its width is not: there is nothing in it.
            Err(error) if error.kind() == ErrorKind::Schema => Ok(Vec::new()),
            Err(error) => Err(Failure::plain(Status::BadRequest, error)),
        })
        .await
    }

    /// The name of a policy, persisted or a datasource's, by id or name. Waits for no writer where
    /// the engine knows it.
    async fn policy_name(&self, id_or_name: &str) -> Option<String> {
        if let Some(policy) = self.snapshot().policy(id_or_name) {
            return Some(policy.name.to_string());
        }
        self.inner.loaded.read().await.datasource(id_or_name).map(str::to_owned)
    }
}

fn unknown_policy() -> Failure {
    Failure::verbatim(Status::NotFound, "Not found")
}
