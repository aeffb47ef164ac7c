//! Reading the ledger.

use super::model::{read, select, table_key};
use super::{ActionFilter, ActionRecord};
use crate::backend::{Arg, args};
use crate::{Error, Kind, Result, Store};

impl Store {
    /// An entry, by its id.
    pub async fn action(&self, id: &str) -> Result<ActionRecord> {
        let rows = self.backend.rows(select("WHERE id = ?"), args![id]).await?;
        rows.first()
            .ok_or_else(|| Error::NotFound { kind: Kind::Action, key: id.to_owned() })
            .and_then(read)
    }

    /// Entries, those begun last first: at most `limit`, from the one after `marker` (an id) on.
    pub async fn actions(
        &self,
        filter: &ActionFilter,
        limit: u32,
        marker: Option<&str>,
    ) -> Result<Vec<ActionRecord>> {
        let mut conditions = vec!["1 = 1"];
        let mut args: Vec<Arg<'_>> = Vec::new();
        let texts = [
            ("policy = ?", filter.policy.as_deref()),
            ("service = ?", filter.service.as_deref()),
            ("action = ?", filter.action.as_deref()),
            ("state = ?", filter.state.map(|state| state.name())),
        ];
        for (condition, text) in texts {
            if let Some(text) = text {
                conditions.push(condition);
                args.push(text.into());
            }
        }
        if let Some(present) = filter.present {
            conditions.push("present = ?");
            args.push(present.into());
        }
        if let Some(marker) = marker {
            const TIME: &str = "SELECT requested_at FROM congress_actions WHERE id = ?";
            let rows = self.backend.rows(TIME, args![marker]).await?;
            let row = rows
                .first()
                .ok_or_else(|| Error::NotFound { kind: Kind::Action, key: marker.to_owned() })?;
            let time = row.int(0)?;
            conditions.push("(requested_at < ? OR (requested_at = ? AND id < ?))");
            args.extend(args![time, time, marker]);
        }
        let query = select(&format!(
            "WHERE {} ORDER BY requested_at DESC, id DESC LIMIT {limit}",
            conditions.join(" AND ")
        ));
        self.backend.rows(query, args).await?.iter().map(read).collect()
    }

    /// The ids of a table's entries whose row is there: at most `limit`, in order, from the one
    /// after `after` on. So that a whole table can be compared with the ledger page by page.
    pub async fn present_actions(
        &self,
        policy: &str,
        service: &str,
        action: &str,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<String>> {
        let query = format!(
            "SELECT id FROM congress_actions \
             WHERE table_key = ? AND present = TRUE AND id > ? ORDER BY id LIMIT {limit}"
        );
        let args = args![table_key(policy, service, action), after.unwrap_or_default()];
        self.backend.rows(query, args).await?.iter().map(|row| row.text(0)).collect()
    }

    /// The tables that have entries whose row is there: policy, service and action.
    pub async fn tables_with_present_actions(&self) -> Result<Vec<(String, String, String)>> {
        const TABLES: &str = "SELECT DISTINCT policy, service, action FROM congress_actions \
             WHERE present = TRUE ORDER BY policy, service, action";
        let rows = self.backend.rows(TABLES, args![]).await?;
        rows.iter().map(|row| Ok((row.text(0)?, row.text(1)?, row.text(2)?))).collect()
    }
}
