//! How many requests of one datasource are under way, and how many begin per second.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::SendError;
use crate::Limits;

/// The pace of one datasource, over all its calls. Requests wait for their turn, for a while.
pub(crate) struct Pace {
    concurrent: usize,
    under_way: Arc<Semaphore>,
    per_second: u32,
    /// When the request after the last one would begin if they came evenly.
    even: Mutex<Instant>,
    /// How long a request waits at most.
    patience: Duration,
}

/// So many seconds' worth of requests may begin at once.
const BURST: Duration = Duration::from_secs(1);

impl Pace {
    pub(crate) fn new(limits: &Limits) -> Self {
        let concurrent = limits.concurrent_requests.clamp(1, Semaphore::MAX_PERMITS);
        Self {
            concurrent,
            under_way: Arc::new(Semaphore::new(concurrent)),
            per_second: limits.requests_per_second.max(1),
            even: Mutex::new(Instant::now()),
            patience: limits.request_timeout,
        }
    }

    /// Waits until one more request may begin; it counts as under way as long as the answer lives.
    pub(crate) async fn turn(&self) -> Result<OwnedSemaphorePermit, SendError> {
        let permit = tokio::time::timeout(self.patience, self.under_way.clone().acquire_owned());
        let Ok(Ok(permit)) = permit.await else {
            return Err(SendError::Limit(format!(
                "{} requests, the limit `concurrent_requests`, were under way for {} s and none \
                 ended; answers must be read or dropped",
                self.concurrent,
                self.patience.as_secs_f64()
            )));
        };
        let wait = self.reserve(Instant::now())?;
        if !wait.is_zero() {
            tokio::time::sleep(wait).await;
        }
        Ok(permit)
    }

    /// How long the next request has to wait.
    fn reserve(&self, now: Instant) -> Result<Duration, SendError> {
        let mut even = self.even.lock().unwrap_or_else(PoisonError::into_inner);
        let mine = (*even).max(now);
        let wait = mine.saturating_duration_since(now).saturating_sub(BURST);
        if wait > self.patience {
            return Err(SendError::Limit(format!(
                "requests queue for more than {} s because of the limit `requests_per_second`, {}",
                self.patience.as_secs_f64(),
                self.per_second
            )));
        }
        *even = mine + Duration::from_secs(1) / self.per_second;
        Ok(wait)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pace(per_second: u32, concurrent: usize, patience: Duration) -> Pace {
        Pace::new(&Limits {
            requests_per_second: per_second,
            concurrent_requests: concurrent,
            request_timeout: patience,
            ..Limits::default()
        })
    }

    #[test]
    fn a_burst_passes_then_requests_come_evenly() {
        let pace = pace(10, 1, Duration::from_secs(1));
        let now = Instant::now() + Duration::from_secs(10);
        let waits: Vec<_> = (0..21).map(|_| pace.reserve(now).unwrap().as_millis()).collect();
        assert!(waits[..11].iter().all(|wait| *wait == 0), "{waits:?}");
        assert_eq!(waits[11..], [100, 200, 300, 400, 500, 600, 700, 800, 900, 1000]);
        let refused = pace.reserve(now).unwrap_err().to_string();
        assert!(refused.contains("`requests_per_second`, 10"), "{refused}");
        assert_eq!(pace.reserve(now + Duration::from_secs(3)).unwrap(), Duration::ZERO);
    }

    #[tokio::test]
    async fn answers_that_nobody_drops_hold_up_the_next() {
        let pace = pace(1000, 2, Duration::from_millis(20));
        let held = [pace.turn().await.unwrap(), pace.turn().await.unwrap()];
        let refused = pace.turn().await.unwrap_err().to_string();
        assert!(refused.starts_with("2 requests, the limit `concurrent_requests`"), "{refused}");
        drop(held);
        assert!(pace.turn().await.is_ok());
    }
}
