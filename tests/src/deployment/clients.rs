//! Clients that go on and on, and keep account of what they were answered.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::future::BoxFuture;
use tokio::task::JoinHandle;

/// One attempt of a client.
#[derive(Clone, Debug)]
pub struct Attempt {
    /// When it began.
    pub begun: Instant,
    /// When it was answered, or given up.
    pub ended: Instant,
    /// What went wrong, if something did.
    pub failure: Option<String>,
}

/// A client that tries the same again and again, as a task of its own. It ends when dropped.
#[derive(Debug)]
pub struct Client {
    attempts: Arc<Mutex<Vec<Attempt>>>,
    task: JoinHandle<()>,
}

impl Client {
    /// Starts one that pauses between two attempts.
    pub fn start(
        pause: Duration,
        mut attempt: impl FnMut() -> BoxFuture<'static, Result<(), String>> + Send + 'static,
    ) -> Self {
        let attempts = Arc::new(Mutex::new(Vec::new()));
        let kept = Arc::clone(&attempts);
        let task = tokio::spawn(async move {
            loop {
                let begun = Instant::now();
                let failure = attempt().await.err();
                let attempt = Attempt { begun, ended: Instant::now(), failure };
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(attempt);
                tokio::time::sleep(pause).await;
            }
        });
        Self { attempts, task }
    }

    /// Whether an attempt that began after a time has succeeded, of those that were not taken yet.
    pub fn has_succeeded_since(&self, time: Instant) -> bool {
        let attempts = self.attempts.lock().unwrap_or_else(PoisonError::into_inner);
        attempts.iter().rev().any(|a| a.begun >= time && a.failure.is_none())
    }

    /// Its attempts since the last call.
    pub fn take(&self) -> Vec<Attempt> {
        std::mem::take(&mut *self.attempts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a client saw of a disturbance.
#[derive(Clone, Debug, Default)]
pub struct Outage {
    /// How many attempts it made.
    pub attempts: usize,
    /// How many of them failed.
    pub failed: usize,
    /// The longest time from one success to the next.
    pub gap: Duration,
    /// How long after the begin the last attempt began that failed.
    pub last_failure: Option<Duration>,
    /// How the first failure read.
    pub example: Option<String>,
}

impl Outage {
    /// Of attempts that ended between two times.
    pub fn of(attempts: &[Attempt], begin: Instant, end: Instant) -> Self {
        let mut outage = Self::default();
        let mut success = begin;
        let within = attempts.iter().filter(|a| a.ended >= begin && a.ended <= end);
        for attempt in within {
            outage.attempts += 1;
            match &attempt.failure {
                None => {
                    outage.gap = outage.gap.max(attempt.ended - success);
                    success = attempt.ended;
                }
                Some(failure) => {
                    outage.failed += 1;
                    outage.last_failure = Some(attempt.begun.saturating_duration_since(begin));
                    outage.example.get_or_insert_with(|| failure.clone());
                }
            }
        }
        outage.gap = outage.gap.max(end.saturating_duration_since(success));
        outage
    }
}
