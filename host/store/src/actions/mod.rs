//! The ledger of actions that rules asked for: which were begun, and how they ended.
//!
//! It is what makes an action happen once, whatever fails: an action is entered before it is
//! carried out, in a transaction that only the active datasource node can commit
//! ([`Fence`]), and its end is entered when it is known.

mod list;
mod model;
mod operator;

pub use model::{ActionFilter, ActionKey, ActionRecord, ActionState, Begin, MAX_REASON, Outcome};

use std::collections::{BTreeMap, HashMap};
use std::iter::repeat_n;
use std::time::Duration;

use crate::backend::{Arg, Failure, Transaction, args};
use crate::lease::in_fenced_transaction;
use crate::{Error, Fence, Kind, Result, Store};

use model::{read, select};

/// How many entries one statement concerns.
const PIECE: usize = 500;

/// How many bytes of arguments one statement carries at most, unless a single entry has more.
/// Well below the packet limits of database servers.
const PIECE_BYTES: usize = 1 << 20;

impl Store {
    /// Begins an action: see [`Self::begin_actions`].
    pub async fn begin_action(&self, key: &ActionKey, fence: &Fence) -> Result<Begin> {
        let begun = self.begin_actions(std::slice::from_ref(key), fence).await?;
        begun
            .into_iter()
            .next()
            .ok_or_else(|| Error::Unexpected { reason: "an action was not begun".into() })
    }

    /// Enters actions as running and present: those that the ledger does not have, and those
    /// whose row had gone away and that are not running. Of the others it says what is known. One
    /// answer per key, in their order; all in one transaction, whose size the caller bounds.
    pub async fn begin_actions(&self, keys: &[ActionKey], fence: &Fence) -> Result<Vec<Begin>> {
        keys.iter().try_for_each(ActionKey::check)?;
        let ids: Vec<String> = keys.iter().map(ActionKey::id).collect();
        let known = in_fenced_transaction!(self, Some(fence), |tx| {
            let mut known: HashMap<String, ActionRecord> = HashMap::new();
            for piece in ids.chunks(PIECE) {
                for record in find(tx, piece).await? {
                    known.insert(record.id.clone(), record);
                }
            }
            let mut new: BTreeMap<&str, &ActionKey> = BTreeMap::new();
            let mut returned: BTreeMap<&str, ()> = BTreeMap::new();
            for (id, key) in ids.iter().zip(keys) {
                match known.get(id) {
                    None => _ = new.insert(id, key),
                    Some(record) if restarts(record) => _ = returned.insert(id, ()),
                    Some(_) => {}
                }
            }
            let new: Vec<_> = new.into_iter().collect();
            for piece in pieces(&new) {
                enter(tx, piece, fence).await?;
            }
            let returned: Vec<&str> = returned.into_keys().collect();
            for piece in returned.chunks(PIECE) {
                restart(tx, piece, "present = FALSE AND state <> 'running'", fence).await?;
            }
            Ok(known)
        })?;

        let mut begun: HashMap<&str, &ActionKey> = HashMap::new();
        let mut answers = Vec::with_capacity(keys.len());
        for (id, key) in ids.iter().zip(keys) {
            answers.push(match known.get(id) {
                Some(record) if !restarts(record) => Begin::Known(record.clone()),
                // The same key a second time in one call: the first has begun it.
                before if begun.insert(id, key).is_some() => {
                    Begin::Known(running(id, key, before, fence))
                }
                _ => Begin::Begun { id: id.clone() },
            });
        }
        Ok(answers)
    }

    /// Records how an action ended that this holder has begun.
    pub async fn finish_action(&self, id: &str, outcome: Outcome, fence: &Fence) -> Result<()> {
        match self.finish_actions(&[(id.to_owned(), outcome)], fence).await? {
            0 => Err(Error::NotFound { kind: Kind::Action, key: id.to_owned() }),
            _ => Ok(()),
        }
    }

    /// Records how actions ended. How many of them were running in this term; others stay as they
    /// are.
    pub async fn finish_actions(
        &self,
        outcomes: &[(String, Outcome)],
        fence: &Fence,
    ) -> Result<u64> {
        let mut alike: BTreeMap<&Outcome, Vec<&str>> = BTreeMap::new();
        for (id, outcome) in outcomes {
            alike.entry(outcome).or_default().push(id);
        }
        in_fenced_transaction!(self, Some(fence), |tx| {
            let mut finished = 0;
            for (outcome, ids) in &alike {
                for piece in ids.chunks(PIECE) {
                    let update = format!(
                        "UPDATE congress_actions SET state = ?, finished_at = {}, error = ? \
                         WHERE state = 'running' AND term = ? AND instance = ? AND id IN ({})",
                        tx.clock(),
                        marks(piece.len())
                    );
                    let mut args = args![
                        outcome.state().name(),
                        Arg::OptionalText(outcome.reason().map(Into::into)),
                        fence.term,
                        &fence.instance,
                    ];
                    args.extend(piece.iter().map(|id| Arg::from(*id)));
                    finished += tx.execute(update, args).await?;
                }
            }
            Ok(finished)
        })
    }

    /// Begins an action again that has failed and whose row is still there. Of any other it says
    /// what is known.
    pub async fn retry_action(&self, id: &str, fence: &Fence) -> Result<Begin> {
        in_fenced_transaction!(self, Some(fence), |tx| {
            let record = find(tx, &[id.to_owned()]).await?.into_iter().next();
            let Some(record) = record else {
                return Err(Error::NotFound { kind: Kind::Action, key: id.to_owned() });
            };
            if record.state != ActionState::Failed || !record.present {
                return Ok(Begin::Known(record));
            }
            restart(tx, &[id], "present = TRUE AND state = 'failed'", fence).await?;
            Ok(Begin::Begun { id: record.id })
        })
    }

    /// Records that rows have gone from the table that is followed: their return begins the
    /// action again. How many were there before.
    pub async fn rows_gone(&self, ids: &[String], fence: &Fence) -> Result<u64> {
        in_fenced_transaction!(self, Some(fence), |tx| {
            let mut gone = 0;
            for piece in ids.chunks(PIECE) {
                let update = format!(
                    "UPDATE congress_actions SET present = FALSE, absent_since = {} \
                     WHERE present = TRUE AND id IN ({})",
                    tx.clock(),
                    marks(piece.len())
                );
                let args = piece.iter().map(Arg::from).collect();
                gone += tx.execute(update, args).await?;
            }
            Ok(gone)
        })
    }

    /// Marks as unknown what others have begun and not ended: earlier terms, other processes. They
    /// come back, marked, to be reported. To be called by a new holder before it begins anything.
    pub async fn abandon_running(&self, fence: &Fence) -> Result<Vec<ActionRecord>> {
        const REASON: &str = "the process that began it ended before it did";
        let mut abandoned = Vec::new();
        loop {
            let piece = in_fenced_transaction!(self, Some(fence), |tx| {
                let running = select(
                    "WHERE state = 'running' AND NOT (term = ? AND instance = ?) \
                         ORDER BY requested_at LIMIT 500",
                );
                let rows = tx.rows(running, args![fence.term, &fence.instance]).await?;
                let records = rows.iter().map(read).collect::<Result<Vec<_>>>()?;
                if records.is_empty() {
                    return Ok(records);
                }
                let update = format!(
                    "UPDATE congress_actions SET state = 'unknown', finished_at = {}, \
                         error = ? WHERE state = 'running' AND id IN ({})",
                    tx.clock(),
                    marks(records.len())
                );
                let mut args = args![REASON];
                args.extend(records.iter().map(|record| Arg::from(&record.id)));
                tx.execute(update, args).await?;
                let ids: Vec<String> = records.into_iter().map(|record| record.id).collect();
                find(tx, &ids).await
            })?;
            if piece.is_empty() {
                return Ok(abandoned);
            }
            abandoned.extend(piece);
        }
    }

    /// Forgets actions that have ended and whose row has been gone for `longer_than`: at most
    /// `limit` of them. How many it were.
    pub async fn forget_absent(
        &self,
        longer_than: Duration,
        limit: u32,
        fence: &Fence,
    ) -> Result<u64> {
        let age = i64::try_from(longer_than.as_millis()).unwrap_or(i64::MAX / 4);
        in_fenced_transaction!(self, Some(fence), |tx| {
            let old = format!(
                "SELECT id FROM congress_actions WHERE absent_since < {} - ? \
                 AND present = FALSE AND state <> 'running' LIMIT {limit}",
                tx.clock()
            );
            let rows = tx.rows(old, args![age]).await?;
            let ids = rows.iter().map(|row| row.text(0)).collect::<Result<Vec<_>>>()?;
            let mut forgotten = 0;
            for piece in ids.chunks(PIECE) {
                let delete = format!(
                    "DELETE FROM congress_actions WHERE present = FALSE AND state <> 'running' \
                     AND id IN ({})",
                    marks(piece.len())
                );
                forgotten += tx.execute(delete, piece.iter().map(Arg::from).collect()).await?;
            }
            Ok(forgotten)
        })
    }
}

/// Whether a row that comes (back) begins the action again.
fn restarts(record: &ActionRecord) -> bool {
    !record.present && record.state != ActionState::Running
}

/// An entry as a call that has begun it leaves it; `before` is what it was.
fn running(
    id: &str,
    key: &ActionKey,
    before: Option<&ActionRecord>,
    fence: &Fence,
) -> ActionRecord {
    ActionRecord {
        id: id.to_owned(),
        key: key.clone(),
        present: true,
        state: ActionState::Running,
        attempts: before.map_or(0, |record| record.attempts) + 1,
        term: fence.term,
        instance: fence.instance.clone(),
        requested_at: time::OffsetDateTime::now_utc(),
        finished_at: None,
        error: None,
    }
}

/// Looks entries up by id.
async fn find(tx: &mut Transaction, ids: &[String]) -> Result<Vec<ActionRecord>> {
    let query = select(&format!("WHERE id IN ({})", marks(ids.len())));
    let rows = tx.rows(query, ids.iter().map(Arg::from).collect()).await?;
    rows.iter().map(read).collect()
}

/// Enters new actions as running and present.
async fn enter(tx: &mut Transaction, actions: &[(&str, &ActionKey)], fence: &Fence) -> Result<()> {
    let row =
        format!("(?, ?, ?, ?, ?, ?, TRUE, 'running', 1, ?, ?, {}, NULL, NULL, NULL)", tx.clock());
    let insert = format!(
        "INSERT INTO congress_actions (id, table_key, policy, service, action, args, present, \
         state, attempts, term, instance, requested_at, finished_at, absent_since, error) \
         VALUES {}",
        list(&row, actions.len())
    );
    let mut args = Vec::with_capacity(actions.len() * 8);
    for (id, key) in actions {
        args.extend(args![
            *id,
            key.table_key(),
            &key.policy,
            &key.service,
            &key.action,
            &key.args,
            fence.term,
            &fence.instance,
        ]);
    }
    match tx.execute(insert, args).await {
        Ok(_) => Ok(()),
        // Another task of this process entered one meanwhile.
        Err(Failure::Taken) => Err(tx.collided()),
        Err(failure) => Err(failure.into()),
    }
}

/// Has entries run again that are as `condition` says.
async fn restart(
    tx: &mut Transaction,
    ids: &[&str],
    condition: &'static str,
    fence: &Fence,
) -> Result<()> {
    let update = format!(
        "UPDATE congress_actions SET state = 'running', present = TRUE, \
         attempts = attempts + 1, term = ?, instance = ?, requested_at = {}, finished_at = NULL, \
         absent_since = NULL, error = NULL WHERE {condition} AND id IN ({})",
        tx.clock(),
        marks(ids.len())
    );
    let mut args = args![fence.term, &fence.instance];
    args.extend(ids.iter().map(|id| Arg::from(*id)));
    match tx.execute(update, args).await? {
        restarted if restarted == ids.len() as u64 => Ok(()),
        _ => Err(tx.collided()),
    }
}

/// Cuts new entries so that no statement is too large.
fn pieces<'a>(
    new: &'a [(&'a str, &'a ActionKey)],
) -> impl Iterator<Item = &'a [(&'a str, &'a ActionKey)]> {
    let mut rest = new;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fitting = rest.iter().take(PIECE).take_while(|(_, key)| {
            bytes += key.args.len();
            bytes <= PIECE_BYTES
        });
        let (piece, after) = rest.split_at_checked(fitting.count().max(1))?;
        rest = after;
        Some(piece)
    })
}

/// `?, ?, …`, `count` of them.
fn marks(count: usize) -> String {
    list("?", count)
}

fn list(item: &str, count: usize) -> String {
    repeat_n(item, count).collect::<Vec<_>>().join(", ")
}
