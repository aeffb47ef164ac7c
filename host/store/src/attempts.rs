//! Trying a change again when trying again helps, within bounds.

use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, sleep_until, timeout_at};
use uuid::Uuid;

use crate::{Error, Result};

/// How often a change is tried that collides with others (deadlocks, failed certification).
const COLLISIONS: u32 = 10;

/// Longest pause before the second attempt of a change that collided; it grows by as much with
/// each, and is random below that, so that those who collided do not meet again.
const PAUSE: Duration = Duration::from_millis(20);

/// Why an attempt failed, as far as it matters for another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Cause {
    /// Others were in the way, and nothing was changed.
    Collision,
    /// The connection was lost, or the server said that it is of no use, and nothing was changed.
    Lost,
    /// Anything else.
    Final,
}

/// An attempt that failed.
#[derive(Debug)]
pub(crate) struct Failed {
    pub(crate) error: Error,
    pub(crate) cause: Cause,
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self { error, cause: Cause::Final }
    }
}

/// The attempts at one operation.
pub(crate) struct Attempts {
    /// When the operation has to be over; none where the system has bounds of its own.
    deadline: Option<Instant>,
    wait: Duration,
    /// Whether the operation changes anything.
    changes: bool,
    collisions: u32,
    lost: bool,
}

impl Attempts {
    /// For an operation that takes at most `wait`.
    pub(crate) fn within(wait: Duration, changes: bool) -> Self {
        let deadline = Some(Instant::now() + wait);
        Self { deadline, wait, changes, collisions: 0, lost: false }
    }

    /// For an operation whose system bounds it.
    pub(crate) fn unbounded() -> Self {
        Self { deadline: None, wait: Duration::ZERO, changes: true, collisions: 0, lost: false }
    }

    /// Makes an attempt. Nothing if there has to be another.
    pub(crate) async fn run<T>(
        &mut self,
        attempt: impl Future<Output = Result<T, Failed>>,
    ) -> Option<Result<T>> {
        let outcome = match self.deadline {
            None => attempt.await,
            Some(deadline) => match timeout_at(deadline, attempt).await {
                Ok(outcome) => outcome,
                Err(_) => return Some(Err(self.too_late())),
            },
        };
        let Failed { error, cause } = match outcome {
            Ok(value) => return Some(Ok(value)),
            Err(failed) => failed,
        };
        match cause {
            Cause::Collision if self.collisions + 1 < COLLISIONS => {
                self.collisions += 1;
                let until = Instant::now() + pause(self.collisions);
                if self.deadline.is_some_and(|deadline| deadline <= until) {
                    return Some(Err(error));
                }
                sleep_until(until).await;
                None
            }
            Cause::Collision => Some(Err(Error::Unavailable {
                reason: format!("{COLLISIONS} attempts collided with other writers: {error}"),
            })),
            Cause::Lost if !self.lost => {
                self.lost = true;
                None
            }
            Cause::Lost | Cause::Final => Some(Err(error)),
        }
    }

    fn too_late(&self) -> Error {
        let unknown = if self.changes { "; whether the change was made is not known" } else { "" };
        Error::Unavailable { reason: format!("no answer within {:?}{unknown}", self.wait) }
    }
}

/// A random pause, longer on average after each collision.
fn pause(collisions: u32) -> Duration {
    let longest = (PAUSE * collisions).as_micros().max(1);
    let random = Uuid::new_v4().as_u128() % longest;
    Duration::from_micros(u64::try_from(random).unwrap_or_default())
}
