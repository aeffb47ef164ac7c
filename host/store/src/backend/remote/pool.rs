//! Connections to a server.
//!
//! A pool of our own, for one reason: a connection may be half open (its host died, a firewall
//! forgot it), and then nothing that waits for it may wait without bound, not even the closing of
//! it. So a connection on which something went wrong, or whose user gave up, is never handed on
//! and never talked to again: its socket is closed, and the server rolls back.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::System;
use crate::attempts::{Cause, Failed};
use crate::{Error, Options, Result};

/// A connection that has been idle for longer is asked whether it lives before it is used.
const FRESH: Duration = Duration::from_secs(1);

/// How long an idle connection is kept.
const IDLE: Duration = Duration::from_secs(300);

/// How old a connection may get: behind a balancer the set of servers changes.
const OLD: Duration = Duration::from_secs(3600);

/// How long saying goodbye takes at most, for all connections together.
const CLOSING: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pool<S: System> {
    connect: S::Connect,
    setup: String,
    connect_timeout: Duration,
    wait: Duration,
    size: u32,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Idle<S>>>,
    /// Raised when idle connections are no longer to be trusted.
    generation: AtomicU64,
    closed: AtomicBool,
}

#[derive(Debug)]
struct Idle<S: System> {
    connection: S::Connection,
    made: Instant,
    since: Instant,
}

/// A connection in use. Dropping it closes it; [`Self::give_back`] keeps it.
#[derive(Debug)]
pub(super) struct Leased<S: System> {
    pub(super) connection: S::Connection,
    made: Instant,
    generation: u64,
    pool: Arc<Pool<S>>,
    _permit: OwnedSemaphorePermit,
}

impl<S: System> Pool<S> {
    /// `setup` is what every new connection runs first.
    pub(super) fn new(connect: S::Connect, setup: String, options: &Options) -> Arc<Self> {
        let size = options.max_connections.max(1);
        Arc::new(Self {
            connect,
            setup,
            connect_timeout: options.connect_timeout,
            wait: options.wait,
            size,
            permits: Arc::new(Semaphore::new(usize::try_from(size).unwrap_or(usize::MAX >> 4))),
            idle: Mutex::new(Vec::new()),
            generation: AtomicU64::new(0),
            closed: AtomicBool::new(false),
        })
    }

    /// A connection that works, by `deadline`. Once it is its turn, a server that does not answer
    /// costs the caller no more than the connect timeout.
    pub(super) async fn acquire(self: &Arc<Self>, deadline: Instant) -> Result<Leased<S>, Failed> {
        let permit = match timeout_at(deadline, self.permits.clone().acquire_owned()).await {
            Ok(Ok(permit)) => permit,
            Ok(Err(_)) => return Err(closed()),
            Err(_) => {
                let reason = format!("all {} connections to it are in use", self.size);
                return Err(Error::Unavailable { reason }.into());
            }
        };
        if self.closed.load(Ordering::Acquire) {
            return Err(closed());
        }
        let start = Instant::now();
        let until = deadline.min(start + self.connect_timeout);
        let generation = self.generation.load(Ordering::Acquire);
        let leased = |connection, made| Leased {
            connection,
            made,
            generation,
            pool: self.clone(),
            _permit: permit,
        };
        if let Some(Idle { mut connection, made, since }) = self.take_idle() {
            if since.elapsed() < FRESH {
                return Ok(leased(connection, made));
            }
            // Half of the time: there must be some left for a new one.
            let half = deadline.min(start + self.connect_timeout / 2);
            if matches!(timeout_at(half, S::ping(&mut connection)).await, Ok(Ok(()))) {
                return Ok(leased(connection, made));
            }
            self.distrust();
        }
        match timeout_at(until, S::connect(&self.connect, &self.setup)).await {
            Ok(Ok(connection)) => Ok(leased(connection, Instant::now())),
            Ok(Err(error)) => {
                let (_, error) = S::sort(error);
                Err(error.into())
            }
            Err(_) => {
                let reason = format!("the server does not answer within {:?}", start.elapsed());
                Err(Error::Unavailable { reason }.into())
            }
        }
    }

    /// Forgets all idle connections: one has turned out to be dead, or to lead to a server that is
    /// of no use now.
    pub(super) fn distrust(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// Closes idle connections now and the others when they come back; there will be no more.
    pub(super) async fn close(&self) {
        self.closed.store(true, Ordering::Release);
        // Running operations end first; all have this deadline.
        let all = self.permits.acquire_many(self.size);
        let _ = timeout_at(Instant::now() + self.wait, all).await;
        self.permits.close();
        let deadline = Instant::now() + CLOSING;
        let idle = std::mem::take(&mut *self.idle.lock().unwrap_or_else(PoisonError::into_inner));
        for Idle { connection, .. } in idle {
            let _ = timeout_at(deadline, S::close(connection)).await;
        }
    }

    fn take_idle(&self) -> Option<Idle<S>> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.retain(|idle| idle.since.elapsed() < IDLE && idle.made.elapsed() < OLD);
        idle.pop()
    }
}

impl<S: System> Leased<S> {
    /// Keeps the connection for others. To be called only if nothing is under way on it.
    pub(super) fn give_back(self) {
        let Self { connection, made, generation, pool, _permit } = self;
        let mut idle = pool.idle.lock().unwrap_or_else(PoisonError::into_inner);
        let trusted = generation == pool.generation.load(Ordering::Acquire);
        if trusted && !pool.closed.load(Ordering::Acquire) {
            idle.push(Idle { connection, made, since: Instant::now() });
        }
    }

    /// Drops the connection, and the others with it if its server is of no use.
    pub(super) fn give_up(self, cause: Cause) {
        if cause == Cause::Lost {
            self.pool.distrust();
        }
    }
}

fn closed() -> Failed {
    Error::Unavailable { reason: "its connections were closed".into() }.into()
}
