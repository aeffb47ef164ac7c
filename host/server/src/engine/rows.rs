//! Tables and rows for the API.

use congress_policy::{ErrorKind, Snapshot, StateId, TableFilter};

use super::cell::Cell;
use super::handle::EngineHandle;
use crate::failure::{Answer, Failure, Status};

/// What stands in place of a trace that cannot be given.
const NO_TRACE: &str = "Not available";

/// All rows of a table of a policy.
#[derive(Debug)]
pub struct TableRows {
    /// In no order.
    pub rows: Vec<Vec<Cell>>,
    /// The state that they are of; they are the same as long as it is the latest. None if they may
    /// be others at any time.
    pub of: Option<StateId>,
}

impl EngineHandle {
    /// Whether nothing has changed since a state.
    pub fn is_latest(&self, state: &StateId) -> bool {
        self.snapshot().id() == *state
    }

    /// The tables of a policy: those in heads, bodies and facts, those of other policies with
    /// their prefix.
    pub async fn tables(&self, policy: &str) -> Answer<Vec<String>> {
        let name = self.policy_name(policy).ok_or_else(unknown_policy)?;
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
        Ok(self.table_rows(policy, table).await?.rows)
    }

    /// [`EngineHandle::rows`], and how long they are these.
    pub async fn table_rows(&self, policy: &str, table: &str) -> Answer<TableRows> {
        let name = self.policy_name(policy).ok_or_else(|| {
            Failure::plain(Status::NotFound, format_args!("table '{table}' doesn't exist"))
        })?;
        self.rows_of(None, policy.to_owned(), name, table.to_owned()).await
    }

    /// [`EngineHandle::rows`] at a state of the engine, of a policy by its name.
    pub(super) async fn rows_at(
        &self,
        snapshot: Snapshot,
        policy: &str,
        table: &str,
    ) -> Answer<Vec<Vec<Cell>>> {
        let (name, table) = (policy.to_owned(), table.to_owned());
        Ok(self.rows_of(Some(snapshot), name.clone(), name, table).await?.rows)
    }

    /// Of a policy that was `asked` for and has this name.
    async fn rows_of(
        &self,
        at: Option<Snapshot>,
        asked: String,
        name: String,
        table: String,
    ) -> Answer<TableRows> {
        self.query_at(at, move |snapshot, limits| {
            match snapshot.rows_within(&name, &table, limits) {
                Ok(found) => {
                    // Rows of what is another's name by now are nobody's to keep.
                    let same = snapshot.policy(&asked).is_some_and(|p| *p.name == *name);
                    let cells = |row: Vec<_>| row.into_iter().map(Cell).collect();
                    let rows = found.rows.into_iter().map(cells).collect();
                    Ok(TableRows { rows, of: (same && !found.volatile).then(|| snapshot.id()) })
                }
                // The table is known, and its width is not: nobody has said anything of it yet.
                Err(error) if error.kind() == ErrorKind::NotFound => {
                    let known = snapshot.tablenames(Some(&name), TableFilter::default());
                    match known.is_some_and(|tables| tables.contains(&table)) {
                        true => Ok(TableRows { rows: Vec::new(), of: None }),
                        false => Err(Failure::plain(Status::NotFound, error)),
                    }
                }
                Err(error) => Err(Failure::plain(Status::BadRequest, error)),
            }
        })
        .await
    }

    /// [`EngineHandle::rows`] with a text that tells how they were found. Where that cannot be told
    /// within the limits on queries, the text says so.
    pub async fn traced_rows(&self, policy: &str, table: &str) -> Answer<(Vec<Vec<Cell>>, String)> {
        let known = self.policy_name(policy);
        if let Some(name) = known {
            let of = table.to_owned();
            let traced = self.query(move |snapshot, limits| {
                Ok(snapshot.trace_rows(&name, &of, limits).map(|(rows, trace)| {
                    let cells = |row: Vec<_>| row.into_iter().map(Cell).collect();
                    (rows.into_iter().map(cells).collect::<Vec<Vec<Cell>>>(), trace)
                }))
            });
            match traced.await? {
                Ok((rows, trace)) if trace.is_empty() => return Ok((rows, NO_TRACE.to_owned())),
                Ok(traced) => return Ok(traced),
                // A proof may take far longer than the answer does.
                Err(error) if error.kind() == ErrorKind::Limit => {
                    let rows = self.rows(policy, table).await?;
                    return Ok((rows, format!("{NO_TRACE}: {error}")));
                }
                Err(_) => {}
            }
        }
        Ok((self.rows(policy, table).await?, NO_TRACE.to_owned()))
    }

    /// The names of a table's columns, if its datasource has told them.
    pub async fn columns(&self, policy: &str, table: &str) -> Option<Vec<String>> {
        let name = self.policy_name(policy)?;
        self.snapshot().columns(&name, table)
    }

    /// The name of a policy, persisted or a datasource's, by id or name. Waits for no writer.
    pub(super) fn policy_name(&self, id_or_name: &str) -> Option<String> {
        if let Some(policy) = self.snapshot().policy(id_or_name) {
            return Some(policy.name.to_string());
        }
        self.inner.loaded().datasource(id_or_name).map(str::to_owned)
    }
}

fn unknown_policy() -> Failure {
    Failure::verbatim(Status::NotFound, "Not found")
}
