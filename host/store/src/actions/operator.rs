//! What an operator does about actions that failed, or whose outcome is not known.

use super::model::MAX_REASON;
use super::{ActionRecord, ActionState, Begin, find};
use crate::backend::args;
use crate::lease::in_fenced_transaction;
use crate::store::in_transaction;
use crate::{Error, Fence, Kind, Result, Store};

impl Store {
    /// Begins an action again that has failed, or whose outcome is not known, whether its row is
    /// there or not. Of any other it says what is known.
    pub async fn repeat_action(&self, id: &str, fence: &Fence) -> Result<Begin> {
        in_fenced_transaction!(self, Some(fence), |tx| {
            let record = find(tx, &[id.to_owned()]).await?.into_iter().next();
            let record =
                record.ok_or_else(|| Error::NotFound { kind: Kind::Action, key: id.to_owned() })?;
            if !is_open(&record) {
                return Ok(Begin::Known(record));
            }
            let update = format!(
                "UPDATE congress_actions SET state = 'running', attempts = attempts + 1, \
                 term = ?, instance = ?, requested_at = {}, finished_at = NULL, error = NULL \
                 WHERE state IN ('failed', 'unknown') AND id = ?",
                tx.clock()
            );
            match tx.execute(update, args![fence.term, &fence.instance, id]).await? {
                1 => Ok(Begin::Begun { id: record.id }),
                _ => {
                    Err(Error::Unexpected { reason: "an action changed while it was begun".into() })
                }
            }
        })
    }

    /// Records that an operator has seen to an action that failed, or whose outcome was not known:
    /// it counts as done, with a note of what it was. False if it is neither, and stays as it is.
    pub async fn settle_action(&self, id: &str) -> Result<bool> {
        in_transaction!(self, |tx| {
            let record = find(tx, &[id.to_owned()]).await?.into_iter().next();
            let record =
                record.ok_or_else(|| Error::NotFound { kind: Kind::Action, key: id.to_owned() })?;
            if !is_open(&record) {
                return Ok(false);
            }
            let was = record.state.name();
            let note = match &record.error {
                Some(error) => format!("settled by an operator; it was {was}: {error}"),
                None => format!("settled by an operator; it was {was}"),
            };
            let note: String = note.chars().take(MAX_REASON).collect();
            const SETTLE: &str = "UPDATE congress_actions SET state = 'done', error = ? \
                 WHERE state IN ('failed', 'unknown') AND id = ?";
            Ok(tx.execute(SETTLE, args![&note, id]).await? > 0)
        })
    }
}

fn is_open(record: &ActionRecord) -> bool {
    matches!(record.state, ActionState::Failed | ActionState::Unknown)
}
