//! Answers with all rows of a table, kept for as long as nothing changes that they come of.
//!
//! Dashboards and scripts ask for the same tables again and again; what a table's rules give, and
//! the text of it, is made once for each state of the engine.

use axum::response::Response;
use bytes::Bytes;
use congress_policy::StateId;
use http::{HeaderMap, HeaderValue};
use moka::future::Cache;

use super::answer::{Rows, RowsBody};
use super::rows;
use crate::engine::EngineHandle;
use crate::failure::{Answer, Failure};

/// The longest body that is kept, in bytes.
const LONGEST: usize = 8 << 20;

/// How many bytes are kept in all.
const MOST: u64 = 64 << 20;

/// What an entry takes besides its texts.
const OVERHEAD: usize = 256;

/// The answers, by policy and table as clients name them.
#[derive(Clone)]
pub struct KeptAnswers(Cache<(String, String), Kept>);

#[derive(Clone)]
struct Kept {
    of: StateId,
    tag: HeaderValue,
    body: Bytes,
}

impl Default for KeptAnswers {
    fn default() -> Self {
        let size = |(policy, table): &(String, String), kept: &Kept| {
            u32::try_from(OVERHEAD + policy.len() + table.len() + kept.body.len())
                .unwrap_or(u32::MAX)
        };
        Self(Cache::builder().max_capacity(MOST).weigher(size).build())
    }
}

impl KeptAnswers {
    /// Answers with all rows of a table of a policy.
    pub(super) async fn rows(
        &self,
        engine: &EngineHandle,
        policy: String,
        table: String,
        headers: &HeaderMap,
    ) -> Answer<Response> {
        let key = (policy, table);
        if let Some(kept) = self.0.get(&key).await
            && engine.is_latest(&kept.of)
        {
            return Ok(rows::respond(headers, kept.tag, || kept.body.into()));
        }
        let found = engine.table_rows(&key.0, &key.1).await?;
        let answer = Rows { rows: found.rows, trace: None, next_marker: None };
        let Some(of) = found.of else { return rows::answer(headers, answer).await };
        let much = rows::is_much(&answer.rows);
        let work = move || (rows::tag(&answer.rows, None), answer.into_body(LONGEST));
        let (tag, body) = rows::aside(much, work).await?;
        let tag = HeaderValue::try_from(tag).map_err(Failure::internal)?;
        if let RowsBody::Whole(body) = &body {
            let kept = Kept { of, tag: tag.clone(), body: body.clone() };
            self.0.insert(key, kept).await;
        }
        Ok(rows::respond(headers, tag, || body.into()))
    }
}
