//! Leases: which process may act as the active one.
//!
//! A lease is one row. Whether it has lapsed is judged by the database's clock, unless a taker has
//! seen for itself that it is not renewed. It changes hands by an update that names the state last
//! seen, so of several takers exactly one finds it.

use std::time::Duration;

use crate::backend::{Failure, Row, Transaction, args};
use crate::store::{fits, in_transaction};
use crate::{Error, Result, Store};

/// How often a taker looks again when somebody else was at the lease between look and grasp.
const TRIES: usize = 5;

/// Which process may act as the active one, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// The node that took it. Stays when the lease is given back.
    pub node_id: String,
    /// The process that took it; empty once it is given back.
    pub instance: String,
    /// How often it has been taken, by anybody. Never falls.
    pub term: u64,
    /// By the database's clock; zero once lapsed or given back.
    pub remaining: Duration,
    /// When it lapses, by the database's clock in milliseconds since 1970; zero once given back.
    /// Every renewal changes it.
    pub expires_at: i64,
}

/// The outcome of reaching for a lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Acquired {
    /// The caller has it.
    Taken {
        /// The term that began.
        term: u64,
    },
    /// Somebody else has it.
    Held(Lease),
}

/// The outcome of a renewal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// The caller has it for another while.
    Renewed,
    /// It went to somebody else, or was given back.
    Lost(Lease),
}

/// Proof of holding: instance and term, checked inside the transaction of a write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fence {
    /// The name of the lease.
    pub lease: String,
    /// The process that took it.
    pub instance: String,
    /// The term in which it did.
    pub term: u64,
}

impl Store {
    /// Takes the lease `name` if there is none yet, if it has lapsed or was given back, or if this
    /// very instance has it (its answer to an earlier call may have been lost). Every taking
    /// raises the term by one. Time is the database's clock only, in whole milliseconds.
    ///
    /// `instance` must not be empty, and no two processes may share one.
    pub async fn acquire_lease(
        &self,
        name: &str,
        node_id: &str,
        instance: &str,
        ttl: Duration,
    ) -> Result<Acquired> {
        check(name, node_id, instance)?;
        let mut held = None;
        for _ in 0..TRIES {
            // Outside a transaction: those who wait for a lease disturb nobody.
            let seen = self.lease(name).await?;
            if let Some(lease) = &seen
                && !lease.remaining.is_zero()
                && lease.instance != instance
            {
                return Ok(Acquired::Held(lease.clone()));
            }
            if let Some(term) = self.grasp(name, node_id, instance, ttl, seen.as_ref()).await? {
                return Ok(Acquired::Taken { term });
            }
            held = seen;
        }
        held.map(Acquired::Held).ok_or_else(|| comes_and_goes(name))
    }

    /// Takes a lease from a holder who has not renewed it, as `silent` shows it, for longer than it
    /// is good for. That is for the caller to know, by a clock of its own that never goes back: the
    /// database's may have, and then the lease would lapse only when that has caught up.
    pub async fn take_silent_lease(
        &self,
        name: &str,
        node_id: &str,
        instance: &str,
        ttl: Duration,
        silent: &Lease,
    ) -> Result<Acquired> {
        check(name, node_id, instance)?;
        if let Some(term) = self.grasp(name, node_id, instance, ttl, Some(silent)).await? {
            return Ok(Acquired::Taken { term });
        }
        self.lease(name).await?.map(Acquired::Held).ok_or_else(|| comes_and_goes(name))
    }

    /// Takes the lease if it is still as it was seen; the new term.
    async fn grasp(
        &self,
        name: &str,
        node_id: &str,
        instance: &str,
        ttl: Duration,
        seen: Option<&Lease>,
    ) -> Result<Option<u64>> {
        in_transaction!(self, |tx| {
            let clock = tx.clock();
            match seen {
                None => {
                    let insert = format!(
                        "INSERT INTO congress_leases (name, node_id, instance, term, expires_at, \
                         writes) VALUES (?, ?, ?, 1, {clock} + ?, 0)"
                    );
                    let args = args![name, node_id, instance, millis(ttl)];
                    match tx.execute(insert, args).await {
                        Ok(_) => Ok(Some(1)),
                        Err(Failure::Taken) => {
                            tx.abandon();
                            Ok(None)
                        }
                        Err(failure) => Err(failure.into()),
                    }
                }
                Some(lease) => {
                    let term = lease.term.saturating_add(1);
                    let update = format!(
                        "UPDATE congress_leases SET node_id = ?, instance = ?, term = ?, \
                         expires_at = {clock} + ? \
                         WHERE name = ? AND instance = ? AND term = ? AND expires_at = ?"
                    );
                    let args = args![
                        node_id,
                        instance,
                        term,
                        millis(ttl),
                        name,
                        &lease.instance,
                        lease.term,
                        lease.expires_at,
                    ];
                    Ok((tx.execute(update, args).await? > 0).then_some(term))
                }
            }
        })
    }

    /// Extends a lease, if instance and term are still the holder's (also when it has lapsed but
    /// nobody has taken it).
    pub async fn renew_lease(&self, fence: &Fence, ttl: Duration) -> Result<Renewed> {
        let renewed = in_transaction!(self, |tx| {
            let update = format!(
                "UPDATE congress_leases SET expires_at = {} + ? \
                     WHERE name = ? AND instance = ? AND term = ?",
                tx.clock()
            );
            let args = args![millis(ttl), &fence.lease, &fence.instance, fence.term];
            Ok(tx.execute(update, args).await? > 0)
        })?;
        match renewed {
            true => Ok(Renewed::Renewed),
            false => Ok(Renewed::Lost(self.lease(&fence.lease).await?.unwrap_or(Lease {
                node_id: String::new(),
                instance: String::new(),
                term: 0,
                remaining: Duration::ZERO,
                expires_at: 0,
            }))),
        }
    }

    /// Gives a lease back at a graceful stop, so that a standby takes over at once. Does nothing
    /// if it is no longer held.
    pub async fn release_lease(&self, fence: &Fence) -> Result<()> {
        in_transaction!(self, |tx| {
            const RELEASE: &str = "UPDATE congress_leases SET instance = '', expires_at = 0 \
                 WHERE name = ? AND instance = ? AND term = ?";
            tx.execute(RELEASE, args![&fence.lease, &fence.instance, fence.term]).await?;
            Ok(())
        })
    }

    /// A lease, if it was ever taken.
    pub async fn lease(&self, name: &str) -> Result<Option<Lease>> {
        let clock = self.backend.clock();
        let select = format!(
            "SELECT node_id, instance, term, expires_at, {clock} FROM congress_leases \
             WHERE name = ?"
        );
        self.backend.rows(select, args![name]).await?.first().map(read).transpose()
    }

    /// Why a write that is bound to a lease was not made.
    pub(crate) async fn fenced(&self, fence: Option<&Fence>) -> Error {
        let lease = fence.map(|fence| fence.lease.clone()).unwrap_or_default();
        match self.lease(&lease).await {
            Ok(held_by) => Error::Fenced { lease, held_by: held_by.map(Box::new) },
            Err(error) => error,
        }
    }
}

/// Makes a change that only the holder of a lease may make, as [`in_transaction`] does. The fence
/// is optional: without one anybody may. [`Error::Fenced`] if the caller does not hold the lease
/// (any more): then nothing has changed.
macro_rules! in_fenced_transaction {
    ($store:expr, $fence:expr, |$tx:ident| $work:block) => {{
        let fence: Option<&$crate::Fence> = $fence;
        let outcome = $crate::store::in_transaction!($store, |tx| {
            let $tx = &mut *tx;
            let value = $crate::store::outcome(async { $work }).await?;
            // Last, for the row stays locked until the end, and a renewal must not wait.
            if $crate::lease::holds(tx, fence).await? {
                return Ok(Some(value));
            }
            tx.abandon();
            Ok(None)
        });
        match outcome {
            Ok(Some(value)) => Ok(value),
            Ok(None) => Err($store.fenced(fence).await),
            Err(error) => Err(error),
        }
    }};
}
pub(crate) use in_fenced_transaction;

/// Whether a fence holds. It then does until the transaction ends, for whoever takes the lease
/// must change the same row.
pub(crate) async fn holds(tx: &mut Transaction, fence: Option<&Fence>) -> Result<bool> {
    let Some(fence) = fence else { return Ok(true) };
    const TOUCH: &str = "UPDATE congress_leases SET writes = writes + 1 \
         WHERE name = ? AND instance = ? AND term = ?";
    Ok(tx.execute(TOUCH, args![&fence.lease, &fence.instance, fence.term]).await? > 0)
}

fn millis(ttl: Duration) -> i64 {
    i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX / 4)
}

/// Checks who wants a lease.
fn check(name: &str, node_id: &str, instance: &str) -> Result<()> {
    fits("congress_leases.name", name, 255)?;
    fits("congress_leases.node_id", node_id, 255)?;
    fits("congress_leases.instance", instance, 255)?;
    match instance {
        "" => Err(Error::Unexpected { reason: "a lease needs an instance".into() }),
        _ => Ok(()),
    }
}

fn comes_and_goes(name: &str) -> Error {
    Error::Unexpected { reason: format!("lease '{name}' comes and goes") }
}

fn read(row: &Row) -> Result<Lease> {
    let instance = row.text(1)?;
    let expires_at = row.int(3)?;
    let remaining = if instance.is_empty() { 0 } else { expires_at.saturating_sub(row.int(4)?) };
    Ok(Lease {
        node_id: row.text(0)?,
        term: u64::try_from(row.int(2)?).unwrap_or(0),
        remaining: Duration::from_millis(u64::try_from(remaining).unwrap_or(0)),
        instance,
        expires_at,
    })
}
