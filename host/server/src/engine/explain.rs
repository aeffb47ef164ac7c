//! Explanations for the API.

use congress_policy::ast::Constant;
use congress_policy::{Detail, ErrorKind, Explanation};

use super::handle::EngineHandle;
use crate::failure::{Answer, Failure, Status};

/// What is to be explained.
#[derive(Clone, Debug)]
pub struct ExplainRequest {
    /// The row, as wide as its table; none where any value does. Nothing: any row.
    pub row: Option<Vec<Option<Constant>>>,
    /// How much is told.
    pub detail: Detail,
}

impl EngineHandle {
    /// Why a row of a policy's table is there, or why it is not; `told` makes the answer of it, on
    /// the thread where it was found.
    pub async fn explain<T: Send + 'static>(
        &self,
        policy: &str,
        table: &str,
        request: ExplainRequest,
        told: impl FnOnce(&Explanation) -> Answer<T> + Send + 'static,
    ) -> Answer<T> {
        let missing = |table: &str| {
            Failure::plain(Status::NotFound, format_args!("table '{table}' doesn't exist"))
        };
        let name = self.policy_name(policy).ok_or_else(|| missing(table))?;
        let table = table.to_owned();
        self.query(move |snapshot, limits| {
            let row = match request.row {
                Some(row) => row,
                // Whether there is such a table is told below.
                None => vec![None; snapshot.arity(&name, &table, None).unwrap_or_default()],
            };
            let explained = snapshot.explain_row(&name, &table, &row, request.detail, limits);
            let explanation = explained.map_err(|error| match error.kind() {
                ErrorKind::NotFound => Failure::plain(Status::NotFound, error),
                _ => Failure::plain(Status::BadRequest, error),
            })?;
            told(&explanation)
        })
        .await
    }
}
